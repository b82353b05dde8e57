"""What keeps histories: a table of documents' pasts, of versions, and of authors' names.

Owns the protocol and its records. Knows no database, no CRDT and no room.

The rules, the same for every adapter:

- A document has one history. A save is all or nothing, and only on top of what its writer has
  read: the *revision* says so. Server and command line may both write; the later one reads again.
- A history belongs to one *incarnation* of its document: when that was made. What is of another
  one, or damaged, is *set aside* when history begins anew: kept, and not read any more.
- What is read is what was written, or ``HistoryDamaged``.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from crdtsync.history.model import HistoryError, Stored, Version, VersionKind
from crdtsync.store.base import Finding

__all__ = ["HistoryChanged", "HistoryStore", "Kept", "NewVersion", "Outline", "Reach", "Space"]


class HistoryChanged(HistoryError):
    """Somebody else has written this history meanwhile: read it again."""


@dataclass(frozen=True, slots=True)
class Outline:
    """One document's history without its content."""

    document: str
    incarnation: int
    """When the document was made, milliseconds since 1970 UTC."""
    sequence: int
    """The last record that is in it; 0 where nothing is."""
    revision: int
    """One more with each save."""
    size: int
    """Bytes, as stored."""
    thinned_ms: int
    """When it was last looked at for what may go."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a history goes."""

    incarnation: int
    sequence: int
    """The last one that it, or a version, is of."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One document's history, to be read and written back."""

    outline: Outline
    stored: Stored
    """Its ``sequence`` is 0 where there are versions, and nothing else yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """A version on its way into the table."""

    document: str
    incarnation: int
    sequence: int
    time_ms: int
    kind: VersionKind
    label: str = ""
    note: str = ""
    author: str = ""


@dataclass(frozen=True, slots=True)
class Space:
    """What a history store takes on its medium."""

    used: int
    """Bytes."""
    free: int
    """Bytes that hold nothing, and are not given back yet."""


class HistoryStore(Protocol):
    """Where histories are kept. Use it as ``async with``; methods raise ``StoreError``, too.

    ``StoreDamaged`` says that the whole medium can't be read: ``replace`` sets it aside.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    # Histories

    async def outline(self, document: str, /) -> Outline | None:
        """Return what is known of a history; ``None`` where there is none."""
        ...

    async def reach(self, document: str, /) -> Reach | None:
        """Return how far a history and its versions go; ``None`` where there is none."""
        ...

    async def outlines(self, *, after: str = "", limit: int = 1000) -> list[Outline]:
        """List histories by document, from the first one behind ``after``."""
        ...

    async def load(self, document: str, /) -> Kept | None:
        """Return a history; ``None`` where there is none. Raises ``HistoryDamaged``."""
        ...

    async def save(
        self,
        document: str,
        stored: Stored,
        *,
        incarnation: int,
        revision: int,
        without: Collection[int] = (),
        newest_version: int | None = None,
        thinned_ms: int | None = None,
    ) -> int:
        """Write a history, and forget the versions ``without``; return the new revision.

        ``revision`` is what was read, 0 for a history that is not there, and so is the id of its
        ``newest_version`` where versions are what the writer went by. Raises ``HistoryChanged``
        where that is not so any more.
        """
        ...

    async def note_thinned(self, document: str, time_ms: int, /) -> None:
        """Take note that there was nothing to let go."""
        ...

    async def set_aside(self, document: str, reason: str, time_ms: int, /) -> bool:
        """Keep a history, with its versions, where nothing reads it; return whether it was."""
        ...

    async def begin_anew(
        self,
        document: str,
        stored: Stored,
        /,
        *,
        reason: str,
        time_ms: int,
        since: int = 0,
        without: Collection[int] = (),
        revision: int | None = None,
        newest_version: int | None = None,
    ) -> bool:
        """Set a history aside as it is, and go on with what is left of it: ``stored``.

        Its versions go over, but those ``without`` and those of sequences before ``since``, and
        what is damaged. Returns whether there was a history. Raises ``HistoryChanged`` as ``save``
        does, where ``revision`` is given.
        """
        ...

    async def forget(self, document: str, /) -> bool:
        """Delete all of a document, also what was set aside; return whether there was any."""
        ...

    async def forget_aside(self, document: str, /) -> None:
        """Delete what was set aside of a document."""
        ...

    # Versions

    async def add_versions(self, versions: Sequence[NewVersion], /) -> list[Version]:
        """Add versions, all or none; a document's first one makes its history.

        Of an incarnation that is not the history's, one is left out.
        """
        ...

    async def versions(
        self,
        document: str,
        /,
        *,
        before: int | None = None,
        limit: int = 50,
        kind: VersionKind | None = None,
    ) -> list[Version]:
        """List a document's versions, newest first, from the first one before an id."""
        ...

    async def version(self, number: int, /) -> Version | None:
        """Return a version by its id; ``None`` where there is no such any more."""
        ...

    async def change_version(
        self, number: int, /, *, label: str | None = None, note: str | None = None
    ) -> Version | None:
        """Name a version anew; ``None`` where there is no such."""
        ...

    async def remove_version(self, number: int, /) -> bool:
        """Forget a version; return whether there was one."""
        ...

    # Authors

    async def note_authors(self, names: Mapping[str, str], time_ms: int, /) -> None:
        """Take note of authors' names, by id."""
        ...

    async def names(self, authors: Collection[str], /) -> dict[str, str]:
        """Return the names of those that have one, by id."""
        ...

    async def erase_author(self, author: str, /) -> None:
        """Forget an author's name and id, in versions, too, and all that was set aside."""
        ...

    # The medium

    async def check(self) -> list[Finding]:
        """Read everything; return what is wrong and where."""
        ...

    async def space(self) -> Space:
        """Return how much is taken."""
        ...

    async def shrink(self) -> None:
        """Give back what deleting has left empty, a little at a time."""
        ...

    async def replace(self) -> None:
        """Set the whole medium aside, damaged as it is, and begin with an empty one."""
        ...
