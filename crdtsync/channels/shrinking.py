"""The shedding of archived messages from their chats' documents, before a checkpoint of one.

Owns when that is worth a look, and that nothing comes to stand where something was shed: what
comes in behind it is deleted for everybody who still has what was there.
"""

from typing import TYPE_CHECKING, Final

import anyio.to_thread

from crdtsync.channels.hand import submit
from crdtsync.channels.names import Channel, read_root
from crdtsync.channels.shedding import MIN_SHED, shed
from crdtsync.channels.writing import entries_of
from crdtsync.joining import write_deletes

if TYPE_CHECKING:
    from crdtsync.room import Room

__all__ = ["Shrinking"]

LOOK_S: Final = 600.0
"""A document is looked at so often at most: that takes some 400 ms for 100,000 messages, on a
thread."""


class Shrinking:
    """The shedding in one hub's documents."""

    def __init__(self) -> None:
        self._looked_s: dict[str, float] = {}

    async def shrink(self, room: "Room") -> bool:
        """Shed what may be shed of a room's document; return whether there was anything.

        Only one at a time, and no checkpoint of the room meanwhile.
        """
        document, now_s = room.document, room.clock.monotonic_s()
        if document.verbatim or room.damage or now_s < self._looked_s.get(room.name, 0.0):
            return False
        entries = entries_of(document)
        chats = [root for root in entries.roots() if _is_messages(root)]
        if sum(1 for root in chats for _ in entries.keys(root)) < MIN_SHED:
            return False
        self._looked_s = {n: at for n, at in self._looked_s.items() if at > now_s}
        self._looked_s[room.name] = now_s + LOOK_S
        snapshot = document.snapshot()
        before_ms = int(room.clock.time_ms() - 1000 * room.limits.chat_past_s)
        found = await anyio.to_thread.run_sync(shed, snapshot.state, before_ms)
        if found is None or document.verbatim:
            return False
        document.shrink(snapshot, found.state)
        entries.forget(found.collected)
        return True

    def amend(self, room: "Room") -> None:
        """Delete what has come in behind what was shed."""
        entries = entries_of(room.document)
        if entries.lost:
            lost, entries.lost = entries.lost, []
            submit(room, b"\x00" + write_deletes(lost))


def _is_messages(root: str) -> bool:
    channel = read_root(root)
    return channel is not None and channel.channel is Channel.CHAT
