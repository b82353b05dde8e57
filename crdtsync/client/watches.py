"""Callbacks on roots of the document: told of keys that have changed, behind the transaction.

Owns which keys have changed since each was told last, and the task that tells. pycrdt tells of a
change inside its transaction, where no root can be asked for and nothing can be written.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import anyio

from crdtsync.client.observers import Observers

__all__ = ["Watches"]

Root = Callable[[str], Any]
Heard = Callable[[list[str]], None]


class Watches:
    """The callbacks of one client. ``root`` finds a map of the present document, under ``lock``."""

    def __init__(
        self,
        root: Root,
        lock: AbstractContextManager[Any],
        soon: Callable[[Callable[[], None]], None],
    ) -> None:
        self._root = root
        self._lock = lock
        self._soon = soon
        self._watches: list[_Watch] = []
        self._bell = anyio.Event()
        self._over = False

    def add(self, name: str, callback: Heard) -> Callable[[], None]:
        """Call back with the keys of a root that change, in later documents, too."""
        with self._lock:
            watch = _Watch(name, callback, self._heard)
            watch.begin(self._root)
            self._watches.append(watch)

        def end() -> None:
            with self._lock:
                if watch in self._watches:
                    self._watches.remove(watch)
                    watch.end()

        return end

    def leave(self) -> None:
        """Let go of a document, and of what nobody was told of it; under the lock."""
        for watch in self._watches:
            watch.end()

    def go_on(self) -> None:
        """Watch the next document; under the lock."""
        for watch in self._watches:
            watch.begin(self._root)

    def _heard(self) -> None:
        if not self._over:  # the document may outlive the client, and its event loop
            self._soon(self._ring)

    def _ring(self) -> None:
        self._bell.set()

    async def run(self) -> None:
        """Call back, whenever there is something to tell, behind its transaction."""
        try:
            while True:
                await self._bell.wait()
                self._bell = anyio.Event()
                for watch in list(self._watches):
                    with self._lock:
                        keys = watch.take()
                    watch.tell(keys)
        finally:
            self._over = True


class _Watch:
    """A callback on a root; pycrdt lets go of those whose root nobody holds."""

    def __init__(self, name: str, callback: Heard, heard: Callable[[], None]) -> None:
        self._name = name
        self._observers: Observers[list[str]] = Observers()
        self._observers.add(callback)
        self._heard = heard
        self._keys: set[str] = set()

    def begin(self, root: Root) -> None:
        self._root = root(self._name)
        self._subscription = self._root.observe(self._collect)

    def end(self) -> None:
        self._root.unobserve(self._subscription)
        self._keys = set()

    def _collect(self, event: Any) -> None:
        self._keys.update(event.keys)
        self._heard()

    def take(self) -> list[str]:
        """Return which keys have changed, once."""
        keys, self._keys = self._keys, set()
        return sorted(keys)

    def tell(self, keys: list[str]) -> None:
        """Call back, outside of the lock."""
        self._observers.tell(keys)
