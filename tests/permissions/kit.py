"""A room without a hub, clients that speak frames with it, and what a document shows by place."""

from collections.abc import Callable, Mapping
from typing import Any

import pycrdt

from crdtsync.apart import divide_here, read_here
from crdtsync.audit import NO_AUDIT
from crdtsync.channels.entries import Entries
from crdtsync.channels.rules import ChannelRules
from crdtsync.channels.service import Channels
from crdtsync.clock import ManualClock
from crdtsync.connection import Connection
from crdtsync.document import Document
from crdtsync.engine import Pressure
from crdtsync.gate import ContentGate, Deny, Gate, Principal
from crdtsync.indexing import Making
from crdtsync.judge import Judge
from crdtsync.limits import Limits
from crdtsync.protocol import (
    AuthMessage,
    SyncStep2,
    SyncUpdate,
    awareness_frame,
    decode_frame,
    step_1_frame,
    step_2_frame,
    update_frame,
)
from crdtsync.refused.base import NO_QUARANTINE
from crdtsync.refusing import Refusals
from crdtsync.roles import Role, Rule
from crdtsync.room import Room
from crdtsync.session import UpdateReceived
from crdtsync.stats import Stats
from crdtsync.structs import EMPTY_UPDATE, Scan
from tests.properties.edits import ROOTS, content

__all__ = [
    "LIMITS",
    "Peer",
    "Server",
    "by_place",
    "differing",
    "merged",
    "plainly",
    "restricted",
    "role",
]

LIMITS = Limits(refusal_delay_s=0.0)
Shown = dict[tuple[str, str | None], Any]


def role(*rules: Rule, **options: Any) -> Role:
    """Return a role with these rules."""
    return Role(name="tested", write=rules, **options)


def restricted(*rules: Rule, who: str = "me", **options: Any) -> Principal:
    """Return somebody who may write what the rules say."""
    return Principal(id=who, role=role(*rules, **options))


def by_place(doc: "pycrdt.Doc[Any]", roots: Mapping[str, type[Any]] = ROOTS) -> Shown:
    """Return what a user sees of a document: of a map root each key, of others the whole."""
    shown: Shown = {}
    for name, value in content(doc, roots).items():
        if isinstance(value, dict):
            shown |= {(name, key): each for key, each in value.items()}
        else:
            shown[name, None] = value
    return shown


def plainly(value: Any) -> str:
    """Return a value as text, whatever the order of its keys."""
    if isinstance(value, dict):
        return str(sorted((key, plainly(each)) for key, each in value.items()))
    if isinstance(value, list | tuple):
        return str([plainly(each) for each in value])
    return repr(value)


def differing(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> set[tuple[str, str | None]]:
    """Return the places that show something else."""
    missing = object()
    return {
        place
        for place in {*one, *other}
        if plainly(one.get(place, missing)) != plainly(other.get(place, missing))
    }


def merged(*updates: bytes) -> bytes:
    """Join updates into one, as Yjs does."""
    return pycrdt.merge_updates(*updates)


class Patient(Refusals):
    """Says what is refused and sends nobody away, so that attackers can go on."""

    def deny(
        self,
        room: Room,
        connection: Connection,
        denial: Deny,
        update: bytes,
        found: Scan,
        *,
        step_2: bool,
    ) -> None:
        if not room.document.knows(found):
            room.stats.rejected["denied"] += 1
            connection.deny(denial.reason)


class Server:
    """One room, driven by hand: nothing is committed before ``commit``.

    With ``apart`` no index is made before ``indexed``.
    """

    def __init__(
        self,
        *,
        state: bytes = EMPTY_UPDATE,
        gate: Gate | ContentGate | None = None,
        limits: Limits = LIMITS,
        apart: bool = False,
        channels: ChannelRules | None = None,
        name: str = "doc",
    ) -> None:
        self.apart = apart
        self.making: list[tuple[Judge, Making]] = []
        self.pressure = Pressure(limits.max_pending_bytes)
        self.stats = Stats()
        self.clock = ManualClock()
        self.refusals = Patient(limits, self.clock, self.stats, NO_QUARANTINE)
        self.audit = NO_AUDIT
        self.channels = Channels(channels or ChannelRules())
        self.peers = 0
        self.room = Room(
            name, engine=self, gate=gate, limits=limits, stats=self.stats, clock=self.clock
        )
        follower = Entries() if self.channels.rules.concerns(name) else None
        document = Document(limits, state=state, follower=follower)
        shelf = self.channels.shelve(name, document)
        self.channels.loaded(self.room, document, shelf, 0)
        self.room.opened(document, 0)

    def join(self, principal: Principal | None = None) -> "Peer":
        """Connect somebody; without a principal, an anonymous writer."""
        return Peer(self, principal or Principal())

    def commit(self) -> None:
        """Let everything that was admitted be stored and shown."""
        while self.room.uncommitted:
            self.room.take_batch(0)
            self.room.committed()

    @property
    def doc(self) -> "pycrdt.Doc[Any]":
        """What is stored, as pycrdt shows it."""
        self.commit()
        doc: pycrdt.Doc[Any] = pycrdt.Doc()
        doc.apply_update(self.room.state())
        return doc

    def shows(self, roots: Mapping[str, type[Any]] = ROOTS) -> Shown:
        """Return what is stored, by place."""
        return by_place(self.doc, roots)

    # The engine, as far as the room asks for it

    def schedule_commit(self, room: Room) -> None:
        room.dirty = True

    def schedule_awareness(self, room: Room) -> None:
        room.fanout.flush_awareness()

    def throttle(self, connection: Connection) -> None:
        raise AssertionError("nobody sends that much here")

    def read_apart(self, connection: Connection) -> None:
        read_here(connection)

    def divide_apart(self, connection: Connection, event: UpdateReceived) -> None:
        divide_here(connection, event)

    def index_apart(self, judge: Judge, making: Making) -> None:
        self.making.append((judge, making))
        if not self.apart:
            self.indexed()

    def indexed(self, most: int = 1 << 30) -> None:
        """Let the indexes that are on their way be made, and who waited for them go on."""
        while self.making and most:
            most -= 1
            judge, making = self.making.pop(0)
            if not making.over:
                making.put(making.take())
            judge.made(making)
            for connection in making.waiting:
                connection.was_read(connection.events)
                while connection.gives_way:
                    connection.was_read(connection.events)

    def left(self, connection: Connection) -> None: ...

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        call()


class Peer:
    """A client of the server, with a document of its own."""

    def __init__(self, server: Server, principal: Principal) -> None:
        self.server = server
        self.frames: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.paused = False
        server.peers += 1
        self.doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=1000 + server.peers)
        self.connection = Connection(self, server.room, principal, acknowledge=False)
        server.room.attach(self.connection)

    # The link

    def send(self, frame: bytes) -> None:
        assert self.closed is None, "a frame after the close"
        self.frames.append(frame)

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (int(code), reason)

    def abort(self) -> None:
        self.closed = self.closed or (0, "")

    def ping(self) -> None: ...

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    # The client

    def sync(self) -> "Peer":
        """Fetch everything."""
        self.connection.receive(step_1_frame(self.doc.get_state()))
        return self.read()

    def read(self) -> "Peer":
        """Integrate what came."""
        self.server.commit()
        for frame in self.frames:
            for message in decode_frame(frame):
                if isinstance(message, SyncStep2 | SyncUpdate):
                    self.doc.apply_update(message.update)
        self.frames = [frame for frame in self.frames if frame[:1] == b"\x02"]
        return self

    def says(self, *updates: bytes) -> None:
        """Send updates, each in a message."""
        for update in updates:
            if self.closed is None:
                self.connection.receive(update_frame(update))

    def answers(self, update: bytes) -> None:
        """Send an update as a step 2."""
        self.connection.receive(step_2_frame(update))

    def is_here(self, payload: bytes) -> None:
        """Send awareness."""
        self.connection.receive(awareness_frame(payload))

    def edits(self, change: "Callable[[pycrdt.Doc[Any]], object]", *, send: bool = True) -> bytes:
        """Change the own document; return the update, which is sent."""
        before = self.doc.get_state()
        seen: list[bytes] = []
        subscription = self.doc.observe(lambda event: seen.append(event.update))
        with self.doc.transaction():
            change(self.doc)
        self.doc.unobserve(subscription)
        update = seen[0] if seen else self.doc.get_update(before)
        if send:
            self.says(update)
        return update

    @property
    def denials(self) -> list[str]:
        """The reasons that it was told."""
        messages = [message for frame in self.frames for message in decode_frame(frame)]
        return [message.reason for message in messages if isinstance(message, AuthMessage)]
