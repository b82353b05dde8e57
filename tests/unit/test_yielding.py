"""Processes that give way: how it is decided, and a process for one job."""

import os
import subprocess
import sys
import time
from typing import IO

import pytest

from crdtsync import yielding
from crdtsync.yielding import Done, Job, Yielding, cpu_s
from tests.needs import require

SAYS = """
import os, sys, time
data = sys.stdin.buffer.read()
sys.stdout.write(f"{{len(data)}}")
if waits := os.sched_getscheduler(0) == os.SCHED_IDLE:
    time.sleep({seconds})
sys.stderr.write(f"{{waits}}")
sys.exit({code})
"""

linux = pytest.mark.usefixtures("idle_class")


@pytest.fixture
def idle_class() -> None:
    """Need the system's class of processes for idle times."""
    require(hasattr(os, "SCHED_IDLE"), "this system has no class of processes for idle times")


def say(seconds: float, code: int = 0) -> list[str]:
    return [sys.executable, "-c", SAYS.format(seconds=seconds, code=code)]


def run(rule: Yielding, command: list[str], timeout_s: float = 170.0) -> Done[bytes]:
    def ask(target: IO[bytes]) -> None:
        target.write(bytes(300_000))

    def hear(source: IO[bytes]) -> bytes:
        return source.read()

    return rule.run(command, ask, hear, env=os.environ, timeout_s=timeout_s)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no process get anything, and little patience with that."""
    monkeypatch.setattr(yielding, "cpu_s", lambda pid: 0.0)
    monkeypatch.setattr(yielding, "PATIENCE_S", 0.05)
    monkeypatch.setattr(yielding, "LOOK_S", 0.02)


@linux
def test_how_long_a_process_has_run() -> None:
    """It is what the process itself says, and nothing once it is gone."""
    until_s = time.process_time() + 0.05
    while time.process_time() < until_s:
        pass
    found = cpu_s(os.getpid())
    assert found is not None
    assert abs(found - time.process_time()) < 0.1
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    assert cpu_s(process.pid) is None


def test_who_is_starved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever got less than its share since its job began, once that is long enough ago."""
    now_s, ran_s = 100.0, 7.0
    monkeypatch.setattr(yielding.time, "monotonic", lambda: now_s)
    monkeypatch.setattr(yielding, "cpu_s", lambda pid: ran_s)
    job = Job(1)
    now_s += yielding.PATIENCE_S * 0.99
    assert not job.starved()
    now_s = 100.0 + 2 * yielding.PATIENCE_S
    assert job.starved()
    ran_s += yielding.STARVED * 2 * yielding.PATIENCE_S * 1.01
    assert not job.starved()
    now_s += 0.1 * yielding.PATIENCE_S
    assert job.starved()
    monkeypatch.setattr(yielding, "cpu_s", lambda pid: None)
    assert not job.starved()


def test_for_how_long_processes_are_ordinary(monkeypatch: pytest.MonkeyPatch) -> None:
    """``INSIST_S`` after one was starved; then it is tried again."""
    now_s = 100.0
    monkeypatch.setattr(yielding.time, "monotonic", lambda: now_s)
    monkeypatch.setattr(yielding, "cpu_s", lambda pid: 0.0)
    rule = Yielding()
    assert rule.wanted
    rule.insist()
    now_s += yielding.INSIST_S * 0.99
    assert not rule.wanted
    now_s += yielding.INSIST_S * 0.02
    assert rule.wanted


@linux
def test_a_process_for_one_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives way, gets its input, and says how it ended."""
    monkeypatch.setattr(yielding, "PATIENCE_S", 1000.0)
    assert run(Yielding(), say(0)) == Done(0, b"300000", "True")


def test_where_there_are_no_files_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the system's folder for temporary ones do as well."""

    def refused(_: str) -> int:
        raise OSError

    monkeypatch.setattr(os, "memfd_create", refused, raising=False)
    done = run(Yielding(), say(0))
    assert (done.code, done.answer) == (0, b"300000")


@linux
def test_a_process_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one that does not end with 0 nothing is heard but how it ended, and why."""
    monkeypatch.setattr(yielding, "PATIENCE_S", 1000.0)
    assert run(Yielding(), say(0, code=5)) == Done(5, None, "True")


@linux
@pytest.mark.usefixtures("hasty")
def test_a_starved_one_is_replaced() -> None:
    """Its job is done by an ordinary one, and so is the next one at once."""
    rule = Yielding()
    assert run(rule, say(100)) == Done(0, b"300000", "False")
    assert not rule.wanted
    assert run(rule, say(100)) == Done(0, b"300000", "False")


@pytest.mark.parametrize("starved", [True, False])
def test_one_that_takes_too_long(starved: bool, request: pytest.FixtureRequest) -> None:
    """It is ended, whether it gave way or not."""
    if starved:
        request.getfixturevalue("hasty")
    began_s = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        run(Yielding(), [sys.executable, "-c", "import time; time.sleep(100)"], timeout_s=0.3)
    assert time.monotonic() - began_s < 20


@linux
@pytest.mark.parametrize("lacking", ["class", "right", "measure"])
def test_where_it_is_not_to_be_had(monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
    """Without a class of processes for it, or a measure of what they got, all are ordinary."""

    def forbidden(*_: object) -> None:
        raise PermissionError

    command = say(100)
    if lacking == "class":
        monkeypatch.delattr(os, "SCHED_IDLE")
    elif lacking == "right":
        monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    else:
        monkeypatch.setattr(yielding, "cpu_s", lambda pid: None)
    rule = Yielding()
    assert run(rule, command) == Done(0, b"300000", "False")
    assert not rule.wanted
