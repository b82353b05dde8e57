"""What was written to messages that an archive had taken by then: edits, deletions, reactions.

Owns how it gets to where the message is. It was let in and stands in the chat, so that a server
that stops forgets none of it; from there it goes to the archive, and then out of the chat.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crdtsync.channels.hand import submit
from crdtsync.channels.model import read_message
from crdtsync.channels.shelf import Shelf, chat_root, is_deleted, reactions_root

if TYPE_CHECKING:
    from crdtsync.channels.service import Channels
    from crdtsync.room import Room

__all__ = ["Late"]

Value = Any


class Late:
    """What comes late to the archives of one hub. To be asked by one at a time for a document."""

    def __init__(self, channels: "Channels") -> None:
        self._channels = channels

    async def bring(self, room: "Room", shelf: Shelf, thread: str, new: set[str]) -> int:
        """Take what was written to messages that were archived by then to where they are.

        Return how many there were. A message that is deleted in either place stays so. Which
        ones no archive holds although they are as old is added to ``new``; but what was deleted
        here before goes again.
        """
        with shelf.taking_late(thread) as late:
            return await self._bring(room, shelf, thread, late, new)

    async def _bring(
        self, room: "Room", shelf: Shelf, thread: str, late: set[str], new: set[str]
    ) -> int:
        hub = self._channels.open_hub
        root, moved = chat_root(thread), 0
        old: set[str] = set()
        looked: set[str] = set()
        begun_with = set(shelf.ids(thread))  # what comes meanwhile is for the next round
        there_now: list[str] | None = None
        for filed in shelf.archives(thread):
            there_now = shelf.ids(thread) if there_now is None else there_now
            ids = [id for id in there_now if filed.first <= id <= filed.last and id in begun_with]
            looked.update(id for id in ids if id not in new)
            if looked.isdisjoint(ids):
                continue
            there_now = None  # from here on other things happen
            async with hub.open(filed.archive.name) as archive:
                there = self._channels.shelf(archive)
                if there is None or archive.damage:
                    old.update(ids)
                    continue
                begun = there.begun(filed)
                back = {
                    id: shelf.value(thread, id)
                    for id in ids
                    if id not in begun and there.value(thread, id) is not None
                }
                old.update(back)
                if not back:
                    continue
                sets = [
                    (root, id, changed)
                    for id, value in back.items()
                    if (changed := _changed(id, there.value(thread, id), value)) is not None
                ]
                gone = [
                    (reactions_root(thread), key)
                    for _, id, value in sets
                    if is_deleted(value)
                    for key in there.reactions(thread, id)
                ]
                submit(archive, there.writer.update(sets, gone))
                await hub.committed(archive)
            moved += await self._take_out(room, shelf, thread, back)
        strays = (looked & late) - old
        moved += await self._take_out(
            room, shelf, thread, {id: shelf.value(thread, id) for id in strays}
        )
        new |= looked - old - strays
        return moved

    async def _take_out(
        self, room: "Room", shelf: Shelf, thread: str, values: Mapping[str, Value]
    ) -> int:
        """Delete messages where they are as they were; return how many."""
        hub = self._channels.open_hub
        if hub.rooms.get(room.name) is not room:
            return 0
        same = [id for id, value in values.items() if shelf.value(thread, id) == value]
        submit(room, shelf.writer.update((), [(chat_root(thread), id) for id in same]))
        await hub.committed(room)
        return len(same)

    async def bring_reactions(self, room: "Room", shelf: Shelf) -> None:
        """Move what came as a reaction to a message that was archived by then."""
        hub = self._channels.open_hub
        for thread, id in shelf.strays():
            said = shelf.reactions(thread, id)
            root = reactions_root(thread)
            for filed in shelf.archives(thread):
                if filed.first <= id <= filed.last:
                    async with hub.open(filed.archive.name) as archive:
                        there = self._channels.shelf(archive)
                        message = None if there is None else there.message(thread, id)
                        if there is None or message is None or message.deleted_ms:
                            continue
                        sets = [(root, key, value) for key, value in said.items()]
                        submit(archive, there.writer.update(sets))
                        await hub.committed(archive)
            if hub.rooms.get(room.name) is room and shelf.reactions(thread, id) == said:
                submit(room, shelf.writer.update((), [(root, key) for key in said]))
        await hub.committed(room)


def _changed(id: str, there: Value, late: Value) -> Value | None:
    """Return what an archived message becomes by what its author, or a moderator, wrote late.

    ``None`` where it stays as it is. That people speak for themselves was decided when it came.
    """
    try:
        before, after = read_message(id, there), read_message(id, late)
    except ValueError:
        return None
    if before.deleted_ms or (before.author, before.type) != (after.author, after.type):
        return None
    if after.deleted_ms:
        return late
    if after == before or after.reply_to != before.reply_to or not after.edited_ms:
        return None
    return replace(after, name=before.name).value()
