"""What an operator is told when the disk or the database fails."""

import errno
import os
import sqlite3
import struct
import tempfile
from pathlib import Path

from crdtsync.errors import StoreDamaged, StoreError, StoreFull
from crdtsync.store.base import Damage

__all__ = ["FAILURES", "damaged", "not_open", "out_of_order", "read_only", "refusal", "store_error"]

FAILURES = (OSError, sqlite3.Error, ValueError, OverflowError, struct.error, MemoryError)
"""What a disk, a database or a value that does not fit into a stored field raises."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_PROBE = b"\0" * 65536


def store_error(operation: str, path: Path, error: Exception, *, store: bool = True) -> StoreError:
    """Return the ``StoreError`` for a failure of the system or of SQLite.

    ``store`` says whether the path is a store's, or a database's beside one.
    """
    if isinstance(error, StoreError):
        return error
    if isinstance(error, sqlite3.Error):
        return _sqlite_error(operation, path, error, store=store)
    if isinstance(error, OSError):
        return _os_error(operation, path, error)
    return StoreError(
        f"{operation} failed on {path}: {type(error).__name__}: {error}",
        hint="This is a defect in crdtsync; please report it with the log.",
    )


def _os_error(operation: str, path: Path, error: OSError) -> StoreError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    where = error.filename if isinstance(error.filename, str) else path
    message = f"{operation} failed on {where}: {reason}"
    if error.errno in _FULL:
        return StoreFull(message, hint=f"Free some space, or raise the quota, where {path} is.")
    if error.errno in _DENIED:
        return StoreError(message, hint=f"Give this user write access to {path}.")
    if error.errno == errno.ENOENT:
        return StoreError(message, hint=f"Create the folder {path.parent} first.")
    return StoreError(message, hint=f"Check the device that {path} is on.")


def _sqlite_error(operation: str, path: Path, error: sqlite3.Error, *, store: bool) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0)
    name = getattr(error, "sqlite_errorname", "")
    message = f"{operation} failed on {path}: {error}" + (f" ({name})" if name else "")
    if code == sqlite3.SQLITE_IOERR_WRITE:  # SQLite knows ENOSPC, but no quota
        reason = refusal(path)
        if reason is not None:
            return _os_error(operation, path, reason)
    match code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return StoreFull(message, hint=f"Free some space, or raise the quota, where {path} is.")
        case sqlite3.SQLITE_NOTADB:
            hint = "Is it the right file? If it is, restore a backup, or save what can be read:"
            return StoreDamaged(message, hint=f"{hint} sqlite3 {path} .recover")
        case sqlite3.SQLITE_CORRUPT:
            hint = f"Copy {path} away first, then save what can be read: sqlite3 {path} .recover"
            if store and operation not in ("open", "check"):
                hint = f"Copy {path} away first, then run: crdtsync check --store sqlite:{path}"
            return StoreDamaged(message, hint=hint)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            hint = f"End the other program that has {path} open for writing."
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            hint = f"Give this user write access to {path} and its folder."
        case sqlite3.SQLITE_CANTOPEN if path.exists() and not os.access(path, os.R_OK):
            hint = f"Run this as the user that {path} belongs to, or let this one read it."
        case sqlite3.SQLITE_ERROR if str(error).startswith(("no such table", "no such column")):
            hint = "Another program has changed it: put back a backup."
        case sqlite3.SQLITE_CANTOPEN:
            hint = f"Check that the folder {path.parent} exists and may be written to."
        case _:
            hint = f"Check the device that {path} is on."
    return StoreError(message, hint=hint)


def refusal(path: Path) -> OSError | None:
    """Write some bytes beside a database, or into a folder, and take them back.

    Return why the system has no room for them, ``None`` where it has.
    """
    try:
        with tempfile.TemporaryFile(dir=path if path.is_dir() else path.parent) as file:
            file.write(_PROBE)
    except OSError as error:
        return error if error.errno in _FULL else None
    return None


def out_of_order(document: str, last: int, sequence: int) -> StoreError:
    """Return the error for a record that does not continue its document."""
    return StoreError(
        f"append refused: record {sequence} of document {document!r} "
        f"does not continue its record {last}",
        hint="Load the document again; a store serves one process.",
    )


def damaged(operation: str, damage: Damage, url: str) -> StoreDamaged:
    """Return the error for a write to a document that is damaged."""
    return StoreDamaged(
        f"{operation} refused: document {damage.document!r} is damaged at {damage.sequence}: "
        f"{damage.problem}",
        document=damage.document,
        sequence=damage.sequence,
        hint=f"Stop the server and run: crdtsync check --repair --store {url}",
    )


def read_only(operation: str, path: Path) -> StoreError:
    """Return the error for a write to a store that was opened for reading."""
    return StoreError(
        f"{operation} refused: {path} is open for reading only",
        hint="Open the store without read_only.",
    )


def not_open(operation: str, url: str) -> StoreError:
    """Return the error for a store that is used outside ``async with``."""
    return StoreError(
        f"{operation} refused: the store {url} is not open",
        hint="Use it inside: async with store.",
    )
