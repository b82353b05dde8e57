"""People that type: edits at a steady pace, and how long each took to a reader."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from benchmarks.clients import TimedReader, Writer
from benchmarks.load import Group

__all__ = ["Typist", "latencies"]


class Typist:
    """Send one writer's edits at a steady pace from a moment of its own."""

    def __init__(self, writer: Writer, first: float, *, keys_per_s: float) -> None:
        self.writer = writer
        self.times: list[float] = []
        self._pause_s = 1 / keys_per_s
        self._loop = asyncio.get_running_loop()
        self._next = first
        self._timer = self._loop.call_at(first, self._press)

    def _press(self) -> None:
        self._next += self._pause_s
        self._timer = self._loop.call_at(self._next, self._press)
        self.times.append(time.perf_counter())
        self.writer.send_one()

    def stop(self) -> None:
        """Type no more."""
        self._timer.cancel()
        self.writer.stop()


def latencies(
    group: Group, typists: Mapping[int, Typist], since: float, until: float = float("inf")
) -> list[float]:
    """Return seconds from each edit's sending to the reader's getting it, for one document.

    Counts edits of one clock each that were sent between two moments; edits of others don't count.
    """
    (reader,) = group.readers
    assert isinstance(reader, TimedReader)
    found: list[float] = []
    clocks: dict[int, int] = {}
    for entry, arrived in zip(reader.log, reader.times, strict=True):
        for client, _, end in entry.ranges:
            if client not in typists:
                continue
            sent = typists[client].times
            found += (
                arrived - sent[clock]
                for clock in range(clocks.get(client, 0), end)
                if since <= sent[clock] < until
            )
            clocks[client] = max(end, clocks.get(client, 0))
    return found
