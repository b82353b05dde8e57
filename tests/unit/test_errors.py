"""The exception tree and what clients are told."""

import pickle
import traceback

import pytest

from crdtsync import errors
from crdtsync.errors import (
    CloseCode,
    CrdtsyncError,
    DocumentQuarantined,
    InvalidUpdate,
    OperatorError,
    RemoteError,
    StoreLocked,
    Unavailable,
    close_reason,
)


def subclasses(base: type) -> list[type]:
    return [base] + [each for child in base.__subclasses__() for each in subclasses(child)]


REMOTE = subclasses(RemoteError)


@pytest.mark.parametrize("error", REMOTE, ids=lambda error: error.__name__)
def test_what_a_client_did_wrong_is_final(error: type[RemoteError]) -> None:
    """Every remote error closes with a code from 4400 to 4499, at which y-websocket stops."""
    assert 4400 <= error.close_code <= 4499
    assert 400 <= error.http_status < 500
    assert error.kind


def test_kinds_tell_errors_apart() -> None:
    """Each remote error has a kind of its own, for metrics and logs."""
    kinds = [error.kind for error in REMOTE if error is not RemoteError]
    assert len(set(kinds)) == len(kinds)


@pytest.mark.parametrize("error", subclasses(Unavailable), ids=lambda error: error.__name__)
def test_what_the_server_cannot_do_now_brings_the_client_back(error: type[Unavailable]) -> None:
    """An unavailable server closes with a code that y-websocket retries."""
    assert not 4400 <= error.close_code < 4500
    assert error.http_status == (423 if error is DocumentQuarantined else 503)


def test_every_error_is_in_the_tree_and_listed() -> None:
    """Whatever the module defines derives from one base, stands in its tree and its list."""
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, Exception):
            assert issubclass(value, CrdtsyncError)
            assert name in (errors.__doc__ or "")
            assert name in errors.__all__ or value is CrdtsyncError


def test_a_kind_can_be_narrowed() -> None:
    """One error may carry a kind of its own, and leaves the class's alone."""
    assert InvalidUpdate("x", kind="update-clock").kind == "update-clock"
    assert InvalidUpdate("x").kind == "invalid-update"


def test_an_operator_gets_a_hint() -> None:
    """An operator's error carries its hint beside its message."""
    error = OperatorError("it broke", hint="Mend it.")
    assert (str(error), error.hint) == ("it broke", "Mend it.")
    assert OperatorError("it broke").hint == ""


@pytest.mark.parametrize("text", ["", "short", "x" * 123, "é" * 61])
def test_a_reason_that_fits_is_left_alone(text: str) -> None:
    """A reason of up to 123 bytes stays as it is."""
    assert close_reason(text) == text


@pytest.mark.parametrize("text", ["x" * 124, "é" * 62, "x" + "é" * 200, "😀" * 60])
def test_a_long_reason_is_cut_between_characters(text: str) -> None:
    """A longer one is cut to 123 bytes of sound UTF-8 (RFC 6455, 5.5)."""
    cut = close_reason(text)
    assert len(cut.encode()) <= 123
    assert cut.endswith("...")
    assert text.startswith(cut[:-3])


def test_close_codes_of_the_application_are_private() -> None:
    """Own codes are from the range that RFC 6455 (7.4.2) leaves to applications."""
    assert all(code < 1016 or 4000 <= code < 5000 for code in CloseCode)


def test_a_traceback_has_the_hint() -> None:
    """Who sees an operator's error as a traceback is told what to do, too."""
    shown = "".join(traceback.format_exception(StoreLocked("in use", hint="Stop process 7")))
    assert shown.splitlines()[-2:] == ["crdtsync.errors.StoreLocked: in use", "Stop process 7"]
    assert not hasattr(StoreLocked("in use"), "__notes__")
    again = pickle.loads(pickle.dumps(StoreLocked("in use", hint="Stop process 7")))
    assert (again.hint, again.__notes__) == ("Stop process 7", ["Stop process 7"])
