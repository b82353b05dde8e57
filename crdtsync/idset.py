"""Sets of ids, as sorted ranges of clocks per client: what a document has deleted.

Kept in flat arrays of machine integers, 16 bytes a range: a real paper of 259,778 edits has
some ten thousand.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

__all__ = ["IdSet"]


class _Ranges:
    """Disjoint, sorted half-open ranges that never touch."""

    __slots__ = ("ends", "starts")

    def __init__(self) -> None:
        self.starts = array("Q")
        self.ends = array("Q")

    def covers(self, start: int, end: int) -> bool:
        index = bisect_right(self.starts, start) - 1
        return index >= 0 and self.ends[index] >= end

    def missing(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        index = bisect_right(self.ends, start)  # the first range that ends behind start
        while start < end and index < len(self.starts) and self.starts[index] < end:
            if start < self.starts[index]:
                yield start, self.starts[index]
            start = self.ends[index]
            index += 1
        if start < end:
            yield start, end

    def add(self, start: int, end: int) -> bool:
        """Add a range; return whether that changed anything."""
        starts, ends = self.starts, self.ends
        if not starts or start > ends[-1]:
            starts.append(start)
            ends.append(end)
            return True
        first = bisect_left(ends, start)  # the first range that reaches to or behind start
        last = bisect_right(starts, end)  # the first range that begins behind end
        if first == last:
            starts.insert(first, start)
            ends.insert(first, end)
            return True
        known, border = starts[first], ends[last - 1]
        if last - first == 1 and known <= start and end <= border:
            return False
        starts[first] = min(start, known)
        ends[first] = max(end, border)
        if last - first > 1:
            del starts[first + 1 : last]
            del ends[first + 1 : last]
        return True

    def unite(self, pieces: list[tuple[int, int]]) -> None:
        """Add many ranges at once."""
        pieces += zip(self.starts, self.ends, strict=True)
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
        self.starts = array("Q", starts)
        self.ends = array("Q", ends)


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

    def ranges(self, client: int) -> tuple[list[int], list[int]]:
        """Return where a client's ranges start and end, in order."""
        own = self._clients.get(client)
        return ([], []) if own is None else (own.starts.tolist(), own.ends.tolist())

    def add(self, ranges: Iterable[tuple[int, int, int]]) -> None:
        """Put every ``(client, start, end)`` into the set."""
        for client, start, end in ranges:
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
            for start, end in zip(own.starts, own.ends, strict=True):
                yield client, start, end
