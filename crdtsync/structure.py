"""What the items of a document are to one another: types, places, depths, keys.

Owns the checks that need more than one update. Each keeps out what pycrdt or Yjs does not survive
or what they make different documents of, and what no Yjs client writes:

- Types nested some 33,000 deep end the process when their root goes: the depth is limited.
- An item in something that is no shared type makes pycrdt give up on the document, also where
  that is deleted. Of what came as collected nobody knows what it was: it may have been a type.
- An item between two of different places lies in the one or the other, or nowhere, depending on
  what has been collected when it comes.
- Items under a map's key corrupt pycrdt's memory unless they are as Yjs makes them: nothing
  stands behind them (no right origin), nothing names them as what it stands before, and each is
  one value, unless it is deleted.

Kept only for documents that have types, keys or several roots; runs of one place take one entry,
so typing takes none.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

from crdtsync.errors import InvalidUpdate
from crdtsync.idset import IdSet
from crdtsync.structs import DELETED, GC, TYPE, Id, Struct

__all__ = ["StructureIndex"]

_NOWHERE: Final = 0
"""The place of what is collected."""
_FIRST: Final = 1
"""The place of what was there before the index: a document's first root."""


class StructureIndex:
    """The shared types, the items under keys, and every item's place."""

    __slots__ = (
        "_clients",
        "_depths",
        "_keyed",
        "_new_keyed",
        "_new_types",
        "_new_voids",
        "_numbers",
        "_places",
        "_types",
    )

    def __init__(self, root: str | None = None) -> None:
        """Begin with a document whose items all lie directly in ``root``, or with none."""
        self._clients: dict[int, tuple[list[int], list[int]]] = {}
        self._places: list[str | Id | None] = [None, root]
        self._depths: list[int] = [0, 1]  # of each place: 1 is directly in a root
        self._numbers: dict[str | Id, int] = {} if root is None else {root: _FIRST}
        self._types = IdSet()
        self._keyed = IdSet()
        self._new_types = IdSet()  # of the update that is being looked at
        self._new_keyed = IdSet()
        self._new_voids = IdSet()

    def add(self, structs: Iterable[Struct]) -> None:
        """Take over structs that were let in before."""
        for struct in structs:
            self._take(struct, self._place(struct))
        self._types.add(self._new_types)
        self._keyed.add(self._new_keyed)
        self._new_types, self._new_keyed, self._new_voids = IdSet(), IdSet(), IdSet()

    def admit(
        self,
        structs: Iterable[Struct],
        *,
        deletes: IdSet,
        going: IdSet,
        deleted: IdSet,
        voids: IdSet,
        max_depth: int,
    ) -> None:
        """Take over structs in an order in which each one's references come before it.

        None may be known, wholly or in part. ``deletes`` is what their update deletes, ``going``
        what the one does of which that is a portion, ``deleted`` what the document had deleted
        before it, ``voids`` what came to it as collected. Raises ``InvalidUpdate`` for the first
        that may not enter; everything is as before then.
        """
        added: list[int] = []
        places = len(self._places)
        try:
            for struct in structs:
                if struct.kind != GC:
                    self._check_parent(struct, voids)
                    self._check_key(struct, deletes)
                    if struct.origin is not None and struct.right is not None:
                        self._check_neighbours(struct.origin, struct.right, deleted, going)
                place = self._place(struct)
                if struct.kind == TYPE and self._depths[place] >= max_depth:
                    raise InvalidUpdate(
                        "shared types are nested too deeply", kind="update-type-depth"
                    )
                if self._take(struct, place):
                    added.append(struct.client)
        except InvalidUpdate:
            for client in added:
                starts, numbers = self._clients[client]
                starts.pop()
                numbers.pop()
            for name in self._places[places:]:
                if name is not None:
                    del self._numbers[name]
            del self._places[places:], self._depths[places:]
            raise
        else:
            self._types.add(self._new_types)
            self._keyed.add(self._new_keyed)
        finally:
            self._new_types, self._new_keyed, self._new_voids = IdSet(), IdSet(), IdSet()

    def _check_parent(self, struct: Struct, voids: IdSet) -> None:
        parent = struct.parent
        if (
            isinstance(parent, tuple)
            and not self._types.has(*parent)
            and not self._new_types.has(*parent)
            and not voids.has(*parent)
            and not self._new_voids.has(*parent)
        ):
            raise InvalidUpdate(
                "an item lies in something that is no shared type", kind="update-bad-parent"
            )

    def _check_key(self, struct: Struct, deletes: IdSet) -> None:
        right = struct.right
        if right is not None and (self._is_keyed(struct) or self._has_key(right)):
            raise InvalidUpdate("an item under a key stands before another", kind="update-bad-key")
        if struct.length > 1 and struct.kind != DELETED and self._is_keyed(struct):
            whole = ((struct.client, struct.clock, struct.clock + struct.length),)
            if not deletes.covers(whole):
                raise InvalidUpdate("an item under a key has several values", kind="update-bad-key")

    def _is_keyed(self, struct: Struct) -> bool:
        origin = struct.origin
        if origin is not None:  # then libraries go by that, whatever the bytes say beside it
            return self._has_key(origin)
        return struct.keyed and struct.right is None

    def _has_key(self, item: tuple[int, int]) -> bool:
        return self._keyed.has(*item) or self._new_keyed.has(*item)

    def _check_neighbours(self, origin: Id, behind: Id, deleted: IdSet, going: IdSet) -> None:
        left, right = self._at(*origin), self._at(*behind)
        if left == right:
            return
        # Of a deleted type's content some may be collected, and some not.
        name = self._places[left or right]
        collected = not (left and right) and isinstance(name, tuple)
        if not collected or not (deleted.has(*name) or going.has(*name)):  # type: ignore[misc]
            raise InvalidUpdate(
                "an item stands between two of different places", kind="update-bad-neighbours"
            )

    def _place(self, struct: Struct) -> int:
        """Return an item's place."""
        if struct.kind == GC:
            return _NOWHERE
        parent = struct.parent
        if parent is None:
            origin, right = struct.origin, struct.right
            if origin is None:
                return _NOWHERE if right is None else self._at(*right)
            place = self._at(*origin)
            return _NOWHERE if right is not None and not self._at(*right) else place
        number = self._numbers.get(parent)
        if number is None:
            depth = 1
            if not isinstance(parent, str):
                above = self._at(*parent)
                if above == _NOWHERE:
                    return _NOWHERE
                depth = self._depths[above] + 1
            number = self._numbers[parent] = len(self._places)
            self._places.append(parent)
            self._depths.append(depth)
        return number

    def _take(self, struct: Struct, place: int) -> bool:
        """Remember an item; return whether that took an entry among the places."""
        here = ((struct.client, struct.clock, struct.clock + struct.length),)
        if struct.kind == TYPE:
            self._new_types.add(here)
        elif struct.kind in (GC, DELETED):
            self._new_voids.add(here)
        if self._is_keyed(struct):
            self._new_keyed.add(here)
        return self._put(struct.client, struct.clock, place)

    def _at(self, client: int, clock: int) -> int:
        runs = self._clients.get(client)
        if runs is None:
            return _FIRST
        index = bisect_right(runs[0], clock) - 1
        return runs[1][index] if index >= 0 else _FIRST

    def _put(self, client: int, clock: int, place: int) -> bool:
        runs = self._clients.setdefault(client, ([], []))
        starts, places = runs
        if (places[-1] if places else _FIRST) == place:
            return False
        if starts and clock <= starts[-1]:
            return False  # known already
        starts.append(clock)
        places.append(place)
        return True
