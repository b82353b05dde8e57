"""A store's records and checkpoints as workers get them: what history takes of them, and no more.

A worker that is handed these loads no store.
"""

from collections.abc import Iterable
from typing import NamedTuple

from crdtsync.history.model import LoggedCheckpoint, LoggedRecord, Stored
from crdtsync.history.sieve import NOBODY
from crdtsync.history.timeline import Timeline

__all__ = [
    "Inputs",
    "LogCheckpoint",
    "LogRecord",
    "Records",
    "is_sifted",
    "plain_checkpoint",
    "plain_records",
]


class LogRecord(NamedTuple):
    """One record."""

    sequence: int
    time_ms: int
    author: str
    update: bytes


class LogCheckpoint(NamedTuple):
    """A document's whole state."""

    sequence: int
    time_ms: int
    state: bytes


class Records(tuple[LogRecord, ...]):
    """The records of one document, in order; no slots, so that a pickle has all of it."""

    sifted: bool = False
    """Whether presence is none of its history's business: see ``sieve``."""

    @classmethod
    def of(cls, records: Iterable[LogRecord], *, sifted: bool) -> "Records":
        """Return records of a document whose history is sifted, or not."""
        found = cls(records)
        found.sifted = sifted
        return found

    def none(self) -> "Records":
        """Return no records of the same document."""
        return Records.of((), sifted=self.sifted)


def is_sifted(records: Iterable[LoggedRecord]) -> bool:
    """Return whether presence is none of the business of the history that records belong to."""
    return isinstance(records, Records) and records.sifted


def plain_records(records: Iterable[LoggedRecord], after: int, *, sifted: bool = False) -> Records:
    """Return the records behind a sequence."""
    behind = (
        LogRecord(each.sequence, each.time_ms, each.author, each.update)
        for each in records
        if each.sequence > after
    )
    return Records.of(behind, sifted=sifted)


def plain_checkpoint(checkpoint: LoggedCheckpoint | None, after: int) -> LogCheckpoint | None:
    """Return a checkpoint where it lies behind a sequence."""
    if checkpoint is None or checkpoint.sequence <= after:
        return None
    return LogCheckpoint(checkpoint.sequence, checkpoint.time_ms, checkpoint.state)


class Inputs(NamedTuple):
    """All that is known of a document's past, as functions of the core take it."""

    stored: Stored | None
    checkpoint: LogCheckpoint | None
    records: Records
    """Those behind what is stored."""

    def authors(self) -> set[str]:
        """Return the ids of all who ever changed anything."""
        found = {record.author for record in self.records}
        if self.stored is not None:
            found.update(Timeline(self.stored.head).authors)
        return found - {"", NOBODY}
