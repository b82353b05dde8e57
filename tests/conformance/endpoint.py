"""An echo server on crdtsync's own server: the front door, the transports, admission.

The test suite wants its messages back, text ones as text, and crdtsync's protocol neither
echoes nor knows text. So ``serve`` runs as it is, over a hub whose connections echo, and each
transport gets the two things that the product has no use for: a text message keeps its payload
on the way in, and goes out as text. Everything about frames is the product's.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final
from unittest.mock import patch

from hypercorn.config import Config as HypercornConfig
from picows import WSMsgType, WSTransport
from starlette.types import Message, Receive, Send

from crdtsync.audit import NOBODY, Caller
from crdtsync.config import Config
from crdtsync.connection import Connection, Link
from crdtsync.errors import RemoteError
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.server import assembly, native, native_link, native_send, serve, websocket
from crdtsync.store.memory import MemoryStore

__all__ = ["Text", "echo_server"]

INVALID_PAYLOAD: Final = 1007
"""The close code for text that is no UTF-8 (RFC 6455, 7.4.1)."""


class Text(bytes):
    """A text message's payload, which the product carries as it carries a binary one."""

    __slots__ = ()


class EchoConnection:
    """What the engine's ``Connection`` is to a transport; sends back what it gets."""

    def __init__(self, link: Link, principal: Principal) -> None:
        self.principal = principal
        self.renew: object = None
        self._link = link
        self.send = link.send
        self.closed = False

    def receive(self, frame: bytes) -> None:
        """Send a message back."""
        if self.closed:
            return
        if isinstance(frame, Text):
            try:
                frame.decode()
            except UnicodeDecodeError:
                self.closed = True
                self._link.close(INVALID_PAYLOAD, "the text is not UTF-8")
                return
        self.send(frame)

    def receive_text(self) -> None:
        """Fail: the transports below hand text on as ``Text``."""
        raise AssertionError("a text message without its payload")

    def refuse(self, error: RemoteError) -> None:
        """Close with the error's code."""
        self.closed = True
        self._link.close(error.close_code, str(error))

    def heard(self, size: int = 0) -> None:
        """Take no note."""

    def lost(self, code: int | None = None) -> None:
        """Take note that nothing counts any more."""
        self.closed = True

    def pause_writing(self) -> None:
        """Read no more than is taken."""
        self._link.pause_reading()

    def resume_writing(self) -> None:
        """Go on reading."""
        self._link.resume_reading()


class EchoHub(Hub):
    """A hub without rooms."""

    def connect(
        self,
        link: Link,
        document: str,
        principal: Principal,
        *,
        acknowledge: bool = False,
        caller: Caller = NOBODY,
    ) -> Connection:
        """Let a client in to an echo."""
        return EchoConnection(link, principal)  # type: ignore[return-value]


class EchoNativeLink(native_link.NativeLink):
    """The native transport's link, text with its payload."""

    def _on_message(self, message: bytes, *, text: bool) -> None:
        super()._on_message(Text(message) if text else message, text=False)


class EchoWebSocketLink(websocket.WebSocketLink):
    """The ASGI transport's link, text with its payload."""

    def __init__(self, receive: Receive, send: Send, **options: Any) -> None:
        async def send_typed(message: Message) -> None:
            frame = message.get("bytes")
            if isinstance(frame, Text):
                message = {"type": message["type"], "text": frame.decode()}
            await send(message)

        super().__init__(receive, send_typed, **options)

    def _deliver(self, connection: Connection, message: Message) -> None:
        text = message.get("text")
        if text is not None:
            message = {"type": message["type"], "bytes": Text(text.encode())}
        super()._deliver(connection, message)


_product_settings = serve._hypercorn


def _settings(config: Config) -> HypercornConfig:
    settings = _product_settings(config)
    # The suite would answer a ping in the middle of a frame that it sends in pieces (6.4.3).
    settings.websocket_ping_interval = None
    return settings


_product_sender = native_link.sender


def _sender(transport: WSTransport) -> Any:
    send_binary = _product_sender(transport)

    def send(frame: bytes) -> None:
        if isinstance(frame, Text):
            space = native_send.HEADROOM_BYTES
            whole = bytearray(space) + frame
            transport.send_reuse_external_bytearray(WSMsgType.TEXT, whole, space)
        else:
            send_binary(frame)

    return send


@asynccontextmanager
async def echo_server(config: Config) -> AsyncIterator[serve.Listening]:
    """Run ``serve`` with echoes in place of documents."""
    started: asyncio.Future[serve.Listening] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        stack.enter_context(patch.object(assembly, "Hub", EchoHub))
        stack.enter_context(patch.object(native, "NativeLink", EchoNativeLink))
        stack.enter_context(patch.object(native_link, "sender", _sender))
        stack.enter_context(patch.object(websocket, "WebSocketLink", EchoWebSocketLink))
        stack.enter_context(patch.object(serve, "_hypercorn", _settings))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        tasks.create_task(
            serve.serve(config, store=MemoryStore(), started=started.set_result, stop=stop)
        )
        try:
            yield await started
        finally:
            stop.set()
