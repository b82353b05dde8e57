"""What befalls histories: restores, versions, a disk of their own that fails, damage.

Owns the checks of a restore that was acknowledged: the edit is there, and makes of the document
as it was when the edit was worked out what it was to be.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from crdtsync.errors import CrdtsyncError
from crdtsync.gate import Principal
from crdtsync.history.forward import restore_from, undo_from
from crdtsync.history.restorer import Restored
from crdtsync.history.service import Histories
from crdtsync.idset import IdSet
from crdtsync.structs import EMPTY_UPDATE
from crdtsync.update import scan
from tests.properties.replica import READER
from tests.simulation.archive import Archive
from tests.simulation.truth import RESTORER

if TYPE_CHECKING:
    from tests.simulation.story import Story

__all__ = ["Archivist"]

EVENTS = {
    "restore": 0.6,
    "undo": 0.4,
    "version": 0.4,
    "history disk": 0.3,
    "kill in the history": 0.3,
    "damage": 0.1,
}
"""With how often each is among what happens in a story."""


class Archivist:
    """One story's dealings with histories."""

    def __init__(self, story: "Story", archive: Archive, always: Sequence[str] = ()) -> None:
        self.story = story
        self.world = story.world
        self.archive = archive
        self.chance = self.world.kernel.stream("archivist")
        self.events = [
            each for each, often in EVENTS.items() if self.chance.random() < often or each in always
        ]
        self._count = 0

    def begin(self) -> None:
        for event in self.events:
            self._later(event)

    def _later(self, event: str) -> None:
        wait_s = self.chance.expovariate(5 / self.story.length_s)
        self.world.kernel.after(wait_s, self._befall, event)

    def _befall(self, event: str) -> None:
        if self.story.over:
            return
        faults, chance = self.archive.faults, self.chance
        room = chance.choice(list(self.world.shown))
        match event:
            case "kill in the history":
                faults.steps_left = chance.randrange(12)
            case "history disk":
                faults.mode = chance.choice(["well", "full", "failing", "fsync", "slow"])
                faults.slow_s = chance.choice([0.05, 0.5, 3.0])
                self._tell(f"has a disk that is {faults.mode} from now on")
            case "damage":
                if self.archive.damage(room):
                    self._tell(f"is damaged: {room}")
            case _:
                self._ask(event, room)
        self._later(event)

    def _tell(self, what: str) -> None:
        self.world.kernel.tell("history", what)

    # What is asked of the server

    def _ask(self, event: str, room: str) -> None:
        hub = self.world.server.hub
        if hub is None or hub.history is None or hub.draining:
            return
        self._count += 1
        number = self._count
        principal = Principal(id=f"{RESTORER}-{number}")
        history, life = hub.history, self.world.server.life
        last = self.world.truth.last(room)
        sequence = self.chance.randrange(last + 1)
        authors = [each.name for each in self.world.clients if each.room == room]
        author = self.chance.choice(authors)

        async def ask() -> None:
            self.archive.asking[number] = life
            try:
                match event:
                    case "version":
                        await history.create(room, label="mine", principal=principal)
                        return
                    case "restore":
                        self._tell(f"{room} is to be what it was at {sequence}")
                        done = await history.restore(
                            room, self._moment(room, sequence), principal=principal
                        )
                    case _:
                        self._tell(f"{author} is to be undone in {room} behind {sequence}")
                        done = await history.undo(
                            room, author=author, since=f"s{sequence}", principal=principal
                        )
            except CrdtsyncError as error:
                if self.world.server.life == life:
                    self._tell(f"does not do it: {error}")
                return
            finally:
                del self.archive.asking[number]
            if self.world.server.life == life:
                self._tell(f"has done it: {done}")
                self._check(history, room, principal, done)

        hub.spawn(ask)

    def _moment(self, room: str, sequence: int) -> str:
        """Return a moment's name: that of its version, where it has one."""
        for number, version in self.archive.versions.items():
            if (version.document, version.sequence) == (room, sequence):
                return f"v{number}"
        return f"s{sequence}"

    # What came of it

    def _check(self, history: Histories, room: str, principal: Principal, done: Restored) -> None:
        asked = self._worked(room, principal, done) if done.changed else None
        if asked is None:
            return
        function, args, update = asked
        truth, fail = self.world.truth, self.world.fail
        stored, checkpoint, records = args[:3]
        base = max(
            [each.sequence for each in (stored, checkpoint, *records) if each is not None],
            default=0,
        )
        there = truth.clocks_at(room, base)
        for client, start, end in scan(update, READER).deletes:
            if end > there.get(client, 0):
                fail(f"{principal.id} takes {client}, {start} to {end} from {room}, unseen")
        becomes = truth.content_at(room, base, update)
        if function is restore_from:
            sequence = args[3]
        else:
            author, sequence, until = args[3:6]
            theirs = [truth.records[room][at].author for at in range(sequence + 1, base + 1)]
            if until is not None or set(theirs) != {author}:
                return  # what should be there is what the others would have made alone
        wanted = truth.content_at(room, sequence)
        if becomes != wanted:
            fail(f"{room} was to be {wanted} as at {sequence}, and becomes {becomes}")

    def _worked(
        self, room: str, principal: Principal, done: Restored
    ) -> tuple[Any, tuple[Any, ...], bytes] | None:
        """Find what was worked out, by what was stored of it."""
        found = [
            record
            for at, record in self.world.truth.records.get(room, {}).items()
            if record.author == principal.id and at <= done.sequence
        ]
        if not found:
            if not self._done_by_others(room, done.sequence):
                self.world.fail(f"what {principal.id} restored in {room} is not stored")
            return None
        stored = b"".join(record.update for record in found)
        ranges = {
            (client, start)
            for each in found
            for client, start, _ in scan(each.update, READER).ranges
        }
        for function, args, update in reversed(self.archive.worked):
            if function not in (restore_from, undo_from) or update == EMPTY_UPDATE:
                continue
            starts = {(client, start) for client, start, _ in scan(update, READER).ranges}
            if update == stored or (starts and starts <= ranges):
                return function, args, update
        return None

    def _done_by_others(self, room: str, sequence: int) -> bool:
        """Return whether an edit only deletes, and others have deleted all of that meanwhile."""
        gone = IdSet()
        for at, record in self.world.truth.records[room].items():
            if at <= sequence:
                gone.add(scan(record.update, READER).deletes)
        for function, _, update in self.archive.worked:
            if function in (restore_from, undo_from) and update != EMPTY_UPDATE:
                found = scan(update, READER)
                if not found.ranges and gone.covers(found.deletes):
                    return True
        return False
