"""The shedding of archived messages from their chats' documents, before a checkpoint of one.

Owns when that is worth a look, and that nothing comes to stand where something was shed: what
comes in behind it is deleted for everybody who still has what was there. Newcomers have nothing of
what is gone and will write behind none of it, so they are given a state from which all of it was
shed, of whatever time; what is written late to such a message shows nothing to them, and goes to
its archive at once.
"""

from typing import TYPE_CHECKING, Final

import anyio.to_thread

from crdtsync.channels.entries import Entries
from crdtsync.channels.hand import submit
from crdtsync.channels.names import thread_of
from crdtsync.channels.shedding import MIN_SHED, Shed, sheds
from crdtsync.channels.writing import entries_of
from crdtsync.joining import write_deletes

if TYPE_CHECKING:
    from crdtsync.document import Document
    from crdtsync.room import Room

__all__ = ["Shrinking"]

LOOK_S: Final = 600.0
"""A document is looked at so often at most: that takes some 400 ms for 100,000 messages, on a
thread."""
ANY_TIME_MS: Final = 1 << 48
"""After all messages."""
MIN_LIGHTER: Final = 0.75
"""What newcomers are given instead is no more than this part of the state."""
PAUSE: Final = 50.0
"""That is made anew after so many times as long as it took to make,"""
MIN_PAUSE_S: Final = 10.0
"""and after this time at least."""
MAX_SINCE_BYTES: Final = 64 * 1024
"""It is good until so much has come since."""


class Shrinking:
    """The shedding in one hub's documents."""

    def __init__(self) -> None:
        self._looked_s: dict[str, float] = {}
        self._lighten_s: dict[str, float] = {}

    async def shrink(self, room: "Room") -> bool:
        """Shed what may be shed of a room's document; return whether there was anything.

        Only one at a time, and no checkpoint of the room meanwhile.
        """
        document, now_s = room.document, room.clock.monotonic_s()
        if document.verbatim or room.damage:
            return False
        sheds_some = now_s >= self._looked_s.get(room.name, 0.0)
        since = document.committed.since_light_bytes
        lightens = now_s >= self._lighten_s.get(room.name, 0.0) and (
            since is None or since > MAX_SINCE_BYTES
        )
        entries = entries_of(document)
        if not (sheds_some or lightens) or not _many(entries):
            return False
        before_ms = int(room.clock.time_ms() - 1000 * room.limits.chat_past_s) if sheds_some else 0
        snapshot = document.snapshot()
        document.committed.begin_light()
        start_s = room.clock.monotonic_s()
        found, light = await anyio.to_thread.run_sync(
            _smaller, document, snapshot.state, before_ms, dict(document.clocks)
        )
        end_s = room.clock.monotonic_s()
        document.committed.lighten(light)
        if sheds_some:
            _note(self._looked_s, room.name, now_s, LOOK_S)
        _note(self._lighten_s, room.name, end_s, max(MIN_PAUSE_S, PAUSE * (end_s - start_s)))
        if found is None or document.verbatim:
            return False
        document.committed.shrink(snapshot, found.state)
        entries.forget(found.collected)
        return True

    def amend(self, room: "Room") -> None:
        """Delete what has come in behind what was shed."""
        entries = entries_of(room.document)
        if entries.lost:
            lost, entries.lost = entries.lost, []
            submit(room, b"\x00" + write_deletes(lost))


def lighten(document: "Document", state: bytes) -> None:
    """Make what newcomers are given of a document that was just made of a state."""
    if not document.verbatim and _many(entries_of(document)):
        document.committed.begin_light()
        document.committed.lighten(_smaller(document, state, 0, document.clocks)[1])


def _smaller(
    document: "Document", state: bytes, before_ms: int, clocks: dict[int, int]
) -> tuple[Shed | None, list[bytes] | None]:
    """Make two smaller ones of a document's state: without what is gone of a time before, and for
    newcomers, cut as they are sent it. May be called on another thread."""
    shed, light = sheds(state, before_ms, ANY_TIME_MS)
    if light is None or len(light.state) > MIN_LIGHTER * len(state):
        return shed, None
    return shed, document.committed.cut(light.state)


def _note(times: dict[str, float], name: str, now_s: float, pause_s: float) -> None:
    for each in [each for each, until_s in times.items() if until_s <= now_s]:
        del times[each]
    times[name] = now_s + pause_s


def _many(entries: Entries) -> bool:
    """Return whether there are, or were, so many messages that some may be shed."""
    chats = (root for root in entries.roots() if thread_of(root) is not None)
    return sum(1 for root in chats for _ in entries.keys(root)) >= MIN_SHED
