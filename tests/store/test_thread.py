"""The store's thread: order, results, failures, and what a cancellation does not do."""

import asyncio
import logging
import threading
from collections.abc import Iterator

import anyio
import anyio.lowlevel
import pytest

from crdtsync.store.thread import StoreThread


class Job:
    """A job that runs until it is released, and tells when it began."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self._released = threading.Event()
        self.ended = False

    def __call__(self) -> str:
        self.began.set()
        assert self._released.wait(10)
        self.ended = True
        return "done"

    def release(self) -> None:
        """Let the job end."""
        self._released.set()


@pytest.fixture
def job() -> Iterator[Job]:
    """Yield a job, and release it whatever happens."""
    job = Job()
    yield job
    job.release()


async def until_began(job: Job) -> None:
    """Wait until the job runs."""
    await anyio.to_thread.run_sync(job.began.wait, 10)


@pytest.mark.anyio
async def test_results_and_failures_come_back() -> None:
    """A job's result is returned, its exception raised, and the next job runs."""
    async with StoreThread("t") as thread:
        assert await thread.run(divmod, 17, 5) == (3, 2)
        with pytest.raises(ZeroDivisionError):
            await thread.run(divmod, 1, 0)
        with pytest.raises(SystemExit):
            await thread.run(_exit)
        assert await thread.run(threading.get_ident) != threading.get_ident()


def _exit() -> None:
    raise SystemExit


@pytest.mark.anyio
async def test_jobs_run_in_the_order_given() -> None:
    """Jobs of many tasks run one after another, each whole."""
    order: list[int] = []

    async with StoreThread("t") as thread, anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(thread.run, order.append, number)
    assert sorted(order) == list(range(50))


@pytest.mark.anyio
async def test_a_cancelled_caller_waits_for_its_job(job: Job) -> None:
    """A cancelled caller leaves when its job has ended, with the job's result."""
    results: list[str] = []

    async def call(thread: StoreThread) -> None:
        results.append(await thread.run(job))

    async with StoreThread("t") as thread, anyio.create_task_group() as tasks:
        tasks.start_soon(call, thread)
        await until_began(job)
        tasks.cancel_scope.cancel()
        for _ in range(10):
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
        assert not results
        job.release()
    assert results == ["done"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_task_cancel_waits_for_the_job_too(job: Job) -> None:
    """asyncio's own cancellation, repeated, takes effect when the job has ended."""
    async with StoreThread("t") as thread:
        task = asyncio.create_task(thread.run(job))
        await until_began(job)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not task.done()
        job.release()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert job.ended


@pytest.mark.anyio
async def test_leaving_waits_for_all_jobs(job: Job) -> None:
    """The thread ends after the jobs that it was given."""
    done: list[str] = []
    async with StoreThread("t") as thread:
        thread.spawn(job)
        thread.spawn(done.append, "second")
        job.release()
    assert job.ended
    assert done == ["second"]
    assert all(running.name != "t" for running in threading.enumerate())


@pytest.mark.anyio
async def test_a_failed_background_job_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What a spawned job raises is logged, and the thread goes on."""
    with caplog.at_level(logging.ERROR, "crdtsync.store"):
        async with StoreThread("t") as thread:
            thread.spawn(divmod, 1, 0)
            assert await thread.run(divmod, 1, 1) == (1, 0)
    assert "background work failed" in caplog.text


@pytest.mark.anyio
async def test_a_thread_runs_only_inside_async_with() -> None:
    """Outside of ``async with`` there is no thread, and inside there is one."""
    thread = StoreThread("t")
    with pytest.raises(RuntimeError):
        await thread.run(threading.get_ident)
    with pytest.raises(RuntimeError):
        thread.spawn(threading.get_ident)
    async with thread:
        with pytest.raises(RuntimeError):
            await thread.__aenter__()


def test_a_loop_that_has_ended_is_survived(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    """A job whose event loop is gone when it ends is logged, and the thread can still end."""
    thread = StoreThread("t")

    async def abandon() -> None:
        await thread.__aenter__()
        waiting.append(asyncio.ensure_future(thread.run(job)))
        await asyncio.sleep(0)

    waiting: list[asyncio.Future[str]] = []
    loop = asyncio.new_event_loop()
    loop.run_until_complete(abandon())
    loop.close()
    job.release()
    asyncio.run(thread.__aexit__(None, None, None))
    assert "event loop ended" in caplog.text
    for task in waiting:  # so that asyncio does not complain about it
        task._log_destroy_pending = False  # type: ignore[attr-defined]
