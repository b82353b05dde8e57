"""The file store without its thread: a journal for commits, and a file for each document.

A commit is one frame in the journal and one fsync, whatever number of documents it touches, and
so is all or nothing. Its records reach the documents' own files later: when the journal has
grown to ``JOURNAL_BYTES`` a new one is begun, and while that one fills, a proportionate number
of documents is settled after each commit. A journal stays until all of its records are in their
documents' files and those on the medium; what a crash leaves is replayed at the next start.
Replaying is harmless any number of times, because records carry their sequence. A deletion is an
entry too: what the journals have of that document before it is void.
"""

import logging
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

from crdtsync.clock import Clock
from crdtsync.errors import StoreError
from crdtsync.store import file_disk
from crdtsync.store.base import Checkpoint, Damage, Durability, Finding, Record
from crdtsync.store.failures import damaged, out_of_order
from crdtsync.store.file_check import Checker
from crdtsync.store.file_documents import ASIDE
from crdtsync.store.file_format import Header, encode_deletion, encode_record, sequence_of
from crdtsync.store.file_journal import Journal, journals_in, read_journal
from crdtsync.store.file_reading import Known, Reading
from crdtsync.store.locking import StoreLock
from crdtsync.store.order import admit_checkpoint
from crdtsync.store.whereabouts import Whereabouts

__all__ = ["FileLog"]

logger = logging.getLogger("crdtsync.store")

PLACE_HINT = (
    "Move it back where it was moved. Otherwise put a backup there and start the server again:"
    " clients bring back what they have."
)

JOURNAL_BYTES = 4 * 1024 * 1024
"""Above this the next journal is begun. What is in a journal is in memory too, until settled."""

MAX_JOURNAL_BYTES = 64 * 1024 * 1024
"""Where documents' files can't be written, commits are refused once the journal is this large."""

MAX_KNOWN_DOCUMENTS = 65_536
"""Documents whose state is kept in memory; above, those that no journal has are forgotten."""


class FileLog(Reading):
    """Everything that writes; see ``Reading`` for the rest."""

    def __init__(
        self, folder: Path, *, url: str, durability: Durability, read_only: bool, clock: Clock
    ) -> None:
        # With "os" only the commit's fsync is left out: nothing old is given up for something
        # new that is not on the medium.
        durable = durability != "none"
        super().__init__(folder, url=url, durable=durable, read_only=read_only)
        self._durable = durable
        self._commit_sync = durability == "fsync"
        self._clock = clock
        self._lock = StoreLock(folder / "store", url=url)
        self._journal: Journal | None = None
        self._whereabouts = Whereabouts()
        self._older: list[Path] = []
        """Journals whose records are in ``_frozen``."""
        self._damaged: list[Path] = []
        """Those of them that are kept for their damage."""
        self._unsettled: list[str] = []
        """Names whose records in ``_frozen`` are not in their files yet."""
        self._to_settle = 0
        """How many they were when ``_frozen`` was frozen."""
        self._retry_at = 0
        """The journal's size at which settling is tried again after a failure."""

    def open(self) -> None:
        """Create the folder where it does not exist, and replay what a crash has left."""
        if self._read_only:
            if not self._documents.folder.is_dir():
                raise StoreError(
                    f"there is no store {self._url}", hint="Check the folder after file:"
                )
            self._follow()
            return
        if self._folder.is_file():
            raise StoreError(f"{self._url} is a file", hint="Name a folder after file:")
        if not self._folder.is_dir():
            self._folder.mkdir()
            if self._durable:
                file_disk.sync_folder(self._folder.parent)
        self._lock.acquire()
        self._documents.folder.mkdir(exist_ok=True)
        for unfinished in self._documents.folder.glob("*.tmp"):
            logger.warning("removed %s, which was not written to its end", unfinished)
            unfinished.unlink()
        for folder in (self._folder, self._documents.folder):
            self._whereabouts.note_folder(folder, PLACE_HINT)
        self._recover()

    def close(self) -> None:
        """Bring everything into the documents' files and give the lock back."""
        journal, self._journal = self._journal, None
        try:
            if journal is not None:
                journal.close()
                self._whereabouts.verify()  # the journals have everything, wherever they are now
                self._finish()
                self._freeze(journal.path)
                self._finish()
        finally:
            self._whereabouts.clear()
            for kept in (self._known, self._frozen, self._active, self._followed):
                kept.clear()
            self._names, self._older, self._damaged, self._unsettled = None, [], [], []
            self._lock.release()

    def verify(self) -> None:
        """Raise where the store's folder, or its journal, was taken away."""
        self._whereabouts.verify()
        self._lock.verify()

    def append(self, batch: Sequence[Record]) -> bool:
        """Commit the batch; return whether ``settle`` has work."""
        journal = self._writing()
        if journal.size > MAX_JOURNAL_BYTES:
            self._rotate()
            journal = self._writing()
        if len(self._known) > MAX_KNOWN_DOCUMENTS:
            self._forget()
        parts: list[bytes] = []
        lasts: dict[str, int] = {}
        for record in batch:
            name, sequence = record.document, record.sequence
            document = self._known.get(name) or self._learn(name)
            last = lasts.get(name)
            if last is None:
                last = document.last
                self._refuse_damaged("append", document)
            if sequence != last + 1:
                raise out_of_order(name, last, sequence)
            lasts[name] = sequence
            parts.append(document.prefix)
            parts.append(encode_record(record, document.seed))
        journal.append(b"".join(parts))
        active = self._active
        for record, encoded in zip(batch, parts[1::2], strict=True):
            queue = active.get(record.document)
            if queue is None:
                self._add_name(record.document)
                queue = active[record.document] = []
            queue.append(encoded)
        for name, sequence in lasts.items():
            self._known[name].last = sequence
        return self._due()

    fold_due = False

    def fold(self) -> None:
        """Do nothing: settling is short."""

    def finish_folding(self) -> None:
        """Do nothing."""

    def settle(self) -> bool:
        """Bring as many documents' records into their files as the journal has grown."""
        if self._journal is None or not self._due():
            return False
        self._whereabouts.verify()  # each time, for documents' files are found by their names
        journal = self._writing()
        try:
            while len(self._unsettled) > self._may_wait(journal):
                self._settle_one()
            if self._older and not self._unsettled:
                self._retire()
            if journal.size >= JOURNAL_BYTES:
                self._rotate()
        except BaseException:
            self._retry_at = journal.size + JOURNAL_BYTES // 8  # not at every commit
            raise
        return False

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write the document's file anew: the checkpoint, and the records behind it."""
        name, sequence = checkpoint.document, checkpoint.sequence
        document = self._learn(name)
        self._refuse_damaged("checkpoint", document)
        file = document.file
        older = file.checkpoint_sequence if file is not None else 0
        admit_checkpoint(checkpoint, last=document.last, older=older)
        loaded = self.load(name)
        if loaded.damage is not None:  # since it was learnt
            self._known.pop(name)
            self._refuse_damaged("checkpoint", self._learn(name))
        records = loaded.records
        created_ms = records[0].time_ms if records else checkpoint.time_ms
        updated_ms = checkpoint.time_ms
        if file is not None:
            created_ms = file.header.created_ms
            if older == sequence:
                updated_ms = file.header.updated_ms
        updated_ms = next((r.time_ms for r in records if r.sequence == sequence), updated_ms)
        rest = [record for record in records if record.sequence > sequence]
        header = Header(name, created_ms, updated_ms)
        try:
            document.file = self._documents.rewrite(header, checkpoint, rest)
        except BaseException:
            self._known.pop(name)  # the file is to be read again: it may be the new one
            raise
        document.last = max(document.last, sequence)
        self._add_name(name)
        for queues in (self._frozen, self._active):
            if name in queues:  # the journal has them still, but replaying them does nothing
                queues[name] = []

    def delete(self, name: str) -> bool:
        """Remove a document's file, and make void what a replay would make it of again."""
        document = self._learn(name)
        existed = document.file is not None or bool(self._queued(name))
        if name in self._active or name in self._frozen:
            if document.file is not None:
                # Whole, should it not be removed after all.
                self._settle_here(name, document, self._queued(name))
            entry = encode_deletion(document.last, self._clock.time_ms(), document.seed)
            self._writing().append(document.prefix + entry, synced=self._durable)
            for queues in (self._frozen, self._active):
                queues.pop(name, None)
            if name in self._unsettled:
                self._unsettled.remove(name)
        self._known.pop(name)
        if existed:
            self._documents.remove(name)
            if self._names is not None and name in self._names:
                self._names.remove(name)
        return existed

    def probe(self) -> None:
        """Commit something that changes nothing."""
        self._writing().append(b"")

    def check(self, repair: bool) -> Iterator[Finding]:
        """Verify everything."""
        if repair:
            self._settle_all()
        self._follow()
        return self._checker(repair).run()

    def cut(self, damage: Damage) -> None:
        """Set the file aside and write what is before the damage anew."""
        self._settle_all()
        self._checker(repair=True).cut(damage)

    def _checker(self, repair: bool) -> Checker:
        return Checker(
            folder=self._folder,
            documents=self._documents,
            names=lambda: self.names("", "", 1 << 62),
            load=self.load,
            repaired=self._repaired if repair else None,
            now_ms=self._clock.time_ms(),
        )

    def _refuse_damaged(self, operation: str, document: Known) -> None:
        if document.file is not None and document.file.damage is not None:
            raise damaged(operation, document.file.damage, self._url)

    def _writing(self) -> Journal:
        assert self._journal is not None
        return self._journal

    def _recover(self) -> None:
        journals = journals_in(self._folder)
        for path in journals:
            replay = read_journal(path, path.read_bytes())
            self._take(replay)
            if replay.torn_bytes:
                logger.warning(
                    "the last %d bytes of %s are a commit that was interrupted; they are ignored",
                    replay.torn_bytes,
                    path,
                )
            if replay.lost_bytes:
                logger.error("%d bytes of %s are damaged; it is kept", replay.lost_bytes, path)
                self._damaged.append(path)
        number = int(journals[-1].name.split("-")[1]) + 1 if journals else 1
        self._journal = self._new_journal(number)
        self._older = journals
        self._unsettled = list(self._frozen)
        self._finish()

    def _new_journal(self, number: int) -> Journal:
        journal = Journal(
            self._folder, number, commit_sync=self._commit_sync, durable=self._durable
        )
        self._whereabouts.note(journal.path, PLACE_HINT)
        return journal

    def _due(self) -> bool:
        journal = self._writing()
        if journal.size < self._retry_at:
            return False
        return journal.size >= JOURNAL_BYTES or len(self._unsettled) > self._may_wait(journal)

    def _may_wait(self, journal: Journal) -> int:
        """Return how many documents may be unsettled at the journal's present size."""
        return int(self._to_settle * max(0.0, 1 - journal.size / JOURNAL_BYTES))

    def _settle_one(self) -> None:
        name = self._unsettled[-1]
        self._settle_here(name, self._learn(name), self._frozen[name])
        self._unsettled.pop()
        self._frozen[name] = []

    def _settle_here(self, name: str, document: Known, queue: list[bytes]) -> None:
        """Bring records into their document's file."""
        settled = document.file.last if document.file is not None else 0
        fresh = [item for item in queue if sequence_of(item) > settled]
        if fresh:
            try:
                document.file = self._documents.extend(name, document.file, fresh)
            except BaseException:
                self._known.pop(name)  # the file is to be read again
                raise
        elif queue:  # written by a process that perhaps died before its sync
            self._documents.sync_file(name)

    def _finish(self) -> None:
        """Settle what is left of ``_frozen``."""
        while self._unsettled:
            self._settle_one()
        self._retire()

    def _retire(self) -> None:
        """Remove the journals that are settled."""
        if not self._older:
            return
        self._documents.sync()
        for path in self._older:
            if not path.exists():
                continue  # since an earlier call, which failed behind it
            if path in self._damaged:
                path.rename(path.with_name(f"{path.name}{ASIDE}{self._clock.time_ms()}"))
            else:
                path.unlink()
            if self._durable:  # after each: what a younger one says is void would be back
                file_disk.sync_folder(self._folder)
        self._older, self._damaged = [], []
        self._frozen.clear()
        self._to_settle = 0

    def _freeze(self, path: Path) -> None:
        self._frozen, self._active = self._active, {}
        self._older = [path]
        self._unsettled = [name for name, queue in self._frozen.items() if queue]
        self._to_settle = len(self._unsettled)
        self._retry_at = 0

    def _rotate(self) -> None:
        """Begin a new journal."""
        self._finish()
        old = self._writing()
        self._journal = self._new_journal(old.number + 1)
        self._whereabouts.forget(old.path)
        self._freeze(old.path)  # whatever happens now: it is retired when all of it is settled
        try:
            old.close()
        except OSError as error:
            logger.error("%s could not be closed: %s; what is in it is kept", old.path, error)

    def _settle_all(self) -> None:
        self._rotate()
        self._finish()

    def _add_name(self, name: str) -> None:
        names = self._names
        if names is not None:
            place = bisect_left(names, name)
            if place == len(names) or names[place] != name:
                names.insert(place, name)

    def _forget(self) -> None:
        """Forget what can be read again."""
        self._known = {
            name: known
            for name, known in self._known.items()
            if name in self._active or name in self._frozen
        }

    def _repaired(self, name: str) -> None:
        self._known.pop(name, None)
        self._names = None
