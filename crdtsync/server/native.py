"""The native WebSocket transport: makes picows protocols for the front door.

picows' ``WSProtocol`` is used by itself, without its server, because one port serves HTTP too.
What its parser finds wrong it says to its logger before it closes: there ``_ParserLog`` lets the
link answer first, which says 4413 to "too big", because 1009 makes clients come back for ever.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from picows import (
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)
from picows.picows import (  # type: ignore[attr-defined]
    WSAutoPingStrategy,
    WSProtocol,
)

from crdtsync.auth import Authenticator
from crdtsync.hub import Hub
from crdtsync.server.doors import Doors
from crdtsync.server.native_link import CLOSE_TIMEOUT_S, CLOSING_PAUSE_S, NativeLink
from crdtsync.server.native_request import offered_subprotocols
from crdtsync.server.request import select_subprotocol

__all__ = ["NativeServer"]

log = logging.getLogger("crdtsync.websocket")

READ_BUFFER_BYTES: Final = 2048
"""What picows allocates per connection; it grows with what a client sends."""
MAX_READ_BYTES: Final = 32 * 1024
"""What one connection brings per turn of the event loop: then all others have theirs."""
HANDSHAKE_TIMEOUT_S: Final = 10.0
DRAIN_QUIET_S: Final = 0.25
"""How long a peer that sent too much has to be silent before its socket is closed."""
_HANDSHAKE: Final = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class _ParserLog(logging.LoggerAdapter[logging.Logger]):
    """One connection's logger for picows, which reports here what its parser refuses."""

    def __init__(self, broken: Callable[[int, str], None]) -> None:
        super().__init__(logging.getLogger("picows.crdtsync"))
        self._broken = broken

    def isEnabledFor(self, level: int) -> bool:
        return level >= logging.ERROR

    def info(self, msg: object, *args: object, **kwargs: Any) -> None:
        """Drop picows' connection chatter."""

    def error(self, msg: object, *args: object, **kwargs: Any) -> None:
        """Take note of a protocol error of the peer; picows closes the connection."""
        log.debug("a client broke the WebSocket protocol: %s", args)
        match args:
            case [(int(code), str(reason))]:
                self._broken(code, reason)


class _Socket:
    """What picows sees of a socket; its own hasty end after an error can be held off."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self._draining = False

    def drain(self) -> None:
        """Read and drop what still comes until the peer is quiet, then close.

        A socket that is closed over unread bytes is reset, and a peer that is still sending
        would never see what was said to it last.
        """
        self._draining = True
        protocol = self.transport.get_protocol()
        self.transport.set_protocol(_Drain(self.transport, protocol.connection_lost))

    def close(self) -> None:
        """Close, unless something comes in still."""
        if not self._draining:
            self.transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


class _Renewed(_Socket):
    """The same for a protocol that thinks it is new: its handshake goes nowhere."""

    _shaken = False

    def write(self, data: Any) -> None:
        """Write, but for the first time."""
        if self._shaken:
            self.transport.write(data)
        self._shaken = True


class _Drain(asyncio.Protocol):
    """Reads without a look, for ``DRAIN_QUIET_S`` behind the last byte."""

    def __init__(self, transport: Any, lost: Callable[[Exception | None], None]) -> None:
        self._transport = transport
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.call_later(DRAIN_QUIET_S, transport.close)

    def data_received(self, data: bytes) -> None:
        """Wait on, a moment for each piece."""
        self._end.cancel()
        self._end = self._loop.call_later(DRAIN_QUIET_S, self._transport.close)
        self._transport.pause_reading()
        self._loop.call_later(CLOSING_PAUSE_S, self._read_on)

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """Pass the end on."""
        self._end.cancel()
        self._lost(error)


_get_buffer: Final = WSProtocol.get_buffer
_buffer_updated: Final = WSProtocol.buffer_updated


class _Protocol(WSProtocol):  # type: ignore[misc] # picows has no types for it
    """picows' protocol, but one that reads ``MAX_READ_BYTES`` at a time.

    By itself it doubles its buffer whenever a read fills it, so a flood would be handled by
    hundreds of thousands of messages at a time while everybody else waits.
    """

    link: NativeLink | None = None

    def get_buffer(self, hint: int) -> memoryview:
        """Return where to read into."""
        buffer: memoryview = _get_buffer(self, hint)  # not by super(): it is called for each read
        return buffer if len(buffer) <= MAX_READ_BYTES else buffer[:MAX_READ_BYTES]

    def buffer_updated(self, size: int) -> None:
        """Take what was read; where there may be more, let the others have their turn."""
        _buffer_updated(self, size)
        if size == MAX_READ_BYTES and self.link is not None:
            self.link.end_turn()


class NativeServer:
    """Makes picows protocols for sockets whose upgrade request the front door has seen."""

    def __init__(self, hub: Hub, authenticator: Authenticator, doors: Doors | None = None) -> None:
        self.hub = hub
        self.authenticator = authenticator
        self.doors = doors or Doors()
        self.max_message_bytes = hub.limits.max_message_bytes
        self.loop = asyncio.get_running_loop()
        self.links: set[NativeLink] = set()
        self._deserted = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def gone(self, link: NativeLink) -> None:
        """Forget a link whose socket is closed."""
        self.links.discard(link)
        if not self.links:
            self._deserted.set()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run an admission in the background."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def renew(self, link: NativeLink, transport: Any) -> None:
        """Give a link a protocol with a buffer of the initial size."""
        transport = transport.transport
        protocol = self._protocol(lambda _: link, link.broken)
        protocol.link = link
        transport.set_protocol(protocol)
        protocol.connection_made(_Renewed(transport))
        buffer = protocol.get_buffer(len(_HANDSHAKE))
        buffer[: len(_HANDSHAKE)] = _HANDSHAKE
        protocol.buffer_updated(len(_HANDSHAKE))

    def adopt(self, transport: asyncio.Transport) -> WSProtocol:
        """Take over a socket; return its protocol, which waits for the upgrade request."""
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        secure = transport.get_extra_info("ssl_object") is not None
        made: list[NativeLink] = []

        def listener(request: WSUpgradeRequest) -> object:
            link = NativeLink(self, request, address, secure=secure)
            made.append(link)
            protocol.link = link
            offered = offered_subprotocols(request)
            if not offered:
                return link
            selected = select_subprotocol(offered)
            headers = {"Sec-WebSocket-Protocol": selected} if selected else None
            return WSUpgradeResponseWithListener(
                WSUpgradeResponse.create_101_response(headers), link
            )

        def broken(code: int, reason: str) -> None:
            if made:
                made[0].broken(code, reason)

        protocol = self._protocol(listener, broken)
        transport.set_protocol(protocol)
        protocol.connection_made(_Socket(transport))
        return protocol

    def _protocol(
        self, listener: Callable[[WSUpgradeRequest], object], broken: Callable[[int, str], None]
    ) -> _Protocol:
        return _Protocol(
            None,  # host and path are a client's
            None,
            False,
            listener,
            _ParserLog(broken),
            True,  # hang up where a listener raises
            HANDSHAKE_TIMEOUT_S,
            False,  # pings are the engine's
            0.0,
            0.0,
            WSAutoPingStrategy.PING_WHEN_IDLE,
            False,  # the link answers pings
            self.max_message_bytes,
            None,
            READ_BUFFER_BYTES,
        )

    async def aclose(self) -> None:
        """Give peers a moment to answer their close frames, then hang up."""
        if self.links:
            self._deserted.clear()
            try:
                await asyncio.wait_for(self._deserted.wait(), CLOSE_TIMEOUT_S)
            except TimeoutError:
                log.debug("%d peers did not answer their close frames", len(self.links))
        for link in list(self.links):
            link.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
