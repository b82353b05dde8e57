"""What a room's channels hold now: who said what, who is there. Kept up with every update.

Owns, by root and key, what the document shows there: the last of a key's items, in the order that
Yjs and pycrdt give them, unless that is deleted. Invariants:

- It says what a client shows that has integrated the same updates, whatever came at the same time.
- A message that is gone is known to be, and so is what stood under its key: what comes there late
  has its place in that order.
- A key takes memory for as long as its root's index of places does; of what is gone, some 200
  bytes.

It is about what was let in, committed or not. Decides on nothing, and knows no clock.
"""

from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from crdtsync.channels.changes import GONE, Change, Changes, Drop, Gone, Reacted, Said
from crdtsync.channels.model import Message, Person
from crdtsync.channels.names import ARCHIVES, CHAT, PRESENCE, REACTIONS, RECEIPTS
from crdtsync.idset import IdSet
from crdtsync.structs import Id, Range

__all__ = ["Book", "Draft", "Slot"]

_NOTHING: Final[Mapping[str, "Slot"]] = {}


class Slot:
    """One key: its items from the first to the last, those that lost against others left out."""

    __slots__ = ("chain", "owner", "said")

    def __init__(self, chain: "array[int]", said: Said, owner: str | None = None) -> None:
        self.chain = chain
        """Client, first clock and end clock of each run, every item standing behind the last."""
        self.said = said
        """What the last one holds, ``GONE`` where it is deleted."""
        self.owner = owner
        """Whose deleted item it is, where that came before any other; ``None``: not known."""

    @property
    def is_gone(self) -> bool:
        """Whether there was something that isn't there any more."""
        return self.said is GONE and self.owner is None

    @property
    def last(self) -> Id:
        """The last item's id."""
        return self.chain[-3], self.chain[-1] - 1

    def behind(self, change: Change) -> "array[int] | None":
        """Return the chain with one more item at its end; ``None`` where it loses."""
        chain = self.chain
        at, clock = self._find(change.origin)
        if at < -1:
            return None
        if at >= 0 and clock < chain[3 * at + 2]:
            rival = chain[3 * at]  # in the same run
        elif 3 * at + 3 < len(chain):
            rival = chain[3 * at + 3]
        else:
            rival = -1
        if rival >= change.client:
            return None
        kept = chain[: 3 * at + 3]
        if rival >= 0 and at >= 0:
            kept[-1] = clock
        if kept and kept[-3] == change.client and kept[-1] == change.start:
            kept[-1] = change.end
        else:
            kept.extend((change.client, change.start, change.end))
        return kept

    def _find(self, origin: Id | None) -> tuple[int, int]:
        """Return in which run an item is, and the clock behind it; -1 before all, -2 nowhere."""
        if origin is None:
            return -1, 0
        client, clock = origin
        chain = self.chain
        for at in range(len(chain) // 3 - 1, -1, -1):
            if chain[3 * at] == client and chain[3 * at + 1] <= clock < chain[3 * at + 2]:
                return at, clock + 1
        return -2, 0


class Book:
    """What the channels of one document hold. To be read; changed by drafts alone."""

    __slots__ = ("_gone", "_order", "_slots", "strange", "version")

    def __init__(self) -> None:
        self._slots: dict[str, dict[str, Slot]] = {}
        self._gone: dict[str, dict[str, array[int]]] = {}  # of messages that are gone: the chains
        self._order: dict[str, list[str]] = {}  # by root: the ids of what is a message, sorted
        self.strange = IdSet()
        """Items that lie in others, where only plain values belong."""
        self.version = 0
        """Another number whenever something has changed."""

    # What is said

    def messages(self, thread: str = "", *, before: str = "", limit: int = 0) -> list[Message]:
        """Return messages in order, the oldest first: all, or the last ones ``before`` an id."""
        name = _chat(thread)
        ids = self._order.get(name, [])
        end = bisect_left(ids, before) if before else len(ids)
        start = max(0, end - limit) if limit else 0
        slots = self._slots.get(name, _NOTHING)
        found = [slots[id].said for id in ids[start:end]]
        return [each for each in found if isinstance(each, Message)]

    def count(self, thread: str = "") -> int:
        """Return how many messages there are."""
        return len(self._order.get(_chat(thread), ()))

    def ids(self, thread: str = "") -> Sequence[str]:
        """Return the ids of the messages, the oldest first. Not to be changed."""
        return self._order.get(_chat(thread), ())

    def message(self, id: str, thread: str = "") -> Message | None:
        """Return a message by its id."""
        slot = self._slots.get(_chat(thread), _NOTHING).get(id)
        said = None if slot is None else slot.said
        return said if isinstance(said, Message) else None

    def threads(self) -> list[str]:
        """Return the threads in which there are messages."""
        return sorted(
            name[len(CHAT) + 1 :] for name, ids in self._order.items() if ids and "/" in name
        )

    def reactions(self, thread: str = "") -> list[Reacted]:
        """Return all reactions to messages of a thread."""
        return [each for each in self._said(_in(REACTIONS, thread)) if isinstance(each, Reacted)]

    def receipts(self, thread: str = "") -> dict[str, str]:
        """Return by user the id of the last message that they read."""
        slots = self._slots.get(_in(RECEIPTS, thread), _NOTHING)
        return {user: slot.said for user, slot in slots.items() if isinstance(slot.said, str)}

    def archives(self) -> dict[str, dict[str, Any]]:
        """Return what is said of each archive, by its key."""
        slots = self._slots.get(ARCHIVES, _NOTHING)
        return {key: slot.said for key, slot in slots.items() if isinstance(slot.said, dict)}

    def people(self) -> dict[str, Person]:
        """Return the people of presence."""
        slots = self._slots.get(PRESENCE, _NOTHING)
        return {id: slot.said for id, slot in slots.items() if isinstance(slot.said, Person)}

    def keys(self, root: str) -> list[str]:
        """Return the keys of a root that hold something, whatever it is."""
        slots = self._slots.get(root, _NOTHING)
        return [key for key, slot in slots.items() if not isinstance(slot.said, Gone)]

    def was_said(self, id: str, thread: str = "") -> bool:
        """Return whether there is such a message, or was, here or in an archive."""
        if self.slot(_chat(thread), id) is not None:
            return True
        return any(id <= last for _, last in self._filed(thread))

    def may_be_archived(self, id: str, thread: str = "") -> bool:
        """Return whether a message is of a time that an archive is about."""
        return any(first <= id <= last for first, last in self._filed(thread))

    def _filed(self, thread: str) -> Iterator[tuple[str, str]]:
        """Iterate over the archives of a thread: the ids of their first and last messages."""
        for key, archive in self.archives().items():
            if key.rpartition("/")[0] == thread:
                first, last = archive.get("first"), archive.get("last")
                if isinstance(first, str) and isinstance(last, str):
                    yield first, last

    def _said(self, root: str) -> Iterable[Said]:
        return (slot.said for slot in self._slots.get(root, _NOTHING).values())

    # Being kept up

    def draft(self) -> "Draft":
        """Return what takes changes, to be put into the book later, or never."""
        return Draft(self)

    def slot(self, root: str, key: str) -> Slot | None:
        """Return what is known of a key."""
        slot = self._slots.get(root, _NOTHING).get(key)
        if slot is None:
            gone = self._gone.get(root)
            chain = None if gone is None else gone.get(key)
            return None if chain is None else Slot(chain, GONE)
        return slot

    def take(self, draft: "Draft") -> None:
        """Put a draft's changes into the book."""
        if draft.strange is not None:
            self.strange.add(draft.strange)
        if draft.slots:
            self.version += 1
        for (root, key), slot in draft.slots.items():
            slots = self._slots.setdefault(root, {})
            chats = _is_chat(root)
            if chats:
                self._note_order(root, key, slot)
            if chats and slot.is_gone:
                slots.pop(key, None)
                self._gone.setdefault(root, {})[key] = slot.chain
            else:
                slots[key] = slot
                if chats:
                    self._gone.get(root, {}).pop(key, None)

    def _note_order(self, root: str, key: str, slot: Slot) -> None:
        ids = self._order.setdefault(root, [])
        at = bisect_left(ids, key)
        known = at < len(ids) and ids[at] == key
        listed = isinstance(slot.said, Message)
        if listed and not known:
            if not ids or key > ids[-1]:
                ids.append(key)
            else:
                insort(ids, key)
        elif known and not listed:
            del ids[at]


class Draft:
    """Changes on top of a book."""

    __slots__ = ("_book", "amends", "restated", "slots", "strange", "times_ms", "who")

    def __init__(self, book: Book) -> None:
        self._book = book
        self.slots: dict[tuple[str, str], Slot] = {}
        self.strange: IdSet | None = None
        self.amends: list[Range] = []
        """Items that are to be deleted when the others are let in."""
        self.restated: list[tuple[str, str, Message]] = []
        """Roots, keys and messages that are to stand there then, whatever else does."""
        self.who = ""
        self.times_ms: list[int] = []
        """When the things that are said in it were said, and by whom: what counts for a rate."""

    def slot(self, root: str, key: str) -> Slot | None:
        """Return what is known of a key, the draft's changes included."""
        return self.slots.get((root, key)) or self._book.slot(root, key)

    def read(self, changes: Changes) -> None:
        """Take everything as it is: it was let in by somebody else."""
        self.strange = changes.strange
        for change in changes.sets:
            self.put(change)
        for drop in changes.drops:
            self.drop(drop)

    def put(self, change: Change, owner: str | None = None) -> bool:
        """Take a key's new item; return whether that is what the key shows from now on.

        ``owner`` is whose it is, where it is deleted and the first.
        """
        key, said = change.key, change.said
        if key is None or change.nested:
            return False
        slot = self.slot(change.name, key)
        if slot is None:
            chain = array("Q", (change.client, change.start, change.end))
            self.slots[change.name, key] = Slot(chain, said, owner if said is GONE else None)
            return True
        longer = slot.behind(change)
        if longer is None:
            return False
        self.slots[change.name, key] = Slot(longer, said, owner if said is GONE else None)
        return True

    def drop(self, drop: Drop) -> Slot | None:
        """Take a deletion; return the key as it was where that is what it showed."""
        if drop.key is None:
            return None
        slot = self.slot(drop.name, drop.key)
        if slot is None or isinstance(slot.said, Gone):
            return None
        client, clock = slot.last
        if drop.client != client or not drop.start <= clock < drop.end:
            return None
        self.slots[drop.name, drop.key] = Slot(slot.chain, GONE)
        return slot

    def was_said(self, id: str, thread: str) -> bool:
        """Return whether there is, or was, such a message."""
        return (_chat(thread), id) in self.slots or self._book.was_said(id, thread)

    def may_be_archived(self, id: str, thread: str) -> bool:
        """Return whether a message is of a time that an archive is about."""
        return self._book.may_be_archived(id, thread)


def _in(root: str, thread: str) -> str:
    return f"{root}/{thread}" if thread else root


def _chat(thread: str) -> str:
    return _in(CHAT, thread)


def _is_chat(root: str) -> bool:
    return root == CHAT or root.startswith(f"{CHAT}/")
