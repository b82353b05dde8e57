"""What a document would be without what one author did between two moments.

Owns the rule: what the author inserted is not there, what the author deleted is, and whatever
others did stays as it is, text typed inside the author's own text included.

- A shared type that the author made stays for as long as something of others lies in it.
- A key has the last value that others gave it, or that it had before.
- What went only because the author let go of what it lay in, or replaced it, comes back with
  that, though others' clients confirmed it as deleted later.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from crdtsync.history.model import Change, Snapshot
from crdtsync.history.restoring import Moment, Span
from crdtsync.history.view import Value
from crdtsync.history.weave import Item, Line, Weave
from crdtsync.idset import IdSet
from crdtsync.structs import DELETED, Range

__all__ = ["Deeds", "Without"]

_ALWAYS: Final = 1 << 62
_BEFORE: Final = 0

Dated = tuple[int, int, int]
"""First clock, end clock, and in which change, counted from the earlier moment on."""


class Deeds:
    """What an author did between two moments, and what all others did since the earlier one."""

    def __init__(
        self, author: str, upto: int, since: Snapshot, now: Snapshot, changes: Iterable[Change]
    ) -> None:
        """``changes`` are all from the earlier moment to now; the author's up to ``upto`` count."""
        self.clocks = now.clocks
        self.own = IdSet()
        """What the author inserted."""
        self.kept = IdSet()
        """What is deleted, not counting what the author deleted."""
        self.kept.add(since.deletes)
        self._since = since.deletes
        self._inserts: dict[int, list[Dated]] = {}
        self._deletes: dict[int, list[Dated]] = {}
        self._others: dict[int, list[Dated]] = {}
        for number, change in enumerate(changes, 1):
            counts = change.author == author and change.sequence <= upto
            if counts:
                self.own.add(change.inserts)
                _note(self._inserts, change.inserts, number)
            else:
                self.kept.add(change.deletes)
            _note(self._deletes if counts else self._others, change.deletes, number)
        for dated in (self._inserts, self._deletes, self._others):
            for own in dated.values():
                own.sort()

    def inserted(self, client: int, clock: int) -> int:
        """Return in which change the author inserted something."""
        return _find(self._inserts, client, clock)

    def deleted(self, client: int, clock: int) -> int:
        """Return in which change the author deleted something."""
        return _find(self._deletes, client, clock)

    def gone(self, client: int, clock: int) -> int:
        """Return in which change others deleted something."""
        return _BEFORE if self._since.has(client, clock) else _find(self._others, client, clock)

    def gone_late(self, client: int, start: int, end: int, horizon: int) -> Iterator[Span]:
        """Iterate over what others deleted from a change on."""
        own = self._others.get(client, [])
        for index in range(max(0, bisect_right(own, start, key=_start) - 1), len(own)):
            first, last, number = own[index]
            if first >= end:
                break
            if number >= horizon and start < last:
                yield max(first, start), min(last, end)


def _note(dated: dict[int, list[Dated]], ranges: Iterable[Range], number: int) -> None:
    for client, start, end in ranges:
        dated.setdefault(client, []).append((start, end, number))


def _find(dated: dict[int, list[Dated]], client: int, clock: int) -> int:
    # Each clock is inserted once, and deleted first once: the ranges are apart.
    own = dated.get(client, [])
    index = bisect_right(own, clock, key=_start) - 1
    return own[index][2] if index >= 0 and clock < own[index][1] else _ALWAYS


def _start(dated: Dated) -> int:
    return dated[0]


class Without(Moment):
    """A document without an author's deeds."""

    __slots__ = ("_deeds", "_hidden", "_horizon")

    def __init__(
        self, weave: Weave, deeds: Deeds, hidden: IdSet | None = None, horizon: int = _ALWAYS
    ) -> None:
        """What others deleted counts only before ``horizon``, a change."""
        self._deeds = deeds
        self._horizon = horizon
        self._hidden = _hidden(weave, deeds) if hidden is None else hidden
        deletes = IdSet()
        deletes.add(deeds.kept)
        deletes.add(self._hidden)
        super().__init__(weave, Snapshot(deeds.clocks, deletes))

    def spans(self, item: Item) -> list[Span]:
        """Return the clocks of a list's item that should show."""
        spans = super().spans(item)
        if self._horizon == _ALWAYS or item.struct.kind == DELETED:
            return spans
        shown, client = IdSet(), item.client
        shown.add((client, *span) for span in spans)
        end = item.clock + item.length
        for first, last in self._deeds.gone_late(client, item.clock, end, self._horizon):
            shown.add((client, *span) for span in self._hidden.missing(client, first, last))
        return [(start, last) for _, start, last in shown]

    def value(self, line: Line) -> Value | None:
        """Return what a key should hold."""
        item, horizon = self._last(line)
        if item is None or item.struct.kind == DELETED:
            return None
        value = Value(item, item.clock + item.length - 1)
        gone = self._deeds.gone(item.client, value.clock)
        return None if gone < min(horizon, self._horizon) else value

    def _last(self, line: Line) -> tuple[Item | None, int]:
        """Return the last value that others gave a key, and in which change the author did."""
        last: Item | None = None
        horizon = _ALWAYS
        for item in line:
            clock = item.clock + item.length - 1
            if not self._hidden.has(item.client, clock):
                last, horizon = item, _ALWAYS
            elif last is not None and horizon == _ALWAYS:
                horizon = self._deeds.inserted(item.client, clock)
        return last, horizon

    def below(self, item: Item) -> "Without":
        """Return what should be in the copy of a type that the author deleted or replaced."""
        horizon = min(self._horizon, self._deeds.deleted(item.client, item.clock))
        if item.line is not None and item.line.key is not None:
            horizon = min(horizon, self._last(item.line)[1])
        if horizon == self._horizon:
            return self
        return Without(self.weave, self._deeds, self._hidden, horizon)


def _hidden(weave: Weave, deeds: Deeds) -> IdSet:
    """Return what the author inserted, but for types in which something of others lies."""
    deletes = IdSet()
    deletes.add(deeds.kept)
    deletes.add(deeds.own)
    others = Moment(weave, Snapshot(deeds.clocks, deletes))
    made = {id(item.shared): item for item in weave.items.values() if item.shared is not None}
    held: set[tuple[int, int]] = set()
    seen: set[int] = set()
    for item in weave.items.values():
        line = item.line
        if line is None or id(line.owner) in seen or not others.spans(item):
            continue
        above: Item | None = made.get(id(line.owner))
        while above is not None and above.line is not None and id(above.shared) not in seen:
            seen.add(id(above.shared))
            held.add((above.client, above.clock))
            above = made.get(id(above.line.owner))
    if not held:
        return deeds.own
    hidden = IdSet()
    for client, start, end in deeds.own:
        inside = sorted(clock for by, clock in held if by == client and start <= clock < end)
        hidden.add(_between(client, start, end, inside))
    return hidden


def _between(client: int, start: int, end: int, without: Sequence[int]) -> Iterator[Range]:
    for clock in without:
        if start < clock:
            yield client, start, clock
        start = clock + 1
    if start < end:
        yield client, start, end
