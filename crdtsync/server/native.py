"""The native WebSocket transport: makes picows protocols for the front door.

picows' ``WSProtocol`` is used by itself, without its server, because one port serves HTTP too.
What its parser finds wrong it says to its logger before it closes: ``_ParserLog`` turns "too
big" into the application's 4413 there, because 1009 makes clients come back for ever.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from picows import (
    WSCloseCode,
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
from crdtsync.server.native_link import CLOSE_TIMEOUT_S, NativeLink, offered_subprotocols
from crdtsync.server.request import select_subprotocol

__all__ = ["NativeServer"]

log = logging.getLogger("crdtsync.websocket")

READ_BUFFER_BYTES: Final = 2048
"""What picows allocates per connection; it grows with what a client sends."""
HANDSHAKE_TIMEOUT_S: Final = 10.0
_HANDSHAKE: Final = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class _ParserLog(logging.LoggerAdapter[logging.Logger]):
    """One connection's logger for picows, which reports here what its parser refuses."""

    def __init__(self, too_large: Callable[[], None]) -> None:
        super().__init__(logging.getLogger("picows.crdtsync"))
        self._too_large = too_large

    def isEnabledFor(self, level: int) -> bool:
        return level >= logging.ERROR

    def info(self, msg: object, *args: object, **kwargs: Any) -> None:
        """Drop picows' connection chatter."""

    def error(self, msg: object, *args: object, **kwargs: Any) -> None:
        """Take note of a protocol error of the peer; picows closes the connection."""
        if args and isinstance(args[0], tuple) and args[0][:1] == (WSCloseCode.MESSAGE_TOO_BIG,):
            self._too_large()
        else:
            log.debug("a client broke the WebSocket protocol: %s", args)


class _Renewed:
    """A socket's transport for a protocol that thinks it is new: its handshake goes nowhere."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._shaken = False

    def write(self, data: Any) -> None:
        """Write, but for the first time."""
        if self._shaken:
            self._transport.write(data)
        self._shaken = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class NativeServer:
    """Makes picows protocols for sockets whose upgrade request the front door has seen."""

    def __init__(self, hub: Hub, authenticator: Authenticator) -> None:
        self.hub = hub
        self.authenticator = authenticator
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
        if isinstance(transport, _Renewed):
            transport = transport._transport
        protocol = self._protocol(lambda _: link, link.too_large)
        transport.set_protocol(protocol)
        protocol.connection_made(_Renewed(transport))
        buffer = protocol.get_buffer(len(_HANDSHAKE))
        buffer[: len(_HANDSHAKE)] = _HANDSHAKE
        protocol.buffer_updated(len(_HANDSHAKE))

    def protocol(self, address: str) -> WSProtocol:
        """Return a protocol for one socket, for ``transport.set_protocol``."""
        made: list[NativeLink] = []

        def listener(request: WSUpgradeRequest) -> object:
            link = NativeLink(self, request, address)
            made.append(link)
            offered = offered_subprotocols(request)
            if not offered:
                return link
            selected = select_subprotocol(offered)
            headers = {"Sec-WebSocket-Protocol": selected} if selected else None
            return WSUpgradeResponseWithListener(
                WSUpgradeResponse.create_101_response(headers), link
            )

        def too_large() -> None:
            if made:
                made[0].too_large()

        return self._protocol(listener, too_large)

    def _protocol(
        self, listener: Callable[[WSUpgradeRequest], object], too_large: Callable[[], None]
    ) -> WSProtocol:
        return WSProtocol(
            None,  # host and path are a client's
            None,
            False,
            listener,
            _ParserLog(too_large),
            True,  # hang up where a listener raises
            HANDSHAKE_TIMEOUT_S,
            False,  # pings are the engine's
            0.0,
            0.0,
            WSAutoPingStrategy.PING_WHEN_IDLE,
            True,  # answer pings
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
