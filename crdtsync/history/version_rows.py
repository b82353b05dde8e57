"""Versions and authors' names: their rows in the history database.

Each function runs within one transaction of ``SideDatabase``.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from zlib import crc32

from sqlite_utils import Database

from crdtsync.history.base import NewVersion, Reach
from crdtsync.history.model import Version, VersionKind
from crdtsync.history.tables import begin, damaged, delete, text

__all__ = [
    "add_versions",
    "change_version",
    "check_versions",
    "erase_author",
    "move_versions",
    "names",
    "note_authors",
    "reach",
    "remove_version",
    "version",
    "versions",
]

_VERSION: Final = (
    "SELECT v.id, h.document, v.sequence, v.time_ms, v.kind, v.label, v.note, v.author,"
    " COALESCE(a.name, ''), v.history, v.checksum"
    " FROM versions v JOIN histories h ON h.id = v.history AND h.aside_ms IS NULL"
    " LEFT JOIN authors a ON a.id = v.author AND v.author <> ''"
)


def add_versions(database: Database, new: Sequence[NewVersion]) -> list[Version]:
    """Add versions; those of another incarnation of their document are left out."""
    added: list[Version] = []
    for each in new:
        row = database.execute(
            "SELECT id, incarnation FROM histories WHERE document = ? AND aside_ms IS NULL",
            (text(each.document),),
        ).fetchone()
        if row is None:
            history = begin(database, each.document, each.incarnation)
        elif row[1] == each.incarnation:
            history = row[0]
        else:
            continue
        values = (
            each.sequence,
            each.time_ms,
            each.kind,
            text(each.label),
            text(each.note),
            text(each.author),
        )
        cursor = database.execute(
            "INSERT INTO versions (history, sequence, time_ms, kind, label, note, author, checksum)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (history, *values, _version_sum(history, *values)),
        )
        found = version(database, int(cursor.lastrowid or 0))
        if found is not None:
            added.append(found)
    return added


def versions(
    database: Database, document: str, before: int | None, limit: int, kind: VersionKind | None
) -> list[Version]:
    """List a document's versions, newest first."""
    row = database.execute(
        "SELECT id FROM histories WHERE document = ? AND aside_ms IS NULL", (text(document),)
    ).fetchone()
    if row is None:
        return []
    conditions = ["v.history = ?"]
    arguments: list[Any] = [row[0]]
    if before is not None:
        conditions.append("v.id < ?")
        arguments.append(before)
    if kind is not None:
        conditions.append("v.kind = ?")
        arguments.append(kind)
    rows = database.execute(
        f"{_VERSION} WHERE {' AND '.join(conditions)} ORDER BY v.id DESC LIMIT ?",
        [*arguments, limit],
    )
    return [_version(row) for row in rows.fetchall()]


def reach(database: Database, document: str) -> Reach | None:
    """Return how far a history and its versions go."""
    row = database.execute(
        "SELECT incarnation, MAX(sequence, COALESCE("
        "(SELECT MAX(sequence) FROM versions WHERE history = h.id), 0))"
        " FROM histories h WHERE document = ? AND aside_ms IS NULL",
        (text(document),),
    ).fetchone()
    return None if row is None else Reach(*row)


def version(database: Database, number: int) -> Version | None:
    """Return a version by its id."""
    row = database.execute(f"{_VERSION} WHERE v.id = ?", (number,)).fetchone()
    return None if row is None else _version(row)


def check_versions(database: Database, document: str) -> None:
    """Read all versions of a document. Raises ``HistoryDamaged``."""
    for row in database.execute(f"{_VERSION} WHERE h.document = ?", (text(document),)):
        _version(row)


def change_version(
    database: Database, number: int, label: str | None, note: str | None
) -> Version | None:
    """Name a version anew."""
    if version(database, number) is None:
        return None
    database.execute(
        "UPDATE versions SET label = COALESCE(?, label), note = COALESCE(?, note) WHERE id = ?",
        (None if label is None else text(label), None if note is None else text(note), number),
    )
    _sum_anew(database, number)
    return version(database, number)


def remove_version(database: Database, number: int) -> bool:
    """Forget a version."""
    return bool(database.execute("DELETE FROM versions WHERE id = ?", (number,)).rowcount)


def move_versions(
    database: Database, older: int, newer: int, since: int, without: Collection[int]
) -> None:
    """Have versions go over to another history of their document; damaged ones stay."""
    rows = database.execute(
        "SELECT id, history, sequence, time_ms, kind, label, note, author, checksum"
        " FROM versions WHERE history = ? AND sequence >= ?",
        (older, since),
    )
    for number, *values, checksum in rows.fetchall():
        if number not in without and _version_sum(*values) == checksum:
            database.execute("UPDATE versions SET history = ? WHERE id = ?", (newer, number))
            _sum_anew(database, number)


def _version(row: Sequence[Any]) -> Version:
    number, document, sequence, time_ms, kind, label, note, author, name, history, checksum = row
    if _version_sum(history, sequence, time_ms, kind, label, note, author) != checksum:
        raise damaged(document, f"its version {number} is not what was written")
    return Version(
        id=number,
        document=document,
        sequence=sequence,
        time_ms=time_ms,
        kind=kind,
        label=label,
        note=note,
        author=author,
        author_name=name,
    )


def _sum_anew(database: Database, number: int) -> None:
    row = database.execute(
        "SELECT history, sequence, time_ms, kind, label, note, author FROM versions WHERE id = ?",
        (number,),
    ).fetchone()
    database.execute("UPDATE versions SET checksum = ? WHERE id = ?", (_version_sum(*row), number))


# Authors


def note_authors(database: Database, found: Mapping[str, str], time_ms: int) -> None:
    """Take note of authors' names, by id."""
    for author, name in found.items():
        database.execute(
            "INSERT INTO authors (id, name, seen_ms) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE"
            " SET name = excluded.name, seen_ms = excluded.seen_ms",
            (text(author), text(name), time_ms),
        )


def names(database: Database, authors: Collection[str]) -> dict[str, str]:
    """Return authors' names, by id."""
    found: dict[str, str] = {}
    for author in authors:
        row = database.execute("SELECT name FROM authors WHERE id = ?", (text(author),)).fetchone()
        if row is not None:
            found[author] = row[0]
    return found


def erase_author(database: Database, author: str) -> None:
    """Forget an author, and all that was set aside: that can't be rewritten."""
    own = text(author)
    database.execute("DELETE FROM authors WHERE id = ?", (own,))
    rows = database.execute("SELECT id FROM versions WHERE author = ?", (own,)).fetchall()
    for (number,) in rows:
        database.execute("UPDATE versions SET author = '' WHERE id = ?", (number,))
        _sum_anew(database, number)
    aside = database.execute("SELECT id FROM histories WHERE aside_ms IS NOT NULL").fetchall()
    delete(database, [history for (history,) in aside])


def _version_sum(history: int, *values: object) -> int:
    return crc32(repr((history, *values)).encode("utf-8", "replace"))
