"""Work in processes of its own: what comes back, and when a process ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from crdtsync import yielding
from crdtsync.history import worker as worker_module
from crdtsync.history.model import HistoryDamaged, HistoryUnavailable, UnknownMoment
from crdtsync.history.worker import Workers
from crdtsync.history.working import NICENESS
from crdtsync.limits import Limits
from tests.history import work
from tests.needs import require
from tests.unit.engine import until

pytestmark = pytest.mark.anyio
linux = pytest.mark.usefixtures("idle_class")
TRIES = 10
"""A busy machine holds up a loop by itself, though hardly each time."""


@pytest.fixture
def idle_class() -> None:
    """Need the system's class of processes for idle times."""
    require(hasattr(os, "SCHED_IDLE"), "this system has no class of processes for idle times")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both event loops."""
    return str(request.param)


def alive(pid: int) -> bool:
    """Whether a process runs, and is not only waiting to be buried."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(pid: int) -> bool:
    """Wait until a process has ended, which may get few turns; say whether it has."""
    deadline = time.monotonic() + 60
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


async def test_a_process_of_its_own() -> None:
    """Work is done elsewhere, in no hurry, by one process after another call, which then ends."""
    async with Workers() as workers:
        pid, niceness = await workers.run(work.process)
        assert pid != os.getpid()
        assert niceness == min(19, os.nice(0) + NICENESS)
        assert os.getpgid(pid) == pid
        assert os.getsid(pid) == os.getsid(0)  # or it would be nice to nobody but itself
        assert await workers.run(work.double, bytes(3_000_000)) == bytes(6_000_000)
        assert (await workers.run(work.process))[0] == pid
    assert gone(pid)


async def test_no_process_where_none_is_wanted() -> None:
    """A program that ends with the answer works it out itself, with the same errors."""
    async with Workers(here=True) as workers:
        assert (await workers.run(work.process))[0] == os.getpid()
        with pytest.raises(HistoryDamaged, match="no good"):
            await workers.run(work.damaged)
        with pytest.raises(HistoryUnavailable, match="worked out"):
            await workers.run(work.fail)


@linux
async def test_it_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work waits for all else, in the server's session, for call after call."""
    monkeypatch.setattr(yielding, "PATIENCE_S", 1000.0)
    async with Workers() as workers:
        assert await workers.run(work.waits_its_turn)
        pid, _ = await workers.run(work.process)
        assert os.sched_getscheduler(pid) == os.SCHED_IDLE
        assert os.getsid(pid) == os.getsid(0)


@linux
async def test_until_it_gets_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then an ordinary process does it, and what comes next, until it is tried again."""
    monkeypatch.setattr(yielding, "PATIENCE_S", 1000.0)
    monkeypatch.setattr(yielding, "cpu_s", lambda pid: 0.0)
    async with Workers() as workers:
        starved, _ = await workers.run(work.process)
        monkeypatch.setattr(yielding, "PATIENCE_S", 0.05)
        ordinary, waits = await workers.run(work.sleep_if_it_waits, 100.0)
        assert not waits
        assert gone(starved)
        assert (await workers.run(work.process))[0] == ordinary
        monkeypatch.setattr(yielding, "INSIST_S", 0.0)
        workers._yielding.insist()
        monkeypatch.setattr(yielding, "PATIENCE_S", 1000.0)
        assert await workers.run(work.waits_its_turn)
        assert gone(ordinary)


@linux
async def test_a_timeout_counts_from_the_second_try_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first one was given is not taken from the next one."""
    monkeypatch.setattr(yielding, "PATIENCE_S", 0.2)
    monkeypatch.setattr(yielding, "cpu_s", lambda pid: 0.0)
    async with Workers(Limits(history_timeout_s=3.0)) as workers:
        began_s = time.monotonic()
        with pytest.raises(HistoryUnavailable, match="over 3 s"):
            await workers.run(work.sleep, 100.0)
        assert time.monotonic() - began_s >= 3.2


@linux
async def test_where_cores_are_never_free() -> None:
    """Work gets done beside processes that never rest."""
    core = max(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    busy = await anyio.to_thread.run_sync(subprocess.Popen, [sys.executable, "-c", code])
    try:
        async with Workers() as workers:
            await workers.run(work.waits_its_turn)  # one is there
            with anyio.fail_after(50):
                assert not await workers.run(work.burn, core, 0.15)
    finally:
        busy.kill()
        busy.wait()


async def test_what_is_raised_comes_back() -> None:
    """Errors of ours come as they are, a defect as one answer for all, and work goes on."""
    async with Workers() as workers:
        with pytest.raises(HistoryDamaged, match="no good") as caught:
            await workers.run(work.damaged)
        assert caught.value.hint == "look away"
        with pytest.raises(UnknownMoment) as unknown:
            await workers.run(work.pruned)
        assert unknown.value.pruned
        for defect in (work.fail, work.unpicklable):
            with pytest.raises(HistoryUnavailable, match="worked out"):
                await workers.run(defect)
        assert await workers.run(work.double, b"x") == b"xx"


async def test_a_process_that_dies() -> None:
    """Who asked is told; the next one gets another process, also where it died while idle."""
    async with Workers() as workers:
        with pytest.raises(HistoryUnavailable, match="died"):
            await workers.run(work.die)
        pid, _ = await workers.run(work.process)
        with pytest.raises(HistoryUnavailable, match="died"):
            await workers.run(work.die)
        assert gone(pid)
        pid, _ = await workers.run(work.process)
        os.kill(pid, signal.SIGKILL)
        assert (await workers.run(work.process))[0] != pid


async def test_history_timeout_s(tmp_path: Path) -> None:
    """What takes too long is given up, and its process with it."""
    async with Workers(Limits(history_timeout_s=3.0)) as workers:
        path = tmp_path / "pid"
        with pytest.raises(HistoryUnavailable, match="over 3 s"):
            await workers.run(work.note_and_sleep, str(path), 100.0)
        assert gone(int(path.read_text()))
        assert await workers.run(work.double, b"x") == b"xx"


async def test_who_asks_no_more(tmp_path: Path) -> None:
    """A process whose caller is cancelled is ended."""
    path = tmp_path / "pid"
    async with Workers() as workers, anyio.create_task_group() as tasks:
        tasks.start_soon(workers.run, work.note_and_sleep, str(path), 100.0)
        await until(lambda: path.exists() and path.read_text())
        tasks.cancel_scope.cancel()
    assert gone(int(path.read_text()))


@pytest.mark.parametrize("most", [1, 3])
async def test_history_processes(most: int) -> None:
    """So many are at work at the same time, and no more."""
    pids: set[int] = set()
    async with Workers(Limits(history_processes=most)) as workers:

        async def one() -> None:
            await workers.run(work.sleep, 0.1)
            pids.add((await workers.run(work.process))[0])

        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(one)
        assert len(workers._idle) <= most
    assert 1 <= len(pids) <= most
    assert all(gone(pid) for pid in pids)


async def test_the_loop_goes_on_meanwhile() -> None:
    """Starting a process and a large request hold the loop up for no more than some 10 ms."""
    longest = [await longest_turn()]
    while longest[-1] >= 0.2 and len(longest) < TRIES:  # some 5 ms on a quiet machine
        longest.append(await longest_turn())
    assert min(longest) < 0.2


async def longest_turn() -> float:
    """Return how long the loop was held up, in seconds, by a request and what precedes it."""
    longest = 0.0
    async with Workers() as workers, anyio.create_task_group() as tasks:

        async def watch() -> None:
            nonlocal longest
            while True:
                before = time.perf_counter()
                await anyio.sleep(0.001)
                longest = max(longest, time.perf_counter() - before)

        tasks.start_soon(watch)
        await workers.run(work.double, bytes(5_000_000))
        tasks.cancel_scope.cancel()
    return longest


async def test_an_idle_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that had nothing to do for a while is let go."""
    monkeypatch.setattr(worker_module, "IDLE_S", 0.05)
    async with Workers() as workers:
        pid, _ = await workers.run(work.process)
        await until(lambda: not alive(pid))
        assert (await workers.run(work.process))[0] != pid


async def test_where_no_process_can_be_started(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The work is done on a thread, which is said once."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    async with Workers() as workers:
        assert (await workers.run(work.process))[0] == os.getpid()
        with pytest.raises(HistoryDamaged):
            await workers.run(work.damaged)
    assert caplog.text.count("no process for long work") == 1


SERVER = """
import anyio, sys
from crdtsync.history.worker import Workers
from tests.history import work
from tests.needs import require
from tests.unit.engine import until

async def main():
    async with Workers() as workers:
        await workers.run(work.note_and_sleep, sys.argv[1], 100.0)

anyio.run(main)
"""


def test_no_worker_outlives_the_server(tmp_path: Path) -> None:
    """A worker ends at once when its server is killed, though it is at work."""
    path = tmp_path / "pid"
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(path)], cwd=Path.cwd())
    try:
        while not path.exists() or not path.read_text():
            assert server.poll() is None
            time.sleep(0.01)
        pid = int(path.read_text())
        assert alive(pid)
    finally:
        server.kill()
        server.wait()
    assert gone(pid)
