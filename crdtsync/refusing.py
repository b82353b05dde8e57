"""What follows when an update may not enter: who is told what, what is kept, who is sent away.

Owns the pace of refusals. Four cases:

- The document is damaged: each edit is denied, and the connection goes on.
- Its author may write nothing there: it is told once, and not listened to from then on.
- A gate refuses the edit: whatever its author writes from then on builds on it. So the author is
  told, and its connection ends with a final code. A client that comes back all the same, with the
  same edits, waits longer each time before that.
- A sound edit is over a limit, such as a document's size: the same, with the limit's own code.

What is refused goes to the quarantine, and what still comes over a connection that is about to
end. Nobody is sent away before what he wrote is kept.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from crdtsync.addresses import neighbourhood
from crdtsync.audit import What
from crdtsync.clock import Clock
from crdtsync.errors import EditRefused, InvalidUpdate, MalformedMessage, RemoteError
from crdtsync.gate import Deny, Principal
from crdtsync.limits import Limits, trusting
from crdtsync.protocol import SyncStep2, SyncUpdate, decode_frame
from crdtsync.recording import record
from crdtsync.refused.base import Quarantine, RefusalKind, RefusedUpdate, Run
from crdtsync.session import Event, Portion, UpdateReceived
from crdtsync.slicing import missing_from
from crdtsync.stats import Stats
from crdtsync.structs import EMPTY_UPDATE, Layout, Scan
from crdtsync.update import scan

if TYPE_CHECKING:
    from crdtsync.connection import Connection
    from crdtsync.document import Document
    from crdtsync.room import Room

__all__ = ["Overhearing", "Refusals"]

MAX_REMEMBERED: Final = 10_000
"""Refused clients whose return is counted; above, the oldest is forgotten."""
FORGET_S: Final = 120.0
"""A client that was refused longer ago begins anew."""
MAX_TRIMMED_BYTES: Final = 128 * 1024
"""Of larger updates also what is known is kept: finding it would hold up others."""
OVER_A_LIMIT: Final = frozenset(
    {
        *("document-too-large", "update-clients", "update-conflicts", "update-structs"),
        "update-type-depth",
    }
)
"""The kinds of errors that a sound edit may be refused with, and that another limit would not."""
_MAX_CLIENTS: Final = 8

Key = tuple[str, str, int]


class Refusals:
    """One hub's refusals."""

    def __init__(self, limits: Limits, clock: Clock, stats: Stats, quarantine: Quarantine) -> None:
        self._limits = limits
        self._clock = clock
        self._stats = stats
        self._quarantine = quarantine
        self._secret = secrets.token_bytes(16)
        self._seen: OrderedDict[Key, tuple[int, float]] = OrderedDict()

    def deny(
        self,
        room: "Room",
        connection: "Connection",
        denial: Deny,
        update: bytes,
        found: Scan,
        *,
        step_2: bool,
    ) -> None:
        """Refuse a connection's update; one that brings nothing new is no offence."""
        if room.document.knows(found):
            return
        kind = _kind(room, connection.principal)
        self._stats.rejected["denied"] += 1
        if step_2 and len(update) <= MAX_TRIMMED_BYTES:
            update = _news(room.document, update, self._limits)
        run = connection.refused = connection.refused or self._run(connection)
        name = room.name
        self._keep(name, connection.principal, kind, denial.reason, update, run, step_2=step_2)
        if kind == "gate":
            self._send_away(connection, EditRefused(denial.reason), kind, found, run)
        elif kind == "damaged" or not connection.denials:
            if not (connection.denials or connection.blocked):
                record(connection, What.DENIED, reason=denial.reason, kind=kind)
            connection.deny(denial.reason)

    def turn_away(
        self, connection: "Connection", error: RemoteError, what: bytes | Iterable[Event]
    ) -> None:
        """Refuse a frame, or what is left of one, and close.

        What is sound in it, and only over a limit, is kept.
        """
        if connection.closed:
            return
        if error.kind not in OVER_A_LIMIT:
            connection.refuse(error)
            return
        run = connection.refused = connection.refused or self._run(connection)
        room, principal, reason = connection.room, connection.principal, str(error)
        first: Scan | None = None
        for update, step_2 in _updates(what):
            news: bytes | None = update
            if len(update) <= MAX_TRIMMED_BYTES:
                news, found = _unknown(room.document, update, self._limits, trim=step_2)
                first = first or found
            if news is not None:
                self._keep(room.name, principal, "limit", reason, news, run, step_2=step_2)
        self._send_away(connection, error, "limit", first, run)

    def _run(self, connection: "Connection") -> Run:
        """Return what a connection is refused; an anonymous one's counts by its address.

        What is kept names no address, and nobody finds it out who has only that.
        """
        if connection.principal.id:
            return Run()
        network = neighbourhood(connection.caller.address).encode()
        return Run(blake2b(network, key=self._secret, digest_size=8).hexdigest())

    def _keep(
        self,
        document: str,
        principal: Principal,
        kind: RefusalKind,
        reason: str,
        update: bytes,
        run: Run,
        *,
        step_2: bool,
        late: bool = False,
    ) -> None:
        self._stats.updates_refused[kind] += 1
        self._quarantine.keep(
            RefusedUpdate(
                document=document,
                author=principal.id,
                name=principal.name,
                kind=kind,
                reason=reason,
                time_ms=self._clock.time_ms(),
                update=update,
                run=run,
                step_2=step_2,
                late=late,
            )
        )

    def _send_away(
        self,
        connection: "Connection",
        error: RemoteError,
        kind: RefusalKind,
        found: Scan | None,
        run: Run,
    ) -> None:
        document, principal, reason = connection.room.name, connection.principal, str(error)

        def keep(update: bytes, step_2: bool) -> None:
            self._keep(document, principal, kind, reason, update, run, step_2=step_2, late=True)

        connection.refuse(
            error,
            delay_s=None if found is None else self._delay_s(document, principal.id, found),
            overhear=Overhearing(keep),
            when_done=self._quarantine.when_kept,
        )

    def _delay_s(self, document: str, author: str, found: Scan) -> float:
        """Return how long a refused client waits for its close: longer, the more often it comes.

        Clients before y-websocket 3.1 come back at once, whatever the code is. A Yjs document
        keeps its client id for as long as it lives: a fresh one is not held up.
        """
        now_s = self._clock.monotonic_s()
        ranges = found.ranges or found.deletes
        keys = [(document, author, client) for client, _, _ in ranges[:_MAX_CLIENTS]]
        times: int = 0
        for key in keys:
            count, last_s = self._seen.pop(key, (0, now_s))
            if now_s - last_s < FORGET_S:
                times = max(times, count)
        for key in keys:
            self._seen[key] = (min(times + 1, 30), now_s)
        while len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)
        first_s = self._limits.refusal_delay_s
        longest_s = max(first_s, self._limits.max_refusal_delay_s)
        return min(first_s * float(1 << times), longest_s)


class Overhearing:
    """What takes the updates of a connection that waits for its end."""

    __slots__ = ("_keep",)

    def __init__(self, keep: Callable[[bytes, bool], None]) -> None:
        self._keep = keep

    def frame(self, frame: bytes) -> None:
        """Keep the updates of a frame; one that is no message brings none."""
        for update, step_2 in _updates(frame):
            self._keep(update, step_2)

    def events(self, events: Iterable[Event]) -> None:
        """Keep the updates among events."""
        for update, step_2 in _updates(events):
            self._keep(update, step_2)


def _updates(what: bytes | Iterable[Event]) -> Iterator[tuple[bytes, bool]]:
    """Return the updates of a frame, or among events, and whether each is a step 2's."""
    if not isinstance(what, bytes):
        for event in what:
            if isinstance(event, Portion):
                event = event.whole()
            if isinstance(event, UpdateReceived):
                yield event.update, event.step_2
        return
    try:
        messages = decode_frame(what)
    except MalformedMessage:
        return  # it is being sent away already
    for message in messages:
        if isinstance(message, SyncUpdate | SyncStep2) and message.update != EMPTY_UPDATE:
            yield message.update, isinstance(message, SyncStep2)


def _unknown(
    document: "Document", update: bytes, limits: Limits, *, trim: bool
) -> tuple[bytes | None, Scan | None]:
    """Return what is to be kept of an update: nothing where it is known, or damaged."""
    try:
        found = scan(update, trusting(limits))
    except InvalidUpdate:
        return None, None
    if document.knows(found):
        return None, None
    return (_news(document, update, limits) if trim else update), found


def _kind(room: "Room", principal: Principal) -> RefusalKind:
    if room.damage:
        return "damaged"
    return "read-only" if principal.reads_only else "gate"


def _news(document: "Document", update: bytes, limits: Limits) -> bytes:
    """Return what a document lacks of an update: a step 2 repeats all deletions, at least."""
    try:
        found = scan(update, trusting(limits), structs=True)
    except InvalidUpdate:
        return update
    found.deletes = tuple(
        each for each in found.deletes if not document.knows(Layout((), (), (each,)))
    )
    return missing_from(update, found, document.clocks)
