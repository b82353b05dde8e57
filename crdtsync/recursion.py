"""Room for recursion: values and types may be nested deeper than Python goes by itself."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["RECURSION_LIMIT", "deep_recursion"]

RECURSION_LIMIT: Final = 10_000
"""For reading values as deep as the limits on nesting allow."""


_lock = threading.Lock()
_limits: list[int] = []  # what it was, once for each block that is being run


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Let what the block calls go as deep as any document does, on this thread and all others."""
    with _lock:
        _limits.append(_limits[0] if _limits else sys.getrecursionlimit())
        sys.setrecursionlimit(max(_limits[0], RECURSION_LIMIT))
    try:
        yield
    finally:
        with _lock:
            before = _limits.pop()
            if not _limits:
                sys.setrecursionlimit(before)
