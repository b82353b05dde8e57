"""Archives: where a chat's old messages go, so that its document stays small.

Owns the rolling of one hub's chats, one at a time for each document, in the background. A roll
takes three steps, each committed before the next begins, and may end after any of them:

1. The archive gets the messages with their reactions, and says which they are (``moving``).
2. The chat loses them and counts them to its archive, in one update. What has changed since the
   first step takes that step again before.
3. The next roll finds the archive's count to be the chat's. Where it is larger, the second step
   never was: what was moving is looked at again.

So nothing is ever in neither of them, and what is in both is the same. A message that was
deleted goes nowhere: where its chat loses it, it is gone.
"""

import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import anyio

from crdtsync.channels.hand import submit
from crdtsync.channels.late import Late
from crdtsync.channels.names import ARCHIVES, Archive, archive_of
from crdtsync.channels.shelf import MOVING, Filed, Shelf, chat_root, is_deleted, reactions_root
from crdtsync.channels.writing import write_any
from crdtsync.errors import CrdtsyncError
from crdtsync.store.base import Store

if TYPE_CHECKING:
    from crdtsync.channels.service import Channels
    from crdtsync.room import Room

__all__ = ["Archiving", "archive_names"]

log = logging.getLogger("crdtsync")

SLACK: Final = 1.5
"""A chat rolls when it has so many times what stays."""
MAX_UPDATE_BYTES: Final = 128 * 1024
"""An archive gets its messages in updates of about this size."""
MAX_AT_ONCE: Final = 25
"""Messages that move in one step: others have a turn behind each."""
MAX_TRIES: Final = 10
"""So often a roll begins anew because its messages changed meanwhile; then it is put off."""
RETRY_S: Final = 10.0
"""After a failure, what came late to an archived message is tried again in so long."""
MIN_ARCHIVE: Final = 5
"""A thread with fewer messages stays where it is, in full."""

Value = Any
Put = tuple[str, str, Value]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a roll moves: the messages that are to be kept, each with its reactions."""

    thread: str
    ids: tuple[str, ...]
    """All that the chat loses, deleted ones included."""
    kept: dict[str, tuple[Value, dict[str, Value]]]


class Archiving:
    """The rolling of one hub's chats."""

    def __init__(self, channels: "Channels") -> None:
        self._channels = channels
        self._late = Late(channels)
        self._rolling: set[str] = set()
        self._failed: set[str] = set()
        self._locks: dict[str, tuple[anyio.Lock, int]] = {}

    # When

    def look(self, room: "Room") -> None:
        """Roll a room's chat in the background where it has grown too long."""
        hub = self._channels.hub
        shelf = self._channels.shelf(room)
        if hub is None or shelf is None or not (shelf.late or shelf.most > self._threshold):
            return
        name = room.name
        if name not in self._rolling and not hub.draining and self._fit(room):
            self._rolling.add(name)
            hub.spawn(lambda: self._roll_in_turn(name))

    @property
    def busy(self) -> bool:
        """Whether anything is on its way to an archive."""
        return bool(self._rolling)

    @property
    def _threshold(self) -> int:
        return int(self._channels.open_hub.limits.chat_live_messages * SLACK)

    def _fit(self, room: "Room") -> bool:
        """Return whether anything may be moved out of a room's document."""
        if room.damage or room.fill.full or room.stalled or archive_of(room.name) is not None:
            return False
        longest = Archive(room.name, 1, "0" * 36).name
        return len(longest.encode()) <= self._channels.open_hub.limits.max_document_name_bytes

    async def _roll_in_turn(self, name: str) -> None:
        try:
            await self.roll(name)
        except CrdtsyncError as error:  # it is looked at again with the next message,
            log.warning("the chat of document %r is not archived now: %s", name, error)
            failed = True
        else:
            failed = False
        finally:
            self._rolling.discard(name)
        if failed:  # or without one
            if name in self._failed:
                return
            self._failed.add(name)
            try:
                await anyio.sleep(RETRY_S)
            finally:
                self._failed.discard(name)
        room = self._channels.open_hub.rooms.get(name)
        shelf = None if room is None else self._channels.shelf(room)
        if room is not None and shelf is not None and shelf.late:  # still, or since then
            self.look(room)

    @asynccontextmanager
    async def alone(self, document: str) -> AsyncIterator[None]:
        """Be the only one who changes a document's archives."""
        lock, users = self._locks.get(document) or (anyio.Lock(), 0)
        self._locks[document] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(document)
            if users > 1:
                self._locks[document] = lock, users - 1

    # A roll

    async def roll(self, document: str) -> int:
        """Move what is too much in a chat to its archives; return how many messages went."""
        hub = self._channels.open_hub
        moved = 0
        async with self.alone(document), hub.open(document) as room:
            shelf = self._channels.shelf(room)
            if shelf is None or not self._fit(room):
                return 0
            for thread in sorted(shelf.threads()):  # the chat itself goes first
                live = hub.limits.chat_live_messages
                if _is_over(shelf, thread):
                    live = 0
                elif len(shelf.ids(thread)) <= self._threshold:
                    moved += await self._late.bring(room, shelf, thread, set())
                    continue
                new: set[str] = set()
                moved += await self._late.bring(room, shelf, thread, new)
                while taken := await self._roll_some(room, shelf, thread, live, new):
                    moved += taken + await self._late.bring(room, shelf, thread, new)
            if moved:
                await self._late.bring_reactions(room, shelf)
        return moved

    async def _roll_some(
        self, room: "Room", shelf: Shelf, thread: str, live: int, new: set[str]
    ) -> int:
        """Move as many of a thread's messages as its newest archive takes.

        What an earlier archive may hold goes only where it is known to be ``new``.
        """
        hub = self._channels.open_hub
        limits = hub.limits
        filed = shelf.archives(thread)
        last = filed[-1] if filed else None
        if last is None or last.count >= limits.chat_archive_messages:
            number = 1 if last is None else last.archive.number + 1
            last = Filed(Archive(room.name, number, thread), "", "", 0)
        space = min(MAX_AT_ONCE, limits.chat_archive_messages - last.count)
        others = [each for each in filed if each.archive != last.archive]
        async with hub.open(last.archive.name) as archive:
            there = self._channels.shelf(archive)
            if there is None or archive.damage:
                return 0
            for _ in range(MAX_TRIES):
                if hub.rooms.get(room.name) is not room:
                    return 0  # deleted, for example
                goes = _Goes(thread, there, there.begun(last), others, new)
                plan = _plan(shelf, thread, live, space, goes)
                if not plan.ids:
                    return 0
                await self._fill(archive, there, last, plan)
                # From here to the submission nothing else happens.
                if _planned(shelf, thread, plan.ids, space) == plan:
                    submit(room, _taking(shelf, there, last, plan))
                    await hub.committed(room)
                    new.difference_update(plan.ids)
                    return len(plan.ids)
        return 0

    async def _fill(self, archive: "Room", there: Shelf, last: Filed, plan: _Plan) -> None:
        """Bring an archive to hold what its chat counts to it, and the plan's messages."""
        hub = self._channels.open_hub
        root, reactions = chat_root(plan.thread), reactions_root(plan.thread)
        orphans = there.begun(last) - set(plan.kept)
        gone = [(root, id) for id in orphans]
        gone += [(reactions, key) for id in orphans for key in there.reactions(plan.thread, id)]
        sets: list[Put] = []
        if plan.kept:
            sets.append((ARCHIVES, MOVING, {"ids": list(plan.kept)}))
        for id, (value, said) in plan.kept.items():
            if there.value(plan.thread, id) != value:
                sets.append((root, id, value))
            had = there.reactions(plan.thread, id)
            sets += [(reactions, key, each) for key, each in said.items() if had.get(key) != each]
            gone += [(reactions, key) for key in had if key not in said]
        for part in _parts(sets):
            submit(archive, there.writer.update(part, gone))
            gone = []
        if gone:
            submit(archive, there.writer.update((), gone))
        await hub.committed(archive)


def _is_over(shelf: Shelf, thread: str) -> bool:
    """Return whether a thread has come to rest: what began it is archived, all of it is older
    than the chat's messages, and there is enough of it that an archive is smaller."""
    if not thread or shelf.message("", thread) is not None:
        return False
    ids, chat = shelf.ids(thread), shelf.ids("")
    return len(ids) >= MIN_ARCHIVE and bool(chat) and ids[-1] < chat[0]


async def archive_names(store: Store, document: str) -> list[str]:
    """Return the names of a document's archives, by what the store has."""
    found: list[str] = []
    after, prefix = "", f"{document}/chat-archive/"
    while page := await store.documents(prefix=prefix, after=after, limit=500):
        after = page[-1].name
        archives = ((each.name, archive_of(each.name)) for each in page)
        found += [name for name, archive in archives if archive and archive.document == document]
    return found


class _Goes:
    """Says whether a message may go to the newest archive: not where it came back from one."""

    def __init__(
        self,
        thread: str,
        there: Shelf,
        begun: frozenset[str],
        others: Sequence[Filed],
        new: set[str],
    ) -> None:
        self._thread, self._there, self._begun = thread, there, begun
        self._others, self._new = others, new

    def __call__(self, id: str) -> bool:
        if id not in self._begun and self._there.value(self._thread, id) is not None:
            return False
        return id in self._new or not any(e.first <= id <= e.last for e in self._others)


def _plan(shelf: Shelf, thread: str, live: int, space: int, goes: _Goes) -> _Plan:
    """Return what is to go: the earliest messages, as many as are too much and find space."""
    ids = shelf.ids(thread)
    chosen = [id for id in ids[: max(0, len(ids) - live)] if goes(id)]
    return _planned(shelf, thread, chosen, space)


def _planned(shelf: Shelf, thread: str, chosen: Iterable[str], space: int) -> _Plan:
    """Return what is to go of some messages, as they are now."""
    taken: list[str] = []
    kept: dict[str, tuple[Value, dict[str, Value]]] = {}
    for id in chosen:
        value = shelf.value(thread, id)
        if value is None:
            continue
        if not is_deleted(value):
            if len(kept) == space:
                break
            kept[id] = value, shelf.reactions(thread, id)
        taken.append(id)
    return _Plan(thread, tuple(taken), kept)


def _taking(shelf: Shelf, there: Shelf, last: Filed, plan: _Plan) -> bytes:
    """Return the update by which a chat loses messages and counts them to an archive."""
    root, reactions = chat_root(plan.thread), reactions_root(plan.thread)
    gone = [(root, id) for id in plan.ids]
    for id in plan.ids:
        gone += [(reactions, key) for key in shelf.reactions(plan.thread, id)]
    filed = there.ids(plan.thread)
    sets: list[Put] = []
    if filed:
        value = {"first": filed[0], "last": filed[-1], "count": len(filed)}
        sets.append((ARCHIVES, last.archive.key, value))
    return shelf.writer.update(sets, gone)


def _parts(sets: list[Put]) -> list[list[Put]]:
    """Cut what is to be set into pieces of bounded size."""
    parts: list[list[Put]] = []
    size = MAX_UPDATE_BYTES
    for each in sets:
        if size >= MAX_UPDATE_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(each)
        size += len(each[1]) + len(write_any(each[2]))
    return parts
