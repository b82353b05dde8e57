"""New content from JSON: plain values, shared types in their rich form, deltas, XML nodes.

Owns what is said of a value that is wrong. Everything is bounded: how deeply it is nested, and
how many parts it has. The rich form is that of ``history-json``: an object is a shared type where
it has exactly the members of one, and plain otherwise.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from crdtsync.authoring.model import (
    Attributes,
    Cut,
    Element,
    Embed,
    InvalidOperation,
    Keep,
    NewArray,
    NewFragment,
    NewMap,
    NewText,
    Piece,
    Put,
    Shared,
    XmlText,
)
from crdtsync.limits import Limits

__all__ = ["ContentReader", "members", "whole"]

MAX_EXACT: Final = (1 << 53) - 1
"""Beyond it an integer is not every client's."""
_SHAPES: Final[Mapping[str, tuple[str, ...]]] = {
    "text": ("delta", "value"),
    "map": ("value",),
    "array": ("value",),
    "xml": ("children",),
}
"""By a shared type's kind: the members of which it has one."""


class ContentReader:
    """Reads values of one request, and counts them."""

    def __init__(self, limits: Limits) -> None:
        self._max_depth = limits.max_any_depth
        self._max_parts = limits.max_edit_parts
        self.parts = 0

    def count(self, parts: int = 1) -> None:
        """Count operations, values, nodes and pieces. Raises ``InvalidOperation``."""
        self.parts += parts
        if self.parts > self._max_parts:
            raise InvalidOperation(f"there are over {self._max_parts} parts in one request")

    # Plain values

    def plain(self, value: Any, depth: int = 0) -> Any:
        """Return a JSON value that every client can hold."""
        if depth > self._max_depth:
            raise InvalidOperation(f"a value is nested over {self._max_depth} deep")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return text(value, "a text")
        if isinstance(value, int):
            if abs(value) > MAX_EXACT:
                raise InvalidOperation("an integer is beyond 2^53")
            return value
        if isinstance(value, float):
            if not math.isfinite(value):
                raise InvalidOperation("a number is not finite")
            return value
        if isinstance(value, list | tuple):
            self.count(len(value))
            return [self.plain(each, depth + 1) for each in value]
        if isinstance(value, Mapping):
            self.count(len(value))
            return {text(key, "a key"): self.plain(each, depth + 1) for key, each in value.items()}
        raise InvalidOperation("a value is none of JSON's")

    # Shared types

    def rich(self, value: Any, depth: int = 0) -> Any:
        """Return a shared type where the value has the shape of one, or else the plain value."""
        self.count()
        kind = shape_of(value)
        return self.plain(value, depth) if kind is None else self.shared(value, depth)

    def shared(self, value: Any, depth: int = 0) -> Shared:
        """Return the shared type that a value describes."""
        if depth > self._max_depth:
            raise InvalidOperation(f"shared types are nested over {self._max_depth} deep")
        kind = shape_of(value)
        if kind is None:
            raise InvalidOperation(
                "a shared type is an object with kind (text, map, array or xml) and its content"
            )
        if kind == "text":
            if "delta" in value:
                return NewText(self.puts(value["delta"], depth + 1))
            put = Put(text(value["value"], "a text's value"), {})
            return NewText((put,) if put.content else ())
        if kind == "xml":
            return NewFragment(self.nodes(value["children"], depth + 1))
        within = value["value"]
        if kind == "array":
            if not isinstance(within, list | tuple):
                raise InvalidOperation("an array's value is a list")
            return NewArray(tuple(self.rich(each, depth + 1) for each in within))
        return NewMap(self._rich_members(within, depth, "a map's value"))

    def _rich_members(self, value: Any, depth: int, what: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise InvalidOperation(f"{what} is an object")
        return {text(key, "a key"): self.rich(each, depth + 1) for key, each in value.items()}

    # XML

    def nodes(self, value: Any, depth: int = 0) -> tuple[Element | XmlText, ...]:
        """Return XML nodes."""
        if not isinstance(value, list | tuple):
            raise InvalidOperation("children is a list of nodes")
        return tuple(self._node(each, depth) for each in value)

    def _node(self, value: Any, depth: int) -> Element | XmlText:
        self.count()
        if depth > self._max_depth:
            raise InvalidOperation(f"nodes are nested over {self._max_depth} deep")
        if isinstance(value, Mapping) and "text" in value:
            members(value, "text", "attributes")
            return XmlText(self.puts(value["text"], depth + 1), self._attributes(value, depth))
        if not isinstance(value, Mapping) or "name" not in value:
            raise InvalidOperation(
                "a node is an object with name (an element) or text (a delta)"
                + ("; XML hooks can't be written" if _has(value, "hook") else "")
            )
        members(value, "name", "attributes", "children")
        name = text(value["name"], "an element's name")
        if not name:
            raise InvalidOperation("an element's name is empty")
        children = self.nodes(value.get("children", ()), depth + 1)
        return Element(name, self._attributes(value, depth), children)

    def _attributes(self, value: Mapping[str, Any], depth: int) -> dict[str, Any]:
        found = value.get("attributes", {})
        if not isinstance(found, Mapping):
            raise InvalidOperation("a node's attributes are an object")
        self.count(len(found))
        return {text(key, "a key"): self.plain(each, depth + 1) for key, each in found.items()}

    # Deltas

    def puts(self, value: Any, depth: int = 0) -> tuple[Put, ...]:
        """Return the delta of a new text: insertions only."""
        pieces = self.delta(value, depth)
        if not all(isinstance(each, Put) for each in pieces):
            raise InvalidOperation("the delta of a new text only inserts")
        return tuple(each for each in pieces if isinstance(each, Put))

    def delta(self, value: Any, depth: int = 0) -> tuple[Piece, ...]:
        """Return a Quill delta."""
        if isinstance(value, Mapping) and set(value) == {"ops"}:
            value = value["ops"]  # as Quill itself writes it
        if not isinstance(value, list | tuple):
            raise InvalidOperation("a delta is a list")
        pieces: list[Piece] = []
        for each in value:
            piece = self._piece(each, depth)
            if piece is not None:
                pieces.append(piece)
        return tuple(pieces)

    def _piece(self, value: Any, depth: int) -> Piece | None:
        self.count()
        kinds = [each for each in ("insert", "retain", "delete") if _has(value, each)]
        if len(kinds) != 1:
            raise InvalidOperation("a delta's piece is one of insert, retain and delete")
        (kind,) = kinds
        if kind == "delete":
            members(value, "delete")
            return Cut(whole(value["delete"], "delete", least=1))
        members(value, kind, "attributes")
        attributes = self.formats(value.get("attributes"), depth)
        if kind == "retain":
            return Keep(whole(value["retain"], "retain", least=1), attributes)
        content = value["insert"]
        put = Put(self.inserted(content, depth), attributes or {})
        return put if put.content != "" else None

    def inserted(self, content: Any, depth: int = 0) -> str | Embed | Shared:
        """Return what a delta inserts: characters, an embed or a shared type."""
        if isinstance(content, str):
            return text(content, "insert")
        if not isinstance(content, Mapping):
            raise InvalidOperation("insert is a text or an object")
        if shape_of(content) is not None:
            return self.shared(content, depth)
        if set(content) == {"embed"} and not isinstance(content["embed"], Mapping | str):
            return Embed(self.plain(content["embed"], depth))  # as content is shown that way
        return Embed(self.plain(content, depth))

    def formats(self, value: Any, depth: int = 0) -> Attributes | None:
        """Return formats; ``None`` where there are none given."""
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise InvalidOperation("attributes are an object")
        self.count(len(value))
        return {text(key, "a format"): self.plain(each, depth + 1) for key, each in value.items()}


def shape_of(value: Any) -> str | None:
    """Return the kind of the shared type that an object describes, if it does."""
    if not isinstance(value, Mapping) or len(value) != 2:
        return None
    kind = value.get("kind")
    if not isinstance(kind, str):
        return None
    content = next((each for each in _SHAPES.get(kind, ()) if each in value), None)
    if content is None or (kind == "text" and content == "value" and not _has_text(value)):
        return None
    return kind


def _has_text(value: Mapping[str, Any]) -> bool:
    return isinstance(value["value"], str)


def _has(value: Any, name: str) -> bool:
    return isinstance(value, Mapping) and name in value


def members(value: Mapping[str, Any], *known: str) -> None:
    """Raise ``InvalidOperation`` where an object has members that mean nothing."""
    if not set(value) <= set(known):
        raise InvalidOperation(f"its members are {', '.join(known)}, and there are others")


def text(value: Any, what: str) -> str:
    """Return text that UTF-8 can carry."""
    if not isinstance(value, str):
        raise InvalidOperation(f"{what} is no text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidOperation(f"{what} is no text of Unicode") from None
    return value


def whole(value: Any, what: str, *, least: int = 0) -> int:
    """Return a whole number; 3.0 is one to JSON."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_EXACT:
        raise InvalidOperation(f"{what} is a whole number from {least} on")
    return value
