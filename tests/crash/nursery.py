"""Processes without their second of start-up: forks of one that has imported everything.

``python -m tests.crash.nursery`` forks a victim for each line of its standard input and reports
starts and ends on its standard output. A victim is the leader of a session of its own, and ends
with the nursery at the latest. ``Nursery`` is the tests' end of it.
"""

import ctypes
import importlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.crash.victim import Plan, run
from tests.processes import environment

__all__ = ["Nursery", "Victim"]

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60.0
POLL_S = 0.004
PR_SET_PDEATHSIG = 1
PRELOADED = ("crdtsync.cli", "crdtsync.server.native", "crdtsync.server.serve", "uvloop")
PRELOADED_LIBRARIES = ("libfiu.so.0", "/usr/lib/fiu/fiu_posix_preload.so")
"""What takes the second of start-up; nothing of it starts a thread."""


class Victim:
    """A process that the nursery has started."""

    def __init__(self, out: Path, error: Path, faults: Path | None = None) -> None:
        self.faults = faults
        """What its remote control's pipes begin with, where libfiu makes its calls fail."""
        self._out = out
        self._error = error
        self._started = threading.Event()
        self._ended = threading.Event()
        self._pid = 0
        self._code = 0

    def report(self, *, pid: int | None = None, code: int | None = None) -> None:
        """Take over what the nursery says."""
        if pid is not None:
            self._pid = pid
            self._started.set()
        if code is not None:
            self._code = code
            self._ended.set()

    @property
    def pid(self) -> int:
        """Its process id, once it is started."""
        assert self._started.wait(TIMEOUT_S)
        return self._pid

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._ended.is_set()

    @property
    def out(self) -> str:
        """Return standard output so far."""
        return self._out.read_text("utf-8", errors="replace")

    @property
    def error(self) -> str:
        """Return standard error so far."""
        return self._error.read_text("utf-8", errors="replace")

    def kill(self) -> None:
        """End the process and all that it started with SIGKILL, if it is still there."""
        pid = self.pid
        if not self.ended:
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.wait()

    def wait(self) -> int:
        """Wait for the end; return the exit code, negative for a signal."""
        if not self._ended.wait(TIMEOUT_S):
            raise AssertionError(f"process {self._pid} does not end: {self.error}")
        return self._code

    def port(self) -> int | None:
        """Wait until the server listens; return its port, ``None`` where it dies before."""
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            ended = self.ended
            found = re.search(r"^listening on http://127\.0\.0\.1:(\d+)$", self.out, re.MULTILINE)
            if found:
                return int(found[1])
            if ended:
                return None
            time.sleep(POLL_S)
        raise AssertionError(f"process {self._pid} does not listen: {self.error}")


class Nursery:
    """Starts victims. Use it as ``with``; leaving ends all of them.

    With ``faults`` each has libfiu in it, to be told by ``fiu-ctrl`` which calls fail.
    """

    def __init__(self, folder: Path, *, faults: bool = False) -> None:
        self._folder = folder
        self._faults = faults
        self._victims: list[Victim] = []

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        faulty = {"LD_PRELOAD": " ".join(PRELOADED_LIBRARIES)} if self._faults else {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.nursery"],
            cwd=ROOT,
            env=environment(**faulty),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for victim in self._victims:
            victim.kill()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(TIMEOUT_S)
        self._listener.join(TIMEOUT_S)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def start(self, *arguments: str, plan: Plan | None = None, cwd: Path | None = None) -> Victim:
        """Start ``crdtsync ARGUMENT...``."""
        number = len(self._victims)
        out, error = self._folder / f"{number}.out", self._folder / f"{number}.err"
        faults = self._folder / "faults" if self._faults else None
        victim = Victim(out, error, faults)
        for path in (out, error):
            path.touch()
        self._victims.append(victim)
        order = {
            "number": number,
            "arguments": arguments,
            "plan": (plan or Plan()).to_json(),
            "cwd": str(cwd or self._folder),
            "out": str(out),
            "error": str(error),
            "faults": str(faults or ""),
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return victim

    def run(self, *arguments: str, plan: Plan | None = None) -> Victim:
        """Run a command to its end."""
        victim = self.start(*arguments, plan=plan)
        victim.wait()
        return victim

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found = json.loads(line)
            self._victims[found.pop("number")].report(**found)


def _fork(order: dict[str, Any]) -> int:
    """Fork a victim, and return its process id; in the child, do not return."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        for target, path in ((1, order["out"]), (2, order["error"])):
            descriptor = os.open(path, flags)
            os.dup2(descriptor, target)
            os.close(descriptor)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.chdir(order["cwd"])
        if order["faults"]:  # a thread of libfiu's own, which a fork does not have
            assert ctypes.CDLL("libfiu.so.0").fiu_rc_fifo(order["faults"].encode()) == 0
        run(Plan.from_json(order["plan"]), list(order["arguments"]))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - shown, and the exit code says so
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _say(**words: int) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def _main() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    wakeup, woken = os.pipe()
    for each in (wakeup, woken):
        os.set_blocking(each, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken)
    running: dict[int, int] = {}
    buffer = b""
    while True:
        readable, _, _ = select.select([0, wakeup], [], [])
        if wakeup in readable:
            os.read(wakeup, 4096)
            while running:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                _say(number=running.pop(pid), code=os.waitstatus_to_exitcode(status))
        if 0 in readable:
            data = os.read(0, 65536)
            if not data:
                return  # the victims end with this process
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                order = json.loads(line)
                pid = _fork(order)
                running[pid] = order["number"]
                _say(number=order["number"], pid=pid)


if __name__ == "__main__":
    _main()
