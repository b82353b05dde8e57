"""The frames of y-websocket, and a document's name in a URL."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtsync.encoding import write_var_uint
from crdtsync.errors import InvalidDocumentName, MalformedMessage
from crdtsync.protocol import (
    EMPTY_STEP_2,
    KEEPALIVE,
    QUERY_AWARENESS,
    AuthMessage,
    AwarenessMessage,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    UnknownMessage,
    awareness_frame,
    check_document_name,
    decode_frame,
    document_name,
    permission_denied_frame,
    step_1_frame,
    step_2_frame,
    update_frame,
)

PAYLOADS = st.one_of(st.binary(max_size=40), st.just(b"x" * 127), st.just(b"x" * 20_000))


@given(PAYLOADS, st.text(max_size=30))
def test_each_message_comes_back(payload: bytes, reason: str) -> None:
    """What one side writes the other reads as the same message."""
    assert decode_frame(step_1_frame(payload)) == [SyncStep1(payload)]
    assert decode_frame(step_2_frame(payload)) == [SyncStep2(payload)]
    assert decode_frame(update_frame(payload)) == [SyncUpdate(payload)]
    assert decode_frame(awareness_frame(payload)) == [AwarenessMessage(payload)]
    assert decode_frame(permission_denied_frame(reason)) == [AuthMessage(reason)]


def test_constants_are_what_the_clients_know() -> None:
    """WIRE, order and liveness: the empty step 2, the empty awareness message, the query."""
    assert decode_frame(EMPTY_STEP_2) == [SyncStep2(b"\x00\x00")]
    assert decode_frame(KEEPALIVE) == [AwarenessMessage(b"\x00")]
    assert decode_frame(QUERY_AWARENESS) == [QueryAwareness()]


def test_several_messages_in_one_frame_are_all_read() -> None:
    """WIRE, one message per frame: inbound, be ready for several."""
    frame = step_1_frame(b"\x00") + QUERY_AWARENESS + awareness_frame(b"\x00")
    assert decode_frame(frame) == [SyncStep1(b"\x00"), QueryAwareness(), AwarenessMessage(b"\x00")]


def test_an_unknown_type_ends_the_frame_and_nothing_else() -> None:
    """A message type of a later protocol is named, and what stood before it counts."""
    frame = update_frame(b"ab") + b"\x2a" + b"whatever follows"
    assert decode_frame(frame) == [SyncUpdate(b"ab"), UnknownMessage(42)]


@pytest.mark.parametrize(
    "frame",
    [b"", b"\x00\x03\x00", b"\x00\x7f\x00", b"\x02\x01\x00", b"\x02\x00\x01\xff", b"\x01\x05abc"],
)
def test_damaged_messages_are_refused(frame: bytes) -> None:
    """An empty frame, an unknown sync or auth kind, bad UTF-8 and a length too far: malformed."""
    with pytest.raises(MalformedMessage):
        decode_frame(frame)


@pytest.mark.parametrize(
    "frame",
    [
        step_1_frame(b"\x02\x01\x02\x03\x04"),
        update_frame(b"x" * 200),
        awareness_frame(b"abc"),
        permission_denied_frame("no"),
    ],
)
def test_no_message_can_be_cut(frame: bytes) -> None:
    """Every proper beginning of a message is malformed."""
    for end in range(len(frame)):
        with pytest.raises(MalformedMessage):
            decode_frame(frame[:end])


@given(st.binary(max_size=60))
def test_garbage_is_messages_or_malformed(frame: bytes) -> None:
    """Any bytes are read as messages or raise ``MalformedMessage``, nothing else."""
    try:
        assert decode_frame(frame)
    except MalformedMessage:
        pass


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"/a%20b/%C3%BC%2Fx", "a b/ü/x"),
        ("/a%20b/%C3%BC%2Fx", "a b/ü/x"),
        (b"/document/7/9", "document/7/9"),
        (b"//x", "/x"),
        (b"x", "x"),
        (b"/%2541", "%41"),
        (b"/100%", "100%"),
        (b"/a+b", "a+b"),
        (b"/../../etc", "../../etc"),
    ],
)
def test_a_name_is_the_path_decoded_once(raw: bytes | str, name: str) -> None:
    """WIRE, room name: the path without its first slash, percent-decoded once, nothing more."""
    assert document_name(raw) == name


@pytest.mark.parametrize("raw", [b"", b"/", b"/%FF", b"/a%00b", b"/\xff", "/\udcff"])
def test_a_name_that_cannot_be_one_is_refused(raw: bytes | str) -> None:
    """Nothing, bytes that are no UTF-8, and a NUL make no name."""
    with pytest.raises(InvalidDocumentName):
        document_name(raw)


def test_max_document_name_bytes() -> None:
    """A name of the limit is taken, a byte more is not, and it is bytes that count."""
    assert document_name(b"/" + b"x" * 512) == "x" * 512
    with pytest.raises(InvalidDocumentName, match="over 512 bytes"):
        document_name(b"/" + b"x" * 513)
    check_document_name("ü" * 4, max_bytes=8)
    with pytest.raises(InvalidDocumentName, match="over 7 bytes"):
        check_document_name("ü" * 4, max_bytes=7)


def test_a_lone_surrogate_is_no_name() -> None:
    """A name that can't be written as UTF-8 is refused, not crashed on."""
    with pytest.raises(InvalidDocumentName):
        check_document_name("a\ud800")


def test_a_reason_of_a_refusal_never_repeats_what_came() -> None:
    """What the client sent is not in the reason that the client is shown."""
    with pytest.raises(InvalidDocumentName) as caught:
        document_name(b"/" + b"secret" * 200)
    assert "secret" not in str(caught.value)
    with pytest.raises(MalformedMessage) as malformed:
        decode_frame(write_var_uint(1) + b"\x20secret")
    assert "secret" not in str(malformed.value)
