"""Processes that answer one line for each, and may die or hang in doing so.

Owns their life: started when first asked, killed when they take too long or too much memory,
started anew when asked again.
"""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

__all__ = ["Child", "ChildDied"]

ROOT: Final = Path(__file__).parent.parent
SLOWEST_S: Final = 30.0
EACH_S: Final = 1.0
POLL_S: Final = 0.25


class ChildDied(Exception):
    """A child process ended, or had to be ended: says how. ``answers`` came before that."""

    def __init__(self, reason: str, answers: list[dict[str, Any]]) -> None:
        super().__init__(reason)
        self.answers = answers


class Child:
    """A process with JSON lines in and out; ``watch`` says what is wrong with it, by its id."""

    def __init__(self, *command: str, watch: Callable[[int], str] | None = None) -> None:
        self._command = command
        self._watch = watch
        self._process: subprocess.Popen[bytes] | None = None
        self._fault = ""

    def ask(self, requests: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the answers; raises ``ChildDied``."""
        process = self._process
        if process is None:
            process = self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
            )
        assert process.stdin is not None
        assert process.stdout is not None
        data = b"".join(json.dumps(request).encode() + b"\n" for request in requests)
        done = threading.Event()
        threads = [
            threading.Thread(target=_write, args=(process, data), daemon=True),
            threading.Thread(
                target=self._guard, args=(process, done, SLOWEST_S + EACH_S * len(requests))
            ),
        ]
        self._fault = ""
        for thread in threads:
            thread.start()
        answers: list[dict[str, Any]] = []
        try:
            while len(answers) < len(requests):
                line = process.stdout.readline()
                if not line:
                    break
                answers.append(json.loads(line))
        finally:
            done.set()
            for thread in threads:
                thread.join()
        if len(answers) < len(requests):
            self.close()
            how = self._fault or f"the process ended with {process.returncode}"
            raise ChildDied(how, answers)
        return answers

    def _guard(
        self, process: subprocess.Popen[bytes], done: threading.Event, most_s: float
    ) -> None:
        end_s = time.monotonic() + most_s
        while not done.wait(POLL_S):
            if self._watch is not None:
                self._fault = self._watch(process.pid)
            if time.monotonic() > end_s:
                self._fault = f"no answer within {most_s:.0f} s"
            if self._fault:
                process.kill()
                return

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill() if process.poll() is None and self._fault else None
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except OSError:
                        pass  # it died before it read everything
            process.wait()


def _write(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(data)
        process.stdin.flush()
    except OSError:
        pass  # it is gone, and who reads sees that
