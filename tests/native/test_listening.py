"""Where a server listens: ports, addresses, unix sockets; and the ASGI transport there."""

import os
import socket
from pathlib import Path

import pytest

from crdtsync.errors import OperatorError

from .kit import Peer, Recorder, Server, stored_text, typed


def test_a_port_in_use(server: Server) -> None:
    """A port that is taken is the operator's to change, with a hint."""
    with (
        pytest.raises(OperatorError, match=f"port {server.port} on 127.0.0.1 is in use") as caught,
        Server(port=server.port),
    ):
        pass
    assert "--port" in caught.value.hint


def test_an_address_of_another_machine() -> None:
    """An address that is not this machine's is refused with a hint."""
    elsewhere = Server(host="192.0.2.1", authenticator=Recorder())
    with pytest.raises(OperatorError, match="can't listen on") as caught, elsewhere:
        pass
    assert "--host" in caught.value.hint


def test_localhost_has_one_port(loop: str) -> None:
    """Port 0 on ``localhost`` is one port for all of its addresses."""
    with Server(loop, host="localhost") as server:
        assert len({url.rpartition(":")[2] for url in server.listening.urls}) == 1
        for url in server.listening.urls:
            host = url.removeprefix("http://").rpartition(":")[0].strip("[]")
            with Peer(socket.create_connection((host, server.port), 20)) as peer:
                peer.upgrade()
                peer.sync()


def test_native_is_the_default(server: Server) -> None:
    """On TCP the native transport serves, without a word about it."""
    assert server.listening.transport == "native"
    assert not [note for note in server.listening.notes if "transport" in note]


def unix_peer(path: Path) -> Peer:
    """Return a client of a unix socket."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(str(path))
    return Peer(sock)


def exchange(first: Peer, second: Peer) -> None:
    """See that two clients see one another's edits."""
    for peer in (first, second):
        peer.upgrade()
        peer.sync()
    first.send(typed(1, 0, "hello"))
    second.read_until(lambda: second.replica.text == "hello")


def test_asgi_on_tcp(loop: str) -> None:
    """With the ASGI transport everything is the same from outside, the end included."""
    with Server(loop, transport="asgi") as server:
        assert server.listening.transport == "asgi"
        with Peer(server.socket()) as first, Peer(server.socket()) as second:
            exchange(first, second)
            server.stop()
            for peer in (first, second):
                assert peer.close_frame().code == 1012
                peer.send_close(1012)
            server.join()
    assert stored_text(server.store) == "hello"


def test_a_unix_socket(loop: str, tmp_path: Path) -> None:
    """A unix socket serves documents and HTTP, and is removed at the end."""
    path = tmp_path / "sock"
    with Server(loop, unix_socket=str(path)) as server:
        assert (server.listening.urls, server.listening.transport) == ((), "asgi")
        with unix_peer(path) as first, unix_peer(path) as second:
            exchange(first, second)
            first.goodbye()
        with unix_peer(path) as peer:
            peer.sock.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            peer.read_response()
            assert peer.head.startswith(b"HTTP/1.1 200")
    assert not path.exists()
    assert stored_text(server.store) == "hello"


def test_a_unix_socket_in_use(loop: str, tmp_path: Path) -> None:
    """A second server on a live unix socket is refused, and the first serves on."""
    path = tmp_path / "sock"
    with Server(loop, unix_socket=str(path)):
        with (
            pytest.raises(OperatorError, match="another server listens") as caught,
            Server(loop, unix_socket=str(path)),
        ):
            pass
        assert "--uds" in caught.value.hint
        with unix_peer(path) as peer:
            peer.upgrade()
            peer.sync()
            peer.goodbye()


def test_a_stale_unix_socket(loop: str, tmp_path: Path) -> None:
    """The socket file of a server that was killed is replaced."""
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with Server(loop, unix_socket=str(path)), unix_peer(path) as peer:
        peer.upgrade()
        peer.sync()
        peer.goodbye()


def test_a_file_in_the_way(loop: str, tmp_path: Path) -> None:
    """A file that is no socket is not removed."""
    path = tmp_path / "sock"
    path.write_text("precious")
    with pytest.raises(OperatorError, match="can't listen"), Server(loop, unix_socket=str(path)):
        pass
    assert path.read_text() == "precious"
    assert os.path.isfile(path)
