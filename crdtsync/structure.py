"""What the items of a document are to one another: types, depths, keys.

Owns the checks that need more than one update. Each keeps out what pycrdt does not survive, and
what no Yjs client writes:

- Types nested some 33,000 deep end the process when their root goes: the depth is limited.
- An item in something that is no shared type makes pycrdt give up on the document.
- Items under a map's key corrupt pycrdt's memory unless they are as Yjs makes them: nothing
  stands behind them (no right origin), nothing names them as what it stands before, and each is
  one value, unless it is deleted.

Kept only for documents that have types or keys at all; runs of one depth take one entry, so
typing takes none.
"""

from bisect import bisect_right
from collections.abc import Iterable

from crdtsync.errors import InvalidUpdate
from crdtsync.idset import IdSet
from crdtsync.structs import DELETED, GC, TYPE, Range, Struct

__all__ = ["StructureIndex"]


class StructureIndex:
    """The shared types, the items under keys, and every item's depth: 1 directly in a root."""

    __slots__ = ("_clients", "_keyed", "_new_keyed", "_new_types", "_types")

    def __init__(self) -> None:
        self._clients: dict[int, tuple[list[int], list[int]]] = {}
        self._types = IdSet()
        self._keyed = IdSet()
        self._new_types = IdSet()  # of the update that is being looked at
        self._new_keyed = IdSet()

    def add(self, structs: Iterable[Struct]) -> None:
        """Take over structs that were let in before."""
        for struct in structs:
            depth = self._depth(struct)
            if depth:
                self._take(struct, depth)
        self._types.add(self._new_types)
        self._keyed.add(self._new_keyed)
        self._new_types, self._new_keyed = IdSet(), IdSet()

    def admit(
        self,
        structs: Iterable[Struct],
        *,
        deletes: Iterable[Range],
        deleted: IdSet,
        max_depth: int,
    ) -> None:
        """Take over structs in an order in which each one's references come before it.

        None may be known, wholly or in part. ``deletes`` are their update's, ``deleted`` the
        document's before it. Raises ``InvalidUpdate`` for the first that may not enter;
        everything is as before then.
        """
        going = IdSet()
        going.add(deletes)
        added: list[int] = []
        try:
            for struct in structs:
                depth = self._depth(struct)
                if not depth:
                    continue
                self._check_parent(struct, deleted)
                self._check_key(struct, going)
                if struct.kind == TYPE and depth >= max_depth:
                    raise InvalidUpdate(
                        "shared types are nested too deeply", kind="update-type-depth"
                    )
                if self._take(struct, depth):
                    added.append(struct.client)
        except InvalidUpdate:
            for client in added:
                starts, depths = self._clients[client]
                starts.pop()
                depths.pop()
            raise
        else:
            self._types.add(self._new_types)
            self._keyed.add(self._new_keyed)
        finally:
            self._new_types, self._new_keyed = IdSet(), IdSet()

    def _check_parent(self, struct: Struct, deleted: IdSet) -> None:
        parent = struct.parent
        if (
            isinstance(parent, tuple)
            and not self._types.has(*parent)
            and not self._new_types.has(*parent)
            and not deleted.has(*parent)
        ):
            raise InvalidUpdate(
                "an item lies in something that is no shared type", kind="update-bad-parent"
            )

    def _check_key(self, struct: Struct, going: IdSet) -> None:
        right = struct.right
        if right is not None and (self._is_keyed(struct) or self._has_key(right)):
            raise InvalidUpdate("an item under a key stands before another", kind="update-bad-key")
        if struct.length > 1 and struct.kind != DELETED and self._is_keyed(struct):
            whole = ((struct.client, struct.clock, struct.clock + struct.length),)
            if not going.covers(whole):
                raise InvalidUpdate("an item under a key has several values", kind="update-bad-key")

    def _is_keyed(self, struct: Struct) -> bool:
        origin = struct.origin
        return struct.keyed or (origin is not None and self._has_key(origin))

    def _has_key(self, item: tuple[int, int]) -> bool:
        return self._keyed.has(*item) or self._new_keyed.has(*item)

    def _depth(self, struct: Struct) -> int:
        """Return an item's depth, 0 for GC and Skip: nothing can lie in them."""
        if struct.kind == GC:
            return 0
        if isinstance(struct.parent, str):
            return 1
        if struct.parent is not None:
            return self._at(*struct.parent) + 1
        if struct.origin is not None:
            return self._at(*struct.origin)
        return self._at(*struct.right) if struct.right is not None else 0

    def _take(self, struct: Struct, depth: int) -> bool:
        """Remember an item; return whether that took an entry among the depths."""
        here = ((struct.client, struct.clock, struct.clock + struct.length),)
        if struct.kind == TYPE:
            self._new_types.add(here)
        if self._is_keyed(struct):
            self._new_keyed.add(here)
        return self._put(struct.client, struct.clock, depth)

    def _at(self, client: int, clock: int) -> int:
        runs = self._clients.get(client)
        if runs is None:
            return 1
        index = bisect_right(runs[0], clock) - 1
        return runs[1][index] if index >= 0 else 1

    def _put(self, client: int, clock: int, depth: int) -> bool:
        runs = self._clients.setdefault(client, ([], []))
        starts, depths = runs
        if (depths[-1] if depths else 1) == depth:
            return False
        if starts and clock <= starts[-1]:
            return False  # known already
        starts.append(clock)
        depths.append(depth)
        return True
