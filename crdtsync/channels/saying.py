"""What may be said in a chat, and what is said where it may not: for programs beside the server.

Owns the errors of ``chat``, and the rules that need neither room nor clock.
"""

from dataclasses import dataclass
from typing import Final

from crdtsync.channels.model import Message
from crdtsync.channels.names import is_guest, is_message_id
from crdtsync.errors import Forbidden, RemoteError
from crdtsync.gate import Principal

__all__ = [
    "SYSTEM",
    "InvalidMessage",
    "MessageArchived",
    "NoChat",
    "Said",
    "UnknownMessage",
    "check_thread",
    "deleted",
    "speaker",
]

SYSTEM: Final = "system"
"""The author of what the application says without saying who it is."""


class NoChat(RemoteError):
    """The document has no chat, by the server's configuration."""

    http_status = 404
    kind = "no-chat"


class UnknownMessage(RemoteError):
    """There is no message of this id."""

    http_status = 404
    kind = "unknown-message"


class InvalidMessage(RemoteError):
    """What was to be said is no message: it is too long, for example."""

    http_status = 422
    kind = "invalid-message"


class MessageArchived(RemoteError):
    """The message is in an archive: it can be deleted, not changed."""

    http_status = 409
    kind = "message-archived"


@dataclass(frozen=True, slots=True)
class Said:
    """A message with what it was answered by way of reactions."""

    message: Message
    reactions: dict[str, list[str]]
    """By emoji: who."""


def deleted(message: Message, who: str, moderates: bool, now_ms: int) -> Message:
    """Return what is left of a message; the message itself where it was deleted before."""
    if message.author != who and not moderates:
        raise Forbidden("only its author and moderators delete a message")
    if message.deleted_ms:
        return message
    return Message(
        id=message.id,
        author=message.author,
        text="",
        time_ms=message.time_ms,
        type=message.type,
        deleted_ms=now_ms,
        deleted_by="" if message.author == who else who,
    )


def speaker(principal: Principal, said: str, *, system: bool = False) -> str:
    """Return who speaks: the principal, or what somebody anonymous calls himself."""
    if principal.id:
        if said not in ("", principal.id):
            raise InvalidMessage("author is for who is anonymous: you speak for yourself")
        return principal.id
    if said and is_guest(said):
        return said
    if system and not said:
        return SYSTEM
    raise InvalidMessage("who is anonymous needs an author that begins with guest-")


def check_thread(thread: str) -> None:
    if thread and not is_message_id(thread):
        raise InvalidMessage("a thread is named by the message that began it")
