"""The lib0 primitives: what is written is read, and nothing out of bounds is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtsync.encoding import (
    MAX_SAFE_INTEGER,
    read_var_bytes,
    read_var_string,
    read_var_uint,
    utf16_length,
    write_var_bytes,
    write_var_string,
    write_var_uint,
)

BORDERS = [edge + step for bits in range(7, 54, 7) for edge in (1 << bits,) for step in (-1, 0, 1)]


@pytest.mark.parametrize("value", [0, 1, *BORDERS, MAX_SAFE_INTEGER])
def test_integers_come_back(value: int) -> None:
    """Every integer of 53 bits is read as it was written, and not a byte beyond it."""
    raw = write_var_uint(value)
    assert read_var_uint(raw + b"\xff", 0) == (value, len(raw))


def test_integers_are_written_as_lib0_does() -> None:
    """Seven bits a byte, the lowest first (lib0, encoding.js)."""
    assert write_var_uint(127) == b"\x7f"
    assert write_var_uint(128) == b"\x80\x01"
    assert write_var_uint(300) == b"\xac\x02"


@pytest.mark.parametrize(
    "raw",
    [
        write_var_uint(MAX_SAFE_INTEGER + 1),
        b"\xff" * 7 + b"\x7f",
        b"\xff" * 8 + b"\x01",
        b"\x80" * 100 + b"\x01",
    ],
)
def test_integers_that_javascript_cannot_hold_are_refused(raw: bytes) -> None:
    """Neither 2^53 nor a ninth byte is read, however many follow."""
    with pytest.raises(ValueError, match="an integer is"):
        read_var_uint(raw, 0)


@pytest.mark.parametrize("raw", [b"\x80\x00", b"\x81\x80\x00", b"\xff\x00"])
def test_an_integer_has_one_spelling(raw: bytes) -> None:
    """An integer written longer than need be is refused: limits count by the bytes."""
    with pytest.raises(ValueError, match="an integer is"):
        read_var_uint(raw, 0)


@pytest.mark.parametrize("raw", [b"", b"\x80", b"\xff\xff"])
def test_truncated_integers_end_in_an_index_error(raw: bytes) -> None:
    """What ends inside an integer raises, for the caller to name."""
    with pytest.raises(IndexError):
        read_var_uint(raw, 0)


@given(st.binary(max_size=300))
def test_bytes_come_back(value: bytes) -> None:
    """Bytes are read as they were written."""
    raw = write_var_bytes(value)
    assert read_var_bytes(raw + b"x", 0) == (value, len(raw))


@given(st.text(max_size=200))
def test_strings_come_back(value: str) -> None:
    """A string is read as it was written, behind its length in bytes."""
    raw = write_var_string(value)
    assert read_var_string(raw + b"x", 0) == (value, len(raw))
    assert read_var_uint(raw, 0)[0] == len(value.encode())


@pytest.mark.parametrize("raw", [b"\x01", b"\x05abcd", b"\xff\xff\xff\xff\x0fabc"])
def test_a_length_stays_within_what_is_there(raw: bytes) -> None:
    """A length beyond the end is refused before anything is taken."""
    with pytest.raises(ValueError, match="a length reaches beyond the end"):
        read_var_bytes(raw, 0)


@pytest.mark.parametrize("raw", [b"\x01\xff", b"\x02\xc3\x28", b"\x03\xed\xa0\x80"])
def test_strings_are_strict_utf8(raw: bytes) -> None:
    """Bytes that are no UTF-8, lone surrogates among them, are refused."""
    with pytest.raises(UnicodeDecodeError):
        read_var_string(raw, 0)


@given(st.text(max_size=50))
def test_positions_count_utf16_units(text: str) -> None:
    """A text is as long as JavaScript says it is."""
    assert utf16_length(text) == len(text.encode("utf-16-le")) // 2
