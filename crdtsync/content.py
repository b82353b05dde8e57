"""A document's content for programs that are no Yjs client: its roots as JSON and text.

An update doesn't say what kind of shared type a root is; that is the application's knowledge.
Owns finding it out, from what lies directly in the root: keyed items make a map, characters,
formats and embeds a text, XML nodes a fragment, other values an array.
"""

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from crdtsync.crdt import IntegrationError, read_roots
from crdtsync.guard import NO_WATCH, Watch
from crdtsync.limits import Limits, trusting
from crdtsync.slicing import causal_order, weave_updates
from crdtsync.structs import (
    ANY,
    BINARY,
    DELETED,
    DOC,
    EMBED,
    EMPTY_UPDATE,
    FORMAT,
    STRING,
    TYPE,
    Struct,
)
from crdtsync.update import scan

__all__ = [
    "KIND_OF_CONTENT",
    "RootExport",
    "RootKind",
    "export",
    "root_kinds",
    "tell_roots",
    "written",
]

RootKind = Literal["array", "map", "text", "xml"]

_XML_NODES: Final = {3, 5, 6}
KIND_OF_CONTENT: Final[dict[int, RootKind]] = {
    STRING: "text",
    FORMAT: "text",
    EMBED: "text",
    ANY: "array",
    BINARY: "array",
    DOC: "array",
}
"""By a content's number, what a root is that holds it directly."""
_TEXT_TYPES: Final = {2, 6}
_UNLIMITED: Final = trusting(Limits())

Place = str | tuple[int, int]
"""Where an item lies: directly in a root, or in the shared type with an id."""


@dataclass(frozen=True, slots=True)
class RootExport:
    """One root of a document."""

    kind: RootKind
    value: Any
    """A string (text; XML as markup), an object or an array, made of JSON's kinds only:
    bytes become base64 text, what JSON has no word for becomes null."""


def export(state: bytes, watch: Watch = NO_WATCH) -> dict[str, RootExport]:
    """Return the roots of a document, given its whole state as one checked v1 update.

    Raises ``InvalidUpdate`` or ``IntegrationError`` where the state is not sound.
    """
    if state == EMPTY_UPDATE:
        return {}
    kinds = root_kinds(state)
    values = read_roots(state, kinds, watch)
    return {name: RootExport(kind, values[name]) for name, kind in kinds.items()}


def written(updates: Sequence[bytes], text: bool, watch: Watch = NO_WATCH) -> dict[str, RootExport]:
    """Return the roots of a document, given as updates that follow one another, as characters.

    Each value is written as JSON; with ``text`` only those of texts, and they are as they are.
    Raises as ``export``.
    """
    state = updates[0] if len(updates) == 1 else weave_updates(updates, _UNLIMITED)[0]
    roots = export(state, watch)
    if text:
        texts = {name: root for name, root in roots.items() if root.kind == "text"}
        return {name: RootExport(root.kind, "") for name, root in roots.items()} | texts
    return {name: RootExport(root.kind, _json(root.value)) for name, root in roots.items()}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def root_kinds(state: bytes) -> dict[str, RootKind]:
    """Return each root's kind, by name; a root whose content is all deleted counts as text.

    Raises ``IntegrationError`` where characters lie in what is no text: pycrdt reads an array
    with characters beyond ASCII for ever.
    """
    return tell_roots(state)[0]


def tell_roots(state: bytes) -> tuple[dict[str, RootKind], set[str]]:
    """Return each root's kind, by name, and the names of those that may be another one.

    In those there is nothing any more, or shared types alone: a text or an array may be so.
    Raises ``IntegrationError`` as ``root_kinds``.
    """
    found = scan(state, _UNLIMITED, structs=True)
    places = _Places()
    kinds: dict[str, RootKind] = {}
    emptied: dict[str, RootKind] = {}
    told: set[str] = set()
    types: dict[Place, int] = {}
    lettered: set[Place | None] = set()
    for struct in causal_order(found.structs or (), {}):
        place, keyed = places.place(struct)
        if struct.kind == TYPE:
            types[struct.client, struct.clock] = struct.type_ref
        elif struct.kind == STRING:
            lettered.add(None if keyed else place)
        if not isinstance(place, str):
            continue
        kind = "map" if keyed else _kind(struct)
        if kind is None:
            emptied.setdefault(place, "text")
            continue
        if kind != "array" or struct.kind != TYPE:
            told.add(place)
        if kind == "text" and kinds.get(place) == "array":
            kinds[place] = "text"  # a text may hold shared types; an array has no characters
        else:
            kinds.setdefault(place, kind)
    for place in lettered:
        if kinds.get(str(place)) != "text" and types.get(place or "", -1) not in _TEXT_TYPES:
            raise IntegrationError("the document has characters where no text is")
    roots = dict(sorted((emptied | kinds).items()))
    return roots, roots.keys() - told


def _kind(struct: Struct) -> RootKind | None:
    if struct.kind == DELETED:
        return None
    if struct.kind == TYPE:
        return "xml" if struct.type_ref in _XML_NODES else "array"
    return KIND_OF_CONTENT[struct.kind]


class _Places:
    """Where each item lies, and whether under a key; runs of one place take one entry."""

    def __init__(self) -> None:
        self._clients: dict[int, tuple[list[int], list[tuple[Place | None, bool]]]] = {}

    def place(self, struct: Struct) -> tuple[Place | None, bool]:
        """Find and remember an item's place; items come after what they refer to."""
        place: tuple[Place | None, bool] = (None, False)
        if struct.parent is not None:
            place = (struct.parent, struct.key is not None)
        else:
            # Behind another value of a map's key the key isn't written; it is the same key.
            for reference in (struct.origin, struct.right):
                if reference is not None and place[0] is None:
                    place = self._at(*reference)
        starts, places = self._clients.setdefault(struct.client, ([], []))
        if not starts or places[-1] != place:
            starts.append(struct.clock)
            places.append(place)
        return place

    def _at(self, client: int, clock: int) -> tuple[Place | None, bool]:
        runs = self._clients.get(client)
        if runs is None:
            return None, False
        return runs[1][max(0, bisect_right(runs[0], clock) - 1)]
