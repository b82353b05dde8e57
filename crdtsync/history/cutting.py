"""A document as it was: everything ever inserted, cut at a moment's clocks.

Works on the updates' bytes alone: exact, and linear in the number of structs.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TypeVar

from crdtsync.encoding import (
    read_var_bytes,
    read_var_uint,
    write_var_string,
    write_var_uint,
)
from crdtsync.history.model import HistoryDamaged, Snapshot
from crdtsync.joining import assemble, join_updates, write_deletes
from crdtsync.limits import Limits
from crdtsync.slicing import content_offset, weave_updates
from crdtsync.state_vector import encode_state_vector
from crdtsync.structs import ANY, DELETED, GC, SKIP, STRING, Layout, Scan, Struct
from crdtsync.update import scan
from crdtsync.values import skip_any

__all__ = ["appended", "compacted", "cut_update", "encode_snapshot", "head_of", "joined"]

T = TypeVar("T")


def cut_update(data: bytes, found: Scan, snapshot: Snapshot) -> bytes:
    """Return the update that makes a moment's document.

    ``data`` inserts everything; ``found`` has to come with structs. Raises ``HistoryDamaged``
    where the moment has more than there is.
    """
    runs = _runs(found)
    blocks: dict[int, tuple[int, int, int, list[bytes]]] = {}
    for (client, start, end), (first, last, count) in zip(found.ranges, found.bodies, strict=True):
        border = snapshot.clocks.get(client, 0)
        if border <= start:
            continue
        if border >= end:
            blocks[client] = (start, end, count, [data[first:last]])
            continue
        run = runs[client]
        place = bisect_left(run, border, key=lambda struct: struct.clock + struct.length)
        struct = run[place]
        parts = [data[first : struct.start], head_of(data, struct, border - struct.clock)]
        blocks[client] = (start, border, place + 1, parts)
    for client, border in snapshot.clocks.items():
        if border and (client not in blocks or blocks[client][1] != border):
            raise HistoryDamaged(f"what client {client} inserted is not all there")
    return assemble(blocks, snapshot.deletes)[0]


def _runs(found: Scan) -> dict[int, list[Struct]]:
    runs: dict[int, list[Struct]] = {}
    for struct in found.structs or ():
        runs.setdefault(struct.client, []).append(struct)
    return runs


def head_of(data: bytes, struct: Struct, length: int) -> bytes:
    """Return a struct's bytes with its first ``length`` clocks only (Yjs, ``splitItem``)."""
    if length == struct.length:
        return data[struct.start : struct.end]
    if struct.kind in (GC, SKIP):
        return bytes((struct.kind,)) + write_var_uint(length)
    position = content_offset(data, struct)
    head = data[struct.start : position]
    if struct.kind == DELETED:
        return head + write_var_uint(length)
    if struct.kind == STRING:
        units = read_var_bytes(data, position)[0].decode().encode("utf-16-le")[: 2 * length]
        text = units.decode("utf-16-le", "surrogatepass")
        if "\ud800" <= text[-1] <= "\udbff":
            text = text[:-1] + "\ufffd"  # half a pair
        return head + write_var_string(text)
    _, start = read_var_uint(data, position)
    end = start
    for _ in range(length):
        end = skip_any(data, end)
    return head + write_var_uint(length) + data[start:end]


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Write a snapshot as Yjs does (``encodeSnapshot``): the deletions, then the state vector."""
    clocks = {client: clock for client, clock in sorted(snapshot.clocks.items()) if clock}
    return write_deletes(snapshot.deletes) + encode_state_vector(clocks)


def joined(updates: Sequence[tuple[bytes, Scan]], limits: Limits) -> bytes:
    """Join updates that follow one another into one that deletes nothing."""
    parts = [(data, Layout(found.ranges, found.bodies, (), found.skips)) for data, found in updates]
    known = join_updates(parts)
    if known is None:
        known = weave_updates([_undeleting(*part) for part in parts], limits)
    elif len(parts) == 1:
        return _undeleting(*parts[0])
    return known[0]


def _undeleting(data: bytes, layout: Layout) -> bytes:
    end = max((last for _, last, _ in layout.bodies), default=1)
    return data[:end] + b"\x00"


def appended(
    data: bytes, found: Scan, updates: Sequence[tuple[bytes, Scan]], limits: Limits
) -> tuple[bytes, Scan] | None:
    """Return an update that deletes nothing with others behind its structs, and its scan.

    ``found`` comes with structs, and all of that stays as it was. ``None`` where it can't:
    some client was there before, as when people go on typing.
    """
    known = {client for client, _, _ in found.ranges}
    if any(client in known for _, layout in updates for client, _, _ in layout.ranges):
        return None
    more = joined(updates, limits)
    new = scan(more, limits, structs=True)
    head = write_var_uint(len(found.bodies) + len(new.bodies))
    before, skipped = (len(write_var_uint(len(each.bodies))) for each in (found, new))
    if len(head) != before or found.skips or new.skips:
        return None
    shift = len(data) - 1 - skipped
    structs = [
        each._replace(start=each.start + shift, end=each.end + shift) for each in new.structs or ()
    ]
    needs = dict(new.needs)
    for client, clock in found.needs.items():
        needs[client] = max(clock, needs.get(client, 0))
    return head + data[before:-1] + more[skipped:-1] + b"\x00", Scan(
        ranges=found.ranges + new.ranges,
        bodies=found.bodies
        + tuple((first + shift, last + shift, count) for first, last, count in new.bodies),
        deletes=(),
        skips=False,
        needs=needs,
        roots=found.roots | new.roots,
        types=found.types or new.types,
        parents=_both(found.parents, new.parents),
        keys=found.keys or new.keys,
        pairs=_both(found.pairs, new.pairs),
        verbatim=found.verbatim or new.verbatim,
        structs=_both(found.structs, structs),
        voids=_both(found.voids, new.voids),
    )


def _both(one: list[T] | None, other: list[T] | None) -> list[T] | None:
    return None if one is None and other is None else [*(one or ()), *(other or ())]


def compacted(data: bytes, found: Scan) -> bytes:
    """Write an update that deletes nothing with fewer structs, which say the same.

    A struct that follows on the one before, as typed characters do, goes into it: the CRDT
    cuts it again where it has to (Yjs, ``Item.mergeWith``). ``found`` comes with structs.
    """
    blocks: dict[int, tuple[int, int, int, list[bytes]]] = {}
    for client, run in _runs(found).items():
        parts: list[bytes] = []
        count = 0
        for group in _groups(run):
            parts.append(_merged(data, group))
            count += 1
        last = run[-1]
        blocks[client] = (run[0].clock, last.clock + last.length, count, parts)
    return assemble(blocks, ())[0]


def _groups(run: Iterable[Struct]) -> Iterable[list[Struct]]:
    group: list[Struct] = []
    for struct in run:
        if group and not _follows(group[-1], struct):
            yield group
            group = []
        group.append(struct)
    if group:
        yield group


def _follows(last: Struct, struct: Struct) -> bool:
    kind = struct.kind
    if kind != last.kind or struct.keyed:
        return False
    if kind == GC:
        return True
    return (
        (kind in (STRING, ANY, DELETED))
        and struct.origin == (last.client, last.clock + last.length - 1)
        and struct.right == last.right
        and not last.keyed
    )


def _merged(data: bytes, group: list[Struct]) -> bytes:
    first = group[0]
    if len(group) == 1:
        return data[first.start : first.end]
    length = sum(struct.length for struct in group)
    if first.kind == GC:
        return bytes((GC,)) + write_var_uint(length)
    position = content_offset(data, first)
    head = data[first.start : position]
    if first.kind == DELETED:
        return head + write_var_uint(length)
    bodies = [data[_body(data, struct) : struct.end] for struct in group]
    size = length if first.kind == ANY else sum(map(len, bodies))
    return head + write_var_uint(size) + b"".join(bodies)


def _body(data: bytes, struct: Struct) -> int:
    """Return where a struct's characters or values begin, behind their number."""
    return read_var_uint(data, content_offset(data, struct))[1]
