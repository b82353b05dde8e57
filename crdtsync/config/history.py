"""How options say what is kept of histories: ``PATTERN=EVERYTHING/HOURLY/DAILY``, and patterns."""

import math
from collections.abc import Iterable
from typing import Final

from crdtsync.config.quantities import Duration
from crdtsync.history.retention import HistoryRules, Retention

__all__ = ["check_pattern", "history_rules", "read_retention"]

_AGE: Final = Duration(0, 100 * 366 * 86400)
_FOREVER: Final = "forever"


def check_pattern(text: str) -> str:
    """Return a pattern of document names. Raises ``ValueError``."""
    if not text.isprintable():
        raise ValueError("is no pattern: it has to be printable")
    return text


def read_retention(text: str) -> tuple[str, Retention]:
    """Return a pattern, and how long histories of such documents are kept.

    Raises ``ValueError`` with words that follow the text.
    """
    pattern, found, ages = text.rpartition("=")
    words = ages.split("/")
    if not found or not pattern or len(words) > 3:
        raise ValueError("is not PATTERN=EVERYTHING/HOURLY/DAILY, as in *=30d/90d/730d")
    check_pattern(pattern)
    everything, hourly, daily = (*map(_age, words), 0.0, 0.0)[:3]
    return pattern, Retention(everything_s=everything, hourly_s=hourly, daily_s=daily)


def history_rules(excluded: Iterable[str], retention: Iterable[str]) -> HistoryRules:
    """Return the rules that options make. Raises ``ValueError``."""
    return HistoryRules(excluded=tuple(excluded), retention=dict(map(read_retention, retention)))


def _age(word: str) -> float:
    if word.strip() == _FOREVER:
        return math.inf
    age = _AGE.from_text(word)
    assert isinstance(age, float)
    return age
