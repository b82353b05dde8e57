"""The SQLite database: how it is opened, its tables, and how older ones are brought up to date.

    documents    one row per document
    log          each document's records, side by side
    tail         the newest records of all documents, in the order of their commits
    checkpoints  the newest checkpoint of each document
    damaged      what a repair has cut off

A commit appends to ``tail``, and some thousand rows at a time move to ``log``. Each kind of
work so touches few pages: a commit the last of ``tail``; moving, loading, and a checkpoint that
removes what it stands for, those of one document. Measured with 100 documents, commits of 64
records and a checkpoint every 2,000 records, CPU per record: 8 us so; 21 us with all records in
the order of their commits and an index over them; 23 us with only ``log`` (SQLite 3.40, fsync).
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

from crdtsync.errors import StoreError
from crdtsync.store.base import Durability

__all__ = [
    "MIGRATIONS",
    "connect",
    "fold",
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

MOST_WAL_PAGES = 16 * 1024
"""Where SQLite itself would fold the write-ahead log in, in the middle of a commit."""

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
    db.execute(f"PRAGMA wal_autocheckpoint = {MOST_WAL_PAGES}")
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
    db.table("tail").create(
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
    # The id, a row's in the tail, is in the key so that a row that strayed to a sequence where
    # another belongs can't keep that one out.
    db.execute(
        "CREATE TABLE log (id INTEGER NOT NULL, document INTEGER NOT NULL,"
        " sequence INTEGER NOT NULL, time_ms INTEGER NOT NULL, author TEXT NOT NULL,"
        ' checksum INTEGER NOT NULL, "update" BLOB NOT NULL,'
        " PRIMARY KEY (document, sequence, id)) WITHOUT ROWID"
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
    if read_only and version == 0:
        raise StoreError(
            f"{path} holds nothing",
            hint="Was it copied without its -wal? Copy the two together, or by sqlite3's .backup.",
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


def fold(db: sqlite3.Connection) -> None:
    """Copy what is in the write-ahead log to the database, as far as nobody reads it.

    The log's next writer then begins it anew. Commits on another connection go on meanwhile.
    """
    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


def touch(db: sqlite3.Connection) -> None:
    """Write something that changes nothing."""
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _version(db: sqlite3.Connection) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    return int(version) if application == APPLICATION_ID else 0
