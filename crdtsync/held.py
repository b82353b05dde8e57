"""Updates that wait for something missing, until it comes.

Owns their bounds, and which clock each of their parts waits for: each client's structs go on from
where they stopped, so what comes costs what it lets in, however much waits. What is too much is
dropped: its sender is asked for what is missing, and brings both.
"""

from array import array
from collections.abc import Iterable, Mapping
from enum import Enum
from heapq import heappop, heappush
from itertools import count, groupby
from typing import Final, Protocol

from crdtsync.encoding import write_var_uint
from crdtsync.idset import IdSet
from crdtsync.joining import write_deletes
from crdtsync.limits import Limits, trusting
from crdtsync.slicing import cut_struct, new_part, part_deletes, struct_at
from crdtsync.structs import SKIP, Id, Range, Scan, Struct
from crdtsync.update import scan

__all__ = ["Following", "Held", "Judging", "Part", "Verdict"]

PARTS: Final = 64
"""So many parts, one for each client, are held for each update that may be."""

_UNLIMITED: Final = trusting(Limits())


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


class Part:
    """What waits of one update and one client, in order; and how far it has been taken."""

    __slots__ = ("client", "source", "update", "waits_for")

    def __init__(self, update: bytes, source: object, client: int, waits_for: Id) -> None:
        self.update = update
        self.source = source
        self.client = client
        self.waits_for: Id | None = waits_for
        """An id without which nothing more of it fits; ``None``: nothing is left."""

    def take(self, clocks: Mapping[int, int]) -> bytes | None:
        """Return an update of what fits on ``clocks`` now, if anything; go on behind it."""
        raise NotImplementedError


class _Structs(Part):
    """Structs, read again one by one: only where they are is kept of them."""

    __slots__ = ("_at", "_clock", "_places", "_tied")

    def __init__(self, update: bytes, source: object, structs: list[Struct]) -> None:
        client, clock = structs[0].client, structs[0].clock
        super().__init__(update, source, client, (client, clock - 1))
        self._places = array("Q", [struct.start for struct in structs])
        self._places.append(structs[-1].end)
        self._at = 0
        self._clock = clock  # of the one at this place
        self._tied: dict[int, list[Range]] = {}

    def tie(self, index: int, deletes: Range) -> None:
        """Let a deletion in with a struct, and not before it."""
        self._tied.setdefault(index, []).append(deletes)

    def take(self, clocks: Mapping[int, int]) -> bytes | None:
        """Return an update of what fits on ``clocks`` now, if anything; go on behind it."""
        begin = known = clocks.get(self.client, 0)
        taken: list[bytes] = []
        deletes: list[Range] = []
        self.waits_for = None
        while self._at < len(self._places) - 1:
            start, end = self._places[self._at : self._at + 2]
            one, struct = struct_at(self.update, self.client, self._clock, start, end)
            end = struct.clock + struct.length
            if struct.kind != SKIP and end > known:
                if struct.clock > known:
                    self.waits_for = self.client, struct.clock - 1
                    break
                self.waits_for = self._lacks(new_part(struct, {self.client: known}), clocks)
                if self.waits_for is not None:
                    break
                taken.append(cut_struct(one, struct, known - struct.clock))
                known = end
            deletes += self._tied.pop(self._at, ())
            self._at += 1
            self._clock = end
        if not taken:
            return b"\x00" + write_deletes(deletes) if deletes else None
        head = (1, len(taken), self.client, begin)
        return b"".join((*map(write_var_uint, head), *taken, write_deletes(deletes)))

    def _lacks(self, struct: Struct, clocks: Mapping[int, int]) -> Id | None:
        """Return an id of another client that a struct refers to, and that is not known."""
        for id in (struct.origin, struct.right, struct.parent):
            if isinstance(id, tuple) and id[0] != self.client and clocks.get(id[0], 0) <= id[1]:
                return id
        return None


class _Deletes(Part):
    """Deleted ranges."""

    __slots__ = ("_at", "_ends", "_starts")

    def __init__(self, update: bytes, source: object, ranges: list[Range]) -> None:
        ranges.sort()
        super().__init__(update, source, ranges[0][0], ranges[0][:2])
        self._starts = array("Q", [start for _, start, _ in ranges])
        self._ends = array("Q", [end for _, _, end in ranges])
        self._at = 0

    def take(self, clocks: Mapping[int, int]) -> bytes | None:
        """Return an update of what fits on ``clocks`` now, if anything; go on behind it."""
        known = clocks.get(self.client, 0)
        taken: list[Range] = []
        self.waits_for = None
        while self._at < len(self._starts):
            start, end = self._starts[self._at], self._ends[self._at]
            if start < known:
                taken.append((self.client, start, min(end, known)))
            if end > known:
                self._starts[self._at] = start = max(start, known)
                self.waits_for = self.client, start
                break
            self._at += 1
        return b"\x00" + write_deletes(taken) if taken else None


def _parts_of(update: bytes, source: object) -> list[Part]:
    found = scan(update, _UNLIMITED, structs=True)
    structs = found.structs or []
    parts: list[Part] = []
    keyed: dict[Id, tuple[_Structs, int]] = {}
    deleted = IdSet()
    deleted.add(found.deletes)
    for _, run in groupby(structs, lambda struct: struct.client):
        own = list(run)
        part = _Structs(update, source, own)
        parts.append(part)
        for index, struct in enumerate(own):
            if struct.keyed and struct.origin is not None:
                keyed[struct.origin] = part, index
            whole = (struct.client, struct.clock, struct.clock + struct.length)
            if struct.keyed and struct.length > 1 and deleted.covers((whole,)):
                part.tie(index, whole)  # several values may only come deleted
    # What deletes the value of a key goes with the next value: it would seem to be deleted else.
    free, tied = part_deletes(list(found.deletes), structs, structs)
    for each in tied:
        part, index = keyed[each[:2]]
        part.tie(index, each)
    free.sort()
    parts += (
        _Deletes(update, source, list(ranges)) for _, ranges in groupby(free, lambda each: each[0])
    )
    return parts


class Held:
    """The held updates of one document."""

    __slots__ = ("_count", "_limits", "_parts", "_size", "_waiting", "dropped", "wholes")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.wholes: dict[bytes, int] = {}
        """Of each held update: how many parts are left of it."""
        self._parts = 0
        self._size = 0
        self._count = count()
        self._waiting: dict[int, list[tuple[int, int, Part]]] = {}  # client: heap by clock
        self.dropped = False
        """Whether something was too much to be held: it has to be asked for."""

    def put(self, update: bytes, source: object) -> list[int]:
        """Hold an update until what it lacks is known; return of which clients some is due."""
        limits = self._limits
        if (
            len(self.wholes) >= limits.max_held_updates
            or self._size + len(update) > limits.max_held_bytes
            or update in self.wholes
        ):
            self.dropped = True
            return []
        parts = _parts_of(update, source)
        if self._parts + len(parts) > limits.max_held_updates * PARTS:
            self.dropped = True
            return []
        self.wholes[update] = len(parts)
        self._parts += len(parts)
        self._size += len(update)
        for part in parts:
            self.put_back(part)
        return [part.client for part in parts]

    def put_back(self, part: Part) -> None:
        """Hold what is left of a part."""
        if part.waits_for is None:
            self.drop(part)
            return
        client, clock = part.waits_for
        heappush(self._waiting.setdefault(client, []), (clock, next(self._count), part))

    def drop(self, part: Part) -> None:
        """Forget a part that was taken wholly, or may not enter."""
        self._parts -= 1
        self.wholes[part.update] -= 1
        if not self.wholes[part.update]:
            del self.wholes[part.update]
            self._size -= len(part.update)

    def take_due(self, clients: Iterable[int], clocks: Mapping[int, int]) -> list[Part]:
        """Return the parts whose wait for one of some clients has ended.

        They are for ``put_back`` or ``drop``.
        """
        due: list[Part] = []
        for client in clients:
            heap = self._waiting.get(client)
            if heap is None:
                continue
            known = clocks.get(client, 0)
            while heap and heap[0][0] < known:
                due.append(heappop(heap)[2])
            if not heap:
                del self._waiting[client]
        return due
