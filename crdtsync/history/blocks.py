"""One block of a timeline: the snapshot before it, and some thousand changes as columns.

Owns the bytes (``docs/history-format.md``). Where an insertion begins is not written: a client's
clocks follow one another in the order of the log, which has no gaps.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from crdtsync.encoding import read_var_uint, write_var_uint
from crdtsync.history.columns import pack, unpack
from crdtsync.history.model import Change, Snapshot
from crdtsync.idset import IdSet

__all__ = ["BLOCK_CHANGES", "Block", "Columns", "Names", "unzigzag", "write_block"]

BLOCK_CHANGES: Final = 8_192
"""Changes of a full block. A moment's snapshot reads one block, so this bounds what it takes."""
_HEADER: Final = 6
_COLUMNS: Final = 10


class Names:
    """Authors and clients by number."""

    def __init__(self, authors: Sequence[str] = (), clients: Sequence[int] = ()) -> None:
        self.authors = list(authors)
        self.clients = list(clients)
        self._authors = {author: number for number, author in enumerate(self.authors)}
        self._clients = {client: number for number, client in enumerate(self.clients)}

    def author(self, author: str) -> int:
        """Return an author's number; a new one where it has none."""
        number = self._authors.get(author)
        if number is None:
            number = self._authors[author] = len(self.authors)
            self.authors.append(author)
        return number

    def client(self, client: int) -> int:
        """Return a client's number; a new one where it has none."""
        number = self._clients.get(client)
        if number is None:
            number = self._clients[client] = len(self.clients)
            self.clients.append(client)
        return number


class Columns(NamedTuple):
    """The changes of a block: one number each in the first five, and their ranges behind."""

    sequences: "array[int]"
    """The difference to the one before."""
    times: "array[int]"
    """The difference to the one before, which may be negative: zigzag."""
    authors: "array[int]"
    inserted: "array[int]"
    """How many ranges it inserts,"""
    deleted: "array[int]"
    """and deletes."""
    insert_clients: "array[int]"
    insert_lengths: "array[int]"
    delete_clients: "array[int]"
    delete_starts: "array[int]"
    """The difference to the end of the deleted range before, zigzag."""
    delete_lengths: "array[int]"


class Block:
    """Some changes that follow one another; ends where a step ends."""

    __slots__ = (
        "_columns",
        "_snapshot",
        "before",
        "before_ms",
        "count",
        "data",
        "last",
        "max_ms",
        "min_ms",
    )

    def __init__(self, data: bytes) -> None:
        """Take over a block's bytes. Raises ``ValueError`` where they are none."""
        try:
            fields: list[int] = []
            position = 0
            for _ in range(_HEADER):
                value, position = read_var_uint(data, position)
                fields.append(value)
            size, position = read_var_uint(data, position)
        except IndexError:
            raise ValueError("the block is cut off") from None
        self.data = data
        self.count, self.before, self.last, self.before_ms, self.min_ms, self.max_ms = fields
        self._snapshot = (position, position + size)
        self._columns: Columns | None = None

    @property
    def columns(self) -> Columns:
        """The changes."""
        if self._columns is None:
            found = unpack(self.data[self._snapshot[1] :])
            if len(found) != _COLUMNS:
                raise ValueError("the block has other columns")
            columns = Columns(*found)
            rows = {len(column) for column in columns[:5]}
            inserts = {len(column) for column in columns[5:7]}
            deletes = {len(column) for column in columns[7:]}
            if (
                rows != {self.count}
                or inserts != {sum(columns.inserted)}
                or deletes != {sum(columns.deleted)}
            ):
                raise ValueError("the block's columns don't fit together")
            self._columns = columns
        return self._columns

    def snapshot(self, names: Names) -> tuple[dict[int, int], IdSet]:
        """Return clocks and deleted ranges before the block."""
        clocks, counts, gaps, lengths = unpack(self.data[slice(*self._snapshot)])
        clients = names.clients
        deletes = IdSet()
        place = 0
        for number, count in enumerate(counts):
            end = 0
            ranges: list[tuple[int, int]] = []
            for gap, length in zip(
                gaps[place : place + count], lengths[place : place + count], strict=True
            ):
                start = end + gap
                end = start + length
                ranges.append((start, end))
            place += count
            if ranges:
                deletes.unite(clients[number], ranges)
        return {clients[n]: clock for n, clock in enumerate(clocks) if clock}, deletes

    def moments(self) -> Iterator[tuple[int, int, int]]:
        """Iterate over the steps' ends: index behind the last change, sequence, time in ms."""
        columns = self.columns
        sequence, time_ms = self.before, self.before_ms
        known = -1
        for index, (more, later) in enumerate(zip(columns.sequences, columns.times, strict=True)):
            if more and known >= 0:
                yield index, sequence, known
            sequence += more
            time_ms += unzigzag(later)
            known = time_ms
        if known >= 0:
            yield self.count, sequence, known

    def find(self, sequence: int) -> tuple[int, int] | None:
        """Return a step's end, if there is one behind this record: index, time in ms."""
        _, index = self.rows(self.before, sequence)
        columns = self.columns
        if not index or self.before + sum(columns.sequences[:index]) != sequence:
            return None
        return index, self.time_behind(index)

    def time_behind(self, count: int) -> int:
        """Return the time of the last of the first ``count`` changes, in ms."""
        return self.before_ms + sum(map(unzigzag, self.columns.times[:count]))

    def changes(self, names: Names) -> Iterator[Change]:
        """Iterate over the changes, some 2 us each."""
        columns = self.columns
        clocks, _ = self.snapshot(names)
        clients, authors = names.clients, names.authors
        sequence, time_ms, end = self.before, self.before_ms, 0
        insert = delete = 0
        for more, later, author, inserted, deleted in zip(*columns[:5], strict=True):
            sequence += more
            time_ms += unzigzag(later)
            inserts = []
            for place in range(insert, insert + inserted):
                client = clients[columns.insert_clients[place]]
                start = clocks.get(client, 0)
                clocks[client] = start + columns.insert_lengths[place]
                inserts.append((client, start, clocks[client]))
            deletes = []
            for place in range(delete, delete + deleted):
                start = end + unzigzag(columns.delete_starts[place])
                end = start + columns.delete_lengths[place]
                deletes.append((clients[columns.delete_clients[place]], start, end))
            insert += inserted
            delete += deleted
            yield Change(sequence, time_ms, authors[author], tuple(inserts), tuple(deletes))

    def rows(self, after: int, upto: int) -> tuple[int, int]:
        """Return the first change behind sequence ``after``, and the first one behind ``upto``."""
        if after < self.before and upto >= self.last:
            return 0, self.count
        known = list(accumulate(self.columns.sequences, initial=self.before))[1:]
        return bisect_right(known, after), bisect_right(known, upto)

    def advance(self, count: int, names: Names) -> Snapshot:
        """Return the snapshot behind the first ``count`` changes."""
        columns = self.columns
        clocks, deletes = self.snapshot(names)
        clients = names.clients
        inserts = sum(columns.inserted[:count])
        for number, length in zip(
            columns.insert_clients[:inserts], columns.insert_lengths[:inserts], strict=True
        ):
            client = clients[number]
            clocks[client] = clocks.get(client, 0) + length
        end = 0
        gone: dict[int, list[tuple[int, int]]] = {}
        behind = sum(columns.deleted[:count])
        for number, later, length in zip(
            columns.delete_clients[:behind],
            columns.delete_starts[:behind],
            columns.delete_lengths[:behind],
            strict=True,
        ):
            start = end + (-((later + 1) >> 1) if later & 1 else later >> 1)
            end = start + length
            gone.setdefault(number, []).append((start, end))
        for number, ranges in gone.items():
            deletes.unite(clients[number], ranges)
        return Snapshot(clocks, deletes)


def write_block(
    changes: Sequence[Change], before: int, before_ms: int, snapshot: Snapshot, names: Names
) -> Block:
    """Make a block of changes that follow on sequence ``before``, whose snapshot is given."""
    clients = {client: names.client(client) for client, _, _ in _ranges(changes)}
    delete_starts: list[int] = []
    end = 0
    for change in changes:
        for _, start, stop in change.deletes:
            delete_starts.append(_zigzag(start - end))
            end = stop
    inserts = [each for change in changes for each in change.inserts]
    deletes = [each for change in changes for each in change.deletes]
    columns = pack(
        (
            _differences([change.sequence for change in changes], before),
            map(_zigzag, _differences([change.time_ms for change in changes], before_ms)),
            (names.author(change.author) for change in changes),
            (len(change.inserts) for change in changes),
            (len(change.deletes) for change in changes),
            (clients[client] for client, _, _ in inserts),
            (end - start for _, start, end in inserts),
            (clients[client] for client, _, _ in deletes),
            delete_starts,
            (end - start for _, start, end in deletes),
        )
    )
    head = _write_snapshot(snapshot, names)
    times = [change.time_ms for change in changes]
    fields = (
        len(changes),
        before,
        changes[-1].sequence,
        before_ms,
        min(times),
        max(times),
        len(head),
    )
    return Block(b"".join((*map(write_var_uint, fields), head, columns)))


def _write_snapshot(snapshot: Snapshot, names: Names) -> bytes:
    ranges: dict[int, list[tuple[int, int]]] = {}
    for client, start, end in snapshot.deletes:
        ranges.setdefault(names.client(client), []).append((start, end))
    numbers = {names.client(client): clock for client, clock in snapshot.clocks.items()}
    top = max((*numbers, *ranges), default=-1) + 1
    gaps: list[int] = []
    lengths: list[int] = []
    for number in range(top):
        known = 0
        for start, end in ranges.get(number, ()):
            gaps.append(start - known)
            lengths.append(end - start)
            known = end
    return pack(
        (
            (numbers.get(number, 0) for number in range(top)),
            (len(ranges.get(number, ())) for number in range(top)),
            gaps,
            lengths,
        )
    )


def _ranges(changes: Sequence[Change]) -> Iterator[tuple[int, int, int]]:
    for change in changes:
        yield from change.inserts
        yield from change.deletes


def _differences(numbers: Sequence[int], before: int) -> list[int]:
    return [later - earlier for earlier, later in zip((before, *numbers), numbers, strict=False)]


def _zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1


def unzigzag(number: int) -> int:
    """Return the number, which may be negative, that is written as this one."""
    return -((number + 1) >> 1) if number & 1 else number >> 1
