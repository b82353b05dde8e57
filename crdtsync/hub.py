"""All rooms of one server: opening, committing, resting and closing them.

Owns the rooms, the store's lifetime and every task of the engine. Invariants:

- A room is opened once, however many ask at once, and answers nobody before it is loaded.
- Commits run one at a time over all rooms together; while one is on its way to the disk the
  next one gathers. Fan-out comes after the commit, never before.
- When the store fails, updates are neither shown nor acknowledged; if it lasts, the affected
  clients are sent away with 1013 and bring their edits back.
- What ends, ends in order: commit, checkpoint, then close the clients with 1012.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Self

import anyio
import anyio.abc

from crdtsync.access.sessions import Sessions
from crdtsync.apart import Threads, make_index
from crdtsync.audit import NO_AUDIT, NOBODY, Audit, Caller, What
from crdtsync.authoring.service import Documents
from crdtsync.batch import Editor
from crdtsync.channels.rules import ChannelRules
from crdtsync.channels.service import Channels
from crdtsync.clock import Clock, SystemClock
from crdtsync.committer import Committer
from crdtsync.connection import Connection, Link
from crdtsync.counted import CountedConnection
from crdtsync.deletion import Deletions, delete_document
from crdtsync.engine import Change, Pressure
from crdtsync.errands import Errand, Errands
from crdtsync.errors import (
    CloseCode,
    DocumentQuarantined,
    InvalidUpdate,
    Restarting,
    StoreDamaged,
    StoreError,
    Unavailable,
)
from crdtsync.gate import ContentGate, Gate, Principal
from crdtsync.guard import NO_GUARD, Guard
from crdtsync.history.service import Histories
from crdtsync.housekeeping import Housekeeping
from crdtsync.indexing import Making
from crdtsync.judge import Judge
from crdtsync.limits import Limits, naming
from crdtsync.loading import load_room
from crdtsync.protocol import check_document_name
from crdtsync.recording import record
from crdtsync.refused.base import NO_QUARANTINE, Quarantine
from crdtsync.refusing import Refusals
from crdtsync.room import Room
from crdtsync.seats import Seats
from crdtsync.session import UpdateReceived
from crdtsync.stats import Stats
from crdtsync.store.base import Store
from crdtsync.update import scan

__all__ = ["Hub"]

log = logging.getLogger("crdtsync")


class Hub:
    """The engine: ``async with Hub(store) as hub``. One per store and process."""

    def __init__(
        self,
        store: Store,
        *,
        gate: Gate | ContentGate | None = None,
        limits: Limits | None = None,
        clock: Clock | None = None,
        on_change: Callable[[Change], Awaitable[None]] | None = None,
        guard: Guard = NO_GUARD,
        quarantine: Quarantine = NO_QUARANTINE,
        audit: Audit = NO_AUDIT,
        stamp_user: bool | Callable[[str], bool] = False,
        history: Histories | None = None,
        channels: Channels | None = None,
    ) -> None:
        """Prepare a hub; ``async with`` opens the store and starts it.

        ``on_change`` is awaited for each committed change, in order, after it has gone out. What
        it raises is logged; while it is slow, changes queue up to a limit, and then commits wait
        for it. ``guard`` knows what a process died of, ``quarantine`` keeps refused updates.
        ``audit`` is told who came and what was refused. ``stamp_user``, by document's name or
        for all: whether presence says who it is from the principal. ``history`` is entered with
        the hub; without one none is kept. ``channels`` says which have a chat or presence.
        """
        self.store = store
        self.guard = guard
        self.audit = audit
        self.history = history
        if history is not None:
            history.hub = self
        self.channels = channels or Channels(ChannelRules())
        self.channels.hub = self
        self._stamp_user = stamp_user
        self.limits = limits or Limits()
        self.clock: Clock = clock or SystemClock()
        self.stats = Stats()
        self.rooms: dict[str, Room] = {}
        """The open rooms by name, those that are loading included."""
        self.seats = Seats(self.limits)
        self.draining = False
        self.pressure = Pressure(self.limits.max_pending_bytes)
        self.quarantine = quarantine
        self.refusals = Refusals(self.limits, self.clock, self.stats, quarantine)
        self._gate = gate
        self._stack = AsyncExitStack()
        self._tasks: anyio.abc.TaskGroup | None = None
        self.committer = Committer(self, on_change)
        self.schedule_commit = self.committer.schedule
        self.housekeeping = Housekeeping(self)
        self.sessions = Sessions(self)
        self.documents = Documents(self)
        self._errands = Errands()
        self._threads = Threads()
        self._one_load: anyio.CapacityLimiter
        self._one_index: anyio.CapacityLimiter
        self._waiting: dict[Room, list[anyio.Event]] = {}
        self.deletions = Deletions()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self.audit.open()
            stack.callback(self.audit.close)
            await stack.enter_async_context(self.store)
            self.guard.open()
            stack.callback(self.guard.close)
            await stack.enter_async_context(self.quarantine)
            if self.history is not None:
                await stack.enter_async_context(self.history)
            await stack.enter_async_context(self.documents)
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            self._one_load = anyio.CapacityLimiter(1)
            self._one_index = anyio.CapacityLimiter(1)
            self._tasks.start_soon(self._errands.run)
            self._tasks.start_soon(self.committer.run)
            self._tasks.start_soon(self.housekeeping.run)
            self._tasks.start_soon(self.housekeeping.run_awareness)
            self._tasks.start_soon(self.sessions.run)
            self._tasks.start_soon(self.channels.run)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        with anyio.CancelScope(shield=True):
            await self.drain()
            assert self._tasks is not None
            self._tasks.cancel_scope.cancel()
            self._tasks = None
            for room in list(self.rooms.values()):
                if not room.loaded or room.uncommitted:  # nor will it be: nobody waits for it
                    self._let_go(room, "the server was stopped")
                    room.abandoned()
        await self._stack.aclose()  # told of nothing: what ended the body is its caller's

    @property
    def goes_by_roles(self) -> bool:
        """Whether roles alone decide on edits."""
        return self._gate is None

    @property
    def connections(self) -> int:
        """The number of connections now."""
        return self.stats.connections_total - self.stats.connections_closed

    # What rooms ask for (``room.Engine``)

    def schedule_awareness(self, room: Room) -> None:
        """Flush a room's awareness within a tick."""
        self.housekeeping.schedule_awareness(room)

    def throttle(self, connection: Connection) -> None:
        """Stop reading from a connection until less is pending."""
        self.committer.throttle(connection)

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call something after a while, or at once where the hub is closing."""
        if self._tasks is None:
            call()
        else:
            self._errands.later(delay_s, call)

    def read_apart(self, connection: Connection) -> None:
        """Have a thread read a large frame: what comes behind it waits, all others don't."""
        self.spawn(lambda: self._threads.read(connection))

    def divide_apart(self, connection: Connection, event: UpdateReceived) -> None:
        """Have a thread cut a long update; what comes behind it waits, all others don't."""
        self.spawn(lambda: self._threads.divide(connection, event))

    def index_apart(self, judge: Judge, making: Making) -> None:
        """Have a thread make a room's index of places, then tell its judge."""
        self.spawn(lambda: make_index(judge, making, self._one_index))

    def spawn(self, errand: Errand) -> None:
        """Run something in the background, for as long as the hub is open."""
        self._errands.spawn(errand)

    # Connections

    def connect(
        self,
        link: Link,
        document: str,
        principal: Principal,
        *,
        acknowledge: bool = False,
        caller: Caller = NOBODY,
    ) -> Connection:
        """Let a client into a document; it may send at once, and hears once the room is loaded.

        Raises ``InvalidDocumentName``, ``TooManyConnections``, ``DocumentQuarantined``, where the
        session was revoked, and ``Restarting`` while the hub shuts down or the document is deleted.
        """
        self._check(document)
        self.sessions.check(document, principal)
        known = self.rooms.get(document)
        self.seats.check(self.connections, 0 if known is None else len(known.connections))
        seat = self.seats.sit(principal.id)
        room = self._room(document)
        make = CountedConnection if self.limits.max_messages_per_s else Connection
        connection = make(link, room, principal, acknowledge=acknowledge, caller=caller)
        connection.seat = seat
        self.stats.connections_total += 1
        room.attach(connection)
        record(connection, What.CONNECT)
        self.sessions.opened(connection)
        if self.history is not None:
            self.history.automatic.met(principal)
        self.channels.came(connection)
        return connection

    def left(self, connection: Connection) -> None:
        """Forget a connection that is out of its room."""
        if connection.seat is not None:
            connection.seat.leave()
        self.channels.went(connection)
        connection.settle()
        record(connection, What.DISCONNECT, code=connection.code)

    def _check(self, document: str) -> None:
        if self.draining:
            raise Restarting("the server is restarting")
        self.deletions.check(document)
        if self._tasks is None:
            raise RuntimeError("the hub is not open: enter it with 'async with hub:'")
        check_document_name(document, max_bytes=self.limits.max_document_name_bytes)
        if (record := self.guard.quarantined(document)) is not None:
            raise DocumentQuarantined(record.reason)

    def _room(self, name: str) -> Room:
        room = self.rooms.get(name)
        if room is None:
            room = Room(
                name,
                engine=self,
                gate=self._gate,
                limits=self.limits,
                stats=self.stats,
                clock=self.clock,
                watch=self.guard.watch(name),
                stamps=stamps(name) if callable(stamps := self._stamp_user) else stamps,
            )
            self.rooms[name] = room
            self.spawn(lambda: self._load(room))
        return room

    async def _load(self, room: Room) -> None:
        try:
            if not await load_room(room, self.store, self._one_load, self.rooms):
                return
        except StoreError as error:
            self.stats.store_errors["load"] += 1
            log.error("cannot load document %r: %s", room.name, error)
            self.abandon(room, "the document can't be loaded now")  # paths are not a client's
            return
        self.channels.opened(room)
        if self.history is not None:
            self.history.reconciling.opened(room.name, room.committed_sequence, self.spawn)
        self._wake(room)

    def abandon(self, room: Room, reason: str) -> None:
        """Close a room as it is: its clients come back, and it is loaded afresh for them."""
        self._let_go(room, reason)
        room.close_connections(CloseCode.TRY_AGAIN_LATER, reason)

    def _wake(self, room: Room) -> None:
        for event in self._waiting.pop(room, ()):
            event.set()

    def shut_out(self, room: Room, error: DocumentQuarantined) -> None:
        """Close a room whose document is quarantined from now on."""
        self._let_go(room, str(error))
        for connection in list(room.connections):
            connection.refuse(error)

    def _let_go(self, room: Room, reason: str) -> None:
        if self.rooms.get(room.name) is room:
            del self.rooms[room.name]
        room.stalled, room.degraded = True, reason
        self._wake(room)

    # The library's way in

    @asynccontextmanager
    async def open(self, document: str) -> AsyncIterator[Room]:
        """Open a document for as long as the block runs, loaded.

        Raises ``InvalidDocumentName``, ``Restarting`` (also while it is being deleted),
        ``DocumentQuarantined``, ``Unavailable`` where it can't be loaded.
        """
        self._check(document)
        room = self._room(document)
        room.pins += 1
        try:
            if not room.loaded:
                event = anyio.Event()
                self._waiting.setdefault(room, []).append(event)
                await event.wait()
            if not room.loaded:
                raise Unavailable(room.degraded)
            yield room
        finally:
            room.pins -= 1
            room.idle_since_s = self.clock.monotonic_s()

    async def edit(self, document: str, update: bytes, principal: Principal | None = None) -> int:
        """Apply an update as the server's own hand; return once it is committed.

        No gate, role or ``max_document_bytes`` is asked: ``principal`` is only whom the edit is
        recorded as. Bytes and the limits on single updates are checked as a client's.

        Returns the document's sequence. Raises ``InvalidUpdate`` (and takes nothing) where the
        update is damaged or refers to what the document lacks, ``StoreDamaged`` where it is
        read-only, ``Unavailable`` where the store failed.
        """
        async with self.open(document) as room:
            if room.damage:
                raise StoreDamaged(room.damage, document=document)
            limits = naming(self.limits, len(room.document.clocks))
            found = scan(update, limits, structs=room.document.detailed)
            if room.document.lacks(update, found):  # all or nothing: nobody is there to be asked
                raise InvalidUpdate("the update refers to something the document lacks")
            room.submit(update, found, Editor(principal or Principal()))
            return await self.committed(room)

    async def committed(self, room: Room) -> int:
        """Wait until all that was let into a room is committed; return its sequence.

        Raises ``Unavailable`` where the store failed.
        """
        if room.stalled and self.rooms.get(room.name) is not room:
            raise Unavailable(room.degraded)  # it was given up: nothing of it is committed any more
        done = anyio.Event()
        room.when_committed(done.set)
        await done.wait()
        if room.degraded and self.rooms.get(room.name) is not room:
            raise Unavailable(room.degraded)
        return room.committed_sequence

    async def delete(
        self, document: str, *, principal: Principal | None = None, caller: Caller = NOBODY
    ) -> bool:
        """Delete a document: its clients are sent away for good, the store forgets it."""
        return await delete_document(self, document, principal or Principal(), caller)

    # The end

    async def drain(self) -> None:
        """Take nobody new, commit and checkpoint everything, send the clients away with 1012."""
        if self.draining:
            return
        self.draining = True
        self.guard.ending()
        with anyio.move_on_after(self.limits.drain_timeout_s) as scope:
            await self.channels.finish()
            await self.committer.flush()
            for room in list(self.rooms.values()):
                await self.housekeeping.checkpoint(room)
            await self.committer.flush()
            await self.committer.announce()
            if self.history is not None:
                await self.history.automatic.finish()
        if scope.cancelled_caught:
            log.warning("not everything was checkpointed in time; the log has it all")
        for room in list(self.rooms.values()):
            room.close_connections(CloseCode.SERVICE_RESTART, "the server is restarting")
        with anyio.move_on_after(self.limits.drain_timeout_s):
            await self.committer.flush()  # what was typed until then
            await self.committer.announce()
