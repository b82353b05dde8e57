"""From the log into the history, and the proof that nothing was lost on the way.

Runs in a worker, or in place where there is next to nothing to do. What is proven, by reading
back what is to be written: it has the clocks of the document's new state; its newest moment has
the same content; and what older moments it had are as they were. What history leaves out, by
``sieve``, is told here in another way, so that nothing else gets lost by it.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

from crdtsync.channels.names import PRESENCE
from crdtsync.content import RootKind, root_kinds
from crdtsync.crdt import IntegrationError, Replica, read_shown
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
from crdtsync.history.sieve import Sieve, holds_presence
from crdtsync.history.units import units_of
from crdtsync.history.weave import weave
from crdtsync.idset import IdSet
from crdtsync.limits import Limits, trusting
from crdtsync.structs import GC, Range, Scan
from crdtsync.update import scan

__all__ = ["Unproven", "fold", "prove_moments", "same_document", "sample"]

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
    present, sifted = again.update_at(newest.sequence), again.sifted
    _prove_same(present, newest.state, newest.sequence, verbatim, watch, sifted)
    if stored is not None and stored.sequence:
        before = Past.open(stored)
        for sequence in sample(before):
            older, now = before.update_at(sequence), again.update_at(sequence)
            if older != now:
                _prove_same(now, older, sequence, True, watch, sifted)
    return folded


def sample(past: Past) -> list[int]:
    """Return some of the moments that are kept: the first, one in the middle, the last."""
    kept = [sequence for sequence, _ in past.timeline.moments()]
    return sorted({kept[0], kept[len(kept) // 2], kept[-1]}) if kept else []


def prove_moments(before: Past, after: Past, *, verbatim: bool) -> None:
    """Prove that some of the moments that are left of a history are as they were."""
    for sequence in sample(after):
        older, newer = before.update_at(sequence), after.update_at(sequence)
        if older != newer and not same_document(older, newer, verbatim=verbatim):
            raise Unproven(f"moment {sequence} would not be what it was")


def _prove_same(
    one: bytes, other: bytes, sequence: int, verbatim: bool, watch: Watch, sifted: bool
) -> None:
    if sifted and holds_presence(one, _scan(one)):
        raise Unproven(f"the history has presence in it at {sequence}")
    if not same_document(one, other, verbatim=verbatim, sifted=sifted, watch=watch):
        raise Unproven(f"the history has another content at {sequence} than the document had")


def same_document(
    one: bytes,
    other: bytes,
    *,
    verbatim: bool = False,
    sifted: bool = False,
    watch: Watch = NO_WATCH,
) -> bool:
    """Return whether two updates make the same document.

    Of what is deleted only that it is, and where somebody said so: what goes with it, such as
    the children of a deleted type, is up to the CRDT library. Where that is not to be asked,
    two ``verbatim`` updates have to delete the same explicitly. Where the first is ``sifted``,
    presence makes no difference.
    """
    first, second = _scan(one), _scan(other)
    if _clocks(first) != _clocks(second):
        return False
    if verbatim:
        gone, too = _deleted(first), _deleted(second)
        if sifted:
            aside = [*_in_presence(other), *_collected(second)]
            gone.add(aside)
            too.add(aside)
            return set(gone) == set(too) and units_of(one, first, gone) == units_of(
                other, second, too
            )
        same = gone.covers(second.deletes) and too.covers(first.deletes)
        return same and units_of(one, first, gone) == units_of(other, second, gone)
    try:
        if sifted:
            other = _without_presence(Replica(other, watch, work=Work.PROVING).state())
        left, right = (
            Replica(one, watch, work=Work.PROVING),
            Replica(other, watch, work=Work.PROVING),
        )
        states = left.state(), right.state()
        if states[0] == states[1]:
            return True
        gone, too = _deleted(_scan(states[0])), _deleted(_scan(states[1]))
        return set(gone) == set(too) and _shown(states[0], watch) == _shown(states[1], watch)
    except (IntegrationError, InvalidUpdate) as error:
        raise Unproven(f"the history can't be read by the CRDT library: {error}") from None


def _shown(state: bytes, watch: Watch) -> tuple[dict[str, RootKind], list[dict[str, Any]]]:
    """Return all that a state shows; the library writes members of objects in any order."""
    kinds = root_kinds(state)
    return kinds, read_shown([state], kinds, watch)


def _without_presence(state: bytes) -> bytes:
    sieve, aside = Sieve(), IdSet()
    update = sieve.sift(state).update
    aside.add(_in_presence(state))
    if not aside.covers(sieve.ids):
        raise Unproven("more than presence would be left out of the history")
    return update


def _in_presence(update: bytes) -> list[Range]:
    """Return what lies in presence, by the order of all items; what is collected is nowhere."""
    woven = weave(update)
    waiting = [woven.roots[PRESENCE]] if PRESENCE in woven.roots else []
    found: list[Range] = []
    while waiting:
        shared = waiting.pop()
        for item in chain(shared.items, *shared.keys.values()):
            found.append((item.client, item.clock, item.clock + item.length))
            if item.shared is not None:
                waiting.append(item.shared)
    return found


def _scan(data: bytes) -> Scan:
    try:
        return scan(data, _UNLIMITED, structs=True)
    except InvalidUpdate as error:
        raise HistoryDamaged(f"an update of the history can't be read: {error}") from None


def _collected(found: Scan) -> Iterator[Range]:
    for struct in found.structs or ():
        if struct.kind == GC:
            yield struct.client, struct.clock, struct.clock + struct.length


def _clocks(found: Scan) -> dict[int, int]:
    clocks: dict[int, int] = {}
    for client, _, end in found.ranges:
        clocks[client] = max(end, clocks.get(client, 0))
    return clocks


def _deleted(found: Scan) -> IdSet:
    deleted = IdSet()
    deleted.add(found.deletes)
    return deleted
