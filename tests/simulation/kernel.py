"""Virtual time and everything that happens outside of the server, in one order.

Owns the only clock there is, and a queue of what is due when. Nothing here waits: where nothing
is left to do at a moment, the next moment is now. All chance comes from streams that the seed
and a name make, so that one more draw in one place changes nothing elsewhere.
"""

import heapq
import random
from collections.abc import Callable
from typing import Any

__all__ = ["Due", "Kernel", "SimClock"]


class Due:
    """Something that will happen, unless it is cancelled."""

    __slots__ = ("args", "call")

    def __init__(self, call: Callable[..., None], args: tuple[Any, ...]) -> None:
        self.call: Callable[..., None] | None = call
        self.args = args

    def cancel(self) -> None:
        self.call = None
        self.args = ()


class Kernel:
    """The order of events."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now_s = 0.0
        self._queue: list[tuple[float, int, Due]] = []
        self._count = 0
        self.story: list[tuple[float, str, str]] = []
        """What happened: when, who, what."""

    def stream(self, name: str) -> random.Random:
        """Return a stream of chance of its own."""
        return random.Random(f"{self.seed}/{name}")

    def tell(self, who: str, what: str) -> None:
        """Add a line to the story."""
        self.story.append((self.now_s, who, what))

    def at(self, time_s: float, call: Callable[..., None], *args: Any) -> Due:
        """Let something happen at a moment; what is due at the same one keeps its order."""
        due = Due(call, args)
        self._count += 1
        heapq.heappush(self._queue, (max(time_s, self.now_s), self._count, due))
        return due

    def after(self, delay_s: float, call: Callable[..., None], *args: Any) -> Due:
        """Let something happen after a while."""
        return self.at(self.now_s + delay_s, call, *args)

    def next_s(self) -> float:
        """Return when the next thing is due; infinity where there is none."""
        queue = self._queue
        while queue and queue[0][2].call is None:
            heapq.heappop(queue)
        return queue[0][0] if queue else float("inf")

    def step(self) -> None:
        """Let the next thing happen. Time is there already."""
        _, _, due = heapq.heappop(self._queue)
        if due.call is not None:
            call, args = due.call, due.args
            due.call = None
            call(*args)

    @property
    def waiting(self) -> int:
        """The number of things that are due some time."""
        return sum(1 for _, _, due in self._queue if due.call is not None)


class SimClock:
    """The server's clock: the kernel's time, and a wall clock that jumps."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.offset_ms = 1_700_000_000_000

    def monotonic_s(self) -> float:
        return self._kernel.now_s

    def time_ms(self) -> int:
        return self.offset_ms + int(self._kernel.now_s * 1000)
