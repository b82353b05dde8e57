"""Sound bytes made unsound: bit by bit, byte by byte, and piece by piece."""

from collections.abc import Sequence
from random import Random
from typing import Final

__all__ = ["mutate"]

_TELLING: Final = (0x00, 0x01, 0x02, 0x7F, 0x80, 0xFF, 0x0A, 0x88, 0x84, 0x44)


def mutate(dice: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Change something; ``others`` are what pieces are taken from."""
    out = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        if not out:
            return bytes(dice.randbytes(dice.randrange(6)))
        at = dice.randrange(len(out))
        what = dice.randrange(9)
        if what == 0:
            out[at] ^= 1 << dice.randrange(8)
        elif what == 1:
            out[at] = dice.choice(_TELLING)
        elif what == 2:
            out[at] = (out[at] + dice.choice((1, -1))) & 0xFF
        elif what == 3:
            out.insert(at, dice.choice(_TELLING))
        elif what == 4:
            del out[at : at + dice.choice((1, 1, 2, 8))]
        elif what == 5:
            del out[at:]
        elif what == 6:  # a varint that is longer than it has to be, or has no end
            out[at : at + 1] = bytes(
                (out[at] | 0x80, *dice.choice((b"\x00", b"\xff\xff\xff\xff\x0f")))
            )
        elif what == 7:
            end = min(len(out), at + dice.choice((1, 4, 16)))
            to = dice.randrange(len(out) + 1)
            out[to:to] = out[at:end]
        elif others:
            other = dice.choice(others)
            start = dice.randrange(len(other) + 1)
            out[at : at + dice.choice((0, 1, 4))] = other[start : start + dice.choice((1, 4, 30))]
    return bytes(out)
