"""TLS, HTTP/2 and what runs over them, all on the one port."""

import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from crdtsync.limits import Limits
from tests.needs import program

from .kit import BINARY, STEP_1, Peer, Server, encode, trusting, typed, upgrade_request


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of our own for localhost, its key beside it."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *(program("openssl"), "req", "-x509", "-nodes", "-newkey", "ec", "-days", "2"),
            *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return folder / "cert.pem"


@pytest.fixture
def secure(loop: str, certificate: Path) -> Iterator[Server]:
    """A server with TLS."""
    key = str(certificate.with_name("key.pem"))
    limits = Limits(refusal_delay_s=0.01, max_message_bytes=8_000_000)
    with Server(loop, certfile=str(certificate), keyfile=key, limits=limits) as server:
        yield server


def connect(server: Server, certificate: Path, *alpn: str) -> ssl.SSLSocket:
    """Return a TLS connection."""
    context = trusting(str(certificate), *alpn)
    return context.wrap_socket(server.socket(), server_hostname="localhost")


def secured(server: Server, certificate: Path) -> Peer:
    """Return a synced WebSocket client over TLS."""
    peer = Peer(connect(server, certificate, "http/1.1"))
    peer.upgrade()
    peer.sync()
    return peer


class Http2:
    """An HTTP/2 client on a socket that is connected already, one stream at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self._h2.initiate_connection()
        self._stream = 0
        self._flush()
        self.events: list[h2.events.Event] = []
        self.data = bytearray()

    def request(self, *pseudo: tuple[str, str], end: bool = True) -> dict[str, str]:
        """Send a request's headers; return the response's."""
        self._stream = self._h2.get_next_available_stream_id()
        self._h2.send_headers(self._stream, pseudo, end_stream=end)
        self._flush()
        while not (got := [e for e in self.events if isinstance(e, h2.events.ResponseReceived)]):
            self._read()
        self.events.remove(got[0])
        return {name.decode(): value.decode() for name, value in got[0].headers or ()}

    def body(self) -> bytes:
        """Read up to the stream's end."""
        while not any(isinstance(each, h2.events.StreamEnded) for each in self.events):
            self._read()
        return bytes(self.data)

    def settled(self) -> bool:
        """Wait for the server's settings; return whether it takes WebSockets (RFC 8441)."""
        while not any(isinstance(each, h2.events.RemoteSettingsChanged) for each in self.events):
            self._read()
        return bool(self._h2.remote_settings.enable_connect_protocol)

    def send(self, data: bytes) -> None:
        """Send data on the stream."""
        self._h2.send_data(self._stream, data)
        self._flush()

    def take(self, size: int) -> bytes:
        """Read so much of the stream's data."""
        while len(self.data) < size:
            self._read()
        taken = bytes(self.data[:size])
        del self.data[:size]
        return taken

    def _read(self) -> None:
        received = self._sock.recv(1 << 16)
        assert received, "hung up"
        for event in self._h2.receive_data(received):
            self.events.append(event)
            if isinstance(event, h2.events.DataReceived):
                assert event.data is not None
                self.data += event.data
                self._h2.acknowledge_received_data(
                    event.flow_controlled_length or 0, event.stream_id or 0
                )
        self._flush()

    def _flush(self) -> None:
        self._sock.sendall(self._h2.data_to_send())


GET = ((":method", "GET"), (":scheme", "https"), (":authority", "localhost"))


def test_websockets_over_tls(secure: Server, certificate: Path) -> None:
    """``wss://`` works like ``ws://``: small and big messages, both ways, and the end."""
    assert secure.url.startswith("https://")
    assert secure.listening.tls
    with secured(secure, certificate) as peer, secured(secure, certificate) as other:
        clock = 0
        for size in (1, 5_000_000, 2, 300_000, 3):
            peer.send(typed(1, clock, "x" * size))
            clock += size
        other.read_until(lambda: len(other.replica.text) == clock)
        other.send(typed(2, 0, "y"))
        peer.read_until(lambda: peer.replica.text == "y")
        peer.goodbye()
        secure.stop()
        assert other.refused()[0] == 1012


def test_an_upgrade_in_pieces_over_tls(secure: Server, certificate: Path) -> None:
    """Over TLS too the upgrade request may come byte by byte, the first frame right behind."""
    with Peer(connect(secure, certificate)) as peer:
        request, key = upgrade_request(headers=("Connection: keep-alive, Upgrade",))
        for byte in request[:-1]:
            peer.sock.sendall(bytes((byte,)))
        peer.sock.sendall(request[-1:] + encode(BINARY, STEP_1))
        peer.expect_upgrade(key)
        while not peer.message().startswith(b"\x00\x01"):
            pass


def test_too_large_over_tls(secure: Server, certificate: Path) -> None:
    """Over TLS too a frame that is too large is read to its end and gets the 4413."""
    with secured(secure, certificate) as peer:
        peer.send(bytes(12_000_000))
        assert peer.refused()[0] == 4413


def test_http_1_over_tls(secure: Server, certificate: Path) -> None:
    """HTTP/1.1 is served over TLS on the same port."""
    with Peer(connect(secure, certificate, "http/1.1")) as peer:
        peer.sock.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        peer.read_response()
        assert peer.head.startswith(b"HTTP/1.1 200")


def test_http_2_over_tls(secure: Server, certificate: Path) -> None:
    """A client that offers h2 gets it."""
    with connect(secure, certificate, "h2", "http/1.1") as sock:
        assert sock.selected_alpn_protocol() == "h2"
        http = Http2(sock)
        assert http.request(*GET, (":path", "/"))[":status"] == "200"
        assert b"<html" in http.body()


def test_http_2_in_the_clear(server: Server) -> None:
    """A client that knows beforehand may speak HTTP/2 without TLS (RFC 9113, 3.3)."""
    with server.socket() as sock:
        http = Http2(sock)
        assert http.request(*GET, (":path", "/health/live"))[":status"] == "200"
        http.body()


def test_websockets_over_http_2(secure: Server, certificate: Path) -> None:
    """A WebSocket over an HTTP/2 stream is the same document (RFC 8441)."""
    with (
        secured(secure, certificate) as other,
        connect(secure, certificate, "h2") as sock,
    ):
        http = Http2(sock)
        assert http.settled()
        head = http.request(
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", "/doc"),
            ("sec-websocket-version", "13"),
            end=False,
        )
        assert head[":status"] == "200"
        http.send(encode(BINARY, STEP_1) + encode(BINARY, typed(1, 0, "over h2")))
        other.read_until(lambda: other.replica.text == "over h2")
        opcode, size = http.take(2)
        assert opcode == 0x80 | BINARY or opcode == 0x89  # a ping may be first
        assert size < 126


def test_plain_http_on_a_tls_port(secure: Server, certificate: Path) -> None:
    """Plain HTTP on a TLS port is hung up on, and the server lives on."""
    with Peer(secure.socket()) as peer:
        peer.sock.sendall(upgrade_request()[0])
        try:
            assert b"101" not in peer.sock.recv(4096)
        except ConnectionError:
            pass
    with secured(secure, certificate) as peer:
        peer.goodbye()
