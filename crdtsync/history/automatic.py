"""Versions that the server makes by itself, and the names of those who write.

Owns which documents were edited and have no version of that yet. A commit costs a set's update,
an idle document nothing. What can't be written now is tried again with the next look.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crdtsync.errors import StoreError
from crdtsync.gate import Principal
from crdtsync.history.base import NewVersion
from crdtsync.history.model import HistoryError
from crdtsync.history.noticing import Noticing, Spawn

if TYPE_CHECKING:
    from crdtsync.history.service import Histories
    from crdtsync.room import Room

__all__ = ["Automatic"]

log = logging.getLogger("crdtsync.history")

MAX_KNOWN: Final = 10_000
"""Authors whose names are known to be written; then they are written again."""
MAX_WAITING: Final = 100_000
"""Documents that wait for a version, and authors for being noted; more get none."""
MAX_AT_ONCE: Final = 1_000
"""Versions that are written in one transaction."""


@dataclass(slots=True)
class _Editing:
    """A document that was edited, and has no version of that."""

    sequence: int
    since_s: float
    """When it was first seen so,"""
    last_s: float
    """and when it was last seen changed."""
    time_ms: int
    """The same by the wall clock."""


class Automatic:
    """Looked at about once a second by the housekeeping of a hub."""

    def __init__(self, histories: "Histories") -> None:
        self._histories = histories
        self.noticing = Noticing(histories)
        """What was committed since the last look."""
        self._editing: dict[str, _Editing] = {}
        self._met: dict[str, str] = {}
        self._known: dict[str, str] = {}
        self._writing = False

    def met(self, principal: Principal) -> None:
        """Take note of who came, by the name that he has now."""
        author, name = principal.id, principal.name
        if author and name and self._known.get(author) != name and len(self._met) < MAX_WAITING:
            self._met[author] = name

    def look(self, spawn: Spawn) -> None:
        """See what was edited and what is due; have that written in the background."""
        histories = self._histories
        now_s = histories.clock.monotonic_s()
        histories.following.look(now_s)
        self._take_note(self.noticing.take(spawn), now_s)
        if histories.retaining.due and not histories.retaining.sweeping:
            spawn(histories.retaining.sweep)
        if self._writing:
            return
        limits = histories.limits
        due = [
            name
            for name, each in self._editing.items()
            if now_s - each.last_s >= limits.history_pause_s
            or now_s - each.since_s >= limits.history_interval_s
        ]
        if due or self._met:
            self._writing = True
            spawn(lambda: self._write(due))

    def forget(self, document: str) -> None:
        """Make no version of what was done to a document that is deleted."""
        self._editing.pop(document, None)

    def unlearn(self, author: str) -> None:
        """Forget an author's name, until he comes again."""
        self._met.pop(author, None)
        self._known.pop(author, None)

    async def finish(self) -> None:
        """Write everything: the server ends."""
        self._take_note(await self.noticing.take_all(), self._histories.clock.monotonic_s())
        await self._write(list(self._editing))

    def _take_note(self, edited: Iterable["Room"], now_s: float) -> None:
        time_ms = self._histories.clock.time_ms()
        for room in edited:
            known, sequence = self._editing.get(room.name), self._sequence(room)
            if known is None:
                if len(self._editing) < MAX_WAITING and self._histories.keeps(room.name):
                    self._editing[room.name] = _Editing(sequence, now_s, now_s, time_ms)
            else:
                known.sequence, known.last_s, known.time_ms = sequence, now_s, time_ms

    def _sequence(self, room: "Room") -> int:
        """Return a document's last sequence: by its room of now, where this one was given up."""
        hub = self._histories.hub
        now = None if hub is None else hub.rooms.get(room.name)
        return (room if now is None or not now.loaded else now).committed_sequence

    async def _write(self, due: list[str]) -> None:
        try:
            await self._write_names()
            for start in range(0, len(due), MAX_AT_ONCE):
                await self._write_versions(due[start : start + MAX_AT_ONCE])
        except (StoreError, HistoryError) as error:
            self._histories.stats.errors["version"] += 1
            log.error("a version or a name can't be written now: %s", error)
        finally:
            self._writing = False

    async def _write_names(self) -> None:
        met, self._met = self._met, {}
        if not met:
            return
        try:
            await self._histories.kept.note_authors(met, self._histories.clock.time_ms())
        except StoreError:
            self._met = met | self._met
            raise
        if len(self._known) + len(met) > MAX_KNOWN:
            self._known.clear()
        self._known.update(met)

    async def _write_versions(self, due: list[str]) -> None:
        new: list[NewVersion] = []
        written: dict[str, int] = {}
        for name in due:
            known = self._editing.get(name)
            info = await self._histories.store.info(name)
            if known is None or info is None:  # deleted
                self._editing.pop(name, None)
                continue
            written[name] = known.sequence
            new.append(
                NewVersion(
                    document=name,
                    incarnation=info.created_ms,
                    sequence=known.sequence,
                    time_ms=known.time_ms,
                    kind="auto",
                )
            )
        added = await self._histories.kept.add_versions(new)
        self._histories.stats.versions += len(added)
        for name, sequence in written.items():
            known = self._editing.get(name)
            if known is None or known.sequence == sequence:
                self._editing.pop(name, None)
            else:  # edited meanwhile: from here on it counts anew
                known.since_s = known.last_s
