"""What an update does to which parts of a document: what rules about content look at.

Owns the reading of an update against the places that are known: each new item's place through
its parents and neighbours, each new deletion's through the deleted items. What the document has
already, items and deletions alike, is no part of an edit. Decides nothing.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from crdtsync.idset import IdSet
from crdtsync.places import COLLECTED, UNKNOWN, Place, PlaceIndex, Placement
from crdtsync.slicing import causal_order, new_part
from crdtsync.structs import SKIP, Scan, Struct

__all__ = ["Act", "Edit", "Look", "Touch", "index_update", "read_edit"]


class Act(StrEnum):
    """What is done in a place."""

    INSERT = "insert"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Touch:
    """What an update does in one place."""

    root: str
    """The root's name."""
    key: str | None
    """Of a map: the key directly below the root; ``None`` for the items of a text or array."""
    act: Act
    length: int
    """How many characters, values or items."""
    size_bytes: int
    """How long they are in the update; 0 for deletions."""
    replaces: bool = False
    """Whether a key that has a value gets another one, here or in a map below."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What is new in an update, by place."""

    touches: tuple[Touch, ...]
    """At most one per place and act."""
    size_bytes: int
    """How long all that it inserts is."""
    waits: bool
    """Whether some of it refers to what isn't here. That is looked at again when it has come."""
    update: bytes
    """The whole update."""
    scan: Scan
    """What its bytes say."""


class Look(Protocol):
    """Who wants to see each item and each deletion of an update, with the number of its place."""

    def item(self, struct: Struct, number: int) -> None:
        """See a new item; those that it refers to come before it."""
        ...

    def deletion(self, run: Placement) -> None:
        """See what is deleted in one place; it comes after all items."""
        ...


class _Fresh:
    """The places of an update's items, on top of those that are known."""

    __slots__ = ("_clients", "_index")

    def __init__(self, index: PlaceIndex) -> None:
        self._index = index
        self._clients: dict[int, list[Placement]] = {}

    def at(self, client: int, clock: int) -> int:
        number = self._index.at(client, clock)
        if number == UNKNOWN:
            for placement in self._behind(client, clock):
                return placement.number
        return number

    def _behind(self, client: int, clock: int) -> list[Placement]:
        """Return the update's runs of a client, from the one that holds ``clock`` on."""
        own = self._clients.get(client)
        if own is None or clock >= own[-1].end or clock < own[0].start:
            return []
        return own[bisect_right(own, clock, key=_start) - 1 :]

    def within(self, client: int, start: int, end: int) -> list[Placement]:
        found: list[Placement] = []
        for each in self._index.within(client, start, end):
            if each.number != UNKNOWN:
                found.append(each)
                continue
            start = each.start
            for own in self._behind(client, start):
                if start < end:
                    found.append(Placement(client, start, min(own.end, end), own.number))
                    start = own.end
            if start < end:
                found.append(Placement(client, start, end, UNKNOWN))
        return found

    def put(self, placement: Placement) -> None:
        self._clients.setdefault(placement.client, []).append(placement)


def _start(placement: Placement) -> int:
    return placement.start


_Sums = dict[tuple[Place, Act], list[int]]
"""By place and act: length, bytes, whether something is replaced."""


def index_update(found: Scan, index: PlaceIndex, look: Look | None = None) -> bool:
    """Put what is new to the index into it; return whether all of it had a place there.

    ``found`` has to come with structs. ``look`` sees it too.
    """
    clocks = index.clocks(found)
    for struct in causal_order(_new(found.structs or [], clocks), clocks):
        number, _ = index.find(struct, index)
        end = struct.clock + struct.length
        if not index.put(Placement(struct.client, struct.clock, end, number)):
            return False
        if look is not None:
            look.item(struct, number)
    if look is not None:
        for deletion in found.deletes:
            for run in index.within(*deletion):
                look.deletion(run)
    return all(index.end(client) >= end for client, _, end in found.ranges)


def _new(structs: list[Struct], clocks: Mapping[int, int]) -> list[Struct]:
    # What is known in part is cut first, as it is when it is let in: what its known part says of
    # its place counts for nothing.
    new: list[Struct] = []
    for each in structs:
        known = clocks.get(each.client, 0) - each.clock
        if each.kind == SKIP or known >= each.length:
            continue
        if known > 0:
            size = (each.end - each.start) * known // each.length  # more or less
            each = new_part(each, clocks)._replace(start=each.start + size)
        new.append(each)
    return new


def read_edit(
    update: bytes,
    found: Scan,
    index: PlaceIndex,
    deleted: IdSet,
    look: Look | None = None,
) -> tuple[Edit, list[Placement]]:
    """Read what is new in an update; return it with the places of all that fits.

    ``found`` has to come with structs; ``deleted`` are the document's. ``look`` sees what fits.
    """
    fresh = _Fresh(index)
    placements: list[Placement] = []
    sums: _Sums = {}
    held: dict[int, int] = {}  # by slot: a value of the update's own
    waits = False
    size = 0
    clocks = index.clocks(found)
    new = _new(found.structs or [], clocks)
    fitting = causal_order(new, clocks)
    for struct in fitting:
        number, other = index.find(struct, fresh)
        placement = Placement(struct.client, struct.clock, struct.clock + struct.length, number)
        fresh.put(placement)
        placements.append(placement)
        if look is not None:
            look.item(struct, number)
        size += struct.end - struct.start
        replaces = _replaces(number, index, deleted, held)
        _insert(sums, index.name(number), struct, replaces=replaces)
        if other != number:
            if look is not None:
                look.item(struct, other)
            _insert(sums, index.name(other), struct, replaces=False)
    if len(fitting) < len(new):
        waits = True
        there = {(each.client, each.clock) for each in fitting}
        for struct in new:  # what waits is looked at as far as it can be
            if (struct.client, struct.clock) not in there:
                size += struct.end - struct.start
                for number in set(index.find(struct, fresh)) - {UNKNOWN}:
                    replaces = _replaces(number, index, deleted, held)
                    _insert(sums, index.name(number), struct, replaces=replaces)
    for client, start, end in found.deletes:
        for first, last in deleted.missing(client, start, end):
            for each in fresh.within(client, first, last):
                if each.number == UNKNOWN:
                    waits = True
                    continue
                if look is not None:
                    look.deletion(each)
                place = index.name(each.number)
                if place is not None:
                    counts = sums.setdefault((place, Act.DELETE), [0, 0, False])
                    counts[0] += each.end - each.start
    touches = tuple(
        Touch(place.root, place.key, act, length, taken, bool(replaces))
        for (place, act), (length, taken, replaces) in sums.items()
    )
    return Edit(touches, size, waits, update, found), placements


def _insert(sums: _Sums, place: Place | None, struct: Struct, *, replaces: bool) -> None:
    if place is None:
        return
    counts = sums.setdefault((place, Act.INSERT), [0, 0, False])
    counts[0] += struct.length
    counts[1] += struct.end - struct.start
    counts[2] |= replaces


def _replaces(number: int, index: PlaceIndex, deleted: IdSet, held: dict[int, int]) -> bool:
    """Return whether an item comes where a key has a value already, in the document or before."""
    if number == COLLECTED or not index.is_key(number):
        return False
    before = held.get(number, 0)
    held[number] = before + 1
    return bool(before) or any(not deleted.has(*each) for each in index.values_at(number))
