"""Someone who sends what no client sends, and comes back however often he is sent away.

Owns a number of his own, far from everybody else's: what he manages to get in is his own. He may
name others, but not write as them.
"""

from typing import TYPE_CHECKING, Any

import pycrdt

from crdtsync.awareness import Entry, encode_entries
from crdtsync.channels.model import message_id
from crdtsync.errors import RemoteError
from crdtsync.gate import Principal
from crdtsync.protocol import awareness_frame, step_1_frame, step_2_frame, update_frame
from crdtsync.update import scan
from tests.properties.replica import READER
from tests.simulation.network import Wire

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["FORGED", "Hostile"]

FORGED = '"mallory"'
"""What he says in others' names."""
KILLERS = [bytes.fromhex(each) for each in ("01010101000100", "010101008101010200", "0100010000")]
"""Updates that a CRDT library does not survive, or not well, where nobody reads them first."""


class Hostile:
    """One such peer."""

    may_write = True
    acknowledge = False

    def __init__(self, world: "World", name: str, number: int, room: str) -> None:
        self.world = world
        self.kernel = world.kernel
        self.name = name
        self.number = number
        self.room = room
        self.principal = Principal(id=name)
        self.chance = self.kernel.stream(name)
        self.wire: Wire | None = None
        self.ended = False
        self._doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=number)
        self._text = self._doc.get("text", type=pycrdt.Text)
        self._updates: list[bytes] = []

    def end(self) -> None:
        """Go for good."""
        self.ended = True
        if self.wire is not None:
            self.wire.leave()
            self.wire = None

    def heard(self, frame: bytes) -> None:
        """He does not listen."""

    def closed(self, wire: Wire, code: int, reason: str) -> None:
        if wire is not self.wire:
            return
        self.kernel.tell(self.name, f"is sent away: {code} {reason}")
        self.wire = None

    def act(self) -> None:
        """Do the next thing."""
        if self.ended:
            return
        if self.wire is None:
            self.wire = self.world.dial(self)
            if self.wire is None:
                return
            self.kernel.tell(self.name, "connects")
        what, frame = self._frame()
        self.kernel.tell(self.name, f"sends {what}")
        self.wire.up(frame)

    def _frame(self) -> tuple[str, bytes]:
        chance = self.chance
        if self.world.talks(self.room) and chance.random() < 0.2:
            return "a message of another's", update_frame(self._forged())
        match chance.randrange(9):
            case 0:
                return "noise", chance.randbytes(chance.randint(0, 40))
            case 1:
                return "an update that kills", update_frame(chance.choice(KILLERS))
            case 2:
                frame = update_frame(self._edit())
                return "half an update", frame[: chance.randrange(len(frame))]
            case 3:
                return "an update with damage", self._damaged()
            case 4:
                return "a state vector of nonsense", step_1_frame(chance.randbytes(5))
            case 5:
                others = [each.number for each in self.world.clients]
                return "another's presence", awareness_frame(
                    encode_entries(
                        [Entry(chance.choice(others), chance.choice([1, 7, 5_000]), FORGED)]
                    )
                )
            case 6:
                return "his presence", awareness_frame(
                    encode_entries([Entry(self.number, chance.randrange(9), '"here"')])
                )
            case 7:
                return "everything of his", step_2_frame(self._doc.get_update())
            case _:
                self._edit()
                return "an update behind a gap", update_frame(self._edit())

    def _edit(self) -> bytes:
        before = self._doc.get_state()
        self._text += "!"
        return self._doc.get_update(before)

    def _forged(self) -> bytes:
        """Return an update that says something in another's name."""
        other = self.chance.choice(self.world.clients).name
        doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=self.chance.randrange(1 << 41, 1 << 42))
        time_ms = 1_700_000_000_000 + int(self.kernel.now_s * 1000)
        value = {"author": other, "text": FORGED, "time": time_ms, "type": "text"}
        doc.get("chat", type=pycrdt.Map)[message_id(time_ms)] = value
        return doc.get_update()

    def _damaged(self) -> bytes:
        """Return an update that is none any more."""
        for _ in range(50):
            update = bytearray(self._edit())
            update[self.chance.randrange(len(update))] ^= 1 << self.chance.randrange(8)
            try:
                scan(bytes(update), READER)
            except RemoteError:
                return update_frame(bytes(update))
        return update_frame(b"\x01")
