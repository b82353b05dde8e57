"""What offenders send: ready-made WebSocket frames, written by hand so that they cost nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator

from benchmarks.clients import masked_frame
from benchmarks.dialects import write_block, write_uint

__all__ = [
    "GIANT_BYTES",
    "GIANT_JOINERS",
    "cursor",
    "garbage",
    "keystrokes",
    "paragraphs",
    "pastes",
    "update_message",
]

GIANT_BYTES = 50_000_000
"""The size of the large document."""
GIANT_JOINERS = 20
"""How many ask for it at once."""


def update_message(update: bytes) -> bytes:
    """Return an update message."""
    return b"\x00\x02" + write_block(update)


def _insertion(client: int, clock: int, text: bytes) -> bytes:
    """Return an update that appends a text to what the client wrote before."""
    head = b"\x01\x01" + write_uint(client) + write_uint(clock)
    if clock:
        where = b"\x84" + write_uint(client) + write_uint(clock - 1)
    else:
        where = b"\x04\x01" + write_block(b"text")
    return head + where + write_block(text) + b"\x00"


def keystrokes(client: int, count: int) -> Iterator[bytes]:
    """Return the frames of a client that types into the text ``text``."""
    for clock in range(count):
        yield masked_frame(update_message(_insertion(client, clock, b"x")))


def pastes(client: int, count: int, size: int) -> list[bytes]:
    """Return updates that append ``size`` letters each."""
    return [_insertion(client, number * size, b"p" * size) for number in range(count)]


def cursor(client: int, clock: int) -> bytes:
    """Return the frame of a client whose cursor has moved, with a state such as editors send."""
    state = {
        "user": {"name": f"user {client}", "color": "#30bced"},
        "cursor": {"anchor": clock, "head": clock},
    }
    entry = write_uint(client) + write_uint(clock) + write_block(json.dumps(state).encode())
    return masked_frame(b"\x01" + write_block(b"\x01" + entry))


def garbage(kind: str) -> bytes:
    """Return the frame of a message that no server knows, or that is damaged."""
    if kind == "unknown":
        return masked_frame(b"\x63" + bytes(20))
    return masked_frame(b"\x00\x02\x14" + b"\xff" * 20)


def paragraphs(client: int, total_bytes: int, size: int) -> bytes:
    """Return one update of about ``total_bytes``: one text, in insertions of ``size`` letters.

    Each insertion goes in front of the one before, so no two of them become one.
    """
    count = total_bytes // (size + 20)
    body = (b"The quick brown fox jumps over the lazy dog. " * (size // 45 + 1))[:size]
    block = write_block(body)
    out = bytearray(b"\x01" + write_uint(count) + write_uint(client) + b"\x00")
    out += b"\x04\x01" + write_block(b"text") + block
    mine = write_uint(client)
    for number in range(1, count):
        out += b"\x44" + mine + write_uint((number - 1) * size) + block
    return bytes(out) + b"\x00"
