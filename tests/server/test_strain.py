"""Offenders among innocents: everyone has a turn, and what waits for a slow one is shared."""

import threading
from typing import Any

import pytest

from crdtsync.connection import READ_HERE_BYTES, Connection
from crdtsync.limits import Limits
from crdtsync.loading import LOAD_HERE_BYTES, Loader
from crdtsync.server import native_send
from crdtsync.server.native import MAX_READ_BYTES
from crdtsync.store.base import Loaded
from crdtsync.store.memory import MemoryStore
from tests.native.kit import BINARY, Server, encode, typed, wait_until

TIMEOUT_S = 20.0
QUICK = {"refusal_delay_s": 0.01}
UNKNOWN = b"\x63"


class Stop:
    """Holds a thread at a call until it is let go."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._go = threading.Event()

    def __call__(self) -> None:
        """Wait here."""
        self.reached.set()
        assert self._go.wait(TIMEOUT_S)

    def release(self) -> None:
        """Let it go on."""
        self._go.set()


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> str:
    """Run each server on both event loops."""
    return str(request.param)


def test_a_flood_leaves_others_their_turn(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a flood that is in the server's buffers already, another client has its turn soon."""
    taken: list[Connection] = []
    receive = Connection.receive

    def watched(self: Connection, frame: bytes) -> None:
        taken.append(self)
        receive(self, frame)

    frame = encode(BINARY, UNKNOWN, mask=bytes(4))
    count = 300_000 // len(frame)
    limits = Limits(**QUICK, max_ignored_messages=1_000_000)
    with Server(loop, limits=limits) as server, server.synced("/a") as flooder:
        with server.synced("/b") as other:
            monkeypatch.setattr(Connection, "receive", watched)
            stop = Stop()
            server._loop.call_soon_threadsafe(stop)
            assert stop.reached.wait(TIMEOUT_S)
            flooder.sock.sendall(frame * count)
            other.send(UNKNOWN)
            stop.release()
            wait_until(lambda: len(taken) == count + 1, "all is taken")
        before = next(n for n, each in enumerate(taken) if each.room.name == "b")
        assert before <= 4 * MAX_READ_BYTES / len(frame), f"{before} messages of the flood first"


def test_max_ignored_messages(loop: str) -> None:
    """So many messages that mean nothing are let pass, one more closes with 4429."""
    with Server(loop, limits=Limits(**QUICK, max_ignored_messages=5)) as server:
        with server.synced() as peer:
            for _ in range(5):
                peer.send(UNKNOWN)
            peer.sync()
            peer.send(UNKNOWN)
            reason = "too many messages that mean nothing to a server"
            assert peer.refused() == (4429, reason, reason)
        assert server.rejected() == {"too-many-requests": 1}


def test_a_large_message_is_read_beside_the_loop(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a large message is read others are served; what came behind it keeps its order."""
    stop = Stop()
    read = Connection.read

    def held(self: Connection, frame: bytes) -> Any:
        stop()
        return read(self, frame)

    monkeypatch.setattr(Connection, "read", held)
    size = READ_HERE_BYTES + 1
    with Server(loop) as server, server.synced() as writer, server.synced() as reader:
        writer.send(typed(1, 0, "x" * size))
        writer.send(typed(1, size, "y"))
        assert stop.reached.wait(TIMEOUT_S)
        with server.synced("/elsewhere") as other:
            other.send(typed(2, 0, "z"))
            other.sync()
            assert server.text("elsewhere") == "z"
        reader.sync()
        assert reader.replica.text == ""
        stop.release()
        reader.read_until(lambda: reader.replica.text == "x" * size + "y")


def test_a_large_damaged_message_is_refused(loop: str) -> None:
    """A large message that is no update closes as a small one does; what is behind it is void."""
    with Server(loop) as server, server.synced() as writer, server.synced() as reader:
        writer.send(typed(1, 0, "x" * 2 * READ_HERE_BYTES)[:-1] + b"\x07")
        writer.send(typed(1, 0, "y"))
        assert writer.refused()[0] == 4422
        reader.sync()
        assert reader.replica.text == ""


def test_a_large_document_is_loaded_beside_the_loop(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a large document is put together others are served."""
    stop = Stop()
    size = LOAD_HERE_BYTES + 1
    build = Loader.build

    def held(self: Loader, loaded: Loaded) -> Any:
        if loaded.records or loaded.checkpoint:
            stop()
        return build(self, loaded)

    store = MemoryStore()
    with Server(loop, store=store) as server, server.synced("/large") as writer:
        writer.send(typed(1, 0, "x" * size))
        writer.sync()
        wait_until(lambda: server.text("large") != "", "it is stored")
    monkeypatch.setattr(Loader, "build", held)
    with Server(loop, store=store) as server, server.peer("/large") as reader:
        assert stop.reached.wait(TIMEOUT_S)
        with server.synced("/small") as other:
            other.goodbye()
        stop.release()
        reader.sync()
        assert reader.replica.text == "x" * size


def test_a_huge_update_is_one_object(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An update over 2 MB goes to all its readers as the same bytes, and is forgotten behind."""
    made: list[bytes] = []
    wire = native_send._Last.wire

    def watched(self: native_send._Last, message: bytes) -> bytes:
        made.append(wire(self, message))
        return made[-1]

    monkeypatch.setattr(native_send._Last, "wire", watched)
    size = native_send.SHARED_FRAME_BYTES + 1
    with Server(loop) as server, server.synced() as writer:
        readers = [server.synced() for _ in range(3)]
        writer.send(typed(1, 0, "x" * size))
        writer.send(typed(1, size, "y"))
        for reader in readers:
            reader.read_until(lambda reader=reader: reader.replica.text == "x" * size + "y")  # type: ignore[misc]
        assert len(made) == 3
        assert made[0] is made[1] is made[2]
        assert server.call(lambda: native_send._last._wire) == b""
        for reader in readers:
            reader.goodbye()
