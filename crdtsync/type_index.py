"""The shared types of a document, and how deep each item lies in them.

A document of some 33,000 types nested in one another ends the process when its root goes. The
messages that build it are small, so the depth has to be known across updates. And an item that
says it lies in something that is no shared type makes pycrdt give up on the whole document.
Kept only for documents that nest types at all; runs of one depth take one entry, so typing
takes none.
"""

from bisect import bisect_right
from collections.abc import Iterable

from crdtsync.errors import InvalidUpdate
from crdtsync.idset import IdSet
from crdtsync.update import TYPE, Struct

__all__ = ["TypeIndex"]


class TypeIndex:
    """The shared types, and every item's depth: 1 directly under a root, one more per type."""

    __slots__ = ("_clients", "_types")

    def __init__(self) -> None:
        self._clients: dict[int, tuple[list[int], list[int]]] = {}
        self._types = IdSet()

    def add(self, structs: Iterable[Struct], *, deleted: IdSet | None, max_depth: int) -> None:
        """Take over structs in an order in which each one's references come before it.

        Raises ``InvalidUpdate`` where one would make a type deeper than ``max_depth``, or lies
        in something that is neither a type nor ``deleted`` (``None``: anything may be a
        parent). Depths are as before then.
        """
        added: list[int] = []
        try:
            for struct in structs:
                parent = struct.parent
                if isinstance(parent, str):
                    depth = 1
                elif parent is not None:
                    if (
                        deleted is not None
                        and not self._types.has(*parent)
                        and not deleted.has(*parent)
                    ):
                        raise InvalidUpdate(
                            "an item lies in something that is no shared type",
                            kind="update-bad-parent",
                        )
                    depth = self._at(*parent) + 1
                elif struct.origin is not None:
                    depth = self._at(*struct.origin)
                elif struct.right is not None:
                    depth = self._at(*struct.right)
                else:
                    continue  # GC and Skip: nothing can lie in them
                if struct.kind == TYPE:
                    if depth >= max_depth:
                        raise InvalidUpdate(
                            "shared types are nested too deeply", kind="update-type-depth"
                        )
                    self._types.add(((struct.client, struct.clock, struct.clock + 1),))
                if self._put(struct.client, struct.clock, depth):
                    added.append(struct.client)
        except InvalidUpdate:
            for client in added:
                starts, depths = self._clients[client]
                starts.pop()
                depths.pop()
            raise

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
