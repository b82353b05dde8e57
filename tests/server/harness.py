"""Real servers on loopback ports, in a thread, and a client of theirs, for the server tests."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
import hypercorn.asyncio
import hypercorn.config
import hypercorn.trio
import uvicorn
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.types import ASGIApp

from crdtsync.auth import Authenticator
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.server.asgi import create_app
from crdtsync.store.memory import MemoryStore
from tests.client import TIMEOUT_S, Client

__all__ = ["SERVERS", "TIMEOUT_S", "Client", "Server", "open_socket", "running"]

SERVERS = ["hypercorn-asyncio", "hypercorn-trio", "uvicorn"]


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
