"""A server in a process of its own, followed by its output: no sleeping, no guessing."""

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import environment, kill

TIMEOUT_S = 30.0


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "crdtsync", *args]


def run(*args: str, cwd: Path, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end."""
    return subprocess.run(
        command(*args),
        cwd=cwd,
        env=environment(),
        input=data,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )


class Server:
    """A started ``crdtsync serve``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Read standard output up to the line that matches."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            self.lines.append(line)
            match = re.search(pattern, line)
            if match:
                return match
        raise AssertionError(f"no line {pattern!r} in {self.lines}: {self.process.communicate()}")

    def stop(self, signum: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal; return exit code and the rest of both outputs."""
        self.process.send_signal(signum)
        assert self.process.stdout is not None
        out = self.process.stdout.read()  # what readline has taken beforehand, too
        _, err = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, out, err


@contextmanager
def server(cwd: Path, *args: str, files: int | None = None) -> Iterator[Server]:
    """Start ``crdtsync serve``; end it when the block is left, and when it hangs.

    ``files`` is how many files and sockets it may open at most.
    """
    limited = [] if files is None else ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh"]
    process = subprocess.Popen(
        [*limited, *command("serve", *args)],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(TIMEOUT_S, kill, (process,))
    watchdog.start()
    try:
        yield Server(process)
    finally:
        watchdog.cancel()
        kill(process)
        process.communicate()
