"""One moment of a weave: what was visible then.

Owns visibility: an item is there when it was inserted by then and not deleted, and when what it
lies in is (who walks from the roots down sees to that); of a key's values the last one by then
counts. Owns, too, what a root is at a moment, by what it held until then.

Knows no author.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from crdtsync.content import KIND_OF_CONTENT, RootKind
from crdtsync.history.model import Snapshot
from crdtsync.history.values import read_format, read_values
from crdtsync.history.weave import Item, Line, Shared, Weave
from crdtsync.structs import DELETED, STRING, TYPE

__all__ = ["SHAPES", "Value", "View", "ambiguous", "whole"]

SHAPES: Final[dict[int, RootKind]] = {
    0: "array",
    1: "map",
    2: "text",
    3: "xml",
    4: "xml",
    5: "map",
    6: "text",
}
"""By the number of a shared type's kind, what it is like."""

_HALVES: Final = re.compile("[\ud800-\udfff]")
_FIRST_LOW: Final = "\udc00"
_BROKEN: Final = "\ufffd"


class Value(NamedTuple):
    """What a key holds: an item, and which of its clocks."""

    item: Item
    clock: int


class View:
    """What of a weave is visible at a moment."""

    __slots__ = ("_clocks", "_deletes", "_gone", "_values", "weave")

    def __init__(self, weave: Weave, snapshot: Snapshot) -> None:
        self.weave = weave
        self._clocks = snapshot.clocks
        self._deletes = snapshot.deletes
        self._gone: dict[int, tuple[list[int], list[int]]] = {}
        self._values: dict[int, list[Any]] = {}

    def spans(self, item: Item) -> list[tuple[int, int]]:
        """Return the visible clocks of an item of a list, as ranges in order."""
        client, start = item.client, item.clock
        end = start + item.length
        border = self._clocks.get(client, 0)
        if end > border:
            end = border
        if start >= end or item.struct.kind == DELETED:
            return []
        gone = self._gone.get(client)
        if gone is None:
            gone = self._gone[client] = self._deletes.ranges(client)
        starts, ends = gone
        at = bisect_right(ends, start)
        if at == len(ends) or starts[at] >= end:
            return [(start, end)]
        found: list[tuple[int, int]] = []
        while start < end and at < len(ends) and starts[at] < end:
            if start < starts[at]:
                found.append((start, starts[at]))
            start = ends[at]
            at += 1
        if start < end:
            found.append((start, end))
        return found

    def has(self, item: Item) -> bool:
        """Return whether an item of one clock is visible."""
        return bool(self.spans(item))

    def value(self, line: Line) -> Value | None:
        """Return what a key holds."""
        last = self.last(line)
        if last is None or last.item.struct.kind == DELETED:
            return None
        return None if self._deletes.has(last.item.client, last.clock) else last

    def last(self, line: Line) -> Value | None:
        """Return the last value that a key was given, deleted or not."""
        known = self._clocks.get
        last: Item | None = None
        for item in line:
            if item.clock < known(item.client, 0):
                last = item
        if last is None:
            return None
        return Value(last, min(last.clock + last.length, known(last.client, 0)) - 1)

    def values(self, item: Item, start: int, end: int) -> Sequence[Any]:
        """Return what an item holds from one clock to another, as JSON's kinds."""
        struct = item.struct
        if struct.kind == STRING:
            return [whole(unit) for unit in self.text(item, start, end)]
        known = self._values.get(struct.start)
        if known is None:
            known = self._values[struct.start] = read_values(self.weave.data, struct)
        return known[start - struct.clock : end - struct.clock]

    def format(self, item: Item) -> tuple[str, Any]:
        """Return a mark's key and value."""
        return read_format(self.weave.data, item.struct)

    def text(self, item: Item, start: int, end: int) -> str:
        """Return visible characters in UTF-16 units; what is left of a divided pair is U+FFFD."""
        text = self.weave.text(item, start, end)
        if text.isascii() or not _HALVES.search(text):
            return text
        return _HALVES.sub(
            lambda half: self._half(item.client, start + half.start(), half[0]), text
        )

    def _half(self, client: int, clock: int, unit: str) -> str:
        """Return half of a pair, if the other one is there and they belong together."""
        second = clock if unit >= _FIRST_LOW else clock + 1
        other = second - 1 if unit >= _FIRST_LOW else second
        if other >= self._clocks.get(client, 0) or self._deletes.has(client, other):
            return _BROKEN
        known = self._clocks.get
        if any(at < known(by, 0) for by, at in self.weave.splits(client, second)):
            return _BROKEN
        return unit

    def roots(self) -> dict[str, RootKind]:
        """Return the kind of each root that something was ever written to, by name."""
        kinds = ((name, self._kind(root)) for name, root in self.weave.roots.items())
        return {name: kind for name, kind in sorted(kinds) if kind is not None}

    def _kind(self, root: Shared) -> RootKind | None:
        """Decide as the export does: by what lies directly in the root, the first first."""
        found: RootKind | None = None
        emptied = False
        for (client, kind, keyed), first in root.kinds.items():
            if first.clock >= self._clocks.get(client, 0):
                continue
            if kind == DELETED and not keyed:
                emptied = True
                continue
            its = _told_by(kind, keyed, first)
            if found is None or (found == "array" and its == "text"):
                found = its  # a text may hold shared types; an array has no characters
        return found or ("text" if emptied else None)


def ambiguous(woven: Weave) -> bool:
    """Whether it matters for what some root is what came first."""
    return any(
        len(
            {
                "text" if its == "array" else its
                for (_, kind, keyed), first in root.kinds.items()
                if keyed or kind != DELETED
                for its in (_told_by(kind, keyed, first),)
            }
        )
        > 1
        for root in woven.roots.values()
    )


def _told_by(kind: int, keyed: bool, first: Item) -> RootKind:
    """Return what a root is by something that lies in it."""
    if keyed:
        return "map"
    if kind == TYPE:
        return "xml" if first.struct.type_ref in (3, 5, 6) else "array"
    return KIND_OF_CONTENT[kind]


def whole(units: str) -> str:
    """Return text of UTF-16 units as characters."""
    if units.isascii():
        return units
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
