"""What stands under the keys of a document's channels: which item holds each key's value.

Owns the account of every item that was ever put under a key of a channel's root, in Yjs's order:
the last one is the key's, whatever came first. Invariants:

- Updates are noted when they are let in, each item once, after what it refers to.
- An item that is written behind the last one of its key, by somebody who knows all of them, is
  the last one everywhere.
- Values are kept of the last items alone. An older item takes some 30 bytes.

Knows nothing of what values mean, nor which items are deleted: the document does. Source: Yjs 13,
``Item.integrate``.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from crdtsync.channels.names import read_root
from crdtsync.history.values import read_any
from crdtsync.idset import IdSet
from crdtsync.limits import Limits, trusting
from crdtsync.slicing import causal_order, content_offset, new_part
from crdtsync.structs import ANY, GC, SKIP, Id, Range, Scan, Struct
from crdtsync.update import scan

__all__ = ["NO_VALUE", "Entries", "Entry", "Written"]

NO_VALUE: Final[Any] = object()
"""What an item holds that is no plain value, such as a shared type."""

_NOWHERE: Final = 0
_NO_CLOCK: Final = 0xFFFFFFFF
_UNLIMITED: Final = trusting(Limits())


class Entry(NamedTuple):
    """The last item under a key."""

    client: int
    clock: int
    kind: int
    content: bytes

    def value(self) -> Any:
        """Return what it holds, as JSON's kinds; ``NO_VALUE`` where that is no plain value."""
        if self.kind != ANY or self.content[:1] != b"\x01":
            return NO_VALUE
        return read_any(self.content, 1)[0]


class Written(NamedTuple):
    """What somebody has put under a key, whether or not it is the key's value now."""

    root: str
    key: str
    entry: Entry
    source: object
    """Whoever sent it."""
    before: Id | None
    """The item that was the key's last one until then."""


class _Line:
    """All items of one key, in order: each one's id, and the id that it was put behind."""

    __slots__ = ("behind_clients", "behind_clocks", "clients", "clocks", "content", "kind", "name")

    def __init__(self, name: tuple[str, str]) -> None:
        self.name = name
        self.clients = array("Q")
        self.clocks = array("I")
        self.behind_clients = array("Q")
        self.behind_clocks = array("I")
        self.kind = 0
        self.content = b""

    def put(self, client: int, clock: int, behind: Id | None) -> bool:
        """Put an item in its place; return whether that is the last one."""
        index = self._index(client, behind)
        last = index == len(self.clocks)
        self.clients.insert(index, client)
        self.clocks.insert(index, clock)
        self.behind_clients.insert(index, 0 if behind is None else behind[0])
        self.behind_clocks.insert(index, _NO_CLOCK if behind is None else behind[1])
        return last

    def _index(self, client: int, behind: Id | None) -> int:
        count = len(self.clocks)
        if count and behind == (self.clients[-1], self.clocks[-1]):
            return count
        left = -1 if behind is None else self._find(behind, count)
        seen: set[Id | None] = set()
        rivals: set[Id | None] = set()
        for index in range(left + 1, count):
            own = self.clients[index], self.clocks[index]
            seen.add(own)
            rivals.add(own)
            other = self._behind(index)
            if other == behind:
                if self.clients[index] > client:
                    break
                left = index
                rivals.clear()
            elif other is not None and other in seen:
                if other not in rivals:
                    left = index
                    rivals.clear()
            else:
                break
        return left + 1

    def _find(self, id: Id, count: int) -> int:
        client, clock = id
        for index in range(count - 1, -1, -1):  # late ones come behind one of the latest
            if self.clocks[index] == clock and self.clients[index] == client:
                return index
        return -1

    def _behind(self, index: int) -> Id | None:
        clock = self.behind_clocks[index]
        return None if clock == _NO_CLOCK else (self.behind_clients[index], clock)


_FORGOTTEN: Final = _Line(("", ""))


class _Runs:
    """One client's items: where each run of one line starts, and which line it is."""

    __slots__ = ("end", "numbers", "starts")

    def __init__(self) -> None:
        self.starts = array("I")
        self.numbers = array("I")
        self.end = 0

    def put(self, start: int, end: int, number: int) -> None:
        if start > self.end and (not self.numbers or self.numbers[-1] != _NOWHERE):
            self.starts.append(self.end)
            self.numbers.append(_NOWHERE)
        if not self.numbers or self.numbers[-1] != number:
            self.starts.append(start)
            self.numbers.append(number)
        self.end = end

    def at(self, clock: int) -> int:
        if clock >= self.end:
            return _NOWHERE
        return self.numbers[bisect_right(self.starts, clock) - 1]

    def between(self, start: int, end: int) -> Iterable[int]:
        """Return the lines that some clocks lie in."""
        if start >= self.end:
            return ()
        first = bisect_right(self.starts, start) - 1
        last = bisect_left(self.starts, end)
        return {number for number in self.numbers[max(0, first) : last] if number}


class Entries:
    """The entries of one document's channels, or of other roots by name."""

    def __init__(self, wanted: Callable[[str], bool] | None = None) -> None:
        self._wanted = wanted or _is_channel
        self._known: dict[str, bool] = {}  # by root
        self._lines: list[_Line] = [_Line(("", ""))]
        self._numbers: dict[str, dict[str, int]] = {}  # by root and key
        self._clients: dict[int, _Runs] = {}
        self.listeners: list[Callable[[Written], None]] = []
        """Told of each value that is written, while that is noted: they may not write then."""
        self.mourners: list[Callable[[str, str], None]] = []
        """Told of roots and keys of which an item is about to be deleted."""
        self.collected = IdSet()
        """What is collected, as far as it was noted."""
        self.lost: list[Range] = []
        """What came behind that: who has the items that were collected takes it for a value."""

    def roots(self) -> Iterator[str]:
        """Iterate over the channels' roots in which anything was ever written."""
        return iter(self._numbers)

    def keys(self, root: str) -> Iterator[str]:
        """Iterate over the keys that a root ever had."""
        return iter(self._numbers.get(root, ()))

    def last(self, root: str, key: str) -> Entry | None:
        """Return a key's last item, which may be deleted; ``None`` where it never had one."""
        number = self._numbers.get(root, {}).get(key)
        if number is None:
            return None
        line = self._lines[number]
        return Entry(line.clients[-1], line.clocks[-1], line.kind, line.content)

    def note(
        self, update: bytes, found: Scan, clocks: Mapping[int, int], source: object = None
    ) -> None:
        """Take note of an update that is let in, on top of ``clocks``."""
        if found.ranges and (found.keys or self._clients):
            self._note_items(update, found, clocks, source)
        if self.mourners:
            for client, start, end in found.deletes:
                runs = self._clients.get(client)
                for number in () if runs is None else runs.between(start, end):
                    for mourner in self.mourners:
                        mourner(*self._lines[number].name)

    def _note_items(
        self, update: bytes, found: Scan, clocks: Mapping[int, int], source: object
    ) -> None:
        if found.structs is None:
            found = scan(update, _UNLIMITED, structs=True)
        structs = found.structs or []
        if len(found.ranges) > 1:
            structs = causal_order(structs, clocks)
        for struct in structs:
            if struct.kind == GC:
                self.collected.insert(struct.client, struct.clock, struct.clock + struct.length)
            elif struct.kind != SKIP and not self._is_lost(struct):
                number = self._line(struct, clocks)
                if number:
                    self._take(update, struct, number, clocks, source)

    def _is_lost(self, struct: Struct) -> bool:
        """Return whether a key's item stands behind one that is collected: then it is, too."""
        origin = struct.origin
        if origin is None or not struct.keyed or not self.collected.has(*origin):
            return False
        run = struct.client, struct.clock, struct.clock + struct.length
        self.collected.insert(*run)
        self.lost.append(run)
        return True

    def forget(self, collected: Iterable[Range]) -> None:
        """Take note of what is collected from now on: its keys were never there."""
        self.collected.add(collected)
        for keys in self._numbers.values():
            for key, number in list(keys.items()):
                line = self._lines[number]
                if all(map(self.collected.has, line.clients, line.clocks)):
                    del keys[key]
                    self._lines[number] = _FORGOTTEN

    def _line(self, struct: Struct, clocks: Mapping[int, int]) -> int:
        """Return the number of the line that an item lies in."""
        beside = struct.origin
        if struct.clock < clocks.get(struct.client, 0):  # its first part is known
            beside = struct.client, clocks[struct.client] - 1
        elif struct.parent is not None:
            if struct.key is None or not isinstance(struct.parent, str):
                return _NOWHERE
            return self._number(struct.parent, struct.key)
        if beside is None:
            beside = struct.right
        runs = None if beside is None else self._clients.get(beside[0])
        number = _NOWHERE if runs is None or beside is None else runs.at(beside[1])
        return _NOWHERE if self._lines[number] is _FORGOTTEN else number

    def _number(self, root: str, key: str) -> int:
        keys = self._numbers.get(root)
        if keys is None:
            wanted = self._known.get(root)
            if wanted is None:
                wanted = self._known[root] = self._wanted(root)
            if not wanted:
                return _NOWHERE
            keys = self._numbers[root] = {}
        number = keys.get(key)
        if number is None:
            number = keys[key] = len(self._lines)
            self._lines.append(_Line((root, key)))
        return number

    def _take(
        self,
        update: bytes,
        struct: Struct,
        number: int,
        clocks: Mapping[int, int],
        source: object,
    ) -> None:
        client, clock = struct.client, struct.clock
        end = clock + struct.length
        new = new_part(struct, clocks)
        if new.clock >= end:
            return
        line = self._lines[number]
        last = (line.clients[-1], line.clocks[-1]) if line.clocks else None
        kind = struct.kind
        content = update[content_offset(update, struct) : struct.end] if kind == ANY else b""
        behind = new.origin
        for clock in range(new.clock, end):
            if line.put(client, clock, behind):
                line.kind, line.content = kind, content
            behind = client, clock
        runs = self._clients.get(client)
        if runs is None:
            runs = self._clients[client] = _Runs()
        runs.put(new.clock, end, number)
        for listener in self.listeners:
            listener(Written(*line.name, Entry(client, clock, kind, content), source, last))


def _is_channel(root: str) -> bool:
    return read_root(root) is not None
