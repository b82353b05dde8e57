"""Joining updates that follow one another, by their bytes alone; deletions, read and written.

Owns what an update looks like around its structs. Knows no structs: it is handed their bytes.
"""

from collections.abc import Iterable, Mapping, Sequence

from crdtsync.encoding import read_var_uint, write_var_uint
from crdtsync.errors import InvalidUpdate
from crdtsync.limits import Limits
from crdtsync.structs import MAX_CLOCK, Layout, Range

__all__ = ["Block", "assemble", "join_updates", "read_deletes", "write_deletes"]

Block = tuple[int, int, int, list[bytes]]
"""One client's structs: first clock, end clock, their number, their bytes."""
Joinable = tuple[bytes, Layout] | tuple[bytes, Layout, object]


def read_deletes(data: bytes, position: int, limits: Limits) -> tuple[tuple[Range, ...], int]:
    """Read the deleted ranges that an update ends with; return them with the next position."""
    clients, position = read_var_uint(data, position)
    if clients > limits.max_update_clients:
        raise InvalidUpdate("the update names too many clients", kind="update-clients")
    ranges: list[Range] = []
    total = 0
    seen: set[int] = set()
    for _ in range(clients):
        client, position = read_var_uint(data, position)
        if client in seen:
            raise InvalidUpdate("a client stands in the update's deletes twice")
        seen.add(client)
        count, position = read_var_uint(data, position)
        if not count:
            raise InvalidUpdate("a client of the update's deletes has no ranges")
        total += count
        if total > limits.max_update_structs:
            raise InvalidUpdate("the update deletes too many ranges", kind="update-structs")
        for _ in range(count):
            clock = data[position]
            position += 1
            if clock >= 0x80:
                clock, position = read_var_uint(data, position - 1)
            length = data[position]
            position += 1
            if length >= 0x80:
                length, position = read_var_uint(data, position - 1)
            if not length:
                raise InvalidUpdate("a deleted range has no length", kind="update-zero-length")
            end = clock + length
            if end > MAX_CLOCK:
                raise InvalidUpdate("a clock of the update is above 2^31", kind="update-clock")
            ranges.append((client, clock, end))
    return tuple(ranges), position


def write_deletes(deletes: Iterable[Range]) -> bytes:
    """Write deleted ranges, united, as an update ends with them."""
    clients: dict[int, list[bytes]] = {}
    for client, start, end in _united(deletes):
        clients.setdefault(client, []).append(write_var_uint(start) + write_var_uint(end - start))
    out = [write_var_uint(len(clients))]
    for client, ranges in sorted(clients.items(), reverse=True):
        out += (write_var_uint(client), write_var_uint(len(ranges)), *ranges)
    return b"".join(out)


def _united(deletes: Iterable[Range]) -> list[Range]:
    """Sort ranges and unite those that touch."""
    united: list[Range] = []
    for client, start, end in sorted(deletes):
        if united and united[-1][0] == client and start <= united[-1][2]:
            if end > united[-1][2]:
                united[-1] = (client, united[-1][1], end)
        else:
            united.append((client, start, end))
    return united


def join_updates(updates: Sequence[Joinable]) -> tuple[bytes, Layout] | None:
    """Join updates that follow one another into one, by their bytes alone; linear and exact.

    Of each element only the first two items count: the update and its layout. Returns ``None``
    where some clocks overlap or leave a hole: then ``weave_updates`` is for it, or they stay
    apart. Clients go from the highest id to the lowest, because Yjs's own ``mergeUpdates``
    relies on it.
    """
    if len(updates) == 1:
        return updates[0][0], updates[0][1]
    blocks: dict[int, Block] = {}
    deletes: list[Range] = []
    # Of the client of the last update, whose block is written back when another one's turn comes:
    current = -1
    begin = border = total = 0
    parts: list[bytes] = []
    for each in updates:
        update, found = each[0], each[1]
        if found.deletes:
            deletes += found.deletes
        if found.skips:
            return None
        for (client, start, end), (first, last, count) in zip(
            found.ranges, found.bodies, strict=True
        ):
            if client != current:
                if parts:
                    blocks[current] = (begin, border, total, parts)
                current = client
                begin, border, total, parts = blocks.get(client, (start, start, 0, []))
            if start != border:
                return None
            parts.append(update[first:last])
            total += count
            border = end
    if parts:
        blocks[current] = (begin, border, total, parts)
    return assemble(blocks, deletes)


def assemble(blocks: Mapping[int, Block], deletes: Iterable[Range]) -> tuple[bytes, Layout]:
    """Write an update from each client's structs, which have no holes."""
    out = bytearray(write_var_uint(len(blocks)))
    ranges: list[Range] = []
    bodies: list[Range] = []
    for client in sorted(blocks, reverse=True):
        start, end, count, parts = blocks[client]
        out += write_var_uint(count) + write_var_uint(client) + write_var_uint(start)
        begin = len(out)
        out += b"".join(parts)
        ranges.append((client, start, end))
        bodies.append((begin, len(out), count))
    united = _united(deletes)
    out += write_deletes(united)
    return bytes(out), Layout(tuple(ranges), tuple(bodies), tuple(united))
