"""What the documentation tests share: pages and their parts, a server process, a client."""

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Self

from tests.client import TIMEOUT_S, Client
from tests.processes import environment, kill

__all__ = [
    "DOCS",
    "PAGES",
    "REPOSITORY",
    "TIMEOUT_S",
    "Client",
    "Process",
    "blocks",
    "code",
    "environment",
    "page",
    "prose",
    "serving",
    "table",
    "tables",
]

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
PAGES = (REPOSITORY / "README.md", *sorted(DOCS.glob("*.md")))


def page(name: str) -> str:
    """Return a page's text, by its name from the repository's root."""
    return (REPOSITORY / name).read_text("utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def tables(text: str) -> list[list[list[str]]]:
    """Return the tables of a page, each as rows of cells, the headings first."""
    found: list[list[list[str]]] = []
    for part in re.findall(r"(?:^\|.*\n)+", prose(text), re.MULTILINE):
        rows = [
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
            for line in part.splitlines()
        ]
        found.append([rows[0], *rows[2:]])
    return found


def table(text: str, *headings: str) -> list[list[str]]:
    """Return the rows of the one table with these first headings."""
    (found,) = (rows for rows in tables(text) if tuple(rows[0][: len(headings)]) == headings)
    return found[1:]


def code(cell: str) -> list[str]:
    """Return the words of a cell that are set as code."""
    return re.findall(r"`([^`]+)`", cell)


class Process:
    """A program that runs beside the test, Python by default; its output can be waited for."""

    def __init__(
        self, *arguments: str, cwd: Path, program: str = sys.executable, **variables: str
    ) -> None:
        self._process = subprocess.Popen(
            [program, *arguments],
            cwd=cwd,
            env=environment(PYTHONUNBUFFERED="1") | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    @property
    def pid(self) -> int:
        """The process that was started; of a server, its supervisor."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the program has ended."""
        return self._process.poll() is not None

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Read on until a line matches."""
        while True:
            try:
                line = self._lines.get(timeout=TIMEOUT_S)
            except Empty:
                raise AssertionError(f"no line {pattern!r} in time: {self.output}") from None
            if line is None:
                raise AssertionError(f"the program ended without {pattern!r}: {self.output}")
            self.output += line
            if match := re.search(pattern, line):
                return match

    def send(self, signum: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(signum)

    def wait(self) -> int:
        """Wait for the end; return the exit code."""
        code = self._process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        while not self._lines.empty():
            self.output += self._lines.get() or ""
        return code

    def stop(self, signum: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        if signum is signal.SIGKILL:
            kill(self._process)
        elif not self.ended:
            self._process.send_signal(signum)
        return self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        kill(self._process)
        self._reader.join()


@contextmanager
def serving(cwd: Path, *options: str) -> Iterator[tuple[Process, str]]:
    """Run ``crdtsync serve``; hand out the process and the address that clients connect to."""
    arguments = ("-m", "crdtsync", "serve", "--host", "127.0.0.1", "--port", "0", *options)
    with Process(*arguments, cwd=cwd) as process:
        port = process.wait_for(r"listening on http://127\.0\.0\.1:(\d+)")[1]
        yield process, f"ws://127.0.0.1:{port}"
