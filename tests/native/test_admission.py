"""Who gets in, under what name, and what the others are told."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from crdtsync.auth import Authenticator, ConnectRequest
from crdtsync.errors import Forbidden, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.limits import Limits

from .kit import (
    BINARY,
    PING,
    PONG,
    STEP_1,
    TEXT,
    Peer,
    Recorder,
    Server,
    encode,
    typed,
    upgrade_request,
    wait_until,
)

LONG = "nobody knows you " * 20


@contextmanager
def asking(loop: str, path: str, *headers: str) -> Iterator[tuple[Recorder, Peer]]:
    """Connect a client to a server that remembers what its authenticator was asked."""
    recorder = Recorder()
    with Server(loop, authenticator=recorder) as server, server.synced(path, headers) as peer:
        yield recorder, peer


def refused(loop: str, authenticator: Authenticator) -> tuple[int, str, str]:
    """Return what a client is told that an authenticator does not let in."""
    with Server(loop, authenticator=authenticator) as server, server.peer() as peer:
        return peer.refused()


def test_what_came_before_the_close_was_seen_is_kept(loop: str) -> None:
    """A refused client writes on until it has seen the close: all of it is in the quarantine."""

    def kept() -> int:
        return server.hub.quarantine.stats.kept

    limits = Limits(refusal_delay_s=0.01, max_document_bytes=100)
    with Server(loop, limits=limits) as server, server.synced() as peer:
        peer.send(typed(5, 0, "x" * 200))
        assert peer.close_frame().code == 4413
        peer.send(typed(5, 200, "y"))
        wait_until(lambda: server.call(kept) == 2, "both are kept")


def test_a_subprotocol_carries_the_token(loop: str) -> None:
    """Of ``crdtsync`` and ``token.abc`` the first is selected, the second is the token."""
    with asking(loop, "/doc", "Sec-WebSocket-Protocol: crdtsync, token.abc") as (recorder, peer):
        assert recorder.requests[0].token == "abc"
        assert b"sec-websocket-protocol: crdtsync\r\n" in peer.head.lower() + b"\r\n"


def test_a_foreign_subprotocol_is_selected(loop: str) -> None:
    """A client that offers others gets one, because a browser would drop the connection."""
    with asking(loop, "/doc", "Sec-WebSocket-Protocol: token.abc,yjs") as (_, peer):
        assert b"sec-websocket-protocol: yjs\r\n" in peer.head.lower() + b"\r\n"


def test_no_subprotocol_is_selected(loop: str) -> None:
    """A client that offers none gets none."""
    with asking(loop, "/doc") as (_, peer):
        assert b"sec-websocket-protocol" not in peer.head.lower()


def test_the_query_carries_the_token(loop: str) -> None:
    """``?token=`` is the token; the other parameters are decoded and handed on without it."""
    with asking(loop, "/doc?token=a%26b&room=%C3%BC") as (recorder, _):
        assert recorder.requests[0].token == "a&b"
        assert recorder.requests[0].params == {"room": "ü"}


def test_the_authorization_header_carries_the_token(loop: str) -> None:
    """``Authorization: Bearer`` is the token; headers and address are handed on."""
    with asking(loop, "/doc", "Authorization: Bearer xyz", "X-Extra: 1") as (recorder, _):
        request = recorder.requests[0]
        assert (request.token, request.address) == ("xyz", "127.0.0.1")
        assert request.headers["x-extra"] == "1"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a%20b/%C3%BC%2Fx", "a b/ü/x"),
        ("/%252F", "%2F"),
        ("//a/", "/a/"),
        ("/a?b", "a"),
        ("/a+b", "a+b"),
        ("http://elsewhere/a%20b?x=1", "a b"),
        ("http://[elsewhere/a", "a"),
    ],
)
def test_names_are_decoded_once(loop: str, path: str, name: str) -> None:
    """A document's name is the path without its first slash, percent-decoded once."""
    with asking(loop, path) as (recorder, peer):
        assert recorder.requests[0].document == name
        assert peer.messages


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/", "the document's name is empty: connect to ws://HOST:PORT/NAME"),
        ("/?token=x", "the document's name is empty: connect to ws://HOST:PORT/NAME"),
        ("/%FF", "the document's name is not UTF-8"),
        ("/a%00b", "the document's name holds a NUL"),
        ("/" + "x" * 33, "the document's name is over 32 bytes"),
        ("elsewhere", "the document's name is empty: connect to ws://HOST:PORT/NAME"),
    ],
)
def test_names_that_are_refused(loop: str, path: str, reason: str) -> None:
    """A name that is empty, too long or no UTF-8 is refused with 4414, the reason in front."""
    limits = Limits(max_document_name_bytes=32, refusal_delay_s=0.01)
    with Server(loop, limits=limits) as server, server.peer(path) as peer:
        assert peer.refused() == (4414, reason, reason)
        assert server.rejected() == {"invalid-document-name": 1}


def test_unauthenticated(loop: str) -> None:
    """A client that the authenticator refuses gets its reason, then 4401."""
    answer = refused(loop, Recorder(error=Unauthenticated("who are you?")))
    assert answer == (4401, "who are you?", "who are you?")


def test_forbidden(loop: str) -> None:
    """A client that may not gets the reason, then 4403."""
    answer = refused(loop, Recorder(error=Forbidden("not yours")))
    assert answer == (4403, "not yours", "not yours")


def test_a_long_reason_is_cut(loop: str) -> None:
    """A reason over 123 bytes is cut in the close frame, and whole in the message before it."""
    code, reason, auth = refused(loop, Recorder(error=Unauthenticated(LONG)))
    assert (code, auth) == (4401, LONG)
    assert reason == LONG[:120] + "..."


def test_an_authenticator_that_fails(loop: str) -> None:
    """An authenticator's own failure is no verdict: the client is told to come back, 1013."""
    code, reason, auth = refused(loop, Recorder(error=ZeroDivisionError("secret")))
    assert (code, auth) == (1013, "")
    assert "secret" not in reason


def test_an_authenticator_that_returns_nobody(loop: str) -> None:
    """An authenticator that returns no principal is at fault, and hurts nobody else."""

    class Nobody:
        async def authenticate(self, request: ConnectRequest) -> Principal:
            return Principal() if request.token else None  # type: ignore[return-value]

    with Server(loop, authenticator=Nobody()) as server, server.peer() as peer:
        assert peer.refused()[0] == 1013
        with server.synced("/doc?token=x"):
            assert server.rejected() == {"unavailable": 1}


def test_early_frames_are_kept(loop: str) -> None:
    """What comes before the authenticator has answered is handled behind it, in order."""
    recorder = Recorder()
    recorder.gate.clear()
    with Server(loop, authenticator=recorder) as server, server.peer() as peer:
        for clock, letter in enumerate("early"):
            peer.send(typed(1, clock, letter))
        peer.send_frame(PING, b"x")
        frame = peer.frame()
        assert frame is not None
        assert frame.opcode == PONG
        assert server.call(lambda: server.hub.connections) == 0
        recorder.gate.set()
        peer.send(typed(1, 5, "!"))
        peer.sync()
        with server.synced() as other:
            other.read_until(lambda: other.replica.text == "early!")


def test_an_early_text_message(loop: str) -> None:
    """A text message is refused after the authenticator's answer, like any other."""
    recorder = Recorder()
    recorder.gate.clear()
    with Server(loop, authenticator=recorder) as server, server.peer() as peer:
        peer.send_frame(TEXT, b"hello")
        recorder.gate.set()
        code, _, auth = peer.refused()
        assert code == 4415
        assert auth


def test_early_frames_are_bounded(loop: str) -> None:
    """A client that floods before it is let in is not read any more, then read to the end."""
    recorder = Recorder()
    recorder.gate.clear()
    size = 64 * 1024
    with Server(loop, authenticator=recorder) as server, server.peer() as peer:
        recorder.asked.wait()
        peer.sock.settimeout(0.3)
        clock = 0
        unsent = b""
        try:
            while clock < 200 * size:
                unsent = encode(BINARY, typed(1, clock, "x" * size))
                clock += size
                while unsent:
                    unsent = unsent[peer.sock.send(unsent) :]
        except TimeoutError:
            pass
        assert clock < 200 * size, "the server reads on"
        peer.sock.settimeout(20)
        assert server.call(lambda: True)
        recorder.gate.set()
        peer.sock.sendall(unsent)
        peer.sync()
        with server.synced() as other:
            other.read_until(lambda: len(other.replica.text) == clock)


def test_gone_before_admission(loop: str) -> None:
    """A client that leaves while the authenticator thinks leaves nothing behind."""
    recorder = Recorder()
    recorder.gate.clear()
    with Server(loop, authenticator=recorder) as server:
        with server.peer() as peer:
            recorder.asked.wait()
            peer.goodbye()
        recorder.gate.set()
        with server.synced("/other"):
            assert server.call(lambda: list(server.hub.rooms)) == ["other"]


def test_acknowledged(server: Server) -> None:
    """With ``?ack=1`` a client gets its own update back, without it does not."""
    with server.synced("/doc?ack=1") as peer, server.synced() as plain:
        peer.send(typed(1, 0, "me"))
        peer.read_until(lambda: peer.replica.text == "me")
        plain.read_until(lambda: plain.replica.text == "me")
        plain.send(typed(2, 0, "x"))
        peer.read_until(lambda: len(peer.replica.text) == 3)
        seen = len(plain.messages)
        plain.sync()
        assert len(plain.messages) == seen + 1


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"", 4400),
        (b"\x00", 4400),
        (b"\x00\x07\x00", 4400),
        (b"\x00\x02\x05\x01", 4400),
        (b"\x00\x02\x04\x01\x01\x01\x00", 4422),
        (b"\x00\x02\x03\x00\x00\x00", 4422),
        (b"\x00\x00\x01\x05", 4422),
    ],
    ids=["empty", "cut", "unknown", "short", "damaged", "trailing", "state vector"],
)
def test_messages_that_are_refused(server: Server, message: bytes, code: int) -> None:
    """A malformed message closes its own connection with 4400, a damaged update with 4422."""
    with server.synced() as other, server.synced() as peer:
        peer.send(message)
        got, reason, auth = peer.refused()
        assert got == code
        assert reason == auth != ""
        assert sum(server.rejected().values()) == 1
        other.send(typed(1, 0, "unmoved"))
        other.sync()


def test_text_messages_are_refused(server: Server) -> None:
    """A text message is refused with 4415, whole or in fragments."""
    for fin in (True, False):
        with server.synced() as peer:
            peer.send_frame(TEXT, b"hel", fin=fin)
            if not fin:
                peer.send_frame(0, b"lo")
            code, reason, auth = peer.refused()
            assert code == 4415
            assert reason == auth == "text messages are not part of the protocol"
    assert server.rejected() == {"unsupported-data": 2}


def test_an_upgrade_and_frames_in_one_segment(server: Server) -> None:
    """Frames right behind the upgrade request are not lost."""
    with Peer(server.socket()) as peer:
        request, key = upgrade_request()
        frames = encode(BINARY, typed(1, 0, "x" * 5000)) + encode(BINARY, STEP_1)
        peer.sock.sendall(request + frames)
        peer.expect_upgrade(key)
        peer.read_until(lambda: any(each.startswith(b"\x00\x01") for each in peer.messages))
        with server.synced() as other:
            other.read_until(lambda: len(other.replica.text) == 5000)
