"""What is kept of histories, and for how long: rules by document, and which moments they leave.

Pure: time is handed in.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from crdtsync.roles import Grants

__all__ = ["KEEP_ALL", "HistoryRules", "Retention", "kept_moments"]

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long moments are kept, by their age. The default keeps all for ever."""

    everything_s: float = math.inf
    """Up to this age every moment is kept,"""
    hourly_s: float = 0.0
    """up to this one the last of each hour,"""
    daily_s: float = 0.0
    """and up to this one the last of each day. What is older goes, but for named versions."""

    @property
    def endless(self) -> bool:
        """Whether nothing ever goes."""
        return self.everything_s == math.inf


KEEP_ALL: Final = Retention()


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRules:
    """Of which documents history is kept, and how long. The default: of all, for ever.

    Patterns are those of grants: ``*`` stands for any run of characters, the most specific wins.
    """

    excluded: tuple[str, ...] = ()
    """Patterns of documents without history."""
    retention: Mapping[str, Retention] = field(default_factory=dict)
    """By pattern."""

    def keeps(self, document: str) -> bool:
        """Whether history is kept of a document."""
        return not self.excluded or _best(self.excluded, document) is None

    def retention_of(self, document: str) -> Retention:
        """Return how long it is kept."""
        pattern = _best(self.retention, document) if self.retention else None
        return KEEP_ALL if pattern is None else self.retention[pattern]


def _best(patterns: Iterable[str], document: str) -> str | None:
    return Grants({pattern: pattern for pattern in patterns}).role_name(document)


def kept_moments(
    moments: Iterable[tuple[int, int]],
    named: Collection[int],
    retention: Retention,
    now_ms: int,
) -> set[int]:
    """Return the sequences of the moments that stay.

    ``moments`` are ``(sequence, time in ms)`` in order, ``named`` the sequences of named
    versions. The newest moment stays in any case.
    """
    kept: set[int] = set()
    hours: dict[int, int] = {}
    days: dict[int, int] = {}
    last = 0
    for sequence, time_ms in moments:
        last = sequence
        age_s = (now_ms - time_ms) / 1000
        if age_s <= retention.everything_s or sequence in named:
            kept.add(sequence)
        elif age_s <= retention.hourly_s:
            hours[time_ms // _HOUR_MS] = sequence
        elif age_s <= retention.daily_s:
            days[time_ms // _DAY_MS] = sequence
    return kept.union(hours.values(), days.values(), (last,) if last else ())
