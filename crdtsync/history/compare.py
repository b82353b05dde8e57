"""What differs between two moments of a document, who did it and when.

Owns the diff. It is exact: ``patch`` makes the later moment's rich content of the earlier one's,
or the other way round where the moments are given so. Its "by" says whose change makes the
difference: of an insertion in the usual direction who inserted; backwards, who deleted.

Items have one order for all moments, so nothing is searched for: one walk through what the two
moments have together, and each item is in the one, in the other, or in both.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

from crdtsync.content import RootKind
from crdtsync.history.forms import COUNTED, Forms, mark
from crdtsync.history.model import LoggedCheckpoint, LoggedRecord, Stored, UnknownRoot, WrongKind
from crdtsync.history.operations import ListOperations, TextOperations
from crdtsync.history.reading import (
    RESOLUTION_MS,
    Author,
    Authors,
    Names,
    Reading,
    answer,
)
from crdtsync.history.values import same
from crdtsync.history.view import SHAPES
from crdtsync.history.weave import Item, Line, Shared
from crdtsync.structs import EMBED, FORMAT, STRING, TYPE

__all__ = ["compare"]

Change = dict[str, Any]

_UNCHANGED: Final[dict[RootKind, Change]] = {
    "text": {"kind": "text", "ops": []},
    "map": {"kind": "map", "keys": {}},
    "array": {"kind": "array", "ops": []},
    "xml": {"kind": "xml", "ops": [], "attributes": {}},
}
Mark = tuple[Item, Any]


def compare(
    stored: Stored | None,
    checkpoint: LoggedCheckpoint | None,
    records: Sequence[LoggedRecord],
    older: int,
    newer: int,
    root: str | None = None,
    names: Names | None = None,
    resolution_ms: int = RESOLUTION_MS,
) -> bytes:
    """Return, as JSON, what makes ``newer`` of ``older``; they may be the other way round.

    What one author did at one place, with no more than ``resolution_ms`` between, is told as
    one. Raises ``UnknownMoment``, ``UnknownRoot`` where neither moment has ``root``,
    ``WrongKind`` where a root is not the same at both, ``HistoryDamaged``,
    ``HistoryUnavailable``.
    """

    def question() -> Change:
        reading = Reading(stored, checkpoint, records, names)
        return _Comparison(reading, older, newer, resolution_ms).told(root)

    return answer(question)


class _Comparison:
    """Two moments, side by side."""

    def __init__(self, reading: Reading, source: int, target: int, resolution_ms: int) -> None:
        self._reading = reading
        self._sequences = source, target
        self._resolution_ms = resolution_ms
        self._source, self._target = reading.views(source, target)
        self._before, self._after = Forms(self._source), Forms(self._target)
        first, last = sorted((source, target))
        timeline = reading.past.timeline
        inserted = Authors(timeline.inserted(first, last, resolution_ms=resolution_ms))
        deleted = Authors(timeline.deleted(first, last, resolution_ms=resolution_ms))
        self._forwards = forwards = source <= target
        self._old, self._new = (
            (self._source, self._target) if forwards else (self._target, self._source)
        )
        # Who made what is there at the target only, and what is there at the source only:
        self._came, self._went = (inserted, deleted) if forwards else (deleted, inserted)
        self._inserted, self._deleted = inserted, deleted

    def told(self, root: str | None) -> Change:
        """Return the whole diff, or one root's."""
        before, after = self._source.roots(), self._target.roots()
        names = sorted(before.keys() | after.keys())
        if root is not None:
            if root not in names:
                raise UnknownRoot(f"there is no root {root!r} at either moment")
            names = [root]
        found: dict[str, Change] = {}
        for name in names:
            kind = self._common(name, before.get(name), after.get(name))
            change = self._shared(self._source.weave.roots[name], kind)
            if name not in before:
                change["root"] = "added"
            elif name not in after:
                change["root"] = "removed"
            elif before[name] != after[name]:
                change["becomes"] = after[name]
            if len(change) > 1:
                found[name] = _UNCHANGED[kind] | change
        source, target = (self._reading.moment(each) for each in self._sequences)
        return {"from": source, "to": target, "roots": found}

    def _common(self, name: str, before: RootKind | None, after: RootKind | None) -> RootKind:
        """Return what a root is at both moments; where there is nothing in it, it may be all."""
        if before is None or after is None or before == after:
            return after or before or "text"
        root = self._source.weave.roots[name]
        if not _content(self._before.rich(root, before)):
            return after
        if not _content(self._after.rich(root, after)):
            return before
        raise WrongKind(
            f"root {name!r} is {before} at the one moment, and {after} at the other",
            hint="Compare other roots, each by its name",
        )

    def _shared(self, shared: Shared, kind: RootKind | None = None) -> Change:
        """Return what changes in a shared type: with nothing but its kind where nothing does."""
        kind = kind or SHAPES[shared.type_ref]
        change: Change = {"kind": kind}
        if kind == "map":
            if keys := self._keys(shared):
                change["keys"] = keys
            return change
        ops = self._text(shared.items) if kind == "text" else self._list(shared.items)
        attributes = self._keys(shared) if kind != "array" else {}
        if ops or attributes:
            change["ops"] = ops
        if attributes or (ops and kind == "xml"):
            change["attributes"] = attributes
        return change

    # Lists

    def _parts(self, item: Item) -> Iterator[tuple[int, int, bool, bool]]:
        """Divide what is visible of an item: first and end clock, whether before, whether after."""
        before, after = self._source.spans(item), self._target.spans(item)
        if before == after:
            for start, end in before:
                yield start, end, True, True
            return
        borders = sorted({clock for span in (*before, *after) for clock in span})
        at = then = 0
        for start, end in pairwise(borders):
            while at < len(before) and before[at][1] <= start:
                at += 1
            while then < len(after) and after[then][1] <= start:
                then += 1
            was = at < len(before) and before[at][0] <= start
            now = then < len(after) and after[then][0] <= start
            if was or now:
                yield start, end, was, now

    def _list(self, line: Line) -> list[Change]:
        ops = ListOperations(self._reading.by, self._resolution_ms)
        for item in line:
            if item.struct.kind != TYPE and item.struct.kind not in COUNTED:
                continue
            for start, end, was, now in self._parts(item):
                if was and now:
                    change = self._shared(item.shared) if item.shared is not None else {}
                    if len(change) > 1:
                        ops.inside(change, {}, None)
                    else:
                        ops.retain(end - start)
                    continue
                authors = (self._came if now else self._went).over(item.client, start, end)
                for first, last, author in authors:
                    if now:
                        ops.insert(self._values(self._after, item, first, last), author)
                    else:
                        ops.delete(self._values(self._before, item, first, last), author)
        return ops.close()

    def _values(self, forms: Forms, item: Item, start: int, end: int) -> list[Any]:
        if item.shared is not None:
            return [forms.rich(item.shared)]
        return list(forms.view.values(item, start, end))

    # Keys

    def _keys(self, shared: Shared) -> dict[str, Change]:
        found: dict[str, Change] = {}
        for key, line in sorted(shared.keys.items()):
            before, after = self._source.value(line), self._target.value(line)
            if before == after:
                if before is not None and before.item.shared is not None:
                    change = self._shared(before.item.shared)
                    if len(change) > 1:
                        found[key] = {"change": "inside", "diff": change}
                continue
            told: Change = {"change": "changed"}
            if before is None:
                told["change"] = "added"
            else:
                told["before"] = self._before.value(*before)
            if after is None:
                told["change"] = "removed"
            else:
                told["after"] = self._after.value(*after)
            if before is None or after is None or not same(told["before"], told["after"]):
                told["by"] = self._reading.by(self._setter(line))
                found[key] = told
        return found

    def _setter(self, line: Line) -> Author | None:
        """Return who made a key hold something else, or nothing: at the newer of the moments."""
        value = self._new.value(line)
        if value is not None:
            return self._inserted.of(value.item.client, value.clock)
        last = self._new.last(line)
        return None if last is None else self._deleted.of(last.item.client, last.clock)

    # Text

    def _text(self, line: Line) -> list[Change]:
        ops = TextOperations(self._reading.by, self._resolution_ms)
        before: dict[str, Mark] = {}
        after: dict[str, Mark] = {}
        attributes: dict[str, Any] = {}  # of what is inserted
        changed: tuple[dict[str, Any], Author | None] = {}, None  # of what stays
        for item in line:
            kind = item.struct.kind
            for start, end, was, now in self._parts(item):
                if kind == FORMAT:
                    key, value = self._source.format(item)
                    if was:
                        before[key] = item, value
                    if now:
                        after[key] = item, value
                        attributes = mark(attributes, key, value)
                    changed = self._formats(before, after)
                elif kind == STRING:
                    self._characters(ops, item, (start, end, was, now), attributes, changed)
                elif kind in (EMBED, TYPE):
                    if was and now:
                        change = self._shared(item.shared) if item.shared is not None else {}
                        if len(change) > 1:
                            ops.inside(change, *changed)
                        else:
                            ops.retain(1, *changed)
                    elif was:
                        author = self._went.of(item.client, start)
                        ops.delete_embed(self._before.embed(item), author)
                    else:
                        author = self._came.of(item.client, start)
                        ops.insert_embed(self._after.embed(item), attributes, author)
        return ops.close()

    def _characters(
        self,
        ops: TextOperations,
        item: Item,
        part: tuple[int, int, bool, bool],
        attributes: dict[str, Any],
        changed: tuple[dict[str, Any], Author | None],
    ) -> None:
        start, end, was, now = part
        before = self._source.text(item, start, end) if was else ""
        after = self._target.text(item, start, end) if now else ""
        if before == after:
            ops.retain(end - start, *changed)
            return
        if was and now:  # pairs that are whole at one moment only: what is left of one changes
            ops.delete(before, None)
            ops.insert(after, attributes, None)
        elif now:
            for first, last, author in self._came.over(item.client, start, end):
                ops.insert(after[first - start : last - start], attributes, author)
        else:
            for first, last, author in self._went.over(item.client, start, end):
                ops.delete(before[first - start : last - start], author)

    def _formats(
        self, before: dict[str, Mark], after: dict[str, Mark]
    ) -> tuple[dict[str, Any], Author | None]:
        """Return which attributes become what, and who was the last to make one so."""
        changed: dict[str, Any] = {}
        authors: list[Author] = []
        for key in sorted(before.keys() | after.keys()):
            old, new = before.get(key), after.get(key)
            value = new[1] if new is not None else None
            if same(old[1] if old is not None else None, value):
                continue
            changed[key] = value
            for each in (new, old) if self._forwards else (old, new):
                if each is not None and (author := self._culprit(each[0])) is not None:
                    authors.append(author)
                    break
        return changed, max(authors, key=lambda each: (each.time_ms, each.author), default=None)

    def _culprit(self, item: Item) -> Author | None:
        """Return who inserted or deleted a mark that only one of the moments has."""
        if self._old.has(item) == self._new.has(item):
            return None
        authors = self._inserted if self._new.has(item) else self._deleted
        return authors.of(item.client, item.clock)


def _content(form: dict[str, Any]) -> bool:
    """Whether there is anything in a root."""
    return any(each for key, each in form.items() if key != "kind")
