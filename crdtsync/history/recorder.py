"""From the log into the history, before a checkpoint lets go of the log.

Owns what happens when that fails. While it can't be done now there is no checkpoint: the log is
kept, and it is tried again later, more and more rarely. What can't be done at all, for what is
there is damaged or of another life of the document, is set aside, and history begins anew. The
document is served all the while.
"""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crdtsync.errors import StoreDamaged, StoreError
from crdtsync.guard import Watch
from crdtsync.history.base import HistoryChanged, Kept
from crdtsync.history.log import LogCheckpoint, Records, plain_checkpoint, plain_records
from crdtsync.history.model import HistoryDamaged, HistoryUnavailable, Stored
from crdtsync.history.proving import Unproven, fold
from crdtsync.history.rewriting import rewrite
from crdtsync.store.base import Checkpoint

if TYPE_CHECKING:
    from crdtsync.history.service import Histories

__all__ = ["Recorder"]

log = logging.getLogger("crdtsync.history")

FOLD_HERE_BYTES: Final = 4 * 1024
"""So little is folded in place, in a millisecond or two; more is a worker's."""
FIRST_RETRY_S: Final = 5.0
"""After a failure it is tried again so much later; twice that after the next one,"""
LAST_RETRY_S: Final = 600.0
"""up to this."""
MAX_UNAVAILABLE: Final = 5
"""So often it may take too long, or kill its worker, before history begins anew."""


_Attempt = tuple[Stored | None, LogCheckpoint | None, Records]
"""What a history is made of: what is stored, a state, and what came behind it."""


@dataclass(slots=True)
class _Patience:
    """One document's failures in a row."""

    failures: int = 0
    unavailable: int = 0
    due_s: float = 0.0


class Recorder:
    """Folds logs into histories: for the housekeeping of a hub."""

    def __init__(self, histories: "Histories") -> None:
        self._histories = histories
        self._failing: dict[str, _Patience] = {}

    def ready(self, document: str) -> bool:
        """Whether a checkpoint may be tried now."""
        patience = self._failing.get(document)
        return patience is None or self._histories.clock.monotonic_s() >= patience.due_s

    async def fold(self, checkpoint: Checkpoint, *, verbatim: bool, watch: Watch) -> bool:
        """Take what a checkpoint is about to drop into the history, and make that durable.

        Returns whether the checkpoint may go on.
        """
        document = checkpoint.document
        if not self._histories.keeps(document):
            return True
        stats = self._histories.stats
        started_s = self._histories.clock.monotonic_s()
        try:
            await rewrite(document, lambda: self._fold(checkpoint, verbatim, watch))
        except StoreError as error:
            self._failed(document, error)
            return False
        except HistoryUnavailable as error:
            patience = self._failed(document, error)
            patience.unavailable += 1
            if patience.unavailable < MAX_UNAVAILABLE:
                return False
            if not await self._give_up(checkpoint, str(error)):
                return False
        self._failing.pop(document, None)
        stats.folds += 1
        stats.fold_seconds += self._histories.clock.monotonic_s() - started_s
        self._histories.changed.add(document)
        await self.measure()
        return True

    async def measure(self) -> None:
        """Find out how much all histories take."""
        try:
            self._histories.stats.size = (await self._histories.kept.space()).used
        except StoreError as error:
            log.debug("how much histories take is not known: %s", error)

    def _failed(self, document: str, error: Exception) -> _Patience:
        self._histories.stats.errors["fold"] += 1
        patience = self._failing.setdefault(document, _Patience())
        pause_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2**patience.failures)
        patience.failures += 1
        patience.due_s = self._histories.clock.monotonic_s() + pause_s
        log.error(
            "no history of document %r can be written now, its log is kept: %s", document, error
        )
        return patience

    async def _fold(self, checkpoint: Checkpoint, verbatim: bool, watch: Watch) -> None:
        document = checkpoint.document
        await self._histories.reconciling.settle(document)
        loaded = await self._histories.store.load(document)
        info = await self._histories.store.info(document)
        if info is None:
            return  # deleted meanwhile
        newest = LogCheckpoint(checkpoint.sequence, checkpoint.time_ms, checkpoint.state)
        records = plain_records(
            (each for each in loaded.records if each.sequence <= newest.sequence),
            0,
            sifted=self._histories.channels.present(document),
        )
        base = plain_checkpoint(loaded.checkpoint, 0)
        since = 0 if base is None else base.sequence
        kept = await self._kept(document, info.created_ms, since)
        stored = None if kept is None or not kept.stored.sequence else kept.stored
        attempts: list[_Attempt] = [(None, base, records), (None, newest, records.none())]
        if stored is not None:
            attempts.insert(0, (stored, base, records))
        revision = await self._revision(document) if kept is None else kept.outline.revision
        for attempt in attempts:
            older = attempt[0]
            try:
                folded = await self._work(attempt, newest, verbatim, watch)
            except (HistoryDamaged, Unproven) as error:
                if older is not None:
                    await self._set_aside(document, str(error), since)
                    revision = await self._revision(document)
                else:
                    log.error("the log of %r can't go into its history: %s", document, error)
                    self._histories.stats.errors["proof"] += 1
                continue
            try:
                await self._histories.kept.save(
                    document,
                    folded,
                    incarnation=info.created_ms,
                    revision=revision,
                )
            except StoreDamaged as error:
                await self.replace(error)
                raise HistoryChanged("the database begins anew") from error
            if await self._histories.store.info(document) is None:  # deleted meanwhile
                await self._histories.kept.forget(document)
            return
        await self._set_aside(document, "no history of it can be made", newest.sequence)

    async def _revision(self, document: str) -> int:
        outline = await self._histories.kept.outline(document)
        return 0 if outline is None else outline.revision

    async def _kept(self, document: str, incarnation: int, since: int) -> Kept | None:
        """Return the history that is there, if it is this document's and sound."""
        try:
            kept = await self._histories.kept.load(document)
        except HistoryDamaged as error:
            outline = await self._histories.kept.outline(document)
            own = outline is not None and outline.incarnation == incarnation
            await self._set_aside(document, str(error), since if own else None)
            return None
        except StoreDamaged as error:
            await self.replace(error)
            return None
        if kept is not None and kept.outline.incarnation != incarnation:
            await self._set_aside(document, "it is of a document of the same name before")
            return None
        return kept

    async def _work(
        self, attempt: _Attempt, newest: LogCheckpoint, verbatim: bool, watch: Watch
    ) -> Stored:
        stored, _, records = attempt
        size = len(newest.state) + sum(len(record.update) for record in records)
        if stored is not None:
            size += len(stored.structs) + sum(map(len, stored.blocks))
        if size <= FOLD_HERE_BYTES:
            return fold(*attempt, newest, verbatim, watch)
        return await self._histories.workers.run(fold, *attempt, newest, verbatim)

    async def _set_aside(self, document: str, reason: str, since: int | None = None) -> None:
        """Begin anew, with the versions from ``since`` on: their moments are in the log."""
        histories = self._histories
        histories.stats.errors["damaged"] += 1
        log.error("the history of document %r is set aside, and begins anew: %s", document, reason)
        time_ms = histories.clock.time_ms()
        if since is None:
            await histories.kept.set_aside(document, reason, time_ms)
        else:
            await histories.kept.begin_anew(
                document, Stored(0), reason=reason, time_ms=time_ms, since=since
            )

    async def replace(self, error: StoreDamaged) -> None:
        """Go on in a new database: nothing else would ever be written again."""
        self._histories.stats.errors["damaged"] += 1
        log.error("%s", error)
        await self._histories.kept.replace()

    async def _give_up(self, checkpoint: Checkpoint, reason: str) -> bool:
        """Begin anew with the document's next checkpoint, rather than never writing any."""
        document = checkpoint.document
        try:
            await self._set_aside(document, reason, checkpoint.sequence)
        except StoreError as error:
            self._failed(document, error)
            return False
        return True
