"""The forms that content takes: plain values, Quill deltas, XML, and the rich form of it all.

The *plain* form is that of a document's export. The *rich* form keeps what shared types are and
how text is formatted, and is what a diff speaks of:

- ``{"kind": "text", "delta": [..]}``, ``{"kind": "map", "value": {..}}``, ``{"kind": "array",
  "value": [..]}``, ``{"kind": "xml", "children": [..]}``, for roots and for what lies in others;
- XML's nodes: ``{"name", "attributes", "children"}``, ``{"text": delta}``, ``{"hook", "value"}``;
- texts and fragments have ``"attributes"`` too, where they have any.

Read from a weave, not by the CRDT library: exact for every document, and the same each time
(the library's XML attributes come in any order).
"""

import json
from collections.abc import Iterator
from typing import Any

from crdtsync.content import RootKind
from crdtsync.history.values import same
from crdtsync.history.view import SHAPES, View, whole
from crdtsync.history.weave import XML_ELEMENT, XML_HOOK, Item, Line, Shared
from crdtsync.structs import ANY, BINARY, DOC, EMBED, FORMAT, STRING, TYPE

__all__ = ["COUNTED", "Delta", "Forms", "mark"]

COUNTED = frozenset((ANY, BINARY, DOC, EMBED, STRING))
"""The kinds of content that are elements of a list, beside shared types."""

FRAGMENT = 4
XML_TEXT = 6

Attributes = dict[str, Any]


class Delta:
    """A text's delta, in the making."""

    __slots__ = ("_attributes", "_units", "ops")

    def __init__(self) -> None:
        self.ops: list[dict[str, Any]] = []
        self._units: list[str] = []
        self._attributes: Attributes = {}

    def text(self, units: str, attributes: Attributes) -> None:
        if self._units and not same(attributes, self._attributes):
            self.close()
        self._attributes = attributes
        self._units.append(units)

    def embed(self, value: Any, attributes: Attributes) -> None:
        self.close()
        self._push(value, attributes)

    def close(self) -> list[dict[str, Any]]:
        """End the run of characters; return what there is."""
        if self._units:
            self._push(whole("".join(self._units)), self._attributes)
            self._units = []
        return self.ops

    def _push(self, value: Any, attributes: Attributes) -> None:
        op = {"insert": value}
        if attributes:
            op["attributes"] = dict(sorted(attributes.items()))
        self.ops.append(op)


def mark(attributes: Attributes, key: str, value: Any) -> Attributes:
    """Return what holds behind a mark."""
    if value is None:
        return {each: held for each, held in attributes.items() if each != key}
    return {**attributes, key: value}


class Forms:
    """Content at one moment."""

    __slots__ = ("view",)

    def __init__(self, view: View) -> None:
        self.view = view

    # The plain form

    def plain(self, shared: Shared, kind: RootKind | None = None) -> Any:
        """Return what a document's export has for it."""
        kind = kind or SHAPES[shared.type_ref]
        if kind == "map":
            return {
                key: self._plain_value(*found)
                for key, line in sorted(shared.keys.items())
                if (found := self.view.value(line)) is not None
            }
        if kind == "array":
            return list(self._plain_values(shared.items))
        if kind == "text" and shared.type_ref != XML_TEXT:
            return self.text(shared)
        return self.xml(shared)

    def _plain_value(self, item: Item, clock: int) -> Any:
        if item.shared is not None:
            return self.plain(item.shared)
        return self.view.values(item, clock, clock + 1)[0]

    def _plain_values(self, line: Line) -> Iterator[Any]:
        for item in line:
            for start, end in self.view.spans(item):
                if item.shared is not None:
                    yield self.plain(item.shared)
                elif item.struct.kind in COUNTED:
                    yield from self.view.values(item, start, end)

    def text(self, shared: Shared) -> str:
        """Return a text's characters."""
        spans, text = self.view.spans, self.view.text
        units = [
            text(item, start, end)
            for item in shared.items
            if item.struct.kind == STRING
            for start, end in spans(item)
        ]
        return whole("".join(units))

    # The rich form

    def rich(self, shared: Shared, kind: RootKind | None = None) -> dict[str, Any]:
        """Return what a shared type, or a root of a kind, holds."""
        if kind is None:
            if shared.type_ref == XML_ELEMENT:
                attributes = self._attributes(shared)
                children = self._elements(shared.items)
                return {"name": shared.tag, "attributes": attributes, "children": children}
            if shared.type_ref == XML_HOOK:
                return {"hook": shared.tag, "value": self._attributes(shared)}
            kind = SHAPES[shared.type_ref]
        found: dict[str, Any] = {"kind": kind}
        if shared.type_ref == XML_TEXT:
            found = {"text": self.delta(shared)}
        elif kind == "text":
            found["delta"] = self.delta(shared)
        elif kind == "map":
            return found | {"value": self._attributes(shared)}
        elif kind == "array":
            return found | {"value": self._elements(shared.items)}
        else:
            found["children"] = self._elements(shared.items)
        if attributes := self._attributes(shared):
            found["attributes"] = attributes
        return found

    def value(self, item: Item, clock: int) -> Any:
        """Return one element of a list, or what a key holds."""
        if item.shared is not None:
            return self.rich(item.shared)
        return self.view.values(item, clock, clock + 1)[0]

    def embed(self, item: Item) -> Any:
        """Return what stands in a text beside its characters; what is no object is put in one."""
        value = self.value(item, item.clock)
        return value if isinstance(value, dict) else {"embed": value}

    def delta(self, shared: Shared) -> list[dict[str, Any]]:
        """Return a text as a Quill delta; neighbours with the same attributes are one."""
        view = self.view
        delta = Delta()
        attributes: Attributes = {}
        for item in shared.items:
            spans = view.spans(item)
            if not spans:
                continue
            kind = item.struct.kind
            if kind == STRING:
                for start, end in spans:
                    delta.text(view.text(item, start, end), attributes)
            elif kind == FORMAT:
                attributes = mark(attributes, *view.format(item))
            elif kind in (EMBED, TYPE):
                delta.embed(self.embed(item), attributes)
        return delta.close()

    def _attributes(self, shared: Shared) -> dict[str, Any]:
        return {
            key: self.value(*found)
            for key, line in sorted(shared.keys.items())
            if (found := self.view.value(line)) is not None
        }

    def _elements(self, line: Line) -> list[Any]:
        found: list[Any] = []
        for item in line:
            for start, end in self.view.spans(item):
                if item.shared is not None:
                    found.append(self.rich(item.shared))
                elif item.struct.kind in COUNTED:
                    found += self.view.values(item, start, end)
        return found

    # XML

    def xml(self, shared: Shared) -> str:
        """Return a fragment, an element or a formatted text as Yjs prints it.

        Names keep their case, as pycrdt has it; attributes are sorted, nothing is escaped.
        """
        if shared.type_ref == XML_HOOK:
            return _tag(shared.tag, self.plain(shared), "")
        if SHAPES.get(shared.type_ref) == "text":
            return "".join(_formatted(op) for op in self.delta(shared))
        within = "".join(self._markup(shared.items))
        if shared.type_ref != XML_ELEMENT:
            return within
        return _tag(shared.tag, self._attributes(shared), within)

    def _markup(self, line: Line) -> Iterator[str]:
        for item in line:
            for start, end in self.view.spans(item):
                if item.shared is None:
                    if item.struct.kind in COUNTED:
                        yield from map(_written, self.view.values(item, start, end))
                elif SHAPES[item.shared.type_ref] in ("xml", "text") or item.shared.tag:
                    yield self.xml(item.shared)
                else:
                    yield _written(self.plain(item.shared))


def _formatted(op: dict[str, Any]) -> str:
    text = _written(op["insert"])
    for name, value in sorted(op.get("attributes", {}).items(), reverse=True):
        text = _tag(name, value if isinstance(value, dict) else {}, text)
    return text


def _tag(name: str, attributes: dict[str, Any], within: str) -> str:
    shown = "".join(f' {key}="{_written(value)}"' for key, value in sorted(attributes.items()))
    return f"<{name}{shown}>{within}</{name}>"


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
