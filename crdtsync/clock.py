"""Time, as something that is handed in: nothing below the edges reads a clock of its own."""

import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]


class Clock(Protocol):
    """Two readings: one that only moves forward, one that people read."""

    def monotonic_s(self) -> float:
        """Return seconds from some fixed moment; never goes back."""
        ...

    def time_ms(self) -> int:
        """Return the wall clock in milliseconds since 1970-01-01 UTC; may jump either way."""
        ...


class SystemClock:
    """The machine's clocks."""

    monotonic_s = staticmethod(time.monotonic)  # some calls a keystroke: none in between

    def time_ms(self) -> int:
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock for tests: stands still until it is moved."""

    def __init__(self, *, monotonic_s: float = 0.0, time_ms: int = 1_700_000_000_000) -> None:
        self._monotonic_s = monotonic_s
        self._time_ms = time_ms

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def time_ms(self) -> int:
        return self._time_ms

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        self._monotonic_s += seconds
        self._time_ms += int(seconds * 1000)

    def jump(self, seconds: float) -> None:
        """Move the wall clock alone, as an operator or NTP does."""
        self._time_ms += int(seconds * 1000)
