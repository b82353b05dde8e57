"""Values inside updates, of all kinds and shapes: lib0's "any", and JSON."""

import struct
from random import Random
from typing import Final

from crdtsync.encoding import write_var_bytes, write_var_string, write_var_uint

__all__ = ["STRINGS", "any_value", "deep_any", "json_text", "word"]

STRINGS: Final = (
    "", "a", "b", "hello", "\n", "\x00", "\u00e9", "\u4e2d\u6587", "\U0001f600", "x\U0001f600y",
    "\U0001f468\u200d\U0001f469", "\ufffd", "\ufeff", "\u2028", "<p>&amp;\"'", "undefined", "null",
)  # fmt: skip
KEYS: Final = ("k", "l", "", "bold", "\u00e9", "constructor", "length", "toString", "0")
JSONS: Final = (
    "null", "true", "false", "1", "-1.5", '"x"', '"\\u00e9"', "[]", "{}", '{"image":"x"}',
    "[1,[2]]", "1e30", '{"a":{"b":null}}', "0", '""',
)  # fmt: skip
BAD_JSONS: Final = (
    "", "{", "NaN", "undefined", '"\\ud800"', "1e999", "[" * 101 + "]" * 101, "'x'", "\ufeff1",
    "01",
)  # fmt: skip
FLOATS: Final = (
    0.0, -0.0, 1.5, 1e300, -1e-300, float("inf"), float("-inf"), float("nan"),
    2.0**53, 2.0**64, 3.0, 0.1,
)  # fmt: skip
INTEGERS: Final = (0, 1, 63, 64, 127, 128, 8191, 8192, 2**31 - 1, 2**31, 2**32, 2**53 - 1)


def word(dice: Random, *, pairs: bool = False) -> str:
    """Return a short text; with ``pairs`` it often holds surrogate pairs."""
    if pairs and dice.random() < 0.5:
        return "".join(
            dice.choice("a\U0001f600\U00010000\u00e9") for _ in range(dice.randint(1, 4))
        )
    if dice.random() < 0.6:
        return "".join(dice.choice("abcde \n") for _ in range(dice.randint(1, 6)))
    return dice.choice(STRINGS)


def any_value(dice: Random, depth: int = 0) -> bytes:
    """Write one value."""
    kind = dice.randrange(16)
    if kind < 4:
        return b"\x77" + write_var_string(dice.choice(STRINGS))
    if kind < 7:
        return b"\x7d" + _integer(dice.choice(INTEGERS), negative=dice.random() < 0.4)
    if kind < 9:
        return b"\x7b" + struct.pack(">d", dice.choice(FLOATS))
    if kind == 9:
        return b"\x7c" + struct.pack(">f", dice.choice((0.0, 0.5, -2.0, 1e10, float("inf"))))
    if kind == 10:
        if dice.random() < 0.2:
            return b"\x7a" + struct.pack(">q", dice.choice((0, 1, -1, 2**53, 2**63 - 1, -(2**63))))
        return b"\x74" + write_var_bytes(dice.randbytes(dice.randrange(5)))
    if kind < 13 or depth > 3:
        return bytes((dice.choice((0x78, 0x79, 0x7E, 0x7F)),))
    count = dice.randrange(4)
    if kind < 15:
        values = b"".join(any_value(dice, depth + 1) for _ in range(count))
        return b"\x75" + write_var_uint(count) + values
    pairs = b"".join(
        write_var_string(dice.choice(KEYS)) + any_value(dice, depth + 1) for _ in range(count)
    )
    return b"\x76" + write_var_uint(count) + pairs


def deep_any(depth: int) -> bytes:
    """Write arrays in one another."""
    return b"\x75\x01" * depth + b"\x7e"


def json_text(dice: Random, bad: float) -> bytes:
    """Write a format's or embed's JSON."""
    return write_var_string(dice.choice(BAD_JSONS if dice.random() < bad else JSONS))


def _integer(value: int, *, negative: bool) -> bytes:
    first = value & 0x3F | (0x40 if negative else 0)
    value >>= 6
    if not value:
        return bytes((first,))
    return bytes((first | 0x80,)) + write_var_uint(value)
