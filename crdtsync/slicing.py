"""Cutting and joining updates: what fits a document now and what waits, small pieces, batches.

Owns the causal order of structs and the writing of updates from struct bytes; it copies structs
as they are and never makes new ones. Works on the update reader's description, so nothing
unchecked comes in. Pieces come in an order in which each can be integrated by itself, they hold
no Skips, and no piece refers to anything that is neither known nor in the piece or before it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from crdtsync.encoding import write_var_uint
from crdtsync.update import SKIP, Scan, Struct

__all__ = ["Slices", "causal_order", "encode_state_vector", "join_updates", "slice_update"]

Range = tuple[int, int, int]


class Slices(NamedTuple):
    """An update, cut."""

    ready: list[bytes]
    """Updates that fit now, each behind the one before."""
    rest: bytes | None
    """What depends on something unknown, as one update (Skips stand for its holes)."""


class _Block:
    """One client's structs, and how far they have been taken."""

    __slots__ = ("next", "structs")

    def __init__(self) -> None:
        self.structs: list[Struct] = []
        self.next = 0


def causal_order(structs: Iterable[Struct], clocks: Mapping[int, int]) -> list[Struct]:
    """Return the structs that can be integrated on top of ``clocks``, in such an order.

    A struct can be when its client's earlier clocks are known and whatever it refers to is.
    Structs that are wholly known already are left out.
    """
    blocks: dict[int, _Block] = {}
    for struct in structs:
        blocks.setdefault(struct.client, _Block()).structs.append(struct)
    return _take_ready(blocks, dict(clocks))


def _take_ready(blocks: dict[int, _Block], known: dict[int, int]) -> list[Struct]:
    """Take what fits, advancing ``known``; a client that waits is looked at again only when
    the client it waits for has advanced, so the work is linear in structs and references."""
    ready: list[Struct] = []
    waiting: dict[int, list[int]] = {}
    work = list(reversed(blocks))
    while work:
        client = work.pop()
        block = blocks[client]
        clock = known.get(client, 0)
        before = clock
        structs = block.structs
        index = block.next
        while index < len(structs):
            struct = structs[index]
            end = struct.clock + struct.length
            if struct.kind != SKIP and end > clock:
                if struct.clock > clock:
                    break
                missing = _missing(struct, known)
                if missing is not None:
                    waiting.setdefault(missing, []).append(client)
                    break
                ready.append(struct)
                clock = known[client] = end
            index += 1
        block.next = index
        if clock > before:
            work.extend(waiting.pop(client, ()))
    return ready


def _missing(struct: Struct, known: Mapping[int, int]) -> int | None:
    for reference in (struct.origin, struct.right, struct.parent):
        if isinstance(reference, tuple) and known.get(reference[0], 0) <= reference[1]:
            return reference[0]
    return None


def slice_update(data: bytes, scan: Scan, clocks: Mapping[int, int], *, max_bytes: int) -> Slices:
    """Cut an update into pieces of about ``max_bytes`` that fit on top of ``clocks``.

    ``scan`` has to come with structs. A single struct is never cut, so a piece may be larger.
    """
    if scan.structs is None:
        raise ValueError("slicing needs a scan with structs")
    blocks: dict[int, _Block] = {}
    for struct in scan.structs:
        blocks.setdefault(struct.client, _Block()).structs.append(struct)
    known = dict(clocks)
    ready = _take_ready(blocks, known)
    pieces: list[list[Struct]] = []
    size = max_bytes
    for struct in ready:
        if size >= max_bytes:
            pieces.append([])
            size = 0
        pieces[-1].append(struct)
        size += struct.end - struct.start

    fits: list[Range] = []
    waits: list[Range] = []
    for client, start, end in scan.deletes:
        border = known.get(client, 0)
        if start < border:
            fits.append((client, start, min(end, border)))
        if end > border:
            waits.append((client, max(start, border), end))

    updates = [_write(data, piece, ()) for piece in pieces[:-1]]
    if pieces or fits:
        updates.append(_write(data, pieces[-1] if pieces else (), fits))
    left = [struct for block in blocks.values() for struct in block.structs[block.next :]]
    while left and left[-1].kind == SKIP:
        left.pop()
    rest = _write(data, left, waits) if left or waits else None
    return Slices(updates, rest)


def _write(data: bytes, structs: Iterable[Struct], deletes: Iterable[Range]) -> bytes:
    """Write an update from structs that lie in ``data``; a client's clocks have no holes."""
    runs: dict[int, list[Struct]] = {}
    for struct in structs:
        runs.setdefault(struct.client, []).append(struct)
    out = [write_var_uint(len(runs))]
    for client, run in sorted(runs.items(), reverse=True):
        out += (write_var_uint(len(run)), write_var_uint(client), write_var_uint(run[0].clock))
        out += [data[struct.start : struct.end] for struct in run]
    out.append(_write_deletes(deletes))
    return b"".join(out)


def _write_deletes(deletes: Iterable[Range]) -> bytes:
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


def join_updates(updates: Sequence[tuple[bytes, Scan]]) -> bytes | None:
    """Join updates that follow one another into one, by their bytes alone; linear.

    Returns ``None`` where one is not of a single client, or they don't follow directly: then
    it takes a CRDT library, in quadratic time. Clients go from the highest id to the lowest,
    because Yjs's own ``mergeUpdates`` relies on it.
    """
    blocks: dict[int, tuple[int, list[bytes]]] = {}  # client: structs, their bytes
    borders: dict[int, tuple[int, int]] = {}  # client: first clock, end clock
    deletes: list[Range] = []
    for update, found in updates:
        ranges = found.ranges
        if ranges:
            if len(ranges) > 1 or found.skips:
                return None
            client, start, end = ranges[0]
            first, last, count = found.body
            border = borders.get(client)
            if border is None:
                borders[client] = (start, end)
                blocks[client] = (count, [update[first:last]])
            elif border[1] == start:
                borders[client] = (border[0], end)
                before, parts = blocks[client]
                parts.append(update[first:last])
                blocks[client] = (before + count, parts)
            else:
                return None
        if found.deletes:
            deletes += found.deletes
    out = [write_var_uint(len(blocks))]
    for client in sorted(blocks, reverse=True):
        count, parts = blocks[client]
        out += (write_var_uint(count), write_var_uint(client), write_var_uint(borders[client][0]))
        out += parts
    out.append(_write_deletes(deletes) if deletes else b"\x00")
    return b"".join(out)


def encode_state_vector(clocks: Mapping[int, int]) -> bytes:
    """Write a state vector: ``{client: next clock}``."""
    return write_var_uint(len(clocks)) + b"".join(
        write_var_uint(client) + write_var_uint(clock) for client, clock in clocks.items()
    )
