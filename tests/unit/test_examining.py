"""What is found out about a large update on a thread, and what the document makes of it."""

import pytest

from crdtsync.document import Document, Verdict
from crdtsync.examining import examined
from crdtsync.limits import Limits
from crdtsync.structs import Scan
from crdtsync.update import scan

from .documents import content, history, replay
from .wire import block, item, one, skip, update

LIMITS = Limits()
TOGETHER = update(
    block(9, 0, item("a", origin=(1, 0)), item("c", origin=(8, 0))),
    block(8, 0, item("b", origin=(9, 0))),
    deletes=[(8, 0, 1)],
)
"""Two clients who build on one another, and on a third."""


def opened(*updates: bytes) -> Document:
    document = Document(LIMITS)
    document.loaded()
    for each in updates:
        assert document.admit(each, scan(each, LIMITS)) is Verdict.NEW
    return document


def look(document: Document, data: bytes) -> Scan:
    return examined(data, scan(data, LIMITS), document, LIMITS)


def test_what_fits_by_its_numbers_is_not_looked_at() -> None:
    found = look(opened(), one(1, 0, "x"))
    assert found.structs is None
    assert not found.complete


def test_clients_that_build_on_one_another_are_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cut then: the update goes in as it is."""
    document = opened(one(1, 0, "x"))
    found = look(document, TOGETHER)
    assert found.complete
    monkeypatch.setattr(Document, "_slice", None)
    assert document.admit(TOGETHER, found) is Verdict.NEW
    assert document.clocks == {1: 1, 8: 1, 9: 2}
    assert document.admit(TOGETHER, found) is Verdict.KNOWN


@pytest.mark.parametrize(
    "data",
    [
        TOGETHER,
        update(block(9, 0, item("a"), skip(2), item("b", origin=(9, 0)))),
        update(block(9, 0, item("a")), deletes=[(9, 0, 2)]),
        update(block(9, 0, item("a")), deletes=[(7, 0, 1)]),
        update(block(9, 1, item("a", origin=(9, 0)))),
    ],
    ids=["reference", "hole", "beyond itself", "beyond others", "later"],
)
def test_what_lacks_something_is_not(data: bytes) -> None:
    """It is described for whoever cuts it, and held as it is without."""
    document, other = opened(), opened()
    found = look(document, data)
    assert not found.complete
    assert found.structs is not None
    assert document.admit(data, found) is other.admit(data, scan(data, LIMITS)) is Verdict.AHEAD
    assert document.clocks == other.clocks
    assert list(document.waiting) == list(other.waiting)


def test_what_has_come_meanwhile_is_cut_off() -> None:
    """A part may come from elsewhere between the look and the admission."""
    document = opened(one(1, 0, "x"))
    found = look(document, TOGETHER)
    document.admit(one(9, 0, "a", origin=(1, 0)), scan(one(9, 0, "a", origin=(1, 0)), LIMITS))
    assert document.admit(TOGETHER, found) is Verdict.KNOWN
    assert [scan(piece, LIMITS).ranges for piece, _, _ in document.take_ready()] == [
        ((9, 1, 2), (8, 0, 1))
    ]
    assert document.clocks == {1: 1, 8: 1, 9: 2}


@pytest.mark.parametrize("seed", range(10))
def test_a_whole_document_is_let_in_as_it_is(seed: int) -> None:
    """Whoever wrote it: what a client brings to a new server is complete."""
    whole = replay(*history(seed, clients=5, steps=60)).get_update()
    document = opened()
    found = look(document, whole)
    assert document.admit(whole, found) is Verdict.NEW
    document.commit(whole, found)
    assert content(replay(document.state())) == content(replay(whole))
