"""Rows of the database, verified: what a document's records and checkpoint really are.

Every function here only reads, on whatever connection it is given. ``load``, ``info`` and
``names`` see one moment of the database; the others are to be called inside ``one_moment``.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from crdtsync.store.base import Checkpoint, Damage, DocumentInfo, Loaded, Record

__all__ = [
    "TABLES",
    "Chain",
    "Row",
    "checkpoint_checksum",
    "document_checksum",
    "info",
    "load",
    "names",
    "newest_checkpoint",
    "one_moment",
    "read_chain",
    "record_checksum",
    "record_seed",
]

TABLES = ("log", "tail")
"""Where a document's records are: the older ones in the first, the newer in the second."""

_NOT_MOVED = (
    "NOT EXISTS (SELECT 1 FROM log WHERE log.document = tail.document"
    " AND log.sequence = tail.sequence AND log.id = tail.id)"
)
"""True of rows of the tail that are not in the log too, as they are while they move there."""

_VALUES = 'id, sequence, time_ms, CAST(author AS BLOB), checksum, "update"'
_SELECT_RECORDS = {
    "log": f"SELECT {_VALUES} FROM log WHERE document = ? ORDER BY sequence, id",
    "tail": f"SELECT {_VALUES} FROM tail WHERE document = ? AND {_NOT_MOVED} ORDER BY sequence, id",
}
_COUNT_RECORDS = (
    "SELECT count(*), max(sequence), time_ms, sum(bytes) FROM"
    ' (SELECT sequence, time_ms, length("update") AS bytes FROM log WHERE document = :id'
    ' UNION ALL SELECT sequence, time_ms, length("update") FROM tail'
    f" WHERE document = :id AND {_NOT_MOVED})"
)
"""SQLite takes time_ms from the row that has the maximum."""

_LAST_CHARACTER = 0x10FFFF


def record_seed(document: str) -> int:
    """Return what the checksums of a document's records start from."""
    return crc32(b"record\0" + document.encode())


def record_checksum(seed: int, sequence: int, time_ms: int, author: bytes, update: bytes) -> int:
    """Return a CRC-32 over the document's name and everything in a record."""
    return crc32(update, crc32(b"%d %d %b\0" % (sequence, time_ms, author), seed))


def checkpoint_checksum(
    document: str, sequence: int, time_ms: int, updated_ms: int, state: bytes
) -> int:
    """Return a CRC-32 over the document's name and everything in a checkpoint."""
    head = b"checkpoint\0%b\0%d %d %d\0" % (document.encode(), sequence, time_ms, updated_ms)
    return crc32(state, crc32(head))


def document_checksum(name: str, created_ms: int) -> int:
    """Return a CRC-32 over a document's own row."""
    return crc32(b"document\0%b\0%d" % (name.encode(), created_ms))


@dataclass(frozen=True, slots=True)
class Row:
    """Where a record is."""

    table: str
    id: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Chain:
    """A document's records after its checkpoint, as far as they are intact."""

    records: tuple[Record, ...]
    rows: tuple[Row, ...]
    """Theirs."""
    strays: tuple[Row, ...]
    """All other rows of the document."""
    damage: Damage | None


def read_chain(db: sqlite3.Connection, document: str, row_id: int, *, after: int) -> Chain:
    """Read and verify the records behind sequence ``after``, in order and without gaps.

    A row that fails its checksum is a stray, and no gap where another row for the same
    sequence passes.
    """
    seed = record_seed(document)
    records: list[Record] = []
    rows: list[Row] = []
    strays: list[Row] = []
    expected, problem, ended = after + 1, "", False
    try:
        for table in TABLES:
            for values in db.execute(_SELECT_RECORDS[table], (row_id,)):
                sequence = values[1]
                record = None
                if not ended and sequence == expected:
                    record = _record(document, seed, values)
                    problem = "the record's checksum does not match" if record is None else ""
                elif not ended and not (isinstance(sequence, int) and sequence < expected):
                    problem = problem or f"the record is missing; the next one is {sequence}"
                    ended = True
                row = Row(table, values[0], sequence)
                if record is None:
                    strays.append(row)
                else:
                    records.append(record)
                    rows.append(row)
                    expected += 1
    except sqlite3.DatabaseError as error:
        if not _corrupt(error):
            raise
        problem = problem or f"SQLite can't read the record: {error}"
    if strays and not problem:
        problem = f"{len(strays)} rows of the log are not among the records up to here"
    damage = Damage(document, expected, problem) if problem else None
    return Chain(tuple(records), tuple(rows), tuple(strays), damage)


def _corrupt(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _record(document: str, seed: int, values: Sequence[Any]) -> Record | None:
    _, sequence, time_ms, author, checksum, update = values
    try:
        if record_checksum(seed, sequence, time_ms, author, update) != checksum:
            return None
        return Record(document, sequence, time_ms, author.decode(), update)
    except (TypeError, ValueError, AttributeError):  # a value of another type
        return None


def newest_checkpoint(
    db: sqlite3.Connection, document: str, row_id: int
) -> Checkpoint | Damage | None:
    """Read and verify a document's newest checkpoint."""
    try:
        row = db.execute(
            "SELECT sequence, time_ms, updated_ms, checksum, state FROM checkpoints"
            " WHERE document = ? ORDER BY sequence DESC, id DESC LIMIT 1",
            (row_id,),
        ).fetchone()
    except sqlite3.DatabaseError as error:
        if not _corrupt(error):
            raise
        return Damage(document, 0, f"SQLite can't read the checkpoint: {error}")
    if row is None:
        return None
    sequence, time_ms, updated_ms, checksum, state = row
    try:
        sound = checksum == checkpoint_checksum(document, sequence, time_ms, updated_ms, state)
    except (TypeError, ValueError):  # a value of another type
        sound = False
    if sound:
        return Checkpoint(document, sequence, time_ms, state)
    where = sequence if isinstance(sequence, int) else 0
    return Damage(document, where, "the checkpoint's checksum does not match")


@contextmanager
def one_moment(db: sqlite3.Connection) -> Iterator[None]:
    """Let everything that the block reads be of one moment, whatever is written meanwhile."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        if db.in_transaction:  # some failures have ended it already
            db.execute("ROLLBACK")


def load(db: sqlite3.Connection, document: str) -> Loaded:
    """Return what the database holds of a document, as far as it is intact."""
    with one_moment(db):
        row = db.execute("SELECT id FROM documents WHERE name = ?", (document,)).fetchone()
        if row is None:
            return Loaded(None, ())
        checkpoint = newest_checkpoint(db, document, row[0])
        if isinstance(checkpoint, Damage):
            return Loaded(None, (), checkpoint)
        after = checkpoint.sequence if checkpoint is not None else 0
        chain = read_chain(db, document, row[0], after=after)
        return Loaded(checkpoint, chain.records, chain.damage)


def info(db: sqlite3.Connection, document: str) -> DocumentInfo | None:
    """Return a document's metadata, unverified; ``None`` where there is no such document."""
    with one_moment(db):
        row = db.execute(
            "SELECT id, created_ms FROM documents WHERE name = ?", (document,)
        ).fetchone()
        if row is None:
            return None
        row_id, created_ms = row
        sequence, updated_ms, size = db.execute(
            "SELECT max(sequence), updated_ms, length(state) FROM checkpoints WHERE document = ?",
            (row_id,),
        ).fetchone()
        after = sequence or 0
        counted = db.execute(_COUNT_RECORDS, {"id": row_id}).fetchone()
    count, last, time_ms, log_bytes = counted
    return DocumentInfo(
        name=document,
        sequence=last or after,
        created_ms=created_ms,
        updated_ms=time_ms if last else (updated_ms or created_ms),
        checkpoint_sequence=after,
        checkpoint_bytes=size or 0,
        log_records=count,
        log_bytes=log_bytes or 0,
    )


def names(db: sqlite3.Connection, prefix: str, after: str, limit: int) -> list[str]:
    """Return names that start with ``prefix``, in code point order, behind ``after``.

    UTF-8 keeps the order of code points, so that SQLite's order of bytes is the right one.
    """
    sql = "SELECT CAST(name AS BLOB) FROM documents WHERE name > ? AND name >= ?"
    arguments: list[Any] = [after, prefix]
    end = _behind(prefix)
    if end is not None:
        sql += " AND name < ?"
        arguments.append(end)
    rows = db.execute(f"{sql} ORDER BY name LIMIT ?", (*arguments, limit))
    return [bytes(name).decode(errors="replace") for (name,) in rows]


def _behind(prefix: str) -> str | None:
    """Return the first string that is behind all that start with ``prefix``, if there is one."""
    stem = prefix.rstrip(chr(_LAST_CHARACTER))
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    if 0xD800 <= following <= 0xDFFF:  # surrogates are no characters
        following = 0xE000
    return stem[:-1] + chr(following)
