"""Which moment a text means: ``now``, ``v12``, ``s345``, or a time with its zone.

What is not folded into the history yet is found in the log.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from crdtsync.history.model import LoggedCheckpoint, LoggedRecord, Stored, UnknownMoment, Version
from crdtsync.history.timeline import Timeline

__all__ = [
    "NOW",
    "Resolved",
    "Wanted",
    "find_moment",
    "read_moment",
    "unknown_version",
    "version_found",
]

_NAMED: Final = re.compile(r"([vs])([0-9]{1,18})")
_HINT: Final = "Say now, v12 (a version), s345 (a sequence) or a time like 2030-01-31T12:00:00Z"


class Wanted(NamedTuple):
    """A moment as it was asked for: one of the three, or none for the newest."""

    version: int | None = None
    sequence: int | None = None
    time_ms: int | None = None


NOW: Final = Wanted()


@dataclass(frozen=True, slots=True)
class Resolved:
    """A moment that was found."""

    sequence: int
    time_ms: int
    version: Version | None = None
    """Where it was asked for by a version."""


def read_moment(text: str) -> Wanted:
    """Read what moment is asked for. Raises ``UnknownMoment`` where the text means none."""
    if text == "now":
        return NOW
    named = _NAMED.fullmatch(text)
    if named is not None:
        number = int(named[2])
        return Wanted(version=number) if named[1] == "v" else Wanted(sequence=number)
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            return Wanted(time_ms=int(time.timestamp() * 1000))
    except (ValueError, OverflowError):
        pass
    raise UnknownMoment("this means no moment", hint=_HINT)


def find_moment(
    stored: Stored | None,
    checkpoint: LoggedCheckpoint | None,
    records: Sequence[LoggedRecord],
    wanted: Wanted,
) -> tuple[int, int]:
    """Return a moment's sequence and its time in ms. Raises ``UnknownMoment``.

    ``records`` are those behind what is stored, in order; ``wanted`` is no version.
    """
    folded = Timeline() if stored is None else Timeline(stored.head, stored.blocks)
    later = [(record.sequence, record.time_ms) for record in records]
    if checkpoint is not None and checkpoint.sequence > folded.sequence:
        later.insert(0, (checkpoint.sequence, checkpoint.time_ms))
    if wanted.sequence is not None:
        if wanted.sequence == 0:
            return 0, 0
        for sequence, time_ms in later:
            if sequence == wanted.sequence:
                return sequence, time_ms
        if later and wanted.sequence > folded.sequence:
            if later[0][0] > wanted.sequence:
                raise UnknownMoment("no history was kept of this moment", pruned=True)
            raise UnknownMoment(f"the document has no record {wanted.sequence}")
        return wanted.sequence, folded.time_of(wanted.sequence)
    if wanted.time_ms is not None:
        for sequence, time_ms in reversed(later):
            if time_ms <= wanted.time_ms:
                return sequence, time_ms
        sequence = folded.at_time(wanted.time_ms)
        return sequence, folded.time_of(sequence)
    if later:
        return later[-1]
    if not folded.sequence:
        raise UnknownMoment("the document has no moment yet")
    return folded.sequence, folded.time_of(folded.sequence)


def version_found(version: Version | None, number: int) -> Version:
    """Return a version. Raises ``UnknownMoment`` where there is none of that number."""
    if version is None:
        raise unknown_version(number)
    return version


def unknown_version(number: int) -> UnknownMoment:
    """Say that there is no such version."""
    return UnknownMoment(f"there is no version {number}", hint="List them to see which there are")
