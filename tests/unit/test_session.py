"""One connection's conversation: frames in, events out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtsync.awareness import Entry, encode_entries
from crdtsync.errors import InvalidUpdate, MalformedMessage, MessageTooLarge, RemoteError
from crdtsync.limits import Limits
from crdtsync.protocol import (
    EMPTY_STEP_2,
    KEEPALIVE,
    QUERY_AWARENESS,
    awareness_frame,
    permission_denied_frame,
    step_1_frame,
    step_2_frame,
    update_frame,
)
from crdtsync.session import (
    AwarenessReceived,
    AwarenessRequested,
    Ignored,
    Session,
    StateRequested,
    UpdateReceived,
)

from .wire import one, state_vector

UPDATE = one(1, 0, "hello")


@pytest.fixture
def session() -> Session:
    return Session(Limits())


def test_updates_are_read_at_once(session: Session) -> None:
    """An update comes with its description, and says whether it answers a step 1."""
    (event,) = session.receive(update_frame(UPDATE))
    assert isinstance(event, UpdateReceived)
    assert (event.update, event.step_2) == (UPDATE, False)
    assert event.scan.ranges == ((1, 0, 5),)
    assert event.scan.structs is None
    (event,) = session.receive(step_2_frame(UPDATE), structs=True)
    assert isinstance(event, UpdateReceived)
    assert event.step_2
    assert event.scan.structs


def test_empty_updates_are_no_event(session: Session) -> None:
    """WIRE, order: an empty update is neither stored nor relayed, so it is not even seen."""
    assert session.receive(EMPTY_STEP_2) == []
    assert session.receive(update_frame(b"\x00\x00")) == []


def test_a_step_1_asks_for_the_rest(session: Session) -> None:
    """A state vector is checked and handed on."""
    vector = state_vector((1, 5), (9, 2))
    assert session.receive(step_1_frame(vector)) == [StateRequested(vector)]
    with pytest.raises(InvalidUpdate):
        session.receive(step_1_frame(vector + b"\x00"))


def test_the_first_single_state_is_the_clients_own(session: Session) -> None:
    """The first awareness message with one entry is the client itself, later ones are any."""
    entry = Entry(5, 1, "{}")
    frame = awareness_frame(encode_entries([entry]))
    assert session.receive(frame) == [AwarenessReceived([entry], True)]
    assert session.receive(frame) == [AwarenessReceived([entry], False)]


def test_several_states_are_never_the_clients_own(session: Session) -> None:
    """A first message of several entries is a repetition of others' states."""
    frame = awareness_frame(encode_entries([Entry(5, 1, "{}"), Entry(6, 1, "{}")]))
    (event,) = session.receive(frame)
    assert isinstance(event, AwarenessReceived)
    assert not event.first


def test_the_rest_of_the_protocol(session: Session) -> None:
    """A query asks; an auth message and an unknown type mean nothing to a server."""
    assert session.receive(QUERY_AWARENESS) == [AwarenessRequested()]
    assert session.receive(permission_denied_frame("no")) == [Ignored("auth")]
    assert session.receive(b"\x2a") == [Ignored("unknown")]
    assert session.receive(KEEPALIVE) == [AwarenessReceived([], False)]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (update_frame(UPDATE[:-1]), InvalidUpdate),
        (b"\x00\x02\x05abc", MalformedMessage),
        (awareness_frame(b"\x01\x01"), MalformedMessage),
        (awareness_frame(b"\xff\xff\xff\x7f"), MessageTooLarge),
    ],
)
def test_nothing_of_a_bad_frame_counts(
    session: Session, bad: bytes, error: type[RemoteError]
) -> None:
    """A frame with one bad message gives an error and no event."""
    with pytest.raises(error):
        session.receive(update_frame(UPDATE) + bad)


@given(st.binary(max_size=80), st.booleans())
def test_garbage_is_events_or_a_remote_error(frame: bytes, structs: bool) -> None:
    """Whatever bytes come, they become events or the client's own typed error."""
    try:
        Session(Limits()).receive(frame, structs=structs)
    except RemoteError:
        pass


@given(st.data())
def test_damaged_frames_are_events_or_a_remote_error(data: st.DataObject) -> None:
    """The same for real frames with some bytes changed."""
    frame = bytearray(
        data.draw(
            st.sampled_from(
                [
                    update_frame(UPDATE),
                    step_1_frame(state_vector((1, 5))),
                    awareness_frame(encode_entries([Entry(5, 1, '{"a": 1}')])),
                ]
            )
        )
    )
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    try:
        Session(Limits()).receive(bytes(frame))
    except RemoteError:
        pass
