"""Who may write what to one room: the decision on each update that isn't free to enter.

Owns what deciding takes: the clearances of those who connect and, while somebody writes by rules
about content, the index of the document's places. Invariants:

- Nothing enters before it was decided on. What refers to something unknown waits in the document,
  and is decided on when that has come, by what its sender may do then.
- While there is an index, each update that is let in goes past it, whoever sent it. It is made
  when the first such writer sends something, and dropped when the last one has gone.
- A room without such writers pays nothing: its connections are free, and this is never asked.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from crdtsync.channels.book import Draft
from crdtsync.channels.denials import SEALED
from crdtsync.channels.hand import put_right
from crdtsync.connection import Connection
from crdtsync.dividing import is_long_to_decide
from crdtsync.edit import Act, Edit, read_edit
from crdtsync.gate import Clearance, ContentGate, Deny, Gate, Principal
from crdtsync.gatekeeping import FAILED, Gatekeeper
from crdtsync.held import Verdict
from crdtsync.indexing import INDEX_HERE_BYTES, Keeper, Making, Reading
from crdtsync.limits import trusting
from crdtsync.places import Place, PlaceIndex
from crdtsync.session import SoFar, UpdateReceived
from crdtsync.shortcuts import plain_places, stays
from crdtsync.structs import Scan
from crdtsync.update import scan

if TYPE_CHECKING:
    from crdtsync.batch import Source
    from crdtsync.room import Room

__all__ = ["WAIT", "Judge"]

WAIT: Final = Deny("the server can't decide on this edit yet")
"""Not a decision: there will be one when the index is made."""


class Judge:
    """Decides on the updates of one room."""

    __slots__ = (
        "_gates", "_late", "_noted", "_placed", "_read", "_room", "_wrongs", "keeper",
    )  # fmt: skip

    def __init__(self, room: "Room", gate: Gate | ContentGate | None) -> None:
        self._room = room
        self._gates = Gatekeeper(room, gate)
        self.keeper = Keeper(room)
        """What deciding takes: the index, and the channels' book."""
        self._read: Reading | None = None
        self._placed: bytes | None = None  # an update that is in the index before it is let in
        self._wrongs: list[Draft] = []
        self._noted = False
        self._late: list[tuple[Connection, Deny, bytes, Scan]] = []

    @property
    def index(self) -> PlaceIndex | None:
        """The places of the room's items, while they are needed."""
        return self.keeper.index

    def clear(self, principal: Principal) -> Clearance:
        """Return what somebody may write here, ready to be asked."""
        channels = self.keeper.channels
        return Clearance(principal, None if channels is None else channels.fences)

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
        if not room.loaded or room.document.judge is None or room.document.waiting:
            return  # what is held may be theirs
        if self.keeper.users:
            return
        if not any(self._by_content(each.principal) for each in room.connections):
            room.document.judge = None
            self._read = self._placed = None
            self.keeper.drop()
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
            or self._gates.check is not None
            or self._gates.content is not None
            or self.keeper.channels is not None
            or room.document.judge is not None
            or principal.read_only
            or not (principal.role is None or principal.role.writes_all)
        )

    def _by_content(self, principal: Principal) -> bool:
        """Return whether what an update of a principal does where is to be decided on."""
        role = principal.role
        if role is not None and role.reads_only:
            return False
        if self._gates.content is not None or self.keeper.channels is not None:
            return True
        return not (role is None or role.writes_all)

    # Decisions

    def passes(self, connection: Connection, update: bytes, found: Scan) -> bool:
        """Return whether an update may enter by the same way as a free one's.

        Recognises what people do most in a document of one root without keys: whatever stands
        beside something lies in that root. Anything else gets a closer look.
        """
        room = self._room
        document = room.document
        clearance = connection.clearance
        root = document.root
        if clearance is None:
            clearance = connection.clearance = self.clear(connection.principal)
        if clearance.limited and connection.portion is not None:
            return False  # its size counts with that of those before
        if root is None:
            if document.structure is None or document.waiting:
                return False
            if not self._is_plain(clearance, update, found):
                return False
            if room.fill.limit:
                room.fill.check(update, found, document.knows)
            return True  # ``note`` puts it into the index
        if root is not clearance.root and not self._reaches(clearance, root):
            return False
        ranges = found.ranges
        judge = document.judge
        keeper = self.keeper
        if found.follows:
            if (
                len(update) > clearance.reach[1]
                or document.clocks.get(ranges[0][0]) != ranges[0][1]
            ):
                return False
        elif not stays(clearance, document.clocks, update, found):
            return False
        if judge is not None and document.waiting:
            return False  # it may have come for this
        index = keeper.index
        placed = None
        if ranges and index is not None and not index.single:
            placed = index.place_item(update, found)
            if placed is None:
                return False
        if room.fill.limit:
            room.fill.check(update, found, document.knows)
        if judge is not None:
            if ranges:
                if index is not None and not (
                    index.extend(*ranges[0]) if placed is None else index.put(placed)
                ):
                    keeper.misfits()
                if keeper.making is not None:
                    keeper.making.add(update)
            self._placed = update
        return True

    def _reaches(self, clearance: Clearance, root: str) -> bool:
        """Find out how far somebody may go in a document that is one root."""
        if not self._gates.by_default or self._room.damage or clearance.principal.read_only:
            return False
        clearance.reach = clearance.reach_of(Place(root, None))
        clearance.root = root
        return True

    def refuses(self, connection: Connection, update: bytes, found: Scan, *, step_2: bool) -> bool:
        """Return whether an update does not enter now; see to what follows then.

        A long one is decided on by portions. Over one of them the rest is refused as well.
        """
        room, portion = self._room, connection.portion
        by_parts = portion is None and is_long_to_decide(
            found, channels=self.keeper.channels is not None
        )
        by_parts = by_parts and not room.document.knows(found)
        if by_parts:
            denial = self._gates.outright(self._clearance(connection), update, found)
        else:
            denial = self.denial(connection, update, found)
        if denial is WAIT:
            keeper = self.keeper
            making = keeper.making
            assert making is not None
            connection.wait(portion or UpdateReceived(update, found, step_2))
            making.waiting.append(connection)
            keeper.begin(making)
        elif denial is not None:
            if portion is not None:
                whole = portion.whole()
                update, found = whole.update, whole.scan
            room.deny(connection, denial, update, found, step_2=step_2)
        elif by_parts:
            if room.fill.limit:
                room.fill.check(update, found, room.document.knows)
            event = UpdateReceived(update, found, step_2)
            connection.wait(event)
            room.engine.divide_apart(connection, event)
        return by_parts or denial is not None

    def denial(self, connection: Connection, update: bytes, found: Scan) -> Deny | None:
        """Return why a connection's update may not enter; ``None`` where it may.

        ``WAIT`` where that can't be told before the index is made.
        """
        before, clearance = connection.clearance, self._clearance(connection)
        waiting = clearance is before and self._room.document.waiting
        if waiting and self._is_plain(clearance, update, found):
            return None
        portion, address = connection.portion, connection.caller.address
        so_far = portion.so_far if portion is not None and portion.update is update else None
        return self.ruling(clearance, update, found, address=address, so_far=so_far)

    def _clearance(self, connection: Connection) -> Clearance:
        clearance = connection.clearance
        if clearance is None or clearance.principal is not connection.principal:
            clearance = connection.clearance = self.clear(connection.principal)
        return clearance

    def ruling(
        self,
        clearance: Clearance,
        update: bytes,
        found: Scan,
        *,
        address: str = "",
        so_far: SoFar | None = None,
    ) -> Deny | None:
        """Return the same for whoever has a clearance, connected or not.

        ``so_far`` is of a portion: a custom gate for whole updates has let it in already.
        """
        denial = self._gates.outright(clearance, update, found, asked=so_far is not None)
        channels = self.keeper.channels
        if denial is not None or (
            clearance.everything and self._gates.content is None and channels is None
        ):
            return denial
        if self._room.document.knows(found):
            return None
        if channels is not None and channels.sealed:
            return SEALED
        return self._by_place(clearance, update, found, address, so_far)

    def _by_place(
        self,
        clearance: Clearance,
        update: bytes,
        found: Scan,
        address: str,
        so_far: SoFar | None,
    ) -> Deny | None:
        room, content, keeper = self._room, self._gates.content, self.keeper
        document = room.document
        index = keeper.index
        values = clearance.values or content is not None
        if index is None or (values and not index.values):
            if keeper.broken:
                return FAILED
            making = keeper.make(values=values)
            if making.begun or making.gathered_bytes > INDEX_HERE_BYTES:
                return WAIT
            keeper.make_here(making)
            index = keeper.index
            if index is None:
                return FAILED
        if self._gates.by_default:
            clearance.use(index)
        if found.structs is None:
            found = scan(update, trusting(room.limits), structs=True)
        mark = index.mark()
        channels, book = keeper.channels, keeper.book
        looked = None if channels is None or book is None else channels.look(update, index, book)
        edit, placements = read_edit(update, found, index, document.deleted, looked)
        if so_far is not None:
            edit = replace(edit, size_bytes=edit.size_bytes + so_far.size_bytes)
        decision = self._gates.on_edit(clearance, edit)
        draft: Draft | None = None
        if looked and channels is not None and book is not None and not isinstance(decision, Deny):
            asked = channels.judge(
                looked, clearance.principal, book, address=address, parted=so_far is not None
            )
            if isinstance(asked, Deny):
                decision = asked
            else:
                draft = asked
        if edit.waits and not isinstance(decision, Deny) and not document.lacks(update, found):
            decision = FAILED
        if isinstance(decision, Deny):
            index.forget(mark)
            if any(each.act is Act.DELETE for each in edit.touches) and keeper.implied.learn():
                return self._by_place(clearance, update, found, address, so_far)
            return decision
        if so_far is not None:
            so_far.size_bytes = edit.size_bytes
        self._read = (update, placements, draft)
        return None

    def objection(self, principal: Principal, edit: Edit) -> Deny | None:
        """Return what a role or a custom gate has against an edit; channels' rules aside."""
        return self._gates.objection(self.clear(principal), edit)

    def _is_plain(self, clearance: Clearance, update: bytes, found: Scan) -> bool:
        index = self.keeper.index
        if index is None or clearance.index is not index:
            return False
        placements = plain_places(clearance, index, update, found)
        if placements is None:
            return False
        self._read = (update, placements, None)
        return True

    # What had to wait

    def lets_in(self, piece: bytes, found: Scan, source: object) -> bool:
        """Decide on a part of an update that fits only now, by what its sender may do now."""
        if not isinstance(source, Connection):
            return True  # of the library's own
        denial = self.denial(source, piece, found)
        if denial is WAIT:  # nothing of it may wait here
            keeper = self.keeper
            assert keeper.making is not None
            keeper.make_here(keeper.make(values=keeper.making.index.values))
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
        if self._wrongs:
            wrongs, self._wrongs = self._wrongs, []
            put_right(self._room, wrongs)
        return verdict

    # The index

    def note(self, update: bytes, found: Scan) -> None:
        """Put the items of an update that is let in into the index, and into the book."""
        self._noted = True
        if update is self._placed:
            return
        read, self._read = self._read, None
        if read is not None and read[0] is not update:
            read = None
        keeper = self.keeper
        if found.ranges or keeper.channels is not None:
            keeper.note(update, found, read)
        if read is not None and read[2] is not None and keeper.channels is not None:
            keeper.channels.said(read[2])
            if read[2].amends or read[2].restated:
                self._wrongs.append(read[2])

    def made(self, making: Making) -> None:
        """Take over an index that was made apart, but for the newest updates."""
        self._read = None
        self.keeper.made(making)

    def failed(self, making: Making) -> None:
        """Take note that there can be no index: nothing enters that needs it."""
        self.keeper.failed(making)
