"""Whose turn it is where few can be at work: everybody's in turn, however much one asks for.

Owns the queues, one for each that asks: who has least at work comes first, and of those whoever
has waited longest. Knows nothing of the work.
"""

from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Final

import anyio

__all__ = ["ASKING", "Turns"]

ASKING: Final[ContextVar[str]] = ContextVar("crdtsync_asking", default="")
"""Who the running request is of: a principal, or an address; empty for the server's own work."""


class Turns:
    """Lets in up to ``most`` at a time."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._at_work: Counter[str] = Counter()
        self._waiting: dict[str, deque[anyio.Event]] = {}

    @asynccontextmanager
    async def turn(self, who: str | None = None) -> AsyncIterator[None]:
        """Wait for a turn, for somebody, or whoever ``ASKING`` says; it ends with the block."""
        if who is None:
            who = ASKING.get()
        if self._free:
            self._free -= 1
            self._at_work[who] += 1
        else:
            await self._wait(who)
        try:
            yield
        finally:
            self._done(who)

    async def _wait(self, who: str) -> None:
        called = anyio.Event()
        queue = self._waiting.setdefault(who, deque())
        queue.append(called)
        try:
            await called.wait()
        except BaseException:
            if called.is_set():
                self._done(who)  # its turn had come
            else:
                queue.remove(called)
                if not queue:
                    del self._waiting[who]
            raise

    def _done(self, who: str) -> None:
        self._at_work[who] -= 1
        if not self._at_work[who]:
            del self._at_work[who]
        if not self._waiting:
            self._free += 1
            return
        following = min(self._waiting, key=self._at_work.__getitem__)  # the first of the least
        queue = self._waiting.pop(following)
        self._at_work[following] += 1
        queue.popleft().set()
        if queue:
            self._waiting[following] = queue  # behind all others
