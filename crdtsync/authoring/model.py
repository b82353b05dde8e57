"""The words of the document API: operations on content, new content, what becomes of them.

Positions in text are UTF-16 units, as JavaScript and Quill count; an embed, or a shared type that
stands in a text, counts one. A path leads from a root's name through keys and positions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crdtsync.errors import CrdtsyncError

__all__ = [
    "AuthoringError",
    "ConditionFailed",
    "Cut",
    "Delete",
    "Delta",
    "Edited",
    "Element",
    "Embed",
    "Format",
    "InsertChildren",
    "InsertEmbed",
    "InsertText",
    "InsertValues",
    "InvalidOperation",
    "Keep",
    "KeyBusy",
    "KeyReused",
    "NewArray",
    "NewFragment",
    "NewMap",
    "NewText",
    "NotEditable",
    "NothingToCreate",
    "Operation",
    "Path",
    "Piece",
    "Put",
    "Remove",
    "Set",
    "Shared",
    "XmlText",
]

Path = tuple[str | int, ...]
"""A root's name, then keys of maps, and positions in arrays, XML and texts."""

Attributes = Mapping[str, Any]
"""Formats by name; ``None`` takes one away."""


# New content


@dataclass(frozen=True, slots=True)
class NewText:
    """A shared text to be made."""

    pieces: "tuple[Put, ...]" = ()


@dataclass(frozen=True, slots=True)
class NewMap:
    """A shared map to be made; its values are plain, or shared types."""

    items: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NewArray:
    """A shared array to be made."""

    items: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class NewFragment:
    """An XML fragment to be made."""

    children: "tuple[Element | XmlText, ...]" = ()


@dataclass(frozen=True, slots=True)
class Element:
    """An XML element to be made."""

    name: str
    attributes: Mapping[str, Any]
    children: "tuple[Element | XmlText, ...]" = ()


@dataclass(frozen=True, slots=True)
class XmlText:
    """A text in XML to be made."""

    pieces: "tuple[Put, ...]"
    attributes: Mapping[str, Any]


Shared = NewText | NewMap | NewArray | NewFragment


@dataclass(frozen=True, slots=True)
class Embed:
    """What stands in a text as one character: an image, a formula, any value."""

    value: Any


# The pieces of a Quill delta


@dataclass(frozen=True, slots=True)
class Keep:
    """Go on by so many units, formatting them where there are attributes."""

    length: int
    attributes: Attributes | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """Delete so many units."""

    length: int


@dataclass(frozen=True, slots=True)
class Put:
    """Insert characters, an embed or a shared type, with these formats and no others."""

    content: str | Embed | Shared
    attributes: Attributes


Piece = Keep | Cut | Put


# Operations


@dataclass(frozen=True, slots=True)
class InsertText:
    """Insert characters; without attributes with the formats of the one before."""

    path: Path
    index: int | None
    """``None``: at the end. So it is with every insertion."""
    text: str
    attributes: Attributes | None = None


@dataclass(frozen=True, slots=True)
class InsertEmbed:
    """Insert an embed, or a shared type, into a text."""

    path: Path
    index: int | None
    content: Embed | Shared
    attributes: Attributes | None = None


@dataclass(frozen=True, slots=True)
class InsertValues:
    """Insert values, or shared types, into an array."""

    path: Path
    index: int | None
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class InsertChildren:
    """Insert nodes into an XML fragment or element."""

    path: Path
    index: int | None
    children: tuple[Element | XmlText, ...]


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete units of a text, values of an array, or nodes."""

    path: Path
    index: int
    length: int


@dataclass(frozen=True, slots=True)
class Format:
    """Give units of a text formats, or take them away."""

    path: Path
    index: int
    length: int
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Set:
    """Set a key of a map, or an attribute of an XML node."""

    path: Path
    key: str
    value: Any


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a key of a map, or an attribute of an XML node."""

    path: Path
    key: str


@dataclass(frozen=True, slots=True)
class Delta:
    """Apply a Quill delta to a text."""

    path: Path
    pieces: tuple[Piece, ...]


Operation = (
    InsertText
    | InsertEmbed
    | InsertValues
    | InsertChildren
    | Delete
    | Format
    | Set
    | Remove
    | Delta
)


# What becomes of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """What became of an edit; it is committed."""

    sequence: int
    """The document's, with the edit in it."""
    state_vector: bytes
    """The document's, with the edit in it."""
    mark: str
    """Names this state of the document, as ``if_match`` takes it; empty where others' edits came
    in meanwhile, so that it is none that the caller knows."""
    changed: bool
    """Whether there was anything to do."""
    created: bool = False
    """Whether the document is new."""
    replayed: bool = False
    """Whether this is the answer to the same request before."""


class AuthoringError(CrdtsyncError):
    """An edit can't be made of what is asked for: nothing of it is done."""


class InvalidOperation(AuthoringError):
    """An operation, or a part of new content, is wrong."""

    def __init__(self, reason: str, index: int | None = None) -> None:
        super().__init__(reason, index)
        self.reason = reason
        self.index = index
        """Which operation, counted from 0; ``None`` where there are none."""

    def __str__(self) -> str:
        return self.reason if self.index is None else f"operation {self.index}: {self.reason}"


class NothingToCreate(AuthoringError):
    """New content has nothing in it: a document is what was written into it."""


class NotEditable(AuthoringError):
    """The document can't be edited by operations, only by updates."""


class ConditionFailed(AuthoringError):
    """The document is not, or no longer, as the caller saw it."""

    def __init__(self, reason: str, sequence: int, state_vector: bytes) -> None:
        super().__init__(reason, sequence, state_vector)
        self.sequence = sequence
        self.state_vector = state_vector

    def __str__(self) -> str:
        return str(self.args[0])


class KeyBusy(AuthoringError):
    """A request with this idempotency key is being worked on."""


class KeyReused(AuthoringError):
    """This idempotency key came with another request before."""
