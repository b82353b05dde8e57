"""Refused updates: the words for them, and their quarantine as engine and edges see it.

An update that a gate refuses changes nothing, and may be all that is left of somebody's work. So
it is kept, bounded, for an operator to look at, to apply after all, or to drop. Knows no database.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, Protocol, Self

__all__ = [
    "NO_QUARANTINE",
    "Entry",
    "Filter",
    "Lost",
    "NoQuarantine",
    "Quarantine",
    "QuarantineStats",
    "RefusalKind",
    "RefusedUpdate",
    "Run",
]

RefusalKind = Literal["damaged", "gate", "limit", "read-only"]
"""Because the document is damaged, because of what the update does, because it is over a limit, or
because of who sends it."""


class Run:
    """What one connection was refused: updates of it that follow one another are one entry."""

    __slots__ = ("entry", "late", "late_bytes", "share", "waiting", "waiting_bytes")

    def __init__(self, share: str = "") -> None:
        self.share = share
        """Which of the anonymous authors it is counted as; empty for one who has an id."""
        self.entry = 0
        """The newest entry's id; this and what follows is the quarantine's own."""
        self.waiting = 0
        """Its updates that are not written yet."""
        self.waiting_bytes = 0
        self.late = 0
        """Its updates that came behind a refused one, ever."""
        self.late_bytes = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedUpdate:
    """One update as it was refused."""

    document: str
    author: str
    """The principal's id; empty for anonymous."""
    name: str
    """The principal's name, for people."""
    kind: RefusalKind
    reason: str
    """What its author was told."""
    time_ms: int
    update: bytes
    run: Run
    step_2: bool = False
    """Whether it is all that a client had: then it may repeat what is kept already."""
    late: bool = False
    """Whether it came behind a refused one, over a connection that waits for its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the quarantine keeps: one refused update, or some that follow one another, joined."""

    id: int
    """Larger than those of all older entries, and never given twice."""
    document: str
    author: str
    name: str
    kind: RefusalKind
    reason: str
    first_ms: int
    last_ms: int
    """When the first and the last update in it were refused."""
    updates: int
    """How many updates it was."""
    size: int
    """Of the update, in bytes."""
    update: bytes = b""
    """A v1 update; empty in a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which entries are meant; ``None`` is any."""

    ids: tuple[int, ...] | None = None
    document: str | None = None
    author: str | None = None
    after: int = 0
    """Only ids above this one."""


@dataclass(frozen=True, slots=True)
class Lost:
    """What was refused and is not kept."""

    cause: str
    """Which bound it was, or ``buffer``: more at once than can be written; or ``late``: more
    behind a refused update than is kept."""
    updates: int
    size: int


class QuarantineStats:
    """What a quarantine holds and did since it was opened."""

    __slots__ = ("duplicates", "entries", "kept", "lost", "size")

    def __init__(self) -> None:
        self.entries = 0
        """Now."""
        self.size = 0
        """Bytes of updates now."""
        self.kept = 0
        """Updates."""
        self.duplicates = 0
        """Updates that were kept already."""
        self.lost: Counter[str] = Counter()
        """Updates, by cause."""


class Quarantine(Protocol):
    """Keeps refused updates. The hub enters and leaves it."""

    stats: QuarantineStats

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def keep(self, refused: RefusedUpdate, /) -> None:
        """Keep an update, soon; never waits and never raises."""
        ...

    def when_kept(self, call: Callable[[], None], /) -> None:
        """Call something once all that was handed in so far is on disk, or can't be now."""
        ...

    async def entries(self, which: Filter, /, *, limit: int, whole: bool = False) -> list[Entry]:
        """Return the oldest entries that are meant; ``whole`` ones come with their update."""
        ...

    async def drop(self, found: Collection[Entry], /) -> int:
        """Forget entries; return how many went. One that has grown since stays."""
        ...

    async def lost(self) -> Sequence[Lost]:
        """Return what was not kept, ever."""
        ...


class NoQuarantine:
    """Keeps nothing: a hub without a place for it."""

    def __init__(self) -> None:
        self.stats = QuarantineStats()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    def keep(self, refused: RefusedUpdate, /) -> None:
        """Forget it."""

    def when_kept(self, call: Callable[[], None], /) -> None:
        """Call at once."""
        call()

    async def entries(self, which: Filter, /, *, limit: int, whole: bool = False) -> list[Entry]:
        """Return none."""
        return []

    async def drop(self, found: Collection[Entry], /) -> int:
        """Find none."""
        return 0

    async def lost(self) -> Sequence[Lost]:
        """Count nothing."""
        return ()


NO_QUARANTINE: Final = NoQuarantine()
