"""Reading a whole SQLite store and saying what is wrong with it; setting damaged rows aside."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from crdtsync.store.base import Damage, Finding
from crdtsync.store.sqlite_rows import (
    TABLES,
    Row,
    document_checksum,
    newest_checkpoint,
    one_moment,
    read_chain,
)

__all__ = ["Checker"]

INTEGRITY_LINES = 20
"""Lines of SQLite's own integrity check that are passed on."""

PAGE = 500
"""Documents whose names are read at once."""

_ORPHANS = "SELECT id, document, sequence FROM {} WHERE document NOT IN (SELECT id FROM documents)"
_KEEP_RECORD = (
    "INSERT INTO damaged (found_ms, problem, kind, document, sequence, time_ms, author, checksum,"
    " content) SELECT :now, :problem, 'record', :name, sequence, time_ms, author, checksum,"
    ' "update" FROM {} WHERE document = :document AND sequence = :sequence AND id = :id'
)
_KEEP_CHECKPOINTS = (
    "INSERT INTO damaged (found_ms, problem, kind, document, sequence, time_ms, checksum, content)"
    " SELECT :now, :problem, 'checkpoint', :name, sequence, time_ms, checksum, state"
    " FROM checkpoints WHERE document = :document"
)


@dataclass(frozen=True, slots=True)
class Checker:
    """One check of a whole store."""

    db: Callable[[], sqlite3.Connection]
    """The connection to read on."""
    repairing: Callable[[], AbstractContextManager[sqlite3.Connection]] | None
    """A transaction to repair in; ``None`` where nothing is to be repaired."""
    now_ms: int

    def run(self) -> Iterator[Finding]:
        """Yield what is wrong with the database as a whole, then each document's findings."""
        yield from self._kept()  # by earlier repairs
        yield from self._integrity()
        yield from self._orphans()
        last = 0
        while True:
            rows = (
                self.db()
                .execute(
                    "SELECT id, CAST(name AS BLOB), created_ms, checksum FROM documents"
                    " WHERE id > ? ORDER BY id LIMIT ?",
                    (last, PAGE),
                )
                .fetchall()
            )
            if not rows:
                return
            for row_id, raw, created_ms, checksum in rows:
                yield from self._document(row_id, raw, created_ms, checksum)
            last = rows[-1][0]

    def cut(self, damage: Damage) -> None:
        """Set aside what is sound by itself from a sequence on, with the checkpoint if it is it."""
        name = damage.document
        db = self.db()
        found = db.execute("SELECT id FROM documents WHERE name = ?", (name,)).fetchone()
        if found is None:
            return
        (row_id,) = found
        checkpoint = newest_checkpoint(db, name, row_id)
        after = checkpoint.sequence if checkpoint is not None else 0
        chain = read_chain(db, name, row_id, after=after)
        rows = [row for row in chain.rows if row.sequence >= damage.sequence]
        whole = checkpoint is not None and damage.sequence <= after
        self._cut(row_id, damage, (*rows, *chain.strays), checkpoints=whole)

    def _integrity(self) -> Iterator[Finding]:
        try:
            rows = self.db().execute(f"PRAGMA integrity_check({INTEGRITY_LINES})").fetchall()
        except sqlite3.DatabaseError as error:
            rows = [(str(error),)]
        for (line,) in rows:
            if line != "ok":
                yield Finding("", 0, "error", f"SQLite: {line}. Recover it with: sqlite3 .recover")

    def _orphans(self) -> Iterator[Finding]:
        for table in (*TABLES, "checkpoints"):
            rows = self.db().execute(_ORPHANS.format(table)).fetchall()
            if not rows:
                continue
            problem = "the document it belongs to does not exist"
            if self.repairing is not None:
                with self.repairing() as db:
                    for row_id, document, sequence in rows:
                        if table == "checkpoints":
                            self._set_checkpoints_aside(db, "", document, problem)
                        else:
                            row = Row(table, row_id, sequence)
                            self._set_record_aside(db, "", document, row, problem)
            yield Finding(
                "",
                0,
                "error",
                f"{len(rows)} rows of {table} belong to no document",
                repaired=self.repairing is not None,
            )

    def _kept(self) -> Iterator[Finding]:
        (count,) = self.db().execute("SELECT count(*) FROM damaged").fetchone()
        if count:
            yield Finding(
                "",
                0,
                "warning",
                f"{count} rows that a repair cut off are kept in the table damaged; "
                "empty it when nobody needs them",
            )

    def _document(
        self, row_id: int, raw: bytes, created_ms: int, checksum: int
    ) -> Iterator[Finding]:
        name = bytes(raw).decode(errors="replace")
        db = self.db()
        with one_moment(db):
            checkpoint = newest_checkpoint(db, name, row_id)
            after = 0 if checkpoint is None else checkpoint.sequence
            chain = read_chain(db, name, row_id, after=after)
        named = _named(name, created_ms) == checksum
        if not named:
            yield self._misnamed(row_id, name, created_ms)
        if isinstance(checkpoint, Damage):
            yield self._cut(row_id, checkpoint, (*chain.rows, *chain.strays), checkpoints=True)
        elif chain.damage is not None:
            yield self._cut(row_id, chain.damage, chain.strays)
        elif named:
            last = chain.records[-1].sequence if chain.records else after
            records = len(chain.records)
            state = f"a checkpoint at {after} and {records}" if checkpoint else f"{records}"
            yield Finding(name, last, "ok", f"{state} records")

    def _misnamed(self, row_id: int, name: str, created_ms: int) -> Finding:
        """Report a document whose own row is damaged; give the row a checksum that fits it.

        Where it is the name that was changed, none of the document's records fits it, and
        they are all set aside besides.
        """
        if self.repairing is not None:
            with self.repairing() as db:
                created = created_ms if isinstance(created_ms, int) else self.now_ms
                db.execute(
                    "UPDATE documents SET name = ?, created_ms = ?, checksum = ? WHERE id = ?",
                    (name, created, document_checksum(name, created), row_id),
                )
        return Finding(
            name,
            0,
            "error",
            "the document's name or date of creation is not what was written",
            repaired=self.repairing is not None,
        )

    def _cut(
        self, row_id: int, damage: Damage, strays: tuple[Row, ...], *, checkpoints: bool = False
    ) -> Finding:
        name, problem = damage.document, damage.problem
        if self.repairing is not None:
            with self.repairing() as db:
                if checkpoints:
                    self._set_checkpoints_aside(db, name, row_id, problem)
                for row in strays:
                    self._set_record_aside(db, name, row_id, row, problem)
        return Finding(
            name,
            damage.sequence,
            "error",
            f"{problem}; {len(strays)} records are cut off",
            repaired=self.repairing is not None,
        )

    def _set_record_aside(
        self, db: sqlite3.Connection, name: str, document: object, row: Row, problem: str
    ) -> None:
        arguments = {
            "now": self.now_ms,
            "problem": problem,
            "name": name,
            "document": document,
            "sequence": row.sequence,
            "id": row.id,
        }
        db.execute(_KEEP_RECORD.format(row.table), arguments)
        db.execute(
            f"DELETE FROM {row.table}"
            " WHERE document = :document AND sequence = :sequence AND id = :id",
            arguments,
        )

    def _set_checkpoints_aside(
        self, db: sqlite3.Connection, name: str, document: object, problem: str
    ) -> None:
        arguments = {"now": self.now_ms, "problem": problem, "name": name, "document": document}
        db.execute(_KEEP_CHECKPOINTS, arguments)
        db.execute("DELETE FROM checkpoints WHERE document = :document", arguments)


def _named(name: str, created_ms: object) -> int:
    return document_checksum(name, created_ms) if isinstance(created_ms, int) else -1
