"""What a store is: an append-only log and a checkpoint per document.

Owns the protocol and its records. Knows no adapter, no CRDT and no room.

The rules, the same for every adapter:

- ``append`` is one durable commit: when it returns, every record of the batch is on the
  medium that the store's durability names, in the order given; when it raises, none is.
- Order is by sequence number, never by the clock. A document's records have the sequences
  1, 2, 3 ...; a checkpoint at sequence n stands for the records up to and including n.
- Stored bytes are checked when read. What is damaged is reported with document and sequence;
  the intact prefix still loads.
- One process owns a store. A second one is refused with ``StoreLocked``.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, NamedTuple, Protocol, Self, runtime_checkable

__all__ = [
    "Checkpoint",
    "Cutting",
    "Damage",
    "DocumentInfo",
    "Durability",
    "Finding",
    "Loaded",
    "Record",
    "Store",
]

Durability = Literal["fsync", "os", "none"]
"""``fsync``: survives power loss. ``os``: survives the process. ``none``: for tests."""


class Record(NamedTuple):
    """One committed update. A tuple: there is one of each keystroke, made in half the time."""

    document: str
    sequence: int
    """1 for a document's first record, then one more each."""
    time_ms: int
    """Wall clock at the commit, milliseconds since 1970 UTC. Informative: never orders."""
    author: str
    """The principal's id; empty where the client was anonymous."""
    update: bytes
    """A Yjs v1 update, checked."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A document's whole state as one update."""

    document: str
    sequence: int
    """The last record that is in it."""
    time_ms: int
    state: bytes
    """A Yjs v1 update that makes the whole document."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Stored bytes that are not what was written."""

    document: str
    sequence: int
    """The first sequence that can't be read; of a checkpoint, the checkpoint's."""
    problem: str
    """What is wrong, for people."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a store holds of one document."""

    checkpoint: Checkpoint | None
    records: tuple[Record, ...]
    """The records after the checkpoint, in order, without gaps."""
    damage: Damage | None = None
    """Set where something after ``records`` can't be read: serve read-only. With a damaged
    checkpoint there is no prefix: neither checkpoint nor records. The store itself refuses to
    append to such a document, or to checkpoint it, until it is repaired or deleted."""


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """A document's metadata."""

    name: str
    sequence: int
    """Of its newest record (or checkpoint); 0 where it has none."""
    created_ms: int
    updated_ms: int
    checkpoint_sequence: int
    checkpoint_bytes: int
    log_records: int
    log_bytes: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a check's report."""

    document: str
    """Empty where the finding concerns the whole store."""
    sequence: int
    level: Literal["ok", "warning", "error"]
    message: str
    repaired: bool = False


class Store(Protocol):
    """Where documents are kept. Use it as ``async with store:``; every method needs that.

    Methods raise ``StoreError`` (``StoreFull``, ``StoreDamaged``, ``StoreLocked``) and nothing
    else. They may be called from one event loop only, and concurrently.
    """

    @property
    def url(self) -> str:
        """Where the store is, as ``--store`` takes it: ``sqlite:crdtsync.db``."""
        ...

    @property
    def durability(self) -> Durability:
        """What a returned ``append`` promises."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    async def append(self, batch: Sequence[Record]) -> None:
        """Commit all records, of any documents, at once; all or none.

        Raises ``StoreError`` where a record does not continue its document. A caller that is
        cancelled leaves when the commit has ended.
        """
        ...

    async def load(self, document: str) -> Loaded:
        """Return the newest verified checkpoint and the records after it."""
        ...

    async def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint, read it back, then drop what it stands for; all or nothing.

        Its sequence is one that the document has, not before its last checkpoint's. A document
        that the store has never seen may begin with a checkpoint at any sequence.
        """
        ...

    async def info(self, document: str) -> DocumentInfo | None:
        """Return one document's metadata, ``None`` where the store has no such document."""
        ...

    async def documents(
        self, *, prefix: str = "", after: str = "", limit: int = 1000
    ) -> list[DocumentInfo]:
        """List documents by name (code point order), from the first name behind ``after``."""
        ...

    async def delete(self, document: str) -> bool:
        """Remove a document with all its records; return whether there was one."""
        ...

    async def probe(self) -> None:
        """Prove that the store can be written to; raise where it can't."""
        ...

    def check(self, *, repair: bool = False) -> AsyncIterator[Finding]:
        """Read everything; yield what is wrong and where, and one ``ok`` per sound document.

        With ``repair``, cut each damaged document back to its intact prefix (what is cut is
        kept beside the store) so that it can be written again.
        """
        ...


@runtime_checkable
class Cutting(Protocol):
    """A store that can also cut a document where its bytes are as written, but make no sense."""

    async def cut(self, damage: Damage) -> None:
        """Cut a document back to what is before the damage; what is cut is kept, as by a repair.

        Where the damage is at the checkpoint's sequence, nothing is left.
        """
        ...
