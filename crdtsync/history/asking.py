"""What was there: content, differences and authors of moments, worked out apart.

Owns the way from these questions to functions of the core. Differences and authors can be had as
JSON that nobody has parsed: of a large document that takes long, and others' edits would wait.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

from crdtsync.history.blame import blame
from crdtsync.history.compare import compare
from crdtsync.history.content import Format, read
from crdtsync.history.log import Inputs
from crdtsync.history.reading import told

__all__ = ["Asking", "Format"]


T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Asking(ABC):
    """A part of ``Histories``."""

    @abstractmethod
    async def _at(self, document: str, *moments: str) -> tuple[Inputs, list[int]]: ...

    @abstractmethod
    async def _names(self, inputs: Inputs) -> dict[str, str]: ...

    @abstractmethod
    async def apart(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Have a worker call a function."""

    async def read(
        self, document: str, moment: str = "now", *, format: Format, root: str | None = None
    ) -> bytes:
        """Return a moment's content."""
        inputs, (sequence,) = await self._at(document, moment)
        return await self.apart(read, *inputs, sequence, format, root)

    async def compare(
        self, document: str, older: str, newer: str = "now", *, root: str | None = None
    ) -> dict[str, Any]:
        """Return what changed between two moments, and who did it."""
        return told(await self.compare_json(document, older, newer, root=root))

    async def compare_json(
        self, document: str, older: str, newer: str = "now", *, root: str | None = None
    ) -> bytes:
        """Return the same as JSON."""
        inputs, (first, second) = await self._at(document, older, newer)
        names = await self._names(inputs)
        return await self.apart(compare, *inputs, first, second, root, names)

    async def blame(
        self, document: str, moment: str = "now", *, root: str | None = None
    ) -> dict[str, Any]:
        """Return who wrote what of a moment's content."""
        return told(await self.blame_json(document, moment, root=root))

    async def blame_json(
        self, document: str, moment: str = "now", *, root: str | None = None
    ) -> bytes:
        """Return the same as JSON."""
        inputs, (sequence,) = await self._at(document, moment)
        names = await self._names(inputs)
        return await self.apart(blame, *inputs, sequence, root, names)
