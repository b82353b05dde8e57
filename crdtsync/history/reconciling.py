"""A history and its document, put together again after one of them was put back to a backup.

Owns when that is looked for: when a room is opened, whether the history is ahead; before the
first answer about a document, and before its first fold, all of it. A history that has a future
which its document never had is cut back to what both have in common, and set aside as it was,
with the versions of that future. Who can't write sees what would be left. What was found out
holds for as long as the server runs: store and history go on together from there.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar, TypeVarTuple

from crdtsync.errors import StoreDamaged, StoreError
from crdtsync.history.base import Kept, Outline
from crdtsync.history.divergence import Common, Dated, common, cut_back, ends_alike
from crdtsync.history.log import LogCheckpoint, Records, plain_checkpoint, plain_records
from crdtsync.history.model import HistoryDamaged, HistoryError, Stored, Version, size_of
from crdtsync.history.noticing import Spawn
from crdtsync.history.proving import Unproven
from crdtsync.history.rewriting import rewrite

if TYPE_CHECKING:
    from crdtsync.history.service import Histories

__all__ = ["Fit", "Reconciling"]

log = logging.getLogger("crdtsync.history")

HERE_BYTES: Final = 16 * 1024
"""So little is compared in place, in a millisecond or two; more is a worker's."""
MAX_KNOWN: Final = 100_000
"""Documents that are known to fit; then it is found out again."""
MAX_TOLD: Final = 5
"""Labels of versions that one line of the log tells."""
ALL: Final = 1 << 62

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class Fit:
    """What of a history is its document's."""

    outline: Outline | None = None
    """Of the history; ``None`` where all of it is."""
    upto: int = 0
    """Otherwise the last moment that is,"""
    strangers: frozenset[int] = frozenset()
    """and the ids of versions that are not."""

    def goes_beyond(self, stored: Stored) -> bool:
        """Return whether a history has to be cut back."""
        return self.outline is not None and stored.sequence > self.upto


_WHOLE: Final = Fit()


@dataclass(frozen=True, slots=True)
class _Found:
    """What was compared."""

    kept: Kept
    versions: list[Version]
    last: int
    """The document's last sequence."""
    common: Common

    @property
    def fits(self) -> bool:
        return self.common.sequence == self.kept.stored.sequence and not self.common.strangers


class Reconciling:
    """Sees to it that histories are of the documents in the store."""

    def __init__(self, histories: "Histories") -> None:
        self._histories = histories
        self._known: dict[str, bool] = {}
        """Whether all was compared, or only how far both go."""

    def forget(self, document: str) -> None:
        """Know nothing of a document any more: it is deleted."""
        self._known.pop(document, None)

    def opened(self, document: str, last: int, spawn: Spawn) -> None:
        """See whether the history of a document that was opened is ahead; nobody waits for it."""
        if document not in self._known and self._histories.keeps(document):
            spawn(lambda: self.check_reach(document, last))

    async def check_reach(self, document: str, last: int | None = None) -> None:
        """See whether a history, or a version of it, is ahead of a document's ``last`` sequence.

        Whatever fails is told, and tried again before it matters.
        """
        histories = self._histories
        if document in self._known:
            return
        try:
            # The history first: what has come since is in no history before it is in the store.
            reach = await histories.kept.reach(document)
            if reach is not None and last is None:
                info = await histories.store.info(document)
                last = reach.sequence if info is None else info.sequence
            if reach is None or last is None or reach.sequence <= last:
                self._note(document, False)
            else:
                await self.settle(document)
        except (StoreError, HistoryError) as error:
            histories.stats.errors["unavailable"] += 1
            log.error("the history of %r can't be compared with it now: %s", document, error)

    async def settle(self, document: str) -> None:
        """Cut a history back to what is its document's, for who is about to write.

        Raises ``StoreError``, and ``HistoryUnavailable`` where that can't be worked out now.
        """
        if not self._known.get(document):
            await rewrite(document, lambda: self._settle(document))

    async def fit(self, document: str) -> Fit:
        """Return what of a history is its document's, for who is about to read.

        With a hub it is cut back to that. Raises what ``settle`` does.
        """
        if self._known.get(document):
            return _WHOLE
        if self._histories.hub is not None:
            try:
                await self.settle(document)
            except StoreError as error:
                log.error("the history of %r can't be cut back now: %s", document, error)
            else:
                return _WHOLE
        found = await self._compare(document)
        if found is None or found.fits:
            return _WHOLE
        return Fit(found.kept.outline, *found.common)

    async def cut_back(self, stored: Stored, sequence: int) -> Stored:
        """Return a history that ends with a moment."""
        return await self._apart(size_of(stored), cut_back, stored, sequence)

    async def _settle(self, document: str) -> None:
        found = await self._compare(document)
        if found is None or found.fits:
            return
        histories, stored, outline = self._histories, found.kept.stored, found.kept.outline
        upto, strangers = found.common
        reason = f"behind {upto} it is of another future, the document ends at {found.last}"
        left = stored
        if upto != stored.sequence:
            try:
                left = await self.cut_back(stored, upto)
            except (HistoryDamaged, Unproven) as error:
                reason, left = f"{reason}, and can't be cut back: {error}", Stored(0)
        try:
            await histories.kept.begin_anew(
                document,
                left,
                reason=reason,
                time_ms=histories.clock.time_ms(),
                revision=outline.revision,
                newest_version=max((each.id for each in found.versions), default=0),
                without=strangers,
            )
        except StoreDamaged as error:
            await histories.recorder.replace(error)
            return
        histories.following.forget()
        histories.changed.add(document)
        histories.stats.errors["diverged"] += 1
        log.error("the history of document %r is cut back: %s", document, _told(reason, found))
        self._note(document, True)

    async def _compare(self, document: str) -> _Found | None:
        """Compare a history with the store; ``None`` where there is nothing to compare."""
        histories = self._histories
        try:
            kept = await histories.kept.load(document)
            versions = [] if kept is None else await histories.kept.versions(document, limit=ALL)
        except (HistoryDamaged, StoreDamaged):
            return None  # who reads it is told so, and it begins anew with the next fold
        info = await histories.store.info(document)
        if info is None or (kept is not None and kept.outline.incarnation != info.created_ms):
            return None
        if kept is None:
            self._note(document, True)
            return None
        loaded = await histories.store.load(document)
        if loaded.damage is not None:
            return None
        base, records = plain_checkpoint(loaded.checkpoint, 0), plain_records(loaded.records, 0)
        last = records[-1].sequence if records else info.sequence
        marks = Dated.of(versions)
        size = size_of(kept.stored) + _size(base, records)
        try:
            alike = ends_alike(kept.stored, last, info.updated_ms)
            if alike and not loaded.records and all(each.sequence <= last for each in versions):
                self._note(document, True)
                return None
            told = await self._apart(size, common, kept.stored, marks, base, records, last)
        except HistoryDamaged:
            return None
        found = _Found(kept, versions, last, told)
        if found.fits:
            self._note(document, True)
        return found

    async def _apart(self, size: int, function: Callable[[*Ts], T], *args: *Ts) -> T:
        if size > HERE_BYTES:
            return await self._histories.workers.run(function, *args)
        try:
            return function(*args)
        except (ValueError, LookupError) as error:
            raise HistoryDamaged(f"the history can't be read: {error!r}") from error

    def _note(self, document: str, whole: bool) -> None:
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[document] = whole or self._known.get(document, False)


def _size(base: LogCheckpoint | None, records: Records) -> int:
    return sum(len(each.update) for each in records) + (0 if base is None else len(base.state))


def _told(reason: str, found: _Found) -> str:
    gone = [each for each in found.versions if each.id in found.common.strangers]
    if not gone:
        return reason
    labels = [repr(each.label) for each in gone if each.kind == "named"]
    named = f", named {', '.join(labels[:MAX_TOLD])}" if labels else ""
    more = f" and {len(labels) - MAX_TOLD} more" if len(labels) > MAX_TOLD else ""
    return f"{reason}; with it go versions of that ({len(gone)}{named}{more})"
