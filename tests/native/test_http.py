"""What a client of plain HTTP may hold: no socket, and no answer, for nothing."""

import asyncio
import contextlib
import gc
import json
import socket
import time
from collections.abc import Iterator

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from hypercorn.config import Config as HypercornConfig
from hypercorn.protocol.h2 import StreamBuffer
from priority.priority import PriorityTree

from crdtsync.limits import Limits
from crdtsync.server import bodies
from crdtsync.server.websocket import WebSocketLink

from .kit import Peer, Server, typed, wait_until

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""What HTTP/2 begins with, without settings of one's own (RFC 9113, 3.4)."""
UPGRADE = (
    b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
)
LARGE = 8_000_000
QUICK = Limits(refusal_delay_s=0.01, request_timeout_s=0.5)
WRITE = (
    b"PATCH /api/v1/documents/doc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
)


@pytest.fixture
def server(loop: str) -> Iterator[Server]:
    """A server that waits for half a second."""
    with Server(loop, limits=QUICK) as server:
        yield server


def ends(sock: socket.socket) -> bytes:
    """Read until the server hangs up; return what came before."""
    said = bytearray()
    try:
        while piece := sock.recv(1 << 16):
            said += piece
    except ConnectionResetError:
        pass
    return bytes(said)


def narrow(server: Server) -> socket.socket:
    """Return a connection that takes little before it is read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
    sock.settimeout(20)
    sock.connect(("127.0.0.1", server.port))
    return sock


@pytest.mark.parametrize(
    "said",
    [PREFACE, UPGRADE, b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\nGET /hea", b"POST /api"],
    ids=["HTTP/2", "upgrade to HTTP/2", "half a second head", "half a head"],
)
def test_a_socket_without_a_request_is_closed(
    said: bytes, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was said first: where no request goes on, the time to keep it alive counts."""
    monkeypatch.setattr(HypercornConfig, "keep_alive_timeout", 0.2)
    with server.socket() as sock:
        sock.sendall(said)
        ends(sock)


@pytest.mark.parametrize(
    "length", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"], ids=["length", "chunks"]
)
def test_a_body_that_never_comes_is_not_waited_for(server: Server, length: bytes) -> None:
    """Half a body gets 408, and the end."""
    with server.socket() as sock:
        sock.sendall(WRITE + length + b"\r\n\r\n" + (b"" if b"Tr" in length else b"{"))
        head, _, body = ends(sock).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert json.loads(body)["code"] == "body-timeout"


def served(server: Server) -> int:
    """Return how many sockets HTTP has."""
    tasks = server.call(asyncio.all_tasks)
    return sum("HttpServer._connected" in repr(task) for task in tasks)


def write_large(server: Server) -> None:
    with server.synced() as peer:
        peer.send(typed(1, 0, "x" * LARGE))
        wait_until(lambda: len(server.text()) == LARGE, "it is committed")


def test_an_answer_that_nobody_takes_is_dropped(server: Server) -> None:
    """An HTTP/1.1 client that reads nothing of a large answer is hung up on within it."""
    write_large(server)
    with narrow(server) as sock:
        sock.sendall(b"GET /api/v1/documents/doc?format=update HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: served(server) == 1, "it is served")
        wait_until(lambda: served(server) == 0, "it is hung up on")
        said = ends(sock)
        assert said.startswith(b"HTTP/1.1 200 ")
        assert len(said) < LARGE


LARGE_ONE = {
    ":method": "GET",
    ":scheme": "http",
    ":authority": "x",
    ":path": "/api/v1/documents/doc?format=update",
}


def windowless() -> h2.connection.H2Connection:
    """Return an HTTP/2 client that lets nothing of an answer's body come."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.local_settings = h2.settings.Settings(
        client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0}
    )
    client.initiate_connection()
    return client


def kept(server: Server) -> tuple[int, int]:
    """Return how many bytes wait for windows, and how many answers are being given."""

    def look() -> tuple[int, int]:
        gc.collect()
        buffers = [each for each in gc.get_objects() if isinstance(each, StreamBuffer)]
        answering = sum("_handle" in repr(task.get_coro()) for task in asyncio.all_tasks())
        return sum(len(each.buffer) for each in buffers), answering

    return server.call(look)


@pytest.mark.parametrize("ending", ["stream", "connection"])
def test_an_answer_that_is_given_up_is_forgotten(loop: str, ending: str) -> None:
    """Where a stream, or its connection, ends within an answer, nothing of that stays."""
    with Server(loop) as server:
        write_large(server)
        client = windowless()
        with server.socket() as sock:
            for stream in range(1, 20, 2):
                client.send_headers(stream, LARGE_ONE.items(), end_stream=True)
            sock.sendall(client.data_to_send())
            wait_until(lambda: kept(server)[0] > 10 * 30_000, "all are being answered")
            assert kept(server)[1] == 10
            if ending == "stream":
                for stream in range(1, 20, 2):
                    client.reset_stream(stream)
                sock.sendall(client.data_to_send())
                wait_until(lambda: kept(server) == (0, 0), "nothing stays")
                assert served(server) == 1
        wait_until(lambda: kept(server) == (0, 0), "nothing stays")
        wait_until(lambda: served(server) == 0, "the socket is gone")


def test_a_body_that_was_answered_already_ends_its_own_stream_alone(server: Server) -> None:
    """What still comes of an upload that is refused is dropped: other streams go on."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    place = {":scheme": "http", ":authority": "x"}
    upload = {":method": "POST", ":path": "/api/v1/documents/doc"} | place
    look = {":method": "GET", ":path": "/health/live"} | place
    answered: dict[int | None, dict[bytes, bytes]] = {}

    def answer(stream: int) -> bytes:
        while stream not in answered:
            sock.sendall(client.data_to_send())
            for event in client.receive_data(sock.recv(1 << 16)):
                if isinstance(event, h2.events.ResponseReceived):
                    answered[event.stream_id] = dict(event.headers or [])
        return answered[stream][b":status"]

    with server.socket() as sock:
        client.send_headers(1, upload.items())
        assert answer(1) == b"405"
        for _ in range(3):
            client.send_data(1, b"more")
            client.send_headers(
                client.get_next_available_stream_id(), look.items(), end_stream=True
            )
            assert answer(client.highest_outbound_stream_id) == b"200"
        client.end_stream(1)
        client.send_headers(client.get_next_available_stream_id(), look.items(), end_stream=True)
        assert answer(client.highest_outbound_stream_id) == b"200"


def test_a_websocket_over_http_2_is_not_compressed(server: Server) -> None:
    """A few bytes would be megabytes: it is answered as if nobody had asked for that."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    asked = {
        ":method": "CONNECT",
        ":protocol": "websocket",
        ":scheme": "http",
        ":authority": "x",
        ":path": "/doc",
        "sec-websocket-version": "13",
        "sec-websocket-extensions": "permessage-deflate",
    }
    with server.socket() as sock:
        sock.sendall(client.data_to_send())
        client.send_headers(1, asked.items())
        sock.sendall(client.data_to_send())
        answers: list[h2.events.ResponseReceived] = []
        while not answers:
            events = client.receive_data(sock.recv(1 << 16))
            answers = [each for each in events if isinstance(each, h2.events.ResponseReceived)]
        headers = dict(answers[0].headers or [])
        assert headers[b":status"] == b"200"
        assert b"sec-websocket-extensions" not in headers


def test_an_answer_without_a_window_is_dropped(server: Server) -> None:
    """The same for an HTTP/2 client that lets nothing come."""
    write_large(server)
    client = windowless()
    client.send_headers(1, LARGE_ONE.items(), end_stream=True)
    with server.socket() as sock:
        sock.sendall(client.data_to_send())
        events = client.receive_data(ends(sock))
        (answer,) = [each for each in events if isinstance(each, h2.events.ResponseReceived)]
        assert (b":status", b"200") in (answer.headers or [])
        assert not any(isinstance(each, h2.events.DataReceived) for each in events)


def test_an_answer_that_is_taken_slowly_comes_whole(server: Server) -> None:
    """It may take many times that long, as long as something is taken."""
    write_large(server)
    with narrow(server) as sock:
        head = b"GET /api/v1/documents/doc?format=update HTTP/1.1\r\nHost: x\r\nConnection: close"
        sock.sendall(head + b"\r\n\r\n")
        came, begun_s = 0, time.monotonic()
        while piece := sock.recv(100_000):
            came += len(piece)
            if time.monotonic() - begun_s < 2:
                time.sleep(0.02)  # its pace
        assert came > LARGE


def test_two_lengths_of_a_body_end_the_connection(server: Server) -> None:
    """Where two headers say how long a body is, nothing behind it is a request (RFC 9112, 6.1)."""
    both = (
        b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /health/live HTTP/1.1"
    )
    with Peer(server.socket()) as peer:
        peer.sock.sendall(WRITE + both + b"\r\nHost: x\r\n\r\n")
        assert ends(peer.sock).count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
def test_a_body_that_nobody_reads_holds_no_socket(
    server: Server, monkeypatch: pytest.MonkeyPatch, http2: bool
) -> None:
    """An answer without the body is the end of its request, however much still comes."""
    monkeypatch.setattr(bodies, "LINGER_S", 0.0)
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    with server.socket() as sock:
        if http2:
            client.initiate_connection()
            client.send_headers(1, (LARGE_ONE | {":method": "POST", ":path": "/nothing"}).items())
            for _ in range(60):
                client.send_data(1, bytes(1000))
            sock.sendall(client.data_to_send())
        else:
            sock.sendall(b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n")
            with contextlib.suppress(OSError):
                for _ in range(30):
                    sock.sendall(bytes(8192))
        assert sock.recv(1)
    wait_until(lambda: served(server) == 0, "the socket is gone")


def test_priorities_are_not_heard(server: Server) -> None:
    """Hundreds of streams below one another cost nothing; those that are opened are answered."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    for stream in range(1, 400, 2):
        client.prioritize(stream, depends_on=0)
    for _ in range(50):
        client.prioritize(1, depends_on=0, exclusive=True)
        client.prioritize(3, depends_on=0, exclusive=True)
    client.send_headers(401, (LARGE_ONE | {":path": "/health/live"}).items(), end_stream=True)
    with server.socket() as sock:
        sock.sendall(client.data_to_send())
        answers: list[object] = []
        while not answers:
            events = client.receive_data(sock.recv(1 << 16))
            answers = [each for each in events if isinstance(each, h2.events.ResponseReceived)]

        def trees() -> int:
            gc.collect()
            return sum(isinstance(each, PriorityTree) for each in gc.get_objects())

        assert server.call(trees) == 0


def test_requests_that_are_taken_back_are_not_worked_on(server: Server) -> None:
    """Who opens and resets streams has each looked at, and none answered."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    foreign = LARGE_ONE | {":method": "POST", "origin": "https://evil.example"}
    for stream in range(1, 600, 2):
        client.send_headers(stream, foreign.items())
        client.reset_stream(stream)
    with server.socket() as sock:
        sock.sendall(client.data_to_send())
        client.send_headers(601, (LARGE_ONE | {":path": "/health/live"}).items(), end_stream=True)
        sock.sendall(client.data_to_send())
        answered: list[int | None] = []
        while 601 not in answered:
            events = client.receive_data(sock.recv(1 << 16))
            answered += [e.stream_id for e in events if isinstance(e, h2.events.ResponseReceived)]
        assert server.hub.stats.rejected["foreign-origin"] < 30


def test_a_frame_right_behind_an_upgrade_leaves_nobody(server: Server) -> None:
    """Behind a plain request it comes before the handshake is over: the connection ends."""
    upgrade = (
        b"GET /doc HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    frame = b"\x82\x84\x00\x00\x00\x00" + b"\x00\x00\x01\x00"
    with server.socket() as sock:
        sock.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(4096)
        sock.sendall(upgrade + frame)
        assert ends(sock)

    def links() -> int:
        gc.collect()
        return sum(isinstance(each, WebSocketLink) for each in gc.get_objects())

    wait_until(lambda: server.call(links) == 0, "nobody is there")
    wait_until(lambda: served(server) == 0, "the socket is gone")
    assert not any(room.connections for room in server.hub.rooms.values())
