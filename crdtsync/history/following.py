"""All that is known of a document's past: its log in the store, and its history.

Owns what is remembered of that. Who restores a moment, or looks at some, asks for the same
document again and again, and to read its log takes milliseconds of a thread that shares the
interpreter with everybody's typing. So one document's log is kept, and what is committed is added
to it, for as long as its room is open, its history is as it was, and somebody asks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from crdtsync.history.base import Outline
from crdtsync.history.log import Inputs, LogRecord, Records, plain_checkpoint, plain_records
from crdtsync.history.model import Stored, UnknownDocument, size_of
from crdtsync.store.base import Checkpoint

if TYPE_CHECKING:
    from crdtsync.history.reconciling import Fit
    from crdtsync.history.service import Histories
    from crdtsync.room import Room
    from crdtsync.store.base import Loaded, Record

__all__ = ["FOLLOWED_BYTES", "FOLLOWED_S", "Following", "Now"]

FOLLOWED_BYTES: Final = 8 * 1024 * 1024
"""A longer log, with its checkpoint and its history, is not kept."""
FOLLOWED_S: Final = 30.0
"""Nor one that nobody has asked for in this time."""


class Now(NamedTuple):
    """A document's last moment."""

    created_ms: int
    """When the document was made."""
    sequence: int
    time_ms: int


@dataclass(slots=True)
class _Log:
    """What the store holds of a document, as ``Loaded``, and what came since."""

    room: "Room | None"
    """By which more comes; ``None`` where it is not known to have come."""
    created_ms: int = 0
    told: int = 0
    """The document's last sequence, as the store told,"""
    last: int = 0
    """and that of the last record here."""
    checkpoint: Checkpoint | None = None
    records: list[LogRecord] = field(default_factory=list)
    size: int = 0
    whole: bool = False
    """Whether all of it is here."""
    asked_s: float = 0.0
    outline: Outline | None = None
    """Of the history beside it,"""
    stored: Stored | None = None
    """and that."""

    def fill(self, loaded: "Loaded", created_ms: int, last: int) -> bool:
        """Take what was loaded, to go before what came meanwhile; return whether it fits."""
        came = self.records
        checkpoint = self.checkpoint = loaded.checkpoint
        after = 0 if checkpoint is None else checkpoint.sequence
        self.records = list(plain_records(loaded.records, 0))
        self.created_ms, self.told, self.last = created_ms, last, after + len(self.records)
        self.size = sum(len(each.update) for each in self.records)
        self.size += 0 if checkpoint is None else len(checkpoint.state)
        self.whole = loaded.damage is None  # what is added has to follow from here on
        self.whole = self.whole and self.add(came)
        return self.whole

    def add(self, batch: Iterable["Record | LogRecord"]) -> bool:
        """Take what was committed, or loaded already; return whether it follows what is here."""
        for each in batch:
            if self.whole and each.sequence <= self.last:
                continue
            if self.whole and each.sequence != self.last + 1:
                return False
            self.records.append(LogRecord(each.sequence, each.time_ms, each.author, each.update))
            self.size += len(each.update)
            self.last = each.sequence
        return True

    def fitting(self) -> Stored | None:
        """Return the history's content, if it is of this document and not of one before."""
        outline, stored = self.outline, self.stored
        if outline is None or stored is None or outline.incarnation != self.created_ms:
            return None
        return stored if stored.sequence else None


class Following:
    """Reads the pasts of documents."""

    def __init__(self, histories: "Histories") -> None:
        self._histories = histories
        self._log: _Log | None = None

    @property
    def active(self) -> bool:
        """Whether it wants to hear of commits."""
        return self._log is not None

    def note(self, batches: Iterable[tuple["Room", Sequence["Record"]]]) -> None:
        """Take what was committed."""
        log = self._log
        if log is None:
            return
        for room, batch in batches:
            if room is log.room and not log.add(batch):
                self._log = None
        if log.size > FOLLOWED_BYTES:
            self._log = None

    def look(self, now_s: float) -> None:
        """Let go of what nobody asks for."""
        log = self._log
        if log is not None and log.whole and now_s - log.asked_s >= FOLLOWED_S:
            self._log = None

    def forget(self) -> None:
        """Let go of what is here: something of it is not to be known any more."""
        self._log = None

    def now(self, document: str) -> Now | None:
        """Return a document's last moment, if it is known here."""
        log = self._known(document)
        if log is None or not log.records:
            return None
        return Now(log.created_ms, log.last, log.records[-1].time_ms)

    async def read(self, document: str) -> Inputs:
        """Return all that is known of a document's past. Raises ``UnknownMoment``."""
        while True:
            fit = await self._histories.reconciling.fit(document)
            log = await self._read(document)
            if fit.outline is None or fit.outline == log.outline:
                return await self._inputs(document, log, fit)

    async def _read(self, document: str) -> _Log:
        histories = self._histories
        log = self._known(document)
        if log is not None:
            outline = await histories.kept.outline(document)
            if outline == log.outline and self._known(document) is log:
                log.asked_s = histories.clock.monotonic_s()
                return log
        # The log first: what it lets go meanwhile is in the history before.
        log = await self._load(document)
        kept = await histories.kept.load(document)
        if kept is not None:
            log.outline, log.stored = kept.outline, kept.stored
            log.size += size_of(kept.stored)
            if self._log is log and log.size > FOLLOWED_BYTES:
                self._log = None
        return log

    async def _load(self, document: str) -> _Log:
        histories = self._histories
        log = _Log(self._room(document), asked_s=histories.clock.monotonic_s())
        if log.room is not None:
            self._log = log
        fits = False
        try:
            loaded = await histories.store.load(document)
            info = await histories.store.info(document)
            if info is None:
                raise UnknownDocument(f"there is no document {document!r}")
            fits = log.fill(loaded, info.created_ms, info.sequence) and log.size <= FOLLOWED_BYTES
        finally:
            if self._log is log and not fits:
                self._log = None
        return log

    def _room(self, document: str) -> "Room | None":
        hub = self._histories.hub
        room = None if hub is None else hub.rooms.get(document)
        return room if room is not None and room.loaded else None

    def _known(self, document: str) -> _Log | None:
        log = self._log
        if log is None or not log.whole or log.room is not self._room(document):
            return None
        return log

    async def _inputs(self, document: str, log: _Log, fit: "Fit") -> Inputs:
        stored = log.fitting()
        if stored is not None and fit.goes_beyond(stored):
            stored = await self._histories.reconciling.cut_back(stored, fit.upto)
        known = 0 if stored is None else stored.sequence
        behind = (each for each in log.records if each.sequence > known)
        records = Records.of(behind, sifted=self._histories.channels.present(document))
        return Inputs(stored if known else None, plain_checkpoint(log.checkpoint, known), records)
