"""Presence is nobody's past: a history that leaves it out is that of the same edits without it."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import pycrdt
import pytest

from crdtsync.history.activity import activity
from crdtsync.history.blame import blame
from crdtsync.history.compare import compare
from crdtsync.history.content import read
from crdtsync.history.erasing import renamed
from crdtsync.history.forward import restore_update, undo_update
from crdtsync.history.log import LogCheckpoint, Records, plain_records
from crdtsync.history.model import Stored
from crdtsync.history.past import Past
from crdtsync.history.proving import Unproven, fold
from crdtsync.history.sieve import NOBODY, Sieve
from crdtsync.slicing import weave_updates
from crdtsync.store.base import Record
from crdtsync.structs import ANY, Struct
from tests.history.kit import LIMITS, logged
from tests.history.sifting import CHATS, SECRET, THREAD, Twins, sifted, twins
from tests.properties.edits import content

Json = dict[str, Any]
SEEDS = range(30)


def folded(records: Sequence[Record], upto: int, *, stored: Stored | None = None) -> Stored:
    """Return the proven history of a document with presence, up to a record."""
    left = [record for record in records if record.sequence <= upto]
    after = 0 if stored is None else stored.sequence
    newest = LogCheckpoint(upto, left[-1].time_ms, Twins(mixed=left).state())
    return fold(stored, None, sifted(left, after), newest, False)


def roots(answer: bytes) -> Any:
    return json.loads(answer)["roots"]


def sessions(answer: bytes, same: Sequence[int]) -> list[Json]:
    """Return sessions by the plain twin's sequences."""
    found: list[Json] = json.loads(answer)["sessions"]
    for each in found:
        each["first_sequence"] = same[each["first_sequence"]]
        each["last_sequence"] = same[each["last_sequence"]]
    return found


def assert_twins(
    stored: Stored | None, records: Records, plain: Sequence[Record], same: Sequence[int]
) -> None:
    """Assert that a history says the same as its plain twin, at each moment."""
    mixed = (stored, None, records)
    other = (None, None, tuple(plain))
    random = Random(len(same))
    for sequence, its in enumerate(same):
        for format in ("json", "delta"):
            assert roots(read(*mixed, sequence, format, None)) == roots(
                read(*other, its, format, None)
            )
        assert roots(blame(*mixed, sequence)) == roots(blame(*other, its))
        to = random.randrange(len(same))
        # What is joined within a minute depends on which clocks are neighbours.
        change = compare(*mixed, sequence, to, resolution_ms=0)
        assert roots(change) == roots(compare(*other, its, same[to], resolution_ms=0))
    ends = list(range(len(same)))
    assert sessions(activity(*mixed), same) == sessions(activity(*other), ends)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_history_without_presence(seed: int) -> None:
    """Content, differences, authors and sessions are those of the same edits without presence."""
    made = twins(seed)
    if made.mixed:
        assert_twins(None, sifted(made.mixed), made.plain, made.same)


@pytest.mark.parametrize("seed", SEEDS)
def test_folds_leave_presence_out(seed: int) -> None:
    """Folded in one piece or two, proven, nothing of presence is in the bytes, and all else is."""
    made = twins(seed)
    if not made.mixed:
        return
    last = len(made.mixed)
    half = 1 + seed % last
    stored = folded(made.mixed, half)
    assert_twins(stored, sifted(made.mixed, half), made.plain, made.same)
    whole = folded(made.mixed, last, stored=stored) if half < last else stored
    assert_twins(whole, sifted([]), made.plain, made.same)
    assert_nowhere(whole)


def assert_nowhere(stored: Stored) -> None:
    past = Past.open(stored)
    assert SECRET.encode() not in past.structs
    assert b"guest-1" not in past.structs
    assert b"presence" not in past.structs
    assert set(past.timeline.authors) <= {"ada", "ben", "", NOBODY}


@pytest.mark.parametrize("seed", SEEDS)
def test_thinned_histories_leave_presence_out(seed: int) -> None:
    """Moments that went take nothing else along, and presence does not come back with the next."""
    made = twins(seed)
    if len(made.mixed) < 4:
        return
    last = len(made.mixed)
    half = last // 2
    before = Past.open(folded(made.mixed, half))
    timeline = before.timeline.thinned(lambda sequence, _: sequence % 3 == 1)
    whole = folded(made.mixed, last, stored=Past(timeline, before.structs).stored())
    assert_nowhere(whole)
    for sequence in (1, half, last):
        mixed = (whole, None, sifted([]), sequence)
        plain = (None, None, tuple(made.plain), made.same[sequence])
        assert roots(read(*mixed, "delta", None)) == roots(read(*plain, "delta", None))
    counts: list[dict[str, list[int]]] = []
    for past in (Past.open(whole), Past.open(None, None, made.plain)):
        sums: dict[str, list[int]] = {}
        for amount in past.timeline.amounts():
            own = sums.setdefault(amount.author, [0, 0])
            own[0] += amount.inserted
            own[1] += amount.deleted
        counts.append(sums)
    assert counts[0] == counts[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_presence_that_history_has_already(seed: int) -> None:
    """Where presence is turned on later, what was recorded of it goes with the next fold."""
    made = twins(seed)
    if not made.mixed:
        return
    last = len(made.mixed)
    half = 1 + seed % last
    before = Past.open(None, None, made.mixed[:half]).stored()
    assert_twins(before, sifted(made.mixed, half), made.plain, made.same)
    if half < last:
        assert_nowhere(folded(made.mixed, last, stored=before))


@pytest.mark.parametrize("seed", SEEDS)
def test_presence_that_is_turned_off(seed: int) -> None:
    """A history that left presence out goes on doing so: there is nothing to build upon."""
    made = twins(seed)
    if not made.mixed:
        return
    last = len(made.mixed)
    half = 1 + seed % last
    stored = folded(made.mixed, half)
    if not Past.open(stored).sifted:
        return
    newest = LogCheckpoint(last, made.mixed[-1].time_ms, made.state())
    whole = fold(stored, None, plain_records(made.mixed, half), newest, False)
    assert_twins(whole, sifted([]), made.plain, made.same)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_state_that_begins_a_history(seed: int) -> None:
    """A history may begin with a collected state, and still leaves presence out."""
    made = twins(seed)
    if not made.mixed:
        return
    last = len(made.mixed)
    half = 1 + seed % last
    newest = LogCheckpoint(last, made.mixed[-1].time_ms, made.state())
    whole = fold(None, based(made.mixed, half), sifted(made.mixed, half), newest, False)
    assert_nowhere(whole)
    its = made.same[half]
    base = based(made.plain, its) if its else None
    for sequence in range(half, last + 1):
        assert roots(read(whole, None, sifted([]), sequence, "delta", None)) == roots(
            read(None, base, tuple(made.plain), made.same[sequence], "delta", None)
        )


def based(records: Sequence[Record], upto: int) -> LogCheckpoint:
    """Return the state of a document that let go of what was deleted."""
    before = list(records[:upto])
    return LogCheckpoint(upto, before[-1].time_ms, Twins(mixed=before).state())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_document_that_is_kept_by_its_bytes(seed: int) -> None:
    """The proof of a fold holds without the CRDT library, too."""
    made = twins(seed)
    if made.mixed:
        last = len(made.mixed)
        state, _ = weave_updates([each.update for each in made.mixed], LIMITS)
        newest = LogCheckpoint(last, made.mixed[-1].time_ms, state)
        whole = fold(None, None, sifted(made.mixed), newest, True)
        assert_twins(whole, sifted([]), made.plain, made.same)


@pytest.mark.parametrize("seed", range(60))
def test_restoring_leaves_channels_alone(seed: int) -> None:
    """A whole document becomes what it was, but for who is there and what people said."""
    made = twins(seed)
    if not made.mixed:
        return
    random = Random(seed)
    moment = random.randrange(len(made.mixed) + 1)
    past = Past.open(folded(made.mixed, len(made.mixed)))
    live: pycrdt.Doc[Any] = pycrdt.Doc()
    live.apply_update(made.state())
    before = channels(live)
    if seed % 2:
        update = restore_update(past, moment, chat=True)
    else:
        update = undo_update(past, author="ada", after=moment, chat=True)
    live.apply_update(update)
    assert channels(live) == before
    if seed % 2:
        then: pycrdt.Doc[Any] = pycrdt.Doc()
        then.apply_update(past.update_at(moment))
        assert content(live) == content(then)
    everything: pycrdt.Doc[Any] = pycrdt.Doc()
    everything.apply_update(made.state())
    everything.apply_update(restore_update(past, 0))
    assert not any(channels(everything)[name] for name in (*CHATS, THREAD))  # an ordinary document


def channels(doc: pycrdt.Doc[Any]) -> dict[str, Any]:
    names = (*CHATS, THREAD, "presence")
    return {name: doc.get(name, type=pycrdt.Map).to_py() for name in names}


@pytest.mark.parametrize("folds", [False, True])
def test_a_neighbour_in_presence(folds: bool) -> None:
    """What lies elsewhere, and says that it stood before something in presence, stays there."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=7)
    with doc.transaction():
        doc.get("text", type=pycrdt.Text).insert(0, "ab")
        doc.get("presence", type=pycrdt.Text).insert(0, SECRET)
    odd = b"\x01\x01\x09\x00" + bytes([0xC4, 7, 1, 7, 2]) + b"\x01c\x00"
    records = list(logged([doc.get_update(), odd]))
    stored = folded(records, 1) if folds else None
    whole = folded(records, 2, stored=stored)
    assert_nowhere(whole)
    found = roots(read(whole, None, sifted([]), 2, "json", None))
    assert found == {"text": {"kind": "text", "value": "abc"}}


def test_what_tells_more_than_it_left_out_is_not_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sieve that takes more than presence, or less, is found out."""
    made = twins(3)
    last = len(made.mixed)
    real = Sieve._lies

    def texts_too(self: Sieve, struct: Struct) -> bool:
        return real(self, struct) or struct.parent == "text"

    with monkeypatch.context() as patched:
        patched.setattr(Sieve, "_lies", texts_too)
        with pytest.raises(Unproven):
            folded(made.mixed, last)
    with monkeypatch.context() as patched:
        patched.setattr(
            Sieve, "_lies", lambda self, struct: struct.kind == ANY and real(self, struct)
        )
        with pytest.raises(Unproven):
            folded(made.mixed, last)


def test_nobody_is_called_so() -> None:
    """Who bears the name of what is left out is anonymous, and can't be erased or undone."""
    (one,) = logged([twins(3).plain[0].update], [NOBODY])
    past = Past.open(None, None, [one])
    assert [change.author for change in past.timeline.changes()] == [""]
    whole = folded(twins(3).mixed, len(twins(3).mixed))
    assert renamed(whole, NOBODY, "") is None
