"""A chat's messages, in their order: what can be listed of one document without reading it all.

Owns the ids of what each thread holds, sorted by time, and which reactions belong to which
message. Kept along with the document's entries; what was taken out is noticed when it is looked
for. Decides nothing, and knows no rooms.
"""

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from crdtsync.channels.entries import Written
from crdtsync.channels.model import Message, read_message
from crdtsync.channels.names import (
    ARCHIVES,
    Archive,
    Channel,
    Root,
    is_message_id,
    read_root,
    thread_of,
)
from crdtsync.channels.writing import MapWriter, entries_of
from crdtsync.document import Document

__all__ = ["MOVING", "Filed", "Shelf"]

MOVING: Final = "moving"
"""The key in an archive's own ``chat-archives`` for what is on its way there."""


@dataclass(frozen=True, slots=True)
class Filed:
    """One archive, as its chat lists it."""

    archive: Archive
    first: str
    """The id of its earliest message,"""
    last: str
    """of its latest,"""
    count: int
    """and how many there are."""


class Shelf:
    """The messages of one document."""

    def __init__(self, name: str, document: Document, writer: MapWriter) -> None:
        """``document`` is the one that ``writer`` writes to; ``name`` its name."""
        self.name = name
        self.writer = writer
        self._ids: dict[str, list[str]] = {}  # by thread; what is gone may still be there,
        self._changed: dict[str, set[str]] = {}  # but only if it is here as well
        self._reactions: dict[str, dict[str, None]] = {}  # by message: keys
        self._document = document
        self._late: dict[str, set[str]] = {}  # by thread
        self._in_doubt: set[str] = set()  # threads
        self.most = 0
        """At least as many as the longest thread has."""
        entries = entries_of(document)
        for root in list(entries.roots()):
            for key in writer.keys(root):
                self._add(root, key)
        self._changed = {thread: set(ids) for thread, ids in self._ids.items()}
        for thread in self._ids:
            self.ids(thread)
        for filed in self._filed():
            ids = self._ids.get(filed.archive.thread, [])
            at = bisect_left(ids, filed.first)
            if at < len(ids) and ids[at] <= filed.last:
                self._in_doubt.add(filed.archive.thread)
        entries.listeners.append(self._wrote)
        entries.mourners.append(self._drops)

    def _drops(self, root: str, key: str) -> None:
        thread = thread_of(root)
        if thread is not None:
            self._changed.setdefault(thread, set()).add(key)

    def _wrote(self, written: Written) -> None:
        self._add(written.root, written.key)
        thread, before = thread_of(written.root), written.before
        if thread is None:
            return
        self._changed.setdefault(thread, set()).add(written.key)
        if before is not None and self._document.deleted.has(*before):
            self._late.setdefault(thread, set()).add(written.key)

    def _add(self, root: str, key: str) -> None:
        channel = read_root(root)
        if channel is None:
            return
        if channel.channel is Channel.CHAT and is_message_id(key):
            ids = self._ids.setdefault(channel.thread, [])
            at = bisect_left(ids, key)
            if at == len(ids) or ids[at] != key:
                ids.insert(at, key)
                self.most = max(self.most, len(ids))
        elif channel.channel is Channel.REACTIONS:
            self._reactions.setdefault(key.partition(" ")[0], {})[f"{root}\0{key}"] = None

    # Reading

    def threads(self) -> list[str]:
        """Return the threads that hold something; the document's own chat is the empty one."""
        return list(self._ids)

    def ids(self, thread: str) -> list[str]:
        """Return the ids of a thread's messages, the earliest first."""
        ids = self._ids.get(thread)
        if not ids:
            return []
        root = chat_root(thread)
        before = len(ids)
        for id in self._changed.pop(thread, ()):
            if not self.writer.holds(root, id):
                at = bisect_left(ids, id)
                if at < len(ids) and ids[at] == id:
                    del ids[at]
        if len(ids) < before:
            self.most = max(map(len, self._ids.values()), default=0)
        return list(ids)

    def before(self, thread: str, before: str | None, limit: int) -> list[Message]:
        """Return up to ``limit`` messages ahead of an id, the latest first."""
        ids = self._ids.get(thread, [])
        at = len(ids) if before is None else bisect_left(ids, before)
        found: list[Message] = []
        while at and len(found) < limit:
            at -= 1
            message = self.message(thread, ids[at])
            if message is not None:
                found.append(message)
        return found

    def message(self, thread: str, id: str) -> Message | None:
        """Return a message; ``None`` where there is none, or what is there can't be read."""
        value = self.writer.value(chat_root(thread), id)
        if value is None:
            return None
        try:
            return read_message(id, value)
        except ValueError:
            return None

    def value(self, thread: str, id: str) -> Any:
        """Return what the map holds under an id, read or not; ``None`` where it holds nothing."""
        return self.writer.value(chat_root(thread), id)

    def reactions(self, thread: str, id: str) -> dict[str, Any]:
        """Return a message's reactions: their keys, and the times under them."""
        root = reactions_root(thread)
        found: dict[str, Any] = {}
        for each in self._reactions.get(id, ()):
            where, _, key = each.partition("\0")
            if where == root:
                value = self.writer.value(root, key)
                if value is not None:
                    found[key] = value
        return found

    def strays(self) -> list[tuple[str, str]]:
        """Return the threads and ids of messages that aren't here and have reactions here."""
        found: list[tuple[str, str]] = []
        for id, keys in list(self._reactions.items()):
            threads = {each.partition("\0")[0].partition("/")[2] for each in keys}
            absent = [thread for thread in threads if self.message(thread, id) is None]
            strays = [(thread, id) for thread in absent if self.reactions(thread, id)]
            if not strays and len(absent) == len(threads):
                del self._reactions[id]
            found += strays
        return found

    # Archives

    @property
    def late(self) -> bool:
        """Whether anything was written to a message that wasn't here any more, or may have been.

        Of what stood here already when the document was loaded, all may be that is as old as
        what is archived.
        """
        return bool(self._late or self._in_doubt)

    @contextmanager
    def taking_late(self, thread: str) -> Iterator[set[str]]:
        """Give out the ids of such messages of a thread, those it is known of.

        Once, but again where an error is raised.
        """
        late, doubt = self._late.pop(thread, set()), thread in self._in_doubt
        self._in_doubt.discard(thread)
        try:
            yield late
        except BaseException:
            if late:
                self._late.setdefault(thread, set()).update(late)
            if doubt:
                self._in_doubt.add(thread)
            raise

    def archives(self, thread: str) -> list[Filed]:
        """Return the archives of a thread, the oldest first."""
        return sorted(
            (each for each in self._filed() if each.archive.thread == thread),
            key=lambda each: each.archive.number,
        )

    def _filed(self) -> Iterator[Filed]:
        for key, value in self.writer.values(ARCHIVES).items():
            thread, _, number = key.rpartition("/")
            if not (number.isascii() and number.isdigit() and isinstance(value, dict)):
                continue
            first, last, count = (value.get(each) for each in ("first", "last", "count"))
            if isinstance(first, str) and isinstance(last, str) and isinstance(count, int):
                yield Filed(Archive(self.name, int(number), thread), first, last, count)

    def begun(self, filed: Filed) -> frozenset[str]:
        """Return what an archive, this one, holds already and its chat has not counted to it."""
        same = len(self.ids(filed.archive.thread)) == filed.count
        return frozenset() if same else self.moving

    @property
    def moving(self) -> frozenset[str]:
        """Of an archive: the ids of what was last on its way there."""
        value = self.writer.value(ARCHIVES, MOVING)
        ids = value.get("ids") if isinstance(value, dict) else None
        return frozenset(ids) if isinstance(ids, list) else frozenset()


def is_deleted(value: Any) -> bool:
    """Return whether a message's value says that it was deleted."""
    return isinstance(value, dict) and bool(value.get("deleted"))


def chat_root(thread: str) -> str:
    """Return the name of the root that holds a thread's messages."""
    return Root(Channel.CHAT, thread).name


def reactions_root(thread: str) -> str:
    """Return the name of the root that holds reactions to them."""
    return Root(Channel.REACTIONS, thread).name
