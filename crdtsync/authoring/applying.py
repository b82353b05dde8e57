"""Operations, done in a document: a state goes in, one update of exactly this change comes out.

All of them or none. Knows neither rooms nor who writes. Runs anywhere: here for small documents,
in a process of its own for large ones.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from crdtsync.authoring.model import (
    Cut,
    Delete,
    Delta,
    Element,
    Embed,
    Format,
    InsertChildren,
    InsertEmbed,
    InsertText,
    InsertValues,
    InvalidOperation,
    Keep,
    NewArray,
    NewFragment,
    NewMap,
    NewText,
    NotEditable,
    Operation,
    Path,
    Piece,
    Put,
    Remove,
    Set,
    Shared,
    XmlText,
)
from crdtsync.authoring.units import TextEditor
from crdtsync.content import tell_roots
from crdtsync.crdt import IntegrationError, Pen, write
from crdtsync.errors import CrdtsyncError, InvalidUpdate
from crdtsync.guard import NO_WATCH, Watch

__all__ = ["apply_operations", "create_roots"]

_TEXTS: Final = ("text", "xml-text")
_NODES: Final = ("xml", "element")
_CALLED: Final = {
    "text": "a text",
    "xml-text": "a text in XML",
    "map": "a map",
    "array": "an array",
    "xml": "an XML fragment",
    "element": "an XML element",
    "": "no shared type",
}


def apply_operations(
    updates: Sequence[bytes],
    client: int,
    operations: Sequence[Operation],
    watch: Watch = NO_WATCH,
) -> bytes:
    """Return the update that does all operations, one after the other, to a document.

    The document is given as updates that follow one another, ``client`` is the new items' id.
    Raises ``InvalidOperation`` and ``NotEditable``.
    """

    def work(pen: Pen, state: bytes) -> CrdtsyncError | None:
        try:
            kinds, loose = tell_roots(state)
        except (IntegrationError, InvalidUpdate):
            return NotEditable("the document's roots can't be told")
        writer = _Writer(pen, kinds, loose)
        for index, operation in enumerate(operations):
            try:
                writer.do(operation)
            except InvalidOperation as error:
                return InvalidOperation(error.reason, index)
            except NotEditable as error:
                return error
        return None

    return _written(updates, client, work, watch)


def create_roots(roots: Mapping[str, Shared], client: int, watch: Watch = NO_WATCH) -> bytes:
    """Return the update that makes a new document of roots. Raises ``InvalidOperation``."""

    def work(pen: Pen, state: bytes) -> CrdtsyncError | None:
        writer = _Writer(pen, {}, frozenset())
        try:
            for name, new in roots.items():
                writer.fill(pen.root(name, _KIND_OF[type(new)]), new)
        except InvalidOperation as error:
            return error
        return None

    return _written((), client, work, watch)


_KIND_OF: Final[Mapping[type[Any], str]] = {
    NewText: "text",
    NewMap: "map",
    NewArray: "array",
    NewFragment: "xml",
    Element: "element",
    XmlText: "xml-text",
}


def _written(updates: Sequence[bytes], client: int, work: Any, watch: Watch) -> bytes:
    try:
        return write(updates, client, work, watch)
    except IntegrationError as error:
        raise NotEditable(f"the document can't be edited: {error}") from error


@dataclass(slots=True)
class _Writer:
    """Does operations in one document."""

    pen: Pen
    kinds: Mapping[str, str]
    loose: Collection[str]
    """The roots that are of the kind which the first operation takes them for."""
    roots: dict[str, Any] = field(default_factory=dict)
    texts: dict[int, tuple[Any, TextEditor]] = field(default_factory=dict)
    """By the id of the root's object: others are looked up anew by each operation."""

    def do(self, operation: Operation) -> None:
        """Do one operation. Raises ``InvalidOperation``."""
        match operation:
            case InsertText(path, index, text, attributes):
                self._insert_text(path, index, text, attributes)
            case InsertEmbed(path, index, content, attributes):
                self._insert_text(path, index, content, attributes)
            case InsertValues(path, index, values):
                shared = self._listed(path, "array", "values")
                at = self._position(shared, index)
                for offset, value in enumerate(values):
                    self._put(shared, at + offset, value)
            case InsertChildren(path, index, children):
                shared = self._listed(path, "xml", "children")
                at = self._position(shared, index)
                for offset, child in enumerate(children):
                    self._put(shared, at + offset, child)
            case Delete(path, index, length):
                self._delete(path, index, length)
            case Format(path, index, length, attributes):
                edited = self._text(path)
                edited.check(index, length)
                edited.format(index, length, edited.bytes_to(index), attributes)
            case Set(path, key, value):
                self._set(self._keyed(path), key, value)
            case Remove(path, key):
                if not self.pen.remove(self._keyed(path), key):
                    raise InvalidOperation("there is nothing under this key")
            case Delta(path, pieces):
                self._delta(self._text(path), pieces)

    # Where it is

    def _root(self, name: str, implied: str, *, deep: bool) -> Any:
        found = self.roots.get(name)
        if found is not None:
            return found
        kind = self.kinds.get(name, implied or "text")
        loose, told = name in self.loose, bool(implied) and not deep
        if loose and told and (kind == "text" or implied in ("text", "array")):
            kind = implied
        found = self.pen.root(name, kind)
        if told or not loose:
            self.roots[name] = found
        return found

    def _at(self, path: Path, implied: str) -> Any:
        """Follow a path; what no root has is made where the root alone is named."""
        name = path[0]
        assert isinstance(name, str)
        if len(path) == 1:
            return self._root(name, implied, deep=False)
        if name not in self.kinds and name not in self.roots:
            raise InvalidOperation("the path leads nowhere: there is no such root")
        shared = self._root(name, implied, deep=True)
        for depth, step in enumerate(path[1:], 1):
            shared = self._step(shared, step)
            if not self.pen.kind(shared):
                raise InvalidOperation(f"the path leads to no shared type at step {depth}")
        return shared

    def _step(self, shared: Any, step: str | int) -> Any:
        kind = self.pen.kind(shared)
        if isinstance(step, str):
            if kind != "map":
                raise InvalidOperation(f"the path has a key where {_CALLED[kind]} is")
            try:
                return self.pen.value(shared, step)
            except KeyError:
                raise InvalidOperation("the path leads nowhere: there is no such key") from None
        if kind == "map":
            raise InvalidOperation("the path has a position where a map is")
        if kind in _TEXTS:
            return self._standing(shared, step)
        if step >= self.pen.length(shared):
            raise InvalidOperation("the path leads nowhere: there is no such position")
        return self.pen.element(shared, step)

    def _standing(self, shared: Any, index: int) -> Any:
        """Return what stands in a text at a position, if that is no character."""
        position = 0
        for run, _ in self.pen.runs(shared):
            if isinstance(run, str):
                position += len(run.encode("utf-16-le")) // 2
            elif position == index:
                return run
            else:
                position += 1
            if position > index:
                break
        raise InvalidOperation("the path leads nowhere: there is no shared type at that position")

    def _kind(self, path: Path, implied: str) -> tuple[Any, str]:
        shared = self._at(path, implied)
        return shared, self.pen.kind(shared)

    def _listed(self, path: Path, implied: str, what: str) -> Any:
        shared, kind = self._kind(path, implied)
        if kind != "array" if implied == "array" else kind not in _NODES:
            raise InvalidOperation(f"{what} can't be inserted into {_CALLED[kind]}")
        return shared

    def _keyed(self, path: Path) -> Any:
        shared, kind = self._kind(path, "map")
        if kind not in ("map", "element", "xml-text"):
            raise InvalidOperation(f"there are no keys in {_CALLED[kind]}")
        return shared

    def _text(self, path: Path) -> TextEditor:
        shared, kind = self._kind(path, "text")
        if kind not in _TEXTS:
            raise InvalidOperation(f"it takes a text, and there is {_CALLED[kind]}")
        known = self.texts.get(id(shared))
        if known is None:
            known = shared, TextEditor(self.pen, shared)
            if len(path) == 1:  # another path to it would find another object
                self.texts[id(shared)] = known
        return known[1]

    # What is done

    def _position(self, shared: Any, index: int | None) -> int:
        length = self.pen.length(shared)
        if index is None:
            return length
        if not 0 <= index <= length:
            raise InvalidOperation(f"the position is beyond the {length} that are there")
        return index

    def _insert_text(
        self,
        path: Path,
        index: int | None,
        content: str | Embed | Shared,
        attributes: Mapping[str, Any] | None,
    ) -> None:
        text = self._text(path)
        index = len(text) if index is None else index
        text.check(index)
        if content != "":
            formats = text.formats_before(index) if attributes is None else attributes
            self._insert(text, index, text.bytes_to(index), content, formats)

    def _insert(
        self,
        text: TextEditor,
        index: int,
        at: int,
        content: str | Embed | Shared,
        formats: Mapping[str, Any],
    ) -> int:
        if isinstance(content, str):
            return text.insert(index, at, content, formats)
        if isinstance(content, Embed):
            return text.insert(index, at, content.value, formats)
        if isinstance(content, NewFragment):
            raise InvalidOperation("an XML fragment can't stand in a text")
        made = self.pen.new(_KIND_OF[type(content)])
        length = text.insert(index, at, made, formats)
        self.fill(made, content)
        return length

    def _delta(self, text: TextEditor, pieces: Sequence[Piece]) -> None:
        index = at = 0
        for piece in pieces:
            match piece:
                case Keep(length, attributes):
                    text.check(index, length)
                    if attributes:
                        text.format(index, length, at, attributes)
                    at += text.bytes_to(index + length, index)
                    index += length
                case Cut(length):
                    text.check(index, length)
                    text.delete(index, length, at)
                case Put(content, attributes):
                    length = self._insert(text, index, at, content, attributes)
                    at += text.bytes_to(index + length, index)
                    index += length

    def _delete(self, path: Path, index: int, length: int) -> None:
        shared, kind = self._kind(path, "")
        if kind in _TEXTS:
            text = self._text(path)
            text.check(index, length)
            text.delete(index, length, text.bytes_to(index))
            return
        if kind not in ("array", *_NODES):
            raise InvalidOperation(f"there are no positions in {_CALLED[kind]}")
        if index < 0 or length < 1 or index + length > self.pen.length(shared):
            there = self.pen.length(shared)
            raise InvalidOperation(f"the range is beyond the {there} that are there")
        self.pen.delete(shared, index, length)

    def _set(self, shared: Any, key: str, value: Any) -> None:
        if not isinstance(value, Shared):
            self.pen.set(shared, key, value)
            return
        if self.pen.kind(shared) != "map":
            raise InvalidOperation("an attribute can't be a shared type")
        made = self.pen.new(_KIND_OF[type(value)])
        self.pen.set(shared, key, made)
        self.fill(made, value)

    def _put(self, shared: Any, index: int, value: Any) -> None:
        if isinstance(value, Shared | XmlText):
            made = self.pen.new(_KIND_OF[type(value)])
        elif isinstance(value, Element):
            made = self.pen.new("element", value.name)
        else:
            self.pen.insert(shared, index, value)
            return
        self.pen.insert(shared, index, made)
        self.fill(made, value)

    def fill(self, shared: Any, new: Shared | Element | XmlText) -> None:
        """Put new content into a shared type that is empty."""
        match new:
            case NewMap(items):
                for key, value in items.items():
                    self._set(shared, key, value)
            case NewArray(values):
                for index, value in enumerate(values):
                    self._put(shared, index, value)
            case NewFragment(children):
                for index, child in enumerate(children):
                    self._put(shared, index, child)
            case Element(_, attributes, children):
                for key, value in attributes.items():
                    self.pen.set(shared, key, value)
                for index, child in enumerate(children):
                    self._put(shared, index, child)
            case XmlText(pieces, attributes):
                for key, value in attributes.items():
                    self.pen.set(shared, key, value)
                self._delta(TextEditor(self.pen, shared), pieces)
            case NewText(pieces):
                self._delta(TextEditor(self.pen, shared), pieces)
