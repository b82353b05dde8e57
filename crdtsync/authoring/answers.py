"""What became of requests that may come twice: by their idempotency keys.

Owns the words for it, and the keeping in memory. Before an edit is committed its update is kept:
who asks again after a crash is told what became of it, and nothing is done twice.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Protocol, Self

from crdtsync.clock import Clock
from crdtsync.limits import Limits

__all__ = ["MAX_KEY", "Answers", "Kept", "MemoryAnswers", "Scope"]

MAX_KEY: Final = 255
"""Characters of an idempotency key."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose key it is: the same one of two principals, or for two documents, is two."""

    document: str
    author: str
    key: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a request."""

    request: bytes
    """A digest of it."""
    update: bytes | None
    """What was about to be committed, while there is no answer."""
    answer: bytes | None


class Answers(Protocol):
    """Keeps answers for a time."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *error: object) -> None: ...

    async def find(self, scope: Scope) -> Kept | None:
        """Return what is known of a request. Raises ``StoreError``."""
        ...

    async def keep(self, scope: Scope, request: bytes, update: bytes) -> None:
        """Keep what is about to be committed; when it returns, a crash won't lose it."""
        ...

    async def done(self, scope: Scope, answer: bytes) -> None:
        """Keep the answer in the place of the update."""
        ...

    async def drop(self, scope: Scope) -> None:
        """Forget a request: nothing was done."""
        ...

    async def forget(self, document: str) -> None:
        """Forget all requests about a document: it is gone."""
        ...


class MemoryAnswers:
    """Keeps answers as long as the process lives."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._kept: OrderedDict[Scope, tuple[float, Kept]] = OrderedDict()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        self._kept.clear()

    async def find(self, scope: Scope) -> Kept | None:
        time_s, kept = self._kept.get(scope, (0.0, None))
        old = self._clock.monotonic_s() - time_s > self._limits.idempotency_keep_s
        return None if old else kept

    async def keep(self, scope: Scope, request: bytes, update: bytes) -> None:
        self._put(scope, Kept(request, update, None))

    async def done(self, scope: Scope, answer: bytes) -> None:
        if scope in self._kept:
            self._put(scope, Kept(self._kept[scope][1].request, None, answer))

    def _put(self, scope: Scope, kept: Kept) -> None:
        self._kept[scope] = self._clock.monotonic_s(), kept
        self._kept.move_to_end(scope)
        while len(self._kept) > self._limits.max_idempotency_keys:
            self._kept.popitem(last=False)

    async def drop(self, scope: Scope) -> None:
        self._kept.pop(scope, None)

    async def forget(self, document: str) -> None:
        for scope in [each for each in self._kept if each.document == document]:
            del self._kept[scope]
