"""What RFC 6455 asks of frames: fragments, control frames, reserved bits, masks, lengths."""

import contextlib
import struct

import pytest

from crdtsync.limits import Limits

from .kit import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    STEP_1,
    TEXT,
    Recorder,
    Server,
    encode,
    typed,
)

LIMIT = 10_000
SMALL = Limits(max_message_bytes=LIMIT, refusal_delay_s=0.01)


def test_fragments_are_joined(server: Server) -> None:
    """A message in many frames counts as one, whatever the borders."""
    with server.synced() as peer:
        message = typed(1, 0, "from many frames")
        peer.send_frame(BINARY, message[:1], fin=False)
        for byte in message[1:-1]:
            peer.send_frame(CONTINUATION, bytes((byte,)), fin=False)
        peer.send_frame(CONTINUATION, b"", fin=False)
        peer.send_frame(CONTINUATION, message[-1:])
        peer.barrier()
        peer.send(typed(1, 16, "!"))
        with server.synced() as other:
            other.read_until(lambda: other.replica.text == "from many frames!")


def test_control_frames_between_fragments(server: Server) -> None:
    """Pings between the fragments of a message are answered at once and change nothing."""
    with server.synced() as peer:
        message = typed(1, 0, "x")
        peer.send_frame(BINARY, message[:4], fin=False)
        peer.send_frame(PING, b"between")
        peer.send_frame(PONG, b"unasked")
        frame = peer.frame()
        assert frame is not None
        assert (frame.opcode, frame.payload) == (PONG, b"between")
        peer.send_frame(CONTINUATION, message[4:])
        peer.barrier()
        with server.synced() as other:
            other.read_until(lambda: other.replica.text == "x")


def test_fragments_over_the_limit(loop: str) -> None:
    """The size limit holds for the whole of a fragmented message, and is counted once."""
    with Server(loop, limits=SMALL) as server, server.synced() as peer:
        peer.send_frame(BINARY, bytes(LIMIT // 2), fin=False)
        peer.send_frame(CONTINUATION, bytes(LIMIT // 2), fin=False)
        peer.send_frame(PING, b"alive at the limit")
        frame = peer.frame()
        assert frame is not None
        assert frame.opcode == PONG
        peer.send_frame(CONTINUATION, b"x", fin=False)
        peer.send_frame(CONTINUATION, bytes(LIMIT // 2), fin=False)
        peer.send_frame(CONTINUATION, bytes(LIMIT), fin=True)
        code, reason, auth = peer.refused()
        assert code == 4413
        assert reason == auth == f"a message is over {LIMIT} bytes"
        assert server.rejected() == {"message-too-large": 1}


def test_a_frame_over_the_limit(loop: str) -> None:
    """An oversized frame gets the application's 4413 with a reason, not a 1009, counted once."""
    with Server(loop, limits=SMALL) as server, server.synced() as peer:
        peer.send(bytes(LIMIT + 1))
        code, reason, auth = peer.refused()
        assert code == 4413
        assert reason == auth == f"a message is over {LIMIT} bytes"
        assert server.rejected() == {"message-too-large": 1}
        assert server.call(lambda: server.hub.connections) == 0


def test_a_message_at_the_limit(loop: str) -> None:
    """A message of exactly the limit is taken."""
    with Server(loop, limits=SMALL) as server, server.synced() as peer:
        overhead = len(typed(1, 0, "x" * 9000)) - 9000
        message = typed(1, 0, "x" * (LIMIT - overhead))
        assert len(message) == LIMIT
        peer.send(message)
        with server.synced() as other:
            other.read_until(lambda: len(other.replica.text) == LIMIT - overhead)


def test_a_frame_far_over_the_limit_is_read_to_its_end(loop: str) -> None:
    """A client that sends all of a far too large frame before it reads still gets the 4413."""
    with Server(loop, limits=SMALL) as server, server.synced() as peer:
        frame = encode(BINARY, bytes(4_000_000))
        peer.sock.sendall(frame[:1_000_000])
        refusal = peer.close_frame()  # it is there long before the rest is sent
        for start in range(1_000_000, len(frame), 250_000):
            peer.sock.sendall(frame[start : start + 250_000])
            assert server.call(lambda: True)  # the server is no step behind
        code, auth = refusal.code, peer.auth_reason()
        peer.send_close(code)
        assert peer.hung_up()
        assert code == 4413
        assert auth == f"a message is over {LIMIT} bytes"


def test_too_large_before_admission(loop: str) -> None:
    """A frame that is too large right behind the upgrade request is refused and counted too."""
    recorder = Recorder()
    recorder.gate.clear()
    with Server(loop, limits=SMALL, authenticator=recorder) as server, server.peer() as peer:
        peer.send(bytes(LIMIT + 1))
        code, _, auth = peer.refused()
        recorder.gate.set()
        assert code == 4413
        assert auth == f"a message is over {LIMIT} bytes"
        assert server.rejected() == {"message-too-large": 1}


@pytest.mark.parametrize(
    ("frames", "what"),
    [
        ([encode(CONTINUATION, b"x")], "a continuation of nothing"),
        ([encode(CONTINUATION, b"x", fin=False)], "a continuation of nothing, unfinished"),
        (
            [encode(BINARY, b"\x00", fin=False), encode(BINARY, b"\x00")],
            "a message within another",
        ),
        (
            [encode(BINARY, b"\x00", fin=False), encode(TEXT, b"x", fin=False)],
            "a text within a binary message",
        ),
        ([encode(BINARY, STEP_1, rsv=1)], "the third reserved bit"),
        ([encode(BINARY, STEP_1, rsv=2)], "the second reserved bit"),
        ([encode(BINARY, STEP_1, rsv=4)], "the first reserved bit"),
        (
            [encode(BINARY, STEP_1[:1], fin=False), encode(CONTINUATION, STEP_1[1:], rsv=4)],
            "a reserved bit in a continuation",
        ),
        ([encode(3, b"x")], "an unknown data frame"),
        ([encode(11, b"x")], "an unknown control frame"),
        ([encode(BINARY, STEP_1, masked=False)], "no mask"),
        ([encode(PING, bytes(126))], "a control frame over 125 bytes"),
        ([encode(PING, b"x", fin=False)], "a fragmented control frame"),
        ([encode(8, b"\x03")], "a close frame with half a code"),
        *(
            ([encode(8, struct.pack("!H", code))], f"the close code {code}")
            for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535)
        ),
        ([b"\x82\xfe\x00\x05" + bytes(9)], "a length that would fit in fewer bytes"),
        ([b"\x82\xff" + b"\xff" * 8 + bytes(4)], "a length over 63 bits"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_protocol_errors(server: Server, frames: list[bytes], what: str) -> None:
    """What RFC 6455 forbids is answered with 1002, and the server lives on."""
    with server.synced() as peer:
        peer.sock.sendall(b"".join(frames))
        code, reason, _ = peer.refused()
        assert code == 1002, what
        assert reason
    with server.synced() as other:
        other.goodbye()


@pytest.mark.parametrize(
    "behind",
    [encode(CLOSE), encode(BINARY, STEP_1), encode(11), encode(BINARY, masked=False)],
    ids=["another", "a message", "an unknown frame", "no mask"],
)
@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_nothing_counts_behind_a_close_frame(server: Server, behind: bytes, code: int) -> None:
    """A close frame is answered with its code, whatever comes behind it in the same read."""
    with server.synced() as peer:
        peer.sock.sendall(encode(CLOSE, struct.pack("!H", code)) + behind)
        assert peer.close_frame().code == code
        assert peer.hung_up()


def test_what_came_before_a_protocol_error_counts(server: Server) -> None:
    """A message that was whole before the error in the same read is taken."""
    with server.synced() as peer, server.synced() as other:
        peer.sock.sendall(encode(BINARY, typed(1, 0, "early")) + encode(11))
        assert peer.close_frame().code == 1002
        other.read_until(lambda: other.replica.text == "early")


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (encode(CONTINUATION, b"x"), 1002),
        (encode(BINARY, STEP_1, rsv=4), 1002),
        (encode(CLOSE, b"\x00\x00"), 1002),
        (encode(CLOSE, b"\x03\xed"), 1002),
        (encode(CLOSE, b"\x03\xe8\xff"), 1007),
        (encode(PING, bytes(126)), 1002),
    ],
    ids=["alone", "rsv", "no close code", "a false close code", "a false reason", "a large ping"],
)
@pytest.mark.parametrize("apart", [False, True], ids=["at once", "apart"])
def test_nothing_counts_behind_a_protocol_error(
    server: Server, broken: bytes, code: int, apart: bool
) -> None:
    """What comes behind a protocol error is not taken, and nothing is sent behind the close."""
    late = encode(BINARY, typed(1, 0, "late"))
    with server.synced() as peer, server.synced() as other:
        peer.sock.sendall(broken if apart else broken + late)
        assert peer.close_frame().code == code
        if apart:
            with contextlib.suppress(OSError):  # it may have hung up already
                peer.sock.sendall(late)
        other.send(typed(2, 0, "in time"))
        other.barrier()
        with contextlib.suppress(OSError):
            peer.send_close(1002)
        assert peer.hung_up()
        assert server.text() == "in time"


def test_pings_are_answered(server: Server) -> None:
    """A ping is answered with its own payload, at any size that it may have."""
    with server.synced() as peer:
        for payload in (b"", b"x", bytes(range(125))):
            peer.send_frame(PING, payload)
            frame = peer.frame()
            assert frame is not None
            assert (frame.opcode, frame.payload) == (PONG, payload)


def test_frames_byte_by_byte(server: Server) -> None:
    """Frames may arrive in any pieces."""
    with server.synced() as peer:
        for byte in encode(BINARY, typed(1, 0, "slow")) + encode(BINARY, typed(1, 4, "ly")):
            peer.sock.sendall(bytes((byte,)))
        peer.barrier()
        with server.synced() as other:
            other.read_until(lambda: other.replica.text == "slowly")


def test_several_messages_in_one_frame(server: Server) -> None:
    """All messages of one frame are handled, in order."""
    with server.synced() as peer, server.synced() as other:
        peer.send(typed(1, 0, "a") + typed(1, 1, "b") + STEP_1 + typed(1, 2, "c"))
        other.read_until(lambda: other.replica.text == "abc")
        assert peer.message().startswith(b"\x00\x01")


def test_masks(server: Server) -> None:
    """Any mask is taken off, at every length around the borders of the header's forms."""
    with server.synced() as peer, server.synced() as other:
        clock = 0
        for mask in (b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04"):
            for size in (1, 2, 3, 96, 97, 98, 99, 100, 101, 125, 126, 127, 65_500, 65_536):
                peer.send_frame(BINARY, typed(1, clock, "y" * size), mask=mask)
                clock += size
        other.read_until(lambda: len(other.replica.text) == clock)
        assert set(other.replica.text) == {"y"}
