"""What an update holds, clock by clock, however its structs are cut: to compare two of them.

Owns nothing but the comparison: content, parents' names and keys don't come into it where the
bytes leave them out.
"""

from collections.abc import Iterator

from crdtsync.encoding import read_var_bytes, read_var_uint
from crdtsync.idset import IdSet
from crdtsync.slicing import content_offset
from crdtsync.structs import ANY, DELETED, GC, JSON, SKIP, STRING, Scan, Struct
from crdtsync.values import skip_any

__all__ = ["units_of"]

Unit = tuple[int, int, int, bytes]
"""Client, clock, kind of content, and the content of this one clock."""


def units_of(data: bytes, found: Scan, deleted: IdSet) -> list[tuple[int, int, int, bytes]]:
    """Return what is there and not deleted: client, first clock, kind and content.

    Characters that follow one another are one entry. ``found`` comes with structs.
    """
    units: list[Unit] = []
    for struct in found.structs or ():
        if struct.kind in (GC, DELETED, SKIP):
            continue
        end = struct.clock + struct.length
        for start, stop in deleted.missing(struct.client, struct.clock, end):
            for unit in _pieces(data, struct, start - struct.clock, stop - struct.clock):
                last = units[-1] if units else None
                if (
                    last is not None
                    and unit[2] == STRING == last[2]
                    and last[0] == unit[0]
                    and last[1] + len(last[3]) // 2 == unit[1]
                ):
                    units[-1] = (last[0], last[1], STRING, last[3] + unit[3])
                else:
                    units.append(unit)
    return sorted(units)


def _pieces(data: bytes, struct: Struct, first: int, last: int) -> Iterator[Unit]:
    client, clock, kind = struct.client, struct.clock, struct.kind
    position = content_offset(data, struct)
    if kind == STRING:
        text = read_var_bytes(data, position)[0].decode("utf-8", "surrogatepass")
        units = text.encode("utf-16-le", "surrogatepass")
        yield client, clock + first, kind, units[2 * first : 2 * last]
    elif kind in (ANY, JSON):
        _, position = read_var_uint(data, position)
        for offset in range(last):
            end = skip_any(data, position) if kind == ANY else read_var_bytes(data, position)[1]
            if offset >= first:
                yield client, clock + offset, kind, data[position:end]
            position = end
    else:
        yield client, clock, kind, data[position : struct.end]
