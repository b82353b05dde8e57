"""A file system in memory that tells what was synced from what was only written.

Owns files, folders and what a power cut leaves of them: what was synced is certain; what was not
is there in part, as zeros, or not at all. Bytes whose sync failed are in the cache, and nowhere
else: a later sync that succeeds says nothing of them.
"""

import errno
import os
import stat
from io import BytesIO
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any, ClassVar

from tests.simulation.faults import Faults

__all__ = ["DiskPath", "FileSystem", "os_of"]


class _File:
    """One file: what reads see, and what is on the medium."""

    __slots__ = ("certain", "data", "doubt")

    def __init__(self) -> None:
        self.data = bytearray()
        self.certain = b""
        """As of the last sync."""
        self.doubt: tuple[int, int] | None = None
        """A range that a sync has failed to write: clean for the system, lost for the medium."""

    def copy(self) -> "_File":
        other = _File()
        other.data, other.certain, other.doubt = bytearray(self.data), self.certain, self.doubt
        return other


class FileSystem:
    """Files and folders by their paths."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.files: dict[str, _File] = {}
        self.folders: set[str] = {"/"}
        self.synced: dict[str, dict[str, _File]] = {"/": {}}
        """Of each folder: the names that are on the medium."""
        self._open: dict[int, tuple[_File, str, int, int]] = {}
        self._next = 100
        self.unplugged = False

    def copy(self, faults: Faults) -> "FileSystem":
        """Return one with the same contents, for looking into them."""
        other = FileSystem(faults)
        twins = {id(file): file.copy() for file in self.files.values()}
        other.files = {path: twins[id(file)] for path, file in self.files.items()}
        other.folders = set(self.folders)
        return other

    # What goes wrong

    def _step(self, what: str) -> None:
        self.faults.step(what)
        if self.unplugged or self.faults.dying:
            raise OSError(errno.EIO, "the machine is dead")

    def _read_fails(self) -> None:
        if self.faults.chance.random() < 0.2 and self.faults.goes_wrong(("failing",)):
            raise self.faults.os_error("failing")

    def _write_fails(self) -> None:
        wrong = self.faults.goes_wrong(("full", "failing"))
        if wrong is not None:
            raise self.faults.os_error(wrong)

    def crash(self, *, power: bool) -> None:
        """Lose the processes' hold on everything; with ``power``, what was not synced too."""
        self._open.clear()
        if power:
            self._cut_power()

    def _cut_power(self) -> None:
        chance = self.faults.chance
        files: dict[str, _File] = {}
        for folder in sorted(self.folders):
            synced = self.synced.get(folder, {})
            now = {
                path.rpartition("/")[2]: file
                for path, file in self.files.items()
                if (path.rpartition("/")[0] or "/") == folder
            }
            for name in sorted(synced.keys() | now.keys()):
                file = chance.choice([synced.get(name), now.get(name)])
                if file is not None:
                    kept = _File()
                    kept.certain = self._left(file)
                    kept.data = bytearray(kept.certain)
                    files[f"{folder.rstrip('/')}/{name}"] = kept
        self.files = files
        self.synced = {folder: {} for folder in self.folders}
        for path, file in files.items():
            self.synced[path.rpartition("/")[0] or "/"][path.rpartition("/")[2]] = file

    def _left(self, file: _File) -> bytes:
        """Return what of a file is on the medium."""
        chance = self.faults.chance
        data, certain = bytes(file.data), file.certain
        if not data.startswith(certain):
            data = chance.choice([certain, data])
        else:
            behind = chance.choice([0, len(data), chance.randint(0, len(data))])
            data = data[: max(behind, len(certain))]
            if chance.random() < 0.3:
                data = certain + bytes(len(data) - len(certain))
        if file.doubt is not None and chance.random() < 0.7:
            first, end = file.doubt
            data = data[:first] + bytes(max(0, min(end, len(data)) - first)) + data[end:]
        return data

    # What the operating system offers

    def open(self, path: "DiskPath | str", flags: int, mode: int = 0o777) -> int:
        self._step("at an open")
        name = str(path)
        folder = name in self.folders
        file = self.files.get(name)
        if not folder:
            if file is not None and flags & os.O_EXCL:
                raise FileExistsError(errno.EEXIST, "exists", name)
            if file is None:
                if not flags & os.O_CREAT:
                    raise FileNotFoundError(errno.ENOENT, "not found", name)
                self._write_fails()
                file = self.files[name] = _File()
            if flags & os.O_TRUNC:
                self._truncate(file, 0)
        self._next += 1
        self._open[self._next] = (file or _File(), name, flags, 0)
        return self._next

    def close(self, descriptor: int) -> None:
        if self._open.pop(descriptor, None) is None and not self.unplugged:
            raise OSError(errno.EBADF, "bad file descriptor")

    def write(self, descriptor: int, data: bytes) -> int:
        self._step("at a write")
        file, name, flags, position = self._open[descriptor]
        if flags & os.O_APPEND:
            position = len(file.data)
        length = len(data)
        chance = self.faults.chance
        if not self.faults.calm and chance.random() < 0.1:  # a short write
            length = chance.randint(1, max(1, length))
        wrong = self.faults.goes_wrong(("full", "failing"))
        if wrong is not None:
            length = chance.choice([0, length // 2])
            if not length:
                raise self.faults.os_error(wrong)
        end = position + length
        file.data[position:end] = bytes(data[:length])
        self._rewritten(file, position, end)
        self._open[descriptor] = (file, name, flags, end)
        self._step("behind a write")
        return length

    @staticmethod
    def _rewritten(file: _File, first: int, end: int) -> None:
        """What is written anew is no longer in doubt."""
        if file.doubt is not None:
            start, stop = file.doubt
            if first <= start < end:
                start = end
            file.doubt = (start, stop) if start < stop else None

    def _truncate(self, file: _File, size: int) -> None:
        del file.data[size:]
        if file.doubt is not None and size < file.doubt[1]:
            file.doubt = (file.doubt[0], size) if file.doubt[0] < size else None

    def ftruncate(self, descriptor: int, size: int) -> None:
        self._step("at a truncation")
        self._truncate(self._open[descriptor][0], size)

    def lseek(self, descriptor: int, position: int, _: int) -> int:
        file, name, flags, _old = self._open[descriptor]
        self._open[descriptor] = (file, name, flags, position)
        return position

    def fsync(self, descriptor: int) -> None:
        self._step("before a sync")
        file, name, _, _ = self._open[descriptor]
        wrong = self.faults.goes_wrong(("failing", "fsync"))
        if self.faults.failing_syncs(name):
            wrong = "fsync"
        if wrong is not None:
            if name not in self.folders and len(file.data) > len(file.certain):
                first = min(file.doubt[0] if file.doubt else 1 << 62, len(file.certain))
                file.doubt = (first, len(file.data))
            raise self.faults.os_error(wrong)
        if name in self.folders:
            prefix = name.rstrip("/") + "/"
            self.synced[name] = {
                path[len(prefix) :]: each
                for path, each in self.files.items()
                if path.startswith(prefix) and "/" not in path[len(prefix) :]
            }
        else:
            file.certain = bytes(file.data)
        self._step("behind a sync")

    def replace(self, source: "DiskPath", target: "DiskPath") -> None:
        self._step("at a rename")
        self.files[str(target)] = self.files.pop(str(source))

    def unlink(self, path: str) -> None:
        self._step("at an unlink")
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "not found", path)
        del self.files[path]

    def mkdir(self, path: str, exist_ok: bool) -> None:
        self._step("at a mkdir")
        if path in self.folders:
            if not exist_ok:
                raise FileExistsError(errno.EEXIST, "exists", path)
            return
        # Made when the store is, and taken as synced with that: no test loses whole folders.
        self.folders.add(path)
        self.synced[path] = {}


class DiskPath(PurePosixPath):
    """A path on the present machine's file system."""

    system: ClassVar[FileSystem]

    def resolve(self) -> "DiskPath":
        return self

    def is_dir(self) -> bool:
        return str(self) in self.system.folders

    def is_file(self) -> bool:
        return str(self) in self.system.files

    def exists(self) -> bool:
        return self.is_dir() or self.is_file()

    def mkdir(self, *, exist_ok: bool = False) -> None:
        self.system.mkdir(str(self), exist_ok)

    def iterdir(self) -> "list[DiskPath]":
        prefix = str(self).rstrip("/") + "/"
        every = [*self.system.files, *self.system.folders]
        return [
            DiskPath(path)
            for path in sorted(every)
            if path.startswith(prefix) and path != prefix and "/" not in path[len(prefix) :]
        ]

    def glob(self, pattern: str) -> "list[DiskPath]":
        return [path for path in self.iterdir() if path.match(pattern)]

    def read_bytes(self) -> bytes:
        self.system._step("at a read")
        self.system._read_fails()
        file = self.system.files.get(str(self))
        if file is None:
            raise FileNotFoundError(errno.ENOENT, "not found", str(self))
        return bytes(file.data)

    def open(self, _: str) -> BytesIO:
        return BytesIO(self.read_bytes())

    def stat(self) -> Any:
        return SimpleNamespace(st_size=len(self.read_bytes()), st_mode=stat.S_IFREG)

    def unlink(self, *, missing_ok: bool = False) -> None:
        try:
            self.system.unlink(str(self))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def rename(self, target: "DiskPath") -> None:
        self.system.replace(self, target)


def os_of(system: FileSystem) -> Any:
    """Return what the file store finds under ``os``."""
    numbers = {name: getattr(os, name) for name in dir(os) if name.startswith(("O_", "SEEK_"))}
    return SimpleNamespace(
        **numbers,
        open=system.open,
        close=system.close,
        write=system.write,
        ftruncate=system.ftruncate,
        lseek=system.lseek,
        fsync=system.fsync,
        fdatasync=system.fsync,
        replace=system.replace,
        listdir=lambda folder: [path.name for path in folder.iterdir()],
        urandom=system.faults.chance.randbytes,
    )
