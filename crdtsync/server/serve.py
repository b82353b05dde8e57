"""``crdtsync serve`` as a function: store, engine, transports and signals, put together.

Owns the process's sockets and the order in which things start and stop. Here, and only here,
the adapters of a configuration are chosen.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config as HypercornConfig
from hypercorn.typing import ASGIFramework

from crdtsync.auth import Authenticator, OpenAuthenticator
from crdtsync.config import Config
from crdtsync.engine import Change
from crdtsync.errors import ConfigError, StoreLocked
from crdtsync.gate import ContentGate, Gate
from crdtsync.guarding import NOTE, ending_process, guard_folder
from crdtsync.server.acceptor import accepting
from crdtsync.server.assembly import Assembly, assemble
from crdtsync.server.descriptors import client_descriptors, raise_descriptor_limit
from crdtsync.server.doors import doors_of
from crdtsync.server.frontdoor import FrontDoor
from crdtsync.server.http import HttpServer
from crdtsync.store import open_store
from crdtsync.store.base import Store
from crdtsync.store.locking import speak_for
from crdtsync.supervisor import Supervised
from crdtsync.supervisor.listen import bind, check_exposure

if TYPE_CHECKING:
    from crdtsync.identity.desk import TokenDesk
    from crdtsync.server.native import NativeServer

__all__ = ["Listening", "run", "serve"]

log = logging.getLogger("crdtsync")

HTTP_CLOSE_TIMEOUT_S: Final = 1.0
SWITCH_INTERVAL_S: Final = 0.0005
GC_THRESHOLD: Final = 20_000
FEW_CLIENTS: Final = 10_000
"""An operator is told where the system has room for fewer."""
ENDING_WAIT_S: Final = 15.0
"""How long a store is waited for whose server is about to end."""
ENDING_POLL_S: Final = 0.05


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
    gate: Gate | ContentGate | None = None,
    on_change: Callable[[Change], Awaitable[None]] | None = None,
    started: Callable[[Listening], None] | None = None,
    supervised: Supervised | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain; on uvloop where there is one.

    ``store`` takes the place of the configuration's, ``on_change`` is awaited for each committed
    change, ``started`` is called once everything listens. ``supervised`` is what
    ``crdtsync.supervise`` returned in this process, if it was called. Raises ``OperatorError``
    where it can't start, with one line that says what to do.
    """
    # The store's thread has to get the interpreter back soon after a commit, and the collector
    # need not look at every hundredth update's short-lived objects.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(GC_THRESHOLD, 20, 50)
    config = config or Config()
    limits = config.limits
    raise_descriptor_limit(limits.max_connections + limits.reserved_descriptors)
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
                supervised=supervised,
            )
        )


async def serve(
    config: Config | None = None,
    *,
    store: Store | None = None,
    authenticator: Authenticator | None = None,
    gate: Gate | ContentGate | None = None,
    on_change: Callable[[Change], Awaitable[None]] | None = None,
    started: Callable[[Listening], None] | None = None,
    stop: asyncio.Event | None = None,
    supervised: Supervised | None = None,
) -> None:
    """Do what ``run`` does, on a loop that runs already (asyncio's or uvloop's).

    Ends when ``stop`` is set, too. Raises ``OperatorError``.
    """
    config = config or Config()
    stop = stop or asyncio.Event()
    doors = doors_of(config)
    tokens = None
    if authenticator is None:
        check_exposure(config)
        authenticator, tokens = await _authenticator(config)
    tls = config.ssl_context(alpn=("h2", "http/1.1"))
    store = store or open_store(config.store, durability=config.durability)
    folder = guard_folder(store.url)
    if supervised is not None:
        speak_for(supervised.pid)
        folder = folder or supervised.folder
        sockets = list(supervised.sockets)
    else:
        sockets = bind(config, ending=lambda: _ending(folder))
    try:
        parts = assemble(
            config,
            store,
            authenticator,
            doors,
            folder=folder,
            tokens=tokens,
            ended=supervised.ended if supervised is not None else (0, 0),
            gate=gate,
            on_change=on_change,
        )
        async with AsyncExitStack() as stack:
            await _enter(stack, parts, folder)
            if supervised is not None:
                parts.hub.stats.restarts = supervised.restarts
                _end_with(supervised, stop)
                stack.callback(supervised.channel.close)
            await _serve_parts(config, parts, sockets, tls, started, stop, supervised)
    finally:
        for each in sockets:
            each.close()


async def _authenticator(config: Config) -> "tuple[Authenticator, TokenDesk | None]":
    keys = config.auth_key_file, config.auth_jwks_url, config.auth_signing_key_file
    if config.auth == "none" and keys == (None,) * 3:
        return OpenAuthenticator(), None  # without what reads keys: that is large
    from crdtsync.identity.configured import configured_authenticator, configured_desk

    authenticator = await configured_authenticator(config)
    return authenticator, configured_desk(config, authenticator)


def _ending(folder: Path | None) -> int:
    return 0 if folder is None else ending_process(folder / NOTE)


async def _enter(stack: AsyncExitStack, parts: Assembly, folder: Path | None) -> None:
    """Start the parts; wait for a store whose server is about to end."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + ENDING_WAIT_S
    told = False
    while True:
        try:
            await stack.enter_async_context(parts.running())
            return
        except StoreLocked:
            ending = _ending(folder)
            if not ending or loop.time() > deadline:
                raise
        if not told:
            log.warning("process %d still ends: waiting for its store", ending)
            told = True
        await asyncio.sleep(ENDING_POLL_S)


def _end_with(supervised: Supervised, stop: asyncio.Event) -> None:
    """Stop where the supervisor is gone: nobody else would end this process."""
    loop = asyncio.get_running_loop()

    def gone() -> None:
        loop.remove_reader(supervised.channel)
        log.error("the supervisor (process %d) is gone: the server stops", supervised.pid)
        stop.set()

    loop.add_reader(supervised.channel, gone)


async def _serve_parts(
    config: Config,
    parts: Assembly,
    sockets: list[socket.socket],
    tls: ssl.SSLContext | None,
    started: Callable[[Listening], None] | None,
    stop: asyncio.Event,
    supervised: Supervised | None,
) -> None:
    loop = asyncio.get_running_loop()
    hub = parts.hub
    app = cast(ASGIFramework, parts.app(lifespan=False))
    stall_s = config.limits.request_timeout_s
    http = HttpServer(ASGIWrapper(app), _hypercorn(config), stall_s=stall_s)
    native, notes = _native(config, parts)
    make = native.adopt if native is not None else None
    servers = await accepting(
        sockets,
        lambda: FrontDoor(http, make),
        tls=tls,
        reserved=config.limits.reserved_descriptors,
        stats=hub.stats,
    )
    for signum in (signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(signum) is not signal.SIG_IGN or signum == signal.SIGINT:
            _on_signal(loop, signum, stop)
    gc.freeze()  # what is here now stays: the collector need not look at it again
    if started is not None:
        scheme = "https" if tls else "http"
        started(
            Listening(
                urls=() if config.unix_socket else tuple(_url(scheme, each) for each in sockets),
                unix_socket=config.unix_socket,
                store_url=hub.store.url,
                durability=hub.store.durability,
                transport="asgi" if native is None else "native",
                tls=tls is not None,
                notes=(*notes, *_room_for_clients(config)),
            )
        )
    if supervised is not None:
        supervised.ready(guard_folder(hub.store.url) or supervised.folder)
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


def _native(config: Config, parts: Assembly) -> tuple["NativeServer | None", tuple[str, ...]]:
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
    return NativeServer(parts.hub, parts.authenticator, parts.doors), ()


def _room_for_clients(config: Config) -> tuple[str, ...]:
    """Return what to say where the system allows few clients, and fewer than we do."""
    room = client_descriptors(config.limits.reserved_descriptors)
    if room >= min(config.limits.max_connections, FEW_CLIENTS):
        return ()
    return (
        f"the limit of open files has room for some {room:,} clients: raise it"
        " (LimitNOFILE of a service, ulimit -n of a shell) where more come",
    )


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


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        log.debug("%s is gone already", path)


def _url(scheme: str, bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
