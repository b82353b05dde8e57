"""One document's messages, read from its newest to those in archives.

Owns the going on from a chat into its archives. What a roll has only begun to move is read where
it was. Who may read is the caller's to decide.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from crdtsync.channels.model import Message, read_reaction
from crdtsync.channels.saying import Said, check_thread
from crdtsync.channels.shelf import Filed, Shelf

if TYPE_CHECKING:
    from crdtsync.channels.service import Channels
    from crdtsync.room import Room

__all__ = ["MAX_PAGE", "Listing", "holding"]

MAX_PAGE: Final = 500
"""Messages that are returned at once."""


class Listing:
    """The messages of one document."""

    def __init__(self, channels: "Channels", document: str) -> None:
        self._channels = channels
        self._document = document

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[tuple["Room", Shelf]]:
        hub = self._channels.open_hub
        async with hub.open(self._document) as room:
            shelf = self._channels.shelf(room)
            assert shelf is not None
            yield room, shelf

    async def messages(
        self, before: str | None = None, limit: int = 50, *, thread: str = ""
    ) -> list[Message]:
        """Return up to ``limit`` messages, the newest last: the newest, or those before an id.

        Goes on into the archives by itself. Who may read them is the caller's to decide.
        """
        return [each.message for each in await self.said(before, limit, thread=thread)]

    async def said(
        self, before: str | None = None, limit: int = 50, *, thread: str = ""
    ) -> list[Said]:
        """Return the same, each message with its reactions."""
        check_thread(thread)
        limit = max(0, min(limit, MAX_PAGE))
        async with self._open() as (_, shelf):
            found = {
                each.id: _said(shelf, thread, each) for each in shelf.before(thread, before, limit)
            }
            for filed in sorted(shelf.archives(thread), key=lambda each: each.last, reverse=True):
                if before is not None and filed.first >= before:
                    continue
                if len(found) >= limit and filed.last < min(found):
                    break
                for each in await self._archived(filed, before, limit):
                    found.setdefault(each.message.id, each)
                found = {id: found[id] for id in sorted(found)[-limit:]} if limit else {}
        return [found[id] for id in sorted(found)]

    async def message(self, id: str, *, thread: str = "") -> Said | None:
        """Return one message; ``None`` where there is none of this id."""
        async with self._open() as (_, shelf):
            message = shelf.message(thread, id)
            if message is not None:
                return _said(shelf, thread, message)
            for filed in holding(shelf, thread, id):
                for each in await self._archived(filed, f"{id}~", 1):
                    if each.message.id == id:
                        return each
        return None

    async def _archived(self, filed: Filed, before: str | None, limit: int) -> list[Said]:
        """Return messages of an archive, but those that are only on their way there."""
        hub = self._channels.open_hub
        async with hub.open(filed.archive.name) as room:
            shelf = self._channels.shelf(room)
            if shelf is None:
                return []
            thread = filed.archive.thread
            moving = shelf.begun(filed)
            found = shelf.before(thread, before, limit + len(moving))
            kept = [_said(shelf, thread, each) for each in found if each.id not in moving]
            return kept[:limit]


def _said(shelf: Shelf, thread: str, message: Message) -> Said:
    reactions: dict[str, list[str]] = {}
    times = shelf.reactions(thread, message.id)
    for key in sorted(times, key=lambda each: (str(times[each]), each)):
        try:
            reaction = read_reaction(key, times[key])
        except ValueError:
            continue
        reactions.setdefault(reaction.emoji, []).append(reaction.user)
    return Said(message, reactions)


def holding(shelf: Shelf, thread: str, id: str) -> list[Filed]:
    """Return the archives that may hold a message, the newest first."""
    return [each for each in reversed(shelf.archives(thread)) if each.first <= id <= each.last]
