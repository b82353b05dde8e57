"""Every moment of a document: cut from its history, it is what a replay of its log makes."""

from typing import Any, NamedTuple

import pycrdt
import pytest
from hypothesis import strategies as st

from crdtsync.history.model import Change, HistoryDamaged, HistoryError, Stored, UnknownMoment
from crdtsync.history.past import Past
from crdtsync.history.timeline import Timeline
from crdtsync.limits import Limits
from crdtsync.state_vector import encode_state_vector, read_state_vector
from crdtsync.store.base import Checkpoint, Record
from crdtsync.update import scan
from tests.properties.authors import History, histories
from tests.properties.edits import content
from tests.properties.profile import checked

LIMITS = Limits()
AUTHORS = ["ada", "ben", ""]
START_MS = 1_700_000_000_000


def logged(updates: list[bytes]) -> list[Record]:
    """Return a log of updates: authors in turn, some seconds apart, and one clock that is late."""
    return [
        Record("doc", n, START_MS + 1000 * n - (5000 if n % 7 == 0 else 0), AUTHORS[n % 3], update)
        for n, update in enumerate(updates, 1)
    ]


def replayed(updates: list[bytes]) -> "pycrdt.Doc[Any]":
    doc = pycrdt.Doc[Any]()
    for update in updates:
        doc.apply_update(update)
    return doc


def past_of(updates: list[bytes], folds: int = 1) -> Past:
    """Return the history of a log that went into it in some pieces."""
    stored: Stored | None = None
    records = logged(updates)
    size = max(1, -(-len(records) // folds))
    for start in range(0, len(records), size):
        stored = Past.open(stored, None, records[start : start + size]).stored()
    return Past.open(stored)


@checked(150, history=histories, folds=st.integers(1, 5))
def test_moments(history: History, folds: int) -> None:
    """However the log went into it, each moment is what the log up to there makes."""
    past = past_of(history.updates, folds)
    for count in range(len(history.updates) + 1):
        then = replayed(history.updates[:count])
        again = replayed([past.update_at(count)])
        assert content(again) == content(then)
        vector = {c: n for c, n in read_state_vector(again.get_state(), LIMITS).items() if n}
        assert vector == past.timeline.snapshot(count).clocks
        assert vector == read_state_vector(then.get_state(), LIMITS)


@checked(60, history=histories, border=st.integers(0, 24))
def test_moments_behind_what_is_stored(history: History, border: int) -> None:
    """A moment that only the log has is the same as when it is stored."""
    records = logged(history.updates)
    stored = Past.open(None, None, records[:border]).stored() if border and records else None
    timeline = past_of(history.updates).timeline
    for count in range(len(records) + 1):
        behind = Past.open(stored, None, records[border:]).timeline
        assert behind.snapshot(count).clocks == timeline.snapshot(count).clocks
        assert sorted(behind.snapshot(count).deletes) == sorted(timeline.snapshot(count).deletes)
    with pytest.raises(UnknownMoment):
        behind.snapshot(len(records) + 1)


@checked(60, history=histories, border=st.integers(0, 12))
def test_a_log_behind_a_checkpoint(history: History, border: int) -> None:
    """Where history begins at a checkpoint, that is its first moment, and its authors unknown."""
    border = min(border, len(history.updates))
    state = replayed(history.updates[:border]).get_update()
    checkpoint = Checkpoint("doc", border, START_MS, state) if border else None
    records = logged(history.updates)[border:]
    past = Past.open(Past.open(None, checkpoint, records).stored())
    for count in range(border, len(history.updates) + 1):
        if count:
            assert content(replayed([past.update_at(count)])) == content(
                replayed(history.updates[:count])
            )
    if border:
        assert past.timeline.first == border
        assert next(past.timeline.changes()).author == ""
    if border > 1:
        with pytest.raises(UnknownMoment, match="not kept") as caught:
            past.update_at(border - 1)
        assert caught.value.pruned


def test_nothing_is_said_twice() -> None:
    """What one types goes into one struct, whatever number of updates brought it."""
    doc = pycrdt.Doc[Any]()
    text = doc.get("text", type=pycrdt.Text)
    updates = []
    for letter in "a word and another one":
        before = doc.get_state()
        text += letter
        updates.append(doc.get_update(before))
    past = past_of(updates, folds=4)
    assert len(past.found.structs or ()) == 1
    assert past.update_at(len(updates)) == doc.get_update()


def test_records_are_checked() -> None:
    """A log with a hole, or one that does not follow, is no history."""
    doc = pycrdt.Doc[Any]()
    updates = []
    for letter in "abc":
        before = doc.get_state()
        doc.get("text", type=pycrdt.Text).insert(0, letter)
        updates.append(doc.get_update(before))
    records = logged(updates)
    with pytest.raises(HistoryDamaged, match="record 2 is missing"):
        Past.open(None, None, [records[0], records[2]])
    with pytest.raises(HistoryDamaged, match="does not follow"):
        Past.open(None, None, [Record("doc", 1, 0, "", updates[1])])
    with pytest.raises(HistoryDamaged, match="can't be read"):
        Past.open(None, None, [Record("doc", 1, 0, "", b"\xff\xff")])


def test_damaged_bytes() -> None:
    """Whichever byte is flipped, a history opens as it was, or says that it is damaged."""
    stored = past_of(_some_updates(40), folds=3).stored()
    parts = [stored.head, stored.structs, *stored.blocks]
    damaged = 0
    for number, part in enumerate(parts):
        for place in range(len(part)):
            flipped = part[:place] + bytes((part[place] ^ 0x5A,)) + part[place + 1 :]
            changed = [*parts[:number], flipped, *parts[number + 1 :]]
            try:
                past = Past.open(
                    Stored(stored.sequence, changed[0], changed[1], tuple(changed[2:]))
                )
                past.update_at(stored.sequence)
                list(past.timeline.moments())
            except HistoryError:
                damaged += 1
    assert damaged > sum(map(len, parts)) * 0.9


def _some_updates(count: int) -> list[bytes]:
    doc = pycrdt.Doc[Any]()
    text = doc.get("text", type=pycrdt.Text)
    updates = []
    for number in range(count):
        before = doc.get_state()
        if number % 5 == 4:
            del text[:2]
        else:
            text.insert(number % 3, "word")
        updates.append(doc.get_update(before))
    return updates


class Grown(NamedTuple):
    """A timeline, and the changes that went into it."""

    timeline: Timeline
    changes: list[Change]


def grown(history: History) -> Grown:
    """Return the timeline of a history, once written and read."""
    timeline = past_of(history.updates, folds=2).timeline
    return Grown(timeline, list(timeline.changes()))


@checked(60, history=histories)
def test_changes(history: History) -> None:
    """Changes have their record's author and time, and bring every clock and deletion once."""
    timeline, changes = grown(history)
    records = logged(history.updates)
    assert [(c.sequence, c.time_ms, c.author) for c in changes] == [
        (r.sequence, r.time_ms, r.author) for r in records
    ]
    clocks: dict[int, int] = {}
    gone: set[tuple[int, int]] = set()
    for change, record in zip(changes, records, strict=True):
        for client, start, end in change.inserts:
            assert clocks.get(client, 0) == start < end
            clocks[client] = end
        told = {(c, at) for c, start, end in change.deletes for at in range(start, end)}
        assert not told & gone
        gone |= told
        said = scan(record.update, LIMITS).deletes
        assert told <= {(c, at) for c, start, end in said for at in range(start, end)}
    assert gone == {(c, at) for c, s, e in timeline.end.deletes for at in range(s, e)}
    assert clocks == timeline.end.clocks


@checked(60, history=histories, after=st.integers(0, 8), more=st.integers(0, 8))
def test_spans(history: History, after: int, more: int) -> None:
    """Spans are the changes, by client."""
    timeline, changes = grown(history)
    meant = [change for change in changes if after < change.sequence <= after + more]
    assert timeline.inserted(after, after + more) == sorted(
        (*each, change.author, change.time_ms) for change in meant for each in change.inserts
    )
    assert timeline.deleted(after, after + more) == sorted(
        (*each, change.author, change.time_ms) for change in meant for each in change.deletes
    )
    for amount, change in zip(timeline.amounts(), timeline.changes(), strict=True):
        assert amount[:3] == (change.sequence, change.time_ms, change.author)
        assert amount.inserted == sum(end - start for _, start, end in change.inserts)
        assert amount.deleted == sum(end - start for _, start, end in change.deletes)
    joined = timeline.inserted(resolution_ms=1 << 40)
    assert sum(span.end - span.start for span in joined) == sum(timeline.end.clocks.values())
    each = {(c, at): (by, ms) for c, s, e, by, ms in timeline.deleted() for at in range(s, e)}
    united = timeline.deleted(resolution_ms=1 << 40)
    several = {(c, at): (by, ms) for c, s, e, by, ms in united for at in range(s, e)}
    assert each.keys() == several.keys()
    for clock, (author, time_ms) in several.items():
        assert author == each[clock][0]
        assert time_ms >= each[clock][1]


@checked(60, history=histories, keep=st.sets(st.integers(1, 12)))
def test_thinning(history: History, keep: set[int]) -> None:
    """Moments that are kept are as before, the newest among them; the others are gone."""
    past = past_of(history.updates)
    last = past.timeline.sequence
    thin = past.timeline.thinned(lambda sequence, _: sequence in keep)
    kept = {each for each in keep if each <= last} | {last}
    assert {sequence for sequence, _ in thin.moments()} == kept
    again = Past.open(Past(thin, past.structs).stored())
    for sequence in range(1, last + 1):
        assert again.timeline.kept(sequence) is (sequence in kept)
        if sequence in kept:
            assert again.update_at(sequence) == past.update_at(sequence)
            assert again.timeline.time_of(sequence) == past.timeline.time_of(sequence)
        else:
            with pytest.raises(UnknownMoment):
                again.timeline.snapshot(sequence)

    def authors(timeline: Timeline) -> dict[tuple[int, int], str]:
        spans = timeline.inserted(resolution_ms=1 << 40)
        return {(s.client, at): s.author for s in spans for at in range(s.start, s.end)}

    assert authors(again.timeline) == authors(past.timeline)


@checked(40, history=histories)
def test_another_name(history: History) -> None:
    """One author's changes can be another's: nothing else is different."""
    timeline, changes = grown(history)
    renamed = timeline.renamed("ada", "someone")
    assert "ada" not in renamed.authors
    assert list(renamed.changes()) == [
        change._replace(author="someone" if change.author == "ada" else change.author)
        for change in changes
    ]
    assert list(timeline.changes()) == changes


def test_times() -> None:
    """A time means the newest moment, in the log's order, that is not after it."""
    timeline = past_of(_some_updates(20)).timeline  # the clocks of 7 and 14 are 5 s behind
    assert timeline.at_time(START_MS + 1000) == 1
    assert timeline.at_time(START_MS + 1999) == 1
    assert timeline.at_time(START_MS + 6500) == 7
    assert timeline.at_time(START_MS + 10_000) == 14
    assert timeline.at_time(START_MS << 1) == 20
    with pytest.raises(UnknownMoment, match="begins later"):
        timeline.at_time(START_MS)
    with pytest.raises(UnknownMoment, match="no record 21") as caught:
        timeline.snapshot(21)
    assert not caught.value.pruned


def test_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timeline of several blocks is the same as one of a single block."""
    updates = _some_updates(60)
    whole = past_of(updates)
    monkeypatch.setattr("crdtsync.history.timeline.BLOCK_CHANGES", 7)
    cut = past_of(updates, folds=9)
    assert len(cut.stored().blocks) > 8
    assert list(cut.timeline.changes()) == list(whole.timeline.changes())
    assert list(cut.timeline.moments()) == list(whole.timeline.moments())
    for sequence in range(61):
        assert cut.update_at(sequence) == whole.update_at(sequence)
        assert cut.snapshot_at(sequence) == whole.snapshot_at(sequence)
    thin = cut.timeline.thinned(lambda sequence, _: sequence % 9 == 0)
    assert [sequence for sequence, _ in thin.moments()] == [9, 18, 27, 36, 45, 54, 60]
    assert cut.timeline.inserted(5, 50) == whole.timeline.inserted(5, 50)
    assert encode_state_vector(cut.timeline.end.clocks) in cut.snapshot_at(60)
