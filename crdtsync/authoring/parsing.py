"""From JSON to operations: strict, bounded, and each mistake with the operation that has it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from crdtsync.authoring.content import ContentReader, members, text, whole
from crdtsync.authoring.model import (
    Delete,
    Delta,
    Embed,
    Format,
    InsertChildren,
    InsertEmbed,
    InsertText,
    InsertValues,
    InvalidOperation,
    NewArray,
    NewFragment,
    NewMap,
    NewText,
    Operation,
    Path,
    Remove,
    Set,
    Shared,
)
from crdtsync.limits import Limits
from crdtsync.recursion import deep_recursion

__all__ = ["MAX_PATH", "NewRoots", "parse_content", "parse_operations"]

MAX_PATH: Final = 256
"""Steps of a path."""

NewRoots = Mapping[str, Shared]
"""A new document's roots by name."""


def parse_operations(value: Any, limits: Limits | None = None) -> tuple[Operation, ...]:
    """Return the operations that JSON describes; those that are some already stay.

    Raises ``InvalidOperation``.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        raise InvalidOperation("operations are a list")
    reader = ContentReader(limits or Limits())
    found: list[Operation] = []
    with deep_recursion():
        for index, each in enumerate(value):
            try:
                reader.count()
                found.append(each if isinstance(each, Operation) else _operation(each, reader))
            except InvalidOperation as error:
                raise InvalidOperation(error.reason, index) from None
    return tuple(found)


def parse_content(value: Any, limits: Limits | None = None) -> NewRoots:
    """Return a new document's content from its rich form: roots by name.

    Raises ``InvalidOperation``.
    """
    if not isinstance(value, Mapping):
        raise InvalidOperation("content is an object of roots by name")
    reader = ContentReader(limits or Limits())
    roots: dict[str, Shared] = {}
    with deep_recursion():
        for name, each in value.items():
            text(name, "a root's name")
            reader.count()
            try:
                roots[name] = (
                    each if isinstance(each, NewText | NewMap | NewArray | NewFragment)
                    else reader.shared(each)
                )  # fmt: skip
            except InvalidOperation as error:
                raise InvalidOperation(f"root {_shown(name)}: {error.reason}") from None
    return roots


def _shown(name: str) -> str:
    clean = "".join(char if char.isprintable() else "?" for char in name[:40])
    return f'"{clean}"'


def _operation(value: Any, reader: ContentReader) -> Operation:
    if not isinstance(value, Mapping):
        raise InvalidOperation("it is no object")
    read = _READERS.get(value.get("op", "")) if isinstance(value.get("op"), str) else None
    if read is None:
        raise InvalidOperation(f"op is one of {', '.join(_READERS)}")
    return read(value, _path(value), reader)


def _path(value: Mapping[str, Any]) -> Path:
    path = value.get("path")
    if not isinstance(path, list | tuple) or not path:
        raise InvalidOperation("path is a list that begins with a root's name")
    if len(path) > MAX_PATH:
        raise InvalidOperation(f"path has over {MAX_PATH} steps")
    steps: list[str | int] = [text(path[0], "the root's name in path")]
    for step in path[1:]:
        if isinstance(step, str):
            steps.append(text(step, "a key in path"))
        else:
            steps.append(whole(step, "a position in path"))
    return tuple(steps)


def _insert(value: Mapping[str, Any], path: Path, reader: ContentReader) -> Operation:
    kinds = [each for each in ("text", "embed", "values", "content", "children") if each in value]
    if len(kinds) != 1:
        raise InvalidOperation("insert takes one of text, embed, values, content and children")
    (kind,) = kinds
    formatted = kind in ("text", "embed")
    members(value, "op", "path", "index", kind, *(("attributes",) if formatted else ()))
    index = None if value.get("index") is None else whole(value["index"], "index")
    what = value[kind]
    if kind == "children":
        return InsertChildren(path, index, reader.nodes(what))
    if not formatted:
        if not isinstance(what, list | tuple):
            raise InvalidOperation(f"{kind} is a list")
        if kind == "content":
            return InsertValues(path, index, tuple(map(reader.rich, what)))
        reader.count(len(what))
        return InsertValues(path, index, tuple(map(reader.plain, what)))
    attributes = reader.formats(value.get("attributes"))
    if kind == "text":
        return InsertText(path, index, text(what, "text"), attributes)
    content = reader.inserted(what)
    if isinstance(content, str):
        raise InvalidOperation("embed is an object")
    assert isinstance(content, Embed | Shared)
    return InsertEmbed(path, index, content, attributes)


def _delete(value: Mapping[str, Any], path: Path, reader: ContentReader) -> Operation:
    members(value, "op", "path", "index", "length")
    return Delete(path, *_range(value))


def _format(value: Mapping[str, Any], path: Path, reader: ContentReader) -> Operation:
    members(value, "op", "path", "index", "length", "attributes")
    attributes = reader.formats(value.get("attributes"))
    if not attributes:
        raise InvalidOperation("format takes attributes")
    return Format(path, *_range(value), attributes)


def _range(value: Mapping[str, Any]) -> tuple[int, int]:
    return whole(value.get("index"), "index"), whole(value.get("length", 1), "length", least=1)


def _set(value: Mapping[str, Any], path: Path, reader: ContentReader) -> Operation:
    if ("value" in value) == ("content" in value):
        raise InvalidOperation("set takes one of value and content")
    if "value" in value:
        members(value, "op", "path", "key", "value")
        return Set(path, _key(value), reader.plain(value["value"]))
    members(value, "op", "path", "key", "content")
    return Set(path, _key(value), reader.shared(value["content"]))


def _remove(value: Mapping[str, Any], path: Path, reader: ContentReader) -> Operation:
    members(value, "op", "path", "key")
    return Remove(path, _key(value))


def _key(value: Mapping[str, Any]) -> str:
    return text(value.get("key"), "key")


def _delta(value: Mapping[str, Any], path: Path, reader: ContentReader) -> Operation:
    members(value, "op", "path", "delta")
    return Delta(path, reader.delta(value.get("delta")))


_READERS: Final[
    Mapping[str, Callable[[Mapping[str, Any], Path, ContentReader], Operation]]
] = {
    "insert": _insert,
    "delete": _delete,
    "format": _format,
    "set": _set,
    "remove": _remove,
    "delta": _delta,
}  # fmt: skip
