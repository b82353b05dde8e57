"""Read which edits an update holds: the clock ranges per client, nothing more.

Only what the generated edits and a server's merging of them can contain is understood (garbage
collected, deleted and text structs, and skips); anything else is an error, never a guess. This
reader shares no code with the server under test.
"""

from __future__ import annotations

from benchmarks.dialects import read_uint

Range = tuple[int, int, int]
"""A client id, its first clock, and the clock behind its last."""

_GC, _DELETED, _STRING, _SKIP = 0, 1, 4, 10


def _skip_id(data: bytes, at: int) -> int:
    _, at = read_uint(data, at)
    _, at = read_uint(data, at)
    return at


def _skip_parent(data: bytes, at: int, info: int) -> int:
    named, at = read_uint(data, at)
    if named:
        length, at = read_uint(data, at)
        at += length
    else:
        at = _skip_id(data, at)
    if info & 0x20:
        length, at = read_uint(data, at)
        at += length
    return at


def _read_struct(data: bytes, at: int) -> tuple[int, int, int]:
    """Return a struct's kind, how many clocks it spans, and the offset behind it."""
    info = data[at]
    kind = info & 0x1F
    at += 1
    if kind in (_GC, _SKIP):
        length, at = read_uint(data, at)
        return kind, length, at
    if info & 0x80:
        at = _skip_id(data, at)
    if info & 0x40:
        at = _skip_id(data, at)
    if not info & 0xC0:
        at = _skip_parent(data, at, info)
    length, at = read_uint(data, at)
    if kind == _DELETED:
        return kind, length, at
    if kind == _STRING:
        text = data[at : at + length]
        # Clocks count UTF-16 units; the generated edits are ASCII, the traces nearly so.
        units = length if text.isascii() else len(text.decode().encode("utf-16-le")) // 2
        return kind, units, at + length
    raise ValueError(f"a struct of kind {kind}, which no benchmark sends")


def clock_ranges(update: bytes) -> tuple[Range, ...]:
    """Return the clock ranges that a version 1 update holds, in its order."""
    found: list[Range] = []
    clients, at = read_uint(update, 0)
    for _ in range(clients):
        structs, at = read_uint(update, at)
        client, at = read_uint(update, at)
        clock, at = read_uint(update, at)
        start = clock
        for _ in range(structs):
            kind, length, at = _read_struct(update, at)
            if kind == _SKIP:
                if clock > start:
                    found.append((client, start, clock))
                start = clock + length
            clock += length
        if clock > start:
            found.append((client, start, clock))
    return tuple(found)
