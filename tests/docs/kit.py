"""What the documentation tests share: pages and their parts, a server process, a client."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Self

import pycrdt
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from websockets.sync.client import connect

from crdtsync.protocol import (
    AuthMessage,
    Message,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    decode_frame,
    step_1_frame,
    step_2_frame,
    update_frame,
)
from tests.processes import kill

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
PAGES = (REPOSITORY / "README.md", *sorted(DOCS.glob("*.md")))
TIMEOUT_S = 30.0
"""After this a test that waits for an event has failed."""


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


def environment(**extra: str) -> dict[str, str]:
    """Return this process's environment with our source tree, and without our variables."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CRDTSYNC_")}
    return kept | {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"} | extra


class Process:
    """A Python program that runs beside the test; its output can be waited for."""

    def __init__(self, *arguments: str, cwd: Path, **variables: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=cwd,
            env=environment() | variables,
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


class Client:
    """A y-websocket client: one document, the messages of the protocol, an explicit pace."""

    def __init__(self, url: str) -> None:
        self.doc: pycrdt.Doc[Any] = pycrdt.Doc()
        self.text = self.doc.get("text", type=pycrdt.Text)
        self.messages: list[Message] = []
        self._stack = ExitStack()
        self._socket = self._stack.enter_context(
            connect(url, proxy=None, compression=None, max_size=None, ping_interval=None)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def receive(self) -> Message:
        """Wait for one message; integrate what it brings and answer a step 1."""
        frame = self._socket.recv(timeout=TIMEOUT_S)
        assert isinstance(frame, bytes)
        (message,) = decode_frame(frame)
        match message:
            case SyncStep1(vector):
                self._socket.send(step_2_frame(self.doc.get_update(vector)))
            case SyncStep2(update) | SyncUpdate(update):
                self.doc.apply_update(update)
        self.messages.append(message)
        return message

    def receive_until(self, wanted: Callable[[], bool]) -> None:
        """Receive until a condition holds; keepalives alone don't make it wait for ever."""
        deadline = time.monotonic() + TIMEOUT_S
        while not wanted():
            assert time.monotonic() < deadline, f"not in time; the text is {str(self.text)!r}"
            self.receive()

    def sync(self) -> Self:
        """Send step 1, and receive until both sides have what the other had."""
        self._socket.send(step_1_frame(self.doc.get_state()))
        self.receive_until(lambda: {SyncStep1, SyncStep2} <= {type(m) for m in self.messages})
        return self

    def ask(self, vector: bytes) -> None:
        """Send a step 1 for a state vector."""
        self._socket.send(step_1_frame(vector))

    def edit(self, change: Callable[[], object]) -> None:
        """Change the document, and send that."""
        before = self.doc.get_state()
        change()
        self._socket.send(update_frame(self.doc.get_update(before)))

    def append(self, text: str) -> None:
        """Add to the end of the text."""
        self.edit(lambda: self.text.insert(len(self.text), text))

    def closed(self) -> Close | None:
        """Receive until the connection ends; return what the server said about it."""
        try:
            while True:
                self.receive()
        except ConnectionClosed as error:
            return error.rcvd

    @property
    def reasons(self) -> list[str]:
        """The reasons with which the server has denied something."""
        return [message.reason for message in self.messages if isinstance(message, AuthMessage)]
