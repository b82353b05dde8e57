"""A store over an imagined medium: whole commits that are there, or not, or perhaps.

Owns what survives a life of the server: the commits that were acknowledged, for certain; the one
under way, and the one whose sync failed, by chance, and then as a whole.
"""

import copy
from collections.abc import Sequence
from typing import Any

import anyio

from crdtsync.store.base import Checkpoint, Durability, Loaded, Record, Store
from crdtsync.store.memory import MemoryStore, _Document
from tests.simulation.faults import Faults

__all__ = ["MemoryMedium"]


class MemoryMedium:
    """What is on the medium; ``store`` gives one life of the server its way to it."""

    kind = "memory"

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.documents: dict[str, Any] = {}
        self.perhaps: list[Record] | None = None
        """A commit that nobody was told of, and that may be there all the same."""

    def store(self) -> Store:
        """Return the store of a new life."""
        return _Faulty(self)

    def crash(self, *, power: bool) -> None:
        """Forget what a life knew; what it left half done is there or is not."""
        perhaps, self.perhaps = self.perhaps, None
        if perhaps is not None and self.faults.chance.random() < 0.5:
            _put(self.documents, perhaps)

    def buried(self) -> None:
        """Nothing more comes of what died."""

    def copy(self) -> Store:
        """Return a store that holds what the medium holds, for looking into it."""
        store = MemoryStore()
        store._documents = copy.deepcopy(self.documents)
        return store

    def close(self) -> None:
        """Nothing to give back."""


def _put(documents: dict[str, Any], batch: list[Record]) -> None:
    """Add a whole commit, as ``append`` does."""
    for record in batch:
        held = documents.get(record.document)
        if held is None:
            held = documents[record.document] = _Document(record.time_ms, record.time_ms)
        held.records.append(record)
        held.last, held.updated_ms = record.sequence, record.time_ms


class _Faulty(MemoryStore):
    """The store of one life. One thing at a time, like a store with a thread of its own."""

    def __init__(self, medium: MemoryMedium) -> None:
        super().__init__()
        self._documents = medium.documents
        self._medium = medium
        self._faults = medium.faults
        self._turn = anyio.Lock()

    @property
    def durability(self) -> Durability:
        return "fsync"

    def unplug(self) -> None:
        """The life is over: whatever it still does reaches nothing."""
        self._documents = {}
        self._medium = MemoryMedium(self._faults)

    async def append(self, batch: Sequence[Record]) -> None:
        with anyio.CancelScope(shield=True):  # a commit that has begun is waited for
            async with self._turn:
                faults, medium = self._faults, self._medium
                faults.step("before an append")
                medium.perhaps, doubtful = list(batch), medium.perhaps
                await anyio.sleep(faults.delay_s())
                medium = self._medium  # which is no more than a dream, if the life has ended
                wrong = faults.goes_wrong()
                if wrong is not None:
                    if wrong != "fsync":
                        medium.perhaps = doubtful
                    faults.step("at a failed append")
                    raise faults.store_error(wrong)
                medium.perhaps = None
                await super().append(batch)
                faults.step("behind an append")
                await anyio.sleep(faults.delay_s())

    async def load(self, document: str) -> Loaded:
        async with self._turn:
            self._faults.step("at a load")
            await anyio.sleep(self._faults.delay_s())
            wrong = self._faults.goes_wrong(("failing",))
            if wrong is not None:
                raise self._faults.store_error(wrong)
            return await super().load(document)

    async def checkpoint(self, checkpoint: Checkpoint) -> None:
        with anyio.CancelScope(shield=True):
            async with self._turn:
                self._faults.step("before a checkpoint")
                await anyio.sleep(self._faults.delay_s())
                wrong = self._faults.goes_wrong()
                if wrong is not None:
                    raise self._faults.store_error(wrong)
                await super().checkpoint(checkpoint)
                self._faults.step("behind a checkpoint")
                await anyio.sleep(self._faults.delay_s())

    async def delete(self, document: str) -> bool:
        with anyio.CancelScope(shield=True):
            async with self._turn:
                deleted = await super().delete(document)
                # What was perhaps written is behind it: either is done, or neither.
                left = [each for each in self._medium.perhaps or () if each.document != document]
                self._medium.perhaps = left or None
                return deleted
