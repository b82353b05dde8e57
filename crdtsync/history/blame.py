"""Who wrote what a document holds at a moment, and when.

Owns blame: every run of text, every key and element, every XML node with whose it is. Formats
are no part of it: a run is whose characters they are.
"""

from collections.abc import Sequence
from typing import Any

from crdtsync.content import RootKind
from crdtsync.history.forms import COUNTED, Forms
from crdtsync.history.model import LoggedCheckpoint, LoggedRecord, Stored
from crdtsync.history.reading import (
    RESOLUTION_MS,
    Author,
    Authors,
    Names,
    Reading,
    answer,
    chosen,
    joinable,
)
from crdtsync.history.view import SHAPES, Value, View, whole
from crdtsync.history.weave import XML_ELEMENT, XML_HOOK, Item, Line, Shared
from crdtsync.structs import EMBED, STRING, TYPE

__all__ = ["blame"]

Json = dict[str, Any]


def blame(
    stored: Stored | None,
    checkpoint: LoggedCheckpoint | None,
    records: Sequence[LoggedRecord],
    sequence: int,
    root: str | None = None,
    names: Names | None = None,
    resolution_ms: int = RESOLUTION_MS,
) -> bytes:
    """Return, as JSON, who wrote what at a moment, of one root or all.

    Neighbouring text of one author is one run, where no more than ``resolution_ms`` lies
    between. Raises ``UnknownMoment``, ``UnknownRoot``, ``HistoryDamaged``,
    ``HistoryUnavailable``.
    """

    def question() -> Json:
        reading = Reading(stored, checkpoint, records, names)
        (view,) = reading.views(sequence)
        asked = _Blame(reading, view, sequence, resolution_ms)
        kinds = view.roots()
        roots = {
            name: asked.shared(view.weave.roots[name], kinds[name]) for name in chosen(kinds, root)
        }
        return {"moment": reading.moment(sequence), "roots": roots}

    return answer(question)


class _Blame:
    def __init__(self, reading: Reading, view: View, sequence: int, resolution_ms: int) -> None:
        self._reading = reading
        self._view = view
        self._forms = Forms(view)
        self._resolution_ms = resolution_ms
        timeline = reading.past.timeline
        self._authors = Authors(timeline.inserted(0, sequence, resolution_ms=resolution_ms))

    def shared(self, shared: Shared, kind: RootKind | None = None) -> Json:
        """Return who wrote what in a shared type, or in a root of a kind."""
        kind = kind or SHAPES[shared.type_ref]
        found: Json = {"kind": kind}
        if shared.type_ref == XML_ELEMENT:
            found["name"] = shared.tag
        elif shared.type_ref == XML_HOOK:
            found["hook"] = shared.tag
        if kind == "map":
            return found | {"keys": self._keys(shared)}
        if kind == "array":
            return found | {"elements": self._elements(shared.items)}
        attributes = self._keys(shared)
        if attributes or shared.type_ref == XML_ELEMENT:
            found["attributes"] = attributes
        if kind == "text":
            return found | {"runs": self._runs(shared.items)}
        return found | {"nodes": self._nodes(shared.items)}

    def _by(self, item: Item, clock: int) -> Json | None:
        return self._reading.by(self._authors.of(item.client, clock))

    def _value(self, item: Item, clock: int) -> Json:
        if item.shared is not None:
            return {"inside": self.shared(item.shared), "by": self._by(item, clock)}
        return {"value": self._forms.value(item, clock), "by": self._by(item, clock)}

    def _keys(self, shared: Shared) -> Json:
        values: dict[str, Value | None] = {
            key: self._view.value(line) for key, line in sorted(shared.keys.items())
        }
        return {key: self._value(*value) for key, value in values.items() if value is not None}

    def _elements(self, line: Line) -> list[Json]:
        return [
            self._value(item, clock)
            for item in line
            if item.struct.kind == TYPE or item.struct.kind in COUNTED
            for start, end in self._view.spans(item)
            for clock in range(start, end)
        ]

    def _nodes(self, line: Line) -> list[Json]:
        return [
            {**each["inside"], "by": each["by"]} if "inside" in each else each
            for each in self._elements(line)
        ]

    def _runs(self, line: Line) -> list[Json]:
        runs: list[Json] = []
        units: list[str] = []
        first: Author | None = None
        last_ms = 0

        def close() -> None:
            if units:
                author = first and first._replace(time_ms=last_ms)
                runs.append({"text": whole("".join(units)), "by": self._reading.by(author)})
                units.clear()

        for item in line:
            kind = item.struct.kind
            if kind == STRING:
                for start, end in self._view.spans(item):
                    text = self._view.text(item, start, end)
                    for begin, behind, author in self._authors.over(item.client, start, end):
                        if not units or not joinable(first, author, self._resolution_ms):
                            close()
                            first, last_ms = author, 0
                        if author is not None:
                            last_ms = max(last_ms, author.time_ms)
                        units.append(text[begin - start : behind - start])
            elif kind in (EMBED, TYPE) and self._view.has(item):
                close()
                if item.shared is not None:
                    runs.append(self._value(item, item.clock))
                else:
                    by = self._by(item, item.clock)
                    runs.append({"embed": self._forms.embed(item), "by": by})
        close()
        return runs
