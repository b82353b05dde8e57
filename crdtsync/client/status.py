"""What state a client is in, for whoever wants to show it."""

from enum import StrEnum

__all__ = ["Status"]


class Status(StrEnum):
    """A client's state. Edits are taken in each of them but the last."""

    CONNECTING = "connecting"
    """A connection is being made."""
    CONNECTED = "connected"
    """There is one; the document is on its way."""
    SYNCED = "synced"
    """The server has answered: what it had is here, and what happens comes as it happens."""
    OFFLINE = "offline"
    """There is none; the next try is soon."""
    REFUSED = "refused"
    """The server said that coming back is of no use. Nothing more is tried."""
    FAILED = "failed"
    """The document can't be used here. Nothing more is tried."""
    CLOSED = "closed"
    """The client has ended."""
