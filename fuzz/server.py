"""A server for one document, without sockets, threads and time: everything happens at once.

Owns the engine's side of a conversation: the real room, connections, sessions and document, over
a store that is two lists. What it does between two actions is what the hub does between two
awaits, so a million messages take minutes. It checks what must hold after each message, and
raises ``Broken`` where it doesn't.
"""

from collections.abc import Callable
from typing import Final

from crdtsync.apart import divide_here, read_here
from crdtsync.audit import NO_AUDIT
from crdtsync.channels.rules import ChannelRules
from crdtsync.channels.service import Channels
from crdtsync.connection import Connection
from crdtsync.engine import Pressure
from crdtsync.errors import InvalidUpdate
from crdtsync.gate import Principal
from crdtsync.guard import NO_WATCH
from crdtsync.idset import IdSet
from crdtsync.indexing import Making
from crdtsync.judge import Judge
from crdtsync.limits import Limits, trusting
from crdtsync.loading import Loader
from crdtsync.protocol import SyncStep2, SyncUpdate, decode_frame, step_1_frame
from crdtsync.refused.base import NO_QUARANTINE
from crdtsync.refusing import Refusals
from crdtsync.room import Room
from crdtsync.session import UpdateReceived
from crdtsync.state_vector import encode_state_vector
from crdtsync.stats import Stats
from crdtsync.store.base import Checkpoint, Loaded, Record
from crdtsync.store.order import admit_checkpoint, extend
from crdtsync.structs import EMPTY_UPDATE
from crdtsync.update import scan
from fuzz.script import Action

__all__ = ["READER", "Broken", "Link", "Server"]

NAME: Final = "fuzz"
READER: Final = -1
"""The number of the client that only reads, from the start to the end."""
_FINAL: Final = range(4400, 4500)
_UNLIMITED: Final = trusting(Limits())


class Broken(Exception):
    """The invariant does not hold."""


class _Clock:
    """A second passes with each look, so nothing is ever too early."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic_s(self) -> float:
        self.now_s += 1.0
        return self.now_s

    def time_ms(self) -> int:
        return int(self.monotonic_s() * 1000)


class Link:
    """A transport that keeps what it is told."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.code = 0
        self.connection: Connection | None = None

    def send(self, frame: bytes) -> None:
        if self.code:
            raise Broken("a frame behind the close")
        self.frames.append(frame)

    def close(self, code: int, reason: str) -> None:
        self.code = self.code or int(code)

    def abort(self) -> None:
        self.code = self.code or 1006

    def ping(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Server:
    """The engine around one room."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.clock = _Clock()
        self.stats = Stats()
        self.pressure = Pressure(limits.max_pending_bytes)
        self.refusals = Refusals(limits, self.clock, self.stats, NO_QUARANTINE)
        self.audit = NO_AUDIT
        self.channels = Channels(ChannelRules())
        self.records: list[Record] = []
        self.history: list[bytes] = []
        """Every committed update in order, checkpoints or not."""
        self.saved: Checkpoint | None = None
        self.links: dict[int, Link] = {}
        self._sequence = 0
        self._dirty = False
        self._stirred = False
        self._later: list[Callable[[], None]] = []
        self.room = self._load()
        self.reader = Link()
        self.reader.connection = Connection(
            self.reader, self.room, Principal(id="reader"), acknowledge=True
        )
        self.room.attach(self.reader.connection)
        self.reader.connection.receive(step_1_frame(b"\x00"))

    # What rooms ask for

    def schedule_commit(self, room: Room) -> None:
        room.dirty = True
        self._dirty = True

    def schedule_awareness(self, room: Room) -> None:
        self._stirred = True

    def throttle(self, connection: Connection) -> None:
        connection.pause_reading()

    def left(self, connection: Connection) -> None:
        pass

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        self._later.append(call)

    # What happens

    def perform(self, action: Action) -> None:
        """Do one thing, and what follows from it."""
        kind, client, data = action
        link = self.reader if client == READER else self.links.get(client)
        if kind == "open":
            self._open(client)
        elif kind == "commit":
            self.commit()
        elif kind == "checkpoint":
            self.checkpoint()
        elif kind == "reload":
            self.reload()
        elif kind == "rest":
            self.room.rest()
        elif link is not None and link.connection is not None and not link.code:
            connection = link.connection
            if kind == "frame":
                connection.receive(data)
            elif kind == "block":
                connection.pause_writing()
            elif kind == "drain":
                connection.resume_writing()
            elif kind == "drop":
                connection.lost()
                del self.links[client]
        self._follow_up()

    def _open(self, client: int) -> None:
        old = self.links.get(client)
        if old is not None and old.connection is not None:
            old.connection.lost()
        link = self.links[client] = Link()
        # Every third one wants its own updates back.
        link.connection = Connection(
            link, self.room, Principal(id=f"client {client}"), acknowledge=client % 3 == 2
        )
        self.room.attach(link.connection)

    def _follow_up(self) -> None:
        if self._later:
            calls, self._later = self._later, []
            for call in calls:
                call()
        if self._stirred:
            self._stirred = False
            self.room.fanout.flush_awareness()
        for link in self.links.values():
            if link.code and link.code not in _FINAL:
                raise Broken(f"a client is sent away with {link.code}")
            if link.frames:
                for frame in link.frames:
                    _check_frame(frame)
                link.frames.clear()
        if self.reader.code:
            raise Broken("the innocent reader is sent away")

    def commit(self) -> None:
        """Let the store take what is pending, and tell everyone."""
        if not self._dirty:
            return
        self._dirty = False
        records = self.room.take_batch(self.clock.time_ms())
        self.pressure.pending_bytes = 0
        extend(records, lambda _: self._sequence)
        self.records += records
        self.history += [record.update for record in records]
        self._sequence += len(records)
        self.room.committed()

    def checkpoint(self) -> None:
        """Put a checkpoint in the log's place, as housekeeping does."""
        self.commit()
        if not self.records:
            return
        state = self.room.document.checkpoint()
        older = self.saved.sequence if self.saved is not None else 0
        saved = Checkpoint(NAME, self._sequence, self.clock.time_ms(), state)
        admit_checkpoint(saved, last=self._sequence, older=older)
        self.saved = saved
        self.records = []

    def reload(self) -> None:
        """Close the room and open it again from what is stored."""
        self.commit()
        before = self.room
        room = self._load()
        if before.document.clocks != room.document.clocks:
            raise Broken("the stored document has other clocks than the one in memory")
        # A checkpoint may tell more: what was written over under a key is deleted, unsaid.
        stored = IdSet()
        stored.add(room.document.deleted)
        if not stored.covers(before.document.deleted):
            raise Broken("the stored document lacks deletions of the one in memory")
        self.room = room
        for link in (self.reader, *self.links.values()):
            old = link.connection
            if old is None or old.closed:
                continue
            old.lost()
            link.connection = Connection(link, room, old.principal, acknowledge=old.acknowledge)
            room.attach(link.connection)
        assert self.reader.connection is not None
        self.reader.connection.receive(step_1_frame(encode_state_vector(self._read_clocks())))
        self._follow_up()

    def read_updates(self) -> list[bytes]:
        """Return the updates that the reader got, in order."""
        return [
            message.update
            for frame in self.reader.frames
            for message in decode_frame(frame)
            if isinstance(message, SyncStep2 | SyncUpdate) and message.update != EMPTY_UPDATE
        ]

    def _read_clocks(self) -> dict[int, int]:
        clocks: dict[int, int] = {}
        for update in self.read_updates():
            for client, _, end in scan(update, _UNLIMITED).ranges:
                clocks[client] = max(end, clocks.get(client, 0))
        return clocks

    def read_apart(self, connection: Connection) -> None:
        """Read a large frame here and now: there are no threads."""
        read_here(connection)

    def divide_apart(self, connection: Connection, event: UpdateReceived) -> None:
        """Cut it here and now, too."""
        divide_here(connection, event)

    def index_apart(self, judge: Judge, making: Making) -> None:
        """Index here and now, too."""
        making.put(making.take())
        judge.made(making)
        for connection in making.waiting:
            connection.was_read(connection.events)

    def _load(self) -> Room:
        loaded = Loaded(self.saved, tuple(self.records))
        document, sequence, problem = Loader(self.limits, NO_WATCH, self.clock).build(loaded)
        if problem:
            raise Broken(f"what was stored can't be loaded: {problem}")
        room = Room(
            NAME, engine=self, gate=None, limits=self.limits, stats=self.stats, clock=self.clock
        )
        room.opened(document, sequence)
        return room


def _check_frame(frame: bytes) -> None:
    """Check what a client is told: one message, and an answer that our own reader would take."""
    messages = decode_frame(frame)
    if len(messages) != 1:
        raise Broken("a frame to a client does not hold one message")
    (message,) = messages
    if isinstance(message, SyncStep2):
        try:
            scan(message.update, _UNLIMITED)
        except InvalidUpdate as error:
            raise Broken(f"an answer is no update: {error}") from None
