"""Sending on the native transport: small messages by picows, large ones once for all receivers.

Owns how a message's bytes get their header, and which of them many connections share. Decides
nothing about when.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from picows import WSMsgType, WSTransport

__all__ = ["sender", "short_sender"]

LARGE_FRAME_BYTES: Final = 8192
HEADROOM_BYTES: Final = 14
"""What picows needs in front of a message for its header."""
SHARED_FRAME_BYTES: Final = 2 * 1024 * 1024
"""A larger message goes out as one object that all its receivers share."""

_BINARY: Final = WSMsgType.BINARY


class _Last:
    """The last large message as it goes over the wire, for all its receivers."""

    def __init__(self) -> None:
        self._message = b""
        self._buffer = bytearray()
        self._huge = b""
        self._wire = b""

    def around(self, message: bytes) -> bytearray:
        """Return a buffer with the message at ``HEADROOM_BYTES``; it may be sent many times."""
        if message is not self._message:
            self._message = message
            self._buffer = bytearray(HEADROOM_BYTES) + message
        return self._buffer

    def wire(self, message: bytes) -> bytes:
        """Return a huge message with its header (RFC 6455, 5.2), the same object for this turn."""
        if message is not self._huge:
            self._huge = message
            self._wire = b"\x82\x7f" + len(message).to_bytes(8, "big") + message
            asyncio.get_running_loop().call_soon(self._forget)
        return self._wire

    def _forget(self) -> None:
        self._huge = self._wire = b""


_last: Final = _Last()


def short_sender(transport: WSTransport) -> Callable[[bytes], None]:
    """Return what sends one binary message of up to 8 KB: picows' own ``send``."""
    return partial(transport.send, _BINARY)


def sender(transport: WSTransport) -> Callable[[bytes], None]:
    """Return what sends one binary message.

    Above 8 KB picows' ``send`` hands asyncio a view of a header buffer that it uses again for
    the next frame, which uvloop, having queued the view, then sends in its place. So large
    frames go out with their header in front of them, which is copied where it has to wait. Huge
    ones are handed to the event loop as they are: uvloop keeps a reference, no copy.
    """
    send, send_whole = transport.send, transport.send_reuse_external_bytearray
    write = transport.underlying_transport.write

    def send_frame(frame: bytes) -> None:
        if len(frame) <= LARGE_FRAME_BYTES:
            send(_BINARY, frame)
        elif len(frame) <= SHARED_FRAME_BYTES:
            send_whole(_BINARY, _last.around(frame), HEADROOM_BYTES)
        elif not transport.is_disconnected:
            write(_last.wire(frame))

    return send_frame
