"""A y-websocket client: a replica, a connection now and then, and no more wisdom than Yjs has.

Owns the replica and what its user does. It asks with a step 1 whenever it connects, answers the
server's, sends its own edits, renews its presence, and comes back with growing pauses.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pycrdt

from crdtsync.awareness import read_entries
from crdtsync.gate import Principal
from crdtsync.protocol import (
    AuthMessage,
    AwarenessMessage,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    decode_frame,
    step_1_frame,
    step_2_frame,
    update_frame,
)
from crdtsync.state_vector import read_state_vector
from tests.properties.edits import Dice, edit
from tests.properties.replica import READER, Early, integrate
from tests.simulation.network import Wire
from tests.simulation.presence import Presence

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["Client"]

LOOK_S = 3.0
WATCHDOG_S = 30.0
ALLOWED_CLOSES = {1006, 1012, 1013}
"""The connection broke; the server restarts; it can't take edits now. No other way is right
with a client that did nothing wrong."""


class Client:
    """One user's tab."""

    def __init__(
        self, world: "World", name: str, number: int, room: str, *, may_write: bool = True
    ) -> None:
        self.world = world
        self.kernel = world.kernel
        self.name = name
        self.number = number
        self.room = room
        self.may_write = may_write
        self.principal = Principal(id=name, read_only=not may_write)
        self.chance = self.kernel.stream(name)
        self.acknowledge = self.chance.random() < 0.2
        self.doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=number)
        self._subscription = self.doc.observe(self._changed)
        self._from_server = False
        self.wire: Wire | None = None
        self.online = True
        """Whether the user's machine wants to be connected."""
        self.ended = False
        self.synced = False
        self.early: Early = []
        """What refers to something that is still to come."""
        self.denials = 0
        self.strayed = False
        """Whether it has edits, deletions maybe alone, that nobody takes from it."""
        self._failures = 0
        self._connecting = False
        self._last_heard_s = 0.0
        self.came: Callable[[Client], None] = lambda _: None
        """What it does when it is in sync with the server."""
        self.presence = Presence(number, f'"{name}"', self.kernel.now_s, self._up)
        self.kernel.after(self.chance.random() * LOOK_S, self._look)

    def end(self) -> None:
        """Untie the document from this client: together they are a cycle nobody collects."""
        self.ended = True
        self.doc.unobserve(self._subscription)

    def tell(self, what: str) -> None:
        self.kernel.tell(self.name, what)

    # What the user does

    def edit(self) -> None:
        dice = Dice(self.chance.randbytes(24))
        with self.doc.transaction():
            what = "; ".join(edit(self.doc, dice) for _ in range(self.chance.choice([1, 1, 1, 3])))
        self.tell(f"edits {what}")

    def move(self) -> None:
        self.presence.set(f'"{self.name} at {self.kernel.now_s:.3f}"', self.kernel.now_s)
        self.tell(f"moves the cursor (clock {self.presence.clock})")

    def ask(self) -> None:
        """Send a step 1, as ``resyncInterval`` does."""
        self._up(step_1_frame(self.doc.get_state()))

    def repeat(self) -> None:
        """Send everything again, as an application may."""
        self._up(update_frame(self.doc.get_update()))

    def _changed(self, event: pycrdt.TransactionEvent) -> None:
        if not self._from_server:
            self.strayed |= not self.may_write
            self._up(update_frame(event.update))

    def _up(self, frame: bytes) -> None:
        if self.wire is not None:
            self.wire.up(frame)

    # Its connection

    def connect(self) -> None:
        """Try to connect, now and, where it fails, again."""
        if self.wire is None and self.online and not self._connecting and not self.ended:
            self._connecting = True
            self.kernel.after(0.001 + 0.05 * self.chance.random(), self._connect)

    def _connect(self) -> None:
        self._connecting = False
        if not self.online or self.ended:
            return
        wire = self.world.dial(self)
        if wire is None:
            self._retry()
            return
        self.wire = wire
        self._failures = 0
        self._last_heard_s = self.kernel.now_s
        self.tell(f"connects ({wire.latency_s} s{', through a faulty proxy' * wire.faulty})")
        self.ask()
        self.presence.announce([self.number])

    def _retry(self) -> None:
        self._failures += 1
        self.kernel.after(min(2.5, 0.1 * 2**self._failures), self.connect)

    def closed(self, wire: Wire, code: int, reason: str) -> None:
        """The socket has closed, whoever did it."""
        if wire is not self.wire:
            return  # given up before
        self.tell(f"is disconnected: {code} {reason}")
        self._disconnected()
        if self.may_write and code not in ALLOWED_CLOSES:
            self.world.fail(f"{self.name} is closed with {code} {reason!r}")
        self._retry()

    def _disconnected(self) -> None:
        self.wire = None
        self.synced = False
        self.early.clear()
        self.presence.disconnected()

    def leave(self) -> None:
        """Close the connection, or give up on it."""
        if self.wire is not None:
            self.wire.leave()
            self._disconnected()

    def _look(self) -> None:
        if self.ended:
            return
        now_s = self.kernel.now_s
        self.presence.look(now_s)
        if self.wire is not None and now_s - self._last_heard_s > WATCHDOG_S:
            self.tell("has heard nothing for 30 s and reconnects")
            deaf = self.wire.half_open or self.wire.dead or self.wire.stalled
            if not deaf and now_s - self.wire.awake_s > WATCHDOG_S:
                self.world.fail(f"{self.name} heard nothing for {WATCHDOG_S} s")
            self.leave()
            self._retry()
        self.kernel.after(LOOK_S, self._look)

    # What it hears

    def heard(self, frame: bytes) -> None:
        """Take one frame."""
        self._last_heard_s = self.kernel.now_s
        (message,) = decode_frame(frame)  # clients up to 3.1 read only a frame's first
        match message:
            case SyncStep1(state_vector):
                self._up(step_2_frame(self.doc.get_update(state_vector)))
            case SyncStep2(update):
                first, self.synced = not self.synced, True
                self._integrate(update)
                if first:
                    self.came(self)
            case SyncUpdate(update):
                self._integrate(update)
            case AwarenessMessage(payload):
                self.presence.heard(read_entries(payload, READER), self.kernel.now_s)
            case AuthMessage():
                self.denials += 1
                if self.may_write:
                    self.world.fail(f"{self.name} is refused: {message.reason}")

    def _integrate(self, update: bytes) -> None:
        """Apply an update once all is there that it refers to, as Yjs does by itself."""
        self._from_server = True
        integrate(self.doc, self.early, update)
        self._from_server = False
        if self.synced and self.early:
            self.world.fail(f"{self.name} is in sync, and gets what it can't place")

    @property
    def clocks(self) -> dict[int, int]:
        return read_state_vector(self.doc.get_state(), READER)
