"""A server and its clients without sockets, in a time that only passes when all wait.

Clients are pycrdt documents that speak real frames with a real ``Hub``. The network between
them is two queues per connection; whoever drives the world says when something moves.
"""

import asyncio
import selectors
from collections import deque
from collections.abc import Sequence
from typing import Any

import anyio
import anyio.abc
import pycrdt

from crdtsync.awareness import Entry, encode_entries, read_entries
from crdtsync.connection import Connection
from crdtsync.errors import StoreError
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.protocol import (
    AuthMessage,
    AwarenessMessage,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    awareness_frame,
    decode_frame,
    step_1_frame,
    step_2_frame,
    update_frame,
)
from crdtsync.store.base import Record
from crdtsync.store.memory import MemoryStore
from crdtsync.update import scan

from .replica import READER, Early, integrate

__all__ = ["Client", "World", "ids", "virtual_time"]

DOCUMENT = "room/1"
ALLOWED_CLOSES = {1012, 1013}
"""The server restarts; it can't take edits now. Anything else is no way to treat a client."""
MAX_ROUNDS = 200


class _Jump(selectors.SelectSelector):
    """Waits for nothing: where all wait for a moment, it is that moment."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if not events:
            if timeout is None:
                raise RuntimeError("everybody waits for somebody else")
            self.now_s += timeout
        return events


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now_s


class _VirtualClock:
    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()

    def time_ms(self) -> int:
        return int(self.monotonic_s() * 1000)


def virtual_time() -> dict[str, Any]:
    """Return the options that make ``anyio.run`` run in virtual time."""
    return {"loop_factory": _VirtualLoop}


class SlowStore(MemoryStore):
    """A store with a slow disk, which fails when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.delay_s = 0.0
        self.failing = False

    async def append(self, batch: Sequence[Record]) -> None:
        await anyio.sleep(self.delay_s)
        if self.failing:
            raise StoreError("the disk is full")
        await super().append(batch)
        await anyio.sleep(self.delay_s)

    def survivor(self) -> "SlowStore":
        """Return a store with what this one holds at this moment."""
        other = SlowStore()
        for name, held in self._documents.items():
            other._documents[name] = type(held)(
                held.created_ms, held.updated_ms, held.last, held.checkpoint, list(held.records)
            )
        return other


class Link:
    """One connection's way from the server, with a socket buffer that can be full."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.down: deque[bytes] = deque()
        self.connection: Connection | None = None
        self.blocked = False
        self.capacity = 1_000_000
        self.reading = True
        self.code = 0
        self.dead = False

    def send(self, frame: bytes) -> None:
        if self.dead:
            return
        assert not self.code, "a frame behind the close"
        self.down.append(frame)
        self.world.show(frame)
        if len(self.down) >= self.capacity and not self.blocked and self.connection is not None:
            self.block()

    def close(self, code: int, reason: str) -> None:
        if not self.dead:
            assert code in ALLOWED_CLOSES, (code, reason)
        self.code = self.code or code

    def abort(self) -> None:
        self.code = self.code or 1006

    def ping(self) -> None:
        if self.connection is not None:
            self.connection.heard()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def block(self) -> None:
        assert self.connection is not None
        self.blocked = True
        self.connection.pause_writing()

    def unblock(self) -> None:
        assert self.connection is not None
        if self.blocked:
            self.blocked = False
            self.connection.resume_writing()


class Client:
    """A Yjs client: a document, and a connection now and then."""

    def __init__(self, name: str, number: int, *, acknowledge: bool = False) -> None:
        self.name = name
        self.number = number
        self.acknowledge = acknowledge
        self.doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=number)
        self._subscription = self.doc.observe(self._changed)
        self.link: Link | None = None
        self.up: deque[bytes] = deque()
        self.early: Early = []
        """What came before something that it refers to."""
        self.clock = 0
        self.clocks: dict[int, int] = {}
        self.present: dict[int, str] = {}
        self._from_server = False

    def _changed(self, event: pycrdt.TransactionEvent) -> None:
        if self.link is not None and not self._from_server:
            self.up.append(update_frame(event.update))

    def forget(self) -> None:
        """Untie the document from this client: together they are a cycle nobody collects."""
        self.doc.unobserve(self._subscription)

    # Its connection

    def connected(self, link: Link) -> None:
        self.link = link
        self.ask()
        self.announce()

    def disconnected(self) -> None:
        self.link = None
        self.up.clear()
        self.early.clear()
        self.present.clear()

    def ask(self) -> None:
        self.up.append(step_1_frame(self.doc.get_state()))

    def announce(self) -> None:
        entry = Entry(self.number, self.clock, f'"{self.name} {self.clock}"')
        self.up.append(awareness_frame(encode_entries([entry])))

    def renew(self) -> None:
        self.clock += 1
        self.announce()

    def send_everything(self) -> None:
        self.up.append(update_frame(self.doc.get_update()))

    # What it hears

    def hear(self, frame: bytes) -> None:
        (message,) = decode_frame(frame)  # clients up to 3.1 read only a frame's first
        match message:
            case SyncStep1(state_vector):
                self.up.append(step_2_frame(self.doc.get_update(state_vector)))
            case SyncStep2(update) | SyncUpdate(update):
                self.integrate(update)
            case AwarenessMessage(payload):
                for entry in read_entries(payload, READER):
                    self._meet(entry)
            case AuthMessage(reason):
                raise AssertionError(f"{self.name} was refused: {reason}")

    def integrate(self, update: bytes) -> None:
        """Apply an update once all is there that it refers to, as Yjs does by itself."""
        self._from_server = True
        integrate(self.doc, self.early, update)
        self._from_server = False

    def _meet(self, entry: Entry) -> None:
        """Apply the rule of y-protocols."""
        clock = self.clock if entry.client == self.number else self.clocks.get(entry.client, -1)
        gone = entry.state == "null"
        again = clock == entry.clock and gone
        if not (clock < entry.clock or (again and entry.client in {*self.present, self.number})):
            return
        if entry.client == self.number:
            self.clock = entry.clock + gone  # somebody thinks it has gone, or it was here before
            return
        self.clocks[entry.client] = entry.clock
        self.present.pop(entry.client, None)
        if not gone:
            self.present[entry.client] = entry.state


def ids(update: bytes) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """Return the ids of an update's structs and of its deletions."""
    found = scan(update, READER)
    return (
        {(client, clock) for client, start, end in found.ranges for clock in range(start, end)},
        {(client, clock) for client, start, end in found.deletes for clock in range(start, end)},
    )


class World:
    """A hub that comes and goes, and what it has shown."""

    def __init__(self, tasks: anyio.abc.TaskGroup, limits: Limits) -> None:
        self.tasks = tasks
        self.limits = limits
        self.store = SlowStore()
        self.hub: Hub
        self._stop = anyio.Event()
        self._stopped = anyio.Event()
        self.links: list[Link] = []
        self.zombies: list[tuple[Link, deque[bytes]]] = []
        """Connections that their clients gave up and the server has not missed yet."""
        self.structs_shown: set[tuple[int, int]] = set()
        self.deletes_shown: set[tuple[int, int]] = set()

    # The server

    async def start(self) -> None:
        hub = self.hub = Hub(self.store, limits=self.limits, clock=_VirtualClock())
        stop, stopped, ready = anyio.Event(), anyio.Event(), anyio.Event()

        async def run() -> None:
            async with hub:
                ready.set()
                await stop.wait()
            stopped.set()

        self._stop, self._stopped = stop, stopped
        self.tasks.start_soon(run)
        await ready.wait()

    async def stop(self) -> None:
        """Shut down in order."""
        self._stop.set()
        await self._stopped.wait()

    async def restart(self) -> None:
        self.store.failing = False
        await self.stop()
        await self.start()

    async def crash(self) -> None:
        """Go on with what the store holds now; what the old server still does reaches nobody."""
        old, old_stop, old_stopped = self.store, self._stop, self._stopped
        self.store = old.survivor()
        for link in self.links:
            link.dead = True
            link.down.clear()
            link.code = 1006
        self.links.clear()
        self.zombies.clear()
        old.failing = False
        old_stop.set()
        await old_stopped.wait()
        await self.start()

    def show(self, frame: bytes) -> None:
        """Take note of what the server lets a client see."""
        for message in decode_frame(frame):
            if isinstance(message, SyncStep2 | SyncUpdate):
                structs, deletes = ids(message.update)
                self.structs_shown |= structs
                self.deletes_shown |= deletes

    async def document(self) -> pycrdt.Doc[Any]:
        """Return what the server has, as any reader would see it."""
        async with self.hub.open(DOCUMENT) as room:
            assert not room.damage
            doc: pycrdt.Doc[Any] = pycrdt.Doc()
            doc.apply_update(room.state())
            return doc

    async def keep_verbatim(self) -> None:
        """Keep the document as its updates' own bytes, which a few contents make necessary."""
        async with self.hub.open(DOCUMENT) as room:
            room.document.committed.keep_verbatim("the test says so")

    # Its clients

    def connect(self, client: Client) -> None:
        link = Link(self)
        self.links.append(link)
        link.connection = self.hub.connect(
            link, DOCUMENT, Principal(id=client.name), acknowledge=client.acknowledge
        )
        client.connected(link)

    def drop(self, client: Client, *, noticed: bool = True) -> None:
        """Break a client's connection; what is under way is lost, unless nobody noticed yet."""
        link = client.link
        assert link is not None
        if noticed:
            self._lost(link)
        else:
            self.zombies.append((link, deque(client.up)))
        client.disconnected()

    def _lost(self, link: Link) -> None:
        assert link.connection is not None
        link.dead = True
        link.connection.lost()
        if link in self.links:
            self.links.remove(link)

    def bury(self) -> None:
        """Let late frames of given-up connections arrive, then let the server miss them."""
        zombies, self.zombies = self.zombies, []
        for link, up in zombies:
            assert link.connection is not None
            while up and link.reading and not link.code:
                link.connection.receive(up.popleft())
            self._lost(link)

    def send(self, client: Client, count: int) -> None:
        """Let some of a client's frames arrive at the server."""
        link = client.link
        while count and client.up and link is not None and link.reading and not link.code:
            assert link.connection is not None
            link.connection.receive(client.up.popleft())
            count -= 1

    def deliver(self, client: Client, count: int) -> None:
        """Let some of the server's frames arrive at a client, then perhaps the close."""
        link = client.link
        if link is None:
            return
        while count and link.down:
            client.hear(link.down.popleft())
            count -= 1
        if link.code and not link.down:
            self._lost(link)
            client.disconnected()

    async def settle(self, clients: Sequence[Client]) -> None:
        """Let everything arrive, until nothing more happens."""
        self.store.failing = False
        self.store.delay_s = 0.0
        self.bury()
        for link in list(self.links):
            link.capacity = 1_000_000
            link.unblock()
        quiet = 0
        for _ in range(MAX_ROUNDS):
            moved = False
            for client in clients:
                if client.link is None:
                    self.connect(client)
                    moved = True
                link = client.link
                assert link is not None
                moved = moved or bool(client.up or link.down or link.code)
                self.send(client, 1000)
                self.deliver(client, 1000)
            await anyio.sleep(0.2)
            quiet = 0 if moved or any(r.uncommitted for r in self.hub.rooms.values()) else quiet + 1
            if quiet == 3:
                return
        raise AssertionError("it never comes to rest")
