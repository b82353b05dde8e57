"""``crdtsync serve`` as a function: store, engine, transports and signals, put together.

Owns the process's sockets and the order in which things start and stop. Here, and only here,
the adapters of a configuration are chosen.
"""

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import ssl
import stat
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config as HypercornConfig
from hypercorn.typing import ASGIFramework

from crdtsync.auth import Authenticator, OpenAuthenticator
from crdtsync.config import Config
from crdtsync.engine import Change
from crdtsync.errors import ConfigError, OperatorError
from crdtsync.gate import Gate
from crdtsync.hub import Hub
from crdtsync.server.asgi import create_app
from crdtsync.server.frontdoor import FrontDoor, HttpServer
from crdtsync.store import open_store
from crdtsync.store.base import Store

if TYPE_CHECKING:
    from crdtsync.server.native import NativeServer

__all__ = ["Listening", "run", "serve"]

log = logging.getLogger("crdtsync")

BACKLOG: Final = 2048
PORT_ATTEMPTS: Final = 10
HTTP_CLOSE_TIMEOUT_S: Final = 1.0
SWITCH_INTERVAL_S: Final = 0.0005
GC_THRESHOLD: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """What a started server says about itself."""

    urls: tuple[str, ...]
    """``http://HOST:PORT`` of each socket; WebSockets are at the same place."""
    unix_socket: str | None
    store_url: str
    durability: str
    transport: str
    """``native`` (picows) or ``asgi``."""
    tls: bool
    notes: tuple[str, ...] = ()


def run(
    config: Config | None = None,
    *,
    store: Store | None = None,
    authenticator: Authenticator | None = None,
    gate: Gate | None = None,
    on_change: Callable[[Change], Awaitable[None]] | None = None,
    started: Callable[[Listening], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain; on uvloop where there is one.

    ``store`` takes the place of the configuration's, ``on_change`` is awaited for each committed
    change, ``started`` is called once everything listens. Raises ``OperatorError`` where it
    can't start, with one line that says what to do.
    """
    # The store's thread has to get the interpreter back soon after a commit, and the collector
    # need not look at every hundredth update's short-lived objects.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(GC_THRESHOLD, 20, 50)
    try:
        import uvloop

        loop_factory = uvloop.new_event_loop
    except ImportError:
        loop_factory = None
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(
            serve(
                config,
                store=store,
                authenticator=authenticator,
                gate=gate,
                on_change=on_change,
                started=started,
            )
        )


async def serve(
    config: Config | None = None,
    *,
    store: Store | None = None,
    authenticator: Authenticator | None = None,
    gate: Gate | None = None,
    on_change: Callable[[Change], Awaitable[None]] | None = None,
    started: Callable[[Listening], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Do what ``run`` does, on a loop that runs already (asyncio's or uvloop's).

    Ends when ``stop`` is set, too. Raises ``OperatorError``.
    """
    config = config or Config()
    stop = stop or asyncio.Event()
    tls = config.ssl_context(alpn=("h2", "http/1.1"))
    sockets = [] if config.unix_socket else _bind(config.host, config.port)
    try:
        hub = Hub(
            store or open_store(config.store, durability=config.durability),
            gate=gate,
            limits=config.limits,
            on_change=on_change,
        )
        async with hub:
            await _serve_hub(
                config, hub, authenticator or OpenAuthenticator(), sockets, tls, started, stop
            )
    finally:
        for each in sockets:
            each.close()


async def _serve_hub(
    config: Config,
    hub: Hub,
    authenticator: Authenticator,
    sockets: list[socket.socket],
    tls: ssl.SSLContext | None,
    started: Callable[[Listening], None] | None,
    stop: asyncio.Event,
) -> None:
    loop = asyncio.get_running_loop()
    app = create_app(hub, authenticator=authenticator, lifespan=False)
    http = HttpServer(ASGIWrapper(cast(ASGIFramework, app)), _hypercorn(config))
    native, notes = _native(config, hub, authenticator)
    make = native.adopt if native is not None else None
    servers: list[asyncio.AbstractServer] = [
        await loop.create_server(lambda: FrontDoor(http, make), sock=each, ssl=tls, backlog=BACKLOG)
        for each in sockets
    ]
    if config.unix_socket:
        servers.append(await _unix_server(loop, config.unix_socket, http, tls))
    for signum in (signal.SIGTERM, signal.SIGINT):
        _on_signal(loop, signum, stop)
    gc.freeze()  # what is here now stays: the collector need not look at it again
    if started is not None:
        scheme = "https" if tls else "http"
        started(
            Listening(
                urls=tuple(_url(scheme, each) for each in sockets),
                unix_socket=config.unix_socket,
                store_url=hub.store.url,
                durability=hub.store.durability,
                transport="asgi" if native is None else "native",
                tls=tls is not None,
                notes=notes,
            )
        )
    await stop.wait()
    log.info("stopping: committing and sending clients away to come back")
    for server in servers:
        server.close()
    if config.unix_socket:
        _remove(config.unix_socket)
    await hub.drain()
    if native is not None:
        await native.aclose()
    await http.aclose(timeout_s=HTTP_CLOSE_TIMEOUT_S)


def _native(
    config: Config, hub: Hub, authenticator: Authenticator
) -> tuple["NativeServer | None", tuple[str, ...]]:
    if config.unix_socket:
        return None, ("unix sockets take the ASGI transport",)
    if config.transport == "asgi":
        return None, ()
    try:
        from crdtsync.server.native import NativeServer
    except ImportError as error:
        if config.transport == "native":
            raise ConfigError(
                f"the native transport needs picows: {error}",
                hint="Install picows, or set transport to auto",
            ) from None
        return None, ("picows is not installed: the slower ASGI transport is used",)
    return NativeServer(hub, authenticator), ()


def _hypercorn(config: Config) -> HypercornConfig:
    settings = HypercornConfig()
    # Above ours: HttpServer cuts messages there, and the application answers them with 4413.
    settings.websocket_max_message_size = config.limits.max_message_bytes + 1
    settings.websocket_ping_interval = config.limits.ping_interval_s
    settings.include_server_header = False
    settings.accesslog = None
    settings.errorlog = logging.getLogger("crdtsync.http")
    return settings


def _on_signal(loop: asyncio.AbstractEventLoop, signum: int, stop: asyncio.Event) -> None:
    try:
        loop.add_signal_handler(signum, stop.set)
    except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
        log.debug("signal %d can't be handled here", signum)


async def _unix_server(
    loop: asyncio.AbstractEventLoop,
    path: str,
    http: HttpServer,
    tls: ssl.SSLContext | None,
) -> asyncio.AbstractServer:
    _clear_stale_socket(path)
    try:
        return await loop.create_unix_server(
            lambda: FrontDoor(http, None),
            path,
            ssl=tls,
            backlog=BACKLOG,
        )
    except OSError as error:
        raise OperatorError(
            f"can't listen on {path}: {error.strerror or error}",
            hint="Remove the file if no server uses it, or choose another with --uds",
        ) from None


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        log.debug("%s is gone already", path)


def _clear_stale_socket(path: str) -> None:
    """Remove the socket of a server that is gone; raise where one still answers."""
    if not os.path.exists(path) or not stat.S_ISSOCK(os.stat(path).st_mode):
        return  # nothing there, or something that isn't ours to remove: binding says so
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            os.unlink(path)
            return
    raise OperatorError(
        f"another server listens on {path}",
        hint="Stop the other server, or choose another path with --uds",
    )


def _bind(host: str, port: int) -> list[socket.socket]:
    """Bind every address of a host, all on one port.

    Raises ``OperatorError`` where none can be had.
    """
    for _ in range(PORT_ATTEMPTS - 1):
        try:
            return _bind_once(host, port)
        except OperatorError:
            if port:
                raise
            # Port 0: what the first address got may be taken on the second.
    return _bind_once(host, port)


def _bind_once(host: str, port: int) -> list[socket.socket]:
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise OperatorError(
            f"can't find the address of {host!r}: {error.strerror or error}",
            hint="Set --host to an address of this machine",
        ) from None
    bound: list[socket.socket] = []
    problem: OSError | None = None
    seen: set[object] = set()
    for family, kind, protocol, _, address in found:
        if address in seen:
            continue
        seen.add(address)
        try:
            each = socket.socket(family, kind, protocol)
        except OSError as error:
            problem = error
            continue
        try:
            if sys.platform != "win32":
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            chosen = bound[0].getsockname()[1] if bound else port
            each.bind((address[0], chosen, *address[2:]))
            each.setblocking(False)
        except OSError as error:
            each.close()
            problem = error
            if error.errno == errno.EADDRINUSE:
                break  # half of "localhost" would be another server's
            continue
        bound.append(each)
    if problem is not None and (not bound or problem.errno == errno.EADDRINUSE):
        for each in bound:
            each.close()
        if problem.errno == errno.EADDRINUSE:
            raise OperatorError(
                f"port {port} on {host} is in use",
                hint="Stop the other server, or choose another port with --port (0: any)",
            )
        raise OperatorError(
            f"can't listen on {host}:{port}: {problem.strerror or problem}",
            hint="Set --host to an address of this machine and --port to one above 1023",
        )
    return bound


def _url(scheme: str, bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
