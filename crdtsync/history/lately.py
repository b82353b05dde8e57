"""The past that was asked about last, to be there when somebody asks again.

Who restores a moment has looked at some before, and may do it again. So a worker keeps one
document's past, opened and in order, and takes in what was logged since. It is that of a
question if all that it was made of is there again, byte for byte.

Only for processes that answer one question after the other: it is ``remember`` that begins it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from crdtsync.history.log import is_sifted
from crdtsync.history.model import LoggedCheckpoint, LoggedRecord, Stored
from crdtsync.history.past import Past

__all__ = ["REMEMBERED_BYTES", "Memory", "open_past", "remember"]

REMEMBERED_BYTES: Final = 4 * 1024 * 1024
"""Into a past that is kept no more was ever inserted; in memory that is some ten times as much."""


@dataclass(frozen=True, slots=True)
class _Opened:
    stored: Stored | None
    checkpoint: LoggedCheckpoint | None
    records: Sequence[LoggedRecord]
    past: Past


class Memory:
    """The one past that is kept."""

    def __init__(self, most_bytes: int = REMEMBERED_BYTES) -> None:
        self._most_bytes = most_bytes
        self._last: _Opened | None = None

    def open(
        self,
        stored: Stored | None,
        checkpoint: LoggedCheckpoint | None,
        records: Sequence[LoggedRecord],
    ) -> Past:
        """Return ``Past.open`` of the same."""
        last, self._last = self._last, None  # what fails half way is not kept
        if (
            last is not None
            and (last.stored, last.checkpoint) == (stored, checkpoint)
            and last.records == records[: len(last.records)]
            and is_sifted(last.records) == is_sifted(records)
        ):
            past = last.past
            past.extend(records[len(last.records) :])
        else:
            del last
            past = Past.open(stored, checkpoint, records)
        if past.size <= self._most_bytes:
            self._last = _Opened(stored, checkpoint, records, past)
        return past


_memory: Memory | None = None


def remember() -> None:
    """Keep what is opened from now on."""
    global _memory
    _memory = Memory()


def open_past(
    stored: Stored | None, checkpoint: LoggedCheckpoint | None, records: Sequence[LoggedRecord]
) -> Past:
    """Return ``Past.open``: the one that is there from last time, if there is one."""
    if _memory is None:
        return Past.open(stored, checkpoint, records)
    return _memory.open(stored, checkpoint, records)
