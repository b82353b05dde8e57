"""Writing to a document's channels as the server's own hand, by the bytes alone.

Owns the making of one update that sets and deletes keys of root maps, as Yjs would write it: each
value one item behind the last one of its key, which it replaces. It is made of what the document
knows at that moment, so it is to be submitted before anything else happens.

Source: Yjs 13, ``typeMapSet``, ``Item.write``; lib0, ``encoding.js`` (``writeAny``).
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from crdtsync.channels.entries import NO_VALUE, Entries
from crdtsync.document import Document
from crdtsync.encoding import write_var_string, write_var_uint
from crdtsync.joining import write_deletes
from crdtsync.limits import Limits, trusting
from crdtsync.structs import ANY, EMPTY_UPDATE, HAS_KEY, HAS_ORIGIN, MAX_CLOCK, Id, Range
from crdtsync.update import scan

__all__ = ["MapWriter", "entries_of", "write_any"]

_MAX_VARINT: Final = 0x7FFFFFFF
"""Larger integers are written as floats: lib0 does so, and JavaScript has nothing else."""
_ONE_OBJECT: Final = b"\x01\x76"
"""What the content of a plain object begins with."""
_UNLIMITED: Final = trusting(Limits())


class MapWriter:
    """Sets and deletes keys of a document's channels, as one client of its own."""

    def __init__(self, document: Document, client: int) -> None:
        """``client`` is an id that nobody else writes by."""
        self._document = document
        self._client = client
        self._entries = entries_of(document)

    @property
    def spent(self) -> bool:
        """Whether its client's clock has run so far that another id should take over."""
        return self._document.clocks.get(self._client, 0) > MAX_CLOCK // 2

    def keys(self, root: str) -> Iterator[str]:
        """Iterate over the keys that have a value, in the order in which they were first set."""
        for key in self._entries.keys(root):
            if self._present(root, key):
                yield key

    def value(self, root: str, key: str) -> Any:
        """Return a key's value, as JSON's kinds.

        ``None`` where there is none, ``NO_VALUE`` where it is a shared type or other bytes.
        """
        last = self._entries.last(root, key)
        if last is None or self._document.deleted.has(last.client, last.clock):
            return None
        return last.value()

    def holds(self, root: str, key: str) -> bool:
        """Return whether a key has a plain object, without reading what is in it."""
        last = self._entries.last(root, key)
        if last is None or last.kind != ANY or last.content[:2] != _ONE_OBJECT:
            return False
        return not self._document.deleted.has(last.client, last.clock)

    def values(self, root: str) -> dict[str, Any]:
        """Return all of a root's plain values, by key."""
        found = ((key, self.value(root, key)) for key in self.keys(root))
        return {key: value for key, value in found if value is not NO_VALUE}

    def update(
        self,
        sets: Sequence[tuple[str, str, Any]] = (),
        deletes: Sequence[tuple[str, str]] = (),
    ) -> bytes:
        """Return the update that sets some keys of root maps, and deletes others.

        A value is made of JSON's kinds. Of two values for one key the last one counts, and a key
        that is set is not deleted. Returns the empty update where nothing is to be done.
        """
        clock = self._document.clocks.get(self._client, 0)
        structs: list[bytes] = []
        gone: list[Range] = []
        values = {(root, key): value for root, key, value in sets}
        for (root, key), value in values.items():
            last = self._replace(root, key, gone)
            if last is None:
                place = bytes((ANY | HAS_KEY, 1)) + write_var_string(root) + write_var_string(key)
            else:
                place = bytes((ANY | HAS_KEY | HAS_ORIGIN,))
                place += write_var_uint(last[0]) + write_var_uint(last[1])
            structs.append(place + b"\x01" + write_any(value))
        for root, key in deletes:
            if (root, key) not in values:
                self._replace(root, key, gone)
        if not structs:
            return b"\x00" + write_deletes(gone) if gone else EMPTY_UPDATE
        head = b"\x01" + write_var_uint(len(structs)) + write_var_uint(self._client)
        return head + write_var_uint(clock) + b"".join(structs) + write_deletes(gone)

    def _replace(self, root: str, key: str, gone: list[Range]) -> Id | None:
        """Let what a key holds be deleted; return its last item's id."""
        last = self._entries.last(root, key)
        if last is None:
            return None
        client, clock = last.client, last.clock
        if not self._document.deleted.has(client, clock):
            gone.append((client, clock, clock + 1))
        return client, clock

    def _present(self, root: str, key: str) -> bool:
        last = self._entries.last(root, key)
        return last is not None and not self._document.deleted.has(last.client, last.clock)


def entries_of(document: Document) -> Entries:
    """Return a document's entries; where nobody keeps them yet, from now on somebody does.

    What is let in and not yet committed would be missing then: a hub's rooms keep theirs from
    the moment they are loaded.
    """
    if not isinstance(document.follower, Entries):
        entries = Entries()
        known: dict[int, int] = {}
        for part in document.parts():
            found = scan(part, _UNLIMITED, structs=True)
            entries.note(part, found, known)
            for client, _, end in found.ranges:
                known[client] = max(end, known.get(client, 0))
        document.follower = entries
        return entries
    return document.follower


def write_any(value: Any) -> bytes:
    """Write a value of JSON's kinds as lib0 does."""
    match value:
        case None:
            return b"\x7e"
        case bool():
            return b"\x78" if value else b"\x79"
        case str():
            return b"\x77" + write_var_string(value)
        case int() if abs(value) <= _MAX_VARINT:
            return b"\x7d" + _write_var_int(value)
        case int() | float():
            number = float(value)
            try:
                short = struct.pack(">f", number)
            except OverflowError:
                short = b""
            if short and struct.unpack(">f", short)[0] == number:
                return b"\x7c" + short
            return b"\x7b" + struct.pack(">d", number)
        case Mapping():
            members = (write_var_string(key) + write_any(each) for key, each in value.items())
            return b"\x76" + write_var_uint(len(value)) + b"".join(members)
        case list() | tuple():
            return b"\x75" + write_var_uint(len(value)) + b"".join(map(write_any, value))
    raise TypeError(f"{type(value).__name__} is none of JSON's kinds")


def _write_var_int(value: int) -> bytes:
    """Write lib0's signed integer: six bits and the sign first, then seven bits a byte."""
    rest = abs(value)
    first = rest & 0x3F | (0x40 if value < 0 else 0)
    rest >>= 6
    if not rest:
        return bytes((first,))
    return bytes((first | 0x80,)) + write_var_uint(rest)
