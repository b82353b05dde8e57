"""A document's history in memory: what is stored of it, and the log behind that.

Owns how the log goes into the history. Invariants: everything ever inserted is there, with the
clocks of the timeline's end; whatever moment is kept can be cut from it. What is not to be
remembered goes through a sieve first.
"""

import zlib
from collections.abc import Iterable
from typing import Final

from crdtsync.errors import InvalidUpdate
from crdtsync.history.cutting import appended, compacted, cut_update, encode_snapshot, joined
from crdtsync.history.log import is_sifted
from crdtsync.history.model import HistoryDamaged, LoggedCheckpoint, LoggedRecord, Snapshot, Stored
from crdtsync.history.sieve import NOBODY, Sieve, holds_presence
from crdtsync.history.timeline import Timeline
from crdtsync.history.view import ambiguous
from crdtsync.history.weave import Weave, weave
from crdtsync.idset import IdSet
from crdtsync.limits import Limits, trusting
from crdtsync.structs import EMPTY_UPDATE, Scan, Struct
from crdtsync.update import scan

__all__ = ["Past"]

_UNLIMITED: Final = trusting(Limits())
_LEVEL: Final = 6
MAX_STRUCTS_BYTES: Final = 1 << 30
"""Everything ever inserted into one document: what claims to be longer is damaged."""


class Past:
    """One document's history."""

    def __init__(self, timeline: Timeline, structs: bytes) -> None:
        """Take over a timeline and everything that was ever inserted up to its end."""
        self.timeline = timeline
        self._structs = structs
        self._found: Scan | None = None
        self._woven: Weave | None = None
        self._behind = False  # whether clients are not in order, for some came behind the others
        self._appended: list[Struct] = []  # since it was woven
        self._newer: list[tuple[bytes, Scan]] = []
        self._loose = False  # whether structs were joined that may go into one another
        self._sieve: Sieve | None = None

    @classmethod
    def open(
        cls,
        stored: Stored | None,
        checkpoint: LoggedCheckpoint | None = None,
        records: Iterable[LoggedRecord] = (),
    ) -> "Past":
        """Put together what is stored and what the log has behind it.

        A checkpoint counts where its sequence lies behind what is stored: it brings what came
        meanwhile, as by nobody known. Raises ``HistoryDamaged``.
        """
        past = cls(Timeline(), EMPTY_UPDATE)
        if stored is not None and stored.sequence:
            past = cls(Timeline(stored.head, stored.blocks), _decompressed(stored.structs))
            if past.timeline.sequence != stored.sequence:
                raise HistoryDamaged("the history is damaged: it ends elsewhere than it says")
        past._screen(is_sifted(records))
        if checkpoint is not None and checkpoint.sequence > past.timeline.sequence:
            past._grow(checkpoint.sequence, checkpoint.time_ms, "", checkpoint.state)
        past.extend(records)
        return past

    def _screen(self, sifted: bool) -> None:
        """Leave presence out, where that is asked for or was done before."""
        aside = NOBODY in self.timeline.authors
        if not aside and not sifted:
            return
        self._sieve = sieve = Sieve(self.timeline.aside() if aside else ())
        if not aside and holds_presence(self._structs, self.found):
            self._structs = sieve.sift(self._structs).update
            self._found = None
            self.timeline = self.timeline.divided(sieve.ids)

    @property
    def sifted(self) -> bool:
        """Whether presence is left out."""
        return self._sieve is not None and bool(self._sieve.ids)

    def extend(self, records: Iterable[LoggedRecord]) -> None:
        """Take in what the log has behind it. Raises ``HistoryDamaged``."""
        for record in records:
            if record.sequence > self.timeline.sequence:
                if record.sequence != self.timeline.sequence + 1:
                    raise HistoryDamaged(f"record {self.timeline.sequence + 1} is missing")
                self._grow(record.sequence, record.time_ms, record.author, record.update)

    def _grow(self, sequence: int, time_ms: int, author: str, update: bytes) -> None:
        sieve = self._sieve
        try:
            if sieve is None:
                found, bare = scan(update, _UNLIMITED), False
            else:
                update, found, bare = sieve.sift(update)
        except InvalidUpdate as error:
            raise HistoryDamaged(f"record {sequence} can't be read: {error}") from None
        author = NOBODY if bare else "" if author == NOBODY else author
        aside = None if sieve is None else sieve.ids
        self.timeline.grow(sequence, time_ms, author, found.ranges, found.deletes, aside)
        if found.ranges:
            self._newer.append((update, found))

    @property
    def size(self) -> int:
        """How many bytes were ever inserted, about."""
        return len(self._structs) + sum(len(update) for update, _ in self._newer)

    @property
    def structs(self) -> bytes:
        """Everything ever inserted, as one v1 update that deletes nothing."""
        self._join()
        return self._structs

    @property
    def found(self) -> Scan:
        """``structs`` as the update reader describes it, with each struct."""
        self._join()
        if self._found is None:
            self._found = _scan(self._structs)
        return self._found

    @property
    def woven(self) -> Weave:
        """``structs`` in order, for all moments. Raises ``HistoryUnavailable``."""
        self._join()
        woven, self._woven = self._woven, None  # what fails half way is not kept
        if woven is not None and self._appended:
            woven.grow(self._structs, self.found, self._appended)
        elif woven is None:
            woven = weave(self._structs, self.found)
        if self._behind and ambiguous(woven):
            self._structs = cut_update(self._structs, self.found, self._everything())
            self._found, self._behind = None, False
            woven = weave(self._structs, self.found)
        self._appended = []
        self._woven = woven
        return woven

    def update_at(self, sequence: int) -> bytes:
        """Return a v1 update that makes the document of a moment. Raises ``UnknownMoment``."""
        return cut_update(self.structs, self.found, self.timeline.snapshot(sequence))

    def snapshot_at(self, sequence: int) -> bytes:
        """Return a moment's snapshot as Yjs encodes it (v1). Raises ``UnknownMoment``."""
        return encode_snapshot(self.timeline.snapshot(sequence))

    def stored(self) -> Stored:
        """Return everything as bytes."""
        self._join()
        if self._loose:
            self._structs = compacted(self._structs, self.found)
            self._found = self._woven = None
            self._loose = self._behind = False
        head, blocks = self.timeline.write()
        return Stored(self.timeline.sequence, head, zlib.compress(self._structs, _LEVEL), blocks)

    def _join(self) -> None:
        if not self._newer:
            return
        newer, self._newer = self._newer, []
        self._loose = True
        if self._found is not None and self._append(self._found, newer):
            return
        if self._structs != EMPTY_UPDATE:
            newer.insert(0, (self._structs, self._found or scan(self._structs, _UNLIMITED)))
        try:
            self._structs = joined(newer, _UNLIMITED)
        except InvalidUpdate as error:
            raise HistoryDamaged(f"the log does not follow on the history: {error}") from None
        self._found = self._woven = None
        self._behind = False

    def _append(self, found: Scan, newer: list[tuple[bytes, Scan]]) -> bool:
        """Put what is newer behind what is there, where it is all by new clients, as restores."""
        both = appended(self._structs, found, newer, _UNLIMITED)
        if both is None:
            return False
        self._structs, self._found = both
        self._appended += (self._found.structs or [])[len(found.structs or ()) :]
        self._behind = True
        return True

    def _everything(self) -> Snapshot:
        return Snapshot({client: end for client, _, end in self.found.ranges}, IdSet())


def _scan(structs: bytes) -> Scan:
    try:
        return scan(structs, _UNLIMITED, structs=True)
    except InvalidUpdate as error:
        raise HistoryDamaged(f"the history is damaged: {error}") from None


def _decompressed(data: bytes) -> bytes:
    try:
        reader = zlib.decompressobj()
        plain = reader.decompress(data, MAX_STRUCTS_BYTES)
    except zlib.error as error:
        raise HistoryDamaged(f"the history is damaged: {error}") from None
    if not reader.eof or reader.unused_data:
        raise HistoryDamaged("the history is damaged: it is cut off")
    return plain
