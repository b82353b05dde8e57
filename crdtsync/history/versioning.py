"""Versions: the moments of documents that have a name, or that the server made.

Owns how they are made, listed and named. One that is not of the document as the store has it is
none: of a document of the same name before, or of a future that a restored backup took back.
"""

from abc import ABC, abstractmethod
from typing import Final

from crdtsync.clock import Clock
from crdtsync.gate import Principal
from crdtsync.history.base import HistoryStore, NewVersion
from crdtsync.history.following import Following, Now
from crdtsync.history.model import HistoryUnavailable, UnknownDocument, Version, VersionKind
from crdtsync.history.moments import unknown_version, version_found
from crdtsync.history.reconciling import Reconciling
from crdtsync.store.base import Store

__all__ = ["MAX_LABEL", "MAX_LIMIT", "MAX_NOTE", "Versioning"]

MAX_LIMIT: Final = 1_001
"""Versions and sessions of one page, at most: 1000, and one that says that there are more."""
MAX_LABEL: Final = 200
"""Characters of a version's label,"""
MAX_NOTE: Final = 5_000
"""and of its note."""


class Versioning(ABC):
    """A part of ``Histories``."""

    store: Store
    kept: HistoryStore
    clock: Clock
    following: Following
    reconciling: Reconciling

    @abstractmethod
    def _check(self, document: str) -> None: ...

    async def versions(
        self,
        document: str,
        *,
        before: int | None = None,
        limit: int = 50,
        kind: VersionKind | None = None,
    ) -> list[Version]:
        """List a document's versions, newest first, from the first one before an id."""
        self._check(document)
        if not await self._same_life(document):
            return []
        gone = (await self.reconciling.fit(document)).strangers
        limit = max(1, min(limit, MAX_LIMIT))
        found = await self.kept.versions(
            document, before=before, limit=limit + len(gone), kind=kind
        )
        return [each for each in found if each.id not in gone][:limit]

    async def version(self, id: int) -> Version:
        """Return a version. Raises ``UnknownMoment``."""
        found = version_found(await self.kept.version(id), id)
        fit = await self.reconciling.fit(found.document)
        if fit.outline is None:  # but it may have been set aside now
            return version_found(await self.kept.version(id), id)
        return version_found(None if id in fit.strangers else found, id)

    async def create(
        self,
        document: str,
        *,
        label: str,
        note: str = "",
        principal: Principal,
        kind: VersionKind = "named",
    ) -> Version:
        """Make a version of a document as it is now. Raises ``UnknownMoment`` where it is empty."""
        self._check(document)
        await self.reconciling.check_reach(document)
        now = await self._now(document)
        if now is None or not now.sequence:
            raise UnknownDocument(f"there is no document {document!r} to make a version of")
        new = NewVersion(
            document=document,
            incarnation=now.created_ms,
            sequence=now.sequence,
            time_ms=now.time_ms,
            kind=kind,
            label=label[:MAX_LABEL],
            note=note[:MAX_NOTE],
            author=principal.id,
        )
        if principal.id and principal.name:
            await self.kept.note_authors({principal.id: principal.name}, self.clock.time_ms())
        added = await self.kept.add_versions([new])
        if not added:  # a document of this name before has left its history
            await self.kept.set_aside(document, "it is of an earlier document", new.time_ms)
            added = await self.kept.add_versions([new])
        if not added:
            raise HistoryUnavailable("the document was made anew meanwhile")
        return added[0]

    async def rename(
        self, id: int, *, label: str | None = None, note: str | None = None
    ) -> Version:
        """Name a version anew. Raises ``UnknownMoment``."""
        label = None if label is None else label[:MAX_LABEL]
        note = None if note is None else note[:MAX_NOTE]
        return version_found(await self.kept.change_version(id, label=label, note=note), id)

    async def remove(self, id: int) -> None:
        """Forget a version; its moment stays for as long as others like it. ``UnknownMoment``."""
        if not await self.kept.remove_version(id):
            raise unknown_version(id)

    async def _same_life(self, document: str) -> bool:
        """Return whether a history is of the document that is there, not of one before."""
        kept, now = await self.kept.outline(document), await self._now(document)
        return kept is None or now is None or kept.incarnation == now.created_ms

    async def _now(self, document: str) -> Now | None:
        """Return a document's last moment; ``None`` where there is no such document."""
        now = self.following.now(document)
        if now is not None:
            return now
        info = await self.store.info(document)
        return None if info is None else Now(info.created_ms, info.sequence, info.updated_ms)
