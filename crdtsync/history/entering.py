"""The ways of a restoring edit into its document: beside those of clients, or into the log alone.

Both are ways of any other edit, but for the limits on what a client sends: all of it was let in
once, so it may come back.
"""

from typing import TYPE_CHECKING

from crdtsync.batch import Editor
from crdtsync.clock import Clock
from crdtsync.documents.quarantine import refuse_quarantined
from crdtsync.documents.writing import import_document
from crdtsync.errors import InvalidUpdate, MessageTooLarge, StoreDamaged
from crdtsync.gate import Principal
from crdtsync.guard import NO_GUARD, Guard
from crdtsync.history.model import NotRestorable
from crdtsync.limits import Limits, trusting
from crdtsync.store.base import Store
from crdtsync.structs import Scan
from crdtsync.update import scan

if TYPE_CHECKING:
    from crdtsync.hub import Hub

__all__ = ["LiveEdits", "StoredEdits"]


class LiveEdits:
    """Edits enter by a hub: everybody who is there sees them."""

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub

    async def check(self, document: str) -> None:
        """Raise where nothing can be written. ``StoreDamaged``, ``Unavailable``."""
        async with self._hub.open(document) as room:
            if room.damage:
                raise StoreDamaged(room.damage, document=document)

    async def enter(self, document: str, update: bytes, principal: Principal) -> int:
        """Enter an edit, and return when it is committed.

        The limits on what a client sends don't apply, for all of it was let in once; the
        document's size limit does, where the edit brings more than it takes away.
        """
        hub = self._hub
        async with hub.open(document) as room:
            if room.damage:
                raise StoreDamaged(room.damage, document=document)
            known = room.document
            found = scan(update, trusting(hub.limits), structs=known.detailed)
            try:
                if _grows(found):
                    room.fill.check(update, found, known.knows)
                if known.lacks(update, found):
                    raise NotRestorable("the document was made anew meanwhile")
                room.submit(update, found, Editor(principal))
            except (InvalidUpdate, MessageTooLarge) as error:
                raise NotRestorable(f"the document does not take it: {error}") from error
            return await hub.committed(room)


def _grows(found: Scan) -> bool:
    brought = sum(last - first for first, last, _ in found.bodies)
    return brought > sum(end - start for _, start, end in found.deletes)


class StoredEdits:
    """Edits enter by the store: for who has it alone, without a server."""

    def __init__(
        self,
        store: Store,
        *,
        limits: Limits | None = None,
        clock: Clock | None = None,
        guard: Guard = NO_GUARD,
    ) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock
        self._guard = guard

    async def check(self, document: str) -> None:
        """Raise where nothing can be written: ``DocumentError``, ``StoreDamaged``."""
        refuse_quarantined(self._guard, document, "Release it first")
        damage = (await self._store.load(document)).damage
        if damage is not None:
            raise StoreDamaged(damage.problem, document=document)

    async def enter(self, document: str, update: bytes, principal: Principal) -> int:
        """Append an edit to the log."""
        done = await import_document(
            self._store,
            document,
            update,
            merge=True,
            author=principal.id,
            limits=self._limits,
            clock=self._clock,
            guard=self._guard,
        )
        return done.sequence
