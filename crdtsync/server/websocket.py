"""A document's WebSocket over ASGI: the engine's link on any ASGI server, asyncio or trio.

Owns one connection's two directions. Inwards, each WebSocket message goes to the engine as it
comes, and while the engine wants no more the server is not asked for more, so that its own
flow control holds the peer. Outwards, frames wait in an outbox of bounded size; above it the
engine is told to stop, and its cursor keeps the difference instead of a queue that grows.

ASGI has no ping, and pongs stay with the server. So a peer that has been silent since the last
ping is asked for its awareness, which every y-protocols client answers; one that has never
shown any awareness might not know the question, and is left to the server's own pings.
"""

import logging
from collections import deque

import anyio
from starlette.types import Message, Receive, Scope, Send

from crdtsync.auth import Authenticator, ConnectRequest
from crdtsync.connection import Connection
from crdtsync.errors import (
    CloseCode,
    CrdtsyncError,
    MessageTooLarge,
    close_reason,
)
from crdtsync.hub import Hub
from crdtsync.protocol import QUERY_AWARENESS, permission_denied_frame
from crdtsync.seats import Seat
from crdtsync.server.admission import TOLD
from crdtsync.server.doors import Doors, count_refusal
from crdtsync.server.request import (
    encoded_path,
    is_secure,
    peer_address,
    scope_request,
    select_subprotocol,
)
from crdtsync.server.visit import Visit

__all__ = [
    "CLOSE_TIMEOUT_S",
    "MAX_OUTBOX_BYTES",
    "WebSocketLink",
    "serve_document",
]

logger = logging.getLogger("crdtsync.websocket")

MAX_OUTBOX_BYTES = 256 * 1024
"""Frames that wait for the socket; above, the engine is told to stop. One frame may overshoot."""
RESUME_OUTBOX_BYTES = MAX_OUTBOX_BYTES // 4
"""At or below this the engine may go on."""
CLOSE_TIMEOUT_S = 10.0
"""How long a peer may take for the rest of its frames and for the closing handshake."""

AWARENESS_BYTE = b"\x01"
"""How an awareness message begins."""


class WebSocketLink:
    """One accepted ASGI WebSocket, as the engine's ``Link``."""

    def __init__(self, receive: Receive, send: Send, *, max_message_bytes: int) -> None:
        self._receive = receive
        self._send = send
        self._max_message_bytes = max_message_bytes
        self._connection: Connection | None = None
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._full = False
        self._closing: Message | None = None
        self._peer_code: int | None = None
        self._wake = anyio.Event()
        self._readable = anyio.Event()
        self._readable.set()
        self._scope = anyio.CancelScope()
        self._heard_since_ping = True
        self._has_awareness = False

    @property
    def outbox_bytes(self) -> int:
        """What waits for the socket."""
        return self._outbox_bytes

    # The engine's side: none of these blocks.

    def send(self, frame: bytes) -> None:
        """Queue one binary message."""
        if self._closing is not None:
            return
        self._outbox.append(frame)
        self._outbox_bytes += len(frame)
        if not self._full and self._outbox_bytes > MAX_OUTBOX_BYTES:
            self._full = True
            if self._connection is not None:
                self._connection.pause_writing()
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Close after what was sent before; give up on a peer that doesn't take it in time."""
        if self._closing is not None:
            return
        self._closing = {
            "type": "websocket.close",
            "code": int(code),
            "reason": close_reason(reason),
        }
        self._scope.deadline = anyio.current_time() + CLOSE_TIMEOUT_S
        self._wake.set()
        self._readable.set()

    def pause_reading(self) -> None:
        """Take no more from the server until ``resume_reading``."""
        if self._closing is None and self._readable.is_set():
            self._readable = anyio.Event()

    def resume_reading(self) -> None:
        """Go on reading."""
        self._readable.set()

    def ping(self) -> None:
        """Ask a silent peer for a sign of life, where it is one that answers."""
        if self._heard_since_ping:
            self._heard_since_ping = False
        elif self._has_awareness:
            self.send(QUERY_AWARENESS)
            return
        if self._connection is not None:
            self._connection.heard()

    def abort(self) -> None:
        """Drop the peer at once."""
        self._scope.cancel()

    # The server's side.

    async def run(self, connection: Connection) -> None:
        """Move messages both ways until the connection ends, then tell the engine."""
        self._connection = connection
        if self._full:
            connection.pause_writing()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._write)
            try:
                with self._scope:
                    await self._read(connection)
            finally:
                # Before the writer is waited for: a server may shield its send.
                connection.lost(self._peer_code)
                tasks.cancel_scope.cancel()

    async def _read(self, connection: Connection) -> None:
        while True:
            if not self._readable.is_set():  # waiting for a set event yields all the same
                await self._readable.wait()
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self._peer_code = message.get("code")
                return
            if self._closing is not None:  # the peer's answer stands behind what it wrote before
                self._overhear(connection, message)
                continue
            self._heard_since_ping = True
            try:
                self._deliver(connection, message)
            except Exception:
                logger.exception("a message could not be handled")
                connection.lost()
                self.close(CloseCode.INTERNAL_ERROR, "the server failed to handle a message")

    def _overhear(self, connection: Connection, message: Message) -> None:
        """Hand on what came before the peer had seen the close: some of it may be kept."""
        data = message.get("bytes")
        if data is not None and len(data) <= self._max_message_bytes and connection.closed:
            connection.receive(data)

    def _deliver(self, connection: Connection, message: Message) -> None:
        connection.heard()
        data = message.get("bytes")
        if data is None:
            connection.receive_text()
        elif len(data) > self._max_message_bytes:
            connection.refuse(MessageTooLarge(f"a message is over {self._max_message_bytes} bytes"))
        else:
            if data[:1] == AWARENESS_BYTE:
                self._has_awareness = True
            connection.receive(data)

    async def _write(self) -> None:
        try:
            while True:
                while self._outbox:
                    frame = self._outbox.popleft()
                    await self._send({"type": "websocket.send", "bytes": frame})
                    self._outbox_bytes -= len(frame)
                    if self._full and self._outbox_bytes <= RESUME_OUTBOX_BYTES:
                        self._full = False
                        assert self._connection is not None
                        self._connection.resume_writing()
                if self._closing is not None:
                    await self._send(self._closing)
                    return
                self._wake = anyio.Event()
                await self._wake.wait()
        except (OSError, RuntimeError) as error:
            # The peer is gone (ASGI 2.4 raises OSError; uvicorn a RuntimeError where its own
            # keepalive closed the socket a moment ago). The reader may not be told: end it.
            logger.debug("a WebSocket could not be written to: %s", error)
            self._scope.cancel()


async def serve_document(
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    hub: Hub,
    authenticator: Authenticator,
    doors: Doors | None = None,
) -> None:
    """Serve one WebSocket: accept, authenticate, connect to the document, run.

    It is accepted first in any case, because a browser learns nothing of a refused upgrade and
    comes back for ever, while it understands a close code. Until it is let in nothing is read:
    what a client sends meanwhile waits in the server's buffers, which are bounded.
    """
    if (await receive())["type"] != "websocket.connect":
        return
    await send(
        {
            "type": "websocket.accept",
            "subprotocol": select_subprotocol(scope.get("subprotocols", ())),
            "headers": [],
        }
    )
    link = WebSocketLink(receive, send, max_message_bytes=hub.limits.max_message_bytes)
    visit = Visit(hub, authenticator, doors or Doors(), address=peer_address(scope))
    seat: Seat | None = None
    try:
        try:
            seat = visit.arrive(scope_request(scope, ""), secure=is_secure(scope))
            principal = await visit.admit(encoded_path(scope))
            connection = visit.connect(link, principal)
        except CrdtsyncError as error:
            await _refuse(receive, send, hub, error, visit.asked)
            return
        await link.run(connection)
    finally:
        if seat is not None:
            seat.leave()


async def _refuse(
    receive: Receive, send: Send, hub: Hub, error: CrdtsyncError, asked: ConnectRequest
) -> None:
    """Tell the client why, wait until that has arrived, close with the error's code."""
    code, reason = count_refusal(hub, error, asked)
    try:
        if isinstance(error, TOLD):
            await send({"type": "websocket.send", "bytes": permission_denied_frame(reason)})
            await anyio.sleep(hub.limits.refusal_delay_s)
        await send({"type": "websocket.close", "code": code, "reason": close_reason(reason)})
        with anyio.move_on_after(CLOSE_TIMEOUT_S):
            while (await receive())["type"] != "websocket.disconnect":
                pass
    except (OSError, RuntimeError) as gone:
        logger.debug("a refused client was gone before it was told: %s", gone)
