"""Speak each server's wire format: bytes of one WebSocket message in and out, no sockets.

A dialect turns updates into messages and messages back into updates. What a server says besides
(awareness, acknowledgements, authentication) carries no update and is `OTHER`.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

EMPTY_UPDATE = b"\x00\x00"


class Kind(Enum):
    """Name what a server's message means for a load client."""

    STEP1 = "step 1"
    STEP2 = "step 2"
    UPDATE = "update"
    REFUSED = "refused"
    OTHER = "other"


def write_uint(value: int) -> bytes:
    """Encode an unsigned integer as lib0 does: seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(0x80 | (value & 0x7F))
        value >>= 7
    out.append(value)
    return bytes(out)


def read_uint(data: bytes, at: int) -> tuple[int, int]:
    """Decode an unsigned integer; return it and the offset behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def write_block(data: bytes) -> bytes:
    """Encode bytes, or the UTF-8 of a string, behind their length."""
    return write_uint(len(data)) + data


class Dialect(Protocol):
    """Translate between updates and one server's messages about one document."""

    joins_in_silence: bool
    """Whether the server sends nothing on joining, so that an open connection has joined."""

    def path(self, document: str) -> str:
        """Return the path of the URL to connect to."""

    def hello(self, document: str, state_vector: bytes) -> list[bytes]:
        """Return what a client sends first: its step 1 and what must come before it."""

    def step2(self, document: str, update: bytes) -> bytes:
        """Return the answer to the server's step 1."""

    def update(self, document: str, update: bytes) -> bytes:
        """Return the message that carries an edit."""

    def keep_alive(self, document: str) -> bytes:
        """Return a message that changes nothing and shows that the client lives."""

    def read(self, message: bytes) -> tuple[Kind, bytes]:
        """Return what a message is, and its update if it carries one."""


def _read_body(message: bytes, at: int) -> tuple[Kind, bytes]:
    kind = message[at]
    if kind in (0, 4):  # sync; Hocuspocus calls the one that wants no answer 4
        step = message[at + 1]
        length, start = read_uint(message, at + 2)
        body = message[start : start + length]
        return (Kind.STEP1, Kind.STEP2, Kind.UPDATE)[step], body
    if kind == 2 and message[at + 1] != 2:  # 2 is Hocuspocus's "authenticated"
        return Kind.REFUSED, message[at + 1 :]
    return Kind.OTHER, b""


class YWebsocket:
    """The y-websocket protocol: the document is in the URL, the messages are bare."""

    joins_in_silence = False

    def path(self, document: str) -> str:
        return f"/{document}"

    def hello(self, document: str, state_vector: bytes) -> list[bytes]:
        return [b"\x00\x00" + write_block(state_vector)]

    def step2(self, document: str, update: bytes) -> bytes:
        return b"\x00\x01" + write_block(update)

    def update(self, document: str, update: bytes) -> bytes:
        return b"\x00\x02" + write_block(update)

    def keep_alive(self, document: str) -> bytes:
        return b"\x01\x01\x00"

    def read(self, message: bytes) -> tuple[Kind, bytes]:
        return _read_body(message, 0)


class Hocuspocus:
    """Hocuspocus's protocol: one URL, and the document's name in front of every message."""

    joins_in_silence = False

    def path(self, document: str) -> str:
        return "/"

    def hello(self, document: str, state_vector: bytes) -> list[bytes]:
        name = write_block(document.encode())
        authentication = name + b"\x02\x00" + write_block(b"token")
        return [authentication, name + b"\x00\x00" + write_block(state_vector)]

    def step2(self, document: str, update: bytes) -> bytes:
        return write_block(document.encode()) + b"\x00\x01" + write_block(update)

    def update(self, document: str, update: bytes) -> bytes:
        return write_block(document.encode()) + b"\x00\x02" + write_block(update)

    def keep_alive(self, document: str) -> bytes:
        return write_block(document.encode()) + b"\x01\x01\x00"

    def read(self, message: bytes) -> tuple[Kind, bytes]:
        length, start = read_uint(message, 0)
        return _read_body(message, start + length)


class BareRelay(YWebsocket):
    """y-websocket's messages through a relay that answers nothing."""

    joins_in_silence = True

    def hello(self, document: str, state_vector: bytes) -> list[bytes]:
        return []
