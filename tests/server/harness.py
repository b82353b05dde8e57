"""Real servers on loopback ports, and a y-websocket client in Python, for the server tests."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import anyio
import httpx
import hypercorn.asyncio
import hypercorn.config
import hypercorn.trio
import pycrdt
import uvicorn
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.types import ASGIApp
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from crdtsync.auth import Authenticator
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.protocol import (
    AuthMessage,
    Message,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    decode_frame,
    step_1_frame,
    step_2_frame,
    update_frame,
)
from crdtsync.server.asgi import create_app
from crdtsync.store.memory import MemoryStore

__all__ = ["SERVERS", "Client", "Server", "open_socket", "running"]

SERVERS = ["hypercorn-asyncio", "hypercorn-trio", "uvicorn"]
TIMEOUT_S = 10.0
"""After this a test that waits for an event has failed."""


@dataclass
class Server:
    """One running server. ``call`` runs a function on its event loop."""

    port: int
    hub: Hub
    portal: BlockingPortal = field(repr=False)
    stop: Callable[[], None] = field(repr=False)

    def url(self, path: str, scheme: str = "ws") -> str:
        return f"{scheme}://127.0.0.1:{self.port}/{path}"

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.portal.call(function, *args)


def open_socket() -> socket.socket:
    """Listen on a free loopback port: a client may connect before the server accepts."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    listener.setblocking(False)
    return listener


@contextmanager
def running(
    kind: str,
    *,
    hub: Hub | None = None,
    authenticator: Authenticator | None = None,
    limits: Limits | None = None,
    make_app: Callable[[Hub], ASGIApp] | None = None,
) -> Iterator[Server]:
    """Run an application on one of ``SERVERS``, in a thread, until the block ends."""
    listener = open_socket()
    port = listener.getsockname()[1]
    backend = "trio" if kind.endswith("trio") else "asyncio"
    with start_blocking_portal(backend) as portal:

        def build() -> tuple[Hub, ASGIApp, anyio.Event]:
            made = hub or Hub(MemoryStore(), limits=limits)
            app = make_app(made) if make_app else create_app(made, authenticator=authenticator)
            return made, app, anyio.Event()

        made, app, stopping = portal.call(build)
        run = _uvicorn if kind == "uvicorn" else _hypercorn
        done = portal.start_task_soon(run, app, listener, stopping, backend)
        server = Server(port, made, portal, lambda: portal.call(stopping.set))
        try:
            httpx.get(server.url("health/live", "http"))  # is answered once the lifespan began
            yield server
        finally:
            server.stop()
            done.result(timeout=30)
            listener.close()


async def _hypercorn(
    app: Any, listener: socket.socket, stopping: anyio.Event, backend: str
) -> None:
    config = hypercorn.config.Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.websocket_max_message_size = 65 * 1024 * 1024
    config.graceful_timeout = 1
    config.errorlog = None
    serve = hypercorn.trio.serve if backend == "trio" else hypercorn.asyncio.serve
    await serve(app, config, shutdown_trigger=stopping.wait)


async def _uvicorn(app: Any, listener: socket.socket, stopping: anyio.Event, _: str) -> None:
    config = uvicorn.Config(
        app, ws_max_size=65 * 1024 * 1024, log_config=None, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    async with anyio.create_task_group() as tasks:

        async def stop() -> None:
            await stopping.wait()
            server.should_exit = True

        tasks.start_soon(stop)
        await server.serve(sockets=[listener])
        stopping.set()


class Client:
    """A y-websocket client: one document, the messages of the protocol, an explicit pace."""

    def __init__(self, url: str, *, doc: pycrdt.Doc[Any] | None = None, **options: Any) -> None:
        self.doc: pycrdt.Doc[Any] = doc or pycrdt.Doc()
        self.text = self.doc.get("text", type=pycrdt.Text)
        options.setdefault("max_size", None)
        options.setdefault("ping_interval", None)
        options.setdefault("compression", None)
        if names := options.pop("subprotocols", None):
            options["subprotocols"] = [Subprotocol(name) for name in names]
        self._stack = ExitStack()
        self.ws: ClientConnection = self._stack.enter_context(connect(url, proxy=None, **options))
        self.messages: list[Message] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def receive(self) -> Message:
        """Wait for one message; integrate what it brings and answer a step 1."""
        frame = self.ws.recv(timeout=TIMEOUT_S)
        assert isinstance(frame, bytes)
        (message,) = decode_frame(frame)
        match message:
            case SyncStep1(vector):
                self.ws.send(step_2_frame(self.doc.get_update(vector)))
            case SyncStep2(update) | SyncUpdate(update):
                self.doc.apply_update(update)
        self.messages.append(message)
        return message

    def receive_until(self, wanted: Callable[[], bool]) -> None:
        """Receive until a condition holds."""
        while not wanted():
            self.receive()

    def sync(self) -> Self:
        """Do the opening handshake: step 1 out, wait for the step 2."""
        self.ws.send(step_1_frame(self.doc.get_state()))
        self.receive_until(lambda: any(isinstance(m, SyncStep2) for m in self.messages))
        self.receive_until(lambda: any(isinstance(m, SyncStep1) for m in self.messages))
        return self

    def edit(self, change: Callable[[], object]) -> bytes:
        """Change the document, send the update, return it."""
        before = self.doc.get_state()
        change()
        update = self.doc.get_update(before)
        self.ws.send(update_frame(update))
        return update

    def append(self, text: str) -> bytes:
        """Add to the end of the text."""

        def change() -> None:
            self.text += text

        return self.edit(change)

    def closed(self) -> Close:
        """Receive until the server closes; return what it said."""
        try:
            while True:
                self.receive()
        except ConnectionClosed as error:
            if error.rcvd is None:
                raise AssertionError("the connection broke without a close frame") from error
            return error.rcvd

    def refusal(self) -> tuple[list[str], Close]:
        """Receive until the server closes; return the reasons it gave, and the close."""
        close = self.closed()
        return [m.reason for m in self.messages if isinstance(m, AuthMessage)], close
