"""One port for everything: looks at a connection's first request and hands the socket on.

A WebSocket upgrade over HTTP/1.1 goes to the native transport, anything else (plain HTTP,
HTTP/2 with its own WebSockets, what is no HTTP at all) to Hypercorn. It reads one request head
and keeps nothing.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from crdtsync.server.http import HttpServer

__all__ = ["FrontDoor"]

MAX_HEAD_BYTES: Final = 16 * 1024
"""A request head over this goes to Hypercorn, which refuses it in its own way."""
HEAD_TIMEOUT_S: Final = 10.0
"""How long a client may take for its request head."""


class FrontDoor(asyncio.Protocol):
    """Waits for one request head and decides."""

    def __init__(
        self,
        http: HttpServer,
        websocket: Callable[[asyncio.Transport], asyncio.BufferedProtocol] | None,
    ) -> None:
        self._http = http
        self._websocket = websocket  # None: everything is Hypercorn's
        self._head = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timeout: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand the socket on at once where the first bytes can't make a difference."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "set_protocol")
        self._transport = transport  # type: ignore[assignment]
        tls = transport.get_extra_info("ssl_object")
        if self._websocket is None or (tls and tls.selected_alpn_protocol() == "h2"):
            self._hand_over_http()
        else:
            self._timeout = asyncio.get_running_loop().call_later(HEAD_TIMEOUT_S, self._hang_up)

    def data_received(self, data: bytes) -> None:
        """Collect the head; decide when it is whole, or can't be an upgrade any more."""
        head = self._head
        head += data
        end = head.find(b"\r\n\r\n")
        if end >= 0:
            upgrade = native_upgrade(bytes(head[:end])) if end <= MAX_HEAD_BYTES else None
            if upgrade is not None:
                head[:end] = upgrade
                self._hand_over_websocket()
            else:
                self._hand_over_http()
        elif not b"GET ".startswith(head[:4]) or len(head) > MAX_HEAD_BYTES:
            self._hand_over_http()

    def connection_lost(self, error: Exception | None) -> None:
        """Forget a socket that went before it said anything."""
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None

    def _hang_up(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def _release(self) -> asyncio.Transport:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None
        transport = self._transport
        assert transport is not None
        self._transport = None
        return transport

    def _hand_over_http(self) -> None:
        transport = self._release()
        protocol = self._http.protocol()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._head:
            protocol.data_received(bytes(self._head))

    def _hand_over_websocket(self) -> None:
        transport = self._release()
        assert self._websocket is not None
        protocol = self._websocket(transport)
        rest = memoryview(self._head)
        while rest and not transport.is_closing():
            buffer = memoryview(protocol.get_buffer(len(rest)))
            taken = min(len(buffer), len(rest))
            buffer[:taken] = rest[:taken]
            protocol.buffer_updated(taken)
            rest = rest[taken:]


def native_upgrade(head: bytes) -> bytes | None:
    """Return an upgrade request's head as picows takes it; ``None`` where it is something else.

    A Connection header may list other options beside the upgrade, and Firefox sends
    ``keep-alive, Upgrade`` (RFC 9110, 7.6.1); picows wants the one word. Where there is no such
    word, the request is none for a WebSocket.
    """
    lines = head.split(b"\r\n")
    if not lines[0].startswith(b"GET ") or not lines[0].endswith(b" HTTP/1.1"):
        return None
    websocket = upgrade = False
    others = []
    for line in lines:
        name, _, value = line.partition(b":")
        match name.strip().lower():
            case b"upgrade":
                websocket = value.strip().lower() == b"websocket"
            case b"connection":
                upgrade |= b"upgrade" in [each.strip() for each in value.lower().split(b",")]
                continue
        others.append(line)
    if not websocket or not upgrade:
        return None
    return b"\r\n".join([*others, b"Connection: Upgrade"])
