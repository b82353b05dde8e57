"""Where keys come from, and how old they may be: a file or a URL, read again in time.

Owns the copy in memory. It is renewed when somebody asks and it is older than ``refresh_s``, or
when a token names a key that is not in it; never more often than ``pause_s`` allows, whatever
tokens come, and by one reader at a time, on a thread. Where that fails the old keys hold for
``stale_s``, and then nobody is let in.
"""

import logging
from collections.abc import Callable
from typing import Final

import anyio
import anyio.to_thread

from crdtsync.auth import Trouble
from crdtsync.clock import Clock, SystemClock
from crdtsync.errors import Unavailable
from crdtsync.identity.keys import KeyProblem, KeySet
from crdtsync.identity.tokens import Token

__all__ = ["LOAD_TIMEOUT_S", "KeySource"]

log = logging.getLogger("crdtsync.identity")

LOAD_TIMEOUT_S: Final = 15.0
"""After this a reader is not waited for any more, wherever it hangs."""


class KeySource:
    """The keys of one file or URL."""

    def __init__(
        self,
        load: Callable[[], KeySet],
        *,
        where: str,
        refresh_s: float,
        pause_s: float,
        stale_s: float,
        clock: Clock | None = None,
    ) -> None:
        self._load = load
        self._where = where
        self._refresh_s = refresh_s
        self._pause_s = pause_s
        self._stale_s = stale_s
        self._clock = clock or SystemClock()
        self._lock = anyio.Lock()
        self._keys: KeySet | None = None
        self._loaded_s = 0.0
        self._tried_s: float | None = None
        self._failing = False  # then nobody waits but the one who tries
        self._skipped: tuple[str, ...] = ()
        self.loads = 0
        """How often it was read, with or without success."""

    def load_now(self) -> None:
        """Read the keys for the first time, where waiting is no harm. Raises ``KeyProblem``."""
        self._took(self._load())

    async def payload(self, token: Token) -> bytes | None:
        """Return the token's payload where one of the keys made its signature.

        Raises ``Unavailable`` where there are no keys that may still be used.
        """
        if self._age() > self._refresh_s and not (self._failing and self._lock.locked()):
            await self._renew()
        keys = self._usable()
        if token.kid is not None and not keys.fitting(token):
            await self._renew()
            keys = self._usable()
        return keys.payload(token)

    async def prepare(self) -> None:
        """Read the keys unless they are there."""
        if self._keys is None:
            await self._renew()

    async def trouble(self) -> Trouble | None:
        """Return what is wrong with the keys.

        Where none may be used they are asked for: nobody else might, because clients are kept
        away from a server that is not ready.
        """
        if not self._hold and not self._lock.locked():
            await self._renew()
        if not self._hold:
            return Trouble("the keys for tokens can't be had", fatal=True)
        if not self._failing:
            return None
        left_s = self._refresh_s + self._stale_s - self._age()
        return Trouble(
            f"the keys for tokens can't be read again; the old ones hold for {left_s:.0f} s",
            fatal=False,
        )

    @property
    def _hold(self) -> bool:
        """Whether there are keys that may still be used."""
        return self._age() <= self._refresh_s + self._stale_s

    def _age(self) -> float:
        if self._keys is None:
            return float("inf")
        return self._clock.monotonic_s() - self._loaded_s

    def _usable(self) -> KeySet:
        if self._keys is None or not self._hold:
            raise Unavailable("tokens can't be checked at the moment")
        return self._keys

    async def _renew(self) -> None:
        """Read the keys again, or wait for who does; not where that was just tried."""
        async with self._lock:
            now_s = self._clock.monotonic_s()
            if self._tried_s is not None and now_s - self._tried_s < self._pause_s:
                return
            self._tried_s = now_s
            # Shielded: a client that hangs up takes nobody else's keys along.
            with anyio.move_on_after(LOAD_TIMEOUT_S, shield=True) as scope:
                await self._read()
            if scope.cancelled_caught:
                self._failed("it takes too long")
            self._tried_s = self._clock.monotonic_s()

    async def _read(self) -> None:
        self.loads += 1
        try:
            # Its result is taken here: one that comes too late changes nothing.
            keys = await anyio.to_thread.run_sync(self._load, abandon_on_cancel=True)
        except KeyProblem as problem:
            self._failed(str(problem))
        else:
            self._took(keys)

    def _took(self, keys: KeySet) -> None:
        self._keys = keys
        self._failing = False
        self._loaded_s = self._clock.monotonic_s()
        if keys.skipped != self._skipped:
            self._skipped = keys.skipped
            for reason in dict.fromkeys(keys.skipped):
                log.warning("a key of %s is not used: %s", self._where, reason)

    def _failed(self, reason: str) -> None:
        self._failing = self._keys is not None
        if self._keys is None:
            log.error("the keys at %s can't be had, and nobody gets in: %s", self._where, reason)
            return
        left_s = self._refresh_s + self._stale_s - self._age()
        log.error(
            "the keys at %s can't be read again: %s; %s",
            self._where,
            reason,
            f"the old ones hold for {left_s:.0f} s" if left_s > 0 else "nobody gets in",
        )
