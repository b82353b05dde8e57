"""Where documents are kept: the protocol, and the adapters that ``open_store`` chooses from."""

import difflib
from typing import get_args

from crdtsync.errors import ConfigError
from crdtsync.store.base import (
    Checkpoint,
    Cutting,
    Damage,
    DocumentInfo,
    Durability,
    Finding,
    Loaded,
    Record,
    Store,
)
from crdtsync.store.file import FileStore
from crdtsync.store.memory import MemoryStore
from crdtsync.store.sqlite import SQLiteStore

__all__ = [
    "Checkpoint",
    "Cutting",
    "Damage",
    "DocumentInfo",
    "Durability",
    "FileStore",
    "Finding",
    "Loaded",
    "MemoryStore",
    "Record",
    "SQLiteStore",
    "Store",
    "open_store",
]

_SCHEMES = ("sqlite", "file", "memory")
_FORMS = "sqlite:FILE, file:FOLDER or memory:"


def open_store(url: str, *, durability: Durability = "fsync", read_only: bool = False) -> Store:
    """Return the store that a URL names: ``sqlite:FILE``, ``file:FOLDER`` or ``memory:``.

    The store is opened by ``async with``, not here. Raises ``ConfigError`` with a hint where
    the URL or the durability is wrong.
    """
    if durability not in get_args(Durability):
        levels = ", ".join(get_args(Durability))
        raise ConfigError(
            f"there is no durability {durability!r}", hint=f"Choose one of: {levels}."
        )
    scheme, colon, path = url.partition(":")
    match scheme:
        case "sqlite" | "file" if colon and path and not path.startswith(("//", ":")):
            kind = SQLiteStore if scheme == "sqlite" else FileStore
            return kind(path, durability=durability, read_only=read_only)
        case "memory" if colon and not path and not read_only:
            return MemoryStore()
    raise ConfigError(f"{url!r} is not a store", hint=_hint(url, scheme, path, read_only))


def _hint(url: str, scheme: str, path: str, read_only: bool) -> str:
    if url == "memory:" and read_only:
        return "A memory: store has nothing to read: name the store of a server."
    if url in (":memory:", "sqlite::memory:", "memory"):
        return "Did you mean memory: ?"
    if scheme in ("sqlite", "file") and path.startswith("//"):
        return f"Did you mean {scheme}:/{path.lstrip('/')} ? (No slashes are added to the path.)"
    if scheme == "memory":
        return "Did you mean memory: ? (It has no path.)"
    if scheme in _SCHEMES:
        example = "crdtsync.db" if scheme == "sqlite" else "documents"
        return f"Add a path, as in {scheme}:{example}."
    close = difflib.get_close_matches(scheme.lower(), _SCHEMES, n=1, cutoff=0.7)
    if path and close:
        return f"Did you mean {close[0]}:{path if close[0] != 'memory' else ''} ?"
    if url and (not path or len(scheme) == 1):  # a bare path, or one on a Windows drive
        kind = "sqlite" if url.endswith((".db", ".sqlite", ".sqlite3")) else "file"
        return f"Did you mean {kind}:{url} ? A store is {_FORMS}."
    return f"A store is {_FORMS}."
