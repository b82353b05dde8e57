"""Records, stores and findings for the store tests."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from crdtsync.store import (
    Checkpoint,
    Durability,
    FileStore,
    Finding,
    Loaded,
    MemoryStore,
    Record,
    SQLiteStore,
    Store,
)

NOW = 1_700_000_000_000


def rec(document: str, sequence: int, *, author: str = "ann", update: bytes = b"") -> Record:
    """Return a record whose every field follows from its document and sequence."""
    update = update or f"{document[:20]}#{sequence}".encode()
    return Record(document, sequence, NOW + sequence, author, update)


def recs(document: str, first: int, last: int) -> list[Record]:
    """Return the records ``first`` to ``last`` of a document."""
    return [rec(document, sequence) for sequence in range(first, last + 1)]


def point(document: str, sequence: int, state: bytes = b"") -> Checkpoint:
    """Return a checkpoint."""
    state = state or f"state of {document[:20]} at {sequence}".encode()
    return Checkpoint(document, sequence, NOW + 1000 + sequence, state)


class Maker:
    """Makes stores of one kind, always at the same place."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self._memory = MemoryStore()

    @property
    def path(self) -> Path:
        """Return the database, or the file store's folder."""
        return self.folder / ("store.db" if self.kind == "sqlite" else "store")

    def __call__(self, *, durability: Durability = "os", read_only: bool = False) -> Store:
        """Return a store object; ``memory`` gives the same one each time."""
        match self.kind:
            case "sqlite":
                return SQLiteStore(self.path, durability=durability, read_only=read_only)
            case "file":
                return FileStore(self.path, durability=durability, read_only=read_only)
            case _:
                return self._memory

    def crashed(self, folder: Path) -> "Maker":
        """Return a maker for a copy of the store as it is on the disk at this moment."""
        copy = Maker(self.kind, folder)
        folder.mkdir()
        if self.kind == "file":
            shutil.copytree(self.path, copy.path)
        else:
            for path in self.folder.glob(f"{self.path.name}*"):
                if not path.name.endswith("-shm"):
                    shutil.copy(path, folder / path.name)
        return copy


async def findings(store: Store, *, repair: bool = False) -> list[Finding]:
    """Return everything that a check yields."""
    return [finding async for finding in store.check(repair=repair)]


def worse_than_ok(found: Iterable[Finding]) -> list[Finding]:
    """Return the findings that are not ``ok``."""
    return [finding for finding in found if finding.level != "ok"]


def is_prefix(loaded: Loaded, whole: Loaded) -> bool:
    """Return whether what was loaded is where ``whole`` begins."""
    if loaded.checkpoint is None and whole.checkpoint is not None:
        return not loaded.records
    same = loaded.checkpoint == whole.checkpoint
    return same and loaded.records == whole.records[: len(loaded.records)]
