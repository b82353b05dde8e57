"""The note: which document native code has now, in a file that outlives the process.

A mapped page of a file: taking note is two stores into memory, about 0.2 us, and what was stored
is in the file however the process ends. It is not synced: a loss of power is no death over a
document. Byte offsets::

    0   magic "crdtnote"
    8   what is being done (``Work``), 0 for nothing
    9   1 where the process was asked to stop
    10  length of the name, 2 bytes, little-endian
    12  process id, 4 bytes, little-endian
    16  the document's name, UTF-8
"""

import logging
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crdtsync.guard import Work

__all__ = ["MAX_NAME_BYTES", "DocumentWatch", "Entry", "Note", "ending_process", "read_note"]

log = logging.getLogger("crdtsync.guard")

MAGIC: Final = b"crdtnote"
SIZE: Final = 8192
_WORK: Final = 8
_ENDING: Final = 9
_LENGTH: Final = 10
_PID: Final = 12
_NAME: Final = 16
MAX_NAME_BYTES: Final = SIZE - _NAME
"""More than any configuration allows a name to have."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a note says."""

    pid: int
    work: Work | None
    document: str
    ending: bool


def read_note(path: Path) -> Entry | None:
    """Read a note, of this or of another process; ``None`` where there is no sound one."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    length = int.from_bytes(data[_LENGTH:_PID], "little")
    if len(data) != SIZE or not data.startswith(MAGIC) or length > MAX_NAME_BYTES:
        return None
    try:
        work = Work(data[_WORK]) if data[_WORK] else None
        name = data[_NAME : _NAME + length].decode()
    except ValueError:
        return None
    return Entry(int.from_bytes(data[_PID:_NAME], "little"), work, name, bool(data[_ENDING]))


def ending_process(path: Path) -> int:
    """Return the process that had the store and is about to end; 0 where there is none."""
    entry = read_note(path)
    if entry is None or not entry.ending or entry.pid in (0, os.getpid()):
        return 0
    try:
        os.kill(entry.pid, 0)
    except ProcessLookupError:
        return 0
    except OSError:  # somebody else's process
        pass
    return entry.pid


class Note:
    """This process's note. Where it can't be kept in a file it is kept in vain, with a warning."""

    __slots__ = ("_file", "last", "page")

    def __init__(self) -> None:
        self.page: mmap.mmap | bytearray = bytearray(SIZE)
        self.last: object = None
        """Whose name is in it."""
        self._file = -1

    def open(self, path: Path) -> None:
        """Begin a new note in a file, over what is there."""
        empty = MAGIC + bytes(SIZE - len(MAGIC))
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            # Written, not only made longer: a page without a block on a full disk is a SIGBUS.
            os.pwrite(self._file, empty, 0)
            os.ftruncate(self._file, SIZE)
            page = mmap.mmap(self._file, SIZE)
        except (OSError, ValueError) as error:
            log.warning("a document that kills the server can't be found out: %s: %s", path, error)
            self.close()
            return
        page[_PID:_NAME] = os.getpid().to_bytes(4, "little")
        self.page = page
        self.last = None

    def close(self) -> None:
        """Let go of the file."""
        page, self.page = self.page, bytearray(SIZE)
        if isinstance(page, mmap.mmap):
            page.close()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def ending(self) -> None:
        """Take note that the process was asked to stop."""
        self.page[_ENDING] = 1

    def begin(self, owner: object, name: bytes, work: Work) -> None:
        """Take note of another document than the last one."""
        page = self.page
        page[_WORK] = 0
        page[_LENGTH:_PID] = len(name).to_bytes(2, "little")
        page[_NAME : _NAME + len(name)] = name
        self.last = owner
        page[_WORK] = work


class DocumentWatch:
    """One document's watch."""

    __slots__ = ("_name", "_note")

    def __init__(self, note: Note, document: str) -> None:
        self._note = note
        self._name = document.encode()[:MAX_NAME_BYTES]

    def enter(self, work: Work, /) -> None:
        """Take note of what begins."""
        note = self._note
        if note.last is self:
            note.page[_WORK] = work
        else:
            note.begin(self, self._name, work)

    def leave(self) -> None:
        """Take note that it is done."""
        self._note.page[_WORK] = 0
