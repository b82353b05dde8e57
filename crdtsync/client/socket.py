"""One WebSocket connection, on AnyIO's streams: asyncio and trio alike.

Owns the bytes of RFC 6455 through wsproto, the joining of continuation frames up to a limit,
and the end of a connection as one error. Knows no message of the protocol. No extension is
offered: what goes over the wire is not compressed.
"""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
from anyio.abc import ByteStream
from h11 import LocalProtocolError as Unwritable
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from crdtsync.client.errors import ConnectionLost, Refused
from crdtsync.client.options import Options
from crdtsync.client.target import OURS, Target

__all__ = ["Socket", "Upgrade", "open_socket", "upgrade"]

_READ_BYTES: Final = 1 << 18
_BROKEN: Final = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)
_ABNORMAL: Final = 1006

Upgrade = tuple[WSConnection, bytes]
"""A connection that is about to be made, and the request that begins it."""


class Socket:
    """An open WebSocket. Any task may send, one receives."""

    def __init__(self, stream: ByteStream, connection: WSConnection, options: Options) -> None:
        self._stream = stream
        self._connection = connection
        self._options = options
        self._parts: list[bytes] = []
        self._size = 0
        self._control: list[bytes] = []
        self._writing = anyio.Lock()
        self.ours = False
        """Whether crdtsync itself has answered, which sends back what it has committed."""
        self.heard_s = anyio.current_time()
        """When anything came last, a pong included."""
        self.on_control: Callable[[], None] = lambda: None
        """Called when something waits to be sent that nobody asked for: ``flush``."""

    async def receive(self) -> bytes:
        """Return the next binary message. Raises ``ConnectionLost`` or ``Refused`` at the end."""
        while True:
            message = self._next()
            if message is not None:
                return message
            try:
                data = await self._stream.receive(_READ_BYTES)
            except _BROKEN as error:
                raise ConnectionLost("the connection broke") from error
            self.heard_s = anyio.current_time()
            try:
                self._connection.receive_data(data)
            except (RemoteProtocolError, LocalProtocolError) as error:
                raise ConnectionLost(f"the server breaks the protocol: {error}") from None

    def _next(self) -> bytes | None:
        try:
            for event in self._connection.events():
                match event:
                    case BytesMessage(data=data, message_finished=finished):
                        self._size += len(data)
                        if self._size > self._options.max_message_bytes:
                            raise ConnectionLost("a message of the server is too large")
                        self._parts.append(bytes(data))
                        if finished:
                            message = b"".join(self._parts)
                            self._parts, self._size = [], 0
                            return message
                    case TextMessage():
                        raise ConnectionLost("the server sent text: it speaks another protocol")
                    case Ping():
                        self._control.append(self._connection.send(event.response()))
                        self.on_control()
                    case CloseConnection(code=code, reason=reason):
                        self._control.append(self._connection.send(event.response()))
                        self.on_control()
                        raise ConnectionLost(reason or "the server closed", code=code)
        except (RemoteProtocolError, LocalProtocolError) as error:
            raise ConnectionLost(f"the server breaks the protocol: {error}") from None
        return None

    async def send(self, message: bytes) -> None:
        """Send one binary message."""
        await self._send(BytesMessage(data=message))

    async def ping(self) -> None:
        """Ask for a sign of life."""
        await self._send(Ping(payload=b"crdtsync"))

    async def flush(self) -> None:
        """Send what waits, such as the answer to a ping."""
        await self._write(b"")

    async def close(self) -> None:
        """Say good-bye; the answer is not waited for."""
        await self._send(CloseConnection(code=1000))

    async def _send(self, event: Event) -> None:
        try:
            data = self._connection.send(event)
        except LocalProtocolError as error:
            raise ConnectionLost("the connection is closed") from error
        await self._write(data)

    async def _write(self, data: bytes) -> None:
        try:
            with anyio.fail_after(self._options.send_timeout_s):
                async with self._writing:
                    waiting, self._control = self._control, []
                    if out := b"".join((*waiting, data)):
                        await self._stream.send(out)
        except TimeoutError:
            raise ConnectionLost("the server takes nothing") from None
        except _BROKEN as error:
            raise ConnectionLost("the connection broke") from error


def upgrade(target: Target, token: str | None) -> Upgrade:
    """Write the request of an upgrade.

    Raises ``ValueError``, without the token, where that or a header can't be sent, and what a
    function for headers raises.
    """
    connection = WSConnection(ConnectionType.CLIENT)
    request = Request(
        host=target.authority,
        target=target.request_target(token),
        subprotocols=target.offered(token),
        extra_headers=target.extra_headers(token),
    )
    try:
        return connection, connection.send(request)
    except (Unwritable, LocalProtocolError):
        raise ValueError(
            "the token, a header or a subprotocol holds what no HTTP header can, such as a line"
            " break, or a blank at its end"
        ) from None


@asynccontextmanager
async def open_socket(target: Target, upgrade: Upgrade, options: Options) -> AsyncIterator[Socket]:
    """Connect and upgrade. Raises ``ConnectionLost``; ``Refused`` where HTTP says 401 or 403."""
    connection, request = upgrade
    stream: ByteStream | None = None
    try:
        try:
            with anyio.fail_after(options.connect_timeout_s):
                stream = await _connect(target)
                await stream.send(request)
                accepted = await _accepted(stream, connection)
        except TimeoutError:
            raise ConnectionLost(f"{target.authority} does not answer in time") from None
        except (*_BROKEN, ssl.SSLError) as error:
            raise ConnectionLost(f"{target.authority} can't be reached: {error}") from error
        except (RemoteProtocolError, LocalProtocolError) as error:
            raise ConnectionLost(f"{target.authority} is no WebSocket server: {error}") from None
        socket = Socket(stream, connection, options)
        socket.ours = accepted.subprotocol == OURS
        yield socket
    finally:
        if stream is not None:
            with anyio.CancelScope(shield=True):
                await anyio.aclose_forcefully(stream)


async def _connect(target: Target) -> ByteStream:
    if not target.secure:
        return await anyio.connect_tcp(target.host, target.port)
    context = target.ssl_context or ssl.create_default_context()
    return await anyio.connect_tcp(
        target.host, target.port, ssl_context=context, tls_standard_compatible=False
    )


async def _accepted(stream: ByteStream, connection: WSConnection) -> AcceptConnection:
    while True:
        connection.receive_data(await stream.receive(_READ_BYTES))
        for event in connection.events():
            if isinstance(event, AcceptConnection):
                return event
            if isinstance(event, RejectConnection):
                status = event.status_code
                if status in (401, 403):
                    raise Refused(4000 + status, f"HTTP {status}")
                raise ConnectionLost(f"the server answers with HTTP {status}")
