"""SQLite on a real file, in virtual time: lives end between calls, and the file is what is left.

Owns the folder with one database per life. SQLite's own promises are taken as they are: what a
returned commit has written is there, and a full or failing disk refuses before anything is.
"""

import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from crdtsync.clock import ManualClock
from crdtsync.store import threaded
from crdtsync.store.base import Checkpoint, Record, Store
from crdtsync.store.sqlite import SQLiteStore
from crdtsync.store.thread import StoreThread
from tests.simulation.faults import Faults
from tests.simulation.kernel import Kernel
from tests.simulation.thread import SimThread

__all__ = ["DatabaseMedium"]

_MEMORY = "/dev/shm"


class DatabaseMedium:
    """The database's file, copied at each death as the dead process left it."""

    kind = "sqlite"

    def __init__(self, faults: Faults, kernel: Kernel) -> None:
        self._faults = faults
        self._kernel = kernel
        self._folder = Path(
            tempfile.mkdtemp(prefix="simulation-", dir=_MEMORY if os.path.isdir(_MEMORY) else None)
        )
        self._lives = 0
        self._path = self._new()

    def _new(self) -> Path:
        self._lives += 1
        folder = self._folder / str(self._lives)
        folder.mkdir()
        return folder / "store.db"

    def _copied(self) -> Path:
        path = self._new()
        for end in ("", "-wal"):
            source = self._path.with_name(self._path.name + end)
            if source.exists():
                shutil.copyfile(source, path.with_name(path.name + end))
        return path

    def store(self) -> Store:
        """Return the store of a new life."""
        return _Database(self._path, self._faults, self._kernel)

    def crash(self, *, power: bool) -> None:
        """Go on with a copy of what is there; the dead life keeps its own."""
        self._path = self._copied()

    def buried(self) -> None:
        """Nothing more comes of what died."""

    def copy(self) -> Store:
        """Return a store over a copy, where nothing fails."""
        kernel = Kernel(0)
        faults = Faults(kernel)
        faults.calm = True
        return _Database(self._copied(), faults, kernel)

    def close(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self._folder)


class _Database(SQLiteStore):
    """The SQLite store of one life."""

    def __init__(self, path: Path, faults: Faults, kernel: Kernel) -> None:
        self.kernel = kernel

        def thread(_: str) -> StoreThread:
            return SimThread(kernel, faults)

        with patch.object(threaded, "StoreThread", thread):
            super().__init__(path, durability="fsync", clock=ManualClock())
        backend: Any = self._backend
        self._backend = _Failing(backend, faults)  # type: ignore[assignment]

    def unplug(self) -> None:
        """The life is over: its jobs run out over its own copy."""
        for each in (self._writer, self._reader):
            queue: Any = each._jobs
            queue.die()


class _Failing:
    """A backend whose writes are refused as the weather says."""

    def __init__(self, backend: Any, faults: Faults) -> None:
        self._backend = backend
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def _refuse(self) -> None:
        wrong = self._faults.goes_wrong()
        if wrong == "full":
            raise sqlite3.OperationalError("database or disk is full")
        if wrong is not None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def append(self, batch: Sequence[Record]) -> bool:
        self._refuse()
        settle: bool = self._backend.append(batch)
        return settle

    def settle(self) -> bool:
        self._refuse()
        more: bool = self._backend.settle()
        return more

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        self._refuse()
        self._backend.checkpoint(checkpoint)
