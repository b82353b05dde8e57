"""Whether the files that a store has open are still where they were.

A file may be removed, moved or replaced while a program has it open, and the program does not
notice: it goes on writing to what nobody will find. A store looks now and then, and before it
promises anything, so that such edits stay with their authors instead.

Owns the memory of which file was where, by its inode, as SQLite knows files. Some file systems
give a file another number when nobody has it open: so folders only have to be there.
"""

import os
from pathlib import Path

from crdtsync.errors import StoreError

__all__ = ["UNKNOWN", "Whereabouts", "database_files", "inode_of"]

UNKNOWN = -1
"""For a file that can't be looked at: that says nothing about it, writing to it will."""


class Whereabouts:
    """The files that have to stay, each with what an operator is to do where it does not."""

    def __init__(self) -> None:
        self._files: dict[Path, tuple[int, str]] = {}

    def note(self, path: Path, hint: str) -> None:
        """Remember a file that is there now, and held open."""
        inode = inode_of(path)
        if inode is not None:
            self._files[path] = (inode, hint)

    def note_folder(self, path: Path, hint: str) -> None:
        """Remember a folder."""
        self._files[path] = (UNKNOWN, hint)

    def forget(self, path: Path) -> None:
        """Look for a file no more."""
        self._files.pop(path, None)

    def clear(self) -> None:
        """Look for none."""
        self._files.clear()

    def verify(self) -> None:
        """Raise ``StoreError`` where a file is no more what it was."""
        for path, (known, hint) in self._files.items():
            found = inode_of(path)
            if found is None:
                what = "removed"
            elif found == known or UNKNOWN in (found, known):
                continue
            else:
                what = "replaced by another file"
            raise StoreError(f"{path} was {what} while the store has it open", hint=hint)


def inode_of(path: Path) -> int | None:
    """Return what identifies a file, ``None`` where there is none."""
    try:
        return os.stat(path).st_ino
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return UNKNOWN


def database_files(path: Path) -> tuple[Path, Path, Path]:
    """Return a SQLite database's own file, its write-ahead log and that one's index."""
    return path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")
