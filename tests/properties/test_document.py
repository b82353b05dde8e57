"""One document, fed by any order of updates, stored and loaded again."""

import pytest
from hypothesis import strategies as st

from crdtsync.document import Document, Verdict
from crdtsync.limits import Limits
from crdtsync.state_vector import read_state_vector
from crdtsync.update import scan
from tests.properties.authors import READER, History, clocks_of, deletes_of, doc_of, histories, same
from tests.properties.edits import Dice
from tests.properties.profile import checked


def _opened(limits: Limits = READER, state: bytes | None = None) -> Document:
    document = Document(limits) if state is None else Document(limits, state=state)
    document.loaded()
    return document


def _feed(document: Document, update: bytes) -> Verdict:
    """Do with an update what a room does."""
    found = scan(update, READER, structs=document.detailed)
    verdict = document.admit(update, found)
    if verdict is Verdict.NEW:
        document.commit(update, found)
    for piece, described, _ in document.take_ready():
        document.commit(piece, described)
    return verdict


def _shuffled(updates: list[bytes], dice: Dice) -> list[bytes]:
    """Return the updates in another order, some of them twice."""
    out: list[bytes] = []
    for update in updates:
        for _ in range(1 + dice.roll(4) // 3):
            out.insert(len(out) - min(len(out), dice.roll(8)), update)
    return out


@pytest.mark.parametrize("verbatim", [False, True])
@checked(250, history=histories, held=st.sampled_from([1000, 2]))
def test_the_order_of_arrival_does_not_matter(history: History, held: int, verbatim: bool) -> None:
    """Updates that come shuffled and twice make what they make in causal order."""
    document = _opened(Limits(max_held_updates=held))
    if verbatim:
        document.committed.keep_verbatim("the test says so")
    arriving = _shuffled(history.updates, history.dice)
    for _ in range(len(history.updates)):  # a sender is asked again for what could not be held
        ahead = [update for update in arriving if _feed(document, update) is Verdict.AHEAD]
        if not ahead:
            break
        arriving = ahead
    whole = doc_of(*history.updates)
    assert len(document.waiting) == 0
    assert document.clocks == clocks_of(whole)
    assert same(doc_of(document.state()), whole)
    assert all(_feed(document, update) is Verdict.KNOWN for update in history.updates)


@pytest.mark.parametrize("verbatim", [False, True])
@checked(250, history=histories, frame=st.sampled_from([1 << 20, 1, 30]))
def test_a_reader_gets_what_it_lacks(history: History, frame: int, verbatim: bool) -> None:
    """Whatever a reader has, the pieces of the answer bring it up to date one by one."""
    updates, dice = history.updates, history.dice
    document = _opened(Limits(max_frame_bytes=frame))
    if verbatim:
        document.committed.keep_verbatim("the test says so")
    integrated = dice.roll(len(updates))
    for number, update in enumerate(updates):
        _feed(document, update)
        if number == integrated:
            document.integrate()
            document.rest()
    whole = doc_of(*updates)
    for reader in (doc_of(), doc_of(*updates[: dice.roll(len(updates) + 1)]), *history.docs):
        for piece in document.diff(reader.get_state()):
            found = scan(piece, READER)
            before = clocks_of(reader)
            assert all(before.get(client, 0) >= start for client, start, _ in found.ranges)
            reader.apply_update(piece)
        assert same(reader, whole)


@checked(250, history=histories)
def test_a_checkpoint_holds_everything(history: History) -> None:
    """A document loaded from its checkpoint has its clocks, deletions and content, and goes on."""
    updates = history.updates
    border = history.dice.roll(len(updates) + 1)
    document = _opened()
    for update in updates[:border]:
        _feed(document, update)
    again = _opened(state=document.checkpoint())
    assert not document.verbatim
    assert again.clocks == document.clocks
    assert read_state_vector(again.state_vector(), READER) == document.clocks
    assert deletes_of(document.deleted) <= deletes_of(again.deleted)
    assert same(doc_of(again.state()), doc_of(*updates[:border]))
    assert all(_feed(again, update) is Verdict.KNOWN for update in updates[:border])
    for update in updates[border:]:
        assert _feed(again, update) is not Verdict.AHEAD
    assert same(doc_of(again.state()), doc_of(*updates))


@checked(250, history=histories)
def test_a_log_replays_to_the_same_document(history: History) -> None:
    """A document loaded from its log alone is the one that wrote it."""
    written = _opened()
    for update in history.updates:
        _feed(written, update)
    read = Document(READER)
    for update in history.updates:
        read.replay(update)
    assert read.clocks == written.clocks
    assert deletes_of(read.deleted) == deletes_of(written.deleted)
    assert same(doc_of(read.state()), doc_of(written.state()))
