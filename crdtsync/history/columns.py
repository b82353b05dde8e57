"""Columns of integers as few bytes: fixed width, one plane per byte, compressed.

Reading costs some 20 ns a number, which variable-length integers in Python don't reach; the
planes, high bytes apart from low ones, compress better than the numbers one by one.
"""

import zlib
from array import array
from collections.abc import Iterable, Sequence
from typing import Final

from crdtsync.encoding import read_var_uint, write_var_uint

__all__ = ["pack", "unpack"]

_CODES: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}
_LEVEL: Final = 6
MAX_UNPACKED_BYTES: Final = 1 << 30
"""No columns are longer: what claims to be is damaged."""


def pack(columns: Sequence[Iterable[int]]) -> bytes:
    """Write columns; numbers are non-negative, below 2^64."""
    head = [write_var_uint(len(columns))]
    body: list[bytes] = []
    for column in columns:
        numbers = array("Q", column)
        top = max(numbers, default=0)
        width = 1 if top < 1 << 8 else 2 if top < 1 << 16 else 4 if top < 1 << 32 else 8
        data = _little(array(_CODES[width], numbers)).tobytes()
        head.append(write_var_uint(len(numbers)) + bytes((width,)))
        body += [data[plane::width] for plane in range(width)]
    return zlib.compress(b"".join((*head, *body)), _LEVEL)


def unpack(data: bytes) -> list["array[int]"]:
    """Read columns. Raises ``ValueError`` where the bytes are none that ``pack`` wrote."""
    try:
        reader = zlib.decompressobj()
        plain = reader.decompress(data, MAX_UNPACKED_BYTES)
        if not reader.eof or reader.unused_data:
            raise ValueError("the columns are cut off, or too long")
        count, position = read_var_uint(plain, 0)
        shapes: list[tuple[int, int]] = []
        for _ in range(count):
            length, position = read_var_uint(plain, position)
            shapes.append((length, plain[position]))
            position += 1
        columns: list[array[int]] = []
        for length, width in shapes:
            if length * width > len(plain) - position:
                raise ValueError("the columns are cut off")
            numbers = array(_CODES[width])
            buffer = bytearray(length * width)
            for plane in range(width):
                buffer[plane::width] = plain[position : position + length]
                position += length
            numbers.frombytes(buffer)
            columns.append(_little(numbers))
    except (zlib.error, IndexError, KeyError) as error:
        raise ValueError(f"the columns are damaged: {error}") from None
    if position != len(plain):
        raise ValueError("the columns are damaged")
    return columns


def _little(numbers: "array[int]") -> "array[int]":
    """Turn between this machine's order of bytes and the stored one."""
    if array("H", (1,)).tobytes() == b"\x00\x01":
        numbers.byteswap()
    return numbers
