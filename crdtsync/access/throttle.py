"""Counting what went wrong, by whom, in the last minute; bounded in memory."""

from collections import OrderedDict, deque
from typing import Final

from crdtsync.clock import Clock
from crdtsync.errors import TooManyRequests

__all__ = ["MAX_KEYS", "Throttle"]

WINDOW_S: Final = 60.0
MAX_KEYS: Final = 10_000
"""Links and addresses of which failures are remembered; the latest."""


class Throttle:
    """So many failures per key in a minute; what comes then isn't looked at."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, key: str) -> None:
        """Raise ``TooManyRequests`` where a key has failed too often."""
        times_s = self._failures.get(key)
        if times_s is None:
            return
        now_s = self._clock.monotonic_s()
        while times_s and now_s - times_s[0] >= WINDOW_S:
            times_s.popleft()
        if not times_s:
            del self._failures[key]
        elif len(times_s) >= self._limit:
            raise TooManyRequests("too many wrong share links or passwords: wait a minute")

    def failed(self, key: str) -> None:
        """Count a failure."""
        times_s = self._failures.setdefault(key, deque(maxlen=self._limit))
        times_s.append(self._clock.monotonic_s())
        self._failures.move_to_end(key)
        if len(self._failures) > MAX_KEYS:
            self._failures.popitem(last=False)
