"""Defects, put into a running server on purpose: the tests have to find each of them."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlite_utils import Database

from crdtsync.history.recorder import Recorder
from crdtsync.room import Room
from crdtsync.store import sqlite_schema, sqlite_writer
from crdtsync.store.base import Checkpoint, Record
from crdtsync.store.file_journal import Journal
from crdtsync.store.sqlite_writer import Writer

__all__ = ["CHANGES"]


def shown_before_stored() -> None:
    """Publish each batch when it is taken, before the store has it, which takes its time."""
    take_batch = Room.take_batch

    def take_and_show(self: Room, time_ms: int) -> list[Record]:
        records = take_batch(self, time_ms)
        self.committed()
        return records

    def slowly(owner: Any) -> None:
        append = owner.append

        def later(self: Any, batch: Any) -> Any:
            time.sleep(0.01)
            return append(self, batch)

        owner.append = later

    Room.take_batch = take_and_show  # type: ignore[method-assign]
    slowly(Writer)
    slowly(Journal)


def commits_gathered() -> None:
    """Confirm commits that stay in memory, and write them some dozens at a time."""
    append, kept = Writer.append, list[Record]()

    def later(self: Writer, batch: Sequence[Record]) -> bool:
        kept.extend(batch)
        if len(kept) < 100:
            return False
        due, kept[:] = append(self, kept), []
        return due

    Writer.append = later  # type: ignore[method-assign]


def journal_gathered() -> None:
    """The same for the file store's journal."""
    append, kept = Journal.append, list[bytes]()

    def later(self: Journal, payload: bytes) -> None:
        kept.append(payload)
        if len(kept) >= 40:
            append(self, b"".join(kept))
            kept.clear()

    Journal.append = later  # type: ignore[method-assign]


def checkpoint_of_too_much() -> None:
    """Say of each checkpoint that it stands for one record more than it does."""

    write = Writer.checkpoint

    def more(self: Writer, checkpoint: Checkpoint) -> None:
        write(self, checkpoint)
        with self._writing() as db:
            db.execute("DELETE FROM tail WHERE id = (SELECT max(id) FROM tail)")

    Writer.checkpoint = more  # type: ignore[method-assign]


def without_transactions() -> None:
    """Let every statement be a transaction of its own."""

    @contextmanager
    def none(db: sqlite3.Connection) -> Iterator[None]:
        yield

    sqlite_writer.transaction = none  # type: ignore[attr-defined]


def second_migration() -> None:
    """Not a defect: a next schema, whose migration rewrites every row of the log."""

    def migrate(db: Database) -> None:
        db.execute("CREATE TABLE next AS SELECT * FROM log")
        db.execute("UPDATE log SET \"update\" = x'00'")
        db.execute("UPDATE tail SET author = author || '?'")
        db.execute("DELETE FROM log")
        db.execute("INSERT INTO log SELECT * FROM next")
        db.execute("UPDATE tail SET author = substr(author, 1, length(author) - 1)")
        db.execute("DROP TABLE next")
        db.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")

    sqlite_schema.MIGRATIONS = (*sqlite_schema.MIGRATIONS, migrate)


def second_migration_in_pieces() -> None:
    """The same, without the transaction around it."""
    second_migration()

    @contextmanager
    def none(self: Database) -> Iterator[Database]:
        yield self

    Database.atomic = none  # type: ignore[method-assign]


def history_left_out() -> None:
    """Let a checkpoint drop the log before the history has it, every second time."""
    fold, count = Recorder.fold, 0

    async def sometimes(self: Recorder, *args: Any, **options: Any) -> bool:
        nonlocal count
        count += 1
        return count % 2 == 0 or await fold(self, *args, **options)

    Recorder.fold = sometimes  # type: ignore[method-assign]


CHANGES: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (
        shown_before_stored,
        commits_gathered,
        journal_gathered,
        checkpoint_of_too_much,
        without_transactions,
        second_migration,
        second_migration_in_pieces,
        history_left_out,
    )
}
