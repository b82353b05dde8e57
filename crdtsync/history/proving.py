"""From the log into the history, and the proof that nothing was lost on the way.

Runs in a worker, or in place where there is next to nothing to do. What is proven, by reading
back what is to be written: it has the clocks of the document's new state; its newest moment has
the same content; and what older moments it had are as they were.
"""

from collections.abc import Sequence
from typing import Final

from crdtsync.content import export
from crdtsync.crdt import IntegrationError, Replica
from crdtsync.errors import InvalidUpdate
from crdtsync.guard import NO_WATCH, Watch, Work
from crdtsync.history.model import (
    HistoryDamaged,
    HistoryError,
    LoggedCheckpoint,
    LoggedRecord,
    Stored,
)
from crdtsync.history.past import Past
from crdtsync.history.units import units_of
from crdtsync.idset import IdSet
from crdtsync.limits import Limits, trusting
from crdtsync.structs import Scan
from crdtsync.update import scan

__all__ = ["Unproven", "fold", "same_document", "sample"]

_UNLIMITED: Final = trusting(Limits())


class Unproven(HistoryError):
    """What would be written is not what was there."""


def fold(
    stored: Stored | None,
    checkpoint: LoggedCheckpoint | None,
    records: Sequence[LoggedRecord],
    newest: LoggedCheckpoint,
    verbatim: bool,
    watch: Watch = NO_WATCH,
) -> Stored:
    """Return a history that goes up to a document's new checkpoint, proven.

    ``checkpoint`` and ``records`` are what the store has, ``newest`` is about to take their
    place. A ``verbatim`` document is nothing for the CRDT library. Raises ``HistoryDamaged``
    where what is stored is not sound or the log does not follow on it, ``Unproven``.
    """
    past = Past.open(stored, checkpoint, records)
    if past.timeline.sequence != newest.sequence:
        raise Unproven(
            f"the history ends at {past.timeline.sequence}, the document at {newest.sequence}"
        )
    folded = past.stored()
    again = Past.open(folded)
    found = _scan(newest.state)
    if _clocks(again.found) != _clocks(found):
        raise Unproven("the history has other clocks than the document")
    _prove_same(again.update_at(newest.sequence), newest.state, newest.sequence, verbatim, watch)
    if stored is not None and stored.sequence:
        before = Past.open(stored)
        for sequence in sample(before):
            older, now = before.update_at(sequence), again.update_at(sequence)
            if older != now:
                _prove_same(now, older, sequence, True, watch)
    return folded


def sample(past: Past) -> list[int]:
    """Return some of the moments that are kept: the first, one in the middle, the last."""
    kept = [sequence for sequence, _ in past.timeline.moments()]
    return sorted({kept[0], kept[len(kept) // 2], kept[-1]}) if kept else []


def _prove_same(one: bytes, other: bytes, sequence: int, verbatim: bool, watch: Watch) -> None:
    if not same_document(one, other, verbatim=verbatim, watch=watch):
        raise Unproven(f"the history has another content at {sequence} than the document had")


def same_document(
    one: bytes, other: bytes, *, verbatim: bool = False, watch: Watch = NO_WATCH
) -> bool:
    """Return whether two updates make the same document.

    Of what is deleted only that it is, and where somebody said so: what goes with it, such as
    the children of a deleted type, is up to the CRDT library. Where that is not to be asked,
    two ``verbatim`` updates have to delete the same explicitly.
    """
    first, second = _scan(one), _scan(other)
    if _clocks(first) != _clocks(second):
        return False
    if verbatim:
        gone, too = _deleted(first), _deleted(second)
        same = gone.covers(second.deletes) and too.covers(first.deletes)
        return same and units_of(one, first, gone) == units_of(other, second, gone)
    try:
        left, right = (
            Replica(one, watch, work=Work.PROVING),
            Replica(other, watch, work=Work.PROVING),
        )
        states = left.state(), right.state()
        if states[0] == states[1]:
            return True
        gone, too = _deleted(_scan(states[0])), _deleted(_scan(states[1]))
        if set(gone) != set(too):
            return False
        return export(states[0], watch) == export(states[1], watch)
    except (IntegrationError, InvalidUpdate) as error:
        raise Unproven(f"the history can't be read by the CRDT library: {error}") from None


def _scan(data: bytes) -> Scan:
    try:
        return scan(data, _UNLIMITED, structs=True)
    except InvalidUpdate as error:
        raise HistoryDamaged(f"an update of the history can't be read: {error}") from None


def _clocks(found: Scan) -> dict[int, int]:
    clocks: dict[int, int] = {}
    for client, _, end in found.ranges:
        clocks[client] = max(end, clocks.get(client, 0))
    return clocks


def _deleted(found: Scan) -> IdSet:
    deleted = IdSet()
    deleted.add(found.deletes)
    return deleted
