"""How far a room's commits are, and who waits for which."""

from collections.abc import Callable

__all__ = ["Progress"]


class Progress:
    """Counts a room's updates on their way into the store."""

    __slots__ = ("done", "taken", "waiters")

    def __init__(self) -> None:
        self.taken = 0
        """Handed over for commits."""
        self.done = 0
        """Committed, or given up."""
        self.waiters: list[tuple[int, Callable[[], None]]] = []
        """Who is to be called, and when so many are done: ``wake`` does it."""

    def when(self, pending: int, call: Callable[[], None]) -> None:
        """Call something once all that was taken, and ``pending`` more, is done."""
        self.waiters.append((self.taken + pending, call))
        self.wake()

    def give_up(self, pending: int) -> None:
        """Take note that neither what was taken nor ``pending`` more will be committed."""
        self.done = self.taken = self.taken + pending

    def wake(self) -> None:
        """Call those whose updates are done."""
        due = [call for target, call in self.waiters if target <= self.done]
        self.waiters = [each for each in self.waiters if each[0] > self.done]
        for call in due:
            call()
