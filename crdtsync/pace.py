"""How fast one client sends: two buckets, of bytes and of messages.

Owns the arithmetic: a bucket fills with time up to its size, what comes in is taken out of it,
and where it is empty there is a time to wait. Who waits, and how, is the connection's. Looks at
the clock only where it is told to: a connection accounts for its bytes 64 KiB at a time.
"""

from typing import Final

from crdtsync.errors import TooManyRequests
from crdtsync.limits import Limits

__all__ = ["GRANT_BYTES", "GRANT_MESSAGES", "Bucket", "Pace"]

GRANT_BYTES: Final = 64 * 1024
"""What a connection may receive between two looks at the clock."""
GRANT_MESSAGES: Final = 64
"""The same, in messages."""
QUANTUM_S: Final = 0.1
"""A pause lasts until so much may come again, or a quarter of the burst: so there are few."""


class Bucket:
    """Tokens that come at a rate, up to what ``burst_s`` brings; taking more leaves a debt."""

    __slots__ = ("_at_s", "_quantum_s", "_rate", "_size", "_slow_since_s", "_tokens")

    def __init__(self, rate: float, burst_s: float, now_s: float) -> None:
        self._rate = rate
        self._quantum_s = min(QUANTUM_S, burst_s / 4)  # less than what counts as calm
        self._size = self._tokens = rate * burst_s
        self._at_s = now_s
        self._slow_since_s: float | None = None

    def take(self, amount: int, now_s: float) -> float:
        """Take tokens; return how many seconds to wait before the next, 0 where there are some."""
        tokens = min(self._size, self._tokens + (now_s - self._at_s) * self._rate)
        if 2 * tokens >= self._size:
            self._slow_since_s = None  # it has been calm for a while
        self._at_s = now_s
        self._tokens = tokens = tokens - amount
        if tokens >= 0:
            return 0.0
        if self._slow_since_s is None:
            self._slow_since_s = now_s
        return self._quantum_s - tokens / self._rate

    def slow_for_s(self, now_s: float) -> float:
        """Return for how long it has been empty again and again, without a calm while."""
        return 0.0 if self._slow_since_s is None else now_s - self._slow_since_s


class Pace:
    """One connection's buckets; only those that a limit asks for."""

    __slots__ = ("_bytes", "_max_slowed_s", "_messages")

    def __init__(self, limits: Limits, now_s: float) -> None:
        burst_s = limits.rate_burst_s
        self._max_slowed_s = limits.max_slowed_s
        rate, count = limits.max_bytes_per_s, limits.max_messages_per_s
        self._bytes = Bucket(rate, burst_s, now_s) if rate else None
        self._messages = Bucket(count, burst_s, now_s) if count else None

    def took_bytes(self, amount: int, now_s: float) -> float:
        """Take note of bytes; return how long to wait for the next ones.

        Raises ``TooManyRequests`` where it had to wait again and again for too long.
        """
        return self._took(self._bytes, amount, now_s)

    def took_messages(self, amount: int, now_s: float) -> float:
        """Do the same for messages."""
        return self._took(self._messages, amount, now_s)

    def _took(self, bucket: Bucket | None, amount: int, now_s: float) -> float:
        if bucket is None:
            return 0.0
        wait_s = bucket.take(amount, now_s)
        if wait_s and bucket.slow_for_s(now_s) > self._max_slowed_s:
            raise TooManyRequests("you send too much, and have for too long")
        return wait_s
