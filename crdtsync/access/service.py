"""Access of one running server: what the database says, applied to who is there.

Owns the database's lifetime, the look at what other processes wrote into it, and the list of
visitors that it keeps for them.
"""

import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio

from crdtsync.access.authenticator import ShareAuthenticator
from crdtsync.access.links import Share, Visitor
from crdtsync.access.revocations import Revocations
from crdtsync.access.shares import Shares
from crdtsync.access.tables import FILE, MIGRATIONS, Revocation
from crdtsync.auth import Authenticator
from crdtsync.errors import RemoteError, StoreError
from crdtsync.gate import Principal
from crdtsync.guarding import guard_folder
from crdtsync.hub import Hub
from crdtsync.roles import BUILT_IN, Role
from crdtsync.store.side import SideDatabase

__all__ = ["LOOK_S", "MAX_KEPT_VISITORS", "Access"]

log = logging.getLogger("crdtsync.access")

LOOK_S: Final = 0.5
"""How often it is looked whether another process has written."""
VISITORS_S: Final = 2.0
"""How often visitors are gone through."""
CONFIRM_S: Final = 10.0
"""How often the list of visitors is written anew where it stays the same."""
PURGE_S: Final = 3600.0
MAX_KEPT_VISITORS: Final = 1_000
"""Visitors on the list for the command line."""


class Access:
    """``async with Access(hub) as access``, within ``async with hub``.

    ``access.wrap(authenticator)`` is what the server then asks.
    """

    def __init__(self, hub: Hub, *, roles: Mapping[str, Role] = BUILT_IN) -> None:
        """Prepare it, for links that give one of these ``roles``."""
        self._hub = hub
        self.roles = roles
        folder = guard_folder(hub.store.url)
        self._path: Path | None = None if folder is None else folder / FILE
        self._database = SideDatabase(self._path, MIGRATIONS)
        self._stack = AsyncExitStack()
        self.shares = Shares(self._database, clock=hub.clock, limits=hub.limits, roles=roles)
        self.revocations = Revocations(self._database, clock=hub.clock)
        self._version = 0
        self._failing = False
        self._kept: list[Visitor] = []
        self._kept_s = 0.0

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._database)
            self._version = await self._database.version()
            await self.revocations.load()
            await self.shares.keep_visitors([])
            stack.push_async_callback(self._forget_visitors)
            self._hub.sessions.refuse_by(self.refusal)
            stack.callback(self._hub.sessions.refuse_by, None)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(tasks.cancel_scope.cancel)
            tasks.start_soon(self._run)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def wrap(self, authenticator: Authenticator) -> ShareAuthenticator:
        """Return an authenticator that knows links and revocations, and asks this one else."""
        return ShareAuthenticator(authenticator, self.shares, self.refusal)

    def refusal(self, document: str, principal: Principal) -> RemoteError | None:
        """Return why somebody has no access any more; ``None`` where that is not so."""
        return self.shares.refusal(principal) or self.revocations.refusal(principal)

    # What is written here is applied at once

    async def revoke_share(self, share: str) -> bool:
        """Revoke a link and send its visitors away; return whether there was one to revoke."""
        done = await self.shares.revoke(share)
        self._hub.sessions.recheck()
        return done

    async def revoke(
        self,
        principal: str,
        *,
        before_ms: int | None = None,
        until_ms: int | None = None,
        links: bool = False,
    ) -> tuple[Revocation, int]:
        """Revoke a principal, with ``links`` also the links that it made.

        Returns the revocation, and how many connections it closed.
        """
        made = await self.revocations.revoke(principal, before_ms=before_ms, until_ms=until_ms)
        if links:
            await self.shares.revoke_of(principal)
        return made, self._hub.sessions.recheck()

    def visitors(self, share: str | None = None) -> list[Visitor]:
        """Return who is there by a link, or by any."""
        found: dict[tuple[str, str], Visitor] = {}
        for connection in self._hub.sessions.connections_of_shares():
            principal = connection.principal
            if share is not None and principal.share != share:
                continue
            key = (principal.share, principal.id)
            since_ms = int(principal.attributes.get("joined_ms", 0))
            count = 1
            if (known := found.get(key)) is not None:
                since_ms, count = min(since_ms, known.since_ms), known.connections + 1
            found[key] = Visitor(*key, principal.name, since_ms, count)
        return sorted(found.values(), key=lambda each: (each.share, each.since_ms, each.principal))

    def visitors_of(self, shares: list[Share]) -> dict[str, list[Visitor]]:
        """Return who is there by each of these links."""
        by_share: dict[str, list[Visitor]] = {share.id: [] for share in shares}
        for visitor in self.visitors():
            by_share.get(visitor.share, []).append(visitor)
        return by_share

    # What others write is looked for

    async def _run(self) -> None:
        clock = self._hub.clock
        visited_s = purged_s = clock.monotonic_s()
        while True:
            await anyio.sleep(LOOK_S)
            now_s = clock.monotonic_s()
            try:
                await self.look(visitors=now_s - visited_s >= VISITORS_S)
                if now_s - visited_s >= VISITORS_S:
                    visited_s = now_s
                if now_s - purged_s >= PURGE_S:
                    purged_s = now_s
                    await self.revocations.purge()
                    await self.shares.purge()
            except StoreError as error:
                if not self._failing:  # once, not twice a second
                    log.error("share links and revocations can't be read: %s", error)
                self._failing = True
            else:
                self._failing = False

    async def look(self, *, visitors: bool = False) -> None:
        """Apply what another process wrote; with ``visitors``, go through those as well."""
        version = await self._database.version()
        changed = version != self._version
        if changed:
            await self.revocations.load()
        if self.shares.joined and (changed or visitors):
            present = self.visitors()
            live = {each.share for each in present}
            await self.shares.look(live)
            changed |= any(self.shares.ended(share) for share in live)
            await self._keep(present)
        if changed:
            self._hub.sessions.recheck()
        self._version = version

    async def _keep(self, present: list[Visitor]) -> None:
        present = present[:MAX_KEPT_VISITORS]
        now_s = self._hub.clock.monotonic_s()
        if present != self._kept or (present and now_s - self._kept_s >= CONFIRM_S):
            await self.shares.keep_visitors(present)
            self._kept, self._kept_s = present, now_s

    async def _forget_visitors(self) -> None:
        try:
            with anyio.CancelScope(shield=True):
                await self.shares.keep_visitors([])
        except StoreError as error:  # they are not believed for long
            log.warning("the list of visitors stays as it was: %s", error)
