"""One process owns a store: a lock file beside it, and the owner's process id for people."""

import errno
import logging
import os
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from crdtsync.errors import StoreError, StoreLocked
from crdtsync.store.whereabouts import UNKNOWN, inode_of

__all__ = ["StoreLock", "speak_for"]

logger = logging.getLogger("crdtsync.store")


_spoken_for = 0


def speak_for(pid: int) -> None:
    """Name another process as the owner of this one's stores: the one that is to be ended."""
    global _spoken_for
    _spoken_for = pid


class StoreLock:
    """An exclusive lock that ends with the process, however that ends.

    ``base`` with ``.lock`` is the lock, with ``.pid`` the owner's process id (a file of its
    own, because a locked file can't be read everywhere).
    """

    def __init__(self, base: Path, *, url: str) -> None:
        self._url = url
        self._owner = base.with_name(base.name + ".pid")
        self._path = base.with_name(base.name + ".lock")
        self._lock = self._new_lock()
        self._inode: int | None = None
        self._removed: list[FileLock] = []
        """Locks whose files are gone; held on to, for they may be found again."""

    def _new_lock(self) -> FileLock:
        # Taken and released on the store's thread, not the one that makes the object.
        return FileLock(self._path, thread_local=False)

    def acquire(self) -> None:
        """Take the lock; raise ``StoreLocked`` at once where another process has it."""
        folder = self._owner.parent
        if not folder.is_dir():  # which filelock would create
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            if not self._path.exists():  # for filelock somebody who is just removing it
                raise StoreError(
                    f"can't make the lock {self._path}", hint=f"Choose another place than {folder}."
                ) from None
            owner = self._read_owner()
            by = f"process {owner}" if owner else "another process"
            raise StoreLocked(
                f"the store {self._url} is in use by {by}",
                hint=f"Stop {by if owner else 'it'}, or choose another store: each one serves one"
                " process.",
            ) from None
        self._inode = inode_of(self._path)
        try:
            self._owner.write_text(f"{_spoken_for or os.getpid()}\n")
        except OSError as error:  # only a nicer message depends on it
            logger.warning("can't note the store's owner in %s: %s", self._owner, error)

    def verify(self) -> None:
        """Take the lock anew where its file was removed: another process would not find it.

        Raises ``StoreLocked`` where one has it by now.
        """
        found = inode_of(self._path)
        # A lock that is only a marker, where a file system knows no other, is not held open, and
        # may get another number there.
        marker = isinstance(self._lock, SoftFileLock)
        if found is not None and (marker or found in (self._inode, UNKNOWN)):
            return
        if self._lock.is_locked:
            self._removed.append(self._lock)
            self._lock = self._new_lock()
        self.acquire()
        logger.warning("%s was removed while it was in use: it was made anew", self._path)

    def release(self) -> None:
        """Give the lock back; does nothing where it is not held."""
        for removed in self._removed:
            removed.release()
        self._removed.clear()
        if not self._lock.is_locked:
            return
        try:
            self._owner.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("can't remove %s: %s", self._owner, error)
        self._lock.release()

    def _read_owner(self) -> int:
        try:
            return int(self._owner.read_text())
        except (OSError, ValueError):
            return 0
