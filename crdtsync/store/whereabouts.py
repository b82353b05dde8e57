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

__all__ = ["Whereabouts"]

_UNKNOWN = -1


class Whereabouts:
    """The files that have to stay, each with what an operator is to do where it does not."""

    def __init__(self) -> None:
        self._files: dict[Path, tuple[int | None, str]] = {}
        self._folders: dict[Path, str] = {}
        self._coming: dict[Path, str] = {}

    def note_folder(self, path: Path, hint: str) -> None:
        """Remember a folder."""
        self._folders[path] = hint

    def note(self, path: Path, hint: str) -> None:
        """Remember a file that is there now, and held open."""
        inode = _inode(path)
        if inode not in (None, _UNKNOWN):
            self._files[path] = (inode, hint)

    def expect(self, path: Path, hint: str) -> None:
        """Remember one that may come later, from when it has come."""
        self._coming[path] = hint

    def forget(self, path: Path) -> None:
        """Look for a file no more."""
        self._files.pop(path, None)

    def clear(self) -> None:
        """Look for none."""
        self._files.clear()
        self._folders.clear()
        self._coming.clear()

    def verify(self) -> None:
        """Raise ``StoreError`` where a file is no more what it was."""
        for path, (known, hint) in self._files.items():
            found = _inode(path)
            if found in (known, _UNKNOWN):
                continue
            what = "removed" if found is None else "replaced by another file"
            raise StoreError(f"{path} was {what} while the store has it open", hint=hint)
        for path, hint in self._folders.items():
            if _inode(path) is None:
                raise StoreError(f"{path} was removed while the store has it open", hint=hint)
        for path in list(self._coming):
            self.note(path, self._coming[path])
            if path in self._files:
                del self._coming[path]


def _inode(path: Path) -> int | None:
    """Return what identifies a file, ``None`` where there is none."""
    try:
        return os.stat(path).st_ino
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:  # says nothing about the file: writing to it will
        return _UNKNOWN
