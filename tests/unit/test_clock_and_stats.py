"""The clock that tests move, and the counters that metrics read."""

import pytest

from crdtsync.clock import ManualClock, SystemClock
from crdtsync.stats import Histogram, Stats


def test_a_manual_clock_moves_when_it_is_told() -> None:
    """It stands still, advances both clocks, and jumps the wall clock alone."""
    clock = ManualClock(monotonic_s=5.0, time_ms=1_000)
    assert (clock.monotonic_s(), clock.time_ms()) == (5.0, 1_000)
    clock.advance(2.5)
    assert (clock.monotonic_s(), clock.time_ms()) == (7.5, 3_500)
    clock.jump(-1.0)
    assert (clock.monotonic_s(), clock.time_ms()) == (7.5, 2_500)


def test_the_machines_clock() -> None:
    """Seconds never go back, and the wall clock is in milliseconds of this century."""
    clock = SystemClock()
    assert clock.monotonic_s() <= clock.monotonic_s()
    assert 1_600_000_000_000 < clock.time_ms() < 10_000_000_000_000


@pytest.mark.parametrize(("value", "bucket"), [(0, 0), (1, 0), (1.5, 1), (4, 2), (5, 3), (1e9, 3)])
def test_a_histogram_counts_up_to_each_bound(value: float, bucket: int) -> None:
    """A value counts in the first bucket that it does not exceed, or behind the last."""
    histogram = Histogram((1, 2, 4))
    histogram.observe(value)
    assert histogram.counts[bucket] == 1
    assert sum(histogram.counts) == 1
    assert histogram.total == value


def test_stats_begin_at_nothing() -> None:
    """A new hub has done nothing."""
    stats = Stats()
    numbers = [getattr(stats, name) for name in Stats.__slots__]
    assert not any(each for each in numbers if isinstance(each, int | float))
