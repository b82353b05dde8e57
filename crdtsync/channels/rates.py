"""How much one person says in one chat: so many things a minute, and some at once.

Owns the arithmetic, and how many people are remembered. Looks at no clock. What is said is counted
twice: by the server's clock, and by the times that it carries, which are its author's. One of the
two has to have room for it, and both are charged: so who was offline brings what he might have
said meanwhile, and nobody says more by lying about the time than he might have said in that time.
Each moment counts once, also in the next room of the document.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["MAX_BEHIND", "MAX_REMEMBERED", "Brought", "Rates", "guest_at"]

MAX_REMEMBERED: Final = 10_000
"""People of one chat whose rate is known; above, who has said nothing for longest begins anew.
So many are remembered who have brought a lot, in all chats of a server."""
MAX_BEHIND: Final = 2_000
"""Things that one person may have said beyond what the server's clock allows: he was offline."""


def guest_at(address: str) -> str:
    """Return who speaks without a principal: everybody of one address is one."""
    return f"guest at {address}"  # with spaces, as nobody's id in a chat


@dataclass(frozen=True, slots=True)
class _Left:
    """What is left to one person, as of two moments."""

    left: float
    at_s: float
    """By the server's clock; below 0 where he has brought what he said while he was offline."""
    own: float
    own_ms: float
    """By the times of what he said, of which that is the latest so far."""


class Brought:
    """Who has brought more than the server's clock allows, and to which document.

    For all chats of a server, because rooms end: what was claimed once is not claimed again.
    """

    __slots__ = ("_known", "since_ms")

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], _Left] = OrderedDict()
        self.since_ms = 0.0
        """Of anybody else, earlier moments don't count any more: somebody was forgotten."""

    def left(self, document: str, who: str) -> _Left | None:
        """Return what is left to somebody who has brought a lot."""
        return self._known.get((document, who))

    def note(self, document: str, who: str, left: _Left) -> None:
        """Take note of what is left to somebody."""
        self._known[document, who] = left
        self._known.move_to_end((document, who))
        while len(self._known) > MAX_REMEMBERED:
            _, gone = self._known.popitem(last=False)
            self.since_ms = max(self.since_ms, gone.own_ms)


class Rates:
    """What is left to each person who has said something lately."""

    __slots__ = ("_brought", "_burst", "_document", "_left", "_past_ms", "_per_s")

    def __init__(
        self,
        *,
        per_minute: int,
        burst: int,
        past_s: float = 0.0,
        brought: Brought | None = None,
        document: str = "",
    ) -> None:
        """Begin with nobody; ``per_minute`` 0 is without a limit.

        What people say they said longer than ``past_s`` ago counts as said then.
        """
        self._per_s = per_minute / 60
        self._burst = float(max(burst, 1))
        self._past_ms = past_s * 1000
        self._brought = brought or Brought()
        self._document = document
        self._left: OrderedDict[str, _Left] = OrderedDict()

    def allows(self, who: str, times_ms: Sequence[int], now_s: float, now_ms: int) -> bool:
        """Return whether somebody may say things that carry these times, now."""
        if not self._per_s or not times_ms:
            return True
        there = self._of(who, now_s, now_ms)
        left = self._now(there, now_s) - len(times_ms)
        if left >= 0:
            return True
        return left >= -MAX_BEHIND and self._own(there, times_ms, now_ms)[2]

    def take(self, who: str, times_ms: Sequence[int], now_s: float, now_ms: int) -> None:
        """Take note that somebody has said such things."""
        if not self._per_s or not times_ms:
            return
        there = self._of(who, now_s, now_ms)
        own, own_ms, _ = self._own(there, times_ms, now_ms)
        found = _Left(self._now(there, now_s) - len(times_ms), now_s, own, own_ms)
        self._left[who] = found
        self._left.move_to_end(who)
        while len(self._left) > MAX_REMEMBERED:
            self._left.popitem(last=False)
        if found.left < 0 or self._brought.left(self._document, who) is not None:
            self._brought.note(self._document, who, found)

    def _of(self, who: str, now_s: float, now_ms: int) -> _Left:
        known = self._left.get(who) or self._brought.left(self._document, who)
        if known is not None:
            return known
        since_ms = max(now_ms - self._past_ms, self._brought.since_ms)
        return _Left(self._burst, now_s, self._burst, since_ms)

    def _now(self, there: _Left, now_s: float) -> float:
        return min(self._burst, there.left + max(0.0, now_s - there.at_s) * self._per_s)

    def _own(self, there: _Left, times_ms: Iterable[int], now_ms: int) -> tuple[float, float, bool]:
        """Return what is left by somebody's own times, as of when, and whether it was enough."""
        left, at_ms, enough = there.own, there.own_ms, True
        for time_ms in sorted(times_ms):
            passed_ms = min(time_ms, now_ms) - at_ms
            if passed_ms > 0:
                left = min(self._burst, left + passed_ms / 1000 * self._per_s)
                at_ms += passed_ms
            left -= 1
            enough = enough and left >= 0
        return left, at_ms, enough
