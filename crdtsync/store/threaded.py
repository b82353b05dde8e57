"""The part that stores on a disk have in common: calls, turned into jobs on a thread.

Owns the threads, the mapping of failures to ``StoreError``, and the slicing of long work so
that commits get in between. What a job does is the ``Backend``'s.
"""

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar, TypeVarTuple

from crdtsync.errors import StoreError
from crdtsync.store.base import (
    Checkpoint,
    Damage,
    DocumentInfo,
    Durability,
    Finding,
    Loaded,
    Record,
)
from crdtsync.store.failures import (
    FAILURES,
    damaged,
    not_open,
    read_only,
    refusal,
    store_error,
)
from crdtsync.store.thread import StoreThread

__all__ = ["Backend", "ThreadedStore"]

logger = logging.getLogger("crdtsync.store")

INFO_SLICE = 4
"""Documents whose metadata one job reads."""
VERIFY_EVERY_S = 1.0
"""How often commits look whether the store's files are where they were."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Backend(Protocol):
    """A store without threads: every method blocks and may raise what the system raises.

    ``load``, ``info``, ``names``, ``check`` and ``fold`` are called on the reading thread, the
    others on the writing one; the two may be one.
    """

    def open(self) -> None:
        """Take the lock, create or migrate what there is, recover what a crash left."""
        ...

    def close(self) -> None:
        """Tidy up and give the lock back; must not fail where nothing is open."""
        ...

    def verify(self) -> None:
        """Raise where what is open is not the store any more that others would find."""
        ...

    def append(self, batch: Sequence[Record]) -> bool:
        """Commit the batch; return whether ``settle`` has work now."""
        ...

    @property
    def fold_due(self) -> bool:
        """Whether there is work for ``fold``."""
        ...

    def fold(self) -> None:
        """Do work that was put off and can be done beside commits."""
        ...

    def finish_folding(self) -> None:
        """Do the little of it that can't."""
        ...

    def settle(self) -> bool:
        """Do a piece of the work that was put off so that commits are short.

        Return whether there is more of it now.
        """
        ...

    def checkpoint(self, checkpoint: Checkpoint) -> None: ...

    def delete(self, document: str) -> bool: ...

    def probe(self) -> None: ...

    def load(self, document: str) -> Loaded: ...

    def info(self, document: str) -> DocumentInfo | None: ...

    def names(self, prefix: str, after: str, limit: int) -> list[str]:
        """Return names that start with ``prefix``, in order, behind ``after``."""
        ...

    def check(self, repair: bool) -> Iterator[Finding]:
        """Yield findings; with ``repair``, called on the writing thread."""
        ...

    def cut(self, damage: Damage) -> None: ...


class ThreadedStore:
    """A store over a backend; see ``crdtsync.store.base.Store`` for what the methods promise."""

    def __init__(
        self,
        scheme: str,
        path: Path,
        backend: Backend,
        *,
        durability: Durability,
        read_only: bool,
        own_reader: bool,
    ) -> None:
        self._url = f"{scheme}:{path}"
        self._path = path
        self._backend = backend
        self._durability: Durability = durability
        self._read_only = read_only
        self._writer = StoreThread("crdtsync-store")
        self._reader = StoreThread("crdtsync-store-reader") if own_reader else self._writer
        self._open = False
        self._folding = False
        self._verify_at_s = 0.0
        self._failing = False  # the last append did; known on the writing thread
        self._threads: AsyncExitStack | None = None
        self._damaged: dict[str, Damage] = {}
        """Documents that loaded with damage: not written to until they are repaired."""

    @property
    def url(self) -> str:
        """Where the store is, as ``--store`` takes it."""
        return self._url

    @property
    def durability(self) -> Durability:
        """What a returned ``append`` promises."""
        return self._durability

    @property
    def path(self) -> Path:
        """The database's file, or the store's folder."""
        return self._path

    async def __aenter__(self) -> Self:
        if self._threads is not None:
            raise StoreError(f"the store {self._url} is open already")
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._writer)
            if self._reader is not self._writer:
                await stack.enter_async_context(self._reader)
            self._open = True
            stack.push_async_callback(self._close)
            await self._call(self._writer, "open", self._backend.open)
            self._threads = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        threads, self._threads = self._threads, None
        if threads is not None:
            await threads.aclose()

    async def append(self, batch: Sequence[Record]) -> None:
        """Commit all records, of any documents, at once; all or none."""
        self._refuse_reader("append")
        if self._damaged:
            for record in batch:
                self._refuse_damaged("append", record.document)
        if not batch:
            return
        due = await self._call(self._writer, "append", self._append, batch)
        if due and self._open:
            self._writer.spawn(self._settle)
        if self._backend.fold_due and self._open and not self._folding:
            self._folding = True
            self._reader.spawn(self._fold)

    async def load(self, document: str) -> Loaded:
        """Return the newest verified checkpoint and the records after it."""
        loaded = await self._call(self._reader, "load", self._backend.load, document)
        if loaded.damage is not None:
            self._damaged[document] = loaded.damage
        elif self._damaged:
            self._damaged.pop(document, None)
        return loaded

    async def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint, read it back, then drop what it stands for; all or nothing."""
        self._refuse_reader("checkpoint")
        self._refuse_damaged("checkpoint", checkpoint.document)
        await self._call(
            self._writer, "checkpoint", self._verified, self._backend.checkpoint, checkpoint
        )

    async def info(self, document: str) -> DocumentInfo | None:
        """Return one document's metadata, ``None`` where the store has no such document."""
        return await self._call(self._reader, "info", self._backend.info, document)

    async def documents(
        self, *, prefix: str = "", after: str = "", limit: int = 1000
    ) -> list[DocumentInfo]:
        """List documents by name (code point order), from the first name behind ``after``."""
        infos: list[DocumentInfo] = []
        while (wanted := limit - len(infos)) > 0:
            names = await self._call(
                self._reader, "list", self._backend.names, prefix, after, wanted
            )
            for start in range(0, len(names), INFO_SLICE):
                slice_ = names[start : start + INFO_SLICE]
                infos += await self._call(self._reader, "list", self._infos, slice_)
            if len(names) < wanted:
                break
            after = names[-1]  # one that was deleted meanwhile does not end the list
        return infos

    async def delete(self, document: str) -> bool:
        """Remove a document with all its records; return whether there was one."""
        self._refuse_reader("delete")
        deleted = await self._call(
            self._writer, "delete", self._verified, self._backend.delete, document
        )
        self._damaged.pop(document, None)
        return deleted

    async def probe(self) -> None:
        """Prove that the store can be written to; raise where it can't."""
        self._refuse_reader("probe")
        await self._call(self._writer, "probe", self._verified, self._probe)

    async def check(self, *, repair: bool = False) -> AsyncIterator[Finding]:
        """Read everything; yield what is wrong and where, and one ``ok`` per sound document."""
        if repair:
            self._refuse_reader("repair")
        thread = self._writer if repair else self._reader
        findings = await self._call(thread, "check", self._backend.check, repair)
        # One finding a job, so that commits get in between.
        while (finding := await self._call(thread, "check", _following, findings)) is not None:
            if finding.repaired:
                self._damaged.pop(finding.document, None)
            yield finding

    async def cut(self, damage: Damage) -> None:
        """Cut a document back to what is before the damage, and keep what is cut."""
        self._refuse_reader("repair")
        await self._call(self._writer, "repair", self._verified, self._backend.cut, damage)
        self._damaged.pop(damage.document, None)

    def _append(self, batch: Sequence[Record]) -> bool:
        now_s = time.monotonic()
        if now_s >= self._verify_at_s:
            self._backend.verify()
            self._verify_at_s = now_s + VERIFY_EVERY_S
        self._failing = True
        due = self._backend.append(batch)
        self._failing = False
        return due

    def _probe(self) -> None:
        """Commit nothing; where a commit failed, find room for more than that, too."""
        if self._failing and (error := refusal(self._path)) is not None:
            raise error
        self._backend.probe()

    def _verified(self, write: Callable[[*Ts], T], *args: *Ts) -> T:
        self._backend.verify()
        return write(*args)

    def _infos(self, names: list[str]) -> list[DocumentInfo]:
        infos = (self._backend.info(name) for name in names)
        return [info for info in infos if info is not None]

    def _settle(self) -> None:
        if self._put_off(self._backend.settle) and self._open:
            self._writer.spawn(self._settle)  # behind the commits that wait by now

    def _fold(self) -> None:
        self._put_off(self._backend.fold)
        if self._open:
            self._writer.spawn(self._finish_folding)

    def _finish_folding(self) -> None:
        self._put_off(self._backend.finish_folding)
        self._folding = False

    def _put_off(self, work: Callable[[], T]) -> T | None:
        """Do what was put off; where that fails nothing is lost, and it stays put off."""
        try:
            return work()
        except (StoreError, *FAILURES) as error:
            failure = store_error("settle", self._path, error)
            logger.warning("%s. %s", failure, failure.hint)
            return None

    async def _close(self) -> None:
        self._open = False  # what was called before is still done, in the order of the calls
        self._damaged.clear()
        try:
            await self._reader.run(_nothing)
            await self._writer.run(self._backend.close)
        except (StoreError, *FAILURES) as error:
            # Every commit is on its medium already; only tidying up has failed.
            failure = store_error("close", self._path, error)
            logger.warning("%s. %s", failure, failure.hint)

    async def _call(
        self, thread: StoreThread, operation: str, call: Callable[[*Ts], T], *args: *Ts
    ) -> T:
        if not self._open:
            raise not_open(operation, self._url)
        try:
            return await thread.run(call, *args)
        except StoreError:
            raise
        except FAILURES as error:
            raise store_error(operation, self._path, error) from error

    def _refuse_reader(self, operation: str) -> None:
        if self._read_only:
            raise read_only(operation, self._path)

    def _refuse_damaged(self, operation: str, document: str) -> None:
        damage = self._damaged.get(document)
        if damage is not None:
            raise damaged(operation, damage, self._url)


def _nothing() -> None:
    return None


def _following(findings: Iterator[Finding]) -> Finding | None:
    return next(findings, None)
