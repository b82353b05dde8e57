"""What the REST routes have in common: where they are, their pages, numbers and times."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from crdtsync.server.problems import Problem

__all__ = ["API", "DEFAULT_PAGE", "MAX_PAGE", "iso", "number"]

API: Final = "/api/v1"
DEFAULT_PAGE: Final = 100
"""Entries of one page of a list."""
MAX_PAGE: Final = 1_000
"""The most that ``limit`` may ask for."""


def number(query: Mapping[str, str], name: str, *, least: int, most: int, otherwise: int) -> int:
    """Return a number from the query string; raise ``Problem`` where it is none, or too large."""
    text = query.get(name)
    if text is None:
        return otherwise
    if text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most:
        return int(text)
    raise Problem(400, f"{name} is a number from {least} to {most}.", code="invalid-parameter")


def iso(time_ms: int) -> str:
    """Return a time as RFC 3339 writes it."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
