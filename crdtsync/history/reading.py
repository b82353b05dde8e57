"""How a question to a document's history is answered: opened, looked at, put into JSON.

Owns what all answers share: one weave for all moments that are asked about, who did what as
JSON's "by", and times. Everything here can run in a process of its own: bytes in, bytes out.
"""

import gc
import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from crdtsync.content import RootKind
from crdtsync.errors import InvalidUpdate
from crdtsync.history.lately import open_past
from crdtsync.history.model import (
    HistoryDamaged,
    HistoryUnavailable,
    LoggedCheckpoint,
    LoggedRecord,
    Stored,
    UnknownRoot,
)
from crdtsync.history.spans import Span
from crdtsync.history.view import View
from crdtsync.history.weave import weave
from crdtsync.recursion import deep_recursion

__all__ = [
    "RESOLUTION_MS",
    "Author",
    "Authors",
    "Names",
    "Reading",
    "answer",
    "at_work",
    "chosen",
    "joinable",
    "rfc3339",
    "told",
]

RESOLUTION_MS: Final = 60_000
"""What one author does at one place within a minute is told as one, unless asked otherwise."""

Names = Mapping[str, str]
"""What authors are called, by id."""


class Author(NamedTuple):
    """Who did something, and when."""

    author: str
    time_ms: int


def joinable(one: Author | None, other: Author | None, resolution_ms: int) -> bool:
    """Whether what two did is told as one: it is one author, at about one time."""
    if one is None or other is None:
        return one is other
    return one.author == other.author and abs(one.time_ms - other.time_ms) <= resolution_ms


class Authors:
    """Who inserted, or who deleted, each clock."""

    __slots__ = ("_clients",)

    def __init__(self, spans: Iterable[Span]) -> None:
        """Take over spans that don't overlap, sorted by client and clock."""
        self._clients: dict[int, tuple[list[int], list[Span]]] = {}
        for span in spans:
            starts, found = self._clients.setdefault(span.client, ([], []))
            starts.append(span.start)
            found.append(span)

    def over(self, client: int, start: int, end: int) -> Iterator[tuple[int, int, Author | None]]:
        """Divide clocks by who did it; ``None`` where that is not known."""
        starts, spans = self._clients.get(client, ((), ()))
        index = bisect_right(starts, start) - 1
        if index >= 0 and spans[index].end >= end:
            yield start, end, Author(spans[index].author, spans[index].time_ms)
            return
        for at in range(max(index, 0), len(spans)):
            span = spans[at]
            if span.start >= end:
                break
            if span.end <= start:
                continue
            if span.start > start:
                yield start, span.start, None
            start = max(start, span.start)
            yield start, min(span.end, end), Author(span.author, span.time_ms)
            start = span.end
            if start >= end:
                return
        if start < end:
            yield start, end, None

    def of(self, client: int, clock: int) -> Author | None:
        """Return who did it to one clock."""
        return next(self.over(client, clock, clock + 1))[2]


class Reading:
    """A history that is being read."""

    def __init__(
        self,
        stored: Stored | None,
        checkpoint: LoggedCheckpoint | None,
        records: Sequence[LoggedRecord],
        names: Names | None = None,
    ) -> None:
        self.past = open_past(stored, checkpoint, records)
        self._names = names or {}

    def views(self, *sequences: int) -> list[View]:
        """Return moments of one weave. Raises ``UnknownMoment``."""
        snapshots = [self.past.timeline.snapshot(each) for each in sequences]
        newest = snapshots[sequences.index(max(sequences))]
        try:
            woven = self.past.woven
        except HistoryUnavailable:  # by what came later, perhaps
            woven = weave(self.past.structs, self.past.found, clocks=newest.clocks)
        return [View(woven, snapshot) for snapshot in snapshots]

    def moment(self, sequence: int) -> dict[str, Any]:
        """Return a moment as JSON; the one before everything has no time."""
        time = rfc3339(self.past.timeline.time_of(sequence)) if sequence else None
        return {"sequence": sequence, "time": time}

    def by(self, author: Author | None) -> dict[str, Any] | None:
        """Return who did it as JSON, ``None`` where that is not known."""
        if author is None:
            return None
        name = self._names.get(author.author, "")
        return {"author": author.author, "name": name, "time": rfc3339(author.time_ms)}


@lru_cache(maxsize=4096)
def rfc3339(time_ms: int) -> str:
    """Return a time as RFC 3339 writes it, in UTC with milliseconds."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def chosen(kinds: Mapping[str, RootKind], root: str | None) -> Sequence[str]:
    """Return the names of all roots, or of the one that is asked for. Raises ``UnknownRoot``."""
    if root is None:
        return sorted(kinds)
    if root not in kinds:
        raise UnknownRoot(
            f"there is no root {root!r} at this moment",
            hint=f"Its roots are {', '.join(map(repr, sorted(kinds)[:10]))}" if kinds else "",
        )
    return [root]


@contextmanager
def at_work() -> Iterator[None]:
    """Say what fails in the words of history; let Python go deep, and not look for cycles."""
    collecting = gc.isenabled()
    gc.disable()  # thousands of items are made, none of them garbage: up to half the time
    try:
        with deep_recursion():
            yield
    except InvalidUpdate as error:
        raise HistoryDamaged(f"the history is damaged: {error}") from None
    except RecursionError:
        raise HistoryUnavailable("the document is nested too deeply") from None
    finally:
        if collecting:
            gc.enable()


def answer(question: Callable[[], Any]) -> bytes:
    """Answer in bytes: as they are, text in UTF-8, all else as JSON on one line.

    Raises ``HistoryDamaged`` and ``HistoryUnavailable``, beside what the question raises.
    """
    with at_work():
        found = question()
        if isinstance(found, bytes):
            return found
        if isinstance(found, str):
            return found.encode()
        return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()


def told(data: bytes) -> dict[str, Any]:
    """Return an answer's JSON, for who wants it as values.

    Raises ``HistoryUnavailable`` where it is nested more deeply than this process reads.
    """
    try:
        found: dict[str, Any] = json.loads(data)
    except RecursionError:
        raise HistoryUnavailable("the document is nested too deeply") from None
    return found
