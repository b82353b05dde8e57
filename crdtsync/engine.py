"""What a room asks of the hub that it is in, and what the hub tells of committed changes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from crdtsync.audit import Audit
from crdtsync.channels.service import Channels
from crdtsync.connection import Connection
from crdtsync.indexing import Making
from crdtsync.refusing import Refusals
from crdtsync.session import UpdateReceived

if TYPE_CHECKING:
    from crdtsync.judge import Judge
    from crdtsync.room import Room

__all__ = ["Change", "Engine", "Pressure"]


@dataclass(frozen=True, slots=True)
class Change:
    """A committed change, as ``on_change`` gets it."""

    document: str
    sequence: int
    time_ms: int
    author: str
    update: bytes


class Pressure:
    """How much waits for the store, over all rooms."""

    __slots__ = ("limit_bytes", "pending_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.pending_bytes = 0


class Engine(Protocol):
    """What a room asks of its hub."""

    pressure: "Pressure"
    audit: Audit
    channels: Channels
    refusals: Refusals

    def schedule_commit(self, room: "Room") -> None:
        """Commit the room's pending updates soon."""
        ...

    def schedule_awareness(self, room: "Room") -> None:
        """Flush the room's awareness within a tick."""
        ...

    def throttle(self, connection: Connection) -> None:
        """Stop reading from a connection until less is pending."""
        ...

    def read_apart(self, connection: Connection) -> None:
        """Let ``connection.read`` read its large frame on a thread; hand ``was_read`` both."""
        ...

    def divide_apart(self, connection: Connection, event: UpdateReceived) -> None:
        """Have a thread cut an update, for which its connection waits, into portions."""
        ...

    def index_apart(self, judge: "Judge", making: Making) -> None:
        """Have a thread make a room's index of places, then tell its judge."""
        ...

    def left(self, connection: Connection) -> None:
        """Take note, once, that a connection is out of its room."""
        ...

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call something after a while."""
        ...
