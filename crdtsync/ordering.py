"""The order in which an update of several clients can be let in, at a few bytes a struct.

Owns which runs of one client's structs go behind which of another's. Of each struct only its place
and its clock are kept, and what of others it refers to: a description of each takes 600 bytes.
"""

from array import array
from collections.abc import Iterator, Mapping
from heapq import heappop, heappush

from crdtsync.encoding import read_var_uint, write_var_uint
from crdtsync.joining import Block, assemble
from crdtsync.limits import Limits, trusting
from crdtsync.slicing import cut_struct, new_part
from crdtsync.structs import SKIP, Scan
from crdtsync.update import scan

__all__ = ["Ordered", "pieces_of"]

_UNLIMITED = trusting(Limits())


def pieces_of(update: bytes, found: Scan) -> Iterator[tuple[int, bytes, int]]:
    """Cut an update's structs where its reader made marks, and where another client's begin.

    Of each piece its client, it as an update, and what to add to an offset in it for the place in
    the whole.
    """
    marks = iter((*found.marks, (0, len(update), 0)))
    mark = next(marks)
    _, position = read_var_uint(update, 0)
    for _, last, left in found.bodies:
        _, position = read_var_uint(update, position)
        client, position = read_var_uint(update, position)
        clock, start = read_var_uint(update, position)
        while left:
            next_clock, position, next_left = mark if mark[1] < last else (0, last, 0)
            if next_left:
                mark = next(marks)
            head = b"".join(map(write_var_uint, (1, left - next_left, client, clock)))
            yield client, head + update[start:position] + b"\x00", start - len(head)
            clock, start, left = next_clock, position, next_left


class _Line:
    """One client's structs that are not known, in their order, up to a hole."""

    __slots__ = (
        "_hole", "_known", "_lost", "clocks", "head", "next", "places", "tie", "ties", "until",
        "who",
    )  # fmt: skip

    def __init__(self, known: int) -> None:
        self._known = known
        self._hole = self._lost = False
        self.places = array("Q")
        """Where each begins; and where the last one ends."""
        self.clocks = array("Q")
        self.ties = array("Q")
        """Those that refer to what is not known and another client's: which of them,"""
        self.who = array("Q")
        """the other client,"""
        self.until = array("Q")
        """and the clock."""
        self.head: bytes | None = None
        """What of the first is not known, where some of it is."""
        self.next = self.tie = 0

    def add(self, piece: bytes, offset: int, clocks: Mapping[int, int]) -> None:
        """Go on with these structs."""
        known = self._known
        for struct in scan(piece, _UNLIMITED, structs=True).structs or ():
            end = struct.clock + struct.length
            if end <= known:
                continue
            if struct.kind == SKIP or self._hole or (struct.clock > known and not self.places):
                self._hole = True
                self._lost |= struct.kind != SKIP
                continue
            if struct.clock < known:
                self.head = cut_struct(piece, struct, known - struct.clock)
                struct = new_part(struct, clocks)
            if self.places:
                del self.places[-1], self.clocks[-1]
            index = len(self.places)
            self.places.extend((offset + struct.start, offset + struct.end))
            self.clocks.extend((struct.clock, end))
            for id in (struct.origin, struct.right, struct.parent):
                if (
                    isinstance(id, tuple)
                    and id[0] != struct.client
                    and clocks.get(id[0], 0) <= id[1]
                ):
                    self.ties.append(index)
                    self.who.append(id[0])
                    self.until.append(id[1])

    @property
    def size(self) -> int:
        """How many there are."""
        return max(0, len(self.places) - 1)

    @property
    def left(self) -> bool:
        """Whether not all can be let in."""
        return self._lost or self.next < self.size

    def advance(self, known: Mapping[int, int]) -> int:
        """Return how far it can be let in; ``tie`` is what the next one waits for, if anything."""
        ties, tie = self.ties, self.tie
        while tie < len(ties) and known.get(self.who[tie], 0) > self.until[tie]:
            tie += 1
        self.tie = tie
        return ties[tie] if tie < len(ties) else self.size


class Ordered:
    """An update's structs, those that a document lacks, in an order in which they can be let in."""

    __slots__ = ("_lines", "_runs", "_update", "left")

    def __init__(self, update: bytes, found: Scan, clocks: Mapping[int, int]) -> None:
        """Find it out for a document at ``clocks``; takes some 5 us a struct."""
        self._update = update
        self._lines = lines = {each[0]: _Line(clocks.get(each[0], 0)) for each in found.ranges}
        for client, piece, offset in pieces_of(update, found):
            if client in lines:  # there is more of it than a hole
                lines[client].add(piece, offset, clocks)
        self._runs = array("Q")
        """Of each run of structs: the client, the first, the one behind the last."""
        known = dict(clocks)
        waiting: dict[int, list[tuple[int, int]]] = {}
        work = list(reversed(lines))
        while work:
            client = work.pop()
            line = lines[client]
            begin, end = line.next, line.advance(known)
            if end < line.size:
                heappush(waiting.setdefault(line.who[line.tie], []), (line.until[line.tie], client))
            if begin == end:
                continue
            self._runs.extend((client, begin, end))
            line.next, known[client] = end, line.clocks[end]
            heap = waiting.get(client, [])
            while heap and heap[0][0] < known[client]:
                work.append(heappop(heap)[1])
        self.left = any(line.left for line in lines.values())
        """Whether something is left out, because it lacks something."""

    def pieces(self, max_structs: int) -> Iterator[bytes]:
        """Write updates of so many structs, each to be let in behind the one before."""
        blocks: dict[int, Block] = {}
        room, runs = max_structs, self._runs
        for at in range(0, len(runs), 3):
            client, begin, end = runs[at : at + 3]
            line = self._lines[client]
            while begin < end:
                stop = min(end, begin + room)
                start, _, count, parts = blocks.get(client, (line.clocks[begin], 0, 0, []))
                parts += self._bytes(line, begin, stop)
                blocks[client] = (start, line.clocks[stop], count + stop - begin, parts)
                room -= stop - begin
                begin = stop
                if not room:
                    yield assemble(blocks, ())[0]
                    blocks, room = {}, max_structs
        if blocks:
            yield assemble(blocks, ())[0]

    def _bytes(self, line: _Line, begin: int, end: int) -> Iterator[bytes]:
        if not begin and line.head is not None:
            yield line.head
            begin = 1
        yield self._update[line.places[begin] : line.places[end]]
