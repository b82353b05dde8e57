"""The writing side of the SQLite store: commits, on the one connection that writes.

Owns what is known of documents without asking the database: each one's row and last sequence.
``append`` is the hot path. Python's sqlite3 gives up the GIL and takes it back at every step of
a statement, which under load waits for the event loop each time, so a commit is one step: one
INSERT of many rows with autocommit on, which SQLite makes a transaction of its own.

After a failure of the database the connection is given up, because after a failed fsync
nothing can be said of the pages that it has cached. A new one is opened for the next operation,
and what the failed commit may have left, contrary to its report, is removed first.
"""

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from crdtsync.errors import StoreDamaged, StoreError
from crdtsync.store.base import Checkpoint, Durability, Record
from crdtsync.store.failures import out_of_order
from crdtsync.store.order import admit_checkpoint
from crdtsync.store.sqlite_rows import (
    TABLES,
    checkpoint_checksum,
    document_checksum,
    record_seed,
)
from crdtsync.store.sqlite_schema import (
    connect,
    fold,
    migrate,
    touch,
    transaction,
)
from crdtsync.store.sqlite_tail import COLUMNS, Tail

__all__ = ["Writer"]

logger = logging.getLogger("crdtsync.store")

MAX_STATEMENT_ROWS = 128
"""Rows of one INSERT: 896 values, below the 999 that SQLite took before 3.32."""

FOLD_PAGES = 2_000
"""Pages of the write-ahead log above which it is folded into the database."""

PAGE_BYTES = 4096
COMMIT_PAGES = 3
"""What a small commit adds to the write-ahead log."""

MAX_KNOWN_DOCUMENTS = 65_536
"""Documents whose last sequence is kept in memory; above, all are forgotten and asked anew."""

_INSERT = [
    f"INSERT INTO tail ({COLUMNS}) VALUES " + ",".join(["(?,?,?,?,?,?,?)"] * rows)
    for rows in range(MAX_STATEMENT_ROWS + 1)
]
_VALUES = 7

_LAST_SEQUENCE = (
    "SELECT ifnull(max(sequence), 0) FROM ("
    "SELECT max(sequence) AS sequence FROM checkpoints WHERE document = :id"
    " UNION ALL SELECT max(sequence) FROM log WHERE document = :id"
    " UNION ALL SELECT max(sequence) FROM tail WHERE document = :id)"
)


@dataclass(slots=True)
class _Known:
    """What need not be asked of a document."""

    id: int
    seed: int
    last: int
    stored: bool
    """Whether the document has its row already."""


class Writer:
    """Everything that changes the database."""

    def __init__(self, path: Path, durability: Durability) -> None:
        self._path = path
        self._durability: Durability = durability
        self._db: sqlite3.Connection | None = None
        self._opened = False
        self._known: dict[str, _Known] = {}
        self._last_id = 0
        self._last_document = 0
        self._tail = Tail()
        self._wal_pages = 0  # about, since the write-ahead log was folded in

    def open(self) -> None:
        """Create or migrate the database, and settle what the last process left in the tail."""
        db = self._db = self._connect(create=True)
        migrate(db, self._path)
        (last,) = db.execute("SELECT max(id) FROM tail").fetchone()
        self._last_id = last or 0
        (last,) = db.execute("SELECT max(id) FROM documents").fetchone()
        self._last_document = last or 0
        self._opened = True
        self._tail.move_all(self._writing)

    def close(self) -> None:
        """Settle what is left, fold the write-ahead log into the database, and close it."""
        db, self._db = self._db, None
        opened, self._opened = self._opened, False
        self._known.clear()
        if db is None:
            return
        try:
            if opened:
                self._db = db
                self._tail.move_all(self._writing)
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self._db = None
            db.close()

    def append(self, batch: Sequence[Record]) -> bool:
        """Commit the batch; return whether ``settle`` has work."""
        db = self.ready()
        if len(self._known) > MAX_KNOWN_DOCUMENTS:
            self._known.clear()
        values, lasts, fresh = self._prepare(db, batch)
        try:
            if fresh or len(batch) > MAX_STATEMENT_ROWS:
                with transaction(db):
                    self._insert(db, values, fresh)
            else:
                db.execute(_INSERT[len(batch)], values)
        except (sqlite3.Error, MemoryError):
            self._give_up()
            raise
        known = self._known
        for name, sequence in lasts.items():
            known[name].last = sequence
        for record in fresh:
            known[record.document].stored = True
        self._last_document += len(fresh)
        self._last_id += len(batch)
        size = sum([len(record.update) for record in batch])
        self._tail.grow(len(batch), size)
        self._wal_pages += COMMIT_PAGES + size // PAGE_BYTES
        return self._tail.due

    @property
    def fold_due(self) -> bool:
        """Whether the write-ahead log is long enough to be folded into the database."""
        return self._wal_pages >= FOLD_PAGES

    def _prepare(
        self, db: sqlite3.Connection, batch: Sequence[Record]
    ) -> tuple[list[object], dict[str, int], list[Record]]:
        """Return the rows' values, each document's last sequence, and new documents' first ones."""
        known = self._known
        values: list[object] = []
        lasts: dict[str, int] = {}
        fresh: list[Record] = []
        log_id = self._last_id
        for record in batch:
            name, sequence, time_ms = record.document, record.sequence, record.time_ms
            document = known.get(name) or self._learn(db, name)
            last = lasts.get(name, document.last)
            if sequence != last + 1:
                raise out_of_order(name, last, sequence)
            if not document.stored and name not in lasts:
                fresh.append(record)
                document.id = self._last_document + len(fresh)
            lasts[name] = sequence
            log_id += 1
            author, update = record.author, record.update
            # record_checksum, without the call
            head = b"%d %d %b\0" % (sequence, time_ms, author.encode())
            checksum = crc32(update, crc32(head, document.seed))
            values += (log_id, document.id, sequence, time_ms, author, checksum, update)
        return values, lasts, fresh

    def _insert(
        self, db: sqlite3.Connection, values: list[object], fresh: Sequence[Record]
    ) -> None:
        for place, record in enumerate(fresh, 1):
            _insert_document(db, self._last_document + place, record.document, record.time_ms)
        for start in range(0, len(values), _VALUES * MAX_STATEMENT_ROWS):
            rows = values[start : start + _VALUES * MAX_STATEMENT_ROWS]
            db.execute(_INSERT[len(rows) // _VALUES], rows)

    def settle(self) -> bool:
        """Move some records from the tail to the log; return whether there are more."""
        return self._tail.move(self._writing, self._last_id)

    def fold(self) -> None:
        """Fold the write-ahead log into the database."""
        self._wal_pages = 0  # also where that fails: it is tried again when as much has come
        fold(self.ready())

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Insert the checkpoint, read it back, and drop what it stands for."""
        name, sequence = checkpoint.document, checkpoint.sequence
        with self._writing() as db:
            document = self._known.get(name) or self._learn(db, name)
            older, older_ms = db.execute(
                "SELECT max(sequence), updated_ms FROM checkpoints WHERE document = ?",
                (document.id,),
            ).fetchone()
            admit_checkpoint(checkpoint, last=document.last, older=older or 0)
            if not document.stored:
                document.id = self._last_document + 1
                _insert_document(db, document.id, name, checkpoint.time_ms)
            arguments = {"id": document.id, "sequence": sequence}
            updated = db.execute(
                "SELECT time_ms FROM log WHERE document = :id AND sequence = :sequence UNION ALL"
                " SELECT time_ms FROM tail WHERE document = :id AND sequence = :sequence",
                arguments,
            ).fetchone()
            if updated is not None:
                (updated_ms,) = updated
            else:
                updated_ms = older_ms if older == sequence else checkpoint.time_ms
            row_id = _insert_checkpoint(db, document.id, checkpoint, updated_ms)
            db.execute(
                "DELETE FROM checkpoints WHERE document = ? AND id <> ?", (document.id, row_id)
            )
            for table in TABLES:
                db.execute(
                    f"DELETE FROM {table} WHERE document = :id AND sequence <= :sequence",
                    arguments,
                )
        self._wal_pages += COMMIT_PAGES + len(checkpoint.state) // PAGE_BYTES
        document.last = max(document.last, sequence)
        document.stored = True
        self._last_document = max(self._last_document, document.id)

    def delete(self, name: str) -> bool:
        """Remove a document and everything of it."""
        with self._writing() as db:
            row = db.execute("SELECT id FROM documents WHERE name = ?", (name,)).fetchone()
            if row is None:
                return False
            for table in (*TABLES, "checkpoints"):
                db.execute(f"DELETE FROM {table} WHERE document = ?", row)
            db.execute("DELETE FROM damaged WHERE document = ?", (name,))
            db.execute("DELETE FROM documents WHERE id = ?", row)
        self._known.pop(name, None)
        return True

    def probe(self) -> None:
        """Commit something that changes nothing."""
        with self._writing() as db:
            touch(db)

    @contextmanager
    def repairing(self) -> Iterator[sqlite3.Connection]:
        """Give out a transaction for a repair, and forget what it may make untrue."""
        with self._writing() as db:
            yield db
        self._known.clear()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        db = self.ready()
        try:
            with transaction(db):
                yield db
        except StoreError:
            raise  # refused by us, not by the database
        except (sqlite3.Error, MemoryError):
            self._give_up()
            raise

    def _connect(self, *, create: bool = False) -> sqlite3.Connection:
        return connect(self._path, self._durability, mode="rwc" if create else "rw")

    def ready(self) -> sqlite3.Connection:
        """Return the connection; after a failure a new one, rid of what had failed."""
        if self._db is None:
            if not self._opened:
                raise StoreError(f"the database {self._path} is closed")
            db = self._connect()
            try:
                with transaction(db):
                    db.execute("DELETE FROM tail WHERE id > ?", (self._last_id,))
                    db.execute("DELETE FROM documents WHERE id > ?", (self._last_document,))
                    # Overwrites what the failed commit left in the write-ahead log, which a
                    # crash would else bring back.
                    touch(db)
            except BaseException:
                db.close()
                raise
            self._db = db
        return self._db

    def _give_up(self) -> None:
        """Close the connection that has failed, and try at once to have a sound one."""
        db, self._db = self._db, None
        self._known.clear()
        if db is not None:
            db.close()
        try:
            self.ready()
        except (sqlite3.Error, StoreError) as error:
            logger.warning("the database is not back yet: %s", error)  # the next call tries again

    def _learn(self, db: sqlite3.Connection, name: str) -> _Known:
        """Ask the database for a document's row and last sequence."""
        if not name:
            raise StoreError("a document needs a name", hint="Refuse the empty name earlier.")
        document = _Known(id=0, seed=record_seed(name), last=0, stored=False)
        row = db.execute("SELECT id FROM documents WHERE name = ?", (name,)).fetchone()
        if row is not None:
            document.id, document.stored = row[0], True
            (document.last,) = db.execute(_LAST_SEQUENCE, {"id": document.id}).fetchone()
        self._known[name] = document
        return document


def _insert_document(db: sqlite3.Connection, row_id: int, name: str, created_ms: int) -> None:
    db.execute(
        "INSERT INTO documents (id, name, created_ms, checksum) VALUES (?, ?, ?, ?)",
        (row_id, name, created_ms, document_checksum(name, created_ms)),
    )


def _insert_checkpoint(
    db: sqlite3.Connection, document: int, checkpoint: Checkpoint, updated_ms: int
) -> int:
    """Insert a checkpoint and read it back; return its row."""
    name, sequence, time_ms = checkpoint.document, checkpoint.sequence, checkpoint.time_ms
    checksum = checkpoint_checksum(name, sequence, time_ms, updated_ms, checkpoint.state)
    row = (document, sequence, time_ms, updated_ms, checksum, checkpoint.state)
    cursor = db.execute(
        "INSERT INTO checkpoints (document, sequence, time_ms, updated_ms, checksum, state)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        row,
    )
    stored = db.execute(
        "SELECT document, sequence, time_ms, updated_ms, checksum, state FROM checkpoints"
        " WHERE id = ?",
        (cursor.lastrowid,),
    ).fetchone()
    if stored != row:
        raise StoreDamaged(
            f"checkpoint {sequence} of document {name!r} does not read back as it was written",
            document=name,
            sequence=sequence,
            hint="Check the device that the database is on.",
        )
    assert cursor.lastrowid is not None
    return cursor.lastrowid
