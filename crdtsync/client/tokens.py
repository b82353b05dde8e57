"""Tokens: where they come from, for how long they last, and the answer to a fresh one."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from crdtsync.encoding import read_var_string, read_var_uint

__all__ = ["Token", "TokenSource", "next_token", "read_answer"]

ANSWER = 101


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and how long it lasts: then the next one is handed in before it ends."""

    value: str = field(repr=False)
    lasts_s: float | None = None
    """``None``: nobody knows; the server will say so when it has ended."""


TokenSource = (
    str | Token | Callable[[], str | Token | None] | Callable[[], Awaitable[str | Token | None]]
)
"""A token, or what is called for one with each connection, and before one ends."""


async def next_token(source: TokenSource | None) -> Token | None:
    """Return the token for the next connection."""
    found = source() if callable(source) else source
    if inspect.isawaitable(found):
        found = await found
    return Token(found) if isinstance(found, str) else found


def read_answer(frame: bytes) -> int | str | None:
    """Read the answer to a token: seconds that it lasts, or why it is not taken.

    Returns ``None`` for any other frame.
    """
    if not frame or frame[0] != ANSWER or len(frame) < 3:
        return None
    try:
        if frame[1] == 0:
            return read_var_uint(frame, 2)[0]
        return read_var_string(frame, 2)[0]
    except (IndexError, ValueError):
        return None
