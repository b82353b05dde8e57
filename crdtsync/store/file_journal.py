"""The journal: one file that every commit is appended to, so that a commit is one fsync.

Owns the journal's file. After a failed write or fsync its end is in doubt: the file is opened
anew and cut back to the last commit that succeeded, before anything is written again.
"""

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from crdtsync.store.file_disk import BINARY, sync, sync_folder, write_all
from crdtsync.store.file_format import (
    FRAME_BYTES,
    JOURNAL_HEADER,
    frame,
    frame_at,
    interrupted,
    next_frame,
    read_entries,
)

__all__ = ["Journal", "Replay", "journals_in", "read_journal"]

logger = logging.getLogger("crdtsync.store")

_NAME = re.compile(r"journal-(\d{8,})-[0-9a-f]{16}")


class Journal:
    """The journal that is being written."""

    def __init__(self, folder: Path, number: int, *, commit_sync: bool, durable: bool) -> None:
        # The random part is what the frames' checksums start from, so that bytes that a client
        # sent are never taken for a commit, whatever happens to the file.
        self.path = folder / f"journal-{number:08d}-{os.urandom(8).hex()}"
        self.number = number
        self.size = len(JOURNAL_HEADER)
        self._seed = _seed(self.path)
        self._sync = commit_sync
        self._descriptor = os.open(
            self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | BINARY, 0o666
        )
        try:
            write_all(self._descriptor, JOURNAL_HEADER)
            if durable:
                sync(self._descriptor)
                sync_folder(folder)
        except BaseException:
            self.close()
            self.path.unlink(missing_ok=True)
            raise

    def append(self, payload: bytes, *, synced: bool = False) -> None:
        """Commit a payload: all of it, or, where this raises, nothing.

        With ``synced`` it is on the medium then, whether commits are or not.
        """
        if self._descriptor < 0:
            self._restore()
        data = frame(payload, self._seed)
        try:
            write_all(self._descriptor, data)
            if self._sync or synced:
                sync(self._descriptor)
        except OSError:
            self.close()
            try:
                self._restore()
            except OSError as error:  # the next append tries again
                logger.warning("the journal %s is not back yet: %s", self.path, error)
            raise
        self.size += len(data)

    def close(self) -> None:
        """Close the file; harmless where it is closed."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _restore(self) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | BINARY)
        try:
            os.ftruncate(descriptor, self.size)
            if self._sync:
                sync(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor


@dataclass(frozen=True, slots=True)
class Replay:
    """What a journal holds."""

    entries: tuple[tuple[str, bytes], ...]
    """Documents and encoded records, in the order of the commits."""
    end: int
    """Where the last sound commit ends."""
    torn_bytes: int
    """What follows there: a commit that was interrupted, and so never acknowledged."""
    lost_bytes: int
    """Bytes that are no sound commit, nor the beginning of one: damage."""


def read_journal(path: Path, data: bytes, start: int = 0) -> Replay:
    """Read the commits in a journal's bytes, from ``start`` on (an earlier ``Replay.end``)."""
    seed = _seed(path)
    entries: list[tuple[str, bytes]] = []
    lost = 0
    if not start:
        start = len(JOURNAL_HEADER)
        if not data.startswith(JOURNAL_HEADER) and len(data) > start:
            lost += start
    position = end = min(start, len(data))
    while position < len(data):
        payload = frame_at(data, position, seed)
        if payload is not None:
            entries += read_entries(payload)
            position = end = position + FRAME_BYTES + len(payload)
            continue
        if interrupted(data, position, seed):
            return Replay(tuple(entries), end, len(data) - end, lost)
        following = next_frame(data, position + 1, seed)
        lost += (len(data) if following is None else following) - position
        position = len(data) if following is None else following
    return Replay(tuple(entries), end, 0, lost)


def journals_in(folder: Path) -> list[Path]:
    """Return the journals of a store, oldest first."""
    found = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    return [path for match, path in sorted(found, key=lambda pair: int(pair[0][1]))]


def _seed(path: Path) -> int:
    return crc32(path.name.encode())
