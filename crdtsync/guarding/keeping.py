"""Counting deaths: which end of a process counts against which document, and what follows.

A death counts against the document that the note names. A crash of native code counts for a
day; any other end (a kill, or one that nobody saw) may be an accident, and is forgotten once
the same work on the same document went well. Knows no CRDT and no supervisor.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from crdtsync.clock import Clock, SystemClock
from crdtsync.guard import (
    CRASHES,
    MAX_DEATHS,
    NO_GUARD,
    Death,
    Guard,
    Quarantined,
    Watch,
    Work,
)
from crdtsync.guarding.note import DocumentWatch, Note, read_note
from crdtsync.guarding.records import Records

__all__ = ["NOTE", "DocumentGuard", "guard_folder", "guard_of"]

log = logging.getLogger("crdtsync.guard")

NOTE: Final = "note"
"""The note's file in the folder."""


def guard_folder(url: str) -> Path | None:
    """Return the folder for a store's URL; ``None`` where the store is on no disk."""
    scheme, _, path = url.partition(":")
    match scheme:
        case "sqlite" if path:
            database = Path(path).resolve()
            return database.with_name(database.name + ".guard")
        case "file" if path:
            return Path(path).resolve() / "guard"
    return None


def guard_of(url: str) -> Guard:
    """Return the guard of the store that a URL names; one that does nothing for ``memory:``."""
    folder = guard_folder(url)
    return NO_GUARD if folder is None else DocumentGuard(folder)


class DocumentGuard:
    """The guard in one folder. Before ``open`` it only reads."""

    def __init__(
        self, folder: Path, *, ended: tuple[int, int] = (0, 0), clock: Clock | None = None
    ) -> None:
        """``ended`` is the process that had the store last, and the signal that ended it."""
        self._folder = folder
        self._ended = ended
        self._clock = clock or SystemClock()
        self._records = Records(folder)
        self._note = Note()
        self._suspects: dict[str, tuple[Death, ...]] = {}
        self._quarantined = self._records.quarantined()

    def open(self) -> None:
        """Count what the last process died of, and begin a new note.

        Only for the process that has the store: the note would be another's.
        """
        path = self._folder / NOTE
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            log.warning("no guard for documents: %s", error)
            return
        self._quarantined = self._records.quarantined()
        self._suspects = self._records.suspects(self._clock.time_ms())
        entry = read_note(path)
        # First, for a start that dies in between may forget a death, but not count it twice.
        self._note.open(path)
        if entry is not None and entry.work is not None:
            signum = self._ended[1] if self._ended[0] == entry.pid else 0
            if not entry.ending or signum in CRASHES:
                self._count(entry.document, entry.work, entry.pid, signum)

    def close(self) -> None:
        """End the note."""
        self._note.close()

    def ending(self) -> None:
        """Take note that the process was asked to stop."""
        self._note.ending()

    def watch(self, document: str, /) -> Watch:
        """Return the document's watch."""
        if document in self._suspects:
            return _SuspectsWatch(self._note, document, self._survived)
        return DocumentWatch(self._note, document)

    def suspect(self, document: str, work: Work, signum: int, /) -> Quarantined | None:
        """Count the death of a process that worked on a document for this one."""
        return self._count(document, work, os.getpid(), signum)

    def quarantined(self, document: str, /) -> Quarantined | None:
        """Return why a document is not served; ``None`` where it is, or was released."""
        record = self._quarantined.get(document)
        if record is None:
            return None
        if self._records.holds(document):
            return record
        log.warning("document %r was released", document)
        del self._quarantined[document]
        return None

    def listed(self) -> list[Quarantined]:
        """Return all quarantined documents, by name."""
        return list(self._records.quarantined().values())

    def release(self, document: str, /) -> bool:
        """Serve a document again; return whether it was quarantined."""
        self._quarantined.pop(document, None)
        return self._records.release(document)

    def _count(self, document: str, work: Work, pid: int, signum: int) -> Quarantined | None:
        death = Death(self._clock.time_ms(), work, pid, signum)
        deaths = (*self._suspects.pop(document, ()), death)
        record = None
        if len(deaths) >= MAX_DEATHS:
            record = Quarantined(document, death.time_ms, deaths)
            self._quarantined[document] = record
            log.error("document %r is quarantined: %s, %s", document, record.reason, death)
        else:
            self._suspects[document] = deaths
            log.warning("document %r is suspected: %s, %s", document, work.phrase, death)
        try:
            if record is not None:
                self._records.quarantine(record)
            self._records.keep_suspects(self._suspects)
        except OSError as error:
            log.error("a death over document %r can't be noted: %s", document, error)
        return record

    def _survived(self, document: str, work: Work) -> bool:
        """Forget accidents over work that went well; return whether any suspicion is left."""
        before = self._suspects.get(document, ())
        deaths = tuple(each for each in before if each.crash or each.work is not work)
        if deaths != before:
            if deaths:
                self._suspects[document] = deaths
            else:
                del self._suspects[document]
            try:
                self._records.keep_suspects(self._suspects)
            except OSError as error:
                log.warning("document %r stays suspected: %s", document, error)
        return any(not each.crash for each in deaths)


class _SuspectsWatch(DocumentWatch):
    """The watch of a document that is suspected, and may prove to be innocent."""

    __slots__ = ("_survived", "_working")

    def __init__(self, note: Note, document: str, survived: Callable[[str, Work], bool]) -> None:
        super().__init__(note, document)
        self._survived: Callable[[str, Work], bool] | None = survived
        self._working: Work | None = None

    def enter(self, work: Work, /) -> None:
        """Take note of what begins."""
        self._working = work
        super().enter(work)

    def leave(self) -> None:
        """Take note that it is done, and that nobody died of it."""
        super().leave()
        survived, work = self._survived, self._working
        if survived is not None and work is not None and not survived(self._name.decode(), work):
            self._survived = None
