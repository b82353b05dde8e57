"""Slowing down a client that sends too fast: what it sends is left in its socket for a while.

Owns the pauses; how long they are is ``pace``'s. A connection may be paused for other reasons at
the same time: it is read again when none is left.
"""

from typing import TYPE_CHECKING, Final

from crdtsync.pace import Pace

if TYPE_CHECKING:
    from crdtsync.connection import Connection

__all__ = ["MAX_PAUSE_S", "Brake"]

MAX_PAUSE_S: Final = 5.0
"""How long a client that sends too fast is not read at a time: its pongs have to get through."""


class Brake(Pace):
    """One connection's brake."""

    __slots__ = ("_connection", "on")

    def __init__(self, connection: "Connection") -> None:
        room = connection.room
        super().__init__(room.limits, room.clock.monotonic_s())
        self._connection = connection
        self.on = False
        """Whether its client is not read now, because it has sent too fast."""

    def bytes_came(self, amount: int) -> None:
        """Account for bytes. Raises ``TooManyRequests`` where it has been on for too long."""
        self._pull(self.took_bytes(amount, self._connection.room.clock.monotonic_s()))

    def messages_came(self, amount: int) -> None:
        """Do the same for messages."""
        self._pull(self.took_messages(amount, self._connection.room.clock.monotonic_s()))

    def _pull(self, wait_s: float) -> None:
        if not wait_s or self.on:
            return
        self.on = True
        connection = self._connection
        if not connection.reading_paused:
            connection.link.pause_reading()
        connection.room.stats.slowed += 1
        connection.room.engine.later(min(wait_s, MAX_PAUSE_S), self.release)

    def release(self) -> None:
        """Read on, unless something else speaks against it."""
        self.on = False
        connection = self._connection
        if not connection.reading_paused and not connection.closed:
            connection.link.resume_reading()
