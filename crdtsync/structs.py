"""What an update consists of, as the update reader describes it.

Owns the words for it: the kinds of structs, their flags, one struct, an update's layout, a whole
scan. Nothing here reads bytes. Source: Yjs 13, ``structs/*.js``.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

if TYPE_CHECKING:
    from crdtsync.idset import IdSet

__all__ = [
    "ANY",
    "BINARY",
    "DELETED",
    "DOC",
    "EMBED",
    "EMPTY_UPDATE",
    "FORMAT",
    "GC",
    "HAS_KEY",
    "HAS_ORIGIN",
    "HAS_RIGHT",
    "JSON",
    "MAX_CLOCK",
    "NO_ROOTS",
    "SKIP",
    "STRING",
    "TYPE",
    "Id",
    "Layout",
    "Range",
    "Scan",
    "Struct",
]

MAX_CLOCK: Final = 1 << 31
"""Clocks end here: above, pycrdt's integers wrap."""
EMPTY_UPDATE: Final = b"\x00\x00"
"""The update that brings nothing."""

GC: Final = 0
DELETED: Final = 1
JSON: Final = 2
BINARY: Final = 3
STRING: Final = 4
EMBED: Final = 5
FORMAT: Final = 6
TYPE: Final = 7
ANY: Final = 8
DOC: Final = 9
SKIP: Final = 10

HAS_KEY: Final = 0x20
HAS_RIGHT: Final = 0x40
HAS_ORIGIN: Final = 0x80

Id = tuple[int, int]
Range = tuple[int, int, int]


class Struct(NamedTuple):
    """One struct of an update, and where its bytes are."""

    client: int
    clock: int
    length: int
    kind: int
    """The content's number: GC 0, deleted 1, binary 3, string 4, ... Skip 10."""
    start: int
    """Offset of its first byte in the update."""
    end: int
    origin: Id | None
    right: Id | None
    parent: Id | str | None
    """An item's id, a root's name, or ``None`` where it is the origin's parent."""
    key: str | None
    """Set where the bytes hold it: the parent's map key (or attribute)."""
    keyed: bool
    """Whether its bytes say that it lies under a key, named or not."""
    type_ref: int
    """Of a shared type: array 0, map 1, text 2, XML element 3, fragment 4, hook 5, text 6."""


class Layout:
    """Where an update's parts are: what it takes to join it with others."""

    __slots__ = ("bodies", "deletes", "ranges", "skips")

    def __init__(
        self,
        ranges: tuple[Range, ...],
        bodies: tuple[Range, ...],
        deletes: tuple[Range, ...],
        skips: bool = False,
    ) -> None:
        self.ranges = ranges
        """``(client, first clock, end clock)`` of each run of structs, Skips left out."""
        self.bodies = bodies
        """Of each client's structs: first offset, offset behind the last, number."""
        self.deletes = deletes
        """``(client, first clock, end clock)`` of each deleted range."""
        self.skips = skips
        """Whether there are Skips: holes that the writer itself was waiting to fill."""


class Scan(Layout):
    """What an update's bytes say. Treat it as immutable."""

    __slots__ = (
        "joining", "keys", "marks", "needs", "pairs", "parents", "roots", "structs", "types",
        "verbatim", "voids",
    )  # fmt: skip

    follows: ClassVar[bool] = False
    """Whether it is known to be one item right behind the one before of the same client."""
    complete: ClassVar[bool] = False
    """Whether it is known to refer to nothing but itself and what its document has."""
    going: "ClassVar[IdSet | None]" = None
    """Where it is a portion of an update: what that deletes."""

    def __init__(
        self,
        ranges: tuple[Range, ...],
        bodies: tuple[Range, ...],
        deletes: tuple[Range, ...],
        skips: bool,
        needs: dict[int, int],
        roots: frozenset[str],
        types: bool,
        parents: list[Id] | None,
        keys: bool,
        pairs: list[Id] | None,
        verbatim: bool,
        structs: list[Struct] | None,
        voids: list[Range] | None = None,
        joining: int | None = None,
        marks: Sequence[Range] = (),
    ) -> None:
        self.ranges = ranges  # not by super(): 0.2 us on the path of a keystroke
        self.bodies = bodies
        self.deletes = deletes
        self.skips = skips
        self.needs = needs
        """Of every *other* client that some struct refers to: the end clock it needs."""
        self.roots = roots
        """The named roots that it writes to, where the bytes say so."""
        self.types = types
        """Whether it makes shared types inside others."""
        self.parents = parents
        """The ids of the shared types that items say they lie in."""
        self.keys = keys
        """Whether some item lies under a key of a map, or is an XML attribute."""
        self.pairs = pairs
        """The ids of the second halves of UTF-16 surrogate pairs."""
        self.verbatim = verbatim
        """Whether it holds what pycrdt can't carry exactly: big integers, XML hooks."""
        self.structs = structs
        """Each struct, where asked for."""
        self.voids = voids
        """The ranges of structs that are deleted and collected: what they were, nobody knows."""
        self.joining = joining
        """About how many bytes are in all the strings that are made where each item of a text or
        array is joined with the ones before it; ``None`` where there are few structs."""
        self.marks = marks
        """Where there are many: places between some of them. Clock and offset there, structs that
        are left of that client's."""

    def completed(self) -> "Scan":
        """Return the same of one that is known to be complete."""
        return _Complete(*self._all())

    def among(self, going: "IdSet", deletes: tuple[Range, ...], *, complete: bool) -> "Scan":
        """Return the same of one that is a portion of an update, and deletes these."""
        portion = _Portion(*self._all())
        portion.deletes, portion.going = deletes, going
        portion.complete = complete
        return portion

    def _all(self) -> tuple[Any, ...]:
        return (
            self.ranges, self.bodies, self.deletes, self.skips, self.needs, self.roots, self.types,
            self.parents, self.keys, self.pairs, self.verbatim, self.structs, self.voids,
            self.joining, self.marks,
        )  # fmt: skip

    @property
    def empty(self) -> bool:
        """Whether the update brings nothing at all."""
        return not self.ranges and not self.deletes


class _Complete(Scan):
    __slots__ = ()
    complete = True


class _Portion(Scan):
    __slots__ = ("complete", "going")
    complete: bool  # type: ignore[misc]
    going: "IdSet"  # type: ignore[misc]


NO_ROOTS: Final[frozenset[str]] = frozenset()
