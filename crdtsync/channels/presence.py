"""Presence of one hub: the root ``presence`` of its documents says who is there, and is true.

Owns the watch over all rooms, and the one update per tick and document in which all that has
changed is written, by the server's own hand. Invariants:

- Nothing is written into a document that is damaged or full, or whose room is on its way out.
- A room stays open for what is still to be written of people who left, and no longer.
- What a document holds, whoever wrote it, is compared with who is there, and never believed.

What presence says of somebody is ``attendance``'s, who a connection is ``keeping``'s.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel

from crdtsync.channels.entries import Entries
from crdtsync.channels.keeping import KeptRoom, PersonHere, RoomInfo
from crdtsync.channels.model import Person, Status
from crdtsync.document import Document
from crdtsync.errors import RemoteError
from crdtsync.waiting import Alarm

if TYPE_CHECKING:
    from crdtsync.connection import Connection
    from crdtsync.hub import Hub
    from crdtsync.room import Room

__all__ = ["PersonHere", "PresenceKeeping", "RoomInfo", "Sighting"]

log = logging.getLogger("crdtsync")

SHORTEST_S: Final = 0.01
"""Ticks are no closer together, whatever the limits say: what waits for its time is looked at in
each."""
_RANK: Final[dict[Status, int]] = {"online": 3, "busy": 2, "away": 1, "offline": 0}
"""Which of somebody's statuses in several documents is the best one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """Somebody, over all documents that are open."""

    id: str
    status: Status = "offline"
    """The best one."""
    last_seen_ms: int = 0
    """0: nobody knows."""
    name: str = ""


class PresenceKeeping:
    """Keeps presence in the documents of one hub."""

    def __init__(self, present: Callable[[str], bool]) -> None:
        """``present`` says in which documents, by name."""
        self._present = present
        self._hub: Hub | None = None
        self._kept: dict[str, KeptRoom] = {}
        self._stirred: dict[str, KeptRoom] = {}
        self._where: dict[str, set[str]] = {}  # by id: documents whose map has had it
        self._alarm = Alarm()
        self._ending = False

    @property
    def online(self) -> int:
        """How many people are there, in each document for itself."""
        return sum(kept.attendance.online for kept in self._current())

    def room(self, document: str) -> KeptRoom | None:
        """Return an open room whose presence is kept."""
        kept = self._kept.get(document)
        return kept if kept is not None and self._is_current(kept) else None

    # What the hub tells

    def loaded(self, hub: "Hub", room: "Room", document: Document, updated_ms: int) -> None:
        """Take note of a document that is about to be served; last changed at ``updated_ms``."""
        entries = document.follower
        if not self._present(room.name) or room.damage or not isinstance(entries, Entries):
            return
        self._hub = hub
        self._tidy()
        self.deleted(room.name)  # what was kept of it when it was last open
        kept = KeptRoom(room, document, entries, room.limits.presence_grace_s)
        self._kept[room.name] = kept
        kept.stirred = lambda: self._stir(kept)
        kept.learnt = lambda id: self._learn(id, kept)
        values = kept.values()
        for id in values:
            self._learn(id, kept)
        clock = room.clock
        kept.attendance.remember(values, clock.monotonic_s(), clock.time_ms(), updated_ms)
        self._stir(kept)

    def opened(self, room: "Room") -> None:
        """Take note of those who waited for a room."""
        kept = self.room(room.name)
        if kept is not None:
            for connection in room.connections:
                kept.come(connection)

    def came(self, connection: "Connection") -> None:
        """Take note of a connection."""
        kept = self._of(connection)
        if kept is not None:
            kept.come(connection)

    def went(self, connection: "Connection") -> None:
        """Take note of a connection that is gone."""
        kept = self._of(connection)
        if kept is not None:
            kept.go(connection)

    def became(self, connection: "Connection") -> None:
        """Take note that somebody may be called otherwise."""
        kept = self._of(connection)
        if kept is not None:
            kept.become(connection)

    def committed(self, rooms: Iterable["Room"]) -> None:
        """Take note of rooms whose map may have been changed."""
        for room in rooms:
            kept = self._kept.get(room.name)
            if kept is not None and kept.room is room:
                self._stir(kept)

    def deleted(self, document: str) -> None:
        """Write no more into a document: it is being deleted."""
        kept = self._kept.pop(document, None)
        if kept is not None:
            self._forget(kept)

    async def run(self) -> None:
        """Write what has changed, once per tick."""
        while True:
            if not self._stirred:
                await self._alarm.wait()
            assert self._hub is not None
            await anyio.sleep(max(SHORTEST_S, self._hub.limits.presence_interval_s))
            await self.tick()

    async def tick(self) -> None:
        """Write what has changed, one update per document."""
        stirred, self._stirred = self._stirred, {}
        for number, kept in enumerate(stirred.values()):
            if number % 16 == 15:
                await anyio.lowlevel.checkpoint()
            if self._ending:
                return
            if self._is_current(kept):
                self._write(kept)
                kept.pin()
                if (
                    kept.attendance.pending
                    or (kept.pinned and kept.room.uncommitted)
                    or kept.room.fill.full  # a checkpoint may show that it isn't
                ):
                    self._stirred[kept.room.name] = kept

    async def finish(self) -> None:
        """Write down that nobody is there any more."""
        self._ending = True
        for number, kept in enumerate(list(self._current())):
            if number % 16 == 15:
                await anyio.lowlevel.checkpoint()
            kept.attendance.end(kept.room.clock.time_ms())
            self._write(kept)

    def _write(self, kept: KeptRoom) -> None:
        if not kept.writable:
            return
        try:
            kept.write()
        except RemoteError as error:
            log.error("presence of document %r can't be written: %s", kept.room.name, error)
            self.deleted(kept.room.name)

    # Asking

    def where(self, ids: Iterable[str]) -> set[str]:
        """Return the open documents that may know something of people."""
        return set().union(*(self._where.get(id, ()) for id in ids))

    def people(
        self, ids: Sequence[str], may_tell: Callable[[str], bool] = lambda document: True
    ) -> dict[str, Sighting]:
        """Return what is known of people in open documents; in those that ``may_tell`` names."""
        told: dict[str, bool] = {}
        found: dict[str, Sighting] = {}
        for id in ids:
            records: list[Person] = []
            for name in self._where.get(id, ()):
                kept = self.room(name)
                if kept is None:
                    continue
                if name not in told:
                    told[name] = may_tell(name)
                record = kept.record(id) if told[name] else None
                if record is not None:
                    records.append(record)
            if records:
                best = max(records, key=lambda each: (_RANK[each.status], each.last_seen_ms))
                found[id] = Sighting(
                    id=id,
                    status=best.status,
                    last_seen_ms=max(each.last_seen_ms for each in records),
                    name=best.name,
                )
        return found

    # Keeping account

    def _of(self, connection: "Connection") -> KeptRoom | None:
        kept = self._kept.get(connection.room.name)
        return kept if kept is not None and kept.room is connection.room else None

    def _stir(self, kept: KeptRoom) -> None:
        if not self._stirred:
            self._alarm.set()
        self._stirred[kept.room.name] = kept

    def _is_current(self, kept: KeptRoom) -> bool:
        return self._hub is not None and self._hub.rooms.get(kept.room.name) is kept.room

    def _current(self) -> Iterator[KeptRoom]:
        return (kept for kept in self._kept.values() if self._is_current(kept))

    def _learn(self, id: str, kept: KeptRoom) -> None:
        kept.known.add(id)
        self._where.setdefault(id, set()).add(kept.room.name)

    def _tidy(self) -> None:
        """Let go of rooms that were closed, now and then."""
        assert self._hub is not None
        if len(self._kept) <= 2 * len(self._hub.rooms) + 16:
            return
        for name, kept in list(self._kept.items()):
            if not self._is_current(kept):
                del self._kept[name]
                self._forget(kept)

    def _forget(self, kept: KeptRoom) -> None:
        name = kept.room.name
        self._stirred.pop(name, None)
        for id in kept.known:
            documents = self._where.get(id)
            if documents is not None:
                documents.discard(name)
                if not documents:
                    del self._where[id]
