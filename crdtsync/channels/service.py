"""Chat and presence of one hub: what the server itself does for them.

Owns which documents have channels, and hands on what happens in their rooms. In all others, and
where no rules say anything, none of this costs more than a look at a name.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from crdtsync.channels.archiving import Archiving, archive_names
from crdtsync.channels.asking import RoomPresence
from crdtsync.channels.book import Book
from crdtsync.channels.chat import Chat
from crdtsync.channels.judging import ChannelJudge
from crdtsync.channels.names import archive_of
from crdtsync.channels.presence import PresenceKeeping, Sighting
from crdtsync.channels.rates import Brought
from crdtsync.channels.rules import ChannelRules
from crdtsync.channels.shelf import Shelf
from crdtsync.channels.shrinking import Shrinking
from crdtsync.channels.writing import MapWriter
from crdtsync.errors import Unavailable
from crdtsync.state_vector import fresh_client

if TYPE_CHECKING:
    from crdtsync.connection import Connection
    from crdtsync.document import Document
    from crdtsync.hub import Hub
    from crdtsync.room import Room

__all__ = ["Channels"]


class Channels:
    """The channels of one hub, which says so itself: ``hub.channels``."""

    def __init__(self, rules: ChannelRules) -> None:
        self.rules = rules
        self.active = bool(rules.chat or rules.presence)
        """Whether there are channels anywhere."""
        self.hub: Hub | None = None
        self.archiving = Archiving(self)
        self.shrinking = Shrinking()
        self._shelves: dict[str, tuple[Room, Shelf]] = {}
        self._dense = 0
        self.keeping = PresenceKeeping(rules.present)
        self._last_ms = 0
        self._brought = Brought()

    @property
    def open_hub(self) -> "Hub":
        """The hub, for what happens only while it is open."""
        assert self.hub is not None
        return self.hub

    # Chat

    def chat(self, document: str) -> Chat:
        """Return the chat of a document. Raises ``NoChat`` where it has none."""
        return Chat(self, document)

    def moment_ms(self, now_ms: int) -> int:
        """Return the time of a message of the server's own: no two have the same, or they would
        stand in any order."""
        self._last_ms = now_ms if now_ms > self._last_ms else self._last_ms + 1
        if self._last_ms > now_ms + 1000:  # the clock was set back
            self._last_ms = now_ms
        return self._last_ms

    def shelf(self, room: "Room") -> Shelf | None:
        """Return the messages of a loaded room; ``None`` where there is no chat."""
        known = self._shelves.get(room.name)
        if known is not None and known[0] is room:
            return known[1]
        if not room.loaded:
            return None
        shelf = self.shelve(room.name, room.document)
        self._keep_shelf(room, shelf)
        return shelf

    def shelve(self, name: str, document: "Document") -> Shelf | None:
        """Return the messages of a document that nobody has yet; ``None`` where there is no chat.

        May be called on another thread.
        """
        if not self.rules.chats(name):
            return None
        return Shelf(name, document, MapWriter(document, fresh_client(document.clocks)))

    def _keep_shelf(self, room: "Room", shelf: Shelf | None) -> None:
        if shelf is None:
            return
        self._shelves[room.name] = room, shelf
        if len(self._shelves) > 2 * self._dense + 16 and self.hub is not None:
            rooms = self.hub.rooms  # those that are closed were told to nobody
            self._shelves = {n: v for n, v in self._shelves.items() if rooms.get(n) is v[0]}
            self._dense = len(self._shelves)

    async def shed(self, room: "Room") -> None:
        """Make a room's document smaller where that can be, ahead of its checkpoint."""
        if room.loaded and self.rules.chats(room.name):
            await self.shrinking.shrink(room)

    @asynccontextmanager
    async def ending(self, document: str) -> AsyncIterator[list[str]]:
        """Have a document's archives, by name, end before it does; nothing goes there meanwhile."""
        if archive_of(document) is not None or not self.rules.chats(document):
            yield []
            return
        async with self.archiving.alone(document):
            yield await archive_names(self.open_hub.store, document)

    # What may be asked

    def presence(self, document: str) -> RoomPresence:
        """Return presence in a document, to be asked."""
        return RoomPresence(self.open_hub, self.keeping, document)

    def people(self, ids: Sequence[str]) -> dict[str, Sighting]:
        """Return what presence knows of people, over all open documents; by id."""
        return self.keeping.people(ids)

    def judge(self, room: "Room") -> ChannelJudge | None:
        """Return who decides on what is said in a room; ``None`` where it has no channels."""
        if not self.active or not self.rules.concerns(room.name):
            return None
        return ChannelJudge(self.rules, room.name, room.limits, room.clock, self._brought)

    async def book(self, room: "Room") -> Book:
        """Return what a room's channels hold, what is not committed yet included.

        Ask anew after each wait: a book is kept up only for as long as it is needed. Raises
        ``Unavailable`` where the room has none.
        """
        done = anyio.Event()
        room.judge.keeper.keep_book(done.set)
        await done.wait()
        found = room.judge.keeper.book
        if found is None:
            raise Unavailable("the document's chat can't be read now")
        return found

    # What the hub tells

    def loaded(
        self, room: "Room", document: "Document", shelf: Shelf | None, updated_ms: int
    ) -> None:
        """Take note of a document that is about to be served; last changed at ``updated_ms``."""
        self._keep_shelf(room, shelf)  # it misses nothing that is let in
        if self.hub is not None:
            self.keeping.loaded(self.hub, room, document, updated_ms)

    def opened(self, room: "Room") -> None:
        """Take note of a room that has been loaded."""
        if self.rules.chat:
            self.archiving.look(room)
        self.keeping.opened(room)

    def came(self, connection: "Connection") -> None:
        """Take note of somebody who connects; the room may not be loaded yet."""
        self.keeping.came(connection)

    def became(self, connection: "Connection") -> None:
        """Take note that a connection speaks for its principal in another way."""
        self.keeping.became(connection)

    def went(self, connection: "Connection") -> None:
        """Take note of a connection that is gone."""
        self.keeping.went(connection)

    def committed(self, rooms: Iterable["Room"]) -> None:
        """Take note of rooms in which something was committed."""
        if self.rules.chat:
            for room in rooms:
                if self.rules.chats(room.name):
                    self.shrinking.amend(room)
                    self.archiving.look(room)
        self.keeping.committed(rooms)

    def deleted(self, document: str) -> None:
        """Take note that a document is being deleted: nothing is to be written there any more."""
        self.keeping.deleted(document)

    async def run(self) -> None:
        """Do what is to be done now and then, for as long as the hub is open."""
        await self.keeping.run()

    async def finish(self) -> None:
        """Write down that nobody is connected any more: the server ends."""
        await self.keeping.finish()
