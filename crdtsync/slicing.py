"""Cutting updates: what fits a document now and what waits, small pieces.

Owns the causal order of structs and the writing of updates from struct bytes; it copies structs
as they are, but for one that is known in part, which is cut as Yjs cuts it. Works on the update
reader's description, so nothing unchecked comes in. Pieces come in an order in which each can
be integrated by itself, they hold no Skips, and no piece refers to anything that is neither
known nor in the piece or before it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from crdtsync.encoding import (
    read_var_bytes,
    read_var_string,
    read_var_uint,
    write_var_string,
    write_var_uint,
)
from crdtsync.errors import InvalidUpdate
from crdtsync.joining import Block, assemble, write_deletes
from crdtsync.limits import Limits, trusting
from crdtsync.structs import (
    DELETED,
    GC,
    HAS_ORIGIN,
    SKIP,
    STRING,
    Layout,
    Scan,
    Struct,
)
from crdtsync.update import scan
from crdtsync.values import skip_any

__all__ = [
    "Slices",
    "borders_of",
    "causal_order",
    "content_offset",
    "cut_struct",
    "missing_from",
    "new_part",
    "part_deletes",
    "slice_new",
    "slice_update",
    "struct_at",
    "weave_updates",
]

_UNLIMITED: Final = trusting(Limits())

Id = tuple[int, int]
Range = tuple[int, int, int]


class Slices(NamedTuple):
    """An update, cut."""

    ready: list[bytes]
    """Updates that fit now, each behind the one before."""
    rest: bytes | None
    """What depends on something unknown, as one update (Skips stand for its holes)."""
    waits_for: Id | None
    """Where there is a rest: an id without which nothing more of it fits."""


class _Queue:
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
    blocks: dict[int, _Queue] = {}
    for struct in structs:
        block = blocks.get(struct.client)
        if block is None:
            block = blocks[struct.client] = _Queue()
        block.structs.append(struct)
    return _take_ready(blocks, dict(clocks))[0]


def _take_ready(blocks: dict[int, _Queue], known: dict[int, int]) -> tuple[list[Struct], Id | None]:
    """Take what fits, advancing ``known``; return it, and an id that the rest waits for.

    A client that waits is looked at again only when the client it waits for has advanced, so
    the work is linear in structs and references.
    """
    ready: list[Struct] = []
    missing: Id | None = None
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
                    missing = (client, struct.clock - 1)
                    break
                lacks = _missing(struct, known)
                if lacks is not None:
                    missing = lacks
                    waiting.setdefault(lacks[0], []).append(client)
                    break
                ready.append(struct)
                clock = known[client] = end
            index += 1
        block.next = index
        if clock > before:
            work.extend(waiting.pop(client, ()))
    if missing is not None and known.get(missing[0], 0) > missing[1]:
        # It came while others were taken: some client that still waits has another reason.
        missing = next(
            (
                (client, block.structs[block.next].clock - 1)
                if block.structs[block.next].clock > known.get(client, 0)
                else _missing(block.structs[block.next], known)
                for client, block in blocks.items()
                if block.next < len(block.structs)
            ),
            None,
        )
    return ready, missing


def _missing(struct: Struct, known: Mapping[int, int]) -> Id | None:
    origin, right, parent = struct.origin, struct.right, struct.parent
    if origin is not None and known.get(origin[0], 0) <= origin[1]:
        return origin
    if right is not None and known.get(right[0], 0) <= right[1]:
        return right
    if isinstance(parent, tuple) and known.get(parent[0], 0) <= parent[1]:
        return parent
    return None


def slice_update(
    data: bytes,
    scan: Scan,
    clocks: Mapping[int, int],
    *,
    max_bytes: int,
) -> Slices:
    """Cut an update into pieces of about ``max_bytes`` that fit on top of ``clocks``.

    ``scan`` has to come with structs. A single struct is never cut, so a piece may be larger.
    """
    if scan.structs is None:
        raise ValueError("slicing needs a scan with structs")
    blocks: dict[int, _Queue] = {}
    for struct in scan.structs:
        blocks.setdefault(struct.client, _Queue()).structs.append(struct)
    known = dict(clocks)
    ready, missing = _take_ready(blocks, known)
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

    left = [struct for block in blocks.values() for struct in block.structs[block.next :]]
    while left and left[-1].kind == SKIP:
        left.pop()
    if missing is None and waits:
        missing = (waits[0][0], waits[0][1])
    fits, replaced = part_deletes(fits, left, ready)
    waits += replaced
    updates = [_write(data, piece, ()) for piece in pieces[:-1]]
    if pieces or fits:
        updates.append(_write(data, pieces[-1] if pieces else (), fits))
    rest = _write(data, left, waits) if left or waits else None
    return Slices(updates, rest, missing)


def slice_new(
    data: bytes,
    found: Scan,
    clocks: Mapping[int, int],
    limits: Limits,
) -> Slices:
    """Cut what of an update a document at ``clocks`` lacks; see ``slice_update``."""
    if any(start < clocks.get(client, 0) for client, start, _ in found.ranges):
        data = missing_from(data, found, clocks)
        found = scan(data, trusting(limits), structs=True)
    most = limits.max_message_bytes
    return slice_update(data, found, clocks, max_bytes=most)


def part_deletes(
    deletes: list[Range], left: Iterable[Struct], ready: Iterable[Struct] = ()
) -> tuple[list[Range], list[Range]]:
    """Part what may go now from values of keys whose next value is ``left`` behind.

    A key that was set would seem to be deleted otherwise, until its value comes. Where several
    values under it are ``ready`` they can only come deleted.
    """
    clocks: dict[int, list[int]] = {}
    for struct in left:
        if struct.keyed and struct.origin is not None:
            clocks.setdefault(struct.origin[0], []).append(struct.origin[1])
    if not clocks:
        return deletes, []
    several = {(each.client, each.clock + each.length - 1) for each in ready if each.length > 1}
    for client, own in clocks.items():
        clocks[client] = sorted(each for each in own if (client, each) not in several)
    now: list[Range] = []
    later: list[Range] = []
    for client, start, end in deletes:
        own = clocks.get(client, [])
        for clock in own[bisect_left(own, start) : bisect_left(own, end)]:
            if start <= clock:
                if start < clock:
                    now.append((client, start, clock))
                later.append((client, clock, clock + 1))
                start = clock + 1
        if start < end:
            now.append((client, start, end))
    return now, later


def _write(data: bytes, structs: Iterable[Struct], deletes: Iterable[Range]) -> bytes:
    """Write an update from structs that lie in ``data``; a client's clocks have no holes."""
    runs: dict[int, list[Struct]] = {}
    for struct in structs:
        runs.setdefault(struct.client, []).append(struct)
    out = [write_var_uint(len(runs))]
    for client, run in sorted(runs.items(), reverse=True):
        out += (write_var_uint(len(run)), write_var_uint(client), write_var_uint(run[0].clock))
        out += [data[struct.start : struct.end] for struct in run]
    out.append(write_deletes(deletes))
    return b"".join(out)


def weave_updates(updates: Iterable[bytes], limits: Limits) -> tuple[bytes, Layout]:
    """Make one update of some that follow one another but may overlap; exact.

    Goes struct by struct, some 10 us each. Raises ``InvalidUpdate`` where there is a hole.
    """
    blocks: dict[int, Block] = {}
    deletes: list[Range] = []
    for update in updates:
        found = scan(update, limits, structs=True)
        for struct in found.structs or ():
            end = struct.clock + struct.length
            start, known, count, parts = blocks.get(
                struct.client, (struct.clock, struct.clock, 0, [])
            )
            if end <= known or struct.kind == SKIP:
                continue
            if struct.clock > known:
                raise InvalidUpdate("the updates don't follow one another")
            parts.append(cut_struct(update, struct, known - struct.clock))
            blocks[struct.client] = (start, end, count + 1, parts)
        deletes += found.deletes
    return assemble(blocks, deletes)


def missing_from(update: bytes, found: Scan, clocks: Mapping[int, int]) -> bytes:
    """Return what a document at ``clocks`` lacks of an update; every deletion is in it.

    ``found`` has to come with structs.
    """
    blocks: dict[int, Block] = {}
    for struct in found.structs or ():
        known = clocks.get(struct.client, 0)
        end = struct.clock + struct.length
        if end > known:
            offset = max(0, known - struct.clock)
            start, _, count, parts = blocks.get(struct.client, (struct.clock + offset, 0, 0, []))
            parts.append(cut_struct(update, struct, offset))
            blocks[struct.client] = (start, end, count + 1, parts)
    return assemble(blocks, found.deletes)[0]


def new_part(struct: Struct, clocks: Mapping[int, int]) -> Struct:
    """Return what of a struct is not known: it stands behind its known part, as Yjs cuts it."""
    known = clocks.get(struct.client, 0)
    if struct.clock >= known:
        return struct
    return struct._replace(
        clock=known,
        length=struct.clock + struct.length - known,
        origin=(struct.client, known - 1),
        parent=None,
        key=None,
        keyed=False,
    )


def borders_of(found: Scan, clocks: Mapping[int, int]) -> set[Id]:
    """Return the ids that an update, scanned with structs, cuts what is there in front of."""
    borders = {(client, border) for client, *ends in found.deletes for border in ends}
    # Where an update overlaps what is known, the border between the two cuts it.
    borders |= {(client, clocks.get(client, 0)) for client, _, _ in found.ranges}
    for struct in found.structs or ():
        borders.add((struct.client, struct.clock))
        if struct.origin is not None:
            borders.add((struct.origin[0], struct.origin[1] + 1))
        if struct.right is not None:
            borders.add(struct.right)
    return borders


def struct_at(data: bytes, client: int, clock: int, start: int, end: int) -> tuple[bytes, Struct]:
    """Read one struct of a checked update; return an update of it alone, and it as read there."""
    head = b"\x01\x01" + write_var_uint(client) + write_var_uint(clock)
    one = head + data[start:end] + b"\x00"
    structs = scan(one, _UNLIMITED, structs=True).structs
    assert structs is not None
    return one, structs[0]


def cut_struct(data: bytes, struct: Struct, offset: int) -> bytes:
    """Return a struct's bytes without its first ``offset`` clocks, as Yjs writes them.

    What is left stands behind what is gone (Yjs, ``Item.write`` and ``splice``).
    """
    if not offset:
        return data[struct.start : struct.end]
    left = struct.length - offset
    if struct.kind in (GC, SKIP):
        return bytes((struct.kind,)) + write_var_uint(left)
    position = content_offset(data, struct)
    out = bytes((data[struct.start] | HAS_ORIGIN,))
    out += write_var_uint(struct.client) + write_var_uint(struct.clock + offset - 1)
    if struct.right is not None:
        out += write_var_uint(struct.right[0]) + write_var_uint(struct.right[1])
    if struct.kind == DELETED:
        return out + write_var_uint(left)
    if struct.kind == STRING:
        units = read_var_bytes(data, position)[0].decode().encode("utf-16-le")[2 * offset :]
        text = units.decode("utf-16-le", "surrogatepass")
        if "\udc00" <= text[0] <= "\udfff":
            text = "\ufffd" + text[1:]  # half a pair
        return out + write_var_string(text)
    # Several values: the only other kind that is longer than one.
    _, position = read_var_uint(data, position)
    for _ in range(offset):
        position = skip_any(data, position)
    return out + write_var_uint(left) + data[position : struct.end]


def content_offset(data: bytes, struct: Struct) -> int:
    """Return where a struct's content begins."""
    position = struct.start + 1
    for _ in range((struct.origin is not None) + (struct.right is not None)):
        _, position = read_var_uint(data, position)
        _, position = read_var_uint(data, position)
    if isinstance(struct.parent, str):
        _, position = read_var_string(data, position + 1)
    elif struct.parent is not None:
        _, position = read_var_uint(data, position + 1)
        _, position = read_var_uint(data, position)
    if struct.key is not None:
        _, position = read_var_string(data, position)
    return position
