"""Documents over real WebSockets: each ASGI server, the protocol, and what is refused."""

import socket
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pycrdt
import pytest
from websockets.exceptions import ConnectionClosed

from crdtsync.limits import Limits
from crdtsync.protocol import (
    EMPTY_STEP_2,
    QUERY_AWARENESS,
    AwarenessMessage,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    step_1_frame,
    update_frame,
)

from .harness import SERVERS, TIMEOUT_S, Client, Server, running


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One server of each kind for all tests here that use a document of their own."""
    with running(request.param, limits=Limits(max_message_bytes=1024 * 1024)) as server:
        yield server


def test_handshake_of_an_empty_document(server: Server) -> None:
    """The server opens with step 1, and answers step 1 with the empty step 2."""
    with Client(server.url("empty")) as client:
        frame = client.ws.recv(timeout=TIMEOUT_S)
        assert frame == step_1_frame(b"\x00")
        client.ws.send(step_1_frame(b"\x00"))
        assert client.ws.recv(timeout=TIMEOUT_S) == EMPTY_STEP_2


def test_two_clients_exchange(server: Server) -> None:
    """What one client writes, the other reads, and one that joins later as well."""
    with Client(server.url("two")).sync() as one, Client(server.url("two")).sync() as two:
        one.append("Hello")
        two.receive_until(lambda: str(two.text) == "Hello")
        two.append(", world")
        one.receive_until(lambda: str(one.text) == "Hello, world")
        with Client(server.url("two")).sync() as three:
            assert str(three.text) == "Hello, world"


def test_an_update_does_not_come_back(server: Server) -> None:
    """A client's own update is not echoed, unless it asked with ``?ack=1``."""
    with (
        Client(server.url("echo")).sync() as plain,
        Client(server.url("echo?ack=1")).sync() as acknowledged,
    ):
        own = plain.append("a")
        acknowledged.receive_until(lambda: str(acknowledged.text) == "a")
        echoed = acknowledged.append("b")
        assert acknowledged.receive() == SyncUpdate(echoed)
        plain.receive_until(lambda: str(plain.text) == "ab")
        assert SyncUpdate(own) not in plain.messages


def test_awareness(server: Server) -> None:
    """Awareness reaches the others, newcomers at once, and goes when its client goes."""
    here = b"\x01\x0b\x01\x05\x01\x07" + b'{"a":1}'
    with Client(server.url("present")).sync() as one:
        with Client(server.url("present")).sync() as two:
            two.ws.send(here)
            one.receive_until(lambda: AwarenessMessage(here[2:]) in one.messages)
            with Client(server.url("present")) as three:
                three.receive_until(lambda: AwarenessMessage(here[2:]) in three.messages)
        gone = AwarenessMessage(b"\x01\x05\x01\x04null")
        one.receive_until(lambda: gone in one.messages)


def test_a_large_message(server: Server) -> None:
    """An update just below the limit passes in both directions."""
    with Client(server.url("large")).sync() as one:
        one.append("x" * (1024 * 1024 - 100))
        with Client(server.url("large")) as two:
            two.ws.send(step_1_frame(two.doc.get_state()))
            two.receive_until(lambda: len(two.text) == 1024 * 1024 - 100)


def test_continuation_frames(server: Server) -> None:
    """A message in many fragments is one message."""
    doc: pycrdt.Doc[object] = pycrdt.Doc()
    doc["text"] = pycrdt.Text("y" * 1000)
    frame = update_frame(doc.get_update())
    with Client(server.url("pieces")).sync() as one, Client(server.url("pieces")).sync() as two:
        one.ws.send(frame[at : at + 7] for at in range(0, len(frame), 7))
        two.receive_until(lambda: len(two.text) == 1000)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b/c", "a/b/c"),
        ("a%20b/%C3%BC%2Fx", "a b/ü/x"),
        ("%252F", "%2F"),
        ("metrics", "metrics"),
        ("health/live", "health/live"),
        ("api/v1/documents/x", "api/v1/documents/x"),
        ("/leading", "/leading"),
        ("trailing/", "trailing/"),
        ("a%0Ab", "a\nb"),
        ("x" * 512, "x" * 512),
    ],
)
def test_document_names(server: Server, path: str, name: str) -> None:
    """A document's name is the path without its first slash, decoded exactly once."""
    with Client(server.url(path)).sync():
        assert name in server.call(lambda: list(server.hub.rooms))


def test_websockets_and_http_share_paths(server: Server) -> None:
    """An upgrade at ``/metrics`` is a document; a plain GET there is still the metrics."""
    with Client(server.url("metrics")).sync() as client:
        client.append("a document")
        client.receive_until(lambda: True)
    response = httpx.get(server.url("metrics", "http"))
    assert response.text.startswith("# HELP crdtsync_info")
    assert httpx.get(server.url("some/document", "http")).status_code == 404
    page = httpx.get(server.url("", "http"))
    assert page.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("path", ["", "x" * 513, "%FF", "a%00b"])
def test_bad_names(server: Server, path: str) -> None:
    """A name that no document can have is refused for good, with the reason."""
    with Client(server.url(path)) as client:
        reasons, close = client.refusal()
    assert close.code == 4414
    assert reasons == [close.reason]


def test_text_messages_are_refused(server: Server) -> None:
    """A text message ends the connection with 4415."""
    with Client(server.url("text")).sync() as client:
        client.ws.send("hello")
        reasons, close = client.refusal()
    assert close.code == 4415
    assert reasons == [close.reason]


def test_a_message_over_the_limit_is_refused(server: Server) -> None:
    """A message over our limit ends with our 4413, not with the server's 1009."""
    with Client(server.url("over")).sync() as client:
        client.ws.send(bytes(1024 * 1024 + 1))
        reasons, close = client.refusal()
    assert close.code == 4413
    assert reasons == [close.reason]


@pytest.mark.parametrize(
    "frame", [b"", b"\x00", b"\x00\x01\x05\x00", b"\x00\x07\x00", b"\x01\x02\x00"]
)
def test_malformed_messages_are_refused(server: Server, frame: bytes) -> None:
    """What is no message of the protocol ends the connection with 4400."""
    with Client(server.url("malformed")).sync() as client:
        client.ws.send(frame)
        _, close = client.refusal()
    assert close.code == 4400


def test_a_damaged_update_is_refused(server: Server) -> None:
    """An update that no Yjs client writes ends its connection, and nobody else's."""
    with (
        Client(server.url("damaged")).sync() as other,
        Client(server.url("damaged")).sync() as client,
    ):
        client.ws.send(b"\x00\x02\x05\x01\x00\x01\x00\x00")
        _, close = client.refusal()
        assert close.code == 4422
        other.ws.send(QUERY_AWARENESS)
        assert isinstance(other.receive(), AwarenessMessage)


def test_a_connection_that_just_goes(server: Server) -> None:
    """A peer that vanishes without a closing handshake leaves the room, with its awareness."""
    here = b"\x01\x0b\x01\x06\x01\x07" + b'{"a":1}'
    with Client(server.url("vanish")).sync() as other:
        client = Client(server.url("vanish")).sync()
        client.ws.send(here)
        other.receive_until(lambda: AwarenessMessage(here[2:]) in other.messages)
        client.ws.socket.shutdown(socket.SHUT_RDWR)
        gone = AwarenessMessage(b"\x01\x06\x01\x04null")
        other.receive_until(lambda: gone in other.messages)
        assert server.call(lambda: len(server.hub.rooms["vanish"].connections)) == 1


def test_many_messages_in_one_frame_boundary(server: Server) -> None:
    """Messages sent back to back arrive in order, none is lost."""
    with Client(server.url("burst")).sync() as one, Client(server.url("burst")).sync() as two:
        for number in range(300):
            one.append(f"{number} ")
        expected = "".join(f"{number} " for number in range(300))
        two.receive_until(lambda: len(two.text) == len(expected))
        assert str(two.text) == expected


def test_a_name_round_trips_to_rest(server: Server) -> None:
    """The document of a WebSocket is the document of the same name over REST."""
    name = "notes/ü & more"
    with Client(server.url(quote(name) + "?ack=1")).sync() as client:
        client.append("text")
        client.receive()
    response = httpx.get(server.url(f"api/v1/documents/{quote(name)}?format=text", "http"))
    assert response.text == "text"


def test_the_closing_handshake(server: Server) -> None:
    """A client that closes gets its close answered."""
    with Client(server.url("bye")).sync() as client:
        client.ws.close(1000, "done")
        with pytest.raises(ConnectionClosed) as caught:
            client.ws.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1000
    assert isinstance(client.messages[0], SyncStep1)
    assert any(isinstance(message, SyncStep2) for message in client.messages)
