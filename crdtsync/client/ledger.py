"""Which of this client's edits the server has confirmed, by id: never by equal bytes.

Owns two sets of ids, those that were made here and those that came back. A server joins, cuts
and collects updates, so what comes back is matched by client and clocks, and deletions by what
they delete. Where everything has come back both sets begin anew: they stay small.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from crdtsync.idset import IdSet
from crdtsync.structs import Layout, Range

__all__ = ["Ledger", "Owed"]


@dataclass(frozen=True, slots=True)
class Owed:
    """What was not confirmed at some moment."""

    inserts: tuple[Range, ...]
    deletes: tuple[Range, ...]
    epoch: int


class Ledger:
    """What was made here, and what of it is confirmed."""

    __slots__ = ("_confirmed", "_epoch", "_gone", "_made", "_removed")

    def __init__(self) -> None:
        self._made = IdSet()
        self._confirmed = IdSet()
        self._removed = IdSet()  # the deletions that were made
        self._gone = IdSet()  # those that are confirmed
        self._epoch = 0

    def make(self, found: Layout) -> None:
        """Take note of an edit of this client."""
        self._made.add(found.ranges)
        self._removed.add(found.deletes)

    def confirm(self, found: Layout) -> bool:
        """Take note of what the server has; return whether that was of interest."""
        if self.clean:
            return False
        mine = [each for each in found.ranges if self._made.ranges(each[0])[0]]
        if not mine and not (found.deletes and self._removed):
            return False
        self._confirmed.add(mine)
        if self._removed:
            self._gone.add(found.deletes)
        if self._confirmed.covers(self._made) and self._gone.covers(self._removed):
            self._made, self._confirmed = IdSet(), IdSet()
            self._removed, self._gone = IdSet(), IdSet()
            self._epoch += 1
        return True

    @property
    def clean(self) -> bool:
        """Whether everything is confirmed."""
        return not self._made and not self._removed

    def owed(self) -> Owed:
        """Return what is not confirmed now."""
        return Owed(
            tuple(_without(self._made, self._confirmed)),
            tuple(_without(self._removed, self._gone)),
            self._epoch,
        )

    def settled(self, owed: Owed) -> bool:
        """Return whether everything is confirmed that was not at some moment."""
        if owed.epoch < self._epoch:
            return True
        return self._confirmed.covers(owed.inserts) and self._gone.covers(owed.deletes)

    def claimed(self, clocks: Mapping[int, int]) -> dict[int, int]:
        """Return the clocks without what is not confirmed: who is told them sends that back."""
        claimed = dict(clocks)
        for client, start, _ in _without(self._made, self._confirmed):
            claimed[client] = min(claimed.get(client, start), start)
        return {client: clock for client, clock in claimed.items() if clock}


def _without(some: IdSet, others: IdSet) -> list[Range]:
    return [
        (client, start, end)
        for client, first, last in some
        for start, end in others.missing(client, first, last)
    ]
