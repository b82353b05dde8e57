"""One room whose presence is kept: its connections as people, and what is written of them.

Owns who of the room's connections is whom, and the making of its next update. A connection with
an id is that principal's, and any other a guest's once it has written a guest's key. What people
write of others changes nothing. When to write is ``presence``'s business.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from crdtsync.batch import Editor
from crdtsync.channels.attendance import Attendance, read_record
from crdtsync.channels.entries import Entries, Written
from crdtsync.channels.model import Person
from crdtsync.channels.names import PRESENCE, is_guest, is_person
from crdtsync.channels.writing import MapWriter
from crdtsync.connection import Connection
from crdtsync.document import Document
from crdtsync.gate import Principal
from crdtsync.limits import trusting
from crdtsync.state_vector import fresh_client
from crdtsync.structs import EMPTY_UPDATE
from crdtsync.update import scan

if TYPE_CHECKING:
    from crdtsync.room import Room

__all__ = ["KeptRoom", "PersonHere", "RoomInfo"]

_OWN_HAND: Final = Editor(Principal())


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonHere:
    """Somebody of one document."""

    person: Person
    role: str = ""
    """The name of their role, while they are shown as there; empty where they have none."""
    read_only: bool = False
    """Whether they are there and may only read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomInfo:
    """Who is in a document. The invisible count as away everywhere here."""

    people: tuple[PersonHere, ...]
    """Everybody that presence knows: those who are there first, then who left last."""
    online: int
    """How many people are there: online, away or busy."""
    connections: int
    """How many connections there are, those of nobody in particular included."""
    viewers: int
    """Of people, and of connections of nobody in particular, those that may only read."""
    owners_online: tuple[str, ...]
    """The ids of people there who may administer, or share."""


class KeptRoom:
    """One room whose presence is kept."""

    def __init__(self, room: "Room", document: Document, entries: Entries, grace_s: float) -> None:
        self.room = room
        self.attendance = Attendance(grace_s)
        self.writer = MapWriter(document, fresh_client(document.clocks))
        self.people: dict[Connection, str] = {}
        """Of each connection who it is; empty: nobody in particular."""
        self.stirred: Callable[[], None] = _nothing
        self.learnt: Callable[[str], None] = _nothing_of
        self.known: set[str] = set()
        """The ids that were ever in its map."""
        self.pinned = False
        self._document = document
        self._entries = entries
        self._cached: dict[str, tuple[int, int, Any]] = {}
        self._touched: set[str] = set()
        """Whom somebody has written about since the last update of this hand's own."""
        entries.listeners.append(self._heard)

    def values(self, ids: Iterable[str] | None = None) -> dict[str, Any]:
        """Return what the map says of some people or of all, each value decoded once."""
        found: dict[str, Any] = {}
        cached, has = self._cached, self._document.deleted.has
        for id in self._entries.keys(PRESENCE) if ids is None else ids:
            last = self._entries.last(PRESENCE, id)
            if last is None or has(last.client, last.clock):
                continue
            known = cached.get(id)
            if known is None or known[0] != last.client or known[1] != last.clock:
                known = cached[id] = (last.client, last.clock, last.value())
            found[id] = known[2]
        return found

    def record(self, id: str) -> Person | None:
        """Return what presence says of somebody who may be gone."""
        return self.attendance.person(id) or read_record(id, self.writer.value(PRESENCE, id))

    # Who comes and goes

    def come(self, connection: Connection) -> None:
        if connection in self.people or connection.closed:
            return
        principal = connection.principal
        id = principal.id if is_person(principal.id) else ""
        self.people[connection] = id
        if id:
            self._arrive(id, principal.name)

    def _arrive(self, id: str, name: str) -> None:
        clock, value = self.room.clock, self.writer.value(PRESENCE, id)
        self.attendance.arrive(id, name, value, clock.monotonic_s(), clock.time_ms())
        self.learnt(id)
        self.stirred()

    def go(self, connection: Connection) -> None:
        id = self.people.pop(connection, "")
        if id:
            self._leave(id)

    def _leave(self, id: str) -> None:
        clock = self.room.clock
        self.attendance.leave(id, clock.monotonic_s(), clock.time_ms())
        self.stirred()

    def become(self, connection: Connection) -> None:
        id = self.people.get(connection)
        if id and id == connection.principal.id:
            self.attendance.rename(id, connection.principal.name)
            self.stirred()

    def _heard(self, written: Written) -> None:
        """Take what people say of themselves; what they say of others changes nothing."""
        source = written.source
        if written.root != PRESENCE or source is _OWN_HAND:
            return
        id = written.key
        self._touched.add(id)
        self.learnt(id)
        self.stirred()
        if isinstance(source, Connection):
            if source.room is not self.room:
                return
            self.come(source)
            if not source.principal.id:
                if not is_guest(id) or source not in self.people:
                    return
                self._announce(source, id)
            elif source.principal.id != id:
                return
        elif isinstance(source, Editor) and source.principal.id not in ("", id):
            return
        self.attendance.said(id, written.entry.value(), self.room.clock.time_ms())

    def _announce(self, connection: Connection, id: str) -> None:
        """Let a connection of nobody's be a guest's: of one at a time."""
        before = self.people[connection]
        if before == id:
            return
        self.people[connection] = id
        if before:
            clock = self.room.clock
            self.attendance.drop(before, clock.monotonic_s(), clock.time_ms())
        self._arrive(id, "")

    # Writing

    @property
    def writable(self) -> bool:
        room = self.room
        return not (room.damage or room.fill.full or room.stalled or room.degraded)

    def update(self) -> bytes:
        """Return what makes the map true; empty where it is."""
        clock = self.room.clock
        self.attendance.expire(clock.monotonic_s())
        values = self.values(self.attendance.concerned | self._touched)
        sets, deletes = self.attendance.changes(values, clock.time_ms())
        if self.writer.spent:
            self.writer = MapWriter(self._document, fresh_client(self._document.clocks))
        return self.writer.update(
            [(PRESENCE, id, value) for id, value in sets], [(PRESENCE, id) for id in deletes]
        )

    def write(self) -> None:
        """Submit that update."""
        update = self.update()
        self._touched.clear()
        if update != EMPTY_UPDATE:
            room = self.room
            found = scan(update, trusting(room.limits), structs=room.document.detailed)
            room.submit(update, found, _OWN_HAND)
        self.attendance.written()

    def pin(self) -> None:
        """Keep the room open while something is still to be written, and stored."""
        wanted = self.writable and (self.attendance.pending or self.room.uncommitted)
        if wanted != self.pinned:
            self.pinned = wanted
            self.room.pins += 1 if wanted else -1

    # Asking

    def info(self) -> RoomInfo:
        """Return who is in the room."""
        principals: dict[str, list[Principal]] = {}
        strangers: list[Principal] = []
        for connection, id in self.people.items():
            if id:
                principals.setdefault(id, []).append(connection.principal)
            else:
                strangers.append(connection.principal)
        here = sorted(self.attendance.people(), key=lambda each: each.id)
        there = [each for each in here if each.status != "offline"]
        shown = [_in_role(each, principals.get(each.id, ())) for each in there]
        known = {each.id for each in there}
        hidden = {each.id: each for each in here if each.id not in known}
        gone: list[Person] = []
        for id, value in self.values().items():
            record = None if id in known else hidden.get(id) or read_record(id, value)
            if record is not None:
                gone.append(record)
        gone.sort(key=lambda each: (-each.last_seen_ms, each.id))
        owners = (
            each.id
            for each in there
            if any(p.role and (p.role.admin or p.role.shares) for p in principals.get(each.id, ()))
        )
        return RoomInfo(
            people=(*shown, *(PersonHere(person=each) for each in gone)),
            online=len(there),
            connections=sum(each.connections for each in there) + len(strangers),
            viewers=sum(each.read_only for each in shown)
            + sum(each.reads_only for each in strangers),
            owners_online=tuple(owners),
        )


def _in_role(person: Person, principals: Sequence[Principal]) -> PersonHere:
    """Say what somebody may do by the connection with which they may do most."""
    writing = [each for each in principals if not each.reads_only]
    roles = [each.role.name for each in writing or principals if each.role is not None]
    return PersonHere(
        person=person, role=roles[0] if roles else "", read_only=bool(principals) and not writing
    )


def _nothing() -> None: ...


def _nothing_of(id: str) -> None: ...
