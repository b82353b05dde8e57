"""What a worker is told of a document's past: what it was not told the last time.

Owns that rule. A past is megabytes, and who asks about one asks about it again, with a record or
two more: so both sides keep what went over last, and only what is new goes over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from crdtsync.history.log import LogCheckpoint, LogRecord, Records
from crdtsync.history.model import Stored, size_of

__all__ = ["KEPT_BYTES", "Said"]

KEPT_BYTES: Final = 16 * 1024 * 1024
"""What is larger is not kept: it goes over as a whole each time."""


@dataclass(frozen=True, slots=True)
class _Same:
    """As in the last message, in this place."""


@dataclass(frozen=True, slots=True)
class _More:
    """The records of the last message, in this place, and more."""

    sifted: bool
    records: tuple[LogRecord, ...]


@dataclass(frozen=True, slots=True)
class _Message:
    """One message, shortened."""

    keep: bool
    """Whether it is to be kept."""
    parts: tuple[Any, ...]


class Said:
    """The last message, as one of both sides has it."""

    def __init__(self) -> None:
        self._last: tuple[Any, ...] = ()

    def shorten(self, parts: Sequence[Any]) -> _Message:
        """Return a message without what is in the last one; it goes over if this returns."""
        last = self._last
        short = tuple(
            _shorter(part, last[place] if place < len(last) else None)
            for place, part in enumerate(parts)
        )
        keep = sum(map(_size, parts)) <= KEPT_BYTES
        self._last = tuple(parts) if keep else ()
        return _Message(keep, short)

    def lengthen(self, message: _Message) -> tuple[Any, ...]:
        """Return what a message was."""
        last = self._last
        parts = tuple(
            _longer(part, last[place] if place < len(last) else None)
            for place, part in enumerate(message.parts)
        )
        self._last = parts if message.keep else ()
        return parts


def _shorter(part: Any, last: Any) -> Any:
    if isinstance(part, Stored | LogCheckpoint) and part == last:
        return _Same()
    if isinstance(part, Records) and isinstance(last, Records) and part[: len(last)] == last:
        return _More(part.sifted, part[len(last) :])
    return part


def _longer(part: Any, last: Any) -> Any:
    if isinstance(part, _Same):
        return last
    if isinstance(part, _More):
        return Records.of((*last, *part.records), sifted=part.sifted)
    return part


def _size(part: Any) -> int:
    if isinstance(part, Stored):
        return size_of(part)
    if isinstance(part, LogCheckpoint):
        return len(part.state)
    if isinstance(part, Records):
        return sum(len(record.update) for record in part)
    return 0
