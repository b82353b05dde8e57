"""Origins, proxies, counts, rates and sizes on real sockets: the same on both transports."""

import json
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from crdtsync.auth import ConnectRequest
from crdtsync.errors import ConfigError, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.limits import Limits
from crdtsync.pace import GRANT_BYTES
from tests.native.kit import PING, PONG, Peer, Server, typed, wait_until

LIMITS: dict[str, Any] = {"refusal_delay_s": 0.01}
ORIGIN = "pages of this origin may not connect: see the option allowed_origins"
CLIENT = "X-Forwarded-For: 192.0.2.7"


class Book:
    """Lets in whoever has a token, and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[ConnectRequest] = []

    async def authenticate(self, request: ConnectRequest) -> Principal:
        self.requests.append(request)
        if not request.token:
            raise Unauthenticated("sign in first")
        return Principal(id=request.token, read_only=request.token == "viewer")


@pytest.fixture(params=["native", "asgi"])
def transport(request: pytest.FixtureRequest) -> str:
    """Run each test on both transports."""
    return str(request.param)


def serve(transport: str, limits: dict[str, Any] | None = None, **options: Any) -> Server:
    return Server(transport=transport, limits=Limits(**LIMITS | (limits or {})), **options)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "http://localhost:5173",
        "http://127.0.0.1:5173",
        "http://[::1]:80",
        "https://app.example",
    ],
)
def test_origins_that_may(transport: str, origin: str) -> None:
    """Native clients, pages of this host on any port, and those that are listed come in."""
    allowed = ("same-host", "https://app.example")
    headers = [f"Origin: {origin}"] if origin else []
    with serve(transport, allowed_origins=allowed) as server, server.synced(headers=headers):
        assert server.rejected() == {}


@pytest.mark.parametrize("headers", [["https://evil.example"], ["null"], ["http://localhost", "x"]])
def test_origins_that_may_not(transport: str, headers: list[str]) -> None:
    """Other pages are told which option refuses them, with a final code; nobody else is asked."""
    book = Book()
    with serve(transport, authenticator=book) as server:
        lines = [f"Origin: {each}" for each in headers]
        with server.peer("/doc?token=t", lines) as peer:
            assert peer.refused() == (4403, ORIGIN, ORIGIN)
        assert server.rejected() == {"foreign-origin": 1}
        assert book.requests == []


def test_the_host_of_a_proxy(transport: str) -> None:
    """Behind a trusted proxy a page's own host is the one that the proxy was asked for."""
    lines = ["Origin: https://docs.example", "X-Forwarded-Host: docs.example"]
    with serve(transport, trusted_proxies=("127.0.0.1",)) as server, server.synced("/d", lines):
        pass
    with serve(transport) as server, server.peer("/d", lines) as peer:
        assert peer.refused()[0] == 4403


def test_changes_over_http(transport: str) -> None:
    """A page of another host may send what changes nothing, and changes nothing itself."""
    changes = [
        ("DELETE", "documents/x"),
        ("DELETE", "quarantined/x"),
        ("DELETE", "quarantine?document=x"),
        ("DELETE", "quarantine/1"),
        ("POST", "quarantine/apply?document=x"),
        ("POST", "quarantine/1/apply"),
        ("POST", "shares"),
        ("DELETE", "shares/1"),
        ("POST", "revocations"),
        ("DELETE", "revocations?principal=x"),
    ]
    book = Book()
    with serve(transport, authenticator=book) as server:
        for method, path in changes:
            url = f"{server.url}/api/v1/{path}"
            for origin in ("https://evil.example", "null"):
                answer = httpx.request(method, url, headers={"Origin": origin})
                assert (answer.status_code, answer.json()["code"]) == (403, "foreign-origin"), path
                assert answer.json()["detail"] == ORIGIN
            assert book.requests == []
        assert server.rejected() == {"foreign-origin": 2 * len(changes)}
        for method, path in changes:
            url = f"{server.url}/api/v1/{path}"
            answer = httpx.request(method, url, headers={"Origin": "http://localhost:5173"})
            assert answer.json()["code"] in ("unauthenticated", "invalid-body"), path
        url = f"{server.url}/api/v1/quarantined/x?token=t"
        assert httpx.get(url, headers={"Origin": "https://evil.example"}).status_code == 404


@pytest.mark.parametrize(
    ("proxies", "address"), [(("127.0.0.0/8",), "192.0.2.7"), ((), "127.0.0.1")]
)
def test_addresses(transport: str, proxies: tuple[str, ...], address: str) -> None:
    """WebSockets and REST hand on the same address, and ids that a trusted proxy gave."""
    book = Book()
    lines = ["X-Forwarded-For: 6.6.6.6, 192.0.2.7", "X-Request-Id: abc-1"]
    with serve(transport, trusted_proxies=proxies, authenticator=book) as server:
        with server.synced("/doc?token=t", lines):
            pass
        headers = dict(line.split(": ") for line in lines)
        httpx.get(f"{server.url}/api/v1/documents/doc?token=t", headers=headers)
    assert [request.address for request in book.requests] == [address] * 2
    ids = {request.request_id for request in book.requests}
    assert ids == {"abc-1"} if proxies else len(ids) == 2 and "abc-1" not in ids


def test_max_connections_per_address(transport: str) -> None:
    """One too many from an address is told to come back; who leaves makes room; others may."""
    limits = {"max_connections_per_address": 2}
    with serve(transport, limits, trusted_proxies=("127.0.0.1",)) as server:
        with server.synced(headers=[CLIENT]) as one, server.synced(headers=[CLIENT]):
            reason = "there are too many connections from your address"
            with server.peer(headers=[CLIENT]) as third:
                assert third.refused() == (1013, reason, reason)
            with server.synced(headers=["X-Forwarded-For: 192.0.2.8"]), server.synced():
                pass
            one.goodbye()
            _wait_for(server, "192.0.2.7", 1)
            with server.synced(headers=[CLIENT]):
                pass
        assert server.rejected() == {"too-many-connections": 1}
        _wait_for(server, "192.0.2.7", 0)
        wait_until(lambda: not server.call(lambda: server.hub.seats.addresses), "nobody is left")


def _wait_for(server: Server, address: str, count: int) -> None:
    wait_until(
        lambda: server.call(lambda: server.hub.seats.addresses.get(address, 0)) == count,
        f"{count} connections of {address}",
    )


def test_every_way_of_ending_leaves_the_count(transport: str) -> None:
    """Goodbyes, cut sockets, refusals of every kind: the count of an address ends at nothing."""
    book = Book()
    with serve(transport, trusted_proxies=("127.0.0.1",), authenticator=book) as server:
        peers = [server.synced("/doc?token=t", [CLIENT]) for _ in range(4)]
        peers[0].goodbye()
        peers[1].sock.close()
        peers[2].send(b"\x00\x07")
        assert peers[2].refused()[0] == 4400
        peers[3].sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peers[3].sock.close()
        for path, code in (("/doc", 4401), ("/%FF?token=t", 4414)):
            with server.peer(path, [CLIENT]) as peer:
                assert peer.refused()[0] == code
        with server.peer("/doc?token=t", [CLIENT, "Origin: null"]) as peer:
            assert peer.refused()[0] == 4403
        hasty = server.peer("/doc?token=t", [CLIENT])
        hasty.sock.close()
        wait_until(lambda: not server.call(lambda: server.hub.seats.addresses), "nobody is left")
        wait_until(lambda: not server.call(lambda: server.hub.seats.principals), "nor a principal")
        assert server.call(lambda: server.hub.connections) == 0


def test_max_connections_per_principal(transport: str) -> None:
    """A principal's second connection too many is told so, in whichever document."""
    limits = {"max_connections_per_principal": 1}
    with serve(transport, limits, authenticator=Book()) as server:
        one, other = server.synced("/a?token=ada"), server.synced("/a?token=bob")
        with one, other, server.peer("/b?token=ada") as peer:
            assert peer.refused()[:2] == (1013, "you have too many connections")


def test_a_fast_client_is_slowed_then_sent_away(transport: str) -> None:
    """Above its rate a client's bytes stay in the socket; one that goes on is closed, 4429."""
    limits = {
        "max_bytes_per_s": 4 * GRANT_BYTES,
        "rate_burst_s": 0.1,
        "max_slowed_s": 1.0,
        "max_ignored_messages": 10**9,
    }
    junk = b"\x63" + bytes(16 * 1024)
    with serve(transport, limits) as server, server.synced("/b") as other:
        with server.synced("/a") as peer:
            for _ in range(24):
                peer.send(junk)
            peer.send_frame(PING, b"x")
            wait_until(lambda: server.call(lambda: server.hub.stats.slowed) > 0, "it is slowed")
            other.sync()
            frame = peer.frame()  # in the end it is read all the same
            while frame is not None and frame.opcode != PONG:
                frame = peer.frame()
            try:
                for _ in range(200):
                    peer.send(junk)
            except OSError:
                pass
        wait_until(lambda: server.rejected() == {"too-many-requests": 1}, "it is sent away")
        other.sync()


def test_a_full_document(transport: str) -> None:
    """Who adds too much is closed with 4413 and the reason; readers of it read on."""
    limits = {"max_document_bytes": 10_000}
    with serve(transport, limits) as server, server.synced() as reader, server.synced() as writer:
        writer.send(typed(1, 0, "x" * 9_000))
        reader.read_until(lambda: len(reader.replica.text) == 9_000)
        with server.synced() as greedy:
            greedy.send(typed(2, 0, "y" * 20_000))
            reason = "the document would be over its size limit (max_document_bytes)"
            assert greedy.refused() == (4413, reason, reason)
        reader.sync()
        writer.send(typed(1, 9_000, "z"))
        reader.read_until(lambda: len(reader.replica.text) == 9_001)


def test_the_audit_log(transport: str, tmp_path: Path) -> None:
    """Every connection and refusal has its lines, one id each, and no line has a token."""
    path = tmp_path / "audit.jsonl"
    options: dict[str, Any] = {"audit_log": str(path), "authenticator": Book()}
    with serve(transport, trusted_proxies=("127.0.0.1",), **options) as server:
        with server.synced("/doc?token=SECRET1", [CLIENT]) as peer:
            peer.goodbye()
        with server.peer("/doc", [CLIENT, "Sec-WebSocket-Protocol: crdtsync, token."]) as peer:
            peer.refused()
        with server.peer("/%00?token=SECRET2", [CLIENT]) as peer:
            peer.refused()
        with server.peer("/doc?token=SECRET3", [CLIENT, "Origin: https://SECRET4.example"]) as peer:
            peer.refused()
        httpx.get(f"{server.url}/api/v1/documents/doc", headers={"X-Forwarded-For": "192.0.2.9"})
    text = path.read_text()
    assert "SECRET2" not in text
    assert "SECRET3" not in text
    assert "SECRET4" not in text
    events = [json.loads(line) for line in text.splitlines()]
    end = 1000 if transport == "native" else 1006  # Hypercorn does not tell a peer's code
    told = [(e["event"], e.get("code"), e.get("kind"), e["address"]) for e in events]
    assert sorted(told, key=str) == sorted(
        [
            ("connect", None, None, "192.0.2.7"),
            ("disconnect", end, None, "192.0.2.7"),
            ("refused", 4401, "unauthenticated", "192.0.2.7"),
            ("refused", 4414, "invalid-document-name", "192.0.2.7"),
            ("refused", 4403, "foreign-origin", "192.0.2.7"),
            ("refused", 4401, "unauthenticated", "192.0.2.9"),
        ],
        key=str,
    )
    ids = [event["request"] for event in events]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 5


@pytest.mark.parametrize(
    ("option", "entry"), [("allowed_origins", "example.com"), ("trusted_proxies", "proxy.example")]
)
def test_entries_that_are_none(option: str, entry: str) -> None:
    """A server whose lists can't be read does not start, and names the option."""
    with (
        pytest.raises(ConfigError, match=f"{option}: an entry is not"),
        Server(**{option: (entry,)}),
    ):
        pass


@pytest.fixture
def uds(tmp_path: Path) -> str:
    """Return a path for a unix socket."""
    return str(tmp_path / "s")


@pytest.mark.parametrize(("proxies", "address"), [(("unix",), "192.0.2.7"), ((), "")])
def test_a_unix_socket(uds: str, proxies: tuple[str, ...], address: str) -> None:
    """A proxy on a unix socket is believed where ``unix`` is trusted, and not otherwise."""
    book = Book()
    with Server(unix_socket=uds, trusted_proxies=proxies, authenticator=book):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(uds)
        with Peer(sock) as peer:
            peer.upgrade("/doc?token=t", [CLIENT])
            peer.sync()
    assert book.requests[0].address == address
