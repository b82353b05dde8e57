"""The engine without sockets: links that record, clients that speak, stores that can be stopped."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import anyio.lowlevel
import pycrdt

from crdtsync.connection import Connection
from crdtsync.errors import StoreError
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.protocol import (
    AuthMessage,
    AwarenessMessage,
    Message,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    decode_frame,
    step_1_frame,
    step_2_frame,
    update_frame,
)
from crdtsync.store.base import Checkpoint, Loaded, Record
from crdtsync.store.memory import MemoryStore

__all__ = ["FAST", "Client", "FakeLink", "TestStore", "join", "quick", "settle", "until"]

TIMEOUT_S = 20.0
"""After this a test that waits for an event has failed."""


def quick(**changed: Any) -> Limits:
    """Return limits whose times are a few milliseconds, with some of them changed."""
    times: dict[str, Any] = {
        "commit_interval_s": 0.0,
        "commit_retry_s": 0.0,
        "awareness_interval_s": 0.001,
        "housekeeping_interval_s": 0.002,
        "keepalive_s": 1e6,
        "ping_interval_s": 1e6,
        "idle_room_s": 1e6,
        "max_lag_s": 1e6,
        "refusal_delay_s": 0.0,
        "checkpoint_rest_s": 0.0,
    }
    return Limits(**times | changed)


FAST = quick()


async def until(condition: Callable[[], object]) -> None:
    """Let the engine run until a condition holds."""
    with anyio.fail_after(TIMEOUT_S):
        while not condition():
            await anyio.lowlevel.checkpoint()


async def settle() -> None:
    """Let every task of the engine run until nothing moves."""
    for _ in range(50):
        await anyio.lowlevel.checkpoint()


class FakeLink:
    """A transport that keeps what it is told; ``room`` is how many frames it takes at a time."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.aborted = False
        self.pings = 0
        self.reading = True
        self.pauses = 0
        self.room = float("inf")
        self.connection: Connection | None = None

    def send(self, frame: bytes) -> None:
        assert self.closed is None, "a frame after the close"
        self.frames.append(frame)
        self.room -= 1
        if self.room <= 0 and self.connection is not None:
            self.connection.pause_writing()

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (int(code), reason)

    def abort(self) -> None:
        self.aborted = True

    def ping(self) -> None:
        self.pings += 1

    def pause_reading(self) -> None:
        self.reading = False
        self.pauses += 1

    def resume_reading(self) -> None:
        self.reading = True


class Client:
    """A y-websocket client on a fake link: a document, and what the server said."""

    def __init__(self, hub: Hub, name: str = "doc", **options: Any) -> None:
        self.link = FakeLink()
        self.doc: pycrdt.Doc[Any] = pycrdt.Doc()
        self.text = self.doc.get("text", type=pycrdt.Text)
        self._read = 0
        self.messages: list[Message] = []
        principal = options.pop("principal", Principal())
        self.connection = hub.connect(self.link, name, principal, **options)
        self.link.connection = self.connection

    def block(self) -> None:
        """Stop taking frames: the socket is full."""
        self.connection.pause_writing()

    def drain(self, room: float = float("inf")) -> None:
        """Take frames again, ``room`` of them."""
        self.link.room = room
        self.connection.resume_writing()

    def read(self) -> list[Message]:
        """Take note of what came; integrate it, and answer a step 1."""
        new: list[Message] = []
        while self._read < len(self.link.frames):
            frame = self.link.frames[self._read]
            self._read += 1
            (message,) = decode_frame(frame)
            new.append(message)
            match message:
                case SyncStep1(vector):
                    self.say(step_2_frame(self.doc.get_update(vector)))
                case SyncStep2(update) | SyncUpdate(update):
                    self.doc.apply_update(update)
        self.messages += new
        return new

    def say(self, frame: bytes) -> None:
        self.connection.receive(frame)

    def sync(self) -> None:
        """Send a step 1."""
        self.say(step_1_frame(self.doc.get_state()))

    def type(self, text: str = "x") -> bytes:
        """Append to the text; return the update that was sent."""
        before = self.doc.get_state()
        self.text += text
        update = self.doc.get_update(before)
        self.say(update_frame(update))
        return update

    async def shows(self, text: str) -> None:
        """Wait until the text reads so."""

        def reads() -> bool:
            self.read()
            return str(self.text) == text

        await until(reads)

    async def hears(self, kind: type, count: int = 1) -> None:
        """Wait until so many messages of a kind came."""

        def heard() -> bool:
            self.read()
            return sum(isinstance(message, kind) for message in self.messages) >= count

        await until(heard)

    async def gone(self) -> tuple[int, str]:
        """Wait until the server closed; return the code and the reason."""
        await until(lambda: self.link.closed)
        assert self.link.closed is not None
        self.read()
        return self.link.closed

    @property
    def denials(self) -> list[str]:
        self.read()
        return [message.reason for message in self.messages if isinstance(message, AuthMessage)]

    @property
    def awareness(self) -> list[bytes]:
        self.read()
        return [m.payload for m in self.messages if isinstance(m, AwarenessMessage)]


async def join(hub: Hub, name: str = "doc", **options: Any) -> Client:
    """Connect a client and wait until it is in sync."""
    client = Client(hub, name, **options)
    client.sync()
    await client.hears(SyncStep2)
    await client.hears(SyncStep1)
    return client


class TestStore(MemoryStore):
    """A store in memory whose operations can be stopped, counted and made to fail."""

    __test__ = False

    def __init__(self) -> None:
        super().__init__()
        self.gate = anyio.Event()
        self.gate.set()
        self.load_gate = anyio.Event()
        self.load_gate.set()
        self.waiting = 0
        self.batches: list[list[Record]] = []
        self.checkpoints: list[Checkpoint] = []
        self.failing: Callable[[str], bool] = lambda _: False
        self.load_failing = False
        self.checkpoint_failing = False
        self.attempts: Counter[str] = Counter()
        self.damaged: Loaded | None = None

    def stop(self) -> None:
        """Let appends wait."""
        self.gate = anyio.Event()

    def stop_loads(self) -> None:
        """Let loads wait."""
        self.load_gate = anyio.Event()

    async def append(self, batch: Sequence[Record]) -> None:
        self.waiting += 1
        await self.gate.wait()
        self.waiting -= 1
        for record in batch:
            self.attempts[record.document] += 1
        if any(self.failing(record.document) for record in batch):
            raise StoreError("the disk is gone")
        await super().append(batch)
        self.batches.append(list(batch))

    async def load(self, document: str) -> Loaded:
        await self.load_gate.wait()
        if self.load_failing:
            raise StoreError("the disk is gone: /secret/path")
        return self.damaged or await super().load(document)

    async def checkpoint(self, checkpoint: Checkpoint) -> None:
        if self.checkpoint_failing:
            raise StoreError("the disk is full")
        await super().checkpoint(checkpoint)
        self.checkpoints.append(checkpoint)
