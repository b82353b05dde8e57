"""Who may write what to one room: the decision on each update that isn't free to enter.

Owns what deciding takes: the clearances of those who connect and, while somebody writes by rules
about content, the index of the document's places. Invariants:

- Nothing enters before it was decided on. What refers to something unknown waits in the document,
  and is decided on when that has come, by what its sender may do then.
- While there is an index, each update that is let in goes past it, whoever sent it. It is made
  when the first such writer sends something, and dropped when the last one has gone.
- A room without such writers pays nothing: its connections are free, and this is never asked.
"""

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, cast

from crdtsync.connection import Connection
from crdtsync.edit import index_update, read_edit
from crdtsync.gate import READ_ONLY, Clearance, ContentGate, Decision, Deny, Gate, Principal
from crdtsync.held import Verdict
from crdtsync.limits import trusting
from crdtsync.places import PlaceIndex, Placement
from crdtsync.structs import Scan
from crdtsync.update import scan

if TYPE_CHECKING:
    from crdtsync.batch import Source
    from crdtsync.room import Room

__all__ = ["Judge"]

log = logging.getLogger("crdtsync")

_FAILED: Final = Deny("the server can't decide on this edit")


class Judge:
    """Decides on the updates of one room."""

    __slots__ = ("_by_default", "_check", "_content", "_index", "_late", "_noted", "_read", "_room")

    def __init__(self, room: "Room", gate: Gate | ContentGate | None) -> None:
        self._room = room
        self._check: Gate | None = None
        self._content: ContentGate | None = None
        if hasattr(gate, "check_edit"):
            self._content = cast(ContentGate, gate)
        else:
            self._check = gate
        self._by_default = gate is None
        self._index: PlaceIndex | None = None
        self._read: tuple[bytes, Iterable[Placement]] | None = None
        self._noted = False
        self._late: list[tuple[Connection, Deny, bytes, Scan]] = []

    @property
    def index(self) -> PlaceIndex | None:
        """The places of the room's items, while they are needed."""
        return self._index

    # Who needs a look

    def regard(self, connection: Connection) -> None:
        """Take note of what a connection may do, now that it is there."""
        role = connection.principal.role
        connection.clearance = None
        connection.hidden = role is not None and not role.awareness
        connection.free = self._frees(connection.principal)

    def reconsider(self, connection: Connection) -> None:
        """Take note that a connection's principal is another one, or may do something else."""
        self.regard(connection)
        self.left()

    def left(self) -> None:
        """Drop the index if nobody is left whose updates need it."""
        room = self._room
        if not room.loaded or room.document.judge is None or room.document.held:
            return  # what is held may be theirs
        if not any(self._by_content(each.principal) for each in room.connections):
            room.document.judge = None
            self._index = self._read = None
            self.regard_all()

    def regard_all(self) -> None:
        """Find out anew who needs a look: something about the document has changed."""
        for connection in self._room.connections:
            if connection.live:
                self.regard(connection)

    def _frees(self, principal: Principal) -> bool:
        """Return whether a principal's updates need no look."""
        room = self._room
        return not (
            room.damage
            or room.fill.full
            or self._check is not None
            or self._content is not None
            or room.document.judge is not None
            or principal.read_only
            or not (principal.role is None or principal.role.writes_all)
        )

    def _by_content(self, principal: Principal) -> bool:
        """Return whether what an update of a principal does where is to be decided on."""
        role = principal.role
        if role is not None and role.reads_only:
            return False
        return self._content is not None or not (role is None or role.writes_all)

    # Decisions

    def denial(self, connection: Connection, update: bytes, found: Scan) -> Deny | None:
        """Return why a connection's update may not enter; ``None`` where it may."""
        room, principal = self._room, connection.principal
        clearance = connection.clearance
        if clearance is None or clearance.principal is not principal:
            clearance = connection.clearance = Clearance(principal)
        elif self._index is not None and self._is_plain(clearance, update, found):
            return None
        if room.damage:
            return Deny(room.damage)
        if clearance.nothing or (principal.read_only and self._by_default):
            return Deny(READ_ONLY)
        if self._check is not None:
            decision = self._ask(self._check.check, principal, room.name, update, found)
            if isinstance(decision, Deny):
                return decision
        if (clearance.everything and self._content is None) or room.document.knows(found):
            return None
        return self._by_place(clearance, update, found)

    def _by_place(self, clearance: Clearance, update: bytes, found: Scan) -> Deny | None:
        room, content = self._room, self._content
        document = room.document
        index = self._index
        values = clearance.values or content is not None
        if index is None or (values and not index.values):
            index = self._make_index(values=values)
            if index is None:
                return _FAILED
        if self._by_default:
            clearance.use(index)
        if found.structs is None:
            found = scan(update, room.limits, structs=True)
        mark = index.mark()
        edit, placements = read_edit(update, found, index, document.deleted)
        decision = clearance.check(edit)
        if content is not None and not isinstance(decision, Deny):
            decision = self._ask(content.check_edit, clearance.principal, room.name, edit)
        if edit.waits and not isinstance(decision, Deny) and not document.lacks(update, found):
            decision = _FAILED
        if isinstance(decision, Deny):
            index.forget(mark)
            return decision
        self._read = (update, placements)
        return None

    def _ask(self, decide: Callable[..., Decision], *question: object) -> Decision:
        """Ask a custom gate; one that fails lets nothing in, and disturbs nobody else."""
        try:
            return decide(*question)
        except Exception:
            self._room.stats.gate_errors += 1
            log.exception("the gate failed to decide on an edit of document %r", self._room.name)
            return _FAILED

    def _is_plain(self, clearance: Clearance, update: bytes, found: Scan) -> bool:
        """Return whether an update stays in places that its sender may do anything in.

        Recognises what people do most, typing and deleting; anything else gets a closer look.
        """
        index = self._index
        if index is None or clearance.index is not index:
            return False
        if found.ranges:
            placement = index.place_item(update, found)
            if placement is None:
                return False
            number = placement.number
            if number not in clearance.opened and not clearance.open_place(number):
                return False
            self._read = (update, (placement,))
        for client, start, end in found.deletes:
            number = index.over(client, start, end)
            if number not in clearance.opened and not clearance.open_place(number):
                return False
        return True

    # What had to wait

    def lets_in(self, piece: bytes, found: Scan, source: object) -> bool:
        """Decide on a part of an update that fits only now, by what its sender may do now."""
        if not isinstance(source, Connection):
            return True  # of the library's own
        denial = self.denial(source, piece, found)
        if denial is not None:
            self._late.append((source, denial, piece, found))
        return denial is None

    def admit(self, update: bytes, found: Scan, source: "Source") -> Verdict:
        """Let an update in past the index; tell whose parts had to wait and were then refused."""
        room = self._room
        self._noted = False
        verdict = room.document.admit(update, found, source)
        if verdict is Verdict.NEW and not self._noted:  # by its short way
            self.note(update, found)
        verdict = room.settle(verdict, update, found, source)
        if verdict is Verdict.AHEAD and isinstance(source, Connection):
            room.ask(source)
        if self._late:
            late, self._late = self._late, []
            for author, denial, piece, refused in late:
                room.deny(author, denial, piece, refused)
        return verdict

    # The index

    def note(self, update: bytes, found: Scan) -> None:
        """Put the items of an update that is let in into the index."""
        self._noted = True
        index = self._index
        if index is None or not found.ranges:
            return
        read, self._read = self._read, None
        if read is not None and read[0] is update:
            fits = all(map(index.put, read[1]))
        else:
            placement = index.place_item(update, found)
            if placement is not None:
                fits = index.put(placement)
            else:
                if found.structs is None:
                    found = scan(update, trusting(self._room.limits), structs=True)
                fits = index_update(found, index)
        if not fits:  # it is made anew for the next who asks
            log.error("the places of document %r don't follow one another", self._room.name)
            self._index = None

    def _make_index(self, *, values: bool) -> PlaceIndex | None:
        """Make the index of all that is here, and see that nothing gets past it from now on."""
        room = self._room
        document = room.document
        index = PlaceIndex(values=values or (self._index is not None and self._index.values))
        limits = trusting(room.limits)
        for update in (document.state(), *room.uncommitted_updates()):
            index_update(scan(update, limits, structs=True), index)
        self._read = None
        if any(index.end(client) != clock for client, clock in document.clocks.items()):
            log.error("the places of document %r can't be told", room.name)
            return None
        self._index = index
        document.judge = self
        for each in room.connections:
            each.free = False
        return index
