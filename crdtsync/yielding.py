"""Processes that give way to everything else, for as long as they get anywhere that way.

Owns the rule. A process of the system's idle class runs while nothing else wants its core: no
keystroke waits for the end of its turn, as it does for a process that is only nice. Where the
cores are never free it hardly runs, though, and without privileges it can't leave that class
again. So what it has to do must be repeatable: once it is ``starved`` it is ended, what it did
is done again by an ordinary process, and for a while new ones are ordinary, too. Where the
system has no such class, or doesn't say what a process got, all are ordinary.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Generic, TypeVar

__all__ = [
    "INSIST_S",
    "LOOK_S",
    "PATIENCE_S",
    "STARVED",
    "Done",
    "Job",
    "Yielding",
    "cpu_s",
    "end",
    "nameless",
]

PATIENCE_S: Final = 1.0
"""So long a job lasts before its process may be starved;"""
LOOK_S: Final = PATIENCE_S / 4
"""so often that is looked at."""
STARVED: Final = 0.1
"""It is if it got less than this share of the time: some 10 % is what an ordinary process, with
its nice 10, gets beside another one that never rests."""
INSIST_S: Final = 60.0
"""So long new processes are ordinary when one was starved."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What became of a process for one job."""

    code: int
    """How it ended, as ``Popen.returncode``."""
    answer: T | None
    """What it said, where it ended with 0."""
    problem: str
    """What it said on its standard error."""


class Yielding:
    """Whether processes give way, from one time to the next. Safe to use from threads."""

    def __init__(self) -> None:
        self._possible = cpu_s(os.getpid()) is not None
        self._ordinary_until_s = 0.0

    @property
    def wanted(self) -> bool:
        """Whether a new process should give way."""
        return self._possible and time.monotonic() >= self._ordinary_until_s

    def begin(self, pid: int) -> bool:
        """Have a process that was just started give way, if it should; return whether it does."""
        if not self.wanted:
            return False
        try:
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
        except ProcessLookupError:
            return False
        except (AttributeError, OSError):
            self._possible = False
            return False
        return True

    def insist(self) -> None:
        """Take note that one was starved."""
        self._ordinary_until_s = time.monotonic() + INSIST_S

    def run(
        self,
        command: Sequence[str],
        ask: Callable[[IO[bytes]], None],
        hear: Callable[[IO[bytes]], T],
        *,
        env: Mapping[str, str],
        timeout_s: float,
    ) -> Done[T]:
        """Run a command for one job, by the rule; return what became of it.

        ``ask`` writes its standard input, ``hear`` reads its standard output if it ends with 0.
        Both are files in memory: through pipes, megabytes would keep this process busy, too.
        Blocks. Raises ``OSError`` where it can't be started, ``TimeoutExpired``.
        """
        with _file() as question:
            with open(question, "wb", closefd=False) as target:
                ask(target)
            while True:
                os.lseek(question, 0, os.SEEK_SET)
                with _file() as answer, _file() as problem:
                    process = subprocess.Popen(
                        command,
                        stdin=question,
                        stdout=answer,
                        stderr=problem,
                        env=env,
                        # A Ctrl-C is the server's. No session: nice would say nothing outside.
                        process_group=0,
                    )
                    try:
                        code = self._wait(process, timeout_s)
                    except _Starved:
                        end(process)
                        self.insist()
                        continue
                    except BaseException:
                        end(process)
                        raise
                    for each in (answer, problem):  # the process has moved them
                        os.lseek(each, 0, os.SEEK_SET)
                    with (
                        open(answer, "rb", closefd=False) as source,
                        open(problem, "rb", closefd=False) as words,
                    ):
                        heard = None if code else hear(source)
                        return Done(code, heard, words.read().decode(errors="replace"))

    def _wait(self, process: "subprocess.Popen[bytes]", timeout_s: float) -> int:
        job = Job(process.pid) if self.begin(process.pid) else None
        deadline_s = time.monotonic() + timeout_s
        while True:
            left_s = max(0.0, deadline_s - time.monotonic())
            pause_s = left_s if job is None else min(LOOK_S, left_s)
            try:
                return process.wait(timeout=pause_s)
            except subprocess.TimeoutExpired:
                if not left_s:
                    raise
            if job is not None and job.starved():
                raise _Starved


@contextlib.contextmanager
def _file() -> Iterator[int]:
    file = nameless()
    try:
        yield file
    finally:
        os.close(file)


def nameless() -> int:
    """Open a file without a name, in memory where the system has such. Raises ``OSError``."""
    if sys.platform == "linux" and hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):
            return os.memfd_create("crdtsync")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class _Starved(Exception):
    """A process that gives way got no turn."""


class Job:
    """What a process that gives way does, from now on."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._began_s = time.monotonic()
        self._before_s = cpu_s(pid) or 0.0

    def starved(self) -> bool:
        """Whether its process gets nowhere with it."""
        passed_s = time.monotonic() - self._began_s
        if passed_s < PATIENCE_S:
            return False
        now_s = cpu_s(self._pid)
        return now_s is not None and now_s - self._before_s < STARVED * passed_s


def cpu_s(pid: int) -> float | None:
    """Return how long a process has run; ``None`` where that can't be known, or it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        fields = text[text.rindex(")") :].split()  # its name may hold anything
        return (int(fields[12]) + int(fields[13])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process without waiting for that: one that gets no turn gets none to die in, either."""
    process.kill()
    threading.Thread(target=_bury, args=(process,), daemon=True).start()


def _bury(process: "subprocess.Popen[bytes]") -> None:
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what it was to get is still in the buffer
                pipe.close()
