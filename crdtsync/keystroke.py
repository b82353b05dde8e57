"""The updates that a typing client sends, read in a fraction of the full reader's time.

Owns three shapes: the character that follows on the one before, which differs from it in two
clocks and is recognised by its bytes; any run of ASCII characters of one client beside items of
its own; and the deletion of one range. Whatever is anything else, or damaged, is the full
reader's (``update.scan``); where both read an update, they agree.
"""

from typing import Final

from crdtsync.encoding import read_var_uint, write_var_uint
from crdtsync.structs import HAS_ORIGIN, HAS_RIGHT, MAX_CLOCK, NO_ROOTS, STRING, Range, Scan

__all__ = ["Typist"]

_NO_NEEDS: Final[dict[int, int]] = {}
_LOW_BITS: Final = 0x7F
"""A varint's byte, without the bit that says whether another follows."""


class _Short(Scan):
    """The scan of an update that needs nothing of others and makes no shared types."""

    __slots__ = ()
    skips = False
    needs = _NO_NEEDS
    roots = NO_ROOTS
    types = False
    parents = None
    keys = False
    pairs = None
    verbatim = False
    structs = None
    voids = None
    joining = None
    marks = ()


class _Keystroke(_Short):
    """The scan of one string of one client behind or before items of its own."""

    __slots__ = ()
    deletes = ()

    def __init__(self, ranges: tuple[Range, ...], bodies: tuple[Range, ...]) -> None:
        self.ranges = ranges
        self.bodies = bodies


class _Following(_Keystroke):
    """The scan of a character behind the one before."""

    __slots__ = ()
    follows = True


class _Deletion(_Short):
    """The scan of one deleted range."""

    __slots__ = ()
    ranges = ()
    bodies = ()

    def __init__(self, deletes: tuple[Range, ...]) -> None:
        self.deletes = deletes


class Typist:
    """A client that types: its id, and how its next update begins if it just types on."""

    __slots__ = ("_bodies", "_clock", "_low", "_low_origin", "_next", "_own", "_size", "client")

    def __init__(self, client: int = 0) -> None:
        self.client = client
        self._own = write_var_uint(client)
        self._next = bytearray()  # all of the next update but the last three bytes
        self._size = -1  # of the next update; -1 where nothing is expected
        self._clock = 0
        self._low = 0  # where its clock's lowest byte is
        self._low_origin = 0  # and its origin's
        self._bodies: tuple[Range, ...] = ()

    def read(self, update: bytes) -> Scan | None:
        """Read an update of this client, ``None`` where it is something else, or damaged."""
        if len(update) == self._size:  # 0.6 us instead of 2.2: most of what there is
            expected = self._next
            if update[:-3] == expected and update[-3] == 1 and update[-2] < 0x80 and not update[-1]:
                clock = self._clock
                low = self._low
                if (expected[low] + 1) & _LOW_BITS:
                    expected[low] += 1
                    expected[self._low_origin] += 1  # one less than the clock, so no overflow
                    self._clock = clock + 1
                else:  # the varint's next byte changes too: begin anew
                    self._size = -1
                return _Following(((self.client, clock, clock + 1),), self._bodies)
        try:
            if update[0]:
                return self._read_string(update)
            return self._read_deletion(update)
        except (IndexError, ValueError):
            return None

    def _read_string(self, data: bytes) -> Scan | None:
        own = self._own
        if data[0] != 1 or data[1] != 1 or not data.startswith(own, 2):
            return None
        clock, body = read_var_uint(data, len(own) + 2)
        info = data[body]
        if info & 0x3F != STRING or not info & (HAS_ORIGIN | HAS_RIGHT):
            return None
        right = position = body + 1
        for flag in (HAS_ORIGIN, HAS_RIGHT):
            if info & flag:
                right = position
                if not data.startswith(own, position):
                    return None
                at, position = read_var_uint(data, position + len(own))
                if at >= clock:
                    return None
        content = position
        length = data[position]
        position += 1
        end = position + length
        if (
            not 0 < length < 0x80
            or end + 1 != len(data)
            or data[end]
            or not data[position:end].isascii()
            or clock + length > MAX_CLOCK
        ):
            return None
        if length == 1:
            self._expect(data, clock, body, data[right:content] if info & HAS_RIGHT else b"")
        return _Keystroke(((self.client, clock, clock + length),), ((body, end, 1),))

    def _expect(self, data: bytes, clock: int, body: int, right: bytes) -> None:
        """Expect the next character behind this one, before the same neighbour."""
        own = self._own
        low = len(own) + 2
        self._size = -1
        if data[low] & _LOW_BITS == _LOW_BITS:
            return
        expected = bytearray(data[: body + 1])
        expected[low] += 1
        expected[body] |= HAS_ORIGIN
        expected += own + data[low:body]  # its origin is this one
        self._low_origin = len(expected) - (body - low)
        expected += right
        self._next = expected
        self._low = low
        self._clock = clock + 1
        self._size = len(expected) + 3
        self._bodies = ((body, self._size - 1, 1),)

    def _read_deletion(self, data: bytes) -> Scan | None:
        own = self._own
        position = len(own) + 3
        if data[1] != 1 or not data.startswith(own, 2) or data[position - 1] != 1:
            return None
        clock, position = read_var_uint(data, position)
        length = data[position]
        if not 0 < length < 0x80 or position + 1 != len(data) or clock + length > MAX_CLOCK:
            return None
        return _Deletion(((self.client, clock, clock + length),))
