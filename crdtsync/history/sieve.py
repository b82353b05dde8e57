"""What history leaves out: who is there. Presence comes and goes, and is nobody's past.

Owns how an update goes into the history of a document with presence: what lies in the root
``presence`` becomes as if it had been collected, clock by clock, so that no client's clocks have
a gap, and nothing of it is written anywhere. Who brought it is ``NOBODY``, an author whom no
person can be. All else stays what it was, whoever sent it along with that.

A history that once leaves presence out always does: what comes later refers to what it has not.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from crdtsync.channels.names import PRESENCE
from crdtsync.encoding import read_var_uint, write_var_uint
from crdtsync.history.model import Change
from crdtsync.idset import IdSet
from crdtsync.joining import assemble
from crdtsync.limits import Limits, trusting
from crdtsync.slicing import causal_order
from crdtsync.structs import GC, HAS_RIGHT, MAX_CLOCK, SKIP, Range, Scan, Struct
from crdtsync.update import scan

__all__ = ["NOBODY", "Sieve", "Sifted", "divided", "holds_presence"]

NOBODY: Final = "\0presence"
"""Whom a timeline names for what is left out; an author who is called so is anonymous."""

_UNLIMITED: Final = trusting(Limits())
_NAMED: Final = PRESENCE.encode()


class Sifted(NamedTuple):
    """An update without presence."""

    update: bytes
    found: Scan
    bare: bool
    """Whether there was nothing but presence in it."""


class Sieve:
    """Knows which ids of a document lie in its presence."""

    def __init__(self, known: Iterable[Range] = ()) -> None:
        """Begin with the ids that are known to lie there."""
        self.ids = IdSet()
        self.ids.add(known)

    def sift(self, update: bytes) -> Sifted:
        """Return an update without presence. Raises ``InvalidUpdate``.

        Whatever it builds on has gone through the same sieve before.
        """
        found = scan(update, _UNLIMITED, structs=True)
        structs = found.structs or []
        if self.ids or _NAMED in update:
            self._learn(structs, found)
        ids = self.ids
        if not ids:
            return Sifted(update, found, False)
        bare = bool(structs or found.deletes)
        changed = False
        parts: dict[int, list[bytes]] = {}
        for struct in structs:
            part = update[struct.start : struct.end]
            if ids.has(struct.client, struct.clock):
                part = b"\x00" + write_var_uint(struct.length)
                changed = True
            elif struct.kind != SKIP:
                bare = False
                if struct.right is not None and ids.has(*struct.right):
                    part = _without_right(update, struct)
                    changed = True
            parts.setdefault(struct.client, []).append(part)
        bare = bare and ids.covers(found.deletes)
        if not changed:
            return Sifted(update, found, bare)
        blocks: dict[int, tuple[int, int, int, list[bytes]]] = {}
        for client, start, end in found.ranges:
            first = blocks[client][0] if client in blocks else start
            blocks[client] = (first, end, len(parts[client]), parts[client])
        sifted = assemble(blocks, found.deletes)[0]
        return Sifted(sifted, scan(sifted, _UNLIMITED), bare)

    def _learn(self, structs: Sequence[Struct], found: Scan) -> None:
        """Find out which structs lie in presence: as Yjs does, by parent or neighbour."""
        several = len(found.ranges) > 1
        if several:
            clocks = dict.fromkeys(found.needs, MAX_CLOCK)
            for client, start, _ in reversed(found.ranges):
                clocks[client] = start
            ordered = causal_order(structs, clocks)
            structs = ordered if len(ordered) == len(structs) else structs
        ids = self.ids
        more = True
        while more:
            more = False
            for struct in structs:
                if self._lies(struct) and ids.insert(
                    struct.client, struct.clock, struct.clock + struct.length
                ):
                    more = several  # one that came before may refer to it

    def _lies(self, struct: Struct) -> bool:
        parent = struct.parent
        if struct.kind in (GC, SKIP):
            return False
        if parent is not None:
            return parent == PRESENCE if isinstance(parent, str) else self.ids.has(*parent)
        beside = struct.origin or struct.right
        return beside is not None and self.ids.has(*beside)


def _without_right(update: bytes, struct: Struct) -> bytes:
    """Return a struct that no longer says what it was inserted before.

    No editor makes a neighbour of what lies elsewhere; where somebody does, the struct lies where
    its origin does, and goes on doing so.
    """
    position = struct.start + 1
    for _ in range(2):
        _, position = read_var_uint(update, position)
    head = bytes((update[struct.start] & ~HAS_RIGHT,)) + update[struct.start + 1 : position]
    for _ in range(2):
        _, position = read_var_uint(update, position)
    return head + update[position : struct.end]


def holds_presence(structs: bytes, found: Scan) -> bool:
    """Return whether something lies in presence. ``found`` comes with structs."""
    return _NAMED in structs and any(each.parent == PRESENCE for each in found.structs or ())


def divided(change: Change, ids: IdSet) -> list[Change]:
    """Divide a change into its author's and nobody's, in the order of each client's clocks."""
    deletes = tuple(
        (client, *part)
        for client, start, end in change.deletes
        for part in ids.missing(client, start, end)
    )
    queues: dict[int, list[tuple[bool, Range]]] = {}
    for client, start, end in change.inserts:
        queues.setdefault(client, []).extend(_parts(ids, client, start, end))
    if not any(hidden for queue in queues.values() for hidden, _ in queue):
        lost = change.deletes and not deletes and not change.inserts
        author = NOBODY if lost else change.author
        return [change._replace(author=author, deletes=deletes)]
    runs = [
        [
            (hidden, [each for _, each in run])
            for hidden, run in groupby(queue, lambda each: each[0])
        ]
        for queue in queues.values()
    ]
    found: list[Change] = []
    turn = False
    while any(runs):
        taken = [each for run in runs if run and run[0][0] is turn for each in run.pop(0)[1]]
        if taken or (not turn and deletes):
            author = NOBODY if turn else change.author
            gone = () if turn else deletes
            found.append(change._replace(author=author, inserts=tuple(taken), deletes=gone))
            deletes = deletes if turn else ()
        turn = not turn
    return found


def _parts(ids: IdSet, client: int, start: int, end: int) -> Iterator[tuple[bool, Range]]:
    for first, last in ids.missing(client, start, end):
        if start < first:
            yield True, (client, start, first)
        yield False, (client, first, last)
        start = last
    if start < end:
        yield True, (client, start, end)
