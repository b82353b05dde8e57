"""A server's parts, made from its configuration: the one place where each gets what it needs.

Owns which parts there are, and the order in which they start. Opens and binds nothing: it is
handed a store, and started by whoever asked for it, ``crdtsync serve`` or an ASGI server.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette

from crdtsync.access.service import Access
from crdtsync.audit import NO_AUDIT
from crdtsync.audit_log import AuditLog
from crdtsync.auth import Authenticator
from crdtsync.authoring.keeping import StoredAnswers
from crdtsync.channels.members import guard_members
from crdtsync.channels.rules import ChannelRules
from crdtsync.channels.service import Channels
from crdtsync.config import Config
from crdtsync.config.history import history_rules
from crdtsync.engine import Change
from crdtsync.gate import ContentGate, Gate
from crdtsync.guard import NO_GUARD
from crdtsync.guarding import DocumentGuard
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.service import Histories
from crdtsync.hub import Hub
from crdtsync.refused.keeping import RefusedUpdates
from crdtsync.roles import Role
from crdtsync.server.asgi import create_app, running
from crdtsync.server.doors import Doors
from crdtsync.store.base import Store

if TYPE_CHECKING:
    from crdtsync.identity.desk import TokenDesk

__all__ = ["Assembly", "assemble"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """What serves one store: made, and not yet started."""

    hub: Hub
    access: Access
    authenticator: Authenticator
    """With share links and revocations in front of it, and who gets into conversations."""
    doors: Doors
    roles: Mapping[str, Role]
    tokens: "TokenDesk | None" = None
    """What makes and explains tokens over HTTP."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """Start the parts, and stop them at the end. Raises ``StoreError``."""
        return running(self.hub, self.access)

    def app(self, *, lifespan: bool = True) -> Starlette:
        """Return the application; with ``lifespan`` its server starts and stops the parts."""
        return create_app(
            self.hub,
            authenticator=self.authenticator,
            access=self.access,
            doors=self.doors,
            lifespan=lifespan,
            roles=self.roles,
            tokens=self.tokens,
        )


def assemble(
    config: Config,
    store: Store,
    authenticator: Authenticator,
    doors: Doors,
    *,
    folder: Path | None,
    tokens: "TokenDesk | None" = None,
    ended: tuple[int, int] = (0, 0),
    gate: Gate | ContentGate | None = None,
    on_change: Callable[[Change], Awaitable[None]] | None = None,
) -> Assembly:
    """Return the parts of a server for this store.

    ``folder`` is where guard and quarantine are, ``None`` where they are on no disk; ``ended``
    the process that had the store last, and the signal that ended it.
    """
    hub = Hub(
        store,
        gate=gate,
        limits=config.limits,
        on_change=on_change,
        guard=NO_GUARD if folder is None else DocumentGuard(folder, ended=ended),
        quarantine=RefusedUpdates(folder, config.limits),
        audit=AuditLog(config.audit_log) if config.audit_log else NO_AUDIT,
        stamp_user=config.stamp_user,
        history=_histories(config, store, folder),
        channels=Channels(ChannelRules(chat=config.chat, presence=config.presence)),
    )
    hub.documents.remember_in(StoredAnswers(folder, config.limits))
    access = Access(hub, roles=config.roles)
    return Assembly(
        hub=hub,
        access=access,
        authenticator=guard_members(access.wrap(authenticator), hub.channels.rules),
        doors=doors,
        roles=config.roles,
        tokens=tokens,
    )


def _histories(config: Config, store: Store, folder: Path | None) -> Histories | None:
    if not config.history:
        return None
    rules = history_rules(config.history_except, config.history_retention)
    return Histories(store, HistoryDatabase(folder), rules=rules, limits=config.limits)
