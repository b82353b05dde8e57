"""``docs/protocol.md`` says what the code does: names, messages, limits, refusals, close codes."""

import ast
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from inspect import isclass

import pytest

from crdtsync import errors
from crdtsync.awareness import Entry, encode_entries
from crdtsync.document import Document
from crdtsync.encoding import write_var_string, write_var_uint
from crdtsync.errors import (
    CloseCode,
    InvalidDocumentName,
    RemoteError,
    Restarting,
    Unavailable,
)
from crdtsync.fill import Fill
from crdtsync.limits import Limits
from crdtsync.protocol import (
    EMPTY_STEP_2,
    KEEPALIVE,
    MAX_MESSAGES,
    QUERY_AWARENESS,
    AwarenessMessage,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    TokenMessage,
    awareness_frame,
    decode_frame,
    document_name,
    step_1_frame,
    update_frame,
)
from crdtsync.session import Session
from crdtsync.update import scan

from .kit import REPOSITORY, code, page, table

PAGE = page("docs/protocol.md")
LIMITS = Limits()


def test_close_codes() -> None:
    """The table has every close code under its name, and says which are final."""
    rows = {int(row[0]): row for row in table(PAGE, "Code", "Name")}
    assert {number: code(row[1])[0] for number, row in rows.items()} == {
        each.value: each.name for each in CloseCode
    }
    assert {number for number, row in rows.items() if row[3] == "yes"} == {
        each.value for each in CloseCode if 4400 <= each < 4500
    }


def test_every_code_is_some_error_s() -> None:
    """Each code of our own belongs to an error, and no error has a code that the table lacks."""
    kinds = [each for each in vars(errors).values() if isclass(each)]
    codes = {each.close_code for each in kinds if issubclass(each, RemoteError | Unavailable)}
    codes -= {Unavailable.close_code, Restarting.close_code}
    assert codes == {each for each in CloseCode if each >= 4400}


def test_document_names() -> None:
    """Each path of the table gives the name beside it, or is refused."""
    for path, name in table(PAGE, "Path", "Document"):
        (raw,) = code(path)
        if name == "refused":
            with pytest.raises(InvalidDocumentName):
                document_name(raw)
        else:
            assert document_name(raw) == code(name)[0]


def test_whole_messages() -> None:
    """Each frame of the table is one message, of the kind that is said."""
    frames = {row[0].strip("`"): row[1] for row in table(PAGE, "Frame", "Message")}
    kinds = {
        "step 1": SyncStep1,
        "step 2": SyncStep2,
        "update": SyncUpdate,
        "awareness": AwarenessMessage,
        "query awareness": QueryAwareness,
        "token": TokenMessage,
    }
    for written, meaning in frames.items():
        (message,) = decode_frame(bytes.fromhex(written))
        (kind,) = re.findall("^(?:step [12]|query awareness|[a-z]+)", meaning)
        assert type(message) is kinds[kind]
        Session(LIMITS).receive(bytes.fromhex(written))
    known = {bytes.fromhex(written) for written in frames}
    assert {EMPTY_STEP_2, KEEPALIVE, QUERY_AWARENESS} <= known


def test_messages_of_a_frame() -> None:
    """A frame may hold as many messages as the page says, and no more."""
    (most,) = re.findall(r"up to\s(\d+)\sin\sone\sframe", PAGE)
    assert int(most) == MAX_MESSAGES
    assert len(decode_frame(QUERY_AWARENESS * MAX_MESSAGES)) == MAX_MESSAGES


def item(content: bytes, *, info: int = 4, parent: bytes = b"\x01\x01t") -> bytes:
    """Return one item's bytes: by default a text in the root ``t``."""
    return bytes((info,)) + parent + content


def update(*structs: bytes, clock: int = 0, deletes: bytes = b"\x00") -> bytes:
    """Return an update of client 1."""
    head = b"\x01" + write_var_uint(len(structs)) + b"\x01" + write_var_uint(clock)
    return head + b"".join(structs) + deletes


def nested_any(depth: int) -> bytes:
    """Return a value of arrays inside one another."""
    return b"\x01" + b"\x75\x01" * depth + b"\x7e"


def nested_types(depth: int) -> bytes:
    """Return arrays, each inside the one before."""
    first = item(b"\x00", info=7)
    inner = (
        item(b"\x00", info=7, parent=b"\x00\x01" + write_var_uint(n)) for n in range(depth - 1)
    )
    return update(first, *inner)


def receive(frame: bytes, limits: Limits = LIMITS) -> None:
    """Let a session read a frame, as it comes from a client."""
    Session(limits).receive(frame)


def read(data: bytes, limits: Limits = LIMITS) -> None:
    """Let a session read an update."""
    receive(update_frame(data), limits)


def admit(data: bytes, limits: Limits = LIMITS) -> None:
    """Let an update into an empty document."""
    document = Document(limits)
    document.loaded()
    document.admit(data, scan(data, limits, structs=True))


def present(entries: Iterable[Entry]) -> None:
    """Let a session read awareness entries."""
    receive(awareness_frame(encode_entries(entries)))


def grow(*structs: bytes) -> None:
    """Add to a document that has no room."""
    limits = replace(LIMITS, max_document_bytes=1)
    data = update(*structs)
    Fill(limits).check(data, scan(data, limits), Document(limits).knows)


def clients(count: int) -> bytes:
    """Return the beginning of something that names so many clients."""
    return write_var_uint(count)


TEXT = item(b"\x02hi")
DEEP = "[" * 101 + "]" * 101

REFUSED: dict[str, list[Callable[[], object]]] = {
    "malformed-message": [
        lambda: receive(b""),
        lambda: receive(b"\x00\x02\x05\x01"),
        lambda: receive(b"\x00\x07\x00"),
        lambda: receive(b"\x02\x07\x00"),
        lambda: receive(QUERY_AWARENESS * (MAX_MESSAGES + 1)),
        lambda: present([Entry(1, 1, "{")]),
    ],
    "message-too-large": [
        lambda: present([Entry(1, 1, f'"{"x" * LIMITS.max_awareness_bytes}"')]),
        lambda: present(Entry(n, 1, "1") for n in range(LIMITS.max_awareness_clients + 1)),
    ],
    "document-too-large": [lambda: grow(TEXT)],
    "update-truncated": [lambda: read(update(TEXT)[:-1])],
    "update-trailing": [lambda: read(update(TEXT) + b"\x00")],
    "update-clients": [
        lambda: read(clients(LIMITS.max_update_clients + 1)),
        lambda: read(b"\x00" + clients(LIMITS.max_update_clients + 1)),
        lambda: receive(step_1_frame(clients(LIMITS.max_update_clients + 1))),
    ],
    "update-structs": [
        lambda: read(b"\x01" + clients(LIMITS.max_update_structs + 1) + b"\x01\x00"),
        lambda: read(b"\x00\x01\x01" + clients(LIMITS.max_update_structs + 1) + b"\x00\x01"),
    ],
    "update-empty-client": [lambda: read(b"\x01\x00\x01\x00\x00")],
    "update-zero-length": [
        lambda: read(update(item(b"\x00"))),
        lambda: read(b"\x00\x01\x01\x01\x00\x00"),
    ],
    "update-clock": [
        lambda: read(update(TEXT, clock=2**31 - 1)),
        lambda: read(b"\x00\x01\x01\x01\x00" + write_var_uint(2**31 + 1)),
    ],
    "update-conflicts": [lambda: read(update(*[TEXT] * (LIMITS.max_conflicts + 1)))],
    "update-any-depth": [lambda: read(update(item(nested_any(LIMITS.max_any_depth + 1), info=8)))],
    "update-type-depth": [lambda: admit(nested_types(LIMITS.max_type_depth))],
    "update-bad-parent": [lambda: admit(update(TEXT, item(b"\x02hi", parent=b"\x00\x01\x00")))],
    "update-bad-neighbours": [
        lambda: admit(
            update(TEXT, item(b"\x01a", parent=b"\x01\x01u"), b"\xc4\x01\x00\x01\x02\x01b")
        )
    ],
    "update-bad-key": [lambda: admit(update(item(b"\x01k\x02hi", info=0x24)))],
    "update-json": [lambda: read(update(item(b"\x01\x011", info=2)))],
    "update-json-depth": [lambda: read(update(item(write_var_string(DEEP), info=5)))],
    "update-bad-json": [lambda: read(update(item(write_var_string("{"), info=5)))],
    "invalid-update": [
        lambda: read(b"\x02" + update(TEXT)[1:-1] * 2 + b"\x00"),
        lambda: read(update(item(b"\x02hi", info=31))),
        lambda: read(update(b"\x84\x01\x05\x02hi")),
        lambda: read(update(b"\x20\x01")),
        lambda: read(update(item(b"\x02\xff\xff"))),
    ],
    "bad-state-vector": [
        lambda: receive(step_1_frame(b"\x01\x01")),
        lambda: receive(step_1_frame(b"\x01\x01\x01\x00")),
        lambda: receive(step_1_frame(b"\x02\x01\x01\x01\x01")),
    ],
}
"""Per kind: what is refused as such, each with the first value that is too much."""

ELSEWHERE = {"unsupported-data": "a text frame is the connection's to refuse"}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused(kind: str) -> None:
    """Each example is refused, and as the kind that the page says."""
    for example in REFUSED[kind]:
        with pytest.raises(RemoteError) as caught:
            example()
        assert caught.value.kind == kind


ALLOWED: dict[str, Callable[[], object]] = {
    "update-conflicts": lambda: read(update(*[TEXT] * LIMITS.max_conflicts)),
    "update-any-depth": lambda: read(update(item(nested_any(LIMITS.max_any_depth), info=8))),
    "update-type-depth": lambda: admit(nested_types(LIMITS.max_type_depth - 1)),
    "update-clock": lambda: read(update(TEXT, clock=2**31 - 2)),
    "update-clients": lambda: read(update(TEXT), replace(LIMITS, max_update_clients=1)),
    "update-structs": lambda: read(update(TEXT), replace(LIMITS, max_update_structs=1)),
    "update-json-depth": lambda: read(update(item(write_var_string(DEEP[1:-1]), info=5))),
    "malformed-message": lambda: receive(QUERY_AWARENESS * MAX_MESSAGES),
}
"""Per kind: the last value that is not too much."""


@pytest.mark.parametrize("kind", ALLOWED)
def test_what_is_just_allowed(kind: str) -> None:
    """The last value below each limit passes."""
    ALLOWED[kind]()


def test_the_table_has_every_kind() -> None:
    """The kinds of the table are those that the readers raise, and each has an example."""
    documented = {code(row[0])[0] for row in table(PAGE, "Kind", "What it means")}
    assert documented == set(REFUSED) | set(ELSEWHERE)
    raised = {errors.MalformedMessage.kind, errors.MessageTooLarge.kind}
    raised |= {errors.InvalidUpdate.kind, errors.UnsupportedData.kind}
    for path in (REPOSITORY / "crdtsync").glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call):
                raised |= {
                    str(word.value.value)
                    for word in call.keywords
                    if word.arg == "kind" and isinstance(word.value, ast.Constant)
                }
    assert raised == documented


def test_reasons_never_repeat_what_was_sent() -> None:
    """Whatever the bytes are, the reason is one of a few sentences."""
    secret = update(item(write_var_string("sesame"), info=5))
    with pytest.raises(RemoteError) as caught:
        read(secret)
    assert "sesame" not in str(caught.value)
