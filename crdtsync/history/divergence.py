"""Where a history and a store's document part: one of the two was put back to an older copy.

Pure. The history may be ahead of the document, or have a future that the document never had, of
which a later one has taken the place. Told by what both have of a record, its time and what it
inserted, and by a checkpoint's clocks and deletions. What lies before the first difference is
the document's own, so a history can be cut back to that; what lies behind is another future's.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from crdtsync.errors import InvalidUpdate
from crdtsync.history.cutting import cut_update
from crdtsync.history.log import LogCheckpoint, LogRecord
from crdtsync.history.model import HistoryDamaged, Snapshot, Stored, Version, VersionKind
from crdtsync.history.past import Past
from crdtsync.history.proving import prove_moments
from crdtsync.history.timeline import Timeline
from crdtsync.idset import IdSet
from crdtsync.limits import Limits, trusting
from crdtsync.update import scan

__all__ = ["Common", "Dated", "common", "cut_back", "ends_alike"]

_UNLIMITED: Final = trusting(Limits())


class Dated(NamedTuple):
    """A version, as far as it matters for which future it is of."""

    id: int
    sequence: int
    time_ms: int
    kind: VersionKind

    @classmethod
    def of(cls, versions: Iterable[Version]) -> "list[Dated]":
        """Return this of some versions."""
        return [cls(each.id, each.sequence, each.time_ms, each.kind) for each in versions]


class Common(NamedTuple):
    """What a history and a document have in common."""

    sequence: int
    """The history's last moment that is the document's, too; 0 where none is."""
    strangers: frozenset[int]
    """The ids of versions that are of no state which the document had."""


def ends_alike(stored: Stored, sequence: int, time_ms: int) -> bool:
    """Return whether a history ends with a document's last record: there is no other such."""
    if stored.sequence != sequence or not sequence:
        return False
    return Timeline(stored.head, stored.blocks).time_of(sequence) == time_ms


def common(
    stored: Stored,
    versions: Sequence[Dated],
    checkpoint: LogCheckpoint | None,
    records: Sequence[LogRecord],
    last: int,
) -> Common:
    """Return what a history and its versions have in common with what a store holds.

    ``last`` is the document's last sequence; ``records`` are all that the log has. Raises
    ``HistoryDamaged``.
    """
    timeline = Timeline(stored.head, stored.blocks)
    kept = dict(timeline.moments())
    sequence = _common(timeline, kept, checkpoint, records, last)
    behind = [each for each in versions if each.sequence > sequence]
    parted = sequence + 1 if sequence < timeline.sequence else last + 1
    times = {each.sequence: each.time_ms for each in records}
    return Common(sequence, frozenset(_strangers(behind, parted, last, times, kept)))


def _strangers(
    versions: Sequence[Dated],
    parted: int,
    last: int,
    times: Mapping[int, int],
    kept: Mapping[int, int],
) -> Iterator[int]:
    """Yield which of the versions behind what both have in common are of the other future.

    ``parted`` is where that is known to have begun, ``times`` are those of the log's records, and
    ``kept`` those of the history's moments.
    """
    automatic: list[Dated] = []
    for each in versions:
        own_ms = times.get(each.sequence)
        if each.sequence > last:
            yield each.id
        elif each.kind == "auto":
            automatic.append(each)
        # One that somebody made has the very time of the record that it is of.
        elif (
            own_ms != each.time_ms
            if own_ms is not None
            else kept.get(each.sequence) == each.time_ms
        ):
            parted = min(parted, each.sequence)
            yield each.id
    for each in automatic:
        own_ms = times.get(each.sequence)
        if each.sequence < parted:
            continue  # the server looks later, and by a clock that may have been set back
        if each.time_ms < own_ms if own_ms is not None else each.sequence in kept:
            yield each.id


def _common(
    timeline: Timeline,
    kept: Mapping[int, int],
    checkpoint: LogCheckpoint | None,
    records: Sequence[LogRecord],
    last: int,
) -> int:
    moments = list(kept)
    base = 0
    if checkpoint is not None:
        place = bisect_right(moments, checkpoint.sequence)
        base = _before(timeline, moments[:place], checkpoint)
        if base != (moments[place - 1] if place else 0):
            return base
        if place < len(moments) and base != checkpoint.sequence:
            # Moments were let go of, so that the next one is the first that has it all.
            behind = timeline.snapshot(moments[place]).clocks
            state = _scan(checkpoint.state)
            if any(end > behind.get(client, 0) for client, end in state.clocks.items()):
                return base
    border = bisect_right(moments, min(timeline.sequence, last))
    steps = moments[bisect_right(moments, base) : border]
    return _along(timeline, kept, base, steps, checkpoint, records)


class _State(NamedTuple):
    """What a checkpoint has."""

    clocks: dict[int, int]
    deletes: IdSet


def _scan(data: bytes) -> _State:
    try:
        found = scan(data, _UNLIMITED)
    except InvalidUpdate as error:
        raise HistoryDamaged(f"the checkpoint can't be read: {error}") from None
    clocks: dict[int, int] = {}
    for client, _, end in found.ranges:
        clocks[client] = max(end, clocks.get(client, 0))
    deletes = IdSet()
    deletes.add(found.deletes)
    deletes.add(found.voids or ())
    return _State(clocks, deletes)


def _before(timeline: Timeline, moments: Sequence[int], checkpoint: LogCheckpoint) -> int:
    """Return the last one of some moments up to a checkpoint that led to it; 0 where none did."""
    state = _scan(checkpoint.state)

    def apart(sequence: int) -> bool:
        snapshot = timeline.snapshot(sequence)
        if sequence == checkpoint.sequence and _plain(snapshot.clocks) != state.clocks:
            return True
        return not _within(snapshot, state)

    if moments and not apart(moments[-1]):
        return moments[-1]
    place = bisect_left(moments, True, key=apart)  # what is there once stays there
    return moments[place - 1] if place else 0


def _plain(clocks: Mapping[int, int]) -> dict[int, int]:
    return {client: end for client, end in clocks.items() if end}


def _within(snapshot: Snapshot, state: _State) -> bool:
    """Return whether a state has all that a moment had, and has deleted what that had deleted."""
    clocks = snapshot.clocks
    if any(end > state.clocks.get(client, 0) for client, end in clocks.items()):
        return False
    return state.deletes.covers(
        (client, start, min(end, clocks[client]))
        for client, start, end in snapshot.deletes
        if start < clocks.get(client, 0)
    )


def _along(
    timeline: Timeline,
    kept: Mapping[int, int],
    base: int,
    steps: Sequence[int],
    checkpoint: LogCheckpoint | None,
    records: Sequence[LogRecord],
) -> int:
    """Return the last one of the steps behind ``base`` that the log has, too."""
    if not steps:
        return base
    clocks = dict(timeline.snapshot(base).clocks)
    known = dict(clocks)
    if checkpoint is not None and checkpoint.sequence > base:
        known.update(_scan(checkpoint.state).clocks)
    changes = iter(timeline.changes(base, steps[-1]))
    change = next(changes, None)
    place = 0
    common = base
    for step in steps:
        while change is not None and change.sequence <= step:
            clocks.update((client, end) for client, _, end in change.inserts)
            change = next(changes, None)
        record = None
        while place < len(records) and records[place].sequence <= step:
            record = records[place]
            _take(known, record)
            place += 1
        if record is None or record.sequence != step:
            return common
        if record.time_ms != kept[step] or _plain(clocks) != _plain(known):
            return common
        common = step
    return common


def _take(clocks: dict[int, int], record: LogRecord) -> None:
    try:
        found = scan(record.update, _UNLIMITED)
    except InvalidUpdate as error:
        raise HistoryDamaged(f"record {record.sequence} can't be read: {error}") from None
    for client, _, end in found.ranges:
        clocks[client] = max(end, clocks.get(client, 0))


def cut_back(stored: Stored, sequence: int) -> Stored:
    """Return a history that ends with one of its moments, proven; an empty one at 0."""
    if not sequence:
        return Stored(0)
    past = Past.open(stored)
    clocks = past.timeline.snapshot(sequence).clocks
    structs = cut_update(past.structs, past.found, Snapshot(clocks, IdSet()))
    new = Past(past.timeline.until(sequence), structs).stored()
    prove_moments(past, Past.open(new), verbatim=True)
    return new
