"""Plain counters of what happens. Reading them is the metrics module's work.

A counter is an attribute of an ordinary object, so that counting costs some 30 ns on the path
of a frame; the Prometheus text is made only when somebody asks for it.
"""

from bisect import bisect_left
from collections import Counter

__all__ = ["Histogram", "HistoryStats", "Stats"]


class Histogram:
    """Counts of observations per bucket; ``bounds`` are the buckets' upper ends."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class HistoryStats:
    """What was done with histories since the server started."""

    __slots__ = ("errors", "fold_seconds", "folds", "pruned", "size", "versions")

    def __init__(self) -> None:
        self.folds = 0
        """Times that a log went into its history."""
        self.fold_seconds = 0.0
        self.versions = 0
        """Versions that the server made by itself."""
        self.pruned = 0
        """Moments that were let go."""
        self.size = 0
        """Bytes that all histories take, when that was last looked at."""
        self.errors: Counter[str] = Counter()
        """By what went wrong."""


class Stats:
    """What one hub has done since it started."""

    __slots__ = (
        "awareness_in",
        "awareness_out",
        "bytes_in",
        "bytes_out",
        "commit_seconds",
        "commit_updates",
        "connections_closed",
        "connections_total",
        "frames_out",
        "gate_errors",
        "integration_errors",
        "integration_seconds",
        "messages_ignored",
        "rejected",
        "restarts",
        "slowed",
        "store_errors",
        "updates_committed",
        "updates_duplicate",
        "updates_held",
        "updates_in",
        "updates_out",
        "updates_refused",
    )

    def __init__(self) -> None:
        self.connections_total = 0
        self.connections_closed = 0
        self.updates_in = 0
        self.updates_out = 0
        """Updates delivered: one per update and connection, merged or not."""
        self.updates_committed = 0
        self.updates_duplicate = 0
        self.updates_held = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.frames_out = 0
        self.awareness_in = 0
        self.awareness_out = 0
        self.messages_ignored: Counter[str] = Counter()
        """By message type."""
        self.rejected: Counter[str] = Counter()
        """Connections and messages refused, by the error's ``kind``."""
        self.updates_refused: Counter[str] = Counter()
        """Updates that did not enter, by the kind of refusal."""
        self.slowed = 0
        """How often a client that sent too fast was not read for a while."""
        self.restarts = 0
        """How often a supervisor started the server again before this."""
        self.store_errors: Counter[str] = Counter()
        """By operation."""
        self.gate_errors = 0
        self.integration_errors = 0
        self.integration_seconds = 0.0
        self.commit_updates = Histogram((1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096))
        self.commit_seconds = Histogram(
            (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)
        )
