"""The reading side of the file store: documents' files together with what the journals add.

``_active`` has what is in the newest journal, ``_frozen`` what is in those before it. A name
stays in them, maybe without records, for as long as a journal has entries of it.
"""

import logging
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from pathlib import Path

from crdtsync.errors import StoreError
from crdtsync.store import file_disk
from crdtsync.store.base import Damage, DocumentInfo, Loaded
from crdtsync.store.file_documents import Documents, Summary
from crdtsync.store.file_format import (
    decode_record,
    entry_prefix,
    is_deletion,
    seed_of,
    sequence_of,
    update_length_of,
)
from crdtsync.store.file_journal import Replay, journals_in, read_journal

__all__ = ["Known", "Reading"]

logger = logging.getLogger("crdtsync.store")


@dataclass(slots=True)
class Known:
    """What need not be read again of a document."""

    seed: int
    prefix: bytes
    """What precedes its records in a journal."""
    last: int
    """Its last sequence, journals included."""
    file: Summary | None
    """Its file; ``None`` where it has none yet."""


class Reading:
    """Everything that only reads. With ``read_only``, from a store that another process writes."""

    def __init__(self, folder: Path, *, url: str, durable: bool, read_only: bool) -> None:
        self._folder = folder
        self._url = url
        self._read_only = read_only
        self._documents = Documents(folder / "documents", durable=durable)
        self._known: dict[str, Known] = {}
        self._names: list[str] | None = None
        self._frozen: dict[str, list[bytes]] = {}
        self._active: dict[str, list[bytes]] = {}
        self._followed: dict[Path, int] = {}

    def load(self, name: str) -> Loaded:
        """Read and verify a document."""
        self._follow()
        found = self._documents.read(name)
        contents = found[1] if found is not None else None
        records = list(contents.records) if contents is not None else []
        checkpoint = contents.checkpoint if contents is not None else None
        damage = contents.damage if contents is not None else None
        expected = contents.last + 1 if contents is not None else 1
        for encoded in self._queued(name):
            sequence = sequence_of(encoded)
            if sequence < expected:
                continue
            if sequence > expected:
                problem = f"the record is missing; the next one is {sequence}"
                damage = damage or Damage(name, expected, problem)
                break
            # A journal has the record whole, whatever its document's file has in its place.
            damage = None
            records.append(decode_record(name, encoded))
            expected += 1
        return Loaded(checkpoint, tuple(records), damage)

    def info(self, name: str) -> DocumentInfo | None:
        """Return a document's metadata."""
        self._follow()
        file = self._learn(name).file
        settled = file.last if file is not None else 0
        queued = [item for item in self._queued(name) if sequence_of(item) > settled]
        if file is None and not queued:
            self._known.pop(name, None)
            return None
        times = [decode_record(name, item).time_ms for item in (queued[:1] + queued[-1:])]
        return DocumentInfo(
            name=name,
            sequence=sequence_of(queued[-1]) if queued else settled,
            created_ms=file.header.created_ms if file is not None else times[0],
            updated_ms=times[-1] if file is None or queued else file.last_ms,
            checkpoint_sequence=file.checkpoint_sequence if file is not None else 0,
            checkpoint_bytes=file.checkpoint_bytes if file is not None else 0,
            log_records=len(queued) + (file.records if file is not None else 0),
            log_bytes=sum(map(update_length_of, queued))
            + (file.record_bytes if file is not None else 0),
        )

    def names(self, prefix: str, after: str, limit: int) -> list[str]:
        """Return names that start with ``prefix``, in order, behind ``after``."""
        self._follow()
        if self._names is None:
            journaled = (name for queue in (self._frozen, self._active) for name in queue)
            self._names = sorted({*self._documents.names(), *journaled})
        start = max(bisect_right(self._names, after), bisect_left(self._names, prefix))
        found = self._names[start : start + limit]
        return [name for name in found if name.startswith(prefix)]

    def _queued(self, name: str) -> list[bytes]:
        """Return a document's records in the journals; some may be in its file already."""
        return [*self._frozen.get(name, ()), *self._active.get(name, ())]

    def _learn(self, name: str) -> Known:
        """Return what is known of a document, reading its file where that is nothing."""
        known = self._known.get(name)
        if known is None:
            if not name:
                raise StoreError("a document needs a name", hint="Refuse the empty name earlier.")
            file = self._documents.summary(name)
            last = file.last if file is not None else 0
            for encoded in self._queued(name)[-1:]:
                last = max(last, sequence_of(encoded))
            known = Known(seed_of(name), entry_prefix(name), last, file)
            self._known[name] = known
        return known

    def _follow(self) -> None:
        """Where another process writes, take in what it has written meanwhile.

        The journals are read before any document's file, so that a record that moves from one
        to the other in between is seen at least once.
        """
        if not self._read_only:
            return
        self._known.clear()
        self._names = None
        journals = journals_in(self._folder)
        if not self._followed.keys() <= set(journals):
            # Some are settled, and documents that they had may have been removed since.
            self._followed.clear()
            self._frozen.clear()
        for path in journals:
            data = file_disk.read(path)
            if data is not None:  # else settled this moment
                replay = read_journal(path, data, self._followed.get(path, 0))
                self._followed[path] = replay.end
                self._take(replay)

    def _take(self, replay: Replay) -> None:
        for name, encoded in replay.entries:
            if is_deletion(encoded):
                self._frozen.pop(name, None)
            else:
                self._frozen.setdefault(name, []).append(encoded)
