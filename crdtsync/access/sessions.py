"""Connections in time: when a proof ends, is renewed, or is worth something else from now on.

Owns when each open connection expires, by the wall clock, and the way by which an open one gets
another role, a fresh token or its end. A frame costs nothing of it: who expires stands in a heap
that is looked at once a second, and keeps nobody's document in memory. Refuses to know tokens,
links and revocations: it asks.
"""

import heapq
import itertools
import logging
import math
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel

from crdtsync.audit import What
from crdtsync.connection import Connection
from crdtsync.errors import (
    CrdtsyncError,
    Forbidden,
    RemoteError,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from crdtsync.gate import Principal
from crdtsync.protocol import token_accepted_frame, token_refused_frame
from crdtsync.recording import record
from crdtsync.roles import Role
from crdtsync.session import Ignored

if TYPE_CHECKING:
    from crdtsync.hub import Hub

__all__ = ["SWEEP_S", "Refusal", "Sessions", "expired"]

log = logging.getLogger("crdtsync.access")

SWEEP_S: Final = 1.0
"""How often it is looked who has expired."""
SWEEP_AT_ONCE: Final = 200
"""Connections closed before the others have their turn."""
MIN_ENDS: Final = 64
"""So many that don't count any more are kept before it is looked which."""
MINUTE_S: Final = 60.0

Refusal = Callable[[str, Principal], RemoteError | None]
"""Says of a document and a principal why it has no access any more; ``None``: it has."""


def expired(principal: Principal) -> RemoteError:
    """Return what a client is told whose proof has ended."""
    if principal.share:
        return Forbidden("the share link has expired")
    return Unauthenticated("the token has expired")


def _endless(principal: Principal) -> bool:
    """Return whether a principal's end is no number: nothing is earlier or later than it."""
    return principal.expires_s is not None and math.isnan(principal.expires_s)


def _counts(connection: Connection | None, end_s: float) -> bool:
    """Return whether a connection is there and still ends then."""
    if connection is None or connection.closed:
        return False
    return connection.principal.expires_s == end_s


class Sessions:
    """The open connections of one hub, in time: ``hub.sessions``."""

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self._ends: list[tuple[float, int, weakref.ref[Connection]]] = []
        self._number = itertools.count()
        self._dense = 0  # how many of them counted when that was last looked at
        self._refusal: Refusal | None = None

    # Coming in

    def refuse_by(self, refusal: Refusal | None) -> None:
        """Ask this of everybody who comes in, and of all who are there with each ``recheck``."""
        self._refusal = refusal

    def check(self, document: str, principal: Principal) -> None:
        """Raise what speaks against a principal at this moment."""
        if _endless(principal):
            raise Unauthenticated("the token's end is no time")
        end_s = principal.expires_s
        if end_s is not None and end_s <= self._hub.clock.time_ms() / 1000:
            raise expired(principal)
        error = None if self._refusal is None else self._refusal(document, principal)
        if error is not None:
            raise error

    def opened(self, connection: Connection) -> None:
        """Take note of a new connection, or of another end of an open one."""
        end_s = connection.principal.expires_s
        if end_s is None or end_s == math.inf:
            return
        heapq.heappush(self._ends, (end_s, next(self._number), weakref.ref(connection)))
        if len(self._ends) > 2 * self._dense + MIN_ENDS:  # most go before they expire
            self._ends = [each for each in self._ends if _counts(each[2](), each[0])]
            heapq.heapify(self._ends)
            self._dense = len(self._ends)

    def renewable(
        self, connection: Connection, readmit: Callable[[str], Awaitable[Principal]]
    ) -> None:
        """Let a connection's client hand in fresh tokens; ``readmit`` says who one stands for.

        Nothing is kept for visitors and for who is anonymous: they have no token to renew.
        """
        if connection.principal.id and not connection.principal.share:
            connection.renew = _Renewal(self._hub, connection, readmit).take

    # In time

    async def run(self) -> None:
        """Close whoever has expired, within some ``SWEEP_S``."""
        while True:
            await anyio.sleep(SWEEP_S)
            await self.sweep()

    async def sweep(self) -> None:
        """Close whoever has expired by now."""
        now_s = self._hub.clock.time_ms() / 1000
        closed = 0
        while self._ends and self._ends[0][0] <= now_s:
            end_s, _, reference = heapq.heappop(self._ends)
            connection = reference()
            if connection is None or not _counts(connection, end_s):
                continue
            connection.refuse(expired(connection.principal))
            closed += 1
            if closed % SWEEP_AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()

    # Other roles, and none

    def reauthorize(
        self, decide: Callable[[str, Principal], Principal | None], *, principal: str | None = None
    ) -> int:
        """Have open connections speak for what ``decide(document, principal)`` returns.

        The same principal: nothing changes; one with another ``role``, ``read_only``, ``name``,
        ``expires_s`` or ``attributes``: from its next message on; ``None``: it is closed with
        4403. With ``principal``, only of that id. Returns how many connections it changed.
        Raises ``ValueError`` where ``decide`` returns another id: nobody becomes somebody else.
        """
        changed = 0
        for connection in self._connections():
            now = connection.principal
            if principal is not None and now.id != principal:
                continue
            then = decide(connection.room.name, now)
            if then is now:
                continue
            changed += 1
            if then is None:
                connection.refuse(Forbidden("you have no access to this document any more"))
            else:
                self._become(connection, then)
        return changed

    def update_principal(
        self, principal: str, *, role: Role | None, document: str | None = None
    ) -> int:
        """Give a principal's open connections another role, ``None`` for none: they are closed.

        With ``document``, only there. Returns how many connections it changed.
        """

        def decide(name: str, now: Principal) -> Principal | None:
            if document is not None and name != document:
                return now
            return None if role is None else replace(now, role=role, read_only=role.reads_only)

        return self.reauthorize(decide, principal=principal)

    def recheck(self) -> int:
        """Ask again what speaks against each who is there; return how many were closed."""
        closed = 0
        if self._refusal is not None:
            for connection in self._connections():
                error = self._refusal(connection.room.name, connection.principal)
                if error is not None:
                    connection.refuse(error)
                    closed += 1
        return closed

    def connections_of_shares(self) -> list[Connection]:
        """Return the connections that came by a share link."""
        return [each for each in self._connections() if each.principal.share]

    def _connections(self) -> Iterator[Connection]:
        for room in list(self._hub.rooms.values()):
            yield from list(room.connections)

    def _become(self, connection: Connection, principal: Principal) -> None:
        before = connection.principal
        if principal.id != before.id or principal.share != before.share:
            raise ValueError("a connection can't become somebody else's")
        if _endless(principal):
            raise ValueError("expires_s is no time")
        connection.become(principal)
        if principal.role != before.role or principal.read_only != before.read_only:
            role = principal.role.name if principal.role is not None else ""
            record(connection, What.ROLE_CHANGED, role=role)
        if principal.expires_s != before.expires_s:
            self.opened(connection)

    def renewed(self, connection: Connection, principal: Principal) -> None:
        """Take a principal whose fresh token was looked at; raise where it can't be taken."""
        if principal.id != connection.principal.id or principal.share != connection.principal.share:
            raise Forbidden("the token is somebody else's")
        self.check(connection.room.name, principal)
        self._become(connection, principal)

    def left_s(self, principal: Principal) -> int:
        """Return the whole seconds until a principal's proof ends, at least 1; 0 for never."""
        if principal.expires_s is None or principal.expires_s == math.inf:
            return 0
        return max(1, int(principal.expires_s - self._hub.clock.time_ms() / 1000))


class _Renewal:
    """One connection's way to a fresh token: one at a time, and so many a minute."""

    __slots__ = ("_busy", "_connection", "_hub", "_readmit", "_times_s")

    def __init__(
        self,
        hub: "Hub",
        connection: Connection,
        readmit: Callable[[str], Awaitable[Principal]],
    ) -> None:
        self._hub = hub
        self._connection = connection
        self._readmit = readmit
        self._busy = False
        self._times_s: deque[float] | None = None

    def take(self, token: str) -> None:
        """Look at a token in the background; the client is told what came of it."""
        try:
            self._count()
        except TooManyRequests as error:
            if not self._connection.blocked:
                self._answer(token_refused_frame(str(error)))
            self._connection.room.handle(self._connection, Ignored("token"))
            return
        self._busy = True
        self._hub.spawn(lambda: self._look(token))

    def _count(self) -> None:
        if self._busy:
            raise TooManyRequests("another token is being looked at")
        now_s = self._hub.clock.monotonic_s()
        times_s = self._times_s = self._times_s or deque()
        while times_s and now_s - times_s[0] >= MINUTE_S:
            times_s.popleft()
        if len(times_s) >= self._hub.limits.token_refreshes_per_minute:
            raise TooManyRequests("too many tokens: wait a minute")
        times_s.append(now_s)

    async def _look(self, token: str) -> None:
        sessions, connection = self._hub.sessions, self._connection
        try:
            principal = await self._readmit(token)
            if not connection.closed:
                sessions.renewed(connection, principal)
                self._answer(token_accepted_frame(sessions.left_s(principal)))
        except CrdtsyncError as error:
            told = isinstance(error, RemoteError | Unavailable)
            kind = error.kind if isinstance(error, RemoteError | Unavailable) else "unavailable"
            self._hub.stats.rejected[kind] += 1
            self._answer(token_refused_frame(str(error) if told else "not possible at the moment"))
        except Exception:
            log.exception("a token could not be looked at")
            self._answer(token_refused_frame("not possible at the moment"))
        finally:
            self._busy = False

    def _answer(self, frame: bytes) -> None:
        if not self._connection.closed:
            self._connection.send(frame)
