"""Sets of ids, as sorted ranges of clocks per client: what a document has deleted.

Kept in flat arrays of machine integers, 16 bytes a range, some hundred ranges each, so that one
more costs about the same wherever it comes: a real paper of 259,778 edits has some ten thousand.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["IdSet"]

CHUNK_RANGES: Final = 1024
"""A chunk of more is cut in two."""
UNITE_RANGES: Final = 256
"""So many are sorted in at once, if the set is not much larger."""
_ONE: Final = [0]
"""Shared by all that have one chunk: it is never changed."""


class _Ranges:
    """Disjoint, sorted half-open ranges that never touch."""

    __slots__ = ("_chunks", "_firsts")

    def __init__(self) -> None:
        self._chunks = [(array("Q"), array("Q"))]  # starts and ends; none is empty but the only one
        self._firsts = _ONE  # each chunk's first start, but the first's

    def __len__(self) -> int:
        return sum(len(starts) for starts, _ in self._chunks)

    def _at(self, clock: int) -> int:
        """Return the index of the chunk that a clock is in, or is to go into."""
        return bisect_right(self._firsts, clock, 1) - 1

    def covers(self, start: int, end: int) -> bool:
        starts, ends = self._chunks[self._at(start)]
        index = bisect_right(starts, start) - 1
        return index >= 0 and ends[index] >= end

    def missing(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        for starts, ends in self._chunks[self._at(start) :]:
            index = bisect_right(ends, start)  # the first range that ends behind start
            while start < end and index < len(starts) and starts[index] < end:
                if start < starts[index]:
                    yield start, starts[index]
                start = ends[index]
                index += 1
            if start >= end or index < len(starts):
                break
        if start < end:
            yield start, end

    def add(self, start: int, end: int) -> bool:
        """Add a range; return whether that changed anything."""
        at = self._at(start)
        starts, ends = self._chunks[at]
        if at + 1 < len(self._firsts) and end >= self._firsts[at + 1]:
            if self.covers(start, end):
                return False
            end = self._absorb(at + 1, end)
        if not starts or start > ends[-1]:
            starts.append(start)
            ends.append(end)
        else:
            first = bisect_left(ends, start)  # the first range that reaches to or behind start
            last = bisect_right(starts, end)  # the first range that begins behind end
            if first == last:
                starts.insert(first, start)
                ends.insert(first, end)
            else:
                known, border = starts[first], ends[last - 1]
                if last - first == 1 and known <= start and end <= border:
                    return False
                starts[first] = min(start, known)
                ends[first] = max(end, border)
                if last - first > 1:
                    del starts[first + 1 : last]
                    del ends[first + 1 : last]
        if len(starts) > CHUNK_RANGES:
            self._split(at)
        return True

    def _absorb(self, at: int, end: int) -> int:
        """Take out, from chunk ``at`` on, what begins up to ``end``; return how far it goes."""
        while at < len(self._chunks) and self._firsts[at] <= end:
            starts, ends = self._chunks[at]
            last = bisect_right(starts, end)
            end = max(end, ends[last - 1])
            if last < len(starts):
                del starts[:last]
                del ends[:last]
                self._firsts[at] = starts[0]
                break
            del self._chunks[at]
            del self._firsts[at]
        return end

    def _split(self, at: int) -> None:
        starts, ends = self._chunks[at]
        half = len(starts) // 2
        if self._firsts is _ONE:
            self._firsts = [0]
        self._chunks.insert(at + 1, (starts[half:], ends[half:]))
        self._firsts.insert(at + 1, starts[half])
        del starts[half:]
        del ends[half:]

    def unite(self, pieces: list[tuple[int, int]]) -> None:
        """Add many ranges at once."""
        pieces += self
        pieces.sort()
        starts: list[int] = []
        ends: list[int] = []
        border = -1
        for start, end in pieces:
            if start > border:
                starts.append(start)
                ends.append(end)
                border = end
            elif end > border:
                ends[-1] = border = end
        step = CHUNK_RANGES // 2
        cuts = range(0, len(starts), step) or range(1)
        self._chunks = [
            (array("Q", starts[cut : cut + step]), array("Q", ends[cut : cut + step]))
            for cut in cuts
        ]
        self._firsts = [0, *(starts[cut] for cut in cuts[1:])]

    def columns(self) -> tuple[list[int], list[int]]:
        all_starts: list[int] = []
        all_ends: list[int] = []
        for starts, ends in self._chunks:
            all_starts += starts.tolist()
            all_ends += ends.tolist()
        return all_starts, all_ends

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for starts, ends in self._chunks:
            yield from zip(starts, ends, strict=True)


class IdSet:
    """A set of ``(client, clock)`` ids."""

    __slots__ = ("_clients",)

    def __init__(self) -> None:
        self._clients: dict[int, _Ranges] = {}

    def covers(self, ranges: Iterable[tuple[int, int, int]]) -> bool:
        """Return whether every ``(client, start, end)`` lies in the set."""
        for client, start, end in ranges:
            own = self._clients.get(client)
            if own is None or not own.covers(start, end):
                return False
        return True

    def has(self, client: int, clock: int) -> bool:
        """Return whether one id lies in the set."""
        own = self._clients.get(client)
        return own is not None and own.covers(clock, clock + 1)

    def missing(self, client: int, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Iterate over the parts of a range that are not in the set."""
        own = self._clients.get(client)
        return iter(((start, end),)) if own is None else own.missing(start, end)

    def common(self, client: int, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Iterate over the parts of a range that are in the set."""
        for first, last in self.missing(client, start, end):
            if start < first:
                yield start, first
            start = last
        if start < end:
            yield start, end

    def ranges(self, client: int) -> tuple[list[int], list[int]]:
        """Return where a client's ranges start and end, in order."""
        own = self._clients.get(client)
        return ([], []) if own is None else own.columns()

    def add(self, ranges: Iterable[tuple[int, int, int]]) -> None:
        """Put every ``(client, start, end)`` into the set."""
        if not isinstance(ranges, tuple | list):
            ranges = list(ranges)
        if len(ranges) <= UNITE_RANGES:
            for client, start, end in ranges:
                self.insert(client, start, end)
            return
        clients: dict[int, list[tuple[int, int]]] = {}
        for client, start, end in ranges:
            clients.setdefault(client, []).append((start, end))
        for client, pieces in clients.items():
            if len(pieces) > UNITE_RANGES and 8 * len(pieces) > len(self._clients.get(client, ())):
                self.unite(client, pieces)
            else:
                for start, end in pieces:
                    self.insert(client, start, end)

    def insert(self, client: int, start: int, end: int) -> bool:
        """Put one range into the set; return whether that changed anything."""
        own = self._clients.get(client)
        if own is None:
            own = self._clients[client] = _Ranges()
        return own.add(start, end)

    def unite(self, client: int, ranges: list[tuple[int, int]]) -> None:
        """Put many ranges of one client into the set, which takes them over: 0.5 us each."""
        own = self._clients.get(client)
        if own is None:
            own = self._clients[client] = _Ranges()
        own.unite(ranges)

    def __bool__(self) -> bool:
        return bool(self._clients)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        for client, own in self._clients.items():
            for start, end in own:
                yield client, start, end
