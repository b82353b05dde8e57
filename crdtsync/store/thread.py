"""A thread of the store's own, on which everything that may block is done.

Owns one thread and the queue in front of it. Jobs run one after another, in the order given.
Works under asyncio (uvloop too) and trio, and knows nothing of what a job does.

A job that was handed over is always waited for: a caller that is cancelled meanwhile stays
until the job has ended, so that a commit is either done or has failed, never half known.

A thread and a queue of our own, because ``anyio.to_thread`` costs 50 us of CPU per call and
this costs 23 (CPython 3.11, one core), and a commit itself some 80.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar, TypeVarTuple

from anyio import CancelScope

__all__ = ["StoreThread"]

logger = logging.getLogger("crdtsync.store")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_Done = Callable[[Any, BaseException | None], None]
_Job = tuple[Callable[..., Any], tuple[Any, ...], _Done]


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
        loop = _asyncio_loop()
        if loop is None:
            result: T = await self._run_trio(call, args)
            return result
        future: asyncio.Future[T] = loop.create_future()

        def done(result: Any, error: BaseException | None) -> None:
            loop.call_soon_threadsafe(_resolve, future, result, error)

        self._jobs.put((call, args, done))
        # The scope holds off cancellation by anyio, asyncio.shield that by Task.cancel().
        with CancelScope(shield=True):
            try:
                await asyncio.shield(future)
            except asyncio.CancelledError:
                await _outlast(future)
                raise
        return future.result()

    def spawn(self, call: Callable[[*Ts], object], *args: *Ts) -> None:
        """Run ``call(*args)`` on the thread, later; nobody waits. A failure of it is logged."""
        if self._thread is None:
            raise RuntimeError(f"the thread {self._name} does not run")
        self._jobs.put((call, args, _log_failure))

    async def _run_trio(self, call: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        import outcome
        import trio

        token, task = trio.lowlevel.current_trio_token(), trio.lowlevel.current_task()

        def done(result: Any, error: BaseException | None) -> None:
            value = outcome.Value(result) if error is None else outcome.Error(error)
            token.run_sync_soon(trio.lowlevel.reschedule, task, value)

        self._jobs.put((call, args, done))
        return await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)


def _asyncio_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop where this is an asyncio task, ``None`` under trio (guest mode too)."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    return None if task is None else task.get_loop()


async def _outlast(future: asyncio.Future[Any]) -> None:
    """Wait until the future is done, through any number of cancellations."""
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            continue
    future.exception()  # looked at, so that asyncio does not report it as never retrieved


def _resolve(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _work(jobs: "SimpleQueue[_Job | None]") -> None:
    while (job := jobs.get()) is not None:
        call, args, done = job
        result: Any = None
        failure: BaseException | None = None
        try:
            result = call(*args)
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the job
            failure = error
        try:
            done(result, failure)
        except RuntimeError:  # the loop is gone, and with it whoever waited
            logger.exception("the event loop ended before the store's %r", call)
        # Nothing of a job is kept while the thread waits for the next one.
        del job, call, args, done, result, failure


def _log_failure(result: object, error: BaseException | None) -> None:
    if error is not None:
        logger.error("the store's background work failed: %s", error, exc_info=error)


def _nothing() -> None:
    return None
