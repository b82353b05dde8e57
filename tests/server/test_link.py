"""The ASGI link by itself: a scripted server on one side, a recording engine on the other."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from crdtsync.errors import RemoteError
from crdtsync.protocol import QUERY_AWARENESS
from crdtsync.server import websocket
from crdtsync.server.websocket import MAX_OUTBOX_BYTES, WebSocketLink

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Server:
    """An ASGI server's two callables; ``room`` is how many messages its socket still takes."""

    def __init__(self, *, room: float = float("inf")) -> None:
        self._to_app, self._from_client = anyio.create_memory_object_stream[dict[str, Any]](1000)
        self.sent: list[dict[str, Any]] = []
        self.room = room
        self.received = 0
        self._changed = anyio.Event()

    def client_sends(self, **message: Any) -> None:
        self._to_app.send_nowait({"type": "websocket.receive", **message})

    def client_leaves(self) -> None:
        self._to_app.send_nowait({"type": "websocket.disconnect", "code": 1006})

    async def receive(self) -> dict[str, Any]:
        message = await self._from_client.receive()
        self.received += 1
        return message

    async def send(self, message: Any) -> None:
        while self.room <= 0:
            await self._changed.wait()
        self.room -= 1
        self.sent.append(message)

    def take(self, messages: float) -> None:
        self.room = messages
        self._changed.set()
        self._changed = anyio.Event()

    @property
    def frames(self) -> list[bytes]:
        return [message["bytes"] for message in self.sent if "bytes" in message]


class Engine:
    """Records what a link tells its connection."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.received: list[bytes] = []
        self.refused: list[RemoteError] = []
        self.closed = False
        self.on_receive: Callable[[bytes], None] = lambda data: None

    def receive(self, data: bytes) -> None:
        self.received.append(data)
        self.on_receive(data)

    def refuse(self, error: RemoteError) -> None:
        self.refused.append(error)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: self.calls.append(name)


async def run(link: WebSocketLink, engine: Engine) -> None:
    await link.run(engine)  # type: ignore[arg-type]


def make(server: Server, *, limit: int = 1000) -> WebSocketLink:
    return WebSocketLink(server.receive, server.send, max_message_bytes=limit)


async def settle() -> None:
    await anyio.wait_all_tasks_blocked()


async def test_messages_go_to_the_engine() -> None:
    """Each binary message is a sign of life and reaches the engine; a text is named as one."""
    server, engine = Server(), Engine()
    server.client_sends(bytes=b"\x00one")
    server.client_sends(text="two", bytes=None)
    server.client_leaves()
    await run(make(server), engine)
    assert engine.received == [b"\x00one"]
    assert engine.calls == ["heard", "heard", "receive_text", "lost"]


async def test_a_message_over_the_limit_is_refused() -> None:
    """A message of the limit passes, one byte more is refused and not handed on."""
    server, engine = Server(), Engine()
    server.client_sends(bytes=bytes(1000))
    server.client_sends(bytes=bytes(1001))
    server.client_leaves()
    await run(make(server), engine)
    assert [len(data) for data in engine.received] == [1000]
    assert [error.kind for error in engine.refused] == ["message-too-large"]


async def test_the_outbox_is_bounded() -> None:
    """A socket that takes nothing stops the engine at the outbox's limit, and no later."""
    server, engine = Server(room=0), Engine()
    link = make(server)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, link, engine)
        await settle()
        while "pause_writing" not in engine.calls:
            link.send(bytes(10_000))
        assert MAX_OUTBOX_BYTES < link.outbox_bytes <= MAX_OUTBOX_BYTES + 10_000
        assert engine.calls == ["pause_writing"]
        server.take(10)
        await settle()
        assert engine.calls == ["pause_writing"]
        server.take(float("inf"))
        await settle()
        assert engine.calls == ["pause_writing", "resume_writing"]
        assert link.outbox_bytes == 0
        server.client_leaves()


async def test_frames_sent_before_the_run() -> None:
    """What the engine sends while it connects is kept, and counts towards the limit."""
    server, engine = Server(), Engine()
    link = make(server)
    link.send(bytes(MAX_OUTBOX_BYTES))
    link.send(b"\x01")
    server.client_leaves()
    await run(link, engine)
    assert engine.calls[0] == "pause_writing"


async def test_close_comes_after_what_was_sent() -> None:
    """A close follows the frames before it, once, and nothing follows the close."""
    server, engine = Server(), Engine()
    link = make(server)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, link, engine)
        link.send(b"last words")
        link.close(1012, "restarting")
        link.close(4400, "again")
        link.send(b"too late")
        await settle()
        server.client_sends(bytes=b"crossing")
        server.client_leaves()
    assert server.sent == [
        {"type": "websocket.send", "bytes": b"last words"},
        {"type": "websocket.close", "code": 1012, "reason": "restarting"},
    ]
    assert engine.received == []
    assert engine.calls == ["lost"]


async def test_a_close_reason_is_cut() -> None:
    """A reason is cut to what a close frame holds."""
    server, engine = Server(), Engine()
    link = make(server)
    link.close(4400, "ü" * 200)
    server.client_leaves()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, link, engine)
    assert link._closing is not None
    assert len(link._closing["reason"].encode()) <= 123


@pytest.mark.parametrize("room", [0, float("inf")])
async def test_a_peer_that_does_not_close(monkeypatch: pytest.MonkeyPatch, room: float) -> None:
    """Neither a full socket nor an unanswered close keeps a closed connection for ever."""
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT_S", 0.05)
    server, engine = Server(room=room), Engine()
    link = make(server)
    link.send(b"frame")
    link.close(1013, "too slow")
    with anyio.fail_after(5):
        await run(link, engine)
    assert engine.calls == ["lost"]


async def test_abort_ends_at_once() -> None:
    """An aborted link waits for nobody, and tells the engine."""
    server, engine = Server(room=0), Engine()
    link = make(server)
    link.send(b"frame")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, link, engine)
        await settle()
        link.abort()
    assert engine.calls == ["lost"]
    assert server.sent == []


async def test_paused_reading() -> None:
    """While reading is paused the server is asked for nothing, so that its own limits hold."""
    server, engine = Server(), Engine()
    link = make(server)
    engine.on_receive = lambda data: link.pause_reading()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, link, engine)
        for number in range(3):
            server.client_sends(bytes=b"\x00%d" % number)
        await settle()
        assert engine.received == [b"\x000"]
        assert server.received == 1
        engine.on_receive = lambda data: None
        link.resume_reading()
        await settle()
        assert engine.received == [b"\x000", b"\x001", b"\x002"]
        server.client_leaves()


async def test_closing_ends_a_pause() -> None:
    """A paused connection that is closed reads on, or it would never see the peer go."""
    server, engine = Server(), Engine()
    link = make(server)
    link.pause_reading()
    link.close(1012, "")
    server.client_leaves()
    with anyio.fail_after(5):
        await run(link, engine)


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("after close")])
async def test_a_send_that_fails(error: Exception) -> None:
    """A server that raises on a send to a lost peer ends the connection, quietly."""

    async def send(message: Any) -> None:
        raise error

    engine = Engine()
    link = WebSocketLink(Server().receive, send, max_message_bytes=1000)
    link.send(b"frame")
    with anyio.fail_after(5):
        await run(link, engine)
    assert engine.calls == ["lost"]


async def test_a_message_that_the_engine_fails_on(caplog: pytest.LogCaptureFixture) -> None:
    """A bug in the engine is logged and costs one connection, with 1011."""

    def fail(data: bytes) -> None:
        raise ZeroDivisionError

    server, engine = Server(), Engine()
    link = make(server)
    engine.on_receive = fail
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, link, engine)
        server.client_sends(bytes=b"\x00")
        server.client_sends(bytes=b"\x00")
        await settle()
        server.client_leaves()
    assert [message["code"] for message in server.sent] == [1011]
    assert len(engine.received) == 1
    assert "ZeroDivisionError" in caplog.text


async def test_cancelled_from_outside() -> None:
    """A server that cancels its application does not leave the engine with a dead link."""
    server, engine = Server(), Engine()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, make(server), engine)
        await settle()
        tasks.cancel_scope.cancel()
    assert engine.calls == ["lost"]


async def test_a_silent_peer_with_awareness_is_asked() -> None:
    """A peer that speaks awareness is asked when it was silent, and nothing vouches for it."""
    server, engine = Server(), Engine()
    link = make(server)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, link, engine)
        server.client_sends(bytes=b"\x01\x01\x00")
        await settle()
        engine.calls.clear()
        link.ping()
        assert engine.calls == ["heard"]
        engine.calls.clear()
        link.ping()
        await settle()
        assert engine.calls == []
        assert server.frames == [QUERY_AWARENESS]
        server.client_sends(bytes=b"\x01\x01\x00")
        await settle()
        assert engine.calls == ["heard"]
        server.client_leaves()


async def test_a_silent_peer_without_awareness_is_left_to_the_server() -> None:
    """A peer that might not know the question is not asked, and not dropped for silence."""
    server, engine = Server(), Engine()
    link = make(server)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, link, engine)
        await settle()
        for _ in range(3):
            link.ping()
        await settle()
        assert engine.calls == ["heard"] * 3
        assert server.frames == []
        server.client_leaves()


async def test_what_came_before_the_close_was_seen_is_handed_on() -> None:
    """A refused client writes on until it has seen the close: the engine gets that too."""
    server, engine = Server(), Engine()
    link = make(server)

    def close(_: bytes) -> None:
        engine.closed = True
        link.close(4409, "no")

    engine.on_receive = close
    for message in (b"\x00one", b"\x00two", bytes(1001)):
        server.client_sends(bytes=message)
    server.client_sends(text="three", bytes=None)
    server.client_leaves()
    await run(link, engine)
    assert engine.received == [b"\x00one", b"\x00two"]
    assert not engine.refused
