"""Letting go: moments that are too old, content that is to be erased, a person's name.

Owns what has to happen around it: the log is folded before, what was set aside goes, too, and
the room is given back after. Each document is one transaction: killed at any step, it has the
old history or the new one.
"""

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from crdtsync.documents.loading import open_loaded
from crdtsync.errors import CrdtsyncError, StoreError
from crdtsync.guard import NO_WATCH
from crdtsync.history import erasing
from crdtsync.history.base import Kept
from crdtsync.history.erasing import Marked
from crdtsync.history.model import HistoryError, HistoryUnavailable, Stored, UnknownMoment, size_of
from crdtsync.history.retention import Retention
from crdtsync.history.rewriting import MAX_CHANGED, rewrite
from crdtsync.history.timeline import Timeline
from crdtsync.limits import trusting
from crdtsync.store.base import Checkpoint

if TYPE_CHECKING:
    from crdtsync.history.service import Histories

__all__ = ["Pruned", "Retaining"]

log = logging.getLogger("crdtsync.history")

SWEEP_S: Final = 3600.0
"""How often it is looked for what may go."""
FIRST_SWEEP_S: Final = 60.0
"""How soon after the start."""
AGE_MS: Final = 24 * 3_600_000
"""A history that does not grow is looked at so often: it ages."""
ALL: Final = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What went, or would go."""

    document: str
    moments_before: int
    moments: int
    """How many are left."""
    versions: int
    """How many versions went with their moments."""
    bytes_before: int
    bytes: int


class Retaining:
    """Lets go of what histories need not keep."""

    def __init__(self, histories: "Histories") -> None:
        self._histories = histories
        self._swept_s = histories.clock.monotonic_s() - SWEEP_S + FIRST_SWEEP_S
        self.sweeping = False

    # By age

    async def prune(
        self, document: str, retention: Retention | None = None, *, dry_run: bool = False
    ) -> Pruned:
        """Let go of moments that are too old, and of unnamed versions of them."""
        wanted = retention or self._histories.rules.retention_of(document)
        pruned = await rewrite(document, lambda: self._prune(document, wanted, dry_run))
        if not dry_run:
            await self._histories.kept.shrink()
        return pruned

    async def _prune(self, document: str, retention: Retention, dry_run: bool) -> Pruned:
        histories = self._histories
        kept = await self._kept(document)
        versions = await histories.kept.versions(document, limit=ALL)
        now_ms = histories.clock.time_ms()
        marked = tuple(Marked(each.id, each.sequence, each.kind == "named") for each in versions)
        found = await histories.apart(erasing.thinned, kept.stored, marked, retention, now_ms)
        left = kept.stored if found.stored is None else found.stored
        if not dry_run:
            if found.stored is None and not found.versions:
                await histories.kept.note_thinned(document, now_ms)
            else:
                await histories.kept.save(
                    document,
                    left,
                    incarnation=kept.outline.incarnation,
                    revision=kept.outline.revision,
                    without=found.versions,
                    newest_version=max((each.id for each in versions), default=0),
                    thinned_ms=now_ms,
                )
                histories.stats.pruned += found.before - found.after
        return Pruned(
            document=document,
            moments_before=found.before,
            moments=found.after,
            versions=len(found.versions),
            bytes_before=size_of(kept.stored),
            bytes=size_of(left),
        )

    async def _kept(self, document: str) -> Kept:
        kept = await self._histories.kept.load(document)
        if kept is None or not kept.stored.sequence:
            raise UnknownMoment(f"nothing is kept of document {document!r} yet")
        return kept

    @property
    def due(self) -> bool:
        """Whether it is time to look at all histories."""
        return self._histories.clock.monotonic_s() - self._swept_s >= SWEEP_S

    async def sweep(self) -> None:
        """Look at every history that may have something to let go, one after another."""
        histories = self._histories
        self._swept_s = histories.clock.monotonic_s()
        self.sweeping = True
        changed = set(histories.changed)
        histories.changed.clear()
        try:
            after = ""
            while page := await histories.kept.outlines(after=after):
                after = page[-1].document
                for outline in page:
                    retention = histories.rules.retention_of(outline.document)
                    age_ms = histories.clock.time_ms() - outline.thinned_ms
                    if retention.endless or not outline.sequence:
                        continue
                    if outline.document in changed or age_ms >= AGE_MS:
                        await self._sweep_one(outline.document, retention)
            await histories.recorder.measure()
        except StoreError as error:
            histories.stats.errors["prune"] += 1
            log.error("histories can't be looked through now: %s", error)
        finally:
            self.sweeping = False

    async def _sweep_one(self, document: str, retention: Retention) -> None:
        try:
            pruned = await self.prune(document, retention)
        except HistoryError as error:
            self._histories.stats.errors["prune"] += 1
            log.error("nothing of the history of %r goes now: %s", document, error)
        else:
            if pruned.moments != pruned.moments_before:
                log.info(
                    "%d of %d moments of document %r went",
                    pruned.moments_before - pruned.moments,
                    pruned.moments_before,
                    document,
                )

    # For privacy

    async def erase_before(self, document: str, moment: str) -> Pruned:
        """Let go of all moments before one, and of content that was deleted by then."""
        histories = self._histories
        await histories.reconciling.settle(document)
        sequence = (await histories.resolve(document, moment)).sequence
        pruned = await rewrite(document, lambda: self._erase_before(document, sequence))
        await histories.kept.forget_aside(document)
        await histories.kept.shrink()
        return pruned

    async def _erase_before(self, document: str, sequence: int) -> Pruned:
        histories = self._histories
        verbatim = await self._settled(document, sequence)
        kept = await self._kept(document)
        versions = await histories.kept.versions(document, limit=ALL)
        new = await histories.apart(erasing.erased, kept.stored, sequence, verbatim)
        gone = [each.id for each in versions if each.sequence < sequence]
        await histories.kept.save(
            document,
            new,
            incarnation=kept.outline.incarnation,
            revision=kept.outline.revision,
            without=gone,
            newest_version=max((each.id for each in versions), default=0),
        )
        before, after = _moments(kept.stored), _moments(new)
        histories.stats.pruned += before - after
        return Pruned(
            document=document,
            moments_before=before,
            moments=after,
            versions=len(gone),
            bytes_before=size_of(kept.stored),
            bytes=size_of(new),
        )

    async def erase_author(self, author: str) -> int:
        """Make a person unknown in all histories; return in how many documents he was."""
        histories = self._histories
        found: set[str] = set()
        left: list[str] = []
        after = ""
        while page := await histories.store.documents(after=after):
            after = page[-1].name
            for info in page:
                if info.log_records and await self._in_log(info.name, author):
                    found.add(info.name)
                    try:
                        await self._settled(info.name, info.sequence)
                    except HistoryError as error:
                        log.error("the log of document %r can't be let go: %s", info.name, error)
                        left.append(info.name)
        after = ""
        while outlines := await histories.kept.outlines(after=after):
            after = outlines[-1].document
            for outline in outlines:
                try:
                    name = outline.document
                    if outline.sequence and await rewrite(
                        name, partial(self._rename, name, author)
                    ):
                        found.add(name)
                except HistoryError as error:
                    log.error("the author stays in document %r: %s", outline.document, error)
                    left.append(outline.document)
        histories.automatic.unlearn(author)
        await histories.kept.erase_author(author)
        await histories.kept.shrink()
        if left:
            raise HistoryUnavailable(
                f"the author is still in {len(left)} documents, such as {left[0]!r}",
                hint="With a server running, ask it; else see the log, and ask again",
            )
        return len(found)

    async def _in_log(self, document: str, author: str) -> bool:
        loaded = await self._histories.store.load(document)
        return any(record.author == author for record in loaded.records)

    async def _rename(self, document: str, author: str) -> bool:
        histories = self._histories
        kept = await self._kept(document)
        new = await histories.apart(erasing.renamed, kept.stored, author, "")
        if new is None:
            return False
        await histories.kept.save(
            document,
            new,
            incarnation=kept.outline.incarnation,
            revision=kept.outline.revision,
        )
        return True

    async def _settled(self, document: str, sequence: int) -> bool:
        """Have the log up to a sequence folded; return whether the document is verbatim."""
        hub = self._histories.hub
        if hub is None:
            return await self._checkpointed(document, sequence)
        try:
            async with hub.open(document) as room:
                for _ in range(MAX_CHANGED):
                    if not room.log_records or await hub.housekeeping.checkpoint(room):
                        break
                loaded = await self._histories.store.load(document)
                if loaded.records and loaded.records[0].sequence <= sequence:
                    raise HistoryUnavailable(f"the log of document {document!r} still holds it")
                return bool(room.document.verbatim)
        except (HistoryError, StoreError):
            raise
        except CrdtsyncError as error:
            raise HistoryUnavailable(f"document {document!r} can't be opened: {error}") from error

    async def _checkpointed(self, document: str, sequence: int) -> bool:
        """Do the same without a hub, for who has the store for himself."""
        histories = self._histories
        loaded = await histories.store.load(document)
        found, damage = open_loaded(document, loaded, trusting(histories.limits))
        if not loaded.records or loaded.records[0].sequence > sequence:
            return bool(found.verbatim)
        if damage is not None:
            raise HistoryUnavailable(f"document {document!r} is damaged: {damage.problem}")
        last = loaded.records[-1].sequence
        try:
            state = found.checkpoint()
            checkpoint = Checkpoint(document, last, histories.clock.time_ms(), state)
            verbatim = bool(found.verbatim)
            if not await histories.recorder.fold(checkpoint, verbatim=verbatim, watch=NO_WATCH):
                raise HistoryUnavailable(f"the log of document {document!r} can't be folded now")
            await histories.store.checkpoint(checkpoint)
        except StoreError as error:
            raise HistoryUnavailable(
                f"the log of document {document!r} still holds it: {error}",
                hint="Ask the running server for it, or have the store alone",
            ) from error
        return verbatim


def _moments(stored: Stored) -> int:
    return sum(1 for _ in Timeline(stored.head, stored.blocks).moments())
