"""The second halves of a document's UTF-16 surrogate pairs: where no edit may cut for pycrdt.

Kept in flat arrays, four bytes a pair: a text of emoji is nothing else.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable

from crdtsync.structs import Id

__all__ = ["Halves"]


class Halves:
    """Ids of second halves; an item's come in the order of their clocks."""

    __slots__ = ("_clients",)

    def __init__(self) -> None:
        self._clients: dict[int, array[int]] = {}

    def __bool__(self) -> bool:
        return bool(self._clients)

    def add(self, ids: Iterable[Id]) -> None:
        """Take note of more; those of one client follow those that are there."""
        for client, clock in ids:
            own = self._clients.get(client)
            if own is None:
                own = self._clients[client] = array("I")
            if not own or clock > own[-1]:
                own.append(clock)

    def any_in(self, ids: Iterable[Id]) -> bool:
        """Return whether one of some ids is among them."""
        for client, clock in ids:
            own = self._clients.get(client)
            if own is not None:
                index = bisect_left(own, clock)
                if index < len(own) and own[index] == clock:
                    return True
        return False
