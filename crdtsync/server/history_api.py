"""What the surfaces ask of a hub's history: a protocol, so that they know no more of it."""

from typing import Any, Literal, Protocol

from crdtsync.audit import NOBODY, Caller
from crdtsync.gate import Principal
from crdtsync.history.model import HistoryOff, Version, VersionKind
from crdtsync.history.retaining import Pruned
from crdtsync.history.retention import Retention
from crdtsync.hub import Hub

__all__ = ["ContentFormat", "HistoryService", "Moment", "Restoration", "history_of"]

ContentFormat = Literal["json", "rich", "delta", "text", "xml", "update", "snapshot"]


class Moment(Protocol):
    """A moment as it was found."""

    @property
    def sequence(self) -> int: ...
    @property
    def time_ms(self) -> int: ...
    @property
    def version(self) -> Version | None: ...


class Restoration(Protocol):
    """What a restore did."""

    @property
    def version_before(self) -> Version | None: ...
    @property
    def sequence(self) -> int: ...
    @property
    def changed(self) -> bool: ...


class HistoryService(Protocol):
    """The history of one store's documents. Raises ``HistoryError`` and ``StoreError``."""

    async def versions(
        self,
        document: str,
        *,
        before: int | None = None,
        limit: int = 50,
        kind: VersionKind | None = None,
    ) -> list[Version]: ...

    async def version(self, id: int) -> Version: ...

    async def create(
        self, document: str, *, label: str, note: str = "", principal: Principal
    ) -> Version: ...

    async def rename(
        self, id: int, *, label: str | None = None, note: str | None = None
    ) -> Version: ...

    async def remove(self, id: int) -> None: ...

    async def resolve(self, document: str, moment: str) -> Moment: ...

    async def read(
        self, document: str, moment: str, *, format: ContentFormat, root: str | None
    ) -> bytes: ...

    async def compare_json(
        self, document: str, older: str, newer: str, *, root: str | None = None
    ) -> bytes: ...

    async def blame_json(
        self, document: str, moment: str = "now", *, root: str | None = None
    ) -> bytes: ...

    async def activity(
        self, document: str, *, before: str | None = None, limit: int = 50
    ) -> dict[str, Any]: ...

    async def restore(
        self,
        document: str,
        moment: str,
        *,
        root: str | None = None,
        note: str = "",
        principal: Principal,
        caller: Caller = NOBODY,
    ) -> Restoration: ...

    async def undo(
        self,
        document: str,
        *,
        author: str,
        since: str,
        until: str = "now",
        principal: Principal,
        caller: Caller = NOBODY,
    ) -> Restoration: ...

    async def prune(
        self, document: str, retention: Retention | None = None, *, dry_run: bool = False
    ) -> Pruned: ...

    async def erase_before(self, document: str, moment: str) -> Pruned: ...

    async def erase_author(self, author: str) -> int: ...


def history_of(hub: Hub) -> HistoryService:
    """Return the hub's history. Raises ``HistoryOff`` where it keeps none."""
    if hub.history is None:
        raise HistoryOff("no history is kept")
    return hub.history
