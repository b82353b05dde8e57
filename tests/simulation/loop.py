"""An asyncio event loop that lives in virtual time, one callback at a time.

Owns the server's callbacks and timers. Keeps what asyncio promises: callbacks run in the order
in which they were given, timers not before their time. Where it promises nothing, chance
decides: which of several tasks that can go on goes on first, and how late a timer is.
"""

import asyncio
import heapq
import random
from asyncio import events
from collections.abc import Callable
from typing import Any

from tests.simulation.kernel import Kernel

__all__ = ["SimLoop"]

OVERTAKING = 0.2
"""How often a task that could go on lets the next one go first."""
LATE_S = 0.002
"""How late a timer is at most."""


class SimLoop(asyncio.BaseEventLoop):
    """The event loop of one life of the server. ``step`` runs one callback."""

    def __init__(
        self, kernel: Kernel, chance: random.Random, failed: Callable[[str], None]
    ) -> None:
        super().__init__()
        self._kernel = kernel
        self._chance = chance
        self._failed = failed
        self.muted = False
        """Whether failures don't matter any more: the process is dead."""
        self.steps = 0
        self.set_exception_handler(self._note)

    def _note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not self.muted:
            self._failed(f"the event loop: {context.get('message')}: {context.get('exception')!r}")

    # What BaseEventLoop leaves to its subclasses

    def time(self) -> float:
        return self._kernel.now_s

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        late = self._chance.random() * LATE_S if self._chance.random() < 0.3 else 0.0
        return super().call_at(when + late, callback, *args, context=context)

    def _write_to_self(self) -> None:
        """Nobody sleeps."""

    def _process_events(self, event_list: Any) -> None:
        raise AssertionError("there are no sockets")

    def call_soon_threadsafe(
        self, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    # One callback after the other

    def next_s(self) -> float:
        """Return when the next callback can run; infinity where there is none."""
        if self._ready:
            return self._kernel.now_s
        scheduled = self._scheduled
        while scheduled and scheduled[0]._cancelled:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
        return scheduled[0]._when if scheduled else float("inf")

    def step(self) -> None:
        """Run one callback. Time is there already."""
        scheduled, ready = self._scheduled, self._ready
        while scheduled and scheduled[0]._when <= self._kernel.now_s:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            if not handle._cancelled:
                ready.append(handle)
        while ready:
            handle = ready.popleft()
            if handle._cancelled:
                continue
            if len(ready) > 0 and self._chance.random() < OVERTAKING:
                handle = self._overtake(handle)
            self.steps += 1
            handle._run()
            return

    def _overtake(self, handle: Any) -> Any:
        """Let the next callback go first, where both are tasks and so have no order."""
        following = self._ready[0]
        if following._cancelled or not (_is_task(handle) and _is_task(following)):
            return handle
        self._ready.popleft()
        self._ready.appendleft(handle)
        return following

    @property
    def timers(self) -> int:
        """The number of timers that are set."""
        return sum(1 for handle in self._scheduled if not handle._cancelled)

    def enter(self) -> None:
        """Be the running loop."""
        events._set_running_loop(self)

    @staticmethod
    def leave() -> None:
        """Let no loop be running."""
        events._set_running_loop(None)


def _is_task(handle: Any) -> bool:
    return isinstance(getattr(handle._callback, "__self__", None), asyncio.Task)
