"""The tail of the SQLite store: how many records wait in it, and moving them to the log."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

__all__ = ["COLUMNS", "Tail"]

SETTLE_ROWS = 8192
"""Records in the tail above which they move to their documents' places. Finding a document's
records among so many takes 0.4 ms."""

SETTLE_BYTES = 2 * 1024 * 1024
"""The same, by the length of the updates."""

SETTLE_DOCUMENTS = 16
"""Documents whose records move in one transaction, which then takes some 2 ms;"""

SETTLE_SLICE_BYTES = 128 * 1024
"""no more than so many bytes of updates, or one record, in one: 128 KiB take some 2 ms, too."""

COLUMNS = 'id, document, sequence, time_ms, author, checksum, "update"'
_MOVE = f"INSERT OR IGNORE INTO log ({COLUMNS}) SELECT {COLUMNS} FROM tail"
_ORDER = "ORDER BY document, sequence"
_MOVE_SOME = f"{_MOVE} WHERE id > ? AND id <= ? AND document BETWEEN ? AND ? {_ORDER}"
_DROP = "DELETE FROM tail WHERE id <= ?"
_SIZES = 'SELECT document, sum(length("update")) FROM tail WHERE id <= ? GROUP BY document'
_ROWS = 'SELECT id, length("update") FROM tail WHERE id <= ?'

_Writing = Callable[[], AbstractContextManager[sqlite3.Connection]]
_Step = list[tuple[str, tuple[int, ...]]]
"""The statements of one transaction."""


class Tail:
    """What is known of the tail without asking the database.

    Records move a few at a time, so that commits get in between. The tail keeps them until all
    have moved: until then some are in both, and moving them again, as after a crash, does
    nothing.
    """

    def __init__(self) -> None:
        self._rows = 0
        self._bytes = 0
        self._patience = 1
        """How many times as much may wait; more after each failure to move it."""
        self._steps: list[_Step] = []
        """What is left of a move; the next one is last."""

    @property
    def due(self) -> bool:
        """Whether a move is to be begun."""
        much = self._rows >= SETTLE_ROWS * self._patience
        return not self._steps and (much or self._bytes >= SETTLE_BYTES * self._patience)

    def grow(self, rows: int, size: int) -> None:
        """Count records that were appended."""
        self._rows += rows
        self._bytes += size

    def move(self, writing: _Writing, last_id: int) -> bool:
        """Move some records, up to ``last_id``; return whether there are more."""
        if not self._steps and not self.due:
            return False  # an earlier call has done it
        try:
            with writing() as db:
                if not self._steps:
                    self._steps = _plan(db, last_id)
                    self._rows = self._bytes = 0
                for statement in self._steps[-1]:
                    db.execute(*statement)
        except BaseException:
            self._steps.clear()
            self._patience += 1  # so that it is not tried at every commit
            raise
        del self._steps[-1]
        if not self._steps:
            self._patience = 1
        return bool(self._steps)

    def move_all(self, writing: _Writing) -> None:
        """Move all records at once."""
        self._steps.clear()
        with writing() as db:
            if db.execute("SELECT 1 FROM tail LIMIT 1").fetchone():
                db.execute(f"{_MOVE} {_ORDER}")
                db.execute("DELETE FROM tail")
        self._rows = self._bytes = 0


def _plan(db: sqlite3.Connection, last_id: int) -> list[_Step]:
    """Divide a move into steps, the first one last."""
    steps: list[_Step] = []
    first, count, size, total = 0, 0, 0, 0
    last = 0
    for document, length in db.execute(f"{_SIZES} ORDER BY document", (last_id,)).fetchall():
        total += length
        if count and (count == SETTLE_DOCUMENTS or size + length > SETTLE_SLICE_BYTES):
            steps.append([(_MOVE_SOME, (0, last_id, first, last))])
            count = size = 0
        if length > SETTLE_SLICE_BYTES:
            rows = db.execute(f"{_ROWS} AND document = ? ORDER BY id", (last_id, document))
            after = 0
            for border in _borders(rows):
                steps.append([(_MOVE_SOME, (after, border, document, document))])
                after = border
            continue
        first, last = document if not count else first, document
        count += 1
        size += length
    if count:
        steps.append([(_MOVE_SOME, (0, last_id, first, last))])
    if total > SETTLE_SLICE_BYTES:
        rows = db.execute(f"{_ROWS} ORDER BY id", (last_id,))
        steps += [[(_DROP, (border,))] for border in _borders(rows)]
    elif steps:
        steps[-1].append((_DROP, (last_id,)))
    steps.reverse()
    return steps or [[]]


def _borders(rows: Iterable[tuple[int, int]]) -> Iterator[int]:
    """Divide rows, of which the id and the size are known; yield the last id of each part."""
    last = size = 0
    for row, length in rows:
        if size and size + length > SETTLE_SLICE_BYTES:
            yield last
            size = 0
        last = row
        size += length
    if last:
        yield last
