"""Where a document's items are: in which root, and there under which top-level key.

Owns the index from ids to places that rules about content need. Invariants:

- A place is a root's name and, of a map (or an element with attributes), the key directly below
  the root. What is nested anywhere below inherits the place.
- Each client's clocks come one after the other, without a hole; a run of neighbours in one place
  takes one entry of 8 bytes, so typing takes none.
- What was collected before the index was made has no place any more: nothing there can be seen.

Kept only for documents that somebody with such rules writes to. Knows neither roles nor rules.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, Protocol

from crdtsync.encoding import read_var_uint
from crdtsync.structs import GC, HAS_ORIGIN, HAS_RIGHT, Id, Scan, Struct

__all__ = ["COLLECTED", "UNKNOWN", "At", "Place", "PlaceIndex", "Placement", "Run"]

UNKNOWN: Final = -1
"""The number of a place that can't be told: the id is not here."""
COLLECTED: Final = 0
"""The number of no place: what is collected, and what lies in it."""


class Place(NamedTuple):
    """A part of a document."""

    root: str
    key: str | None
    """Of a map: the key directly below the root."""


class Placement(NamedTuple):
    """The place of a run of one client's clocks."""

    client: int
    start: int
    end: int
    number: int


Run = tuple[int, int, int, int]
"""The same, where it has to be quick."""


class At(Protocol):
    """What tells the number of an id's place."""

    def at(self, client: int, clock: int) -> int:
        """Return the number, ``UNKNOWN`` where the id is not known."""
        ...


class _Runs:
    """One client's places: where each run starts, which it is, and where the last one ends."""

    __slots__ = ("end", "numbers", "starts")

    def __init__(self) -> None:
        self.starts = array("I")
        self.numbers = array("I")
        self.end = 0


class _Fresh:
    """The places of one client's new items, on top of those that are known."""

    __slots__ = ("_client", "_index", "_start", "numbers", "starts")

    def __init__(self, index: "PlaceIndex", client: int, start: int) -> None:
        self._index = index
        self._client = client
        self._start = start
        self.starts: list[int] = []
        self.numbers: list[int] = []

    def at(self, client: int, clock: int) -> int:
        if client == self._client and clock >= self._start:
            return self.numbers[bisect_right(self.starts, clock) - 1]
        return self._index.at(client, clock)


class PlaceIndex:
    """The place of every item of one document."""

    __slots__ = (
        "_clients",
        "_first",
        "_numbers",
        "_places",
        "_slots",
        "_tops",
        "_values",
        "single",
    )

    def __init__(self, *, values: bool = False) -> None:
        """Begin with an empty document; with ``values``, tell which keys have one."""
        self._clients: dict[int, _Runs] = {}
        self._places: list[Place | None] = [None]
        self._tops: list[int] = [COLLECTED]  # the place that children of an item there are in
        self._numbers: dict[tuple[str, str | None], int] = {}
        self._slots: dict[tuple[Id | str, str], int] | None = {} if values else None
        self._values: dict[int, list[Id]] = {}  # by slot
        self._first = UNKNOWN  # the place that came first
        self.single = False
        """Whether all that is here is in one place."""

    @property
    def values(self) -> bool:
        """Whether it tells which keys have a value."""
        return self._slots is not None

    @property
    def runs(self) -> int:
        """The number of its entries."""
        return sum(len(runs.starts) for runs in self._clients.values())

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        named = sum(60 + len(place.root) + len(place.key or "") for place in self._places if place)
        return 8 * self.runs + 300 * len(self._clients) + 200 * len(self._places) + named

    def name(self, number: int) -> Place | None:
        """Return a place by its number; ``None`` for what is collected."""
        return self._places[number]

    def is_key(self, number: int) -> bool:
        """Return whether a number stands for one key of one map: only where values are told."""
        return self._tops[number] != number

    def values_at(self, number: int) -> list[Id]:
        """Return the items under a key, replaced and deleted ones included."""
        return self._values.get(number, [])

    def end(self, client: int) -> int:
        """Return the next clock of a client."""
        runs = self._clients.get(client)
        return 0 if runs is None else runs.end

    def at(self, client: int, clock: int) -> int:
        """Return the number of an id's place, ``UNKNOWN`` where the id is not here."""
        runs = self._clients.get(client)
        if runs is None or clock >= runs.end:
            return UNKNOWN
        return runs.numbers[bisect_right(runs.starts, clock) - 1]

    def clocks(self, found: Scan) -> dict[int, int]:
        """Return the next clocks of all clients that an update has to do with."""
        clocks = {client: self.end(client) for client, _, _ in found.ranges}
        for client in found.needs:
            clocks[client] = self.end(client)
        return clocks

    def place_item(self, update: bytes, found: Scan) -> Run | None:
        """Return the place of an update's only item, where that is easily told; else ``None``.

        So it is with what people type, and with a key that had a value: one item that stands
        beside others. 1 us.
        """
        ranges = found.ranges
        if len(ranges) != 1 or found.parents or found.roots or found.skips:
            return None
        if found.keys and self._slots is not None:
            return None
        client, start, end = ranges[0]
        first, _, count = found.bodies[0]
        if count != 1:
            return None
        runs = self._clients.get(client)
        if start != (0 if runs is None else runs.end):
            return None
        origin: Id | None = None
        right: Id | None = None
        if found.structs is not None:
            struct = found.structs[0]
            origin, right = struct.origin, struct.right
        else:
            info = update[first]
            position = first + 1
            if info & HAS_ORIGIN:
                other, position = read_var_uint(update, position)
                clock, position = read_var_uint(update, position)
                origin = (other, clock)
            if info & HAS_RIGHT:
                other, position = read_var_uint(update, position)
                clock, position = read_var_uint(update, position)
                right = (other, clock)
        number = UNKNOWN
        if origin is not None:
            if runs is not None and origin[1] == start - 1 and origin[0] == client:
                number = runs.numbers[-1]
            else:
                number = self.at(*origin)
            if number <= COLLECTED:
                return None
        if right is not None:
            behind = self.at(*right)
            if number == UNKNOWN:
                number = behind
            elif number != behind:
                return None
        return (client, start, end, number) if number > COLLECTED else None

    def extend(self, client: int, start: int, end: int) -> bool:
        """Take over the next clocks of a known client in a ``single`` index, like ``put``."""
        runs = self._clients.get(client)
        if runs is None or runs.end != start:
            return False
        runs.end = end
        return True

    def place_run(self, found: Scan) -> list[Run] | None:
        """Return the places of one client's new items; ``None`` where that takes a closer look.

        ``found`` comes with structs. Places that have no name yet get one (see ``mark``).
        """
        if len(found.ranges) != 1 or found.skips or found.structs is None:
            return None
        client, start, _ = found.ranges[0]
        if start != self.end(client):
            return None
        fresh = _Fresh(self, client, start)
        slots = self._slots
        placed: list[Run] = []
        last = begin = end = UNKNOWN
        for struct in found.structs:
            parent = struct.parent
            if slots is None and type(parent) is tuple:
                number = fresh.at(parent[0], parent[1])
            else:
                number, other = self.find(struct, fresh)
                if number != other:
                    return None
            if number <= COLLECTED or struct.kind == GC:
                return None
            clock = struct.clock
            if number != last or slots is not None:  # a key's values are told one by one
                if end > 0:
                    placed.append((client, begin, end, last))
                fresh.starts.append(clock)
                fresh.numbers.append(number)
                last, begin = number, clock
            end = clock + struct.length
        placed.append((client, begin, end, last))
        return placed

    def over(self, client: int, start: int, end: int) -> int:
        """Return the number of the one place of a range, ``UNKNOWN`` where there are several."""
        runs = self._clients.get(client)
        if runs is None or end > runs.end:
            return UNKNOWN
        index = bisect_right(runs.starts, start)
        if index < len(runs.starts) and runs.starts[index] < end:
            return UNKNOWN
        return runs.numbers[index - 1]

    def within(self, client: int, start: int, end: int) -> Iterator[Placement]:
        """Iterate over the places in a range of clocks; what is not here is ``UNKNOWN``."""
        runs = self._clients.get(client)
        if runs is not None and start < runs.end:
            index = bisect_right(runs.starts, start) - 1
            while start < end and start < runs.end:
                later = index + 1
                border = runs.starts[later] if later < len(runs.starts) else runs.end
                border = min(border, end)
                yield Placement(client, start, border, runs.numbers[index])
                start = border
                index = later
        if start < end:
            yield Placement(client, start, end, UNKNOWN)

    def find(self, struct: Struct, known: At) -> tuple[int, int]:
        """Return the number of a struct's place, and that of its right neighbour's or the same.

        The two differ only in what no Yjs client writes, where libraries disagree.
        """
        if struct.kind == GC:
            return COLLECTED, COLLECTED
        parent = struct.parent
        if parent is None:
            origin, right = struct.origin, struct.right
            left = COLLECTED if origin is None else known.at(*origin)
            behind = left if right is None else known.at(*right)
            if UNKNOWN in (left, behind):
                return UNKNOWN, UNKNOWN
            return left or behind, behind or left
        if isinstance(parent, str):
            top = self._number(parent, struct.key)
        else:
            above = known.at(*parent)
            if above in (UNKNOWN, COLLECTED):
                return above, above
            top = self._tops[above]
        if struct.key is not None and self._slots is not None:
            slot = self._slots.get((parent, struct.key))
            if slot is None:
                slot = self._slots[parent, struct.key] = self._make(self._places[top])
                self._tops[slot] = top
            top = slot
        return top, top

    def _number(self, root: str, key: str | None) -> int:
        number = self._numbers.get((root, key))
        if number is None:
            number = self._numbers[root, key] = self._make(Place(root, key))
        return number

    def _make(self, place: Place | None) -> int:
        self._places.append(place)
        self._tops.append(len(self._tops))
        return len(self._tops) - 1

    def mark(self) -> int:
        """Return what ``forget`` takes to lose the places that are named from here on."""
        return len(self._places)

    def forget(self, mark: int) -> None:
        """Lose the names of places that nothing came to: who is refused leaves none behind."""
        named: tuple[dict[Any, int], ...] = (self._numbers, self._slots or {})
        for numbers in named:
            while numbers and next(reversed(numbers.values())) >= mark:
                numbers.popitem()
        del self._places[mark:], self._tops[mark:]

    def put(self, placement: Run) -> bool:
        """Take over where the next clocks of a client are; return whether they follow."""
        client, start, end, number = placement
        runs = self._clients.get(client)
        if runs is None:
            runs = self._clients[client] = _Runs()
        if start != runs.end or number == UNKNOWN:
            return False
        runs.end = end
        if number != self._first:
            self.single = self._first == UNKNOWN and number != COLLECTED
            self._first = number
        if not runs.numbers or runs.numbers[-1] != number:
            runs.starts.append(start)
            runs.numbers.append(number)
        if self._slots is not None and self._tops[number] != number:
            self._values.setdefault(number, []).append((client, start))
        return True
