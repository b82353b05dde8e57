"""Waiting on the event loop where AnyIO's own means would cost more than what is waited for.

Owns the choice between asyncio, where a task waits on a bare future, and trio, through AnyIO. A
commit waits twice, some four hundred times a second: an ``anyio.Event`` with an ``anyio.sleep``
behind it takes 40 us of CPU, an alarm 10.
"""

import asyncio
import math

import anyio

__all__ = ["Alarm", "asyncio_loop"]


def asyncio_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop where this is an asyncio task, ``None`` under trio (guest mode too)."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    return None if task is None else task.get_loop()


class Alarm:
    """Wakes one task, now or in a while. Set and awaited on one event loop."""

    __slots__ = ("_deadline_s", "_delay_s", "_event", "_future", "_loop", "_timer")

    def __init__(self) -> None:
        self._delay_s: float | None = None  # where it is set and nobody waits yet
        self._loop: asyncio.AbstractEventLoop | None = None
        self._future: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._event: anyio.Event | None = None  # trio: while somebody waits
        self._deadline_s = math.inf

    def set(self, delay_s: float = 0.0) -> None:
        """Let ``wait`` return ``delay_s`` seconds from now, or sooner if it was set so."""
        if self._future is not None:
            self._arm(self._future, delay_s)
        elif self._event is not None:
            deadline_s = anyio.current_time() + delay_s
            if deadline_s < self._deadline_s:
                self._deadline_s = deadline_s
                self._event.set()
        elif self._delay_s is None or delay_s < self._delay_s:
            self._delay_s = delay_s

    async def wait(self) -> None:
        """Wait until the alarm goes off; it is not set any more then."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio_loop()
        if loop is None:
            await self._wait_trio()
            return
        future: asyncio.Future[None] = loop.create_future()
        if self._delay_s is not None:
            self._arm(future, self._delay_s)
            self._delay_s = None
        self._future = future
        try:
            await future
        finally:
            self._future = None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _arm(self, future: asyncio.Future[None], delay_s: float) -> None:
        assert self._loop is not None
        if delay_s <= 0:
            _go_off(future)
        elif self._timer is None or self._loop.time() + delay_s < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_later(delay_s, _go_off, future)

    async def _wait_trio(self) -> None:
        self._deadline_s = math.inf
        if self._delay_s is not None:
            self._deadline_s = anyio.current_time() + self._delay_s
            self._delay_s = None
        try:
            while (left_s := self._deadline_s - anyio.current_time()) > 0:
                self._event = anyio.Event()
                with anyio.move_on_after(left_s):
                    await self._event.wait()
        finally:
            self._event = None


def _go_off(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
