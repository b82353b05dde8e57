"""A document's whole state by its bytes: it grows by updates, and tells what a reader lacks.

Owns where each struct is in it, so that neither takes a look at all of it. Exact, whatever is in
the structs: they are copied, but for one that a reader has in part, which is cut as Yjs cuts it.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence

from crdtsync.encoding import write_var_uint
from crdtsync.joining import join_updates, write_deletes
from crdtsync.limits import Limits
from crdtsync.slicing import cut_struct, missing_from, struct_at, weave_updates
from crdtsync.structs import Layout, Scan
from crdtsync.update import scan

__all__ = ["Whole"]

Part = tuple[bytes, Layout]


class _Places:
    """One client's structs: their clocks, and where they begin behind the first."""

    __slots__ = ("clocks", "offsets", "size")

    def __init__(self) -> None:
        self.clocks = array("I")
        self.offsets = array("Q")
        self.size = 0


class Whole:
    """A whole state."""

    __slots__ = ("_deletes", "_layout", "_limits", "_places", "state")

    def __init__(self, state: bytes, limits: Limits) -> None:
        """Raises ``InvalidUpdate``; ``limits`` are those for stored bytes."""
        self._limits = limits
        self._begin(state)

    def _begin(self, state: bytes) -> None:
        self.state = state
        found = scan(state, self._limits, structs=True)
        self._layout: Layout = Layout(found.ranges, found.bodies, found.deletes, found.skips)
        self._deletes: bytes | None = None
        self._places: dict[int, _Places] = {}
        self._note(found)

    def _note(self, found: Scan) -> None:
        for struct in found.structs or ():
            own = self._places.get(struct.client)
            if own is None:
                own = self._places[struct.client] = _Places()
            own.clocks.append(struct.clock)
            own.offsets.append(own.size)
            own.size += struct.end - struct.start

    def fold(self, parts: Sequence[Part]) -> None:
        """Put in updates that follow one another. Raises ``InvalidUpdate``."""
        joined = join_updates([(self.state, self._layout), *parts])
        if joined is None:
            updates = (self.state, *(update for update, _ in parts))
            self._begin(weave_updates(updates, self._limits)[0])
            return
        for update, _ in parts:
            self._note(scan(update, self._limits, structs=True))
        self.state, self._layout = joined
        self._deletes = None

    def missing(self, has: Mapping[int, int]) -> bytes:
        """Return what a reader who has clocks lacks; every deletion is in it."""
        if self._layout.skips:
            return missing_from(self.state, scan(self.state, self._limits, structs=True), has)
        if self._deletes is None:
            self._deletes = write_deletes(self._layout.deletes)
        blocks = list(self._blocks(has))
        return b"".join((write_var_uint(len(blocks)), *blocks, self._deletes))

    def _blocks(self, has: Mapping[int, int]) -> Iterable[bytes]:
        for (client, start, end), (first, last, count) in zip(
            self._layout.ranges, self._layout.bodies, strict=True
        ):
            known = max(start, has.get(client, 0))
            if known >= end:
                continue
            own = self._places[client]
            index = bisect_right(own.clocks, known) - 1
            begin, clock = first + own.offsets[index], own.clocks[index]
            rest = begin
            cut = b""
            if clock < known:
                following = index + 1
                rest = first + own.offsets[following] if following < count else last
                one, struct = struct_at(self.state, client, clock, begin, rest)
                cut = cut_struct(one, struct, known - clock)
            head = (count - index, client, known)
            yield b"".join((*map(write_var_uint, head), cut, self.state[rest:last]))
