"""The words of version history: moments, changes, versions, and how what is asked of them fails.

A *moment* is a document as it was after one of its records: a sequence. A *step* is what lies
between two moments that are kept; its *changes* say who inserted and deleted what in it. A
*version* is a moment that somebody, or the server, has named.

Knows no store, no clock and no CRDT.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from crdtsync.errors import OperatorError
from crdtsync.idset import IdSet
from crdtsync.structs import Range

__all__ = [
    "Change",
    "HistoryDamaged",
    "HistoryError",
    "HistoryOff",
    "HistoryUnavailable",
    "LoggedCheckpoint",
    "LoggedRecord",
    "NotRestorable",
    "Snapshot",
    "Stored",
    "UnknownDocument",
    "UnknownMoment",
    "UnknownRoot",
    "Version",
    "VersionKind",
    "WrongKind",
    "size_of",
]

VersionKind = Literal["named", "auto", "restore", "import"]
"""Made by somebody, or by the server: while people edit, or before a restore or an import."""


class HistoryError(OperatorError):
    """What was asked of a document's history can't be answered; the document is unharmed."""


class HistoryOff(HistoryError):
    """No history is kept of this document."""


class UnknownMoment(HistoryError):
    """There is no such moment or version: never was, not of this document, or no more."""

    def __init__(self, message: str, *, hint: str = "", pruned: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.pruned = pruned
        """Whether it was there once and has been let go."""


class UnknownDocument(UnknownMoment):
    """There is no such document, and so no moment of it."""


class NotRestorable(HistoryError):
    """A moment can be read, and yet not be made the document's present."""


class UnknownRoot(HistoryError):
    """The document has no such root at this moment."""


class WrongKind(HistoryError):
    """A root is not what was asked of it: the text of a map, or a comparison of two moments at
    which it is something else."""


class HistoryDamaged(HistoryError):
    """What is stored of a document's history is not what was written."""


class HistoryUnavailable(HistoryError):
    """It could not be worked out now: the work took too long, or its process died."""


class LoggedRecord(Protocol):
    """What history takes from a store's record."""

    @property
    def sequence(self) -> int: ...
    @property
    def time_ms(self) -> int: ...
    @property
    def author(self) -> str: ...
    @property
    def update(self) -> bytes: ...


class LoggedCheckpoint(Protocol):
    """What history takes from a store's checkpoint."""

    @property
    def sequence(self) -> int: ...
    @property
    def time_ms(self) -> int: ...
    @property
    def state(self) -> bytes: ...


class Change(NamedTuple):
    """What one author did within one step."""

    sequence: int
    """The last record of its step: only behind a step's last change there is a moment."""
    time_ms: int
    """Of the last record in it, milliseconds since 1970 UTC."""
    author: str
    """The principal's id; empty where that is unknown or anonymous."""
    inserts: tuple[Range, ...]
    """``(client, first clock, end clock)`` of what it brought."""
    deletes: tuple[Range, ...]
    """``(client, first clock, end clock)`` of what it was the first to delete."""


class Snapshot(NamedTuple):
    """A moment, as Yjs has it: what was there, and what of that was deleted."""

    clocks: Mapping[int, int]
    """Of every client the next clock."""
    deletes: IdSet


@dataclass(frozen=True, slots=True)
class Stored:
    """One document's history as bytes, the way it lies in the history's store."""

    sequence: int
    """The last record that is in it; 0 where there is none yet."""
    head: bytes = b""
    """Names of authors, clients: see ``timeline``."""
    structs: bytes = b""
    """Everything ever inserted, as one v1 update that deletes nothing; compressed."""
    blocks: tuple[bytes, ...] = ()
    """The changes in order, some thousand each; see ``timeline``."""


def size_of(stored: Stored) -> int:
    """Return how many bytes a history's content has."""
    return len(stored.head) + len(stored.structs) + sum(map(len, stored.blocks))


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A moment with a name."""

    id: int
    """Never given twice, by any document."""
    document: str
    sequence: int
    time_ms: int
    """When the document was so, milliseconds since 1970 UTC."""
    kind: VersionKind
    label: str = ""
    note: str = ""
    author: str = ""
    """The id of who made the version; empty for the server itself, and for the anonymous."""
    author_name: str = ""
