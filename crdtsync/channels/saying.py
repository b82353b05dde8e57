"""What may be said in a chat, and what is said where it may not: for programs beside the server.

Owns the errors of ``chat``, also those that stand for what a document's judge refuses, and the
rules that need neither room nor clock.
"""

from dataclasses import dataclass
from typing import Final

from crdtsync.channels.denials import OWN_MESSAGES, TOO_FAST, too_late, too_long
from crdtsync.channels.model import Message
from crdtsync.channels.names import is_guest, is_message_id
from crdtsync.errors import Forbidden, RemoteError, TooManyRequests
from crdtsync.gate import Principal
from crdtsync.limits import Limits

__all__ = [
    "SYSTEM",
    "InvalidMessage",
    "MessageArchived",
    "NoChat",
    "Said",
    "UnknownMessage",
    "check_thread",
    "deleted",
    "may_delete",
    "refusal",
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


def refusal(reason: str, limits: Limits) -> RemoteError:
    """Return the error for what a document's judge has refused."""
    if reason == TOO_FAST.reason:
        return TooManyRequests(reason)
    if reason == too_long(limits).reason:
        return InvalidMessage(reason)
    if reason == too_late(limits).reason:
        return Forbidden(reason, kind="edit-too-late")
    return Forbidden(reason)


def may_delete(message: Message, who: str, principal: Principal) -> None:
    """Raise unless somebody may delete a message."""
    moderates = principal.role is not None and principal.role.moderate
    if not moderates and (message.author != who or message.type == "system"):
        raise Forbidden(OWN_MESSAGES.reason)


def deleted(message: Message, who: str, now_ms: int) -> Message:
    """Return what is left of a message; the message itself where it was deleted before."""
    if message.deleted_ms:
        return message
    return Message(
        id=message.id,
        author=message.author,
        text="",
        time_ms=message.time_ms,
        type=message.type,
        deleted_ms=now_ms,
        deleted_by="" if message.author == who and message.type != "system" else who,
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
