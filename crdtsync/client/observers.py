"""Callbacks of the program: told in order, and kept from doing harm."""

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Observers"]

log = logging.getLogger("crdtsync.client")
T = TypeVar("T")


class Observers(Generic[T]):
    """Those who want to know of something. One that raises is logged, the others are told."""

    def __init__(self) -> None:
        self._callbacks: dict[object, Callable[[T], None]] = {}

    def add(self, callback: Callable[[T], None]) -> Callable[[], None]:
        """Take a callback; returns what takes it out again."""
        key = object()
        self._callbacks[key] = callback

        def remove() -> None:
            self._callbacks.pop(key, None)

        return remove

    def tell(self, event: T) -> None:
        """Tell everybody, unless the event is empty."""
        if not event:
            return
        for callback in list(self._callbacks.values()):
            try:
                callback(event)
            except Exception:  # the program's own
                log.exception("an observer failed")
