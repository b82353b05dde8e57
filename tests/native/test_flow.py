"""Big messages, floods, clients that do not read, and the end: nothing lost, memory bounded."""

import asyncio
import os
import socket
import threading
from typing import Any

import psutil
import pytest
import websockets

from crdtsync.auth import ConnectRequest
from crdtsync.gate import Principal
from crdtsync.limits import Limits
from crdtsync.server import native_link

from .kit import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    STEP_1,
    Frame,
    Peer,
    Recorder,
    Replica,
    Server,
    encode,
    stored_text,
    typed,
    upgrade_request,
    wait_until,
)

BIG = 5_000_000
MB = 1 << 20


def test_small_messages_behind_a_big_one(server: Server) -> None:
    """A connection goes on as before, both ways, after a message that changed its read buffer."""
    with server.synced() as peer, server.synced() as other:
        peer.send(typed(1, 0, "x" * BIG))
        peer.send(typed(1, BIG, "y"))
        peer.sync()
        other.read_until(lambda: len(other.replica.text) == BIG + 1)
        for number in range(20):
            peer.send(typed(1, BIG + 1 + number, "z"))
            peer.sync()
            other.send(typed(2, number, "o"))
            peer.read_until(lambda n=number: peer.replica.text.count("o") == n + 1)  # type: ignore[misc]
        assert server.text().count("z") == 20


def test_big_and_small_messages_in_turn(server: Server) -> None:
    """Big messages, and small ones right behind them in the same segment, all arrive."""
    size = 300_000
    with server.synced() as peer, server.synced() as other:
        clock = 0
        for _ in range(6):
            frames = b""
            for length in (size, 1, 2, size, 3):
                frames += encode(BINARY, typed(1, clock, "x" * length))
                clock += length
            peer.sock.sendall(frames)
        other.read_until(lambda: len(other.replica.text) == clock)
        peer.sync()
        peer.goodbye()


def test_a_big_fragmented_message(server: Server) -> None:
    """A message of 5 MB in big fragments is joined though the buffer changes between them."""
    message = typed(1, 0, "x" * BIG)
    step = 1_000_000
    with server.synced() as peer, server.synced() as other:
        for start in range(0, len(message), step):
            peer.send_frame(
                0 if start else BINARY,
                message[start : start + step],
                fin=start + step >= len(message),
            )
        other.read_until(lambda: len(other.replica.text) == BIG)


def test_read_buffers_do_not_stay(loop: str) -> None:
    """Connections that once sent a big message keep no buffer of its size."""
    process = psutil.Process()
    with Server(loop) as server:
        peers = [server.synced(f"/{number}") for number in range(20)]
        frame = encode(BINARY, b"\x63" + bytes(4 * MB))  # of an unknown kind: dropped
        before = process.memory_info().rss
        for peer in peers:
            peer.sock.sendall(frame)
            peer.sync()
        grown = process.memory_info().rss - before
        assert grown < 20 * 4 * MB / 2, f"{grown / MB:.0f} MB more"
        for peer in peers:
            peer.goodbye()


def test_a_flood(loop: str) -> None:
    """50,000 updates as fast as they go are all committed and delivered, in order."""
    count = 50_000
    letters = "abcdefghij"
    frames = b"".join(
        encode(BINARY, typed(1, clock, letters[clock % 10]), mask=bytes(4))
        for clock in range(count)
    )
    expected = (letters * (count // 10))[:count]
    with Server(loop) as server, server.synced() as reader, server.synced() as writer:
        sender = threading.Thread(target=writer.sock.sendall, args=(frames,))
        sender.start()
        reader.read_until(lambda: len(reader.replica.text) >= count)
        sender.join()
        assert reader.replica.text == expected
        assert server.call(lambda: server.hub.stats.updates_committed) == count
    assert stored_text(server.store) == expected


def test_a_client_that_stops_reading(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not read blocks, costs no memory, and has everything once it reads."""
    monkeypatch.setattr(native_link, "WRITE_BUFFER_BYTES", 16 * 1024)
    limits = Limits(refusal_delay_s=0.01, max_backlog_log_bytes=MB)
    size, count = 25_000, 400
    with Server(loop, limits=limits) as server, narrow(server) as sleeper, server.synced() as peer:
        for number in range(count):
            peer.send(typed(1, number * size, "x" * size))
            peer.barrier()
        assert server.call(lambda: server.hub.rooms["doc"].fanout.lagging) == 1
        log_bytes, unsent = server.call(lambda: waiting(server))
        assert log_bytes <= 2 * MB
        assert unsent <= 2 * MB
        sleeper.read_until(lambda: len(sleeper.replica.text) == size * count)
        peer.send(typed(2, 0, "y"))
        sleeper.read_until(lambda: "y" in sleeper.replica.text)
        assert server.call(lambda: server.hub.rooms["doc"].fanout.lagging) == 0


def test_a_client_that_never_reads(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that takes nothing for too long is closed with 1013, and hung up on."""
    monkeypatch.setattr(native_link, "CLOSE_TIMEOUT_S", 0.1)
    limits = Limits(refusal_delay_s=0.01, max_lag_s=0.1, housekeeping_interval_s=0.05)
    with Server(loop, limits=limits) as server, narrow(server) as sleeper, server.synced() as peer:
        flood(server, peer)
        wait_until(lambda: server.rejected() == {"lagging": 1}, "the laggard is refused")
        wait_until(lambda: server.call(lambda: server.hub.connections) == 1, "it is gone")
        peer.sync()
        with pytest.raises((ConnectionError, AssertionError)):  # cut off within what it lacked
            sleeper.read_until(lambda: False)


def test_a_laggard_that_reads_at_last_sees_why(loop: str) -> None:
    """A client that was too slow finds the 1013 behind what it was sent."""
    limits = Limits(refusal_delay_s=0.01, max_lag_s=0.1, housekeeping_interval_s=0.05)
    with Server(loop, limits=limits) as server, narrow(server) as sleeper, server.synced() as peer:
        flood(server, peer)
        wait_until(lambda: server.rejected() == {"lagging": 1}, "the laggard is refused")
        assert sleeper.close_frame().code == 1013


def test_a_close_by_one_that_does_not_read(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that says goodbye while it takes nothing is hung up on in time all the same."""
    monkeypatch.setattr(native_link, "CLOSE_TIMEOUT_S", 0.1)
    with Server(loop) as server, narrow(server) as sleeper, server.synced() as peer:
        flood(server, peer)
        sleeper.send_close()
        wait_until(lambda: server.call(lambda: server.hub.connections) == 1, "it is gone")


def test_pongs_that_nobody_reads_take_no_memory(server: Server) -> None:
    """Where the answers to pings are not read, only the newest ping is answered, and late."""
    with narrow(server) as sleeper:
        pings = encode(PING, b"p" * 125) * 4000
        for _ in range(60):
            sleeper.sock.sendall(pings)
            assert server.call(lambda: waiting(server)[1]) < MB
        sleeper.send_frame(PING, b"the newest")
        answers = 0
        while (frame := sleeper.frame()) != Frame(PONG, b"the newest"):
            assert frame == Frame(PONG, b"p" * 125)
            answers += 1
        assert 0 < answers < 60 * 4000
        sleeper.sync()


@pytest.mark.parametrize("opcode", [PING, PONG, CONTINUATION])
def test_small_frames_count_for_the_rate(loop: str, opcode: int) -> None:
    """Pings, pongs and fragments cost what a message costs: too many, and they are read slowly."""
    limits = Limits(refusal_delay_s=0.01, max_bytes_per_s=256 * 1024, rate_burst_s=0.5)
    with Server(loop, limits=limits) as server, server.synced() as peer:
        if opcode == CONTINUATION:
            peer.send_frame(BINARY, b"", fin=False)
        peer.sock.sendall(encode(opcode, b"", fin=opcode != CONTINUATION) * 20_000)
        wait_until(lambda: server.call(lambda: server.hub.stats.slowed) > 0, "it is slowed")


def test_pings_before_one_is_let_in_are_bounded(loop: str) -> None:
    """Who is not let in yet has pings answered, up to a size; then it isn't read any more."""
    let_in = threading.Event()

    class Slow:
        async def authenticate(self, _: ConnectRequest) -> Principal:
            await asyncio.to_thread(let_in.wait, 20)
            return Principal()

    with Server(loop, authenticator=Slow()) as server, server.peer() as peer:
        peer.sock.settimeout(0.5)
        sent = 0
        try:
            while sent < 60 * MB:
                peer.sock.sendall(encode(PING) * 10_000)
                sent += 60_000
        except TimeoutError:
            pass
        finally:
            let_in.set()
        assert sent < 60 * MB


def waiting(server: Server) -> tuple[int, int]:
    """Return the bytes that a room's log keeps, and the most that waits for one socket."""
    fanout = server.hub.rooms["doc"].fanout
    links: list[Any] = [each.link.close for each in fanout.connections]
    transports = [link.__self__._transport.underlying_transport for link in links]
    return fanout._log_bytes, max(each.get_write_buffer_size() for each in transports)


def narrow(server: Server) -> Peer:
    """Return a client in sync whose own receive buffer is small."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
    sock.settimeout(20)
    sock.connect(("127.0.0.1", server.port))
    peer = Peer(sock)
    request, key = upgrade_request()
    sock.sendall(request)
    peer.expect_upgrade(key)
    peer.sync()
    return peer


def flood(server: Server, peer: Peer) -> None:
    """Type until another client of the room lags, or is refused for having lagged too long."""
    clock = 0
    for _ in range(1000):
        peer.send(typed(1, clock, "x" * 100_000))
        clock += 100_000
        peer.barrier()
        if server.call(lambda: server.hub.rooms["doc"].fanout.lagging) or server.rejected():
            return
    raise AssertionError("nobody lags")


def test_drain(server: Server) -> None:
    """A server that stops commits what came before and sends its clients away with 1012."""
    with server.synced() as peer, server.synced("/other") as other:
        peer.send(typed(1, 0, "just in time"))
        other.send(typed(1, 0, "this too"))
        peer.send(STEP_1)
        peer.message()  # it has arrived
        other.sync()
        server.stop()
        for each in (peer, other):
            assert each.refused()[:2] == (1012, "the server is restarting")
        server.join()
    assert stored_text(server.store) == "just in time"
    assert stored_text(server.store, "other") == "this too"
    with pytest.raises(ConnectionError):
        server.socket()


def test_nobody_gets_in_while_it_drains(loop: str) -> None:
    """A client that is let in only when the server has begun to stop is told to come back."""
    recorder = Recorder()
    with Server(loop, authenticator=recorder) as server, server.synced() as witness:
        recorder.gate.clear()
        recorder.asked.clear()
        with server.peer() as late:
            recorder.asked.wait()
            server.stop()
            assert witness.refused()[0] == 1012
            recorder.gate.set()
            assert late.refused()[0] == 1012
        server.join()


def test_peers_that_do_not_answer_the_end(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stops waits only so long for the answers to its close frames."""
    monkeypatch.setattr(native_link, "CLOSE_TIMEOUT_S", 0.1)
    monkeypatch.setattr("crdtsync.server.native.CLOSE_TIMEOUT_S", 0.1)
    with Server(loop) as server, server.synced() as peer:
        server.stop()
        assert peer.close_frame().code == 1012
        assert peer.hung_up()
        server.join()


def test_the_websockets_package(server: Server) -> None:
    """An ordinary client library gets along: big and small messages, pings, the end."""

    async def talk() -> None:
        url = f"ws://127.0.0.1:{server.port}/doc?ack=1"
        async with websockets.connect(url, max_size=None, compression="deflate") as client:
            assert (await (await client.ping())) is not None
            await client.send([typed(1, 0, "x" * BIG)[start::] for start in (0,)])
            replica = Replica()
            while len(replica.text) != BIG:
                message = await client.recv()
                assert isinstance(message, bytes)
                replica.receive(message)
            server.stop()
            await client.wait_closed()
            assert client.close_code == 1012

    asyncio.run(talk())


def test_too_large_for_the_websockets_package(loop: str) -> None:
    """A library that writes and reads at the same time sees the 4413, however much it sends."""
    limits = Limits(max_message_bytes=1000, refusal_delay_s=0.01)

    async def talk(port: int) -> int:
        url = f"ws://127.0.0.1:{port}/doc"
        async with websockets.connect(url, compression=None) as client:
            try:
                await client.send(os.urandom(8 * MB))
                while True:
                    await client.recv()
            except websockets.ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else 1006

    with Server(loop, limits=limits) as server:
        assert asyncio.run(talk(server.port)) == 4413


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4000, 4999])
def test_a_client_that_closes(server: Server, code: int) -> None:
    """A client's close frame is answered with its own code, and the server hangs up."""
    with server.synced() as peer:
        peer.send(typed(1, 0, "bye"))
        peer.send_close(code, "so long")
        assert peer.close_frame().code == code
        assert peer.hung_up()
        wait_until(lambda: server.call(lambda: server.hub.connections) == 0, "it is gone")


def test_a_client_that_closes_without_a_code(server: Server) -> None:
    """A close frame without a code is answered with 1000; 1005 never goes over the wire."""
    with server.synced() as peer:
        peer.send_frame(CLOSE)
        assert peer.close_frame().payload == b"\x03\xe8"
        assert peer.hung_up()
