"""A store that forgets: for tests, demonstrations and documents that nobody will miss."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from anyio.lowlevel import checkpoint as yield_to_others

from crdtsync.errors import StoreError
from crdtsync.store.base import Checkpoint, DocumentInfo, Durability, Finding, Loaded, Record
from crdtsync.store.failures import not_open
from crdtsync.store.order import admit_checkpoint, extend

__all__ = ["MemoryStore"]


@dataclass(slots=True)
class _Document:
    created_ms: int
    updated_ms: int
    last: int = 0
    checkpoint: Checkpoint | None = None
    records: list[Record] = field(default_factory=list)


class MemoryStore:
    """Documents in this process's memory. The object keeps them when it is left and re-entered."""

    def __init__(self) -> None:
        self._documents: dict[str, _Document] = {}
        self._open = False

    @property
    def url(self) -> str:
        """Where the store is, as ``--store`` takes it."""
        return "memory:"

    @property
    def durability(self) -> Durability:
        """What a returned ``append`` promises: here nothing."""
        return "none"

    async def __aenter__(self) -> Self:
        if self._open:
            raise StoreError("the store memory: is open already")
        self._open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open = False

    async def append(self, batch: Sequence[Record]) -> None:
        """Keep all records, of any documents, at once; all or none."""
        await self._enter("append")
        extend(batch, self._last)
        for record in batch:
            document = self._documents.get(record.document)
            if document is None:
                document = _Document(record.time_ms, record.time_ms)
                self._documents[record.document] = document
            document.records.append(record)
            document.last, document.updated_ms = record.sequence, record.time_ms

    async def load(self, document: str) -> Loaded:
        """Return the checkpoint and the records after it."""
        await self._enter("load")
        held = self._documents.get(document)
        if held is None:
            return Loaded(None, ())
        return Loaded(held.checkpoint, tuple(held.records))

    async def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keep the checkpoint and drop what it stands for."""
        await self._enter("checkpoint")
        held = self._documents.get(checkpoint.document)
        older = held.checkpoint if held is not None else None
        admit_checkpoint(
            checkpoint,
            last=held.last if held is not None else 0,
            older=older.sequence if older is not None else 0,
        )
        if held is None:
            held = _Document(checkpoint.time_ms, checkpoint.time_ms, last=checkpoint.sequence)
            self._documents[checkpoint.document] = held
        held.checkpoint = checkpoint
        held.records = [item for item in held.records if item.sequence > checkpoint.sequence]

    async def info(self, document: str) -> DocumentInfo | None:
        """Return one document's metadata, ``None`` where the store has no such document."""
        await self._enter("info")
        held = self._documents.get(document)
        return _info(document, held) if held is not None else None

    async def documents(
        self, *, prefix: str = "", after: str = "", limit: int = 1000
    ) -> list[DocumentInfo]:
        """List documents by name (code point order), from the first name behind ``after``."""
        await self._enter("list")
        names = sorted(name for name in self._documents if name.startswith(prefix) and name > after)
        return [_info(name, self._documents[name]) for name in names[: max(limit, 0)]]

    async def delete(self, document: str) -> bool:
        """Remove a document with all its records; return whether there was one."""
        await self._enter("delete")
        return self._documents.pop(document, None) is not None

    async def probe(self) -> None:
        """Do nothing: memory can be written to."""
        await self._enter("probe")

    async def check(self, *, repair: bool = False) -> AsyncIterator[Finding]:
        """Yield one ``ok`` per document."""
        await self._enter("check")
        for name in sorted(self._documents):
            held = self._documents[name]
            yield Finding(name, held.last, "ok", f"{len(held.records)} records")

    async def _enter(self, operation: str) -> None:
        if not self._open:
            raise not_open(operation, self.url)
        await yield_to_others()

    def _last(self, document: str) -> int:
        held = self._documents.get(document)
        return held.last if held is not None else 0


def _info(name: str, held: _Document) -> DocumentInfo:
    checkpoint = held.checkpoint
    return DocumentInfo(
        name=name,
        sequence=held.last,
        created_ms=held.created_ms,
        updated_ms=held.updated_ms,
        checkpoint_sequence=checkpoint.sequence if checkpoint is not None else 0,
        checkpoint_bytes=len(checkpoint.state) if checkpoint is not None else 0,
        log_records=len(held.records),
        log_bytes=sum(len(record.update) for record in held.records),
    )
