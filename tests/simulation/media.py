"""Which media there are; and the real file store on a file system in memory.

Owns the seams: for the length of a story the file store finds this file system under ``os``, its
lock is always free, and its thread is the kernel's queue.
"""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from crdtsync.clock import ManualClock
from crdtsync.store import file_disk, file_journal, file_log, threaded
from crdtsync.store.base import Store
from crdtsync.store.file_log import FileLog
from crdtsync.store.thread import StoreThread
from crdtsync.store.threaded import ThreadedStore
from crdtsync.store.whereabouts import Whereabouts
from tests.simulation.database import DatabaseMedium
from tests.simulation.faults import Faults
from tests.simulation.filesystem import DiskPath, FileSystem, os_of
from tests.simulation.kernel import Kernel
from tests.simulation.memory import MemoryMedium
from tests.simulation.server import Medium
from tests.simulation.thread import SimThread

__all__ = ["medium"]

JOURNAL_BYTES = 2_000
"""So that journals are begun and settled all the time."""


def medium(kind: str, faults: Faults, kernel: Kernel) -> Medium:
    """Return a new medium for a store."""
    if kind == "memory":
        return MemoryMedium(faults)
    return FileMedium(faults, kernel) if kind == "file" else DatabaseMedium(faults, kernel)


class FileMedium:
    """The file store's folder."""

    kind = "file"

    def __init__(self, faults: Faults, kernel: Kernel) -> None:
        self._faults = faults
        self._kernel = kernel
        self._system = FileSystem(faults)
        self._patches = [
            patch.object(file_log, "StoreLock", _Lock),
            patch.object(file_log, "Whereabouts", _Here),
            patch.object(file_log, "JOURNAL_BYTES", JOURNAL_BYTES),
        ]
        for each in self._patches:
            each.start()
        self._mount(self._system)

    @staticmethod
    def _mount(system: FileSystem) -> None:
        DiskPath.system = system
        file_disk.os = file_journal.os = os_of(system)

    def store(self) -> Store:
        """Return the store of a new life."""
        return _Files(self._system, self._faults, self._kernel)

    def crash(self, *, power: bool) -> None:
        """Let a new file system have what the machine has kept."""
        dead, self._system = self._system, self._system.copy(self._faults)
        self._system.synced = _twins(dead, self._system)
        self._system.crash(power=power)
        dead.unplugged = True
        self._mount(dead)  # until the dead life is buried

    def buried(self) -> None:
        """What follows is for the living."""
        self._mount(self._system)

    def copy(self) -> Store:
        """Return a store over a copy of the folder, where nothing fails."""
        kernel = Kernel(0)
        faults = Faults(kernel)
        faults.calm = True
        return _Look(self._system.copy(faults), faults, kernel, back=self.buried)

    def close(self) -> None:
        """Give the file store the real machine back."""
        import os

        for each in self._patches:
            each.stop()
        file_disk.os = file_journal.os = os


def _twins(dead: FileSystem, living: FileSystem) -> dict[str, dict[str, Any]]:
    """Return the synced names of a copied file system, of its own files."""
    twins = {id(file): living.files[path] for path, file in dead.files.items()}
    return {
        folder: {name: twins.get(id(file)) or file.copy() for name, file in names.items()}
        for folder, names in dead.synced.items()
    }


class _Lock:
    """A store's lock, which nobody else has."""

    def __init__(self, _: object, *, url: str) -> None:
        pass

    def acquire(self) -> None: ...

    def verify(self) -> None: ...

    def release(self) -> None: ...


class _Here(Whereabouts):
    """Files that nobody takes away; they are on no disk that could be looked at."""

    def note(self, path: object, hint: str) -> None: ...

    def note_folder(self, path: object, hint: str) -> None: ...


class _Files(ThreadedStore):
    """The file store of one life."""

    def __init__(self, system: FileSystem, faults: Faults, kernel: Kernel) -> None:
        path: Any = DiskPath("/store")
        backend = FileLog(
            path, url="file:/store", durability="fsync", read_only=False, clock=ManualClock()
        )

        def thread(_: str) -> StoreThread:
            return SimThread(kernel, faults)

        with patch.object(threaded, "StoreThread", thread):
            super().__init__(
                "file", path, backend, durability="fsync", read_only=False, own_reader=False
            )

    def unplug(self) -> None:
        """The life is over: whatever it still does reaches nothing."""
        queue: Any = self._writer._jobs
        queue.die()


class _Look(_Files):
    """A store for looking into a copy; the real one's file system is back behind it."""

    def __init__(
        self, system: FileSystem, faults: Faults, kernel: Kernel, *, back: Callable[[], None]
    ) -> None:
        self.kernel = kernel
        self._copy = system
        self._back = back
        super().__init__(system, faults, kernel)

    async def __aenter__(self) -> "_Look":
        FileMedium._mount(self._copy)
        await super().__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        try:
            await super().__aexit__(*error)
        finally:
            self._back()
