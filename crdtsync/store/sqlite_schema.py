"""The SQLite database: how it is opened, its tables, and how older ones are brought up to date.

    documents    one row per document
    log          the records in the order of their commits, of all documents
    log_index    where a document's records are in the log, up to the row that marks says
    checkpoints  the newest checkpoint of each document
    marks        "indexed": the last row of the log that log_index knows
    damaged      what a repair has cut off

The rows of the log that are newer than the mark are found by reading them all, which is quick
because they are few. Indexing each row as it is committed would touch one page per document
and commit: with 100 documents 860 us of CPU per commit of 128 records, against 440 where the
index follows some thousand rows at a time (SQLite 3.40, one core, fsync).
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

from sqlite_utils import Database

from crdtsync.errors import StoreError
from crdtsync.store.base import Durability

__all__ = [
    "MIGRATIONS",
    "connect",
    "indexed_mark",
    "mark_indexed",
    "migrate",
    "touch",
    "transaction",
]

APPLICATION_ID = 0x63726474
"""``crdt`` in ASCII; the ``file`` command and we ourselves tell our databases by it."""

BUSY_TIMEOUT_S = 10.0
"""How long a commit waits where another program has the database locked."""

CACHED_STATEMENTS = 192
"""One per size of an append's statement, and all the others."""

JOURNAL_SIZE_LIMIT_BYTES = 16 * 1024 * 1024
"""A write-ahead log that grew larger is cut back to this when it is reset."""

_SYNCHRONOUS: dict[Durability, str] = {"fsync": "FULL", "os": "NORMAL", "none": "OFF"}


def connect(
    path: Path, durability: Durability, *, mode: str = "rw", reader: bool = False
) -> sqlite3.Connection:
    """Open the database; ``mode`` is SQLite's: ``ro``, ``rw``, or ``rwc`` to create it.

    A connection has autocommit on and may be used by any one thread at a time.
    """
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    if mode == "ro" and not path.with_name(path.name + "-wal").exists():
        # No one has the database open. As immutable it is read without -wal and -shm files,
        # which a reader would have to leave behind.
        uri += "&immutable=1"
    db = sqlite3.connect(
        uri,
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=CACHED_STATEMENTS,
    )
    try:
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA cell_size_check = ON")
        db.execute("PRAGMA temp_store = MEMORY")
        if mode != "ro":
            _set_durability(db, path, durability)
        if reader:
            db.execute("PRAGMA query_only = ON")
    except BaseException:
        db.close()
        raise
    return db


def _set_durability(db: sqlite3.Connection, path: Path, durability: Durability) -> None:
    (journal,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
    if journal != "wal":
        raise StoreError(
            f"{path} can't have a write-ahead log (its journal mode stays {journal!r})",
            hint="Put the database on a local disk.",
        )
    db.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[durability]}")
    db.execute(f"PRAGMA journal_size_limit = {JOURNAL_SIZE_LIMIT_BYTES}")
    if durability == "fsync":  # macOS: through the drive's own cache too; elsewhere no-ops
        db.execute("PRAGMA fullfsync = ON")
        db.execute("PRAGMA checkpoint_fullfsync = ON")


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Commit what the block does, or undo all of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # some failures have rolled back already
            db.execute("ROLLBACK")
        raise


def _create(db: Database) -> None:
    db.table("documents").create(
        {"id": int, "name": str, "created_ms": int, "checksum": int},
        pk="id",
        not_null=["name", "created_ms", "checksum"],
    ).create_index(["name"], unique=True)
    db.table("log").create(
        {
            "id": int,
            "document": int,
            "sequence": int,
            "time_ms": int,
            "author": str,
            "checksum": int,
            "update": bytes,
        },
        pk="id",
        not_null=["document", "sequence", "time_ms", "author", "checksum", "update"],
    )
    db.execute(
        "CREATE TABLE log_index (document INTEGER NOT NULL, sequence INTEGER NOT NULL,"
        " log_id INTEGER NOT NULL, PRIMARY KEY (document, sequence, log_id)) WITHOUT ROWID"
    )
    db.table("checkpoints").create(
        {
            "id": int,
            "document": int,
            "sequence": int,
            "time_ms": int,
            "updated_ms": int,
            "checksum": int,
            "state": bytes,
        },
        pk="id",
        not_null=["document", "sequence", "time_ms", "updated_ms", "checksum", "state"],
    ).create_index(["document"])
    db.table("marks").create(
        {"name": str, "value": int, "checksum": int},
        pk="name",
        not_null=["value", "checksum"],
    )
    db.table("damaged").create(
        {
            "id": int,
            "found_ms": int,
            "problem": str,
            "kind": str,
            "document": str,
            "sequence": int,
            "time_ms": int,
            "author": str,
            "checksum": int,
            "content": bytes,
        },
        pk="id",
    )
    mark_indexed(db.conn, 0)


MIGRATIONS: tuple[Callable[[Database], None], ...] = (_create,)
"""What brings a database from version n (its place in the tuple) to n + 1."""


def migrate(db: sqlite3.Connection, path: Path, *, read_only: bool = False) -> None:
    """Bring the database to the newest schema, each step in a transaction of its own.

    Raises ``StoreError`` for a schema that is newer than this code, for one that is older
    where nothing may be written, and for a database that is not ours.
    """
    version, newest = _version(db), len(MIGRATIONS)
    if version == 0 and db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
        raise StoreError(
            f"{path} is the database of another program",
            hint="Give crdtsync a file of its own.",
        )
    if version > newest:
        raise StoreError(
            f"{path} has schema {version}, and this version of crdtsync knows up to {newest}",
            hint="Use the version of crdtsync that wrote it, or a newer one.",
        )
    if read_only and version < newest:
        raise StoreError(
            f"{path} has schema {version}, and this version of crdtsync reads {newest}",
            hint="Start the server on it once: that brings it up to date.",
        )
    tools = Database(db, recursive_triggers=False, execute_plugins=False)
    for step in range(version, newest):
        with tools.atomic():
            MIGRATIONS[step](tools)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {step + 1}")


def touch(db: sqlite3.Connection) -> None:
    """Write something that changes nothing."""
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _version(db: sqlite3.Connection) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    return int(version) if application == APPLICATION_ID else 0


def indexed_mark(db: sqlite3.Connection) -> int:
    """Return the last row of the log that the index knows; 0 where the mark is damaged.

    0 is always right, only slow: then the whole log is read.
    """
    row = db.execute("SELECT value, checksum FROM marks WHERE name = 'indexed'").fetchone()
    if row is None or not isinstance(row[0], int) or _mark_checksum(row[0]) != row[1]:
        return 0
    return row[0]


def mark_indexed(db: sqlite3.Connection, log_id: int) -> None:
    """Note, in the caller's transaction, that the index knows the log up to this row."""
    db.execute(
        "INSERT OR REPLACE INTO marks (name, value, checksum) VALUES ('indexed', ?, ?)",
        (log_id, _mark_checksum(log_id)),
    )


def _mark_checksum(value: int) -> int:
    return crc32(b"indexed %d" % value)
