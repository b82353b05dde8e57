"""The tables of the history database, and the rows of histories and their parts.

Each function runs within one transaction of ``SideDatabase``. A history's parts are numbered
blobs: its head, its structs, its blocks; only those that have changed are written. Every part,
row of a history and version has a checksum.
"""

from collections.abc import Iterable, Sequence
from typing import Final
from zlib import crc32

from sqlite_utils import Database

from crdtsync.history.base import HistoryChanged, Kept, Outline
from crdtsync.history.model import HistoryDamaged, Stored

__all__ = [
    "FILE",
    "MIGRATIONS",
    "begin",
    "begin_anew",
    "check_unchanged",
    "damaged",
    "delete",
    "forget",
    "forget_aside",
    "integrity",
    "load",
    "note_thinned",
    "number_from",
    "outline",
    "outlines",
    "save",
    "set_aside",
    "space",
    "text",
]

FILE: Final = "history.db"
"""The database's name in the folder beside the store."""
MAX_ASIDE: Final = 3
"""So many histories of one document are kept aside; the oldest goes."""
MAX_TEXT: Final = 2_000
"""Characters of a reason that are kept."""

MIGRATIONS: Final = (
    """
    CREATE TABLE histories (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        document TEXT NOT NULL,
        incarnation INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        size INTEGER NOT NULL,
        checksum INTEGER NOT NULL,
        thinned_ms INTEGER NOT NULL DEFAULT 0,
        aside_ms INTEGER,
        reason TEXT NOT NULL DEFAULT ''
    );
    CREATE UNIQUE INDEX histories_of_document ON histories (document) WHERE aside_ms IS NULL;
    CREATE INDEX histories_aside ON histories (document, id) WHERE aside_ms IS NOT NULL;
    CREATE TABLE parts (
        history INTEGER NOT NULL,
        number INTEGER NOT NULL,
        checksum INTEGER NOT NULL,
        data BLOB NOT NULL
    );
    CREATE UNIQUE INDEX parts_of_history ON parts (history, number, checksum);
    CREATE TABLE versions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        history INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        time_ms INTEGER NOT NULL,
        kind TEXT NOT NULL,
        label TEXT NOT NULL,
        note TEXT NOT NULL,
        author TEXT NOT NULL,
        checksum INTEGER NOT NULL
    );
    CREATE INDEX versions_of_history ON versions (history, id);
    CREATE INDEX versions_of_kind ON versions (history, kind, id);
    CREATE INDEX versions_of_author ON versions (author);
    CREATE TABLE authors (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        seen_ms INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
)

_HEAD: Final = 0
_STRUCTS: Final = 1
_BLOCKS: Final = 2
"""The number of the first block."""

_OUTLINE: Final = "document, incarnation, sequence, revision, size, thinned_ms"


# Histories


def outline(database: Database, document: str) -> Outline | None:
    """Return what is known of a history."""
    row = database.execute(
        f"SELECT {_OUTLINE} FROM histories WHERE document = ? AND aside_ms IS NULL",
        (text(document),),
    ).fetchone()
    return None if row is None else Outline(*row)


def outlines(database: Database, after: str, limit: int) -> list[Outline]:
    """List histories by document, from the first one behind ``after``."""
    rows = database.execute(
        f"SELECT {_OUTLINE} FROM histories WHERE document > ? AND aside_ms IS NULL"
        " ORDER BY document LIMIT ?",
        (text(after), limit),
    )
    return [Outline(*row) for row in rows.fetchall()]


def load(database: Database, document: str) -> Kept | None:
    """Return a history; ``None`` where there is none. Raises ``HistoryDamaged``."""
    row = database.execute(
        f"SELECT id, checksum, {_OUTLINE} FROM histories WHERE document = ? AND aside_ms IS NULL",
        (text(document),),
    ).fetchone()
    if row is None:
        return None
    history, checksum, *rest = row
    found = Outline(*rest)
    parts: list[bytes] = []
    sums: list[int] = []
    rows = database.execute(
        "SELECT number, checksum, data FROM parts WHERE history = ? ORDER BY number", (history,)
    )
    for number, known, data in rows:
        if not isinstance(data, bytes) or number != len(parts) or _sum(number, data) != known:
            raise damaged(document, f"its part {number} is not what was written")
        parts.append(data)
        sums.append(known)
    if _row_sum(document, found.incarnation, found.sequence, sums) != checksum:
        raise damaged(document, "its parts don't belong together")
    if not parts:
        return Kept(found, Stored(0))
    head, structs, *blocks = parts
    return Kept(found, Stored(found.sequence, head, structs, tuple(blocks)))


def check_unchanged(
    database: Database, document: str, revision: int, newest_version: int | None
) -> None:
    """Raise ``HistoryChanged`` where somebody has written since this was read."""
    row = database.execute(
        "SELECT id, revision FROM histories WHERE document = ? AND aside_ms IS NULL",
        (text(document),),
    ).fetchone()
    same = (0 if row is None else row[1]) == revision
    if same and newest_version is not None and row is not None:
        (newest,) = database.execute(
            "SELECT COALESCE(MAX(id), 0) FROM versions WHERE history = ?", (row[0],)
        ).fetchone()
        same = newest <= newest_version
    if not same:
        raise HistoryChanged(f"the history of document {document!r} was written meanwhile")


def save(
    database: Database, document: str, stored: Stored, incarnation: int, thinned_ms: int | None
) -> None:
    """Write a history over the one that is there."""
    row = database.execute(
        "SELECT id FROM histories WHERE document = ? AND aside_ms IS NULL", (text(document),)
    ).fetchone()
    history = begin(database, document, incarnation) if row is None else row[0]
    data = [stored.head, stored.structs, *stored.blocks]
    sums = _write_parts(database, history, data)
    database.execute(
        "UPDATE histories SET incarnation = ?, sequence = ?, revision = revision + 1, size = ?,"
        " checksum = ?, thinned_ms = COALESCE(?, thinned_ms) WHERE id = ?",
        (
            incarnation,
            stored.sequence,
            sum(map(len, data)),
            _row_sum(document, incarnation, stored.sequence, sums),
            thinned_ms,
            history,
        ),
    )


def begin(database: Database, document: str, incarnation: int) -> int:
    """Make the row of a history that holds nothing; return its id."""
    cursor = database.execute(
        "INSERT INTO histories (document, incarnation, sequence, revision, size, checksum)"
        " VALUES (?, ?, 0, 0, 0, ?)",
        (text(document), incarnation, _row_sum(document, incarnation, 0, ())),
    )
    return int(cursor.lastrowid or 0)


def _write_parts(database: Database, history: int, data: Sequence[bytes]) -> list[int]:
    """Write the parts that are not there yet; return the checksums of all."""
    known = dict(
        database.execute("SELECT number, checksum FROM parts WHERE history = ?", (history,))
    )
    sums = [_sum(number, part) for number, part in enumerate(data)]
    for number, part in enumerate(data):
        if known.get(number) == sums[number]:
            # The same checksum may be another part's: to be sure takes reading it.
            same = database.execute(
                "SELECT data = ? FROM parts WHERE history = ? AND number = ?",
                (part, history, number),
            ).fetchone()
            if same is not None and same[0]:
                continue
        database.execute("DELETE FROM parts WHERE history = ? AND number = ?", (history, number))
        database.execute(
            "INSERT INTO parts (history, number, checksum, data) VALUES (?, ?, ?, ?)",
            (history, number, sums[number], part),
        )
    database.execute("DELETE FROM parts WHERE history = ? AND number >= ?", (history, len(data)))
    return sums


def note_thinned(database: Database, document: str, time_ms: int) -> None:
    """Take note that there was nothing to let go."""
    database.execute(
        "UPDATE histories SET thinned_ms = ? WHERE document = ? AND aside_ms IS NULL",
        (time_ms, text(document)),
    )


def set_aside(database: Database, document: str, reason: str, time_ms: int) -> bool:
    """Keep a history where nothing reads it; let the oldest such go."""
    moved = database.execute(
        "UPDATE histories SET aside_ms = ?, reason = ? WHERE document = ? AND aside_ms IS NULL",
        (time_ms, text(reason)[:MAX_TEXT], text(document)),
    ).rowcount
    rows = database.execute(
        "SELECT id FROM histories WHERE document = ? AND aside_ms IS NOT NULL ORDER BY id DESC",
        (text(document),),
    )
    delete(database, [history for (history,) in rows.fetchall()[MAX_ASIDE:]])
    return bool(moved)


def begin_anew(
    database: Database, document: str, stored: Stored, reason: str, time_ms: int
) -> tuple[int, int]:
    """Set a history aside, and begin another with what is left of it.

    Returns the ids of both; zeros where there was none.
    """
    row = database.execute(
        "SELECT id, incarnation, revision, thinned_ms FROM histories"
        " WHERE document = ? AND aside_ms IS NULL",
        (text(document),),
    ).fetchone()
    if row is None:
        return 0, 0
    older, incarnation, revision, thinned_ms = row
    set_aside(database, document, reason, time_ms)
    newer = begin(database, document, incarnation)
    database.execute("UPDATE histories SET revision = ? WHERE id = ?", (revision, newer))
    save(database, document, stored, incarnation, thinned_ms)
    return older, newer


def forget(database: Database, document: str) -> bool:
    """Delete all of a document."""
    rows = database.execute("SELECT id FROM histories WHERE document = ?", (text(document),))
    found = [history for (history,) in rows.fetchall()]
    delete(database, found)
    return bool(found)


def forget_aside(database: Database, document: str) -> None:
    """Delete what was set aside of a document."""
    rows = database.execute(
        "SELECT id FROM histories WHERE document = ? AND aside_ms IS NOT NULL", (text(document),)
    )
    delete(database, [history for (history,) in rows.fetchall()])


def delete(database: Database, histories: Iterable[int]) -> None:
    """Delete histories by their ids, set aside or not."""
    for history in histories:
        database.execute("DELETE FROM parts WHERE history = ?", (history,))
        database.execute("DELETE FROM versions WHERE history = ?", (history,))
        database.execute("DELETE FROM histories WHERE id = ?", (history,))


# The medium


def integrity(database: Database) -> list[str]:
    """Return what SQLite finds wrong with the file."""
    rows = database.execute("PRAGMA quick_check(20)").fetchall()
    return [str(line) for (line,) in rows if line != "ok"]


def space(database: Database) -> tuple[int, int]:
    """Return the bytes that are used, and those that hold nothing."""
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    (free,) = database.execute("PRAGMA freelist_count").fetchone()
    (size,) = database.execute("PRAGMA page_size").fetchone()
    return (pages - free) * size, free * size


def number_from(database: Database, number: int) -> None:
    """Have the ids of versions go on behind a number."""
    database.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('versions', ?)", (number,))


# Bytes


def text(value: str) -> str:
    """Return what SQLite takes: a token's JSON may hold halves of surrogate pairs."""
    return value.encode("utf-8", "replace").decode()


def damaged(document: str, what: str) -> HistoryDamaged:
    """Say what is wrong with which history."""
    return HistoryDamaged(
        f"the history of document {document!r} is damaged: {what}",
        hint="It is set aside with the document's next checkpoint; crdtsync check says more",
    )


def _sum(number: int, data: bytes) -> int:
    return crc32(data, number)


def _row_sum(document: str, incarnation: int, sequence: int, sums: Iterable[int]) -> int:
    parts = b" ".join(b"%d" % each for each in sums)
    return crc32(b"%b\0%d %d %b" % (text(document).encode(), incarnation, sequence, parts))
