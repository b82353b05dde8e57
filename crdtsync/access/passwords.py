"""Passwords of share links: kept by scrypt, checked on a thread, one at a time for each link.

Owns the cost. A password that was right once is recognised by a keyed digest in memory, so that
a hundred visitors who come back at once cost nothing, and a wrong one beside it neither.
"""

import hashlib
import hmac
import secrets
from typing import Final

import anyio
import anyio.to_thread

from crdtsync.errors import Unauthenticated

__all__ = ["Passwords", "hash_password", "verify_password"]

COST: Final = 1 << 14
BLOCK: Final = 8
LANES: Final = 5
"""16 MiB and some 150 ms a password."""
SALT_BYTES: Final = 16
HASH_BYTES: Final = 32
MAX_MEMORY_BYTES: Final = 64 * 1024 * 1024
AT_ONCE: Final = 2
"""Passwords that are checked at the same time."""
MAX_KNOWN: Final = 10_000
"""Links whose password is recognised without scrypt."""


def hash_password(password: str) -> bytes:
    """Return what is kept of a password: its salt, and what scrypt makes of both."""
    salt = secrets.token_bytes(SALT_BYTES)
    return salt + _scrypt(password, salt)


def verify_password(password: str, kept: bytes) -> bool:
    """Return whether a password is the one that was kept."""
    return hmac.compare_digest(_scrypt(password, kept[:SALT_BYTES]), kept[SALT_BYTES:])


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"),
        salt=salt,
        n=COST,
        r=BLOCK,
        p=LANES,
        maxmem=MAX_MEMORY_BYTES,
        dklen=HASH_BYTES,
    )


class Passwords:
    """Checks passwords for one server. Made within an event loop."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._known: dict[tuple[str, bytes], bytes] = {}
        self._at_once = anyio.CapacityLimiter(AT_ONCE)
        self._turns: dict[str, tuple[anyio.Lock, int]] = {}

    async def hash(self, password: str) -> bytes:
        """Make what is kept of a new password."""
        return await anyio.to_thread.run_sync(hash_password, password, limiter=self._at_once)

    async def check(self, share: str, kept: bytes, password: str) -> None:
        """Raise ``Unauthenticated`` where a password is not the link's.

        Call it within ``turn``.
        """
        marked = hmac.digest(self._key, password.encode("utf-8", "surrogatepass"), "sha256")
        known = self._known.get((share, kept))
        if known is not None:
            right = hmac.compare_digest(known, marked)
        else:
            right = await anyio.to_thread.run_sync(
                verify_password, password, kept, limiter=self._at_once
            )
            if right:
                if len(self._known) >= MAX_KNOWN:
                    self._known.clear()
                self._known[share, kept] = marked
        if not right:
            raise Unauthenticated("the password is wrong")

    def turn(self, share: str) -> "_Turn":
        """Wait for a link's turn, as ``async with``: whoever waits sees the last one's failure."""
        return _Turn(self._turns, share)


class _Turn:
    """One who waits for, or has, a link's lock; the last one takes it away."""

    def __init__(self, turns: dict[str, tuple[anyio.Lock, int]], share: str) -> None:
        self._turns = turns
        self._share = share

    async def __aenter__(self) -> None:
        lock, waiting = self._turns.get(self._share) or (anyio.Lock(), 0)
        self._turns[self._share] = (lock, waiting + 1)
        try:
            await lock.acquire()
        except BaseException:
            self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._turns[self._share][0].release()
        self._leave()

    def _leave(self) -> None:
        lock, waiting = self._turns.pop(self._share)
        if waiting > 1:
            self._turns[self._share] = (lock, waiting - 1)
