"""How far a room's commits are, and who waits for which."""

from collections.abc import Callable

__all__ = ["Progress"]


class Progress:
    """Counts a room's updates on their way into the store."""

    __slots__ = ("_waiters", "done", "taken")

    def __init__(self) -> None:
        self.taken = 0
        """Handed over for commits."""
        self.done = 0
        """Committed, or given up."""
        self._waiters: list[tuple[int, Callable[[], None]]] = []

    def when(self, pending: int, call: Callable[[], None]) -> None:
        """Call something once all that was taken, and ``pending`` more, is done."""
        self._waiters.append((self.taken + pending, call))
        self.wake()

    def give_up(self, pending: int) -> None:
        """Take note that neither what was taken nor ``pending`` more will be committed."""
        self.done = self.taken = self.taken + pending

    def wake(self) -> None:
        """Call those whose updates are done."""
        if not self._waiters:
            return
        due = [call for target, call in self._waiters if target <= self.done]
        self._waiters = [each for each in self._waiters if each[0] > self.done]
        for call in due:
            call()
