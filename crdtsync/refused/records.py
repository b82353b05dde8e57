"""The quarantine's tables: what is written into them, what is read, and what their bounds drop.

Every function works in one transaction on the database's own thread. Updates that follow one
another on one connection are joined into one row, as far as that stays small.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from sqlite_utils import Database

from crdtsync.errors import InvalidUpdate
from crdtsync.idset import IdSet
from crdtsync.joining import join_updates
from crdtsync.limits import Limits, trusting
from crdtsync.refused.base import Entry, Filter, Lost, RefusedUpdate
from crdtsync.structs import Scan
from crdtsync.update import scan

__all__ = [
    "MIGRATIONS",
    "Database",
    "Written",
    "drop",
    "entries",
    "lost",
    "note_lost",
    "totals",
    "write",
]

Part = tuple[bytes, Scan, RefusedUpdate]

MIGRATIONS: Final = (
    """
    CREATE TABLE refused (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        document TEXT NOT NULL,
        author TEXT NOT NULL,
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        reason TEXT NOT NULL,
        first_ms INTEGER NOT NULL,
        last_ms INTEGER NOT NULL,
        updates INTEGER NOT NULL,
        size INTEGER NOT NULL,
        digest BLOB NOT NULL,
        data BLOB NOT NULL
    );
    CREATE INDEX refused_by_document ON refused (document, author, digest, size);
    CREATE INDEX refused_by_author ON refused (author, size);
    CREATE INDEX refused_by_size ON refused (size);
    CREATE TABLE lost (
        cause TEXT PRIMARY KEY,
        updates INTEGER NOT NULL,
        size INTEGER NOT NULL
    )
    """,
    """
    ALTER TABLE refused ADD COLUMN share TEXT NOT NULL DEFAULT '';
    DROP INDEX refused_by_author;
    CREATE INDEX refused_by_author ON refused (author, share, size)
    """,
)

MAX_JOINED_BYTES: Final = 16 * 1024
"""An entry grows up to this: each update that joins it writes it anew."""
MAX_TEXT: Final = 300
"""Characters of a name and a reason that are kept."""

_COLUMNS: Final = (
    "id, document, author, name, kind, reason, first_ms, last_ms, updates, size"  # as Entry has it
)


class Written:
    """What became of a batch."""

    __slots__ = ("duplicates", "kept", "lost")

    def __init__(self) -> None:
        self.kept = 0
        self.duplicates = 0
        self.lost: Counter[str] = Counter()


def write(database: Database, batch: Sequence[RefusedUpdate], limits: Limits) -> Written:
    """Keep a batch, then drop the oldest of what is over a bound."""
    written = Written()
    reading = trusting(limits)
    runs: dict[int, list[Part]] = {}
    seen: set[tuple[str, str, bytes]] = set()
    for refused in batch:
        try:
            found = scan(refused.update, reading)
        except InvalidUpdate:  # it came over a connection whose end was near
            written.lost["invalid"] += 1
            _count_lost(database, "invalid", 1, len(refused.update))
            continue
        if refused.step_2:  # it may repeat what is not written yet
            for parts in runs.values():
                _add(database, parts, reading)
            runs.clear()
        same = refused.document, refused.author, refused.update
        if same in seen or _is_kept(database, refused, found, reading):
            written.duplicates += 1
            continue
        written.kept += 1
        seen.add(same)
        parts = runs.setdefault(id(refused.run), [])
        if parts and not _fits(parts, refused):
            _add(database, parts, reading)
            parts.clear()
        parts.append((refused.update, found, refused))
    for parts in runs.values():
        _add(database, parts, reading)
    _bound_all(database, batch, limits, written)
    return written


def _bound_all(
    database: Database, batch: Sequence[RefusedUpdate], limits: Limits, written: Written
) -> None:
    documents = {_text(refused.document) for refused in batch}
    authors = {(_text(refused.author), refused.run.share) for refused in batch}
    most, size = limits.max_quarantine_author_updates, limits.max_quarantine_author_bytes
    for author in authors:
        written.lost["author"] += _bound(database, "author", author, most, size)
    most, size = limits.max_quarantine_document_updates, limits.max_quarantine_document_bytes
    for document in documents:
        written.lost["document"] += _bound(database, "document", (document,), most, size)
    most, size = limits.max_quarantine_updates, limits.max_quarantine_bytes
    written.lost["total"] += _bound(database, "total", (), most, size)


def _is_kept(database: Database, refused: RefusedUpdate, found: Scan, limits: Limits) -> bool:
    """Return whether an update is kept already; drop entries that a step 2 has in it.

    Only of a known author: anybody could say that he writes on where somebody anonymous was.
    """
    document, author = _text(refused.document), _text(refused.author)
    same = "SELECT 1 FROM refused WHERE document = ? AND author = ? AND digest = ?"
    if database.execute(same, (document, author, _digest(refused.update))).fetchone():
        return True
    if not (refused.step_2 and author):
        return False
    kept, deleted, brought, deletes = IdSet(), IdSet(), IdSet(), IdSet()
    brought.add(found.ranges)
    deletes.add(found.deletes)
    repeated: list[int] = []
    rows = database.execute(
        "SELECT id, data FROM refused WHERE document = ? AND author = ?", (document, author)
    )
    for number, data in rows.fetchall():
        each = scan(data, limits)
        kept.add(each.ranges)
        deleted.add(each.deletes)
        if brought.covers(each.ranges) and deletes.covers(each.deletes):
            repeated.append(number)
    if kept.covers(found.ranges) and deleted.covers(found.deletes):
        return True
    _delete(database, repeated)
    return False


def _fits(parts: Sequence[Part], refused: RefusedUpdate) -> bool:
    """Return whether an update may share an entry with others of its connection."""
    size = sum(len(update) for update, _, _ in parts) + len(refused.update)
    return size <= MAX_JOINED_BYTES and parts[0][2].reason == refused.reason


def _add(database: Database, parts: Sequence[Part], limits: Limits) -> None:
    """Add updates of one connection to its newest entry, or as one of their own, or as several."""
    if not _append(database, parts, limits):
        joined = join_updates(parts)
        if joined is not None:
            _insert(database, parts, joined[0])
        else:
            for part in parts:
                _insert(database, [part], part[0])


def _append(database: Database, parts: Sequence[Part], limits: Limits) -> bool:
    """Join updates with what their connection was refused last, where that can be."""
    last = parts[-1][2]
    size = sum(len(update) for update, _, _ in parts)
    row = database.execute(
        "SELECT data FROM refused WHERE id = ? AND reason = ? AND size <= ?",
        (last.run.entry, _text(last.reason)[:MAX_TEXT], MAX_JOINED_BYTES - size),
    ).fetchone()
    joined = None if row is None else join_updates([(row[0], scan(row[0], limits)), *parts])
    if joined is None:
        return False
    database.execute(
        "UPDATE refused SET data = ?, digest = ?, size = ?, updates = updates + ?, last_ms = ?"
        " WHERE id = ?",
        (
            joined[0],
            _digest(joined[0]),
            len(joined[0]),
            len(parts),
            last.time_ms,
            last.run.entry,
        ),
    )
    return True


def _insert(database: Database, parts: Sequence[Part], update: bytes) -> None:
    first, last = parts[0][2], parts[-1][2]
    cursor = database.execute(
        "INSERT INTO refused (document, author, name, kind, reason, first_ms, last_ms, updates,"
        " size, digest, data, share) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            _text(first.document),
            _text(first.author),
            _text(first.name)[:MAX_TEXT],
            first.kind,
            _text(first.reason)[:MAX_TEXT],
            first.time_ms,
            last.time_ms,
            len(parts),
            len(update),
            _digest(update),
            update,
            first.run.share,
        ),
    )
    first.run.entry = int(cursor.lastrowid or 0)


_WHERE: Final = {"author": "author = ? AND share = ?", "document": "document = ?", "total": "1"}


def _bound(database: Database, cause: str, whose: Sequence[str], most: int, most_bytes: int) -> int:
    """Drop the oldest of some rows until so many are left; return how many updates went."""
    where = _WHERE[cause]
    count, size = database.execute(
        f"SELECT COUNT(*), TOTAL(size) FROM refused WHERE {where}", whose
    ).fetchone()
    if count <= most and size <= most_bytes:
        return 0
    gone: list[int] = []
    updates = lost_bytes = 0
    rows = database.execute(
        f"SELECT id, updates, size FROM refused WHERE {where} ORDER BY id", whose
    )
    for number, inside, each in rows.fetchall():
        if count <= most and size <= most_bytes:
            break
        gone.append(number)
        count, size = count - 1, size - each
        updates, lost_bytes = updates + inside, lost_bytes + each
    _delete(database, gone)
    _count_lost(database, cause, updates, lost_bytes)
    return updates


def _count_lost(database: Database, cause: str, updates: int, size: int) -> None:
    database.execute(
        "INSERT INTO lost (cause, updates, size) VALUES (?, ?, ?) ON CONFLICT (cause) DO UPDATE"
        " SET updates = updates + excluded.updates, size = size + excluded.size",
        (cause, updates, size),
    )


def note_lost(database: Database, found: Iterable[Lost]) -> None:
    """Count what was lost before it came here."""
    for each in found:
        _count_lost(database, each.cause, each.updates, each.size)


def entries(database: Database, which: Filter, limit: int, whole: bool) -> list[Entry]:
    """Return the oldest entries that are meant."""
    conditions = ["id > ?"]
    arguments: list[Any] = [which.after]
    if which.ids is not None:
        conditions.append(f"id IN ({', '.join('?' * len(which.ids))})")
        arguments += which.ids
    if which.document is not None:
        conditions.append("document = ?")
        arguments.append(_text(which.document))
    if which.author is not None:
        conditions.append("author = ?")
        arguments.append(_text(which.author))
    columns = f"{_COLUMNS}, data" if whole else _COLUMNS
    rows = database.execute(
        f"SELECT {columns} FROM refused WHERE {' AND '.join(conditions)} ORDER BY id LIMIT ?",
        [*arguments, limit],
    )
    return [_entry(row) for row in rows.fetchall()]


def _entry(row: Sequence[Any]) -> Entry:
    number, document, author, name, kind, reason, first_ms, last_ms, updates, size, *data = row
    return Entry(
        id=number,
        document=document,
        author=author,
        name=name,
        kind=kind,
        reason=reason,
        first_ms=first_ms,
        last_ms=last_ms,
        updates=updates,
        size=size,
        update=data[0] if data else b"",
    )


def drop(database: Database, found: Collection[Entry]) -> int:
    """Forget entries; return how many went. One that has grown since stays."""
    one = "DELETE FROM refused WHERE id = ? AND updates = ?"
    return sum(database.execute(one, (each.id, each.updates)).rowcount for each in found)


def _delete(database: Database, ids: Iterable[int]) -> None:
    for number in ids:
        database.execute("DELETE FROM refused WHERE id = ?", (number,))


def lost(database: Database) -> list[Lost]:
    """Return what was not kept, ever."""
    rows = database.execute("SELECT cause, updates, size FROM lost ORDER BY cause")
    return [Lost(*row) for row in rows.fetchall()]


def totals(database: Database) -> tuple[int, int]:
    """Return the number of entries, and the bytes of their updates."""
    count, size = database.execute("SELECT COUNT(*), TOTAL(size) FROM refused").fetchone()
    return count, int(size)


def _digest(update: bytes) -> bytes:
    return hashlib.sha256(update).digest()


def _text(text: str) -> str:
    """Return what SQLite takes: a token's JSON may hold halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode()
