"""Updates of a few structs let in by portions, as in life those of thousands are."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from crdtsync import dividing, update
from crdtsync.apart import divide_here
from crdtsync.hub import Hub

__all__ = ["small_portions"]


@contextmanager
def small_portions(structs: int = 2, *, here: bool = False) -> Iterator[None]:
    """Let so many structs be a portion, and so many deletions; ``here`` does without threads."""
    with ExitStack() as stack:
        for module, name in (
            (update, "MANY_STRUCTS"),
            (update, "MARKED_STRUCTS"),
            (dividing, "MARKED_STRUCTS"),
            (dividing, "LONG_STRUCTS"),
            (dividing, "LONG_DELETES"),
            (dividing, "PORTION_DELETES"),
        ):
            stack.enter_context(patch.object(module, name, structs))
        if here:
            at_once = lambda _, connection, event: divide_here(connection, event)  # noqa: E731
            stack.enter_context(patch.object(Hub, "divide_apart", at_once))
        yield
