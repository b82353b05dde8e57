"""What archived messages leave in their chat's document: from some 50 bytes each to almost none.

A map's key stays in a Yjs document when its value is deleted, as an item that says where it was.
Owns turning those items into collected ranges, which Yjs has for what lay in deleted types: its
clients know such an id, and keep nothing of it. Whoever still has the items keeps them; both show
the same, for nothing will ever stand under these keys again:

- Only messages without a value are shed, and only of a time at which nobody may write any more
  (``chat_past_s``), so the gate lets in no item that begins such a key anew.
- An item behind one that was shed, from somebody who still has that, is collected with it for
  everybody else; for whom it is not, the server deletes it as soon as it is in (``shrinking``).
- All items of a key are shed, or none; nothing that stays refers to any of them.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from crdtsync.channels.model import message_time
from crdtsync.channels.names import is_message_id, thread_of
from crdtsync.encoding import write_var_uint
from crdtsync.joining import Block, assemble
from crdtsync.limits import Limits, trusting
from crdtsync.slicing import causal_order
from crdtsync.structs import DELETED, GC, SKIP, Id, Range, Scan, Struct
from crdtsync.update import scan

__all__ = ["MIN_SHED", "Shed", "shed", "sheds"]

MIN_SHED: Final = 200
"""Fewer items than this are not worth a new state."""
_UNLIMITED: Final = trusting(Limits())


class Shed(NamedTuple):
    """A state that says the same with less."""

    state: bytes
    collected: list[Range]
    """Everything in it that is collected."""


def shed(state: bytes, before_ms: int) -> Shed | None:
    """Return a state without the items of messages that are gone, of a time before ``before_ms``.

    ``None`` where there are few. May be called on another thread.
    """
    return sheds(state, before_ms)[0]


def sheds(state: bytes, *times_ms: int) -> list[Shed | None]:
    """Do the same for several times, nothing for 0."""
    found = scan(state, _UNLIMITED, structs=True)
    structs = found.structs or []
    if any(struct.kind == SKIP for struct in structs):
        return [None for _ in times_ms]
    ordered = causal_order(structs, {})
    return [
        _shed(state, found, structs, _gone(ordered, each)) if each else None for each in times_ms
    ]


def _shed(state: bytes, found: Scan, structs: list[Struct], gone: set[Id]) -> Shed | None:
    if len(gone) < MIN_SHED:
        return None
    blocks: dict[int, Block] = {}
    runs: dict[int, list[tuple[int, int, bytes]]] = {}  # by client: clock, collected, bytes
    for struct in structs:
        own = runs.setdefault(struct.client, [])
        if struct.kind != GC and (struct.client, struct.clock) not in gone:
            own.append((struct.clock, 0, state[struct.start : struct.end]))
        elif own and own[-1][1]:
            own[-1] = (own[-1][0], own[-1][1] + struct.length, b"")
        else:
            own.append((struct.clock, struct.length, b""))
    collected: list[Range] = []
    for client, start, end in found.ranges:
        collected += [(client, at, at + length) for at, length, _ in runs[client] if length]
        parts = [
            bytes((GC,)) + write_var_uint(length) if length else data
            for _, length, data in runs[client]
        ]
        blocks[client] = (start, end, len(parts), parts)
    return Shed(assemble(blocks, found.deletes)[0], collected)


def _gone(ordered: Iterable[Struct], before_ms: int) -> set[Id]:
    """Return the first ids of the items that can be shed, of all in causal order."""
    lines: dict[Id, tuple[str, str]] = {}  # of each clock under a message's key
    items: dict[tuple[str, str], list[Struct]] = {}
    kept: set[tuple[str, str]] = set()
    for struct in ordered:
        line = _line(struct, lines, before_ms)
        for reference in (struct.origin, struct.right, struct.parent):
            if isinstance(reference, tuple) and reference in lines and lines[reference] != line:
                kept.add(lines[reference])
        if line is None:
            continue
        items.setdefault(line, []).append(struct)
        if struct.kind != DELETED:
            kept.add(line)
        for clock in range(struct.clock, struct.clock + struct.length):
            lines[struct.client, clock] = line
    return {
        (each.client, each.clock) for line, own in items.items() if line not in kept for each in own
    }


def _line(
    struct: Struct, lines: dict[Id, tuple[str, str]], before_ms: int
) -> tuple[str, str] | None:
    """Return the root and the message that an item lies under."""
    if struct.kind == GC:
        return None
    if struct.parent is None:
        beside: Iterable[Id | None] = (struct.origin, struct.right)
        return next((lines[each] for each in beside if each is not None and each in lines), None)
    if not isinstance(struct.parent, str) or struct.key is None:
        return None
    if thread_of(struct.parent) is None or not is_message_id(struct.key):
        return None
    if message_time(struct.key) >= before_ms:
        return None
    return struct.parent, struct.key
