"""Histories over an imagined medium: the real tables and their rows, in virtual time.

Owns the database that outlives a life of the server: SQLite in memory, one copy per life. Its
promises are taken as they are: what a returned commit has written is there, what was refused is
not, and of a sync that failed nobody knows. Long work is done in place, after a while.
"""

import errno
import os
import sqlite3
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar, TypeVarTuple
from unittest.mock import patch

import anyio
import anyio.lowlevel
from sqlite_utils import Database

from crdtsync.history import forward, tables
from crdtsync.history.base import Kept, NewVersion
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.log import Inputs
from crdtsync.history.model import HistoryUnavailable, Version
from crdtsync.history.moments import Resolved, Wanted, find_moment
from crdtsync.history.service import Histories
from crdtsync.history.version_rows import versions
from crdtsync.history.worker import Workers
from crdtsync.limits import Limits
from crdtsync.store.base import Store
from crdtsync.store.side import SideDatabase
from tests.simulation.faults import Faults
from tests.simulation.kernel import Kernel, SimClock
from tests.simulation.thread import SimThread

__all__ = ["Archive", "SimDatabase", "SimHistories"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

ALL = 100_000


class Archive:
    """What histories are kept on, life after life, and who was told that something is there."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.faults = Faults(kernel, "archive")
        """The weather here; at the store there is another."""
        self.clients = kernel.stream("restoring clients")
        self.connection = _connected(_empty())
        self.versions: dict[int, Version] = {}
        """Those that somebody was told of,"""
        self.doubtful: set[int] = set()
        """and those that somebody may have removed."""
        self.damaged: set[str] = set()
        """Documents whose history was damaged: it may have begun anew."""
        self.worked: list[tuple[Callable[..., Any], tuple[Any, ...], Any]] = []
        """What was worked out: function, arguments and result."""
        self.asking: dict[int, int] = {}
        """In which life somebody waits for an answer."""
        self._life: SimDatabase | None = None

    def store(self) -> "SimDatabase":
        """Return the history store of a new life."""
        self._life = SimDatabase(self)
        return self._life

    def crash(self) -> None:
        """Go on with a copy of what is there; the dead life keeps its own."""
        life = self._life
        if life is not None:
            life.dead = True
        self.faults.dying = False
        self.connection = _connected(self.connection.serialize())

    def unplug(self) -> None:
        """Let the jobs of the dead life run out over its own copy."""
        if self._life is not None:
            self._life.unplug()

    def close(self) -> None:
        """Give back what it takes."""
        self.connection.close()

    # What is there

    def kept(self, document: str) -> Kept | None:
        """Return a history. Raises ``HistoryDamaged``."""
        return tables.load(Database(self.connection), document)

    def rows(self, document: str) -> list[Version]:
        """Return a document's versions, oldest first."""
        return versions(Database(self.connection), document, None, ALL, None)[::-1]

    def aside(self) -> list[tuple[str, str]]:
        """Return the documents whose history was set aside, with reasons."""
        query = "SELECT document, reason FROM histories WHERE aside_ms IS NOT NULL"
        return list(self.connection.execute(query))

    def damage(self, document: str) -> bool:
        """Change a byte of what is kept of a document; return whether there was one."""
        row = self.connection.execute(
            "SELECT p.rowid, p.data FROM parts p JOIN histories h ON h.id = p.history"
            " WHERE h.document = ? AND h.aside_ms IS NULL ORDER BY p.rowid DESC LIMIT 1",
            (document,),
        ).fetchone()
        if row is None or not row[1]:
            return False
        data = bytearray(row[1])
        data[len(data) // 2] ^= 0x55
        self.connection.execute("UPDATE parts SET data = ? WHERE rowid = ?", (data, row[0]))
        self.damaged.add(document)
        return True


@cache
def _empty() -> bytes:
    side = SideDatabase(None, tables.MIGRATIONS)
    side._open()
    return side._open_database().conn.serialize()


def _connected(image: bytes) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.deserialize(image)
    return connection


class SimDatabase(HistoryDatabase):
    """The history store of one life."""

    def __init__(self, archive: Archive) -> None:
        super().__init__(None)
        self._archive = archive
        self._connection = archive.connection
        self._sides: list[_Side] = []
        self.dead = False

    async def _opened(self) -> SideDatabase:
        async with self._opening:
            if self._side is None:
                side = _Side(self._archive, self._connection)
                self._sides.append(side)
                if self.dead:
                    side.die()
                self._side = await self._stack.enter_async_context(side)
            return self._side

    def unplug(self) -> None:
        """The life is over: whatever it still does reaches nothing."""
        for each in self._sides:
            each.die()

    async def add_versions(self, versions: Sequence[NewVersion], /) -> list[Version]:
        """Add versions, and take note of those that are acknowledged."""
        added = await super().add_versions(versions)
        if not self.dead:
            self._archive.versions.update((each.id, each) for each in added)
        return added

    async def remove_version(self, number: int, /) -> bool:
        """Remove a version, and take note that it may be gone."""
        if not self.dead:
            self._archive.doubtful.add(number)
        return await super().remove_version(number)


class _Side(SideDatabase):
    """The database's thread and transactions, which are refused as the weather says."""

    def __init__(self, archive: Archive, connection: sqlite3.Connection) -> None:
        super().__init__(None, tables.MIGRATIONS, shrinks=True)
        self._faults = archive.faults
        self._connection = connection
        self._thread = SimThread(archive.kernel, archive.faults)

    def die(self) -> None:
        """Have its jobs done at once, over what nobody reads any more."""
        queue: Any = self._thread._jobs
        queue.die()

    def _open(self) -> None:
        self._database = Database(self._connection)

    def _close(self) -> None:
        self._database = None

    def _within(self, begin: str, function: Callable[[Database, *Ts], T], *args: *Ts) -> T:
        writes = begin != "BEGIN"
        wrong = self._faults.goes_wrong(("full", "failing", "fsync") if writes else ("failing",))
        if wrong == "fsync" and self._faults.chance.random() < 0.5:
            super()._within(begin, function, *args)  # it is there, and nobody knows
        if wrong == "full":
            raise sqlite3.OperationalError("database or disk is full")
        if wrong is not None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super()._within(begin, function, *args)


class _Workers(Workers):
    """Long work in place, after a while; now and then its process is said to have died."""

    def __init__(self, archive: Archive) -> None:
        super().__init__()
        self._archive = archive
        self._failed = False

    async def __aenter__(self) -> "_Workers":
        return self

    async def __aexit__(self, *error: object) -> None: ...

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        faults, clients = self._archive.faults, self._archive.clients
        await anyio.sleep(10 * faults.delay_s())
        self._failed = not (self._failed or faults.calm) and faults.chance.random() < 0.1
        if self._failed:
            raise HistoryUnavailable("the process that worked it out died")
        with patch.object(forward, "fresh_client", lambda _: clients.randrange(1, 1 << 53)):
            result = function(*args)
        self._archive.worked.append((function, args, result))
        await anyio.sleep(10 * faults.delay_s())
        return result


class SimHistories(Histories):
    """Histories without threads and processes."""

    def __init__(self, store: Store, archive: Archive, limits: Limits, clock: SimClock) -> None:
        super().__init__(store, archive.store(), limits=limits, clock=clock)
        self.workers = _Workers(archive)

    async def _find(self, inputs: Inputs, wanted: Wanted) -> Resolved:
        await anyio.lowlevel.checkpoint()
        return Resolved(*find_moment(*inputs, wanted))
