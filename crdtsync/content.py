"""A document's content for programs that are no Yjs client: its roots as JSON and text.

An update doesn't say what kind of shared type a root is; that is the application's knowledge.
Owns finding it out, from what lies directly in the root: keyed items make a map, characters,
formats and embeds a text, XML nodes a fragment, other values an array.
"""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, Final, Literal

from crdtsync.crdt import read_roots
from crdtsync.limits import Limits
from crdtsync.slicing import causal_order
from crdtsync.update import (
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
    scan,
)

__all__ = ["RootExport", "RootKind", "export", "root_kinds"]

RootKind = Literal["array", "map", "text", "xml"]

_XML_NODES: Final = {3, 5, 6}
_KIND_OF_CONTENT: Final[dict[int, RootKind]] = {
    STRING: "text",
    FORMAT: "text",
    EMBED: "text",
    ANY: "array",
    BINARY: "array",
    DOC: "array",
}
_UNLIMITED: Final = Limits(max_conflicts=1 << 62, max_update_clients=1 << 62)


@dataclass(frozen=True, slots=True)
class RootExport:
    """One root of a document."""

    kind: RootKind
    value: Any
    """A string (text; XML as markup), an object or an array, made of JSON's kinds only:
    bytes become base64 text, what JSON has no word for becomes null."""


def export(state: bytes) -> dict[str, RootExport]:
    """Return the roots of a document, given its whole state as one checked v1 update.

    Raises ``InvalidUpdate`` or ``IntegrationError`` where the state is not sound.
    """
    if state == EMPTY_UPDATE:
        return {}
    kinds = root_kinds(state)
    values = read_roots(state, kinds)
    return {name: RootExport(kind, values[name]) for name, kind in kinds.items()}


def root_kinds(state: bytes) -> dict[str, RootKind]:
    """Return each root's kind, by name; a root whose content is all deleted counts as text."""
    structs = scan(state, _UNLIMITED, structs=True).structs or []
    places = _Places()
    kinds: dict[str, RootKind] = {}
    emptied: dict[str, RootKind] = {}
    for struct in causal_order(structs, {}):
        root = places.place(struct)
        if root is None:
            continue
        kind = _kind(struct)
        if kind is None:
            emptied.setdefault(root, "text")
        elif kind == "map":
            kinds.setdefault(root, "map")
        else:
            kinds.setdefault(root, kind)
            if kind == "text" and kinds[root] == "array":
                kinds[root] = "text"  # a text may hold shared types; an array has no characters
    return dict(sorted((emptied | kinds).items()))


def _kind(struct: Struct) -> RootKind | None:
    if struct.key is not None:
        return "map"
    if struct.kind == DELETED:
        return None
    if struct.kind == TYPE:
        return "xml" if struct.type_ref in _XML_NODES else "array"
    return _KIND_OF_CONTENT[struct.kind]


class _Places:
    """Which root an item lies in directly, ``None`` for deeper ones; runs take one entry."""

    def __init__(self) -> None:
        self._clients: dict[int, tuple[list[int], list[tuple[str, bool] | None]]] = {}

    def place(self, struct: Struct) -> str | None:
        """Find and remember an item's root; items come after what they refer to."""
        place: tuple[str, bool] | None = None
        if isinstance(struct.parent, str):
            place = (struct.parent, struct.key is not None)
        elif struct.parent is None:
            reference = struct.origin or struct.right
            if reference is not None:
                place = self._at(*reference)
        starts, places = self._clients.setdefault(struct.client, ([], []))
        if not starts or places[-1] != place:
            starts.append(struct.clock)
            places.append(place)
        # Behind another value of a map's key the key isn't written; it is that key's all the same.
        if place is None or (place[1] and struct.key is None):
            return None
        return place[0]

    def _at(self, client: int, clock: int) -> tuple[str, bool] | None:
        runs = self._clients.get(client)
        if runs is None:
            return None
        return runs[1][max(0, bisect_right(runs[0], clock) - 1)]
