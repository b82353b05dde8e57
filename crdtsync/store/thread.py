"""A thread of the store's own, on which everything that may block is done.

Owns one thread and the queue in front of it. Jobs run one after another, in the order given.
Works under asyncio (uvloop too) and trio, and knows nothing of what a job does.

A job that was handed over is always waited for: a caller that is cancelled meanwhile stays
until the job has ended, so that a commit is either done or has failed, never half known.

A thread and a queue of our own, because ``anyio.to_thread`` costs more than twice the CPU per
call, and a commit itself not much more than that.
"""

import asyncio
import logging
import math
import os
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar, TypeVarTuple

import anyio

from crdtsync.waiting import asyncio_loop

__all__ = ["StoreThread"]

logger = logging.getLogger("crdtsync.store")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Job:
    """A call on its way through the thread. This one nobody waits for."""

    __slots__ = ("_args", "_call", "error", "result")

    def __init__(self, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._call = call
        self._args = args
        self.result: Any = None
        self.error: BaseException | None = None

    def work(self) -> None:
        """Make the call; on the thread."""
        try:
            self.result = self._call(*self._args)
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the job
            self.error = error
        try:
            self.done()
        except RuntimeError:  # the loop is gone, and with it whoever waited
            logger.exception("the event loop ended before the store's %r", self._call)

    def done(self) -> None:
        """Say that the call has ended; on the thread."""
        if self.error is not None:
            logger.error("the store's background work failed: %s", self.error, exc_info=self.error)

    def outcome(self) -> Any:
        """Return what the call returned, raise what it raised."""
        if self.error is not None:
            raise self.error
        return self.result


class _AsyncioJob(_Job):
    """One that an asyncio task waits for."""

    __slots__ = ("_finished", "_future", "_loop")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, call: Callable[..., Any], args: tuple[Any, ...]
    ) -> None:
        super().__init__(call, args)
        self._loop = loop
        self._future: asyncio.Future[None] = loop.create_future()
        self._finished = False

    def done(self) -> None:
        self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        self._finished = True
        if not self._future.done():
            self._future.set_result(None)

    async def wait(self) -> None:
        """Wait for the end of the call, through any number of cancellations.

        AnyIO's take effect wherever the caller waits next, ``Task.cancel()`` here.
        """
        try:
            await self._future
        except asyncio.CancelledError:
            cancelled = anyio.current_effective_deadline() != -math.inf
            with anyio.CancelScope(shield=True):
                while not self._finished:
                    self._future = self._loop.create_future()
                    try:
                        await self._future
                    except asyncio.CancelledError:
                        cancelled = True
            if cancelled:
                raise


class _TrioJob(_Job):
    """One that a trio task waits for."""

    __slots__ = ("_task", "_token")

    def __init__(self, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        import trio

        super().__init__(call, args)
        self._token = trio.lowlevel.current_trio_token()
        self._task = trio.lowlevel.current_task()

    def done(self) -> None:
        import trio

        self._token.run_sync_soon(trio.lowlevel.reschedule, self._task)

    async def wait(self) -> None:
        """Wait for the end of the call; not to be cancelled."""
        import trio

        await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)


class StoreThread:
    """One thread that runs jobs in order. Use it as ``async with``; leaving waits for all jobs."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def __aenter__(self) -> Self:
        if self._thread is not None:
            raise RuntimeError(f"the thread {self._name} runs already")
        self._thread = threading.Thread(target=_work, args=(self._jobs,), name=self._name)
        self._thread.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        thread = self._thread
        assert thread is not None
        try:
            await self.run(_nothing)
        finally:
            self._thread = None
            self._jobs.put(None)
            thread.join()

    async def run(self, call: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run ``call(*args)`` on the thread; return what it returns, raise what it raises.

        A cancellation waits until the job has ended.
        """
        if self._thread is None:
            raise RuntimeError(f"the thread {self._name} does not run")
        loop = asyncio_loop()
        job = _TrioJob(call, args) if loop is None else _AsyncioJob(loop, call, args)
        self._jobs.put(job)
        await job.wait()
        result: T = job.outcome()
        return result

    def spawn(self, call: Callable[[*Ts], object], *args: *Ts) -> None:
        """Run ``call(*args)`` on the thread, later; nobody waits. A failure of it is logged."""
        if self._thread is None:
            raise RuntimeError(f"the thread {self._name} does not run")
        self._jobs.put(_Job(call, args))


def _stand_back() -> None:
    """Let the kernel wake this thread when a core is free, not in the event loop's place.

    The loop, which has just handed over a job, still holds the interpreter: to be preempted then
    costs both two switches.
    """
    if sys.platform == "linux":
        try:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        except OSError as error:  # a sandbox may forbid it
            logger.debug("the store's thread keeps its scheduling: %s", error)


def _work(jobs: "SimpleQueue[_Job | None]") -> None:
    _stand_back()
    while (job := jobs.get()) is not None:
        job.work()
        del job  # nothing of it is kept while the thread waits for the next one


def _nothing() -> None:
    return None
