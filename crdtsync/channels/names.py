"""Names: which roots of a document are channels, and which documents belong to them.

Owns the naming convention of docs/chat.md, in both directions. Knows no document's content.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

__all__ = [
    "ARCHIVES",
    "CHAT",
    "GUEST",
    "MESSAGE_ID",
    "PRESENCE",
    "REACTIONS",
    "RECEIPTS",
    "Archive",
    "Channel",
    "Root",
    "archive_of",
    "direct_name",
    "is_chat",
    "is_guest",
    "members_of",
    "read_root",
    "thread_of",
]

CHAT: Final = "chat"
REACTIONS: Final = "chat-reactions"
RECEIPTS: Final = "chat-receipts"
ARCHIVES: Final = "chat-archives"
PRESENCE: Final = "presence"
GUEST: Final = "guest-"
"""What the ids of people begin with whom nobody has vouched for."""
MAX_ID: Final = 200
"""Characters of a person's id in a channel."""

_DIRECT: Final = "dm/"
_ARCHIVE: Final = re.compile(
    r"(?s:(?P<document>.+))/chat-archive/(?:(?P<thread>[0-9a-f-]{36})/)?(?P<number>[0-9]{6})"
)
MESSAGE_ID: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)
_UNESCAPED: Final = "!'()*~"  # what JavaScript's encodeURIComponent leaves, beside quote's own


class Channel(StrEnum):
    """What a root is for."""

    CHAT = CHAT
    REACTIONS = REACTIONS
    RECEIPTS = RECEIPTS
    ARCHIVES = ARCHIVES
    PRESENCE = PRESENCE


_THREADED: Final = {CHAT, REACTIONS, RECEIPTS}


@dataclass(frozen=True, slots=True)
class Root:
    """A root that is a channel."""

    channel: Channel
    thread: str = ""
    """The id of the message that began the thread; empty for the document's own chat."""

    @property
    def name(self) -> str:
        """The root's name."""
        return f"{self.channel}/{self.thread}" if self.thread else str(self.channel)


@dataclass(frozen=True, slots=True)
class Archive:
    """A document that holds what a chat has no room for."""

    document: str
    """Whose chat it is."""
    number: int
    """From 1 on."""
    thread: str = ""

    @property
    def name(self) -> str:
        """The archive's own name."""
        return f"{self.document}/chat-archive/{self.key}"

    @property
    def key(self) -> str:
        """Its key in the root ``chat-archives``."""
        number = f"{self.number:06d}"
        return f"{self.thread}/{number}" if self.thread else number


def is_message_id(text: str) -> bool:
    """Return whether a text is a UUID of version 7 (RFC 9562) in its usual form."""
    return MESSAGE_ID.fullmatch(text) is not None


def read_root(name: str) -> Root | None:
    """Return which channel a root is; ``None`` where it is none."""
    kind, slash, thread = name.partition("/")
    if not slash:
        return Root(Channel(kind)) if kind in _CHANNELS else None
    if kind not in _THREADED or not is_message_id(thread):
        return None
    return Root(Channel(kind), thread)


@lru_cache(1_000)
def thread_of(name: str) -> str | None:
    """Return the thread whose messages a root holds; empty for the chat, ``None`` for others."""
    root = read_root(name)
    return root.thread if root is not None and root.channel is Channel.CHAT else None


def is_chat(name: str) -> bool:
    """Return whether a root is part of a chat."""
    root = read_root(name)
    return root is not None and root.channel is not Channel.PRESENCE


_CHANNELS: Final = {str(each) for each in Channel}


def archive_of(document: str) -> Archive | None:
    """Return which archive a document is by its name; ``None`` where it is none."""
    found = _ARCHIVE.fullmatch(document)
    if found is None:
        return None
    thread = found["thread"] or ""
    if not int(found["number"]) or (thread and not is_message_id(thread)):
        return None
    return Archive(found["document"], int(found["number"]), thread)


def direct_name(*ids: str) -> str:
    """Return the name of the document in which some people talk among themselves.

    Raises ``ValueError`` where these are fewer than two people.
    """
    people = sorted(set(ids))
    if len(people) < 2 or not all(people):
        raise ValueError("a direct conversation is between two people or more")
    return _DIRECT + "/".join(quote(each, safe=_UNESCAPED) for each in people)


def members_of(document: str) -> frozenset[str] | None:
    """Return who may take part in a direct conversation; ``None`` where it is none.

    A name below ``dm/`` that ``direct_name`` would not have made has no members at all. An
    archive has those of its conversation.
    """
    archive = archive_of(document)
    if archive is not None:
        return members_of(archive.document)
    if not document.startswith(_DIRECT):
        return None
    try:
        people = [unquote(each, errors="strict") for each in document[len(_DIRECT) :].split("/")]
        sound = direct_name(*people) == document
    except ValueError:
        sound = False
    return frozenset(people) if sound else frozenset()


def is_guest(id: str) -> bool:
    """Return whether an id is one that anybody may call himself by."""
    return id.startswith(GUEST) and len(id) > len(GUEST) and is_person(id)


def is_person(id: str) -> bool:
    """Return whether an id can stand in a channel's keys."""
    return 0 < len(id) <= MAX_ID and id.isprintable() and " " not in id
