"""The making of an index of places, while its room goes on.

Owns what is gathered for it: the document as it was, and every update that is let in meanwhile,
in that order. A large document's is read on a thread. Who needs the index waits, and nobody else.
"""

from typing import Final

from crdtsync.connection import Connection
from crdtsync.edit import index_update
from crdtsync.limits import Limits
from crdtsync.places import PlaceIndex
from crdtsync.update import scan

__all__ = ["INDEX_HERE_BYTES", "Making"]

INDEX_HERE_BYTES: Final = 32 * 1024
"""Of more the index is made on a thread: it takes some 250 ms a megabyte."""


class Making:
    """An index that is being made."""

    __slots__ = ("_limits", "_parts", "begun", "gathered_bytes", "index", "over", "waiting")

    def __init__(self, limits: Limits, parts: list[bytes], *, values: bool) -> None:
        """Begin with updates that follow one another; ``limits`` are those for stored bytes."""
        self._limits = limits
        self._parts = parts
        self.gathered_bytes = sum(map(len, parts))
        """How much waits to be put into the index."""
        self.index = PlaceIndex(values=values)
        self.begun = False
        """Whether a thread is on it, or will be."""
        self.over = False
        """Whether nobody needs it any more."""
        self.waiting: list[Connection] = []
        """Those who can't go on without it."""

    def add(self, update: bytes) -> None:
        """Gather an update that was let in."""
        self._parts.append(update)
        self.gathered_bytes += len(update)

    def take(self) -> list[bytes]:
        """Return what was gathered, for ``put``."""
        parts, self._parts = self._parts, []
        self.gathered_bytes = 0
        return parts

    def put(self, parts: list[bytes]) -> None:
        """Put updates into the index. May be called on another thread."""
        for update in parts:
            if self.over:
                return
            index_update(scan(update, self._limits, structs=True), self.index)
