"""A small database beside the store, for what a server remembers that is no document.

Owns its file, its thread and its schema's version. Any process may open it while a server has
it open: the command line writes, and the server notices.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, TypeVarTuple

from sqlite_utils import Database

from crdtsync.errors import StoreError
from crdtsync.store.failures import FAILURES, store_error
from crdtsync.store.thread import StoreThread
from crdtsync.store.whereabouts import Whereabouts, database_files

__all__ = ["SideDatabase"]

BUSY_TIMEOUT_S = 5.0
"""How long another process's transaction is waited for."""
JOURNAL_BYTES = 4 * 1024 * 1024
"""What is left of the write-ahead log's file after a large transaction."""
PLACE_HINT = (
    "Move it back where it was moved, or stop the server, which makes a new one at its start."
)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class SideDatabase:
    """A SQLite database at ``path``, in memory where that is ``None``. Use it as ``async with``."""

    def __init__(
        self,
        path: Path | None,
        migrations: Sequence[str],
        *,
        shrinks: bool = False,
        read_only: bool = False,
    ) -> None:
        """Prepare it; each migration is a script that brings the schema one version on.

        One that ``shrinks`` gives back the room of what is deleted, and overwrites it; whoever
        makes the file says so. With ``read_only`` nothing is written, not even beside the file,
        and a schema that is not the newest is refused.
        """
        self._path = path
        self._migrations = migrations
        self._shrinks = shrinks
        self._read_only = read_only
        self._thread = StoreThread("crdtsync-side")
        self._database: Database | None = None
        self._whereabouts = Whereabouts()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._thread)
            stack.push_async_callback(self._thread.run, self._close)
            await self._guarded("open", self._open)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def call(self, function: Callable[[Database, *Ts], T], *args: *Ts) -> T:
        """Run ``function(database, *args)`` in one transaction, on the database's thread.

        Raises ``StoreError`` where the database fails, and what the function raises.
        """
        return await self._guarded("use", self._transact, function, *args)

    async def read(self, function: Callable[[Database, *Ts], T], *args: *Ts) -> T:
        """Run ``function(database, *args)`` on one state of the database, writing nothing.

        It waits for no other process. Raises what ``call`` raises.
        """
        return await self._guarded("read", self._within, "BEGIN", function, *args)

    async def shrink(self, pages: int) -> bool:
        """Give back up to so many pages that hold nothing; return whether that was all."""
        return await self._guarded("shrink", self._shrink, pages)

    async def version(self) -> int:
        """Return a number that changes when another process has committed something."""
        return await self._guarded("read", self._data_version)

    async def _guarded(self, operation: str, call: Callable[[*Ts], T], *args: *Ts) -> T:
        try:
            return await self._thread.run(call, *args)
        except StoreError:
            raise
        except FAILURES as error:
            path = self._path or Path(":memory:")
            raise store_error(operation, path, error, store=False) from error

    def _open(self) -> None:
        if self._read_only and self._path is not None:
            self._open_to_read(self._path)
            return
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self._path or ":memory:",
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        self._database = Database(connection)
        if self._shrinks:  # before the first page is written
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        self._transact(self._migrate)
        if self._path is not None:
            for file in database_files(self._path.resolve()):
                self._whereabouts.note(file, PLACE_HINT)

    def _open_to_read(self, path: Path) -> None:
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            raise StoreError(
                f"can't read {path}: {error.strerror}",
                hint="Run this as a user that may read it.",
            ) from error
        wal = path.with_name(f"{path.name}-wal")
        uri = f"{path.absolute().as_uri()}?mode=ro"
        if not wal.exists() or not wal.stat().st_size:
            uri += "&immutable=1"  # nobody writes: it is read without files beside it
        connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        self._database = Database(connection)
        if self._within("BEGIN", self._version) < len(self._migrations):
            raise StoreError(
                f"{path} was written by an older crdtsync",
                hint="Start the server on it once: that brings it up to date.",
            )

    def _version(self, database: Database) -> int:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > len(self._migrations):
            raise StoreError(
                f"{self._path} was written by a newer crdtsync", hint="Update crdtsync."
            )
        return int(version)

    def _migrate(self, database: Database) -> None:
        version = self._version(database)
        for script in self._migrations[version:]:
            for statement in script.split(";"):
                if statement.strip():
                    database.execute(statement)
        database.execute(f"PRAGMA user_version = {len(self._migrations)}")

    def _transact(self, function: Callable[[Database, *Ts], T], *args: *Ts) -> T:
        self._whereabouts.verify()
        return self._within("BEGIN" if self._read_only else "BEGIN IMMEDIATE", function, *args)

    def _within(self, begin: str, function: Callable[[Database, *Ts], T], *args: *Ts) -> T:
        database = self._open_database()
        database.execute(begin)
        try:
            result = function(database, *args)
            database.execute("COMMIT")
        except BaseException:
            if database.conn.in_transaction:
                database.execute("ROLLBACK")
            raise
        return result

    def _shrink(self, pages: int) -> bool:
        database = self._open_database()
        (before,) = database.execute("PRAGMA freelist_count").fetchone()
        # A script, which runs to its end: one page is all that a single step of it gives back.
        database.conn.executescript(f"PRAGMA incremental_vacuum({pages})")
        (free,) = database.execute("PRAGMA freelist_count").fetchone()
        done = not free or free >= before  # a file that was not made to shrink gives nothing back
        if done:  # the file ends where the log's last page says so
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return done

    def _data_version(self) -> int:
        (version,) = self._open_database().execute("PRAGMA data_version").fetchone()
        return int(version)

    def _open_database(self) -> Database:
        if self._database is None:
            raise StoreError(f"{self._path} is not open")
        return self._database

    def _close(self) -> None:
        database, self._database = self._database, None
        self._whereabouts.clear()
        if database is not None:
            database.conn.close()
