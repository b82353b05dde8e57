"""A connection whose messages are counted, beside their bytes."""

from crdtsync.connection import Connection
from crdtsync.errors import TooManyRequests
from crdtsync.pace import GRANT_MESSAGES

__all__ = ["CountedConnection"]


class CountedConnection(Connection):
    """A connection whose messages are counted too: where ``max_messages_per_s`` is set.

    A class of its own, so that others don't pay for one more call with each keystroke.
    """

    __slots__ = ("_messages",)

    _messages: int

    def receive(self, frame: bytes) -> None:
        """Take one whole binary message, and count it."""
        if not self._waiting:  # or else it is counted when it is taken
            self._messages = messages = getattr(self, "_messages", GRANT_MESSAGES) - 1
            if not messages and not self.closed:
                self._messages = GRANT_MESSAGES
                try:
                    self.brake.messages_came(GRANT_MESSAGES)
                except TooManyRequests as error:
                    self.refuse(error)
        super().receive(frame)
