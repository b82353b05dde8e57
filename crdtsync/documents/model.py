"""What the functions return, and how they fail."""

from dataclasses import dataclass
from typing import Final, Literal

from crdtsync.errors import OperatorError
from crdtsync.store.base import Damage, DocumentInfo

__all__ = [
    "MAX_IMPORT_BYTES",
    "DocumentDetails",
    "DocumentError",
    "DocumentExists",
    "DocumentNotFound",
    "ExportFormat",
    "Exported",
    "Imported",
    "RootDetails",
]

MAX_IMPORT_BYTES: Final = 512 * 1024 * 1024
"""Of an imported update: what a store can keep in one piece, with room to spare."""
ExportFormat = Literal["update", "json", "text"]


class DocumentError(OperatorError):
    """The store works, but this document does not allow what was asked."""


class DocumentNotFound(DocumentError):
    """The store has no document of this name, or the document no such root."""


class DocumentExists(DocumentError):
    """An import would change a document that is already there."""


@dataclass(frozen=True, slots=True)
class RootDetails:
    """One named shared type of a document."""

    name: str
    kind: str
    """``text``, ``map``, ``array`` or ``xml``."""
    size: int
    """Of a text its characters, of the others their JSON in bytes."""


@dataclass(frozen=True, slots=True)
class DocumentDetails:
    """A document's metadata, and what is in it."""

    info: DocumentInfo
    state_bytes: int
    """The whole document as one update."""
    clients: int
    """Different client ids that ever wrote to it."""
    roots: tuple[RootDetails, ...]
    damage: Damage | None
    """Set where the rest describes the intact prefix only."""
    quarantined: str = ""
    """Why nobody gets it, and why its roots are not read; empty where it is served."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A document's content as bytes."""

    data: bytes
    damage: Damage | None
    """Set where ``data`` is the intact prefix only."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did."""

    created: bool
    """Whether the document is new."""
    sequence: int
    """Of the document's newest record now."""
    changed: bool
    """False where the document already held everything."""
