"""The tail of the SQLite store: how many records wait in it, and moving them to the log."""

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager

__all__ = ["COLUMNS", "Tail"]

SETTLE_ROWS = 8192
"""Records in the tail above which they move to their documents' places. Finding a document's
records among so many takes 0.4 ms."""

SETTLE_BYTES = 2 * 1024 * 1024
"""The same, by the length of the updates."""

SETTLE_DOCUMENTS = 16
"""Documents whose records move in one transaction, which then takes some 2 ms."""

COLUMNS = 'id, document, sequence, time_ms, author, checksum, "update"'
_MOVE = f"INSERT OR IGNORE INTO log ({COLUMNS}) SELECT {COLUMNS} FROM tail"
_ORDER = "ORDER BY document, sequence"

_Writing = Callable[[], AbstractContextManager[sqlite3.Connection]]


class Tail:
    """What is known of the tail without asking the database.

    Records move for some documents at a time, so that commits get in between. The tail keeps
    them until all documents have theirs: until then some are in both, and moving them again,
    as after a crash, does nothing.
    """

    def __init__(self) -> None:
        self._rows = 0
        self._bytes = 0
        self._patience = 1
        """How many times as much may wait; more after each failure to move it."""
        self._moving: list[int] = []
        """Documents whose records are being moved, and have not been yet; the next is last."""
        self._moving_to = 0
        """The last row that is."""

    @property
    def due(self) -> bool:
        """Whether a move is to be begun."""
        much = self._rows >= SETTLE_ROWS * self._patience
        return not self._moving and (much or self._bytes >= SETTLE_BYTES * self._patience)

    def grow(self, rows: int, size: int) -> None:
        """Count records that were appended."""
        self._rows += rows
        self._bytes += size

    def move(self, writing: _Writing, last_id: int) -> bool:
        """Move the records of some documents, up to ``last_id``; return whether there are more."""
        if not self._moving and not self.due:
            return False  # an earlier call has done it
        try:
            with writing() as db:
                self._move(db, last_id)
        except BaseException:
            self._moving.clear()
            self._patience += 1  # so that it is not tried at every commit
            raise
        del self._moving[-SETTLE_DOCUMENTS:]
        if not self._moving:
            self._patience = 1
        return bool(self._moving)

    def _move(self, db: sqlite3.Connection, last_id: int) -> None:
        if not self._moving:
            rows = db.execute("SELECT DISTINCT document FROM tail ORDER BY document DESC")
            self._moving = [document for (document,) in rows]
            self._moving_to = last_id
            self._rows = self._bytes = 0
        documents = self._moving[-SETTLE_DOCUMENTS:]
        if documents:
            db.execute(
                f"{_MOVE} WHERE id <= ? AND document BETWEEN ? AND ? {_ORDER}",
                (self._moving_to, documents[-1], documents[0]),
            )
        if len(documents) == len(self._moving):
            db.execute("DELETE FROM tail WHERE id <= ?", (self._moving_to,))

    def move_all(self, writing: _Writing) -> None:
        """Move all records at once."""
        self._moving.clear()
        with writing() as db:
            if db.execute("SELECT 1 FROM tail LIMIT 1").fetchone():
                db.execute(f"{_MOVE} {_ORDER}")
                db.execute("DELETE FROM tail")
        self._rows = self._bytes = 0
