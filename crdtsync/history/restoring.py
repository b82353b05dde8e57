"""The edit that makes a document's content what it was, or what it would be without somebody.

Owns the way from here to there as one update, by a client of its own: what is there and should
not be is deleted; what is gone and should be there is inserted again, as a copy in its old place,
with all that lay in it. So it is an ordinary edit: it can be undone, what others do meanwhile
stays, and everyone who has what it builds on makes the same of it.

- Copies are made of the bytes that were inserted once: exact, also where pycrdt is not.
- What is as it should be is not touched: cursors, links and edits under way hold.
- It refers to what lies in lists and keys that are there, deleted or not, and to its own copies;
  never to what servers and clients may have let go of.

Knows no moment: what should be there is a ``Target``.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple, Protocol

from crdtsync.encoding import read_var_uint, write_var_string, write_var_uint
from crdtsync.history.view import Value, View, whole
from crdtsync.history.weave import Item, Line, Shared, Weave
from crdtsync.joining import write_deletes
from crdtsync.slicing import content_offset
from crdtsync.structs import (
    ANY,
    EMPTY_UPDATE,
    HAS_KEY,
    HAS_ORIGIN,
    HAS_RIGHT,
    MAX_CLOCK,
    STRING,
    Id,
    Range,
)
from crdtsync.values import skip_any

__all__ = [
    "Moment",
    "Span",
    "Target",
    "restoring_update",
    "values_of",
]


Span = tuple[int, int]


class Target(Protocol):
    """What should be there."""

    @property
    def weave(self) -> Weave:
        """Return the items."""
        ...

    def spans(self, item: Item) -> Sequence[Span]:
        """Return the clocks of a list's item that should show, as ranges in order."""
        ...

    def value(self, line: Line) -> Value | None:
        """Return what a key should hold."""
        ...

    def text(self, item: Item, start: int, end: int) -> str:
        """Return characters that should show, in UTF-16 units."""
        ...

    def below(self, item: Item) -> "Target":
        """Return what should be in the copy of a shared type that is gone."""
        ...


class Moment(View):
    """A document as it was, to be so again."""

    __slots__ = ()

    def below(self, item: Item) -> "Moment":
        """Return the same moment: it says what was in the type, too."""
        return self


class Piece(NamedTuple):
    """Part of an item."""

    item: Item
    start: int
    end: int


class _Content(NamedTuple):
    """What a new struct holds."""

    kind: int
    length: int
    data: bytes
    item: Item | None = None
    """The shared type of which it is a copy."""


def restoring_update(
    weave: Weave,
    target: Target,
    present: View,
    roots: Iterable[str],
    *,
    client: int,
    pairs: bool = True,
) -> tuple[bytes, set[str]]:
    """Return the update that makes some roots what they should be, and which it writes to.

    ``client`` makes the copies: nobody may have used it yet. Returns the empty update where all
    is as it should be. ``pairs`` says whether there are any surrogate pairs.
    """
    edit = _Edit(weave, target, present, client, pairs=pairs)
    touched: set[str] = set()
    for name in roots:
        before = edit.size
        if name in weave.roots:
            edit.mend(weave.roots[name])
        if edit.size > before:
            touched.add(name)
    return edit.written(), touched


class _Edit:
    """An update in the making."""

    def __init__(
        self, weave: Weave, target: Target, present: View, client: int, *, pairs: bool
    ) -> None:
        self._weave = weave
        self._pairs = pairs
        self._target = target
        self._present = present
        self._client = client
        self._clock = 0
        self._structs: list[bytes] = []
        self._deletes: list[Range] = []
        self._copied: list[tuple[Shared, int, Target]] = []
        """Shared types whose content is still to be copied: the clock of the copy, and what
        should be in it."""

    @property
    def size(self) -> int:
        """How much it does."""
        return len(self._structs) + len(self._deletes)

    def written(self) -> bytes:
        """Return the update."""
        if not self._structs:
            return b"\x00" + write_deletes(self._deletes) if self._deletes else EMPTY_UPDATE
        head = b"\x01" + write_var_uint(len(self._structs)) + write_var_uint(self._client)
        return head + b"\x00" + b"".join(self._structs) + write_deletes(self._deletes)

    # What is there, before and after

    def mend(self, shared: Shared) -> None:
        """Make a shared type that stays what it should be, with all that stays in it."""
        waiting = [shared]
        while waiting:
            shared = waiting.pop()
            self._mend_list(shared.items, waiting)
            for line in shared.keys.values():
                self._mend_key(line, waiting)
            self._fill_copies()

    def _mend_list(self, line: Line, waiting: list[Shared]) -> None:
        wanted, shown, pairs = self._target.spans, self._present.spans, self._pairs
        lost: list[Piece] = []  # to be inserted in front of the next one that stays
        last: Id | None = None
        for item in line:
            client, start, end = item.client, item.clock, item.clock + item.length
            before, after = shown(item), wanted(item)
            if before != after or (pairs and before):
                parts = self._parts(item, before, after)
            else:  # most of what there is
                parts = [(*before[0], True, True)] if before else ()
            for first, border, is_there, should in parts:
                if is_there and should:
                    if lost:
                        left = last if first == start else (client, first - 1)
                        self._insert(lost, self._target, behind=left, before=(client, first))
                        lost = []
                    if item.shared is not None:
                        waiting.append(item.shared)
                elif should:
                    lost.append(Piece(item, first, border))
                else:
                    self._delete(item, first, border)
            last = client, end - 1
        if lost:
            self._insert(lost, self._target, behind=last)

    def _parts(
        self, item: Item, before: Sequence[Span], after: Sequence[Span]
    ) -> Iterable[tuple[int, int, bool, bool]]:
        """Return parts of an item with whether each is there, and whether it should be.

        A character whose halves were divided since is not what it was: it goes, and comes back.
        """
        parts = _compared(before, after)
        if not self._pairs or item.struct.kind != STRING:
            return parts
        found: list[tuple[int, int, bool, bool]] = []
        for start, end, is_there, should in parts:
            if not is_there or not should:
                found.append((start, end, is_there, should))
                continue
            units = zip(
                self._present.text(item, start, end),
                self._target.text(item, start, end),
                strict=True,
            )
            for same, run in groupby(one == other for one, other in units):
                border = start + sum(1 for _ in run)
                found.append((start, border, True, same))
                if not same:
                    found.append((start, border, False, True))
                start = border
        return found

    def _mend_key(self, line: Line, waiting: list[Shared]) -> None:
        is_there, should = self._present.value(line), self._target.value(line)
        if is_there == should:
            if should is not None and should.item.shared is not None:
                waiting.append(should.item.shared)
            return
        if is_there is not None:
            self._delete(is_there.item, is_there.item.clock, is_there.clock + 1)
        if should is not None:
            last = line.last
            assert last is not None
            behind = last.client, last.clock + last.length - 1
            self._insert([_piece(should)], self._target, behind=behind, keyed=True)

    def _delete(self, item: Item, start: int, end: int) -> None:
        self._deletes.append((item.client, start, end))
        waiting = [] if item.shared is None else [item.shared]
        while waiting:
            shared = waiting.pop()
            for line in (shared.items, *shared.keys.values()):
                for each in line:
                    spans = self._present.spans(each)
                    self._deletes += [(each.client, *span) for span in spans]
                    if spans and each.shared is not None:
                        waiting.append(each.shared)

    # Copies

    def _fill_copies(self) -> None:
        """Copy what should be in the shared types that were copied."""
        while self._copied:
            shared, clock, target = self._copied.pop()
            within = self._client, clock
            pieces = [Piece(item, *span) for item in shared.items for span in target.spans(item)]
            if pieces:
                self._insert(pieces, target, within=within)
            for key, line in shared.keys.items():
                value = target.value(line)
                if value is not None:
                    self._insert([_piece(value)], target, within=within, key=key, keyed=True)

    def _insert(
        self,
        pieces: list[Piece],
        target: Target,
        *,
        behind: Id | None = None,
        before: Id | None = None,
        within: Id | None = None,
        key: str | None = None,
        keyed: bool = False,
    ) -> None:
        """Insert copies, one behind the other."""
        flags = (HAS_RIGHT if before is not None else 0) | (HAS_KEY if keyed else 0)
        right = b"" if before is None else _written(before)
        for content in self._contents(pieces, target):
            info = content.kind | flags
            if behind is not None:
                info |= HAS_ORIGIN
                place = _written(behind) + right
            elif before is not None:
                place = right
            else:
                assert within is not None, "a list that lost something is not empty"
                place = b"\x00" + _written(within)
                place += b"" if key is None else write_var_string(key)
            self._structs.append(bytes((info,)) + place + content.data)
            if content.item is not None and content.item.shared is not None:
                inside = target.below(content.item)
                self._copied.append((content.item.shared, self._clock, inside))
            self._clock += content.length
            behind = self._client, self._clock - 1

    def _contents(self, pieces: Iterable[Piece], target: Target) -> list[_Content]:
        """Return what was in items, neighbours joined."""
        data = self._weave.data
        found: list[_Content] = []
        texts: list[str] = []
        values: list[bytes] = []
        number = 0

        def settle() -> None:
            nonlocal number
            if texts:
                units = "".join(texts)
                found.append(_Content(STRING, len(units), write_var_string(whole(units))))
                texts.clear()
            if values:
                found.append(_Content(ANY, number, write_var_uint(number) + b"".join(values)))
                values.clear()
                number = 0

        for item, start, end in pieces:
            struct = item.struct
            if struct.kind == STRING:
                if values:
                    settle()
                texts.append(target.text(item, start, end))
            elif struct.kind == ANY:
                if texts:
                    settle()
                values.append(values_of(data, item, start, end))
                number += end - start
            else:
                settle()
                content = data[content_offset(data, struct) : struct.end]
                found.append(_Content(struct.kind, 1, content, item))
        settle()
        return found


def _piece(value: Value) -> Piece:
    return Piece(value.item, value.clock, value.clock + 1)


def _written(one: Id) -> bytes:
    return write_var_uint(one[0]) + write_var_uint(one[1])


def _compared(
    before: Sequence[Span], after: Sequence[Span]
) -> Iterable[tuple[int, int, bool, bool]]:
    """Return parts with whether each is there, and whether it should be; one of both is so."""
    if before == after:
        return [(start, end, True, True) for start, end in before]
    if not before:
        return [(start, end, False, True) for start, end in after]
    if not after:
        return [(start, end, True, False) for start, end in before]
    found: list[tuple[int, int, bool, bool]] = []
    borders = [border for span in before for border in span]
    others = [border for span in after for border in span]
    index = other = position = 0
    while index < len(borders) or other < len(others):
        one = borders[index] if index < len(borders) else MAX_CLOCK + 1
        two = others[other] if other < len(others) else MAX_CLOCK + 1
        border = min(one, two)
        if position < border and (index & 1 or other & 1):
            found.append((position, border, bool(index & 1), bool(other & 1)))
        index += one == border
        other += two == border
        position = border
    return found


def values_of(data: bytes, item: Item, start: int, end: int) -> bytes:
    """Return the bytes of some values of an array's item."""
    struct = item.struct
    _, position = read_var_uint(data, content_offset(data, struct))
    if start == struct.clock and end == struct.clock + struct.length:
        return data[position : struct.end]
    for _ in range(start - struct.clock):
        position = skip_any(data, position)
    first = position
    for _ in range(end - start):
        position = skip_any(data, position)
    return data[first:position]
