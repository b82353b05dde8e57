"""The order of everything that was ever inserted: each list's and each map key's items.

Owns Yjs's order of items, worked out without a CRDT library, what is deleted included: one
weave serves all moments, for the order at a moment is the order of those items that it has. It
is exact where the library is not: halves of surrogate pairs, big integers, XML hooks.

- Structs are cut beforehand wherever anything ever refers into one, so nothing is cut while the
  items are put in place, and an item is what no reference divides.
- What lies in something collected, or beside it, is nowhere, as in Yjs.
- Items that compete for one place take the square of their number, in Yjs as here: what takes
  too many steps is given up.

Knows no moment and no author. Source: Yjs 13, ``Item.integrate``, ``Item.getMissing``.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from crdtsync.encoding import read_var_bytes, read_var_string
from crdtsync.history.model import HistoryUnavailable
from crdtsync.limits import Limits, trusting
from crdtsync.slicing import causal_order, content_offset
from crdtsync.structs import GC, TYPE, Id, Scan, Struct
from crdtsync.update import scan

__all__ = ["MAX_STEPS", "Item", "Line", "Shared", "Weave", "weave"]

MAX_STEPS: Final = 50_000_000
"""Items looked at to find others' places, some eight seconds; real documents take thousands."""

XML_ELEMENT: Final = 3
XML_HOOK: Final = 5

_UNLIMITED: Final = trusting(Limits())


class Item:
    """A piece of a struct that nothing divides."""

    __slots__ = (
        "before",
        "behind",
        "client",
        "clock",
        "length",
        "line",
        "right",
        "shared",
        "struct",
    )

    def __init__(
        self,
        struct: Struct,
        clock: int,
        length: int,
        line: "Line | None",
        behind: "Item | None",
        before: "Item | None",
    ) -> None:
        self.struct = struct
        self.client = struct.client
        self.clock = clock
        self.length = length
        self.line = line
        """Where it lies; ``None`` for what is nowhere."""
        self.behind = behind
        """What it was inserted behind,"""
        self.before = before
        """and before."""
        self.right: Item | None = None
        self.shared: Shared | None = None
        """The shared type that it is."""


class Line:
    """Items in order: what lies in a list or a text, or all values that a key ever had."""

    __slots__ = ("first", "key", "last", "owner")

    def __init__(self, owner: "Shared", key: str | None) -> None:
        self.owner = owner
        self.key = key
        self.first: Item | None = None
        self.last: Item | None = None

    def __iter__(self) -> Iterator[Item]:
        item = self.first
        while item is not None:
            yield item
            item = item.right


class Shared:
    """A shared type: a root, or one that lies in another."""

    __slots__ = ("items", "keys", "kinds", "tag", "type_ref")

    def __init__(self, type_ref: int, tag: str = "") -> None:
        self.type_ref = type_ref
        """Array 0, map 1, text 2, XML element 3, fragment 4, hook 5, text 6; -1 of a root."""
        self.tag = tag
        """Of an XML element or hook."""
        self.items = Line(self, None)
        self.keys: dict[str, Line] = {}
        self.kinds: dict[tuple[int, int, bool], Item] = {}
        """Of a root: the first item of each kind of content, by each client; in causal order."""

    def line(self, key: str | None) -> Line:
        if key is None:
            return self.items
        found = self.keys.get(key)
        if found is None:
            found = self.keys[key] = Line(self, key)
        return found


class Weave:
    """All items of a document, in their places."""

    __slots__ = ("_decoded", "_ends", "_splits", "data", "items", "roots")

    def __init__(
        self,
        data: bytes,
        roots: dict[str, Shared],
        items: dict[Id, Item],
        ends: dict[Id, Item],
        splits: dict[Id, list[Id]],
    ) -> None:
        self.data = data
        self.roots = roots
        self.items = items
        """By the id of the first clock."""
        self._ends = ends
        """The same by the id of the last clock."""
        self._splits = splits
        self._decoded: dict[int, str] = {}

    def text(self, item: Item, start: int, end: int) -> str:
        """Return the characters of a text's item from one clock to another, in UTF-16 units.

        Beyond the basic plane a character is two surrogates, so that each unit is one clock.
        """
        struct = item.struct
        text = self._decoded.get(struct.start)
        if text is None:
            text = self._decoded[struct.start] = self._decode(struct)
        return text[start - struct.clock : end - struct.clock]

    def _decode(self, struct: Struct) -> str:
        raw = self.data[struct.end - struct.length : struct.end]
        if raw.isascii():  # so is all of it: other characters have more bytes than units
            return raw.decode()
        text = read_var_bytes(self.data, content_offset(self.data, struct))[0].decode()
        return text if len(text) == struct.length else to_units(text)

    def grow(
        self, data: bytes, found: Scan, structs: Sequence[Struct], *, max_steps: int = MAX_STEPS
    ) -> None:
        """Put in what came since, ``structs``, all of it of clients that were not there.

        ``data`` begins as it did, and ``found`` is its scan. Where it raises
        ``HistoryUnavailable``, as ``weave`` does, this is of no use any more.
        """
        new = {each.client for each in structs}
        clocks = {client: end for client, _, end in found.ranges if client not in new}
        structs = causal_order(structs, clocks)
        cuts, splits = _cuts(structs, found.pairs)
        self.data = data
        self._cut({client: borders for client, borders in cuts.items() if client not in new})
        for half, by in splits.items():
            self._splits.setdefault(half, []).extend(by)
        _place(data, structs, cuts, self.roots, self.items, self._ends, max_steps)

    def _cut(self, cuts: dict[int, list[int]]) -> None:
        """Cut items that are in their places already."""
        starts: dict[int, list[int]] = {client: [] for client in cuts}
        for client, clock in self.items:
            if client in cuts:
                starts[client].append(clock)
        divided: set[Item] = set()
        for client, borders in cuts.items():
            known = sorted(starts[client])
            for border in borders:
                place = bisect_right(known, border) - 1
                if place < 0 or known[place] == border:
                    continue
                item = self.items[client, known[place]]
                if border >= item.clock + item.length:
                    continue  # behind all of them
                right, line = item.right, item.line
                last = _divide(item, [border], self.items, self._ends)
                self._ends[client, last.clock + last.length - 1] = last
                last.right = right
                if line is not None and line.last is item:
                    line.last = last
                known.insert(place + 1, border)
                divided.add(item)
        if divided:
            for item in self.items.values():
                if item.behind in divided:
                    inside = item.clock > item.struct.clock
                    origin = (item.client, item.clock - 1) if inside else item.struct.origin
                    item.behind = None if origin is None else self._ends[origin]

    def splits(self, client: int, clock: int) -> list[Id]:
        """Return the items that divide a pair, by the id of its second half."""
        return self._splits.get((client, clock), [])


def to_units(text: str) -> str:
    """Write each character beyond the basic plane as its two surrogates."""
    return "".join(
        char
        if char <= "\uffff"
        else chr(0xD7C0 + (ord(char) >> 10)) + chr(0xDC00 + (ord(char) & 0x3FF))
        for char in text
    )


def weave(
    data: bytes,
    found: Scan | None = None,
    *,
    clocks: Mapping[int, int] | None = None,
    max_steps: int = MAX_STEPS,
) -> Weave:
    """Put every item of an update that stands by itself in its place.

    ``found`` is its scan with structs, where there is one already. With ``clocks`` what begins
    behind them may be left out: it serves moments up to there. Raises ``InvalidUpdate`` for what
    is no update, ``HistoryUnavailable`` above ``max_steps``.
    """
    if found is None:
        found = scan(data, _UNLIMITED, structs=True)
    known = found.structs or []
    if clocks is not None:
        known = [each for each in known if each.clock < clocks.get(each.client, 0)]
    structs = causal_order(known, {})
    cuts, splits = _cuts(structs, found.pairs)
    roots: dict[str, Shared] = {}
    starts: dict[Id, Item] = {}
    ends: dict[Id, Item] = {}
    _place(data, structs, cuts, roots, starts, ends, max_steps)
    return Weave(data, roots, starts, ends, splits)


def _place(
    data: bytes,
    structs: Iterable[Struct],
    cuts: Mapping[int, list[int]],
    roots: dict[str, Shared],
    starts: dict[Id, Item],
    ends: dict[Id, Item],
    max_steps: int,
) -> None:
    """Put structs in their places, in causal order."""
    steps = 0
    for struct in structs:
        client, clock, length, kind, _, _, origin, right, parent, key, _, _ = struct
        behind = ends[origin] if origin is not None else None
        before = starts[right] if right is not None else None
        line: Line | None = None
        if kind == GC:
            pass
        elif parent is None:
            if behind is not None:
                line = None if before is not None and before.line is None else behind.line
            elif before is not None:
                line = before.line
        elif isinstance(parent, str):
            shared = roots.get(parent)
            if shared is None:
                shared = roots[parent] = Shared(-1)
            line = shared.line(key)
        else:
            within = starts.get(parent)
            if within is not None and within.shared is not None and within.line is not None:
                line = within.shared.line(key)

        first = last = Item(struct, clock, length, line, behind, before)
        starts[client, clock] = first
        if length > 1 and client in cuts:
            last = _divide(first, cuts[client], starts, ends)
        ends[client, clock + length - 1] = last
        if line is None:
            continue
        if kind == TYPE:
            first.shared = _shared(data, struct)
        if line.owner.type_ref < 0:
            line.owner.kinds.setdefault((client, kind, line.key is not None), first)

        left = behind
        other = line.first if left is None else left.right
        if other is not before:
            seen: set[Item] = set()
            rivals: set[Item] = set()
            while other is not None and other is not before:
                steps += 1
                seen.add(other)
                rivals.add(other)
                if other.behind is behind:
                    if other.client < client:
                        left = other
                        rivals.clear()
                    elif other.before is before:
                        break
                elif other.behind is not None and other.behind in seen:
                    if other.behind not in rivals:
                        left = other
                        rivals.clear()
                else:
                    break
                other = other.right
            if steps > max_steps:
                raise HistoryUnavailable("too many items of the document compete for one place")
        if left is None:
            last.right = line.first
            line.first = first
        else:
            last.right = left.right
            left.right = first
        if last.right is None:
            line.last = last


def _cuts(
    structs: list[Struct], pairs: list[Id] | None
) -> tuple[dict[int, list[int]], dict[Id, list[Id]]]:
    """Return where structs are divided: the clocks by client, and who divides a pair."""
    borders: dict[int, set[int]] = {}
    halves = set(pairs or ())
    splits: dict[Id, list[Id]] = {}
    for struct in structs:
        origin, right = struct.origin, struct.right
        if origin is not None:
            clients = borders.get(origin[0])
            if clients is None:
                clients = borders[origin[0]] = set()
            clients.add(origin[1] + 1)
            if halves and (origin[0], origin[1] + 1) in halves:
                here = (struct.client, struct.clock)
                splits.setdefault((origin[0], origin[1] + 1), []).append(here)
        if right is not None:
            clients = borders.get(right[0])
            if clients is None:
                clients = borders[right[0]] = set()
            clients.add(right[1])
            if halves and right in halves:
                splits.setdefault(right, []).append((struct.client, struct.clock))
    return {client: sorted(clocks) for client, clocks in borders.items()}, splits


def _divide(first: Item, cuts: list[int], starts: dict[Id, Item], ends: dict[Id, Item]) -> Item:
    """Cut an item wherever something refers into it; return the last piece."""
    index = bisect_right(cuts, first.clock)
    end = first.clock + first.length
    item = first
    while index < len(cuts) and cuts[index] < end:
        clock = cuts[index]
        index += 1
        item.length = clock - item.clock
        ends[item.client, clock - 1] = item
        item.right = Item(item.struct, clock, end - clock, item.line, item, item.before)
        item = item.right
        starts[item.client, clock] = item
    return item


def _shared(data: bytes, struct: Struct) -> Shared:
    if struct.type_ref not in (XML_ELEMENT, XML_HOOK):
        return Shared(struct.type_ref)
    return Shared(struct.type_ref, read_var_string(data, content_offset(data, struct) + 1)[0])
