"""A server in a process of its own, and quick clients of it."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pycrdt
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.clients import masked_frame
from crdtsync.protocol import (
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    decode_frame,
    step_1_frame,
    step_2_frame,
    update_frame,
)
from tests.processes import environment, kill
from tests.traces.histories import NAME

__all__ = ["Peer", "Reader", "Server"]

LISTENING = "listening on http://"
STOP_S = 30.0


class Server:
    """``crdtsync serve`` on one store: started, ended and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self.address = ""

    def start(self) -> None:
        command = [sys.executable, "-m", "crdtsync", "serve", "--host", "127.0.0.1", "--port", "0"]
        with (self._folder / "errors").open("ab") as errors:
            self._process = subprocess.Popen(
                [*command, "--store", f"sqlite:{self._folder / 't.db'}"],
                cwd=self._folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(LISTENING):
                self.address = line.removeprefix(LISTENING).strip()
                return
        raise AssertionError(f"no server: {(self._folder / 'errors').read_text()}")

    def end(self, how: signal.Signals) -> None:
        """End it; asked politely, it says 0."""
        assert self._process is not None
        if how is signal.SIGKILL:
            kill(self._process)
        else:
            self._process.send_signal(how)
        code = self._process.wait(STOP_S)
        assert code == (0 if how is signal.SIGTERM else -how), code

    def restart(self, how: signal.Signals) -> None:
        self.end(how)
        self.start()

    @classmethod
    @contextmanager
    def running(cls, folder: Path) -> Iterator["Server"]:
        server = cls(folder)
        server.start()
        try:
            yield server
        finally:
            assert server._process is not None
            kill(server._process)


class Peer(WSListener):  # type: ignore[misc]  # picows has no types
    """One connection: answers the server with a document, hands on what it hears."""

    transport: WSTransport

    def __init__(self, doc: pycrdt.Doc[pycrdt.Text], heard: Callable[[bytes], None]) -> None:
        self._doc = doc
        self._heard = heard
        self._news = asyncio.Event()
        self._free = asyncio.Event()
        self._free.set()
        self._gone = False

    async def open(self, server: Server, document: str) -> None:
        """Connect and do what a client does first."""
        url = f"ws://{server.address}/{document}"
        self.transport, _ = await ws_connect(lambda: self, url, max_frame_size=1 << 26)
        self.transport.send(WSMsgType.BINARY, step_1_frame(self._doc.get_state()))

    def close(self) -> None:
        self.transport.disconnect()

    async def send(self, updates: Sequence[bytes]) -> None:
        """Send updates, one message each, with one write: a system call for each is half of it."""
        messages = b"".join(masked_frame(update_frame(update)) for update in updates)
        self.transport.underlying_transport.write(messages)
        await asyncio.sleep(0)  # let others run
        await self._free.wait()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Listen until something is so."""
        while not reached():
            assert not self._gone, "the server ended the connection"
            self._news.clear()
            await self._news.wait()

    # picows calls these.

    def pause_writing(self) -> None:
        self._free.clear()

    def resume_writing(self) -> None:
        self._free.set()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.BINARY:
            (message,) = decode_frame(frame.get_payload_as_bytes())
            match message:
                case SyncStep1(state_vector):
                    answer = step_2_frame(self._doc.get_update(state_vector))
                    transport.send(WSMsgType.BINARY, answer)
                case SyncStep2(update) | SyncUpdate(update):
                    self._heard(update)
        self._news.set()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._gone = True
        self._news.set()


class Reader:
    """A client that only reads."""

    def __init__(self) -> None:
        self.doc: pycrdt.Doc[pycrdt.Text] = pycrdt.Doc()
        self._text = self.doc.get(NAME, type=pycrdt.Text)
        self.peer = Peer(self.doc, self.doc.apply_update)

    async def read(self, wanted: str) -> None:
        """Wait until the text is exactly as wanted."""
        await self.peer.until(lambda: str(self._text) == wanted)
