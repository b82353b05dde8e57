"""One port for WebSockets and HTTP: the first request decides, however it arrives."""

import http.client

import psutil
import pytest

from crdtsync.limits import Limits
from crdtsync.server import frontdoor

from .kit import (
    BINARY,
    CONTINUATION,
    STEP_1,
    Peer,
    Server,
    encode,
    typed,
    upgrade_request,
    wait_until,
)

LIMIT = 10_000
SMALL = Limits(max_message_bytes=LIMIT, refusal_delay_s=0.01)


def works(server: Server) -> None:
    """See that a server still serves WebSockets and HTTP."""
    with server.synced() as peer:
        peer.goodbye()
    assert get(server, "/health/live")[0] == 200


def get(server: Server, path: str, method: str = "GET", body: bytes = b"") -> tuple[int, bytes]:
    """Make one HTTP request; return status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request(method, path, body or None)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def statuses(head: bytes) -> int:
    """Return an HTTP response's status."""
    return int(head.split(b" ", 2)[1])


def test_an_upgrade_byte_by_byte(server: Server) -> None:
    """An upgrade request may arrive in any pieces."""
    request, key = upgrade_request("/doc?token=" + "x" * 300)
    with Peer(server.socket()) as peer:
        for byte in request:
            peer.sock.sendall(bytes((byte,)))
        peer.expect_upgrade(key)
        peer.sync()


@pytest.mark.parametrize(
    "headers",
    [
        ("Connection: keep-alive, Upgrade",),
        ("Connection: upgrade", "Upgrade: WebSocket"),
        ("connection:Upgrade , Keep-Alive", "upgrade:websocket"),
        ("X-First: 1\r\nConnection: keep-alive",),
    ],
    ids=["Firefox", "nginx", "bare", "two lines"],
)
def test_upgrades_as_others_write_them(server: Server, headers: tuple[str, ...]) -> None:
    """The Connection header may hold other options as well, in any case (RFC 9110, 7.6.1)."""
    with server.synced(headers=headers) as peer:
        peer.send(typed(1, 0, "hello"))
        peer.goodbye()


def test_a_head_that_never_ends(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that never finishes its request head is hung up on."""
    monkeypatch.setattr(frontdoor, "HEAD_TIMEOUT_S", 0.1)
    with Server(loop) as server:
        with Peer(server.socket()) as silent, Peer(server.socket()) as slow:
            slow.sock.sendall(b"GET /doc HTTP/1.1\r\nHost: ")
            assert slow.hung_up()
            assert silent.hung_up()
        works(server)


def test_a_quick_head_is_not_hung_up_on(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for the head does not run on behind it."""
    monkeypatch.setattr(frontdoor, "HEAD_TIMEOUT_S", 0.1)
    with Server(loop) as server, server.synced() as peer, server.synced() as other:
        with Peer(server.socket()) as witness:
            assert witness.hung_up()
        peer.send(typed(1, 0, "still here"))
        other.read_until(lambda: other.replica.text == "still here")


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "endless"])
def test_a_head_that_is_too_long(server: Server, whole: bool) -> None:
    """A head over the limit gets the HTTP server's answer: a refusal at the latest when read."""
    with Peer(server.socket()) as peer:
        filler = "X-Filler: " + "x" * 30_000
        request, _ = upgrade_request(headers=(filler,))
        peer.sock.sendall(request if whole else request[:-40])
        assert statuses(peer.read_head()) in ((101, 400, 431) if whole else (400, 431))
    works(server)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x01\x02\x03\x04\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
        b"GETTING /doc HTTP/1.1\r\n\r\n",
        b"GET /doc\r\n\r\n",
        b"GET  HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        b"GET /doc HTTP/1.1\r\nUpgrade: websocket\r\nno colon\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    ],
    ids=["zeros", "tls", "method", "no version", "no path", "header", "blank", "ssh"],
)
def test_garbage(server: Server, garbage: bytes) -> None:
    """What is no HTTP gets a 400 or an end, and the server lives on."""
    with Peer(server.socket()) as peer:
        peer.sock.sendall(garbage)
        data = b""
        while chunk := peer.sock.recv(4096):
            data += chunk
        assert data == b"" or 400 <= statuses(data) < 600
    works(server)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Sec-WebSocket-Version: 99", 400),
        ("Sec-WebSocket-Key: short", 400),
        ("Sec-WebSocket-Key: ", 400),
    ],
)
def test_upgrades_that_are_none(server: Server, header: str, status: int) -> None:
    """An upgrade with a wrong version, key or Connection header is refused over HTTP."""
    with Peer(server.socket()) as peer:
        peer.sock.sendall(upgrade_request(headers=(header,))[0])
        assert statuses(peer.read_head()) == status
    works(server)


def test_an_upgrade_that_is_not_asked_for(server: Server) -> None:
    """An Upgrade header without a word in the Connection header is plain HTTP."""
    for header in ("Connection: keep-alive", "Connection: upgraded"):
        with Peer(server.socket()) as peer:
            peer.sock.sendall(upgrade_request(headers=(header,))[0])
            assert statuses(peer.read_head()) == 404
    works(server)


def test_half_a_request_and_gone(server: Server) -> None:
    """A client that goes before it said what it wants does no harm."""
    for start in (b"", b"G", b"GET /doc HT", upgrade_request()[0][:-2]):
        with Peer(server.socket()) as peer:
            peer.sock.sendall(start)
    works(server)


def test_plain_http(server: Server) -> None:
    """Pages, REST and errors come from the same port as the documents."""
    status, page = get(server, "/")
    assert status == 200
    assert b"<html" in page
    assert get(server, "/nothing-here")[0] == 404
    assert get(server, "/", "POST", b"x" * 100_000)[0] == 405
    assert get(server, "/api/v1/openapi.json")[0] in (200, 404)


def test_rest_sees_what_clients_typed(server: Server) -> None:
    """A document over REST is the same as over its WebSocket."""
    with server.synced("/a%20b") as peer:
        peer.send(typed(1, 0, "hello"))
        peer.sync()
        wait_until(lambda: server.text("a b") == "hello", "the commit")
        paths = server.call(lambda: list(server.hub.rooms))
        assert paths == ["a b"]


def test_keep_alive_then_upgrade(server: Server) -> None:
    """An HTTP connection that was kept alive may upgrade later."""
    with Peer(server.socket()) as peer:
        for _ in range(2):
            peer.sock.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            peer.read_response()
            assert statuses(peer.head) == 200
        peer.upgrade()
        peer.sync()
        peer.send(typed(1, 0, "late"))
        with server.synced() as other:
            other.read_until(lambda: other.replica.text == "late")
        peer.send(typed(1, 4, "r"))
        peer.sync()
        peer.goodbye()


def test_pipelined_http(server: Server) -> None:
    """Requests that came in one segment are all answered."""
    with Peer(server.socket()) as peer:
        peer.sock.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        for _ in range(3):
            peer.read_response()
            assert statuses(peer.head) == 200


def test_many_at_once(server: Server) -> None:
    """HTTP and WebSocket clients that connect all together get what each of them asked for."""
    peers = [Peer(server.socket()) for _ in range(60)]
    keys = {}
    for number, peer in enumerate(peers):
        if number % 2:
            request, keys[peer] = upgrade_request()
            peer.sock.sendall(request + encode(BINARY, STEP_1))
        else:
            peer.sock.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    for peer in peers:
        if peer in keys:
            peer.expect_upgrade(keys[peer])
            assert peer.message()
        else:
            peer.read_response()
        peer.sock.close()


@pytest.mark.parametrize("size", [LIMIT + 1, LIMIT + 2, 3 * LIMIT, 3_000_000])
@pytest.mark.parametrize("parts", [1, 3])
def test_over_the_limit_on_hypercorn(loop: str, size: int, parts: int) -> None:
    """A message over the limit, by however much, gets the application's 4413, never a 1009."""
    with Server(loop, limits=SMALL, transport="asgi") as server, server.peer() as peer:
        for number in range(parts):
            part = bytes(size // parts + (size % parts if number == 0 else 0))
            opcode = CONTINUATION if number else BINARY
            peer.send_frame(opcode, part, fin=number == parts - 1)
        code, reason, auth = peer.refused()
        assert code == 4413
        assert reason == auth == f"a message is over {LIMIT} bytes"
        assert server.rejected() == {"message-too-large": 1}


def test_at_the_limit_on_hypercorn(loop: str) -> None:
    """A message of exactly the limit is taken whole."""
    with Server(loop, limits=SMALL, transport="asgi") as server, server.synced() as peer:
        overhead = len(typed(1, 0, "x" * 9000)) - 9000
        peer.send(typed(1, 0, "x" * (LIMIT - overhead)))
        with server.synced() as other:
            other.read_until(lambda: len(other.replica.text) == LIMIT - overhead)


def test_a_message_without_end_on_hypercorn(loop: str) -> None:
    """What is over the limit is not kept, however long a peer goes on sending."""
    sent, chunk = 128, bytes(1024 * 1024)
    with Server(loop, limits=SMALL, transport="asgi") as server, server.peer() as peer:
        peer.sock.sendall(encode(BINARY, size=1 << 40))
        before = psutil.Process().memory_info().rss
        for _ in range(sent):
            peer.sock.sendall(chunk)
        assert server.call(lambda: psutil.Process().memory_info().rss) - before < sent * 2**20 / 4


def test_two_ends_of_a_request(server: Server) -> None:
    """A request with both ways to say where it ends is refused, and what follows is not read."""
    body = b"5\r\nhello\r\n0\r\n\r\n"
    for method, path in (("PUT", "/api/v1/documents/a"), ("GET", "/metrics"), ("POST", "/")):
        for headers in (
            b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        ):
            request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n".encode() + headers
            with server.socket() as client:
                client.sendall(request + b"\r\n" + body)
                client.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
                answer = b""
                while data := client.recv(65536):
                    answer += data
            assert statuses(answer) == 400
            assert b"connection: close" in answer.lower()
            assert b"invalid-request" in answer
            assert answer.count(b"HTTP/1.1 ") == 1
    assert b'"documents":[]' in get(server, "/api/v1/documents")[1]
