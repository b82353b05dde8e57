"""Edits of every kind that a Yjs client makes, from a few bytes; and what a document holds."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pycrdt

__all__ = ["ROOTS", "Dice", "content", "edit"]

ROOTS: dict[str, type[Any]] = {
    "text": pycrdt.Text,
    "map": pycrdt.Map,
    "array": pycrdt.Array,
    "xml": pycrdt.XmlFragment,
}
WORDS = ["a", "bc", "def ", "é", "日本", "😀", "x😀y", "\n", "tail"]
KEYS = ["a", "b", "c"]
FORMATS: list[dict[str, Any]] = [{"b": True}, {"i": {"n": 1}}, {"b": None}, {"i": None}]
VALUES: list[Any] = [1, 2.5, "v", "😀", True, None, b"\x00\xff", [1, {"k": [None]}], {"é": "ü"}]
MAX_CONTAINERS = 12


class Dice:
    """Choices, read from bytes one by one; zeros behind their end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._next = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._next

    def roll(self, sides: int) -> int:
        """Return a number from 0 up to, without, ``sides``."""
        if self._next >= len(self._data):
            return 0
        self._next += 1
        return self._data[self._next - 1] % sides

    def pick(self, choices: list[Any]) -> Any:
        return choices[self.roll(len(choices))]


def _containers(doc: pycrdt.Doc[Any]) -> list[tuple[str, Any]]:
    """Return shared types with their paths: the roots, then what lies in them."""
    found = [(name, doc.get(name, type=kind)) for name, kind in ROOTS.items()]
    for path, container in found:
        if len(found) >= MAX_CONTAINERS:
            break
        for key, child in _children(container):
            if isinstance(child, (*ROOTS.values(), pycrdt.XmlElement, pycrdt.XmlText)):
                found.append((f"{path}.{key}", child))
    return found


def _children(container: Any) -> Iterator[tuple[object, Any]]:
    if isinstance(container, pycrdt.Map):
        yield from ((key, container[key]) for key in sorted(container.keys()))
    elif isinstance(container, pycrdt.Array):
        yield from enumerate(container)
    elif isinstance(container, pycrdt.XmlFragment | pycrdt.XmlElement):
        yield from enumerate(container.children)


def _nested(dice: Dice) -> Any:
    return dice.pick(
        [
            pycrdt.Map({"n": 1.0}),
            pycrdt.Array(["e"]),
            pycrdt.Text("nested 😀"),
            pycrdt.Map({"deep": pycrdt.Array([pycrdt.Text("!")])}),
        ]
    )


def edit(doc: pycrdt.Doc[Any], dice: Dice) -> str:
    """Make one edit and return what it was, for the story."""
    path, container = dice.pick(_containers(doc))
    change = next(change for kind, change in _CHANGES.items() if isinstance(container, kind))
    return f"{path}: {change(container, dice)}"


def _borders(text: Any) -> list[int]:
    """Return the places between characters and embeds, as pycrdt counts: in UTF-8 bytes."""
    borders = [0]
    for run, _ in text.diff():
        for piece in run if isinstance(run, str) else (" ",):
            borders.append(borders[-1] + len(piece.encode()))
    return borders


def _change_text(text: Any, dice: Dice) -> str:
    borders = _borders(text)
    what = dice.roll(8)
    start = dice.roll(len(borders))
    end = min(start + 1 + dice.roll(4), len(borders) - 1)
    first, behind = borders[start], borders[end]
    if what >= 6 and start < end:
        del text[first:behind]
        return f"delete {start}..{end}"
    if what == 5 and start < end:
        attributes = dice.pick(FORMATS)
        text.format(first, behind, attributes)
        return f"format {start}..{end} as {attributes}"
    if what == 4:
        text.insert_embed(first, {"image": "x"})
        return f"embed at {start}"
    word = dice.pick(WORDS)
    attributes = dice.pick(FORMATS) if what == 3 else None
    text.insert(first, word, attributes)
    return f"insert {word!r} at {start}" + (f" as {attributes}" if attributes else "")


def _change_map(each: Any, dice: Dice) -> str:
    key = dice.pick(KEYS)
    what = dice.roll(6)
    if what == 5 and key in each:
        del each[key]
        return f"delete {key!r}"
    if what == 4:
        each[key] = _nested(dice)
        return f"set {key!r} to a shared type"
    each[key] = value = dice.pick(VALUES)
    return f"set {key!r} to {value!r}"


def _change_array(array: Any, dice: Dice) -> str:
    size = len(array)
    at = dice.roll(size + 1)
    what = dice.roll(6)
    if what >= 4 and at < size:
        end = min(size, at + 1 + dice.roll(3))
        del array[at:end]
        return f"delete {at}..{end}"
    if what == 3:
        array.insert(at, _nested(dice))
        return f"insert a shared type at {at}"
    values = [dice.pick(VALUES) for _ in range(1 + dice.roll(3))]
    array[at:at] = values
    return f"insert {values!r} at {at}"


def _change_xml(element: Any, dice: Dice) -> str:
    children = element.children
    at = dice.roll(len(children) + 1)
    what = dice.roll(7)
    if what >= 5 and at < len(children):
        del children[at]
        return f"delete child {at}"
    if what >= 3 and isinstance(element, pycrdt.XmlElement):
        key = dice.pick(KEYS)
        if what == 4 and key in dict(element.attributes):
            del element.attributes[key]
            return f"delete attribute {key!r}"
        element.attributes[key] = word = dice.pick(WORDS)
        return f"set attribute {key!r} to {word!r}"
    if what == 2:
        children.insert(at, pycrdt.XmlText(dice.pick(WORDS)))
        return f"insert text at {at}"
    children.insert(at, pycrdt.XmlElement(dice.pick(["p", "ul"]), {"k": "v"}))
    return f"insert element at {at}"


_CHANGES: dict[Any, Callable[[Any, Dice], str]] = {
    pycrdt.Text: _change_text,
    pycrdt.XmlText: _change_text,
    pycrdt.Map: _change_map,
    pycrdt.Array: _change_array,
    pycrdt.XmlFragment: _change_xml,
    pycrdt.XmlElement: _change_xml,
}


def content(doc: pycrdt.Doc[Any], roots: Mapping[str, type[Any]] = ROOTS) -> dict[str, Any]:
    """Return everything that a user of the document sees: values, formats, attributes."""
    return {name: _plain(doc.get(name, type=kind)) for name, kind in roots.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, pycrdt.Text | pycrdt.XmlText):
        return [(_plain(run), attributes) for run, attributes in value.diff()]
    if isinstance(value, pycrdt.Map):
        return {key: _plain(value[key]) for key in sorted(value.keys())}
    if isinstance(value, pycrdt.XmlElement):
        attributes = dict(sorted(value.attributes))
        return (value.tag, attributes, [_plain(child) for child in value.children])
    if isinstance(value, pycrdt.Array):
        return [_plain(each) for each in value]
    if isinstance(value, pycrdt.XmlFragment):
        return [_plain(child) for child in value.children]
    return value
