"""How much one person says in one chat: so many things a minute, and some at once.

Owns the arithmetic, and how many people are remembered. Looks at no clock.
"""

from collections import OrderedDict
from typing import Final

__all__ = ["MAX_REMEMBERED", "Rates", "guest_at"]

MAX_REMEMBERED: Final = 10_000
"""People of one chat whose rate is known; above, who has said nothing for longest begins anew."""


def guest_at(address: str) -> str:
    """Return who speaks without a principal: everybody of one address is one."""
    return f"guest at {address}"  # with spaces, as nobody's id in a chat


class Rates:
    """What is left to each person who has said something lately."""

    __slots__ = ("_burst", "_left", "_per_s")

    def __init__(self, *, per_minute: int, burst: int) -> None:
        """Begin with nobody; ``per_minute`` 0 is without a limit."""
        self._per_s = per_minute / 60
        self._burst = float(max(burst, 1))
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, who: str, count: int, now_s: float) -> bool:
        """Return whether somebody may say so many things now."""
        return not self._per_s or not count or count <= self._now(who, now_s)

    def take(self, who: str, count: int, now_s: float) -> None:
        """Take note that somebody has said so many things."""
        if not self._per_s or not count:
            return
        left = self._now(who, now_s) - count
        self._left[who] = left, now_s
        self._left.move_to_end(who)
        while len(self._left) > MAX_REMEMBERED:
            self._left.popitem(last=False)

    def _now(self, who: str, now_s: float) -> float:
        left, at_s = self._left.get(who, (self._burst, now_s))
        return min(self._burst, left + max(0.0, now_s - at_s) * self._per_s)
