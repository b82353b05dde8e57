"""Takes connections from listening sockets, as long as there are descriptors for them.

Owns accepting, and what happens when descriptors run out: event loops by themselves close what
comes then, or try again without end. What is said on a connection is its protocol's.
"""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from crdtsync.server.descriptors import client_descriptors
from crdtsync.stats import Stats
from crdtsync.supervisor.listen import BACKLOG

__all__ = ["Acceptor", "accepting"]

log = logging.getLogger("crdtsync")

ACCEPTS_PER_TURN: Final = BACKLOG
"""Connections taken before everybody else has a turn: all that may wait. With 64, others wait
longer for a herd of 1,000 (120 instead of 80 ms in the median), which takes as long in all."""
ACCEPT_RETRY_S: Final = 0.5
"""How long connections wait where the system has no descriptor or memory for one, or the listening
socket fails."""
TOLD_EVERY_S: Final = 60.0
"""How often an operator is told that clients are turned away."""

_PEERS: Final = frozenset(
    getattr(errno, name, None)  # not all systems know all of them
    for name in (
        *("EPERM", "EPROTO", "ETIMEDOUT", "ENOPROTOOPT", "EOPNOTSUPP"),
        *("ENETDOWN", "ENETUNREACH", "EHOSTDOWN", "EHOSTUNREACH", "ENONET"),
    )
)
"""What accept says of one connection that came to nothing (accept(2)), beside ConnectionError."""
_OUT_OF: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_RAISE_HINT: Final = (
    "Raise the limit of open files (LimitNOFILE of a service, ulimit -n of a shell), or see who"
    " has so many"
)
_BROKEN_HINT: Final = "If that goes on, start the server again: its listening socket is broken"
_REASON: Final = b"the server has too many connections\n"
_BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\n"
    b"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (len(_REASON), _REASON)
)

Factory = Callable[[], asyncio.BaseProtocol]


async def accepting(
    sockets: Iterable[socket.socket],
    factory: Factory,
    *,
    tls: ssl.SSLContext | None,
    reserved: int,
    stats: Stats,
) -> "list[Acceptor | asyncio.AbstractServer]":
    """Accept connections on sockets that listen already, each with a protocol of its own.

    ``reserved`` descriptors are not for clients; who is turned away is counted in ``stats``.
    """
    sockets = list(sockets)
    loop = asyncio.get_running_loop()
    try:
        return [Acceptor(sockets, factory, tls=tls, reserved=reserved, stats=stats)]
    except NotImplementedError:  # a loop that waits for no sockets: Windows' own
        return [
            await loop.create_server(factory, sock=each, ssl=tls, backlog=BACKLOG)
            for each in sockets
        ]


class Acceptor:
    """Accepts on sockets that listen already, until it is closed."""

    def __init__(
        self,
        sockets: Iterable[socket.socket],
        factory: Factory,
        *,
        tls: ssl.SSLContext | None,
        reserved: int,
        stats: Stats,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sockets = list(sockets)
        self._tls = tls
        self._reserved = reserved
        self._stats = stats
        self._connect = partial(self._loop.connect_accepted_socket, factory, ssl=tls)
        self._tasks: set[asyncio.Task[None]] = set()
        self._end = client_descriptors(reserved)
        self._turned_away = 0
        self._told_at = -TOLD_EVERY_S
        for each in self._sockets:
            each.setblocking(False)
            self._loop.add_reader(each, self._ready, each)

    def close(self) -> None:
        """Take no more connections; those that were taken stay, but for unfinished handshakes."""
        for each in self._sockets:
            self._loop.remove_reader(each)
            each.close()
        self._sockets.clear()
        for task in self._tasks:
            task.cancel()

    def _ready(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                taken, _ = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if isinstance(error, ConnectionError) or error.errno in _PEERS:
                    continue
                self._wait(listening, error)
                return
            if taken.fileno() >= self._end and self._is_reserved(taken.fileno()):
                self._turn_away(taken)
                continue
            task = self._loop.create_task(self._take(taken))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _take(self, taken: socket.socket) -> None:
        try:
            await self._connect(taken)
        except OSError as error:  # a TLS handshake that came to nothing, too
            log.debug("a connection came to nothing: %r", error)
            taken.close()
        except BaseException:
            taken.close()
            raise

    def _is_reserved(self, descriptor: int) -> bool:
        """Look again: an operator may have raised the limit meanwhile.

        A new descriptor is the lowest that is free (POSIX, 2.14): what it is called says how
        many there are.
        """
        self._end = client_descriptors(self._reserved)
        return descriptor >= self._end

    def _turn_away(self, taken: socket.socket) -> None:
        self._stats.rejected["out-of-descriptors"] += 1
        self._turned_away += 1
        with taken:
            if self._tls is None:
                try:
                    taken.setblocking(False)
                    taken.send(_BUSY)
                    taken.shutdown(socket.SHUT_WR)
                except OSError:
                    log.debug("a client that was turned away had gone")
        problem = f"all {self._end} descriptors for clients are taken: no more are let in"
        self._tell(problem, _RAISE_HINT)

    def _wait(self, listening: socket.socket, error: OSError) -> None:
        self._loop.remove_reader(listening)
        self._loop.call_later(ACCEPT_RETRY_S, self._resume, listening)
        hint = _RAISE_HINT if error.errno in _OUT_OF else _BROKEN_HINT
        self._tell(f"new clients have to wait: {error.strerror}", hint)

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            self._loop.add_reader(listening, self._ready, listening)

    def _tell(self, problem: str, hint: str) -> None:
        now = self._loop.time()
        if now - self._told_at < TOLD_EVERY_S:
            return
        self._told_at = now
        log.warning("%s (%d turned away so far). %s", problem, self._turned_away, hint)
