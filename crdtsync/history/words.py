"""How moments, times and versions are written, in requests and in JSON.

A moment is ``now``, a version (``v12``), a sequence (``s1234``), or a time with its zone: the
newest moment that is not after it.
"""

import re
from datetime import UTC, datetime
from typing import Any, Final

from crdtsync.history.model import Version

__all__ = [
    "FORMS",
    "MAX_LABEL",
    "MAX_NOTE",
    "instant",
    "is_moment",
    "restored_fields",
    "version_fields",
    "wrong_words",
]

MAX_LABEL: Final = 200
"""Characters of a version's label,"""
MAX_NOTE: Final = 5_000
"""and of its note."""


FORMS: Final = "now, v12 (a version), s345 (a sequence), or a time such as 2030-01-31T12:00:00Z"
"""What a moment looks like, for people."""
_MOMENT: Final = re.compile(r"now|v[1-9][0-9]{0,17}|s[0-9]{1,18}")


def is_moment(text: str) -> bool:
    """Return whether a text names a moment, be there one or not."""
    if _MOMENT.fullmatch(text):
        return True
    try:
        moment = datetime.fromisoformat(text)
        moment.astimezone(UTC)  # what the store counts in
    except (ValueError, OverflowError):
        return False
    return moment.tzinfo is not None


def instant(time_ms: int) -> str:
    """Return a time as RFC 3339 writes it, in UTC with milliseconds."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def version_fields(version: Version) -> dict[str, Any]:
    """Return a version as JSON has it."""
    return {
        "id": version.id,
        "document": version.document,
        "sequence": version.sequence,
        "time": instant(version.time_ms),
        "kind": version.kind,
        "label": version.label,
        "note": version.note,
        "author": version.author,
        "author_name": version.author_name,
    }


def restored_fields(
    document: str, sequence: int, changed: bool, before: Version | None
) -> dict[str, Any]:
    """Return what a restore did as JSON has it."""
    return {
        "document": document,
        "sequence": sequence,
        "changed": changed,
        "version_before": None if before is None else version_fields(before),
    }


def wrong_words(label: str | None, note: str | None) -> str:
    """Return why no version can have such words; nothing where one can."""
    if label is not None and not label.strip():
        return "the label is blank"
    for name, text, most in (("label", label, MAX_LABEL), ("note", note, MAX_NOTE)):
        if text is not None and len(text) > most:
            return f"a {name} has at most {most} characters"
    return ""
