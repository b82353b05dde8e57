"""The short way for keystrokes against the full reader."""

from typing import Any

import pycrdt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtsync.errors import InvalidUpdate
from crdtsync.keystroke import Typist
from crdtsync.limits import Limits
from crdtsync.session import Session
from crdtsync.structs import MAX_CLOCK, Scan
from crdtsync.update import scan

from .wire import block, gc, item, one, update

LIMITS = Limits()
CLIENTS = [0, 1, 127, 128, 300, (1 << 32) - 1, (1 << 53) - 1]
FIELDS = [name for base in Scan.__mro__ for name in getattr(base, "__slots__", ())]


def short(data: bytes, client: int) -> Scan | None:
    return Typist(client).read(data)


def agree(data: bytes, client: int, typist: Typist | None = None) -> bool:
    """Check that the short way says nothing or what the full reader says."""
    found = short(data, client) if typist is None else typist.read(data)
    if found is None:
        return False
    full = scan(data, LIMITS)
    assert {name: getattr(found, name) for name in FIELDS} == {
        name: getattr(full, name) for name in FIELDS
    }
    return True


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("clock", [1, 127, 128, 16_383, 16_384, 2_097_151])
def test_a_typed_character_takes_the_short_way(client: int, clock: int) -> None:
    """A character behind, before or between one's own is read the short way, and alike."""
    for origin, right in (((client, clock - 1), None), (None, (client, 0)), ((client, 0),) * 2):
        assert agree(one(client, clock, "x", origin=origin, right=right), client)


@pytest.mark.parametrize(
    "data",
    [
        one(1, 5, "é", origin=(1, 4)),
        one(1, 5, "x"),
        one(1, 5, "x", origin=(2, 4)),
        one(1, 5, "x", origin=(1, 4), right=(2, 0)),
        one(1, 5, "x" * 200, origin=(1, 4)),
        one(1, 5, "x", origin=(1, 4), deletes=[(1, 0, 1)]),
        one(2, 5, "x", origin=(2, 4)),
        update(block(1, 5, item("x", origin=(1, 4)), item("y", origin=(1, 5)))),
        update(block(1, 5, gc(1))),
        one(1, 5, "", origin=(1, 4)),
        one(1, 5, "x", origin=(1, 5)),
        one(1, 5, "x", origin=(1, 4), key="k"),
    ],
)
def test_anything_else_takes_the_long_way(data: bytes) -> None:
    """What is more than a run of ASCII beside one's own items is left to the full reader."""
    assert short(data, 1) is None


@given(
    st.sampled_from(CLIENTS),
    st.integers(0, 70_000),
    st.sampled_from(["x", "hello world", "y" * 127]),
    st.data(),
)
def test_damage_is_never_read_otherwise(
    client: int, clock: int, text: str, data: st.DataObject
) -> None:
    """A damaged keystroke is read as the full reader reads it, or not at all."""
    whole = bytearray(one(client, clock + 1, text, origin=(client, clock), right=(client, 0)))
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(whole) - 1))
        whole[position] = data.draw(st.integers(0, 255))
    agree(bytes(whole), client)
    for end in range(len(whole)):
        agree(bytes(whole[:end]), client)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("start", [1, 100, 16_000, 2_096_900, 268_435_400])
@pytest.mark.parametrize("right", [None, 0])
def test_a_client_that_types_on_is_read_by_its_bytes(
    client: int, start: int, right: int | None
) -> None:
    """Character after character, over the borders of the varints, both readers agree."""
    typist = Typist(client)
    neighbour = None if right is None else (client, right)
    for clock in range(start, start + 400):
        data = one(client, clock, "x", origin=(client, clock - 1), right=neighbour)
        assert agree(data, client, typist)


def test_a_clock_beyond_the_last_is_refused() -> None:
    """Typing on past the last clock there is ends in the full reader's refusal."""
    typist = Typist(1)
    assert agree(one(1, MAX_CLOCK - 1, "x", origin=(1, 0)), 1, typist)
    for text in ("x", "xy"):
        data = one(1, MAX_CLOCK, text, origin=(1, MAX_CLOCK - 1))
        assert typist.read(data) is None
        with pytest.raises(InvalidUpdate):
            scan(data, LIMITS)


@given(st.lists(st.integers(0, 5), max_size=30), st.data())
def test_what_was_expected_is_no_excuse(steps: list[int], data: st.DataObject) -> None:
    """Repeated, skipped, damaged, cut: what follows on typing is read as it is."""
    typist = Typist(300)
    clock = data.draw(st.sampled_from([1, 120, 250, 16_380]))
    for step in steps:
        whole = bytearray(one(300, clock, "x", origin=(300, clock - 1), right=(300, 0)))
        agree(bytes(whole), 300, typist)
        if step == 0:
            continue  # the same again
        clock += 1 + (step == 1)
        whole = bytearray(one(300, clock, "x", origin=(300, clock - 1), right=(300, 0)))
        if step == 2:
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        if step == 3:
            agree(bytes(whole[: data.draw(st.integers(0, len(whole)))]), 300, typist)
        if step == 4:
            whole = bytearray(update(deletes=[(300, clock - 1, clock)]))
        agree(bytes(whole), 300, typist)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("clock", [0, 127, 128, 16_384, 2_097_151])
@pytest.mark.parametrize("length", [1, 127])
def test_a_deletion_takes_the_short_way(client: int, clock: int, length: int) -> None:
    """One deleted range is read the short way, and alike, damaged or not."""
    whole = update(deletes=[(client, clock, clock + length)])
    assert agree(whole, client)
    for place in range(len(whole)):
        agree(whole[:place], client)
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            agree(whole[:place] + bytes((value,)) + whole[place + 1 :], client)


def test_a_typing_client_is_read_as_by_the_full_reader() -> None:
    """Over a whole session of typing and formatting both ways agree on every update."""
    made: pycrdt.Doc[Any] = pycrdt.Doc(client_id=1 << 31)
    text = made.get("text", type=pycrdt.Text)
    session = Session(LIMITS)
    taken = 0
    for step in range(300):
        before = made.get_state()
        middle = len(str(text)[: len(str(text)) // 2].encode())  # pycrdt counts bytes
        if step % 7 == 3:
            text.format(0, len(text), {"bold": True})
        else:
            text.insert(middle if step % 11 == 5 else len(text), "abc😀"[step % 4])
        data = made.get_update(before)
        found, full = session.read_update(data), scan(data, LIMITS)
        assert (found.ranges, found.deletes, found.bodies) == (
            full.ranges,
            full.deletes,
            full.bodies,
        )
        taken += agree(data, 1 << 31)
    assert taken > 100


def test_a_session_refuses_what_the_full_reader_refuses() -> None:
    """Damage on the short way ends in the full reader's error."""
    session = Session(LIMITS)
    whole = one(1, 5, "x", origin=(1, 4))
    session.read_update(whole)
    for end in range(len(whole)):
        with pytest.raises(InvalidUpdate):
            session.read_update(whole[:end])
