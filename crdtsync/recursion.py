"""Room for recursion: values and types may be nested deeper than Python goes by itself."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["RECURSION_LIMIT", "deep_recursion"]

RECURSION_LIMIT: Final = 10_000
"""For reading values as deep as the limits on nesting allow."""


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Let what the block calls go as deep as any document does."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, RECURSION_LIMIT))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
