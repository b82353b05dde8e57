"""Which commits are edits: in a document with presence, those that are more than people's coming
and going.

Owns what has been committed since somebody last asked, and for rooms with presence what it takes
to tell. A commit costs a set's update there as everywhere; the telling comes about once a second.
"""

import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio.to_thread

from crdtsync.errors import InvalidUpdate
from crdtsync.history.sieve import Sieve

if TYPE_CHECKING:
    from crdtsync.history.service import Histories
    from crdtsync.room import Room
    from crdtsync.store.base import Record

__all__ = ["Noticing"]

log = logging.getLogger("crdtsync.history")

LEARN_HERE_BYTES: Final = 32 * 1024
"""Of a larger document it is found out on a thread what lies in its presence."""

Spawn = Callable[[Callable[[], Coroutine[object, object, None]]], None]


class Noticing:
    """Notes which rooms were edited."""

    def __init__(self, histories: "Histories") -> None:
        self._histories = histories
        self._edited: set[Room] = set()
        self._waiting: dict[Room, list[bytes]] = {}
        """What was committed in rooms with presence, and is not told yet."""
        self._sieves: dict[Room, Sieve | None] = {}
        """``None`` while one is made."""

    def note(self, batches: Iterable[tuple["Room", Sequence["Record"]]]) -> None:
        """Take note of what was committed."""
        rules = self._histories.channels
        if not rules.presence:
            self._edited.update([room for room, _ in batches])
            return
        for room, batch in batches:
            if rules.present(room.name) and self._histories.keeps(room.name):
                self._waiting.setdefault(room, []).extend(record.update for record in batch)
            else:
                self._edited.add(room)

    def take(self, spawn: Spawn) -> set["Room"]:
        """Return the rooms that were edited; what takes longer to tell is told another time."""
        for room in [room for room in self._waiting if self._sieves.get(room, True)]:
            if room not in self._sieves:
                parts = room.document.parts()
                if sum(map(len, parts)) > LEARN_HERE_BYTES:
                    self._sieves[room] = None
                    spawn(partial(self._learn, room, parts))
                    continue
                self._sieves[room] = _sieve(parts)
            self._tell(room)
        hub = self._histories.hub
        for room in [room for room in self._sieves if room not in self._waiting]:
            if hub is None or hub.rooms.get(room.name) is not room:
                del self._sieves[room]
        edited, self._edited = self._edited, set()
        return edited

    async def take_all(self) -> set["Room"]:
        """Return the rooms that were edited, all of them."""
        for room in list(self._waiting):
            if self._sieves.get(room) is None:
                await self._learn(room, room.document.parts())
            if room in self._waiting:
                self._tell(room)
        edited, self._edited = self._edited, set()
        return edited

    def _tell(self, room: "Room") -> None:
        sieve = self._sieves[room]
        assert sieve is not None
        for update in self._waiting.pop(room):
            if not sieve.sift(update).bare:
                self._edited.add(room)

    async def _learn(self, room: "Room", parts: list[bytes]) -> None:
        self._sieves[room] = await anyio.to_thread.run_sync(_sieve, parts)


def _sieve(parts: list[bytes]) -> Sieve:
    """Return a sieve that knows what lies in a document's presence."""
    sieve = Sieve()
    try:
        for update in parts:
            sieve.sift(update)
    except InvalidUpdate as error:  # then all that comes is taken for an edit
        log.error("what lies in a document's presence can't be told: %s", error)
    return sieve
