"""Who may do what with a document's history over HTTP.

Reading takes a role with ``history``, naming versions one that may write as well, restoring one
with ``restore``; removing, pruning and erasing are an administrator's. Who has no role, where
nobody has one, may read, and do what writers may unless it is read-only. Always the same words,
so that they tell nothing about what is there.
"""

from collections.abc import Callable
from typing import Final

from starlette.requests import Request

from crdtsync.errors import Forbidden
from crdtsync.gate import Principal
from crdtsync.history.model import HistoryOff
from crdtsync.history.service import Histories
from crdtsync.hub import Hub
from crdtsync.roles import Role
from crdtsync.server.permits import Permits

__all__ = ["HistoryPermits", "Right", "history_of"]

Right = Callable[[Principal, Role | None], bool]

_READ: Final = "this takes a role that may read the history"
_NAME: Final = "this takes a role that may read the history, and write"
_RESTORE: Final = "this takes a role that may restore"


def history_of(hub: Hub) -> Histories:
    """Return the hub's history. Raises ``HistoryOff`` where it keeps none."""
    if hub.history is None:
        raise HistoryOff("no history is kept")
    return hub.history


class HistoryPermits:
    """The decisions of ``Permits`` that concern history."""

    def __init__(self, permits: Permits) -> None:
        self._permits = permits
        self.reading = permits.reading

    async def somebody(self, request: Request) -> None:
        """Raise ``Unauthenticated`` where nobody asks: what fails is not for strangers."""
        try:
            await self._permits.principal(request, "")
        except Forbidden:
            pass

    async def reader(self, request: Request, document: str) -> Principal:
        """Return who asks, or raise ``Forbidden`` unless it may read the history."""
        return await self._permits.holder(request, document, _READ, _reads)

    async def author(self, request: Request, document: str) -> Principal:
        """Return who asks, or raise ``Forbidden`` unless it may name versions."""
        return await self._permits.holder(request, document, _NAME, _writes)

    async def restorer(self, request: Request, document: str) -> Principal:
        """Return who asks, or raise ``Forbidden`` unless it may restore older states."""
        return await self._permits.holder(request, document, _RESTORE, _restores)

    async def admin(self, request: Request, document: str = "") -> Principal:
        """Return who asks, or raise ``Forbidden`` unless it administers the document."""
        return await self._permits.admin(request, document)


def _reads(principal: Principal, role: Role | None) -> bool:
    return role is None or role.history


def _writes(principal: Principal, role: Role | None) -> bool:
    writes = role is None or not role.reads_only
    return writes and not principal.read_only and _reads(principal, role)


def _restores(principal: Principal, role: Role | None) -> bool:
    return _writes(principal, role) and (role is None or role.restore)
