"""What stands between a document and the end of the process: a note, and a list.

Before native code gets a document's bytes, a *watch* takes note of it; the note outlives the
process. Who finds it counts the death, and from the second one on the document is
*quarantined*: nobody touches its bytes until somebody releases it. Owns the words for this and
the guard that does nothing. Knows no file and no process.
"""

import signal
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

__all__ = [
    "CRASHES",
    "MAX_DEATHS",
    "NO_GUARD",
    "NO_WATCH",
    "Death",
    "Guard",
    "NoGuard",
    "Quarantined",
    "Watch",
    "Work",
]

MAX_DEATHS: Final = 2
"""So many deaths over one document quarantine it."""
CRASHES: Final = frozenset(
    int(getattr(signal, name))
    for name in ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV")
    if hasattr(signal, name)
)
"""The signals of native code that went wrong; nobody sends them."""


class Work(IntEnum):
    """What is being done with a document; one byte of the note."""

    LOADING = 1
    """Putting it together from what is stored."""
    INTEGRATING = 2
    """Bringing updates into the CRDT."""
    READING = 3
    """Asking the CRDT for the state or a difference."""
    PROVING = 4
    """Showing that a state reloads."""
    EXPORTING = 5
    """Turning roots into JSON and text."""

    @property
    def phrase(self) -> str:
        """Return it as it stands behind "while"."""
        return _PHRASES[self]


_PHRASES: Final = {
    Work.LOADING: "loading it",
    Work.INTEGRATING: "integrating its updates",
    Work.READING: "reading its state",
    Work.PROVING: "proving its state",
    Work.EXPORTING: "exporting its content",
}


@dataclass(frozen=True, slots=True)
class Death:
    """The end of a process over a document."""

    time_ms: int
    work: Work
    pid: int
    signum: int
    """The signal that ended it; 0 where nobody saw."""

    @property
    def crash(self) -> bool:
        """Whether native code went wrong; a kill from outside may be an accident."""
        return self.signum in CRASHES

    def __str__(self) -> str:
        if not self.signum:
            return "it ended, and nobody saw how"
        try:
            return f"signal {self.signum} ({signal.Signals(self.signum).name})"
        except ValueError:
            return f"signal {self.signum}"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A document that is not touched any more, and why."""

    document: str
    time_ms: int
    deaths: tuple[Death, ...]

    @property
    def reason(self) -> str:
        """Return one sentence for clients and operators; it holds nothing that a client sent."""
        if not self.deaths:
            return "the document is quarantined"
        last = self.deaths[-1]
        return (
            f"the document is quarantined: the server died {len(self.deaths)} times "
            f"over it, the last time {last.work.phrase}"
        )


class Watch(Protocol):
    """One document's part of the note. Calls don't nest."""

    def enter(self, work: Work, /) -> None:
        """Take note of what begins."""
        ...

    def leave(self) -> None:
        """Take note that it went well, or failed without harm."""
        ...


class Guard(Protocol):
    """The note and the list of one store; used by the one process that has the store."""

    def open(self) -> None:
        """Count what the last process died of, and begin a new note."""
        ...

    def close(self) -> None:
        """End the note."""
        ...

    def ending(self) -> None:
        """Take note that the process was asked to stop: a kill is no suspicion any more."""
        ...

    def watch(self, document: str, /) -> Watch:
        """Return the document's watch."""
        ...

    def suspect(self, document: str, work: Work, signum: int, /) -> Quarantined | None:
        """Count the death of a process that worked on a document for this one."""
        ...

    def quarantined(self, document: str, /) -> Quarantined | None:
        """Return why a document is not served; ``None`` where it is."""
        ...

    def listed(self) -> list[Quarantined]:
        """Return all quarantined documents, by name."""
        ...

    def release(self, document: str, /) -> bool:
        """Serve a document again; return whether it was quarantined."""
        ...


class _NoWatch:
    """Takes no note."""

    __slots__ = ()

    def enter(self, work: Work, /) -> None:
        """Do nothing."""

    def leave(self) -> None:
        """Do nothing."""


NO_WATCH: Final = _NoWatch()


class NoGuard:
    """Takes no note and lists nothing."""

    __slots__ = ()

    def open(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def ending(self) -> None:
        """Do nothing."""

    def watch(self, document: str, /) -> Watch:
        """Return a watch that does nothing."""
        return NO_WATCH

    def suspect(self, document: str, work: Work, signum: int, /) -> Quarantined | None:
        """Count nothing."""
        return None

    def quarantined(self, document: str, /) -> Quarantined | None:
        """Let everybody in."""
        return None

    def listed(self) -> list[Quarantined]:
        """Return nothing."""
        return []

    def release(self, document: str, /) -> bool:
        """Say that there was nothing."""
        return False


NO_GUARD: Final = NoGuard()
