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
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

__all__ = ["INSIST_S", "LOOK_S", "PATIENCE_S", "STARVED", "Job", "Yielding", "cpu_s", "end"]

PATIENCE_S: Final = 1.0
"""So long a job lasts before its process may be starved;"""
LOOK_S: Final = PATIENCE_S / 4
"""so often that is looked at."""
STARVED: Final = 0.1
"""It is if it got less than this share of the time: some 10 % is what an ordinary process, with
its nice 10, gets beside another one that never rests."""
INSIST_S: Final = 60.0
"""So long new processes are ordinary when one was starved."""


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
        self, command: Sequence[str], data: bytes, *, env: Mapping[str, str], timeout_s: float
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run a command for one job, by the rule; return what became of it, and its stderr.

        Blocks. Raises ``OSError`` where it can't be started, ``TimeoutExpired``.
        """
        while True:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=env,
                process_group=0,  # a Ctrl-C is the server's; nice says nothing outside of a session
            )
            try:
                problem = self._wait(process, data, timeout_s)
            except _Starved:
                end(process)
                self.insist()
            except BaseException:
                end(process)
                raise
            else:
                return subprocess.CompletedProcess(command, process.returncode, b"", problem)

    def _wait(self, process: "subprocess.Popen[bytes]", data: bytes, timeout_s: float) -> bytes:
        job = Job(process.pid) if self.begin(process.pid) else None
        deadline_s = time.monotonic() + timeout_s
        rest: bytes | None = data
        while True:
            left_s = max(0.0, deadline_s - time.monotonic())
            pause_s = left_s if job is None else min(LOOK_S, left_s)
            try:
                return process.communicate(rest, timeout=pause_s)[1]
            except subprocess.TimeoutExpired:
                if not left_s:
                    raise
            rest = None  # it is on its way
            if job is not None and job.starved():
                raise _Starved


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
