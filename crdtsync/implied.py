"""Deletions that nobody sent: of values set under one key at the same time all but one lose.

Whoever integrates them deletes the losers by himself, and says so with his next step 2. Rules about
content would take that for his doing. Owns when the document is asked which ones these are: only
before somebody is refused over a deletion, and for no more than a small part of the time.
"""

from typing import TYPE_CHECKING, Final

from crdtsync.crdt import IntegrationError
from crdtsync.errors import InvalidUpdate
from crdtsync.limits import trusting
from crdtsync.update import scan

if TYPE_CHECKING:
    from crdtsync.room import Room

__all__ = ["Implied"]

REST: Final = 20
"""After a look at the document there is none for so many times as long as it took."""


class Implied:
    """What one room knows of them."""

    __slots__ = ("_again_s", "_room", "_sequence")

    def __init__(self, room: "Room") -> None:
        self._room = room
        self._sequence = -1
        self._again_s = float("-inf")

    def learn(self) -> bool:
        """Let the document know of all that lost; return whether it knew less before."""
        room = self._room
        begun_s = room.clock.monotonic_s()
        if self._sequence == room.committed_sequence or begun_s < self._again_s:
            return False
        self._sequence = room.committed_sequence
        document = room.document
        try:
            deletes = scan(room.state(), trusting(room.limits)).deletes
        except (IntegrationError, InvalidUpdate):
            return False
        ended_s = room.clock.monotonic_s()
        self._again_s = ended_s + REST * (ended_s - begun_s)
        if document.deleted.covers(deletes):
            return False
        document.deleted.add(deletes)
        return True
