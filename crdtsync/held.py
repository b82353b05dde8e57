"""Updates that wait for something missing, until it comes.

Owns their bounds, and which clock each one waits for. What is too much is dropped: its sender is
asked for what is missing, and brings both.
"""

from collections.abc import Mapping
from enum import Enum
from heapq import heappop, heappush
from typing import Protocol

from crdtsync.limits import Limits
from crdtsync.structs import Scan

__all__ = ["Following", "Held", "Judging", "Verdict"]


class Verdict(Enum):
    """What ``Document.admit`` found."""

    NEW = "new"
    """It fits: commit it."""
    KNOWN = "known"
    """It brings nothing (beyond what ``take_ready`` has): drop it."""
    AHEAD = "ahead"
    """Some of it lacks something: ask the sender again. ``take_ready`` has what fits."""


class Judging(Protocol):
    """Who wants to know each update that is let in, and to decide on parts that had to wait."""

    def lets_in(self, piece: bytes, found: Scan, source: object) -> bool:
        """Return whether a part of a source's update may enter, now that it fits."""
        ...

    def note(self, update: bytes, found: Scan) -> None:
        """Take note of an update that is let in; the document's clocks are not yet behind it."""
        ...


class Following(Protocol):
    """Who keeps account of a document's keys."""

    def note(self, update: bytes, found: Scan, clocks: Mapping[int, int], source: object) -> None:
        """Take note of an update that is let in, scanned with structs, on top of ``clocks``."""
        ...


class Held:
    """The held updates of one document."""

    __slots__ = ("_limits", "_size", "_waiting", "dropped", "sources")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.sources: dict[bytes, object] = {}
        """Of each held update: whoever sent it."""
        self._size = 0
        self._waiting: dict[int, list[tuple[int, bytes]]] = {}  # client: heap of (clock, update)
        self.dropped = False
        """Whether something was too much to be held: it has to be asked for."""

    def put(self, update: bytes, waits_for: tuple[int, int], source: object) -> None:
        """Hold an update until ``waits_for``, a client and its clock, is known."""
        if (
            len(self.sources) >= self._limits.max_held_updates
            or self._size + len(update) > self._limits.max_held_bytes
            or update in self.sources
        ):
            self.dropped = True
            return
        self.sources[update] = source
        self._size += len(update)
        client, clock = waits_for
        heappush(self._waiting.setdefault(client, []), (clock, update))

    def take_due(self, clocks: Mapping[int, int]) -> list[tuple[bytes, object]]:
        """Return the updates, with their sources, whose wait has ended; they are not held now."""
        due: list[bytes] = []
        for client in list(self._waiting):
            heap = self._waiting[client]
            while heap and heap[0][0] < clocks.get(client, 0):
                due.append(heappop(heap)[1])
            if not heap:
                del self._waiting[client]
        self._size -= sum(len(update) for update in due)
        return [(update, self.sources.pop(update)) for update in due]
