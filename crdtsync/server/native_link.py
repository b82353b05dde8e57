"""One socket of the native WebSocket transport: picows below, the engine's ``Link`` above.

Owns the WebSocket side of one connection: joining continuation frames, the size limit over the
whole message, pongs, the closing handshake, admission. picows parses frames.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
)

from crdtsync.auth import ConnectRequest
from crdtsync.connection import FRAME_OVERHEAD_BYTES, Connection
from crdtsync.errors import (
    CloseCode,
    CrdtsyncError,
    MessageTooLarge,
    close_reason,
)
from crdtsync.protocol import permission_denied_frame
from crdtsync.seats import Seat
from crdtsync.server.admission import TOLD
from crdtsync.server.doors import count_refusal
from crdtsync.server.native_request import native_request, request_path
from crdtsync.server.native_send import sender, short_sender
from crdtsync.server.visit import Visit

if TYPE_CHECKING:
    from crdtsync.server.native import NativeServer

__all__ = ["CLOSE_TIMEOUT_S", "NativeLink"]

log = logging.getLogger("crdtsync.websocket")

RENEW_ABOVE_BYTES: Final = 256 * 1024
"""picows' buffer never shrinks: behind a frame over this size the connection gets a new one."""
WRITE_BUFFER_BYTES: Final = 256 * 1024
"""Above this a socket counts as full, and its connection falls back to a cursor."""
CLOSE_TIMEOUT_S: Final = 5.0
"""How long a peer may take to answer a close frame."""
CLOSING_PAUSE_S: Final = 0.005
"""How long a peer that goes on sending waits for its next turn while it is being closed."""
MAX_EARLY_BYTES: Final = 1024 * 1024
"""What a client may send before it is authenticated; above, it is not read."""

MAX_CLOSE_CODE: Final = 4999
"""The highest close code that a frame may have (RFC 6455, 7.4.2)."""

NO_STATUS: Final = 1005
"""A close frame without a code (RFC 6455, 7.4.1)."""

_BINARY: Final = WSMsgType.BINARY


class NativeLink(WSListener):
    """One socket, as the engine's ``Link``."""

    def __init__(
        self, server: "NativeServer", request: WSUpgradeRequest, address: str, *, secure: bool
    ) -> None:
        self._server = server
        self._request: WSUpgradeRequest | None = request
        self._address = address
        self._secure = secure
        self._transport: WSTransport  # from the moment when it is connected
        self._renewed = False
        self._connection: Connection | None = None
        self._seat: Seat | None = None
        self._early: list[bytes | None] = []  # None: a text message
        self._early_bytes = 0
        self._parts: list[bytes] | None = None
        self._parts_bytes = 0
        self._text = False
        self._closing = False
        self._hang_up: asyncio.TimerHandle | None = None
        self._grown = False
        self._paused = False  # by the engine
        self._yielding = False
        self._full = False  # its socket takes nothing now
        self._owed_pong: bytes | None = None  # while it is full: the answer to the newest ping

    # From picows

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Start to find out who this is."""
        if self._renewed:
            self._transport = transport
            if self._connection is not None:
                self._connection.send = sender(transport)
                self._connection.send_short = short_sender(transport)
            return
        self._transport = transport
        transport.underlying_transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._server.links.add(self)
        self._server.spawn(self._admit())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take one frame."""
        connection = self._connection
        if (
            frame.msg_type == _BINARY
            and connection is not None
            and frame.fin
            and self._parts is None
            and frame.payload_size <= RENEW_ABOVE_BYTES
            and not self._grown
            and not (frame.rsv1 or frame.rsv2 or frame.rsv3)
        ):
            connection.receive(frame.get_payload_as_bytes())
        else:
            self._grown |= frame.payload_size > RENEW_ABOVE_BYTES
            self._on_rare_frame(frame)
            if self._grown and frame.tail_size == 0 and not self._closing:
                self._renew()

    def _renew(self) -> None:
        """Change to a new protocol with a small buffer, between two frames."""
        self._grown = False
        self._renewed = True
        self._server.renew(self, self._transport.underlying_transport)

    def _on_rare_frame(self, frame: WSFrame) -> None:
        connection = self._connection
        kind = frame.msg_type
        if connection is not None:
            control = kind == WSMsgType.PING or kind == WSMsgType.PONG
            connection.heard(FRAME_OVERHEAD_BYTES + (frame.payload_size if control else 0))
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._fail("reserved bits are set")
        elif kind == WSMsgType.CLOSE:
            self._on_close(frame)
        elif kind == WSMsgType.PING:
            self._on_ping(frame.get_payload_as_bytes())
        elif kind == WSMsgType.PONG:
            pass
        elif kind == WSMsgType.CONTINUATION:
            if self._parts is None:
                self._fail("a continuation of nothing")
            else:
                self._on_part(frame)
        elif self._parts is not None:
            self._fail("a message begins within another")
        elif frame.fin:
            self._on_message(frame.get_payload_as_bytes(), text=kind == WSMsgType.TEXT)
        else:
            self._parts = []
            self._parts_bytes = 0
            self._text = kind == WSMsgType.TEXT
            self._on_part(frame)

    def _on_ping(self, payload: bytes) -> None:
        """Answer a ping; where the socket is full, the newest one later (RFC 6455, 5.5.3)."""
        if self._full:
            self._owed_pong = payload
        elif not self._closing:
            self._transport.send_pong(payload)
            if self._connection is None:
                self._count_early(len(payload))

    def _on_part(self, frame: WSFrame) -> None:
        assert self._parts is not None
        self._parts_bytes += frame.payload_size
        if self._parts_bytes > self._server.max_message_bytes:
            self._parts.clear()
            self.too_large()
            return
        self._parts.append(frame.get_payload_as_bytes())
        if frame.fin:
            message = b"".join(self._parts)
            self._parts = None
            self._on_message(message, text=self._text)

    def _on_message(self, message: bytes, *, text: bool) -> None:
        connection = self._connection
        if len(message) > self._server.max_message_bytes:
            self.too_large()
        elif connection is not None:
            if text:
                connection.receive_text()
            else:
                connection.receive(message)
        elif not self._closing:
            self._early.append(None if text else message)
            self._count_early(len(message))

    def _count_early(self, size: int) -> None:
        self._early_bytes += size + FRAME_OVERHEAD_BYTES
        if self._early_bytes > MAX_EARLY_BYTES:
            self.pause_reading()

    def _fail(self, reason: str) -> None:
        """Refuse what breaks the WebSocket protocol; nothing behind it counts."""
        self._detach()
        self.close(CloseCode.PROTOCOL_ERROR, reason)

    def _detach(self, code: int | None = None) -> None:
        if self._connection is not None:
            self._connection.lost(code)

    def broken(self, code: Any, reason: str) -> None:
        """Refuse what picows' parser finds wrong, before picows does; read nothing behind it.

        The parser is one frame ahead: what came whole before the error is handed on after this.
        """
        handshake = self._transport.close_handshake
        if code == WSCloseCode.MESSAGE_TOO_BIG:
            self.too_large()
        elif handshake is not None and handshake.recv is not None:
            # Behind a close frame nothing counts, not even as an error (RFC 6455, 5.5.1).
            self._answer_close(handshake.recv.code)
        else:
            self.close(code, reason)
        self._server.loop.call_soon(self._detach)
        self._transport.underlying_transport.drain()  # type: ignore[attr-defined]

    def too_large(self) -> None:
        """Refuse a message over the limit, whole or in parts."""
        if self._closing:
            return
        error = MessageTooLarge(f"a message is over {self._server.max_message_bytes} bytes")
        if self._connection is None or not self._connection.closed:
            self._server.hub.stats.rejected[error.kind] += 1
        # At once: picows closes by itself right behind, with a code that means "retry".
        self._detach()
        self._send(permission_denied_frame(str(error)))
        self.close(error.close_code, str(error))

    def _on_close(self, frame: WSFrame) -> None:
        if not self._closing:
            code: Any = frame.get_close_code()
            if code == WSCloseCode.NO_INFO and frame.payload_size:
                self._fail("a close code that is never sent")
            else:
                self._answer_close(code)
        self._transport.disconnect()

    def _answer_close(self, code: Any) -> None:  # an int, whatever picows' stubs say
        if code == WSCloseCode.NO_INFO:  # picows' word for none
            self._detach(NO_STATUS)
            self.close(CloseCode.NORMAL, "")
        elif code == WSCloseCode.ABNORMAL_CLOSURE or code > MAX_CLOSE_CODE:
            self._fail("a close code that is never sent")  # picows lets these through
        else:
            self._detach(code)
            self.close(code, "")

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Take note that the socket is gone."""
        self._closing = True
        if self._hang_up is not None:
            self._hang_up.cancel()
        self._server.gone(self)
        if self._seat is not None:
            self._seat.leave()
        if self._connection is not None:
            self._connection.lost()

    def end_turn(self) -> None:
        """Read on in the event loop's next turn, behind everybody else."""
        if not self._yielding and not self._paused and not self._transport.is_disconnected:
            self._yielding = True
            self._transport.underlying_transport.pause_reading()
            if self._closing:  # what still comes is for nobody
                self._server.loop.call_later(CLOSING_PAUSE_S, self._next_turn)
            else:
                self._server.loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._yielding = False
        if not self._paused and not self._transport.is_disconnected:
            self._transport.underlying_transport.resume_reading()

    def pause_writing(self) -> None:
        """Hold the engine back: the socket's buffer is full."""
        self._full = True
        if self._connection is not None:
            self._connection.pause_writing()

    def resume_writing(self) -> None:
        """Let the engine go on."""
        self._full = False
        if self._owed_pong is not None:
            payload, self._owed_pong = self._owed_pong, None
            self._on_ping(payload)
        if self._connection is not None:
            self._connection.resume_writing()

    # From the engine

    def _send(self, frame: bytes) -> None:
        sender(self._transport)(frame)

    def close(self, code: int, reason: str) -> None:
        """Send a close frame behind what was sent; hang up when it is answered, or after 5 s."""
        if self._closing:
            return
        self._closing = True
        self._transport.send_close(int(code), close_reason(reason).encode())  # type: ignore[arg-type]
        self._hang_up = self._server.loop.call_later(CLOSE_TIMEOUT_S, self.abort)

    def abort(self) -> None:
        """Drop the socket."""
        self._transport.disconnect(False)

    def ping(self) -> None:
        """Send a ping; any frame counts as its answer."""
        self._transport.send_ping()

    def pause_reading(self) -> None:
        """Leave what comes in the kernel's buffer."""
        self._paused = True
        if not self._yielding and not self._transport.is_disconnected:
            self._transport.underlying_transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading."""
        self._paused = False
        if not self._yielding and not self._transport.is_disconnected:
            self._transport.underlying_transport.resume_reading()

    # Admission

    async def _admit(self) -> None:
        request = self._request
        assert request is not None
        self._request = None
        if self._transport.is_disconnected:
            return
        path, _, query = request.path.partition(b"?")
        server = self._server
        visit = Visit(server.hub, server.authenticator, server.doors, address=self._address)
        try:
            said = native_request(query, request, self._address)
            self._seat = visit.arrive(said, secure=self._secure)
            principal = await visit.admit(request_path(path))
            if self._closing:
                return
            connection = visit.connect(_Sink(self), principal)
        except CrdtsyncError as error:
            await self._refuse(error, visit.asked)
            return
        except Exception:
            log.exception("a client could not be let in")
            self.close(CloseCode.INTERNAL_ERROR, "the server failed to let you in")
            return
        connection.send_short = short_sender(self._transport)
        self._connection = connection
        early, self._early = self._early, []
        if self._early_bytes:
            self.resume_reading()
        for message in early:
            if message is None:
                connection.receive_text()
            else:
                connection.receive(message)

    async def _refuse(self, error: CrdtsyncError, asked: ConnectRequest) -> None:
        hub = self._server.hub
        code, reason = count_refusal(hub, error, asked)
        self._early.clear()
        if isinstance(error, TOLD):
            self._send(permission_denied_frame(reason))
            await asyncio.sleep(hub.limits.refusal_delay_s)
        self.close(code, reason)


class _Sink:
    """The engine's view of a link: its ``send`` is picows' own, with one call in between."""

    __slots__ = ("abort", "close", "pause_reading", "ping", "resume_reading", "send")

    def __init__(self, link: NativeLink) -> None:
        self.send = sender(link._transport)
        self.close = link.close
        self.abort = link.abort
        self.ping = link.ping
        self.pause_reading = link.pause_reading
        self.resume_reading = link.resume_reading
