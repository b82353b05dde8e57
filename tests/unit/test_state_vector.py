"""State vectors: read strictly, written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtsync.errors import InvalidUpdate
from crdtsync.limits import Limits
from crdtsync.state_vector import encode_state_vector, read_state_vector

from .wire import state_vector

LIMITS = Limits()
CLOCKS = st.dictionaries(st.integers(0, (1 << 53) - 1), st.integers(0, 1 << 31), max_size=20)


@given(CLOCKS)
def test_clocks_come_back(clocks: dict[int, int]) -> None:
    """What is written is read."""
    assert read_state_vector(encode_state_vector(clocks), LIMITS) == clocks


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x00\x00",
        state_vector((1, 2)) + b"\x00",
        state_vector((1, 2), (1, 3)),
        state_vector((1 << 53, 1)),
        state_vector((1, (1 << 31) + 1)),
        b"\x80\x00",
    ],
)
def test_damage_is_refused(data: bytes) -> None:
    """Truncated, too long, a client twice, ids and clocks out of bounds: refused."""
    with pytest.raises(InvalidUpdate):
        read_state_vector(data, LIMITS)


@pytest.mark.parametrize("declared", [b"\x81\x80\x04", b"\x80\x80\x80\x80\x01"])
def test_max_update_clients_holds_for_state_vectors(declared: bytes) -> None:
    """PYCRDT, memory: a vector that declares 65,537 or 2^28 clients is refused at once."""
    with pytest.raises(InvalidUpdate) as caught:
        read_state_vector(declared + b"\x01\x01", LIMITS)
    assert caught.value.kind == "update-clients"


def test_no_vector_can_be_cut() -> None:
    """Every proper beginning of a state vector is refused."""
    whole = encode_state_vector({1: 2, 1 << 40: 3, 300: 1 << 31})
    for end in range(len(whole)):
        with pytest.raises(InvalidUpdate):
            read_state_vector(whole[:end], LIMITS)
