"""The local store: what this client has, kept on its own disk while it is offline or ends.

Owns one document in a store (``crdtsync.store``), and beside it a cell with what the server has
confirmed, and whether it has refused. Invariants:

- Everything is appended in the order in which it happened, own edits and others' alike.
- The log is made one state only after that is proven to make the same document.
- The cell is never older than the state beside it, and what the log has of this client counts as
  unconfirmed: wherever the process is killed, more does, never less.
- A document that is discarded goes before anything of the next one is written.
"""

import base64
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import Any, Final, Protocol

import anyio

from crdtsync.client.errors import Refused, refusal
from crdtsync.client.ledger import Ledger
from crdtsync.client.options import Options
from crdtsync.client.replica import LIMITS, Replica
from crdtsync.clock import SystemClock
from crdtsync.crdt import IntegrationError
from crdtsync.encoding import read_var_string, write_var_string
from crdtsync.errors import InvalidUpdate, StoreDamaged, StoreError
from crdtsync.limits import trusting
from crdtsync.proof import prove_state
from crdtsync.state_vector import encode_state_vector, read_state_vector
from crdtsync.store import SQLiteStore, open_store
from crdtsync.store.base import Checkpoint, Record, Store
from crdtsync.structs import Layout
from crdtsync.update import scan

__all__ = ["Keeper", "Kept", "LocalStore", "store_at"]

log = logging.getLogger("crdtsync.client")

LocalStore = str | PathLike[str] | Store
OWN: Final = "own"
OTHERS: Final = "others"
CELLS: Final = ".client/"
RETRY_S: Final = 1.0
"""A store that fails is tried again so often."""

_MOST: Final = trusting(LIMITS)
_CELL: Final = b"\x01\x01\x01\x00\x04\x01" + write_var_string("state")
"""The cell is a document, too: a text with JSON in it, so that every tool can read the store."""


def store_at(place: str | PathLike[str]) -> Store:
    """Return the store at a path (SQLite) or a store's URL such as ``file:FOLDER``."""
    if isinstance(place, str) and place.partition(":")[0] in ("sqlite", "file", "memory"):
        return open_store(place)
    return SQLiteStore(place)


@dataclass(frozen=True, slots=True)
class _Cell:
    """What is remembered beside the document."""

    confirmed: dict[int, int]
    clean: bool
    refused: Refused | None = None

    def encode(self) -> bytes:
        told: dict[str, Any] = {
            "confirmed": base64.b64encode(encode_state_vector(self.confirmed)).decode(),
            "clean": self.clean,
        }
        if self.refused is not None:
            told["refused"] = {"code": self.refused.code, "reason": self.refused.reason}
        return _CELL + write_var_string(json.dumps(told)) + b"\x00"

    @classmethod
    def decode(cls, state: bytes) -> "_Cell":
        """Read a cell; raise ``ValueError`` where it is none."""
        if not state.startswith(_CELL):
            raise ValueError("no cell of a client")
        told = json.loads(read_var_string(state, len(_CELL))[0])
        vector = base64.b64decode(told["confirmed"])
        refused = told.get("refused")
        return cls(
            read_state_vector(vector, _MOST),
            told["clean"],
            refused and refusal(refused["code"], refused["reason"]),
        )


class Kept(Protocol):
    """Whose document is kept; both may be replaced by others."""

    replica: Replica
    ledger: Ledger


class Keeper:
    """Writes one client's document to its local store. ``run`` it in a task."""

    def __init__(self, store: Store, name: str, options: Options) -> None:
        self._store = store
        self._name = name
        self._options = options
        self._clock = SystemClock()
        self._sequence = 0
        self._queue: list[tuple[bytes, str]] = []
        self._queued = 0  # bytes
        self._whole = False  # too much waited: the whole document is written instead
        self._cell = _Cell({}, clean=False)
        self._cell_due = False
        self._records = self._bytes = 0  # of the log
        self._accepted = self._written = 0  # edits
        self._life = self._stored_life = 0  # documents that were discarded so far
        self._work = anyio.Event()
        self.error: StoreError | None = None
        """Set while the store fails."""
        self.changed: Callable[[], None] = lambda: None
        """Called whenever something was written, or could not be."""

    async def load(self, replica: Replica, ledger: Ledger) -> Refused | None:
        """Bring what is kept into a document; return why the server refused it last, if it did.

        Raises ``StoreError``, ``StoreDamaged`` where some of it can't be read.
        """
        cell = await self._store.load(CELLS + self._name)
        if cell.checkpoint is not None:
            try:
                self._cell = _Cell.decode(cell.checkpoint.state)
            except (InvalidUpdate, ValueError, KeyError, TypeError, IndexError):
                log.warning("the local store's note on %r is damaged: all is sent anew", self._name)
        loaded = await self._store.load(self._name)
        if loaded.damage is not None:
            raise StoreDamaged(
                f"the local copy of {self._name!r} is damaged: {loaded.damage.problem}",
                document=self._name,
                sequence=loaded.damage.sequence,
                hint="Repair it with `crdtsync check --repair`, or start with another store.",
            )
        if loaded.checkpoint is not None:
            self._sequence = loaded.checkpoint.sequence
            found = scan(loaded.checkpoint.state, _MOST)
            replica.integrate(loaded.checkpoint.state)
            ledger.make(_unconfirmed(found, self._cell))
        for record in loaded.records:
            self._sequence = record.sequence
            replica.integrate(record.update)
            if record.author == OWN:
                ledger.make(scan(record.update, _MOST))
            self._records += 1
            self._bytes += len(record.update)
        if cell.checkpoint is not None and not self._sequence:
            self.begin_anew()  # it was discarded, but for what is beside it
        return self._cell.refused

    def put(self, update: bytes, *, own: bool) -> None:
        """Take an update to be written."""
        self._accepted += 1
        self._queued += len(update)
        if self._queued > self._options.max_outbox_bytes:
            self._whole = True
            self._queue.clear()
        if not self._whole:
            self._queue.append((update, OWN if own else OTHERS))

    def note(self, refused: Refused | None) -> None:
        """Remember that the server has refused, or that this is over."""
        self._cell = _Cell(self._cell.confirmed, self._cell.clean, refused)
        self._cell_due = True
        self._accepted += 1
        self.wake()

    def wake(self) -> None:
        """Have it look at what there is to write; in the event loop's thread."""
        self._work.set()

    @property
    def position(self) -> int:
        """How much was taken so far, for ``kept``."""
        return self._accepted

    def kept(self, position: int) -> bool:
        """Return whether everything up to a position is written."""
        return self._written >= position

    def begin_anew(self) -> None:
        """Have the document forgotten, with what is remembered beside it; under its lock.

        What is put from now on is another document's.
        """
        self._queue, self._queued, self._whole = [], 0, False
        self._cell, self._cell_due = _Cell({}, clean=False), False
        self._life += 1
        self._accepted += 1
        self.wake()

    async def run(self, kept: Kept) -> None:
        """Write what comes, for ever; what fails is tried again."""
        while True:
            await self._work.wait()
            self._work = anyio.Event()
            try:
                await self._write(kept.replica)
                if self._stored_life == self._life:
                    await self._compact(kept.replica, kept.ledger)
                self.error = None
            except StoreError as error:
                if self.error is None:
                    log.error("the local store fails: %s", error)
                self.error = error
                self._work.set()
            self.changed()
            if self.error is not None:
                await anyio.sleep(RETRY_S)

    async def _write(self, replica: Replica) -> None:
        with replica.lock:
            position, life = self._accepted, self._life
            queue, whole = self._queue, self._whole
            queued = self._queued
            if whole:
                queue = [(replica.state(), OWN)]
            self._queue, self._queued, self._whole = [], 0, False
        try:
            if self._stored_life != life:
                await self._forget(life)
            records = [
                Record(self._name, self._sequence + number, self._clock.time_ms(), author, update)
                for number, (update, author) in enumerate(queue, 1)
            ]
            if records:
                await self._store.append(records)
                self._sequence = records[-1].sequence
                self._records += len(records)
                self._bytes += sum(len(record.update) for record in records)
            queue = []
            if self._cell_due:
                await self._write_cell(self._cell)
        except BaseException:
            with replica.lock:
                if queue and life == self._life:
                    self._queue, self._queued = queue + self._queue, self._queued + queued
                    self._whole |= whole
                raise
        self._written = max(self._written, position)

    async def _forget(self, life: int) -> None:
        await self._store.delete(self._name)
        await self._store.delete(CELLS + self._name)
        self._sequence = self._records = self._bytes = 0
        self._stored_life = life

    async def _write_cell(self, cell: _Cell) -> None:
        self._cell_due = False
        try:
            name = CELLS + self._name
            await self._store.checkpoint(Checkpoint(name, 1, self._clock.time_ms(), cell.encode()))
        except BaseException:
            self._cell_due = True
            raise

    async def _compact(self, replica: Replica, ledger: Ledger) -> None:
        options = self._options
        if self._records < options.compact_records and self._bytes < options.compact_bytes:
            return
        with replica.lock:
            if self._queue or self._whole:
                return  # the next round has them in the log
            state = replica.state()
            vector = encode_state_vector(replica.clocks)
            cell = _Cell(ledger.claimed(replica.clocks), ledger.clean, self._cell.refused)
            sequence, life = self._sequence, self._life
        self._records = self._bytes = 0  # not again and again, if it can't be done
        try:
            await anyio.to_thread.run_sync(prove_state, state, vector)
        except IntegrationError as error:
            log.warning("the local store keeps its log: %s", error)
            return
        if life != self._life:
            return
        self._cell = _Cell(cell.confirmed, cell.clean, self._cell.refused)
        await self._write_cell(self._cell)
        await self._store.checkpoint(Checkpoint(self._name, sequence, self._clock.time_ms(), state))


def _unconfirmed(found: Layout, cell: _Cell) -> Layout:
    """Return what of a state the server has not confirmed, as far as the cell knows."""
    ranges = tuple(
        (client, max(start, cell.confirmed.get(client, 0)), end)
        for client, start, end in found.ranges
        if end > cell.confirmed.get(client, 0)
    )
    return Layout(ranges, (), () if cell.clean else found.deletes)
