"""How deep each item lies in nested shared types, for the limit on it.

A document of some 33,000 types nested in one another ends the process when its root goes. The
messages that build it are small, so the depth has to be known across updates. Kept only for
documents that nest types at all; runs of one depth take one entry, so typing takes none.
"""

from bisect import bisect_right
from collections.abc import Iterable

from crdtsync.errors import InvalidUpdate
from crdtsync.update import TYPE, Struct

__all__ = ["DepthIndex"]


class DepthIndex:
    """The depth of every item: 1 directly under a root, one more per type in between."""

    __slots__ = ("_clients",)

    def __init__(self) -> None:
        self._clients: dict[int, tuple[list[int], list[int]]] = {}

    def add(self, structs: Iterable[Struct], *, max_depth: int) -> None:
        """Take over structs in an order in which each one's references come before it.

        Raises ``InvalidUpdate`` where one would make a type deeper than ``max_depth``; the
        index is as before then.
        """
        added: list[int] = []
        for struct in structs:
            parent = struct.parent
            if isinstance(parent, str):
                depth = 1
            elif parent is not None:
                depth = self._at(*parent) + 1
            elif struct.origin is not None:
                depth = self._at(*struct.origin)
            elif struct.right is not None:
                depth = self._at(*struct.right)
            else:
                continue  # GC and Skip: nothing can lie in them
            if struct.kind == TYPE and depth >= max_depth:
                for client in added:
                    starts, depths = self._clients[client]
                    starts.pop()
                    depths.pop()
                raise InvalidUpdate("shared types are nested too deeply", kind="update-type-depth")
            if self._put(struct.client, struct.clock, depth):
                added.append(struct.client)

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
