"""One port for everything: looks at a connection's first request and hands the socket on.

A WebSocket upgrade over HTTP/1.1 goes to the native transport, anything else (plain HTTP,
HTTP/2 with its own WebSockets, what is no HTTP at all) to Hypercorn. It reads one request head
and keeps nothing.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config as HypercornConfig
from hypercorn.protocol.ws_stream import WebsocketBuffer, WSStream
from hypercorn.typing import AppWrapper, Scope
from wsproto.events import Message

__all__ = ["FrontDoor", "HttpServer"]

MAX_HEAD_BYTES: Final = 16 * 1024
"""A request head over this goes to Hypercorn, which refuses it in its own way."""
HEAD_TIMEOUT_S: Final = 10.0
"""How long a client may take for its request head."""


class _Context(WorkerContext):
    """Hypercorn's, but what sleeps there (it sends pings) does not hold up the end."""

    async def sleep(self, wait: float) -> None:  # type: ignore[override] # static there
        """Wait; end the task that waits where the server ends."""
        try:
            await asyncio.wait_for(self.terminated.wait(), wait)
        except TimeoutError:
            return
        raise asyncio.CancelledError


class _Buffer(WebsocketBuffer):
    """Hypercorn's, but what is over the limit is dropped, and left to the application to refuse.

    Hypercorn's own keeps what comes after it has said 1009 (which clients take for "retry"), and
    grows for as long as the peer sends.
    """

    def extend(self, event: Message[Any]) -> None:
        """Take a piece of a message, up to the limit: the rest makes no difference."""
        room = max(0, self.max_length - self.length)
        if len(event.data) > room:
            event = replace(event, data=event.data[:room])
        super().extend(event)


class _BoundedApp:
    """The application, whose WebSockets hold no more than their limit."""

    def __init__(self, app: AppWrapper) -> None:
        self._app = app

    async def __call__(
        self, scope: Scope, receive: Any, send: Any, sync_spawn: Any, call_soon: Any
    ) -> None:
        """Run the application on one request or WebSocket."""
        if scope["type"] == "websocket":
            stream: WSStream = send.__self__
            stream.buffer = _Buffer(stream.buffer.max_length)
        await self._app(scope, receive, send, sync_spawn, call_soon)


class HttpServer:
    """Hypercorn, for sockets that somebody else accepted.

    A WebSocket message of ``websocket_max_message_size`` bytes may be the beginning of a longer
    one: the application has to have a smaller limit of its own.
    """

    def __init__(self, app: AppWrapper, config: HypercornConfig) -> None:
        self._app = _BoundedApp(app)
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._context = _Context(None)
        self._tasks: set[asyncio.Task[Any]] = set()

    def protocol(self) -> asyncio.StreamReaderProtocol:
        """Return a protocol for one socket, for ``transport.set_protocol``."""
        reader = asyncio.StreamReader(loop=self._loop)
        return asyncio.StreamReaderProtocol(reader, self._connected, loop=self._loop)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await TCPServer(self._app, self._loop, self._config, self._context, {}, reader, writer)
        except asyncio.CancelledError:  # asyncio's streams would log it as a failure
            if not self._context.terminated.is_set():
                raise

    async def aclose(self, *, timeout_s: float) -> None:
        """Let requests that are being answered end, then end the rest."""
        await self._context.terminated.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


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
