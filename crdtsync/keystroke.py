"""The update that a typing client sends, read in half the time of the full reader.

Owns one shape: one run of ASCII characters of one client, beside items of its own. Whatever is
anything else, or damaged, is the full reader's (``update.scan``); where both read an update,
they agree.
"""

from typing import Final

from crdtsync.structs import HAS_ORIGIN, HAS_RIGHT, NO_ROOTS, STRING, Range, Scan

__all__ = ["scan_keystroke"]

_NO_NEEDS: Final[dict[int, int]] = {}


class Keystroke(Scan):
    """The scan of one string of one client behind or before items of its own."""

    __slots__ = ()
    deletes = ()
    skips = False
    needs = _NO_NEEDS
    roots = NO_ROOTS
    types = False
    parents = None
    keys = False
    pairs = None
    verbatim = False
    structs = None

    def __init__(self, ranges: tuple[Range, ...], bodies: tuple[Range, ...]) -> None:
        self.ranges = ranges
        self.bodies = bodies


def scan_keystroke(data: bytes, client: int, own: bytes) -> Scan | None:
    """Read an update that ``client``, whose encoded id is ``own``, makes by typing.

    Half of a ``scan``, and most of what there is: one run of ASCII characters with neighbours
    of the same client. ``None`` where it is anything else, or damaged: then ``scan`` says what.
    """
    width = len(own)
    position = width + 2
    if data[0] != 1 or data[1] != 1 or not data.startswith(own, 2):
        return None
    clock = data[position]
    position += 1
    if clock >= 0x80:
        byte = data[position]
        position += 1
        clock += (byte - 1) << 7
        if byte >= 0x80:
            byte = data[position]
            position += 1
            clock += (byte - 1) << 14
        if byte >= 0x80 or not byte:
            return None
    body = position
    info = data[position]
    position += 1
    if info & 0x3F != STRING or not info:
        return None
    for flag in (HAS_ORIGIN, HAS_RIGHT):
        if info & flag:
            if not data.startswith(own, position):
                return None
            position += width
            at = data[position]
            position += 1
            if at >= 0x80:
                byte = data[position]
                position += 1
                at += (byte - 1) << 7
                if byte >= 0x80:
                    byte = data[position]
                    position += 1
                    at += (byte - 1) << 14
                if byte >= 0x80 or not byte:
                    return None
            if at >= clock:
                return None
    length = data[position]
    position += 1
    end = position + length
    if (
        not 0 < length < 0x80
        or not info & 0xC0
        or end + 1 != len(data)
        or data[end]
        or not data[position:end].isascii()
    ):
        return None
    return Keystroke(((client, clock, clock + length),), ((body, end, 1),))
