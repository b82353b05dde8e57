"""A room's index of places, and the book of its channels beside it: made, kept up, let go of.

Owns what is gathered to make them: the document as it was, and every update that is let in
meanwhile, in that order. A large document's are made on a thread. Who needs them waits, and nobody
else.
"""

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from crdtsync.channels.book import Book, Draft
from crdtsync.channels.judging import ChannelJudge
from crdtsync.connection import Connection
from crdtsync.edit import index_update
from crdtsync.implied import Implied
from crdtsync.limits import Limits, trusting
from crdtsync.places import PlaceIndex, Run
from crdtsync.structs import Scan
from crdtsync.update import scan

if TYPE_CHECKING:
    from crdtsync.room import Room

__all__ = ["INDEX_HERE_BYTES", "Keeper", "Making", "Reading"]

log = logging.getLogger("crdtsync")

INDEX_HERE_BYTES: Final = 32 * 1024
"""Of more the index is made on a thread: it takes some 250 ms a megabyte."""


class Making:
    """An index that is being made."""

    __slots__ = (
        "_channels",
        "_limits",
        "_parts",
        "_taken",
        "begun",
        "book",
        "gathered_bytes",
        "index",
        "over",
        "then",
        "waiting",
    )

    def __init__(
        self,
        limits: Limits,
        parts: list[bytes],
        *,
        values: bool,
        channels: ChannelJudge | None = None,
    ) -> None:
        """Begin with updates that follow one another; ``limits`` are those for stored bytes."""
        self._limits = limits
        self._parts = parts
        self._taken: list[bytes] = []
        self.gathered_bytes = sum(map(len, parts))
        """How much waits to be put into the index."""
        self.index = PlaceIndex(values=values)
        self.book: Book | None = None if channels is None else Book()
        self._channels = channels
        self.begun = False
        """Whether a thread is on it, or will be."""
        self.over = False
        """Whether nobody needs it any more."""
        self.waiting: list[Connection] = []
        """Those who can't go on without it."""
        self.then: list[Callable[[], None]] = []
        """What else is to be called when it is made, or can't be."""

    def add(self, update: bytes) -> None:
        """Gather an update that was let in."""
        self._parts.append(update)
        self.gathered_bytes += len(update)

    def take(self) -> list[bytes]:
        """Return what was gathered, for ``put``."""
        parts, self._parts = self._parts, []
        self._taken += parts
        self.gathered_bytes = 0
        return parts

    def anew(self) -> "Making":
        """Return one of all that was ever gathered here, which no thread has anything of."""
        parts = [*self._taken, *self._parts]
        return Making(self._limits, parts, values=self.index.values, channels=self._channels)

    def put(self, parts: list[bytes]) -> None:
        """Put updates into the index. May be called on another thread."""
        for update in parts:
            if self.over:
                return
            found = scan(update, self._limits, structs=True)
            enter(update, found, self.index, self.book, self._channels)


def enter(
    update: bytes,
    found: Scan,
    index: PlaceIndex,
    book: Book | None,
    channels: ChannelJudge | None,
) -> bool:
    """Put an update into an index, and a book; return whether all of it had a place there."""
    if book is None or channels is None:
        return index_update(found, index)
    changes = channels.look(update, index, book, known=True)
    fits = index_update(found, index, changes)
    if changes:
        draft = book.draft()
        draft.read(changes)
        book.take(draft)
    return fits


Reading = tuple[bytes, Iterable[Run], Draft | None]
"""An update that was decided on: its items' places, and what it does in channels."""


class Keeper:
    """The index of one room's places, and the book of its channels, while they are needed."""

    __slots__ = (
        "_room",
        "book",
        "broken",
        "channels",
        "implied",
        "index",
        "lingers",
        "making",
        "users",
    )

    def __init__(self, room: "Room") -> None:
        self._room = room
        self.channels = room.engine.channels.judge(room)
        """Who decides on chat and presence; ``None`` where the document has neither."""
        self.implied = Implied(room)
        self.index: PlaceIndex | None = None
        self.book: Book | None = None
        self.making: Making | None = None
        self.users = 0
        """How many need them who aren't connected."""
        self.lingers = False
        """Whether one of those has gone, and it is kept a while for the next."""
        self.broken = False
        """Whether there can be none."""

    def note(self, update: bytes, found: Scan, read: Reading | None) -> None:
        """Take over an update that is let in, and what it was ``read`` as."""
        if self.making is not None:
            self.making.add(update)
        index, book = self.index, self.book
        if index is None:
            return
        if read is not None:
            fits = all(map(index.put, read[1]))
            if read[2] is not None and book is not None:
                book.take(read[2])
        else:
            placement = index.place_item(update, found) if book is None else None
            if placement is not None:
                fits = index.put(placement)
            else:
                if found.structs is None:
                    found = scan(update, trusting(self._room.limits), structs=True)
                fits = enter(update, found, index, book, self.channels)
        if not fits:
            self.misfits()

    def misfits(self) -> None:
        """Let go of an index that is wrong; it is made anew for the next who asks."""
        log.error("the places of document %r don't follow one another", self._room.name)
        self.index = self.book = None

    def make(self, *, values: bool) -> Making:
        """Begin to make the index of all that is here; nothing gets past it from now on."""
        making = self.making
        if making is not None and not making.over and (making.index.values or not values):
            return making
        room = self._room
        then = self.stop_making()
        parts = [*room.document.parts(), *room.uncommitted_updates()]
        values = values or (self.index is not None and self.index.values)
        limits = trusting(room.limits)
        self.making = making = Making(limits, parts, values=values, channels=self.channels)
        making.then = then
        room.document.judge = room.judge
        for each in room.connections:
            each.free = False
        return making

    def keep_book(self, then: Callable[[], None]) -> None:
        """Call something when there is a book, or none can be had."""
        if self.book is not None or self.broken or self.channels is None:
            then()
            return
        making = self.make(values=False)
        making.then.append(then)
        if making.gathered_bytes <= INDEX_HERE_BYTES and not making.begun:
            self.make_here(making)
        else:
            self.begin(making)

    def when_made(self, call: Callable[[], None]) -> None:
        """Call something when what is being made is made, or can't be."""
        assert self.making is not None
        self.making.then.append(call)
        self.begin(self.making)

    def begin(self, making: Making) -> None:
        """Have a thread make it, unless one is on it."""
        if not making.begun:
            making.begun = True
            self._room.engine.index_apart(self._room.judge, making)

    def make_here(self, making: Making) -> None:
        """Make it now, from the beginning where a thread is on it."""
        if making.begun:
            then = self.stop_making()
            self.making = making = making.anew()
            making.then = then
        making.put(making.take())
        self.made(making)

    def made(self, making: Making) -> None:
        """Take over an index that was made apart, but for the newest updates."""
        if making is not self.making:
            return
        making.put(making.take())
        self.making = None
        room = self._room
        if any(making.index.end(each) != clock for each, clock in room.document.clocks.items()):
            self.failed(making)
        else:
            self.index = making.index
            self.book = making.book
        _call(making.then)

    def failed(self, making: Making) -> None:
        """Take note that there can be no index: nothing enters that needs it."""
        log.error("the places of document %r can't be told", self._room.name)
        self.making = None
        self.broken = True
        _call(making.then)

    def drop(self) -> None:
        """Let go of everything."""
        self.index = self.book = None
        self.broken = False
        _call(self.stop_making())

    def stop_making(self) -> list[Callable[[], None]]:
        """Make no index any more; return what was to be called then."""
        making, self.making = self.making, None
        if making is None:
            return []
        making.over = True
        then, making.then = making.then, []
        return then


def _call(then: list[Callable[[], None]]) -> None:
    while then:
        then.pop()()
