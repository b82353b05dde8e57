"""The frames of y-websocket: which messages there are, read strictly and written.

Owns the byte layout of a WebSocket message and a document's name in a URL. It does not look
into updates or awareness states (``update`` and ``awareness`` do) and keeps no state.

A frame holds one message; readers are ready for several, and nobody sends several, because
clients up to y-websocket 3.1 ignore all but the first::

    0 0 bytes    sync step 1: a state vector          1 bytes      awareness update
    0 1 bytes    sync step 2: an update               2 0 string   permission denied: the reason
    0 2 bytes    update                               3            query awareness

Two are crdtsync's own, and mean nothing to other servers and clients::

    100 string   from a client: a fresh token         101 0 seconds, 101 1 string   its answer

Source: y-protocols, ``sync.js``, ``auth.js``; y-websocket, ``y-websocket.js``.
"""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from crdtsync.encoding import (
    read_var_bytes,
    read_var_string,
    read_var_uint,
    write_var_bytes,
    write_var_string,
    write_var_uint,
)
from crdtsync.errors import InvalidDocumentName, MalformedMessage

__all__ = [
    "EMPTY_STEP_2",
    "KEEPALIVE",
    "QUERY_AWARENESS",
    "AuthMessage",
    "AwarenessMessage",
    "Message",
    "QueryAwareness",
    "SyncStep1",
    "SyncStep2",
    "SyncUpdate",
    "TokenMessage",
    "UnknownMessage",
    "awareness_frame",
    "check_document_name",
    "decode_frame",
    "document_name",
    "permission_denied_frame",
    "short_update",
    "step_1_frame",
    "step_2_frame",
    "token_accepted_frame",
    "token_frame",
    "token_refused_frame",
    "update_frame",
]

SYNC: Final = 0
AWARENESS: Final = 1
AUTH: Final = 2
QUERY: Final = 3
TOKEN: Final = 100
TOKEN_RESULT: Final = 101

STEP_1: Final = 0
STEP_2: Final = 1
UPDATE: Final = 2

MAX_MESSAGES: Final = 64
"""Messages in one frame. Clients send one; each may ask for a large answer."""
EMPTY_STEP_2: Final = b"\x00\x01\x02\x00\x00"
"""A step 2 that brings nothing; without it a client never reports that it is in sync."""
KEEPALIVE: Final = b"\x01\x01\x00"
"""An awareness message without entries: resets the client's 30 s watchdog, changes nothing."""
QUERY_AWARENESS: Final = b"\x03"


@dataclass(frozen=True, slots=True)
class SyncStep1:
    """ "This is what I have": asks for a step 2."""

    state_vector: bytes


@dataclass(frozen=True, slots=True)
class SyncStep2:
    """ "This is what you lacked": the answer to a step 1."""

    update: bytes


@dataclass(frozen=True, slots=True)
class SyncUpdate:
    """ "This has just changed"."""

    update: bytes


@dataclass(frozen=True, slots=True)
class AwarenessMessage:
    """States of clients; ``awareness.read_entries`` reads the payload."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class QueryAwareness:
    """Asks for all awareness states."""


@dataclass(frozen=True, slots=True)
class AuthMessage:
    """Permission denied, with the reason. Servers send it; from a client it means nothing."""

    reason: str


@dataclass(frozen=True, slots=True)
class TokenMessage:
    """A fresh token for the connection that it comes on."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class UnknownMessage:
    """A message type this version doesn't know; the rest of its frame can't be read."""

    type: int


Message = (
    SyncStep1
    | SyncStep2
    | SyncUpdate
    | AwarenessMessage
    | QueryAwareness
    | AuthMessage
    | TokenMessage
    | UnknownMessage
)

_SYNC_MESSAGES: Final[dict[int, type[SyncStep1 | SyncStep2 | SyncUpdate]]] = {
    STEP_1: SyncStep1,
    STEP_2: SyncStep2,
    UPDATE: SyncUpdate,
}


def decode_frame(frame: bytes) -> list[Message]:
    """Read every message of a frame.

    Raises ``MalformedMessage``, and nothing else, where the bytes are not messages.
    """
    messages: list[Message] = []
    position = 0
    size = len(frame)
    if not size:
        raise MalformedMessage("the message is empty")
    try:
        while position < size:
            if len(messages) == MAX_MESSAGES:
                raise MalformedMessage("the frame holds too many messages")
            kind, position = read_var_uint(frame, position)
            if kind == SYNC:
                step, position = read_var_uint(frame, position)
                payload, position = read_var_bytes(frame, position)
                make = _SYNC_MESSAGES.get(step)
                if make is None:
                    raise MalformedMessage("the sync message is of an unknown kind")
                messages.append(make(payload))
            elif kind == AWARENESS:
                payload, position = read_var_bytes(frame, position)
                messages.append(AwarenessMessage(payload))
            elif kind == QUERY:
                messages.append(QueryAwareness())
            elif kind == AUTH:
                permission, position = read_var_uint(frame, position)
                if permission != 0:
                    raise MalformedMessage("the auth message is of an unknown kind")
                reason, position = read_var_string(frame, position)
                messages.append(AuthMessage(reason))
            elif kind == TOKEN:
                token, position = read_var_string(frame, position)
                messages.append(TokenMessage(token))
            else:
                messages.append(UnknownMessage(kind))
                break
    except (IndexError, ValueError):
        raise MalformedMessage("the message is truncated or damaged") from None
    return messages


def short_update(frame: bytes) -> bytes | None:
    """Return the update of a frame that is one short update message, as a keystroke's is."""
    size = len(frame) - 3
    if 2 < size < 0x80 and frame[0] == SYNC and frame[1] == UPDATE and frame[2] == size:
        return frame[3:]
    return None


_SHORT_UPDATE: Final = [bytes((SYNC, UPDATE, size)) for size in range(0x80)]


def step_1_frame(state_vector: bytes) -> bytes:
    """Write a sync step 1."""
    return b"\x00\x00" + write_var_bytes(state_vector)


def step_2_frame(update: bytes) -> bytes:
    """Write a sync step 2."""
    return b"\x00\x01" + write_var_bytes(update)


def update_frame(update: bytes) -> bytes:
    """Write an update message."""
    size = len(update)
    if size < 0x80:  # 0.16 us instead of 0.35
        return _SHORT_UPDATE[size] + update
    return b"\x00\x02" + write_var_uint(size) + update


def awareness_frame(payload: bytes) -> bytes:
    """Write an awareness message around encoded entries."""
    return b"\x01" + write_var_bytes(payload)


def permission_denied_frame(reason: str) -> bytes:
    """Write the auth message that tells a client why it is refused."""
    return b"\x02\x00" + write_var_string(reason)


def token_frame(token: str) -> bytes:
    """Write a client's message that hands in a fresh token."""
    return bytes((TOKEN,)) + write_var_string(token)


def token_accepted_frame(left_s: int) -> bytes:
    """Write the answer to a token that is taken: it ends in so many seconds; 0: never."""
    return bytes((TOKEN_RESULT, 0)) + write_var_uint(left_s)


def token_refused_frame(reason: str) -> bytes:
    """Write the answer to a token that is not taken: the old one stays."""
    return bytes((TOKEN_RESULT, 1)) + write_var_string(reason)


def document_name(raw_path: str | bytes, *, max_bytes: int = 512) -> str:
    """Return the canonical name in a URL's path: without its first slash, decoded once.

    ``raw_path`` is the path as it came over the wire, still percent-encoded, without the query.
    Raises ``InvalidDocumentName`` where the name is empty, over ``max_bytes`` of UTF-8, not
    UTF-8, or holds a NUL.
    """
    raw = raw_path.encode(errors="surrogateescape") if isinstance(raw_path, str) else raw_path
    try:
        name = unquote_to_bytes(raw.removeprefix(b"/")).decode()
    except UnicodeDecodeError:
        raise InvalidDocumentName("the document's name is not UTF-8") from None
    check_document_name(name, max_bytes=max_bytes)
    return name


def check_document_name(name: str, *, max_bytes: int = 512) -> None:
    """Raise ``InvalidDocumentName`` unless the decoded name can be a document's."""
    if not name:
        raise InvalidDocumentName("the document's name is empty: connect to ws://HOST:PORT/NAME")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidDocumentName("the document's name is not UTF-8") from None
    if size > max_bytes:
        raise InvalidDocumentName(f"the document's name is over {max_bytes} bytes")
    if "\x00" in name:
        raise InvalidDocumentName("the document's name holds a NUL")
