"""A server in a thread, and a WebSocket client whose every bit a test decides (RFC 6455)."""

import asyncio
import base64
import contextlib
import hashlib
import os
import queue
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from unittest.mock import patch

import pycrdt
import uvloop

from crdtsync.auth import Authenticator, ConnectRequest
from crdtsync.config import Config
from crdtsync.encoding import write_var_string, write_var_uint
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.protocol import (
    AuthMessage,
    SyncStep2,
    SyncUpdate,
    decode_frame,
    step_1_frame,
    update_frame,
)
from crdtsync.server import assembly
from crdtsync.server import serve as serving
from crdtsync.store.base import Store
from crdtsync.store.memory import MemoryStore

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "LIMITS",
    "PING",
    "PONG",
    "STEP_1",
    "TEXT",
    "Frame",
    "Peer",
    "Recorder",
    "Replica",
    "Server",
    "encode",
    "stored_text",
    "trusting",
    "typed",
    "upgrade_request",
    "wait_until",
]

TIMEOUT_S: Final = 20.0
T = TypeVar("T")
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
STEP_1: Final = step_1_frame(b"\x00")
LIMITS: Final = Limits(refusal_delay_s=0.01)
_ACCEPT: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Server:
    """``crdtsync serve`` in a thread of its own, on a port of its own."""

    def __init__(
        self,
        loop: str = "asyncio",
        *,
        limits: Limits = LIMITS,
        store: Store | None = None,
        authenticator: Authenticator | None = None,
        **config: Any,
    ) -> None:
        self.store = store or MemoryStore()
        self.config = Config(**{"host": "127.0.0.1", "port": 0, "limits": limits, **config})
        self.hub: Hub
        self.listening: serving.Listening
        self._authenticator = authenticator
        self._factory = uvloop.new_event_loop if loop == "uvloop" else None
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._started: queue.Queue[serving.Listening | BaseException] = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        answer = self._started.get(timeout=TIMEOUT_S)
        if isinstance(answer, BaseException):
            self._thread.join(TIMEOUT_S)
            raise answer
        self.listening = answer
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        self.join()

    def stop(self) -> None:
        """Ask it to stop, as a signal would."""
        with contextlib.suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(self._stop.set)

    def join(self) -> None:
        """Wait until it has ended; raise what ended it."""
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive(), "the server does not stop"
        while not self._started.empty():
            answer = self._started.get()
            if isinstance(answer, BaseException):
                raise answer

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._factory) as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self._started.put(error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()

        def make(*args: Any, **options: Any) -> Hub:
            self.hub = Hub(*args, **options)
            return self.hub

        with patch.object(assembly, "Hub", make):
            await serving.serve(
                self.config,
                store=self.store,
                authenticator=self._authenticator,
                started=self._started.put,
                stop=self._stop,
            )

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return self.listening.urls[0]

    @property
    def port(self) -> int:
        """The TCP port."""
        return int(self.url.rpartition(":")[2])

    def call(self, function: Callable[[], T]) -> T:
        """Call something on the server's loop and return its result."""

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(TIMEOUT_S)

    def rejected(self) -> dict[str, int]:
        """Return what was refused so far, by kind."""
        return self.call(lambda: dict(self.hub.stats.rejected))

    def text(self, document: str = "doc") -> str:
        """Return the committed text of an open document."""
        return self.call(lambda: self._text(document))

    def _text(self, document: str) -> str:
        room = self.hub.rooms.get(document)
        replica = Replica()
        if room is not None and room.loaded:
            replica.apply(room.state())
        return replica.text

    def socket(self) -> socket.socket:
        """Return a new TCP connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S)

    def peer(self, path: str = "/doc", headers: Sequence[str] = (), **options: Any) -> "Peer":
        """Return a new WebSocket connection to it."""
        peer = Peer(self.socket(), **options)
        peer.upgrade(path, headers)
        return peer

    def synced(self, path: str = "/doc", headers: Sequence[str] = ()) -> "Peer":
        """Return a new WebSocket connection that has the document."""
        peer = self.peer(path, headers)
        peer.sync()
        return peer


@dataclass(frozen=True, slots=True)
class Frame:
    """One WebSocket frame that the server sent."""

    opcode: int
    payload: bytes

    @property
    def code(self) -> int:
        """The close code."""
        assert self.opcode == CLOSE
        return int(struct.unpack("!H", self.payload[:2])[0]) if self.payload else 1005

    @property
    def reason(self) -> str:
        """The close reason."""
        assert self.opcode == CLOSE
        return self.payload[2:].decode()


class Peer:
    """A WebSocket client without opinions. Answers pings unless told not to."""

    def __init__(self, sock: socket.socket, *, answer_pings: bool = True) -> None:
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.head = b""
        self.replica = Replica()
        self.messages: list[bytes] = []
        """Every binary message that was read so far."""
        self._answer_pings = answer_pings
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    # The handshake

    def upgrade(self, path: str = "/doc", headers: Sequence[str] = ()) -> None:
        """Send an upgrade request, check the answer."""
        request, key = upgrade_request(path, headers)
        self.sock.sendall(request)
        self.expect_upgrade(key)

    def expect_upgrade(self, key: bytes) -> None:
        """Read the answer to an upgrade request, check it."""
        self.head = self.read_head()
        accept = base64.b64encode(hashlib.sha1(key + _ACCEPT).digest())
        lines = self.head.lower().split(b"\r\n")
        assert lines[0].startswith(b"http/1.1 101 "), self.head
        assert b"sec-websocket-accept: " + accept.lower() in lines

    def read_head(self) -> bytes:
        """Read the head of an HTTP response."""
        while b"\r\n\r\n" not in self._buffer:
            assert self._receive(), f"hung up after {bytes(self._buffer)!r}"
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        self._buffer[:] = rest
        return head

    def read_response(self) -> bytes:
        """Read an HTTP response with a Content-Length; return its body."""
        self.head = self.read_head()
        size = next(
            int(line.partition(b":")[2])
            for line in self.head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        while len(self._buffer) < size:
            assert self._receive()
        body = bytes(self._buffer[:size])
        del self._buffer[:size]
        return body

    # Frames

    def send(self, message: bytes) -> None:
        """Send one binary message."""
        self.sock.sendall(encode(BINARY, message))

    def send_frame(self, opcode: int, payload: bytes = b"", **options: Any) -> None:
        """Send one frame, in any way that ``encode`` knows."""
        self.sock.sendall(encode(opcode, payload, **options))

    def send_close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame."""
        self.send_frame(CLOSE, struct.pack("!H", code) + reason.encode())

    def frame(self) -> Frame | None:
        """Read one frame; ``None`` where the server has hung up."""
        head = self._take(2)
        if head is None:
            return None
        assert head[0] & 0xF0 == 0x80, "the server fragments nothing and sets no reserved bit"
        assert not head[1] & 0x80, "a server masks nothing"
        size = head[1]
        if size == 126:
            size = int(struct.unpack("!H", self._need(2))[0])
        elif size == 127:
            size = int(struct.unpack("!Q", self._need(8))[0])
        if head[0] & 8:
            assert size <= 125
        return Frame(head[0] & 15, self._need(size))

    def message(self) -> bytes:
        """Read the next binary message; apply it to the replica where it is an update."""
        while True:
            frame = self.frame()
            assert frame is not None, "the server hung up"
            if frame.opcode == PING and self._answer_pings:
                self.send_frame(PONG, frame.payload)
            elif frame.opcode == BINARY:
                self.messages.append(frame.payload)
                self.replica.receive(frame.payload)
                return frame.payload
            else:
                assert frame.opcode in (PING, PONG), frame

    def read_until(self, condition: Callable[[], bool]) -> None:
        """Read messages until something is so."""
        while not condition():
            self.message()

    def sync(self) -> None:
        """Ask for the document and wait for the answer."""
        self.send(STEP_1)
        while not self.message().startswith(b"\x00\x01"):
            pass

    def barrier(self) -> None:
        """Wait until the server has taken what was sent before: it answers in order."""
        self.send_frame(PING, b"so far")
        while (frame := self.frame()) != Frame(PONG, b"so far"):
            assert frame is not None, "the server hung up"
            if frame.opcode == BINARY:
                self.messages.append(frame.payload)
                self.replica.receive(frame.payload)

    def close_frame(self) -> Frame:
        """Read up to the server's close frame."""
        while True:
            frame = self.frame()
            assert frame is not None, "hung up without a close frame"
            if frame.opcode == CLOSE:
                return frame
            if frame.opcode == BINARY:
                self.messages.append(frame.payload)

    def refused(self) -> tuple[int, str, str]:
        """Read up to the server's close frame, answer it, see it hang up.

        Returns the code, the close reason, and the reason in the auth message before it.
        """
        frame = self.close_frame()
        with contextlib.suppress(OSError):  # it hangs up at once on a broken peer
            self.send_close(frame.code)
        assert self.hung_up()
        return frame.code, frame.reason, self.auth_reason()

    def auth_reason(self) -> str:
        """Return the reason in the last message, where that is an auth message."""
        for message in self.messages[-1:]:
            for each in decode_frame(message):
                if isinstance(each, AuthMessage):
                    return each.reason
        return ""

    def hung_up(self) -> bool:
        """Wait for the end of the stream; return whether nothing came before it."""
        try:
            return self._take(1) is None
        except ConnectionError:
            return True

    def goodbye(self) -> None:
        """Close in good order."""
        self.send_close()
        assert self.close_frame().code == 1000
        assert self.hung_up()
        self.sock.close()

    def _receive(self) -> bool:
        data = self.sock.recv(1 << 16)
        self._buffer += data
        return bool(data)

    def _take(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            if not self._receive():
                return None
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _need(self, size: int) -> bytes:
        data = self._take(size)
        assert data is not None, "hung up within a frame"
        return data


class Replica:
    """What a client's document holds."""

    def __init__(self) -> None:
        self._doc: pycrdt.Doc[Any] = pycrdt.Doc()
        self._text = self._doc.get("text", type=pycrdt.Text)

    def apply(self, update: bytes) -> None:
        """Apply one update."""
        self._doc.apply_update(update)

    def receive(self, message: bytes) -> None:
        """Apply the updates of a server's message."""
        for each in decode_frame(message):
            if isinstance(each, SyncUpdate | SyncStep2) and each.update != b"\x00\x00":
                self.apply(each.update)

    @property
    def text(self) -> str:
        """The text's content."""
        return str(self._text)


class Recorder:
    """An authenticator that remembers what it was asked, and does as it is told."""

    def __init__(self, *, error: Exception | None = None) -> None:
        self.requests: list[ConnectRequest] = []
        self.asked = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self._error = error

    async def authenticate(self, request: ConnectRequest) -> Principal:
        """Wait for the gate; raise what there is to raise."""
        self.requests.append(request)
        self.asked.set()
        await asyncio.to_thread(self.gate.wait, TIMEOUT_S)
        if self._error is not None:
            raise self._error
        return Principal(id=request.token or "someone")


def upgrade_request(path: str = "/doc", headers: Sequence[str] = ()) -> tuple[bytes, bytes]:
    """Return an upgrade request and its key. A header given here takes a default's place."""
    key = base64.b64encode(os.urandom(16))
    lines = {
        "host": "Host: localhost",
        "connection": "Connection: Upgrade",
        "upgrade": "Upgrade: websocket",
        "sec-websocket-version": "Sec-WebSocket-Version: 13",
        "sec-websocket-key": f"Sec-WebSocket-Key: {key.decode()}",
    }
    lines |= {header.partition(":")[0].lower(): header for header in headers}
    head = "\r\n".join([f"GET {path} HTTP/1.1", *lines.values(), "", ""])
    return head.encode("latin-1"), key


def encode(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    mask: bytes = b"\x12\x34\x56\x78",
    size: int | None = None,
) -> bytes:
    """Write a client's frame (RFC 6455, 5.2); ``size`` claims another length than the real one."""
    head = bytes((fin << 7 | rsv << 4 | opcode,))
    claimed = len(payload) if size is None else size
    bit = 0x80 if masked else 0
    if claimed < 126:
        head += bytes((bit | claimed,))
    elif claimed < 1 << 16:
        head += struct.pack("!BH", bit | 126, claimed)
    else:
        head += struct.pack("!BQ", bit | 127, claimed)
    if not masked:
        return head + payload
    key = int.from_bytes((mask * (len(payload) // 4 + 1))[: len(payload)], "big")
    hidden = int.from_bytes(payload, "big") ^ key
    return head + mask + hidden.to_bytes(len(payload), "big")


def typed(client: int, clock: int, text: str) -> bytes:
    """Return the frame of an update: a client types behind what it typed before."""
    if clock:
        place = b"\x84" + write_var_uint(client) + write_var_uint(clock - 1)
    else:
        place = b"\x04\x01\x04text"
    head = b"\x01\x01" + write_var_uint(client) + write_var_uint(clock)
    return update_frame(head + place + write_var_string(text) + b"\x00")


def stored_text(store: Store, document: str = "doc") -> str:
    """Return the text that a store holds, after its server has ended."""

    async def load() -> str:
        replica = Replica()
        async with store:
            loaded = await store.load(document)
        if loaded.checkpoint is not None:
            replica.apply(loaded.checkpoint.state)
        for record in loaded.records:
            replica.apply(record.update)
        return replica.text

    return asyncio.run(load())


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait until something is so, looking often."""
    for _ in _attempts():
        if condition():
            return
    raise AssertionError(f"never: {what}")


def _attempts() -> Iterator[None]:
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        yield
        time.sleep(0.005)


def trusting(cafile: str, *alpn: str) -> ssl.SSLContext:
    """Return a client's TLS context that trusts one certificate."""
    context = ssl.create_default_context(cafile=cafile)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context
