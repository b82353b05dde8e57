"""The default store: one SQLite database with a write-ahead log.

Two threads, two connections: one commits, one reads, so that loading a thousand documents
after a restart does not hold up a single commit.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path

from crdtsync.clock import Clock, SystemClock
from crdtsync.errors import StoreError
from crdtsync.store import sqlite_rows
from crdtsync.store.base import (
    Checkpoint,
    Damage,
    DocumentInfo,
    Durability,
    Finding,
    Loaded,
    Record,
)
from crdtsync.store.locking import StoreLock
from crdtsync.store.sqlite_check import Checker
from crdtsync.store.sqlite_schema import connect, fold, migrate
from crdtsync.store.sqlite_writer import Writer
from crdtsync.store.threaded import ThreadedStore
from crdtsync.store.whereabouts import Whereabouts, database_files

__all__ = ["SQLiteStore"]

DATABASE_HINT = (
    "Move it back where it was moved. Where it was deleted, the running server still has every"
    " document: copy them from it (GET /api/v1/documents) before you end it."
)
BESIDE_HINT = "Stop the server, not by kill -9: as it ends it writes what it has into the database."


class SQLiteStore(ThreadedStore):
    """Documents in a SQLite database at ``path``, which is created where it does not exist.

    With ``read_only`` nothing is locked, written or migrated: for looking into a store that a
    server has open.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        durability: Durability = "fsync",
        read_only: bool = False,
        clock: Clock | None = None,
    ) -> None:
        backend = _SQLiteBackend(
            Path(path),
            durability=durability,
            read_only=read_only,
            clock=clock if clock is not None else SystemClock(),
        )
        super().__init__(
            "sqlite",
            Path(path),
            backend,
            durability=durability,
            read_only=read_only,
            own_reader=not read_only,
        )


class _SQLiteBackend:
    """The writer, a reading connection and the lock."""

    def __init__(
        self, path: Path, *, durability: Durability, read_only: bool, clock: Clock
    ) -> None:
        # Behind links, so that two names of one database have one lock.
        self._path = path.resolve()
        self._url = f"sqlite:{path}"
        self._durability: Durability = durability
        self._read_only = read_only
        self._clock = clock
        self._lock = StoreLock(self._path, url=self._url)
        self._writer = Writer(self._path, durability)
        self._reader: sqlite3.Connection | None = None
        self._whereabouts = Whereabouts()

    def open(self) -> None:
        """Open both connections; take the lock first, unless only reading."""
        if self._path.is_dir():
            raise StoreError(
                f"{self._url} is a folder",
                hint=f"Name a file in it, such as {self._url}/crdtsync.db.",
            )
        if self._read_only:
            if not self._path.exists():
                raise StoreError(
                    f"there is no store {self._url}", hint="Check the path after sqlite:"
                )
            self._reader = connect(self._path, self._durability, mode="ro")
            migrate(self._reader, self._path, read_only=True)
            return
        self._lock.acquire()
        self._writer.open()
        self._reader = connect(self._path, self._durability, reader=True)
        database, *beside = database_files(self._path)
        self._whereabouts.note(database, DATABASE_HINT)
        for file in beside:
            self._whereabouts.note(file, BESIDE_HINT)

    def close(self) -> None:
        """Close both connections and give the lock back."""
        reader, self._reader = self._reader, None
        self._whereabouts.clear()
        try:
            if reader is not None:
                reader.close()  # first, for it would keep the write-ahead log in use
            self._writer.close()
        finally:
            self._lock.release()

    def verify(self) -> None:
        """Raise where the database, or what SQLite has beside it, was taken away."""
        self._whereabouts.verify()
        self._lock.verify()

    def append(self, batch: Sequence[Record]) -> bool:
        """Commit the batch."""
        return self._writer.append(batch)

    def settle(self) -> bool:
        """Move the newest records to their documents' places."""
        return self._writer.settle()

    @property
    def fold_due(self) -> bool:
        """Whether the write-ahead log is long enough to be folded into the database."""
        return self._writer.fold_due

    def fold(self) -> None:
        """Fold the write-ahead log in, as far as it goes when this begins."""
        fold(self._reading())

    def finish_folding(self) -> None:
        """Fold in what was committed meanwhile, so that the log begins anew."""
        self._writer.fold()

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Replace what the checkpoint stands for by it."""
        self._writer.checkpoint(checkpoint)

    def delete(self, document: str) -> bool:
        """Remove a document."""
        return self._writer.delete(document)

    def probe(self) -> None:
        """Commit something that changes nothing."""
        self._writer.probe()

    def load(self, document: str) -> Loaded:
        """Read and verify a document."""
        return sqlite_rows.load(self._reading(), document)

    def info(self, document: str) -> DocumentInfo | None:
        """Read a document's metadata."""
        return sqlite_rows.info(self._reading(), document)

    def names(self, prefix: str, after: str, limit: int) -> list[str]:
        """Read the documents' names."""
        return sqlite_rows.names(self._reading(), prefix, after, limit)

    def check(self, repair: bool) -> Iterator[Finding]:
        """Verify everything; repair on the connection that writes."""
        return self._checker(repair).run()

    def cut(self, damage: Damage) -> None:
        """Set the records from the damage's sequence on aside."""
        self._checker(repair=True).cut(damage)

    def _checker(self, repair: bool) -> Checker:
        return Checker(
            db=self._writer.ready if repair else self._reading,
            repairing=self._writer.repairing if repair else None,
            now_ms=self._clock.time_ms(),
        )

    def _reading(self) -> sqlite3.Connection:
        assert self._reader is not None
        return self._reader
