"""What a channel's maps hold: messages, reactions, people. Reading and writing of their values.

Owns the shapes of docs/chat.md and docs/presence.md. Reading is strict: what is no message raises
``ValueError`` with words for its author. Decides on nobody's rights, and knows no clock.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args
from urllib.parse import urlsplit

from crdtsync.channels.names import is_message_id, is_person

__all__ = [
    "MAX_NAME",
    "STATUSES",
    "Message",
    "MessageType",
    "Person",
    "Reaction",
    "Status",
    "message_id",
    "message_time",
    "read_message",
    "read_person",
    "read_reaction",
]

MessageType = Literal["text", "file", "system"]
Status = Literal["online", "away", "busy", "offline"]
STATUSES: Final[tuple[Status, ...]] = get_args(Status)
_TYPES: Final[tuple[MessageType, ...]] = get_args(MessageType)

MAX_NAME: Final = 100
"""Characters of a person's or a file's kind's name."""
MAX_URL: Final = 2_048
"""Characters of a file's address."""
MAX_EMOJI: Final = 32
"""Characters of a reaction: an emoji may take more than ten."""
MAX_TIME_MS: Final = 1 << 48
"""A UUID holds no later time."""
_COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a chat."""

    id: str
    author: str
    """A principal's id, or a guest's."""
    text: str
    time_ms: int
    type: MessageType = "text"
    name: str = ""
    """The author's, for people."""
    reply_to: str = ""
    """A message's id."""
    edited_ms: int = 0
    """When the text was last changed; 0: never."""
    deleted_ms: int = 0
    """When it was deleted; 0: it is not."""
    deleted_by: str = ""
    """Who deleted it, where that was not its author."""
    url: str = ""
    """Where a file is; its name is the text."""
    size: int = 0
    """Of the file, in bytes."""
    media_type: str = ""

    def value(self) -> dict[str, Any]:
        """Return what the map holds under the message's id."""
        found: dict[str, Any] = {
            "author": self.author,
            "text": self.text,
            "time": self.time_ms,
            "type": self.type,
        }
        more = {
            "name": self.name,
            "replyTo": self.reply_to,
            "edited": self.edited_ms,
            "deleted": self.deleted_ms,
            "deletedBy": self.deleted_by,
            "url": self.url,
            "size": self.size,
            "mediaType": self.media_type,
        }
        return found | {key: each for key, each in more.items() if each}


@dataclass(frozen=True, slots=True)
class Reaction:
    """One person's reaction to one message."""

    message: str
    emoji: str
    user: str

    @property
    def key(self) -> str:
        """Its key in the map."""
        return f"{self.message} {self.emoji} {self.user}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody, as presence shows them."""

    id: str
    status: Status = "online"
    name: str = ""
    color: str = ""
    """``#rrggbb``."""
    last_seen_ms: int = 0
    """When they were last known to be connected."""
    connections: int = 0
    """How many they have now, such as tabs."""

    def value(self) -> dict[str, Any]:
        """Return what the map holds under the person's id."""
        return {
            "status": self.status,
            "name": self.name,
            "color": self.color,
            "lastSeen": self.last_seen_ms,
            "connections": self.connections,
        }


def message_id(time_ms: int) -> str:
    """Return a new message's id: a UUID of version 7 (RFC 9562, 5.7)."""
    if not 0 <= time_ms < MAX_TIME_MS:
        raise ValueError("the time is out of range")
    random = secrets.randbits(74)
    bits = time_ms << 80 | 7 << 76 | (random >> 62) << 64 | 2 << 62 | random & (1 << 62) - 1
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def message_time(id: str) -> int:
    """Return the time in a message's id, in milliseconds. Raises ``ValueError``."""
    if not is_message_id(id):
        raise ValueError("a message's key is a UUID of version 7 in small letters")
    return int(id[:8] + id[9:13], 16)


def read_message(id: str, value: Any) -> Message:
    """Read a message from its key and value. Raises ``ValueError``."""
    time_ms = message_time(id)
    fields = _Fields(value, "a message")
    message = Message(
        id=id,
        author=fields.person("author"),
        text=fields.text("text", 1 << 30),
        time_ms=fields.time("time"),
        type=_of(fields.text("type", 10), _TYPES, "type"),
        name=fields.text("name", MAX_NAME, otherwise=""),
        reply_to=fields.text("replyTo", 36, otherwise=""),
        edited_ms=fields.time("edited", otherwise=0),
        deleted_ms=fields.time("deleted", otherwise=0),
        deleted_by=fields.person("deletedBy", otherwise=""),
        url=fields.text("url", MAX_URL, otherwise=""),
        size=fields.whole("size", 1 << 53, otherwise=0),
        media_type=fields.text("mediaType", MAX_NAME, otherwise=""),
    )
    fields.end()
    if message.time_ms != time_ms:
        raise ValueError("a message's time is the one in its key")
    if message.reply_to and not is_message_id(message.reply_to):
        raise ValueError("replyTo is a message's key")
    if message.deleted_ms:
        if message.text or message.url:
            raise ValueError("a deleted message has no text and no file")
    elif message.type == "file":
        _check_address(message.url)
    elif message.url or message.size or message.media_type:
        raise ValueError("only a message of type file has a file")
    elif not message.text:
        raise ValueError("a message has a text")
    return message


def read_reaction(key: str, value: Any) -> Reaction:
    """Read a reaction from its key and value, its time. Raises ``ValueError``."""
    parts = key.split(" ")
    if len(parts) != 3:
        raise ValueError("a reaction's key is MESSAGE EMOJI USER")
    message, emoji, user = parts
    if not is_message_id(message) or not is_person(user):
        raise ValueError("a reaction's key begins with a message's and ends with a person's id")
    if not 0 < len(emoji) <= MAX_EMOJI or not all(_shows(each) for each in emoji):
        raise ValueError(f"an emoji has 1 to {MAX_EMOJI} characters")
    _Fields({"time": value}, "a reaction").time("time")
    return Reaction(message, emoji, user)


def read_person(id: str, value: Any) -> Person:
    """Read a person from presence's key and value. Raises ``ValueError``."""
    if not is_person(id):
        raise ValueError("presence's keys are people's ids")
    fields = _Fields(value, "a person")
    person = Person(
        id=id,
        status=_of(fields.text("status", 10), STATUSES, "status"),
        name=fields.text("name", MAX_NAME, otherwise=""),
        color=fields.text("color", 7, otherwise=""),
        last_seen_ms=fields.time("lastSeen", otherwise=0),
        connections=fields.whole("connections", 1 << 31, otherwise=0),
    )
    fields.end()
    if person.color and not _COLOUR.fullmatch(person.color):
        raise ValueError("a color is #rrggbb")
    return person


def _check_address(url: str) -> None:
    """Let nothing through that a link would run, or that leads elsewhere than it says."""
    if not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("url is no address")
    try:
        scheme, host, _, _, _ = urlsplit(url)
    except ValueError:
        raise ValueError("url is no address") from None
    rooted = url.startswith("/") and not url.startswith("//")
    if not rooted and not (scheme in ("http", "https") and host):
        raise ValueError("url begins with https://, http:// or a single /")


_ZERO_WIDTH_JOINER: Final = "\u200d"  # what families of emoji are joined with
_TAGS: Final = range(0xE0020, 0xE0080)  # what flags of regions are spelled with


def _shows(character: str) -> bool:
    return (
        character.isprintable() or character == _ZERO_WIDTH_JOINER or ord(character) in _TAGS
    ) and character != " "


def _of(text: str, allowed: tuple[Any, ...], name: str) -> Any:
    if text not in allowed:
        raise ValueError(f"{name} is one of {', '.join(allowed)}")
    return text


class _Fields:
    """Reads an object's members, each once; what is left over is a mistake."""

    def __init__(self, value: Any, what: str) -> None:
        if not isinstance(value, Mapping):
            raise ValueError(f"{what} is a plain object")
        self._left: dict[str, Any] = dict(value)
        self._what = what

    def text(self, name: str, most: int, *, otherwise: str | None = None) -> str:
        value = self._left.pop(name, otherwise)
        if not isinstance(value, str):
            raise ValueError(f"{name} is a text")
        if len(value) > most:
            raise ValueError(f"{name} has at most {most} characters")
        return value

    def person(self, name: str, *, otherwise: str | None = None) -> str:
        value = self.text(name, 1 << 30, otherwise=otherwise)
        if value != otherwise and not is_person(value):
            raise ValueError(f"{name} is no person's id")
        return value

    def time(self, name: str, *, otherwise: int | None = None) -> int:
        return self.whole(name, MAX_TIME_MS, otherwise=otherwise)

    def whole(self, name: str, most: int, *, otherwise: int | None = None) -> int:
        value = self._left.pop(name, otherwise)
        if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
            value = int(value)  # JavaScript has no other numbers
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < most:
            raise ValueError(f"{name} is a whole number, not negative")
        return value

    def end(self) -> None:
        if self._left:
            raise ValueError(f"{self._what} has members that it may not have")
