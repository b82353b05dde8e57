"""What the file store asks of the operating system."""

import os
import sys
from pathlib import Path

__all__ = [
    "append_at",
    "names_in",
    "read",
    "replace",
    "sync",
    "sync_file",
    "sync_folder",
    "temporary",
    "write_all",
]

BINARY = getattr(os, "O_BINARY", 0)
"""Windows alone has it, and would change line ends without."""


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, however many calls that takes."""
    written = os.write(descriptor, data)
    if written < len(data):
        rest = memoryview(data)[written:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]


if sys.platform == "darwin":
    import fcntl

    def sync(descriptor: int) -> None:
        """Have the file's contents on the medium; fsync alone leaves them in the drive."""
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)

elif hasattr(os, "fdatasync"):

    def sync(descriptor: int) -> None:
        """Have the file's contents, and as much else as finding them takes, on the medium."""
        os.fdatasync(descriptor)

else:

    def sync(descriptor: int) -> None:
        """Have the file on the medium."""
        os.fsync(descriptor)


def sync_file(path: Path) -> None:
    """Have a file's contents on the medium, whoever wrote them."""
    descriptor = os.open(path, os.O_RDWR | BINARY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the medium. Windows has no such call and needs none."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> bytes | None:
    """Return a file's bytes, ``None`` where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder: a quarter of what a path of each would take."""
    return os.listdir(folder)


def temporary(path: Path) -> Path:
    """Return the name that a file has until it is whole."""
    return path.with_name(path.name + ".tmp")


def replace(path: Path, data: bytes, *, durable: bool) -> None:
    """Write a whole file, and only then let it have its name.

    The name itself is on the medium after ``sync_folder``.
    """
    unfinished = temporary(path)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BINARY, 0o666)
    try:
        try:
            write_all(descriptor, data)
            if durable:
                sync(descriptor)
        finally:
            os.close(descriptor)
        if read(unfinished) != data:
            raise OSError(f"{unfinished} reads back different from what was written")
        os.replace(unfinished, path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def append_at(path: Path, end: int, data: bytes, *, durable: bool) -> None:
    """Write at ``end``, where the file's sound part ends; what follows there is cut off.

    Where this raises, so is what it wrote: after a failed sync the system still shows it, and
    no later sync would write it.
    """
    descriptor = os.open(path, os.O_RDWR | BINARY)
    try:
        os.ftruncate(descriptor, end)
        os.lseek(descriptor, end, os.SEEK_SET)
        try:
            write_all(descriptor, data)
            if durable:
                sync(descriptor)
        except OSError:
            os.ftruncate(descriptor, end)
            raise
    finally:
        os.close(descriptor)
