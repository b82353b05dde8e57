"""What can be set: times, sizes, and how long to wait before coming back. All have names."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Backoff", "Options"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the next try: full jitter below a growing bound.

    Full jitter (any time from 0 to the bound) keeps a thousand clients of a server that has
    restarted from coming back in one moment.
    """

    first_s: float = 0.5
    """The bound of the first wait."""
    factor: float = 2.0
    """How much the bound grows with each failure."""
    max_s: float = 30.0
    """The bound grows no further."""
    quick_s: float = 1.0
    """The bound of the first wait behind 1012 and 1013: the server asked to come back."""
    stable_s: float = 5.0
    """A connection that was in sync for so long makes failures before it forgotten."""
    random: Callable[[], float] = random.random
    """From 0 up to 1; for tests."""

    def wait_s(self, failures: int, *, quick: bool = False) -> float:
        """Return how long to wait behind so many failures in a row (1 or more)."""
        grown = self.first_s * self.factor ** min(failures - 1, 64)
        bound = self.quick_s if quick and failures == 1 else min(self.max_s, grown)
        return bound * self.random()


@dataclass(frozen=True, slots=True)
class Options:
    """Times in seconds and sizes in bytes, with defaults for the internet."""

    connect_timeout_s: float = 10.0
    """For name, TCP, TLS and the WebSocket upgrade together."""
    ping_interval_s: float = 20.0
    """How often the server is asked whether it is still there."""
    silence_timeout_s: float = 45.0
    """A connection on which nothing came for so long, not even a pong, is given up."""
    send_timeout_s: float = 60.0
    """A frame that the socket does not take for so long ends the connection."""
    close_timeout_s: float = 5.0
    """How long leaving ``async with`` waits for what is not saved yet, and for the good-bye."""
    probe_after_s: float = 2.0
    """Who waits in ``saved()`` and hears nothing for so long asks the server what it has."""
    renew_before_s: float = 60.0
    """A fresh token is handed in so long before the last one ends, or at half its time."""
    max_message_bytes: int = 256 * 1024 * 1024
    """A message from the server may be so long."""
    max_frame_bytes: int = 1024 * 1024
    """Own edits go out in frames of about this size; a single string is never cut."""
    max_outbox_bytes: int = 8 * 1024 * 1024
    """Edits that wait for the socket; above it they are read from the document again."""
    compact_records: int = 2000
    """The local store's log is made one state when it has so many records,"""
    compact_bytes: int = 4 * 1024 * 1024
    """or so many bytes."""
    awareness_renew_s: float = 15.0
    """The own presence is said anew so often (y-protocols: half of its timeout)."""
    awareness_timeout_s: float = 30.0
    """Others of whom nothing came for so long are gone (y-protocols)."""
    backoff: Backoff = field(default_factory=Backoff)
    """How long to wait before coming back."""
