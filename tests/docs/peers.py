"""Clients without sockets and a store in trouble, for tests of the engine's promises."""

from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pycrdt

from crdtsync import CloseCode, Connection, Hub, Limits, MemoryStore, Principal, Record, StoreFull
from crdtsync.awareness import Entry, encode_entries, read_entries
from crdtsync.protocol import (
    AuthMessage,
    AwarenessMessage,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    awareness_frame,
    decode_frame,
    step_2_frame,
    update_frame,
)

from .kit import TIMEOUT_S

QUICK = Limits(
    commit_interval_s=0,
    commit_retry_s=0.2,
    refusal_delay_s=0,
    max_lag_s=0.1,
    housekeeping_interval_s=0.01,
)


class Peer:
    """A client without a socket: the engine's link on one side, a document on the other."""

    def __init__(self, hub: Hub, name: str, *, doc: pycrdt.Doc[Any] | None = None) -> None:
        self.doc: pycrdt.Doc[Any] = doc or pycrdt.Doc()
        self.text = self.doc.get("text", type=pycrdt.Text)
        self.reasons: list[str] = []
        self.presence: dict[int, str] = {}
        self.asked = 0
        self.updates = 0
        self.close_code: int | None = None
        self._changed = anyio.Event()
        self.connection: Connection | None = None
        self.connection = hub.connect(self, name, Principal(id="ann"), acknowledge=True)

    async def __aenter__(self) -> "Peer":
        await self.until(lambda: self.connection is not None and self.connection.live)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.connection is not None
        self.connection.lost()

    def write(self, text: str) -> None:
        """Edit, and send the edit."""
        before = self.doc.get_state()
        self.text += text
        assert self.connection is not None
        self.connection.receive(update_frame(self.doc.get_update(before)))

    def present(self, client: int, clock: int, state: str) -> None:
        """Send one awareness entry."""
        assert self.connection is not None
        self.connection.receive(awareness_frame(encode_entries([Entry(client, clock, state)])))

    async def until(self, wanted: Callable[[], bool]) -> None:
        """Wait for something that arrives."""
        with anyio.fail_after(TIMEOUT_S):
            while not wanted():
                self._changed = anyio.Event()
                await self._changed.wait()

    async def updated(self, times: int) -> None:
        """Wait until so many updates have come."""
        await self.until(lambda: self.updates == times)

    async def sent_away(self) -> None:
        """Wait until the connection is closed, to come back later."""
        await self.until(lambda: self.close_code == CloseCode.TRY_AGAIN_LATER)

    # The engine's side

    def send(self, frame: bytes) -> None:
        (message,) = decode_frame(frame)
        match message:
            case SyncStep1(vector) if self.connection is not None:
                self.asked += 1
                self.connection.receive(step_2_frame(self.doc.get_update(vector)))
            case SyncStep2(update) | SyncUpdate(update):
                self.updates += 1
                self.doc.apply_update(update)
            case AwarenessMessage(payload):
                for entry in read_entries(payload, QUICK):
                    self.presence[entry.client] = entry.state
                    if entry.state == "null":
                        del self.presence[entry.client]
            case AuthMessage(reason):
                self.reasons.append(reason)
        self._changed.set()

    def close(self, code: int, reason: str) -> None:
        self.close_code = int(code)
        self._changed.set()

    def abort(self) -> None: ...
    def ping(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Trouble(MemoryStore):
    """A store whose commits wait, or fail, for as long as a test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = anyio.Event()
        self.gate.set()
        self.asked = anyio.Event()
        self.failing: Callable[[Record], bool] = lambda record: False
        self.failures = 0

    def hold(self) -> None:
        """Let commits wait until ``gate`` is set."""
        self.gate = anyio.Event()

    async def append(self, batch: Sequence[Record]) -> None:
        self.asked.set()
        await self.gate.wait()
        if any(self.failing(record) for record in batch):
            self.failures += 1
            raise StoreFull("no room left", hint="Make some.")
        await super().append(batch)
