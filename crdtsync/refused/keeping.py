"""Keeping refused updates: off the event loop, in batches, bounded before and on the disk.

Owns the buffer in front of the database and the task that empties it. A flood of refused updates
costs the loop an append to a list each, and the disk no more than the limits say; what is lost
by that is counted, and said in the log.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio
import anyio.abc

from crdtsync.errors import StoreError
from crdtsync.limits import Limits
from crdtsync.refused import records
from crdtsync.refused.base import Entry, Filter, Lost, QuarantineStats, RefusedUpdate, Run
from crdtsync.store.side import SideDatabase
from crdtsync.waiting import Alarm

__all__ = ["FILE", "RefusedUpdates"]

log = logging.getLogger("crdtsync.refused")

FILE: Final = "refused.db"
"""The database's file in the guard's folder."""
MAX_BUFFERED_UPDATES: Final = 10_000
"""Refused updates that wait to be written; above, they are lost."""
MAX_BUFFERED_BYTES: Final = 32 * 1024 * 1024
"""The same, in bytes; a single one may be larger."""
SHARE: Final = 4
"""One connection may have the fourth part of that: a flood leaves the others' updates room."""
MAX_LATE_UPDATES: Final = 2_500
"""What one connection may bring between a refusal and its end; what it floods with beyond that
would only push its author's other entries out."""
MAX_LATE_BYTES: Final = 8 * 1024 * 1024
"""The same, in bytes; a single one may be larger."""
WRITE_INTERVAL_S: Final = 0.1
"""What comes in this time is written together, at least."""
MAX_BATCH_UPDATES: Final = 1_000
"""Updates that are written in one transaction; the bounds hold behind each."""
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
"""The same, in bytes; a single one may be larger."""
RETRY_S: Final = 5.0
"""Between two tries, where the disk takes nothing."""
COUNT_INTERVAL_S: Final = 10.0
"""How often it is counted what other processes have left of it."""
LOG_INTERVAL_S: Final = 60.0
"""What is lost is said at most once in this time."""


class RefusedUpdates:
    """The quarantine in one folder; in memory where that is ``None``. Use it as ``async with``."""

    def __init__(
        self,
        folder: Path | None,
        limits: Limits | None = None,
        *,
        insist: bool = False,
        read_only: bool = False,
    ) -> None:
        """With ``insist``, entering raises ``StoreError`` where the file can't be opened.

        With ``read_only`` nothing can be kept or dropped.
        """
        self._insist = insist
        self._path = None if folder is None else folder / FILE
        self._limits = limits or Limits()
        self._side = SideDatabase(self._path, records.MIGRATIONS, read_only=read_only)
        self._buffer: list[RefusedUpdate] = []
        self._buffered_bytes = 0
        self._handed = 0  # updates that were buffered, ever
        self._done = 0  # those of them that were written
        self._waiters: list[tuple[int, Callable[[], None]]] = []  # for so many to be written
        self._alarm = Alarm()
        self._open = False
        self._failing = False
        self._unnoted: dict[str, tuple[int, int]] = {}  # lost before it came to the database
        self._unsaid: Counter[str] = Counter()  # lost, and not said in the log
        self._said_s = float("-inf")
        self._stack = AsyncExitStack()
        self.stats = QuarantineStats()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._enter_database(stack)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            tasks.start_soon(self._run)
            stack.push_async_callback(self._end, tasks)
            await self._count()
            self._stack = stack.pop_all()
        self._open = True
        return self

    async def _enter_database(self, stack: AsyncExitStack) -> None:
        try:
            await stack.enter_async_context(self._side)
        except StoreError as error:
            if self._insist:
                raise
            # Nobody's edits depend on it: the server runs, and says so.
            log.error("refused updates are kept in memory only: %s", error)
            self._side = SideDatabase(None, records.MIGRATIONS)
            await stack.enter_async_context(self._side)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _end(self, tasks: anyio.abc.TaskGroup) -> None:
        self._open = False
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await self._write()
        if self._buffer:
            log.error("%d refused updates were not kept", len(self._buffer))
        self._say()

    # From the engine

    def keep(self, refused: RefusedUpdate, /) -> None:
        """Keep an update, soon; never waits and never raises."""
        size = len(refused.update)
        run = refused.run
        cause = self._too_much(run, size, late=refused.late)
        if cause:
            updates, total = self._unnoted.get(cause, (0, 0))
            self._unnoted[cause] = updates + 1, total + size
            self._lose(Counter({cause: 1}))
            return
        if refused.late:
            run.late += 1
            run.late_bytes += size
        self._buffer.append(refused)
        self._buffered_bytes += size
        run.waiting += 1
        run.waiting_bytes += size
        self._handed += 1
        self._alarm.set()

    def _too_much(self, run: Run, size: int, *, late: bool) -> str:
        """Return which bound an update of a connection is over; empty where it is over none."""
        if (
            late
            and run.late
            and (run.late >= MAX_LATE_UPDATES or run.late_bytes + size > MAX_LATE_BYTES)
        ):
            return "late"
        if self._buffer and (
            len(self._buffer) >= MAX_BUFFERED_UPDATES
            or self._buffered_bytes + size > MAX_BUFFERED_BYTES
            or run.waiting >= MAX_BUFFERED_UPDATES // SHARE
            or (run.waiting and run.waiting_bytes + size > MAX_BUFFERED_BYTES // SHARE)
        ):
            return "buffer"
        return ""

    def when_kept(self, call: Callable[[], None], /) -> None:
        """Call something once all that was handed in so far is on disk, or can't be now."""
        if self._open and not self._failing and self._done < self._handed:
            self._waiters.append((self._handed, call))
        else:
            call()

    # Reading and dropping

    async def entries(self, which: Filter, /, *, limit: int, whole: bool = False) -> list[Entry]:
        """Return the oldest entries that are meant; ``whole`` ones come with their update."""
        written = anyio.Event()
        self.when_kept(written.set)
        await written.wait()
        return await self._side.call(records.entries, which, limit, whole)

    async def drop(self, found: Collection[Entry], /) -> int:
        """Forget entries; return how many went. One that has grown since stays."""
        dropped = await self._side.call(records.drop, found)
        await self._count()
        return dropped

    async def lost(self) -> Sequence[Lost]:
        """Return what was not kept, ever."""
        return await self._side.call(records.lost)

    # Writing

    async def _run(self) -> None:
        while True:
            with anyio.move_on_after(COUNT_INTERVAL_S) as waiting:
                await self._alarm.wait()
            with anyio.CancelScope(shield=True):
                written = await (self._recount() if waiting.cancelled_caught else self._write())
            await anyio.sleep(WRITE_INTERVAL_S if written else RETRY_S)

    async def _write(self) -> bool:
        """Write what is buffered; return whether the disk took it."""
        while self._buffer or self._unnoted:
            batch = self._next_batch()
            noted, self._unnoted = self._unnoted, {}
            try:
                found = [Lost(cause, *counts) for cause, counts in noted.items()]
                written = await self._side.call(_write, batch, found, self._limits)
            except StoreError as error:
                log.error("refused updates can't be kept now: %s", error)
                for refused in batch:
                    refused.run.entry = 0  # no such entry was made
                self._buffer = batch + self._buffer
                self._buffered_bytes += sum(len(refused.update) for refused in batch)
                self._unnoted = _sum(noted, self._unnoted)
                self._failing = True
                self._alarm.set()
                self._wake(self._handed)
                return False
            self._failing = False
            self._account(written)
            self._done += len(batch)
            for refused in batch:
                refused.run.waiting -= 1
                refused.run.waiting_bytes -= len(refused.update)
            self._wake(self._done)
        await self._recount()
        self._say()
        return True

    def _next_batch(self) -> list[RefusedUpdate]:
        size = count = 0
        for refused in self._buffer[:MAX_BATCH_UPDATES]:
            size += len(refused.update)
            if count and size > MAX_BATCH_BYTES:
                size -= len(refused.update)
                break
            count += 1
        batch, self._buffer = self._buffer[:count], self._buffer[count:]
        self._buffered_bytes -= size
        return batch

    def _wake(self, done: int) -> None:
        due = [call for target, call in self._waiters if target <= done]
        self._waiters = [each for each in self._waiters if each[0] > done]
        for call in due:
            call()

    def _account(self, written: records.Written) -> None:
        self.stats.kept += written.kept
        self.stats.duplicates += written.duplicates
        self._lose(written.lost)

    def _lose(self, found: "Counter[str]") -> None:
        for cause, updates in found.items():
            if updates:
                self.stats.lost[cause] += updates
                self._unsaid[cause] += updates

    def _say(self) -> None:
        if not self._unsaid:
            return
        now_s = anyio.current_time()
        if self._open and now_s - self._said_s < LOG_INTERVAL_S:
            return
        self._said_s = now_s
        causes = ", ".join(f"{cause} {updates}" for cause, updates in sorted(self._unsaid.items()))
        log.warning("refused updates were dropped over the limits of their quarantine: %s", causes)
        self._unsaid.clear()

    async def _recount(self) -> bool:
        """Count what others have dropped."""
        try:
            await self._count()
        except StoreError as error:
            log.warning("the quarantine of refused updates can't be read: %s", error)
        return True

    async def _count(self) -> None:
        self.stats.entries, self.stats.size = await self._side.call(records.totals)


def _sum(
    one: dict[str, tuple[int, int]], other: dict[str, tuple[int, int]]
) -> dict[str, tuple[int, int]]:
    none = (0, 0)
    return {
        cause: (
            one.get(cause, none)[0] + other.get(cause, none)[0],
            one.get(cause, none)[1] + other.get(cause, none)[1],
        )
        for cause in one | other
    }


def _write(
    database: records.Database,
    batch: Sequence[RefusedUpdate],
    found: Sequence[Lost],
    limits: Limits,
) -> records.Written:
    records.note_lost(database, found)
    return records.write(database, batch, limits)
