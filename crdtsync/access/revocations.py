"""Revocations: what a principal proved before a moment counts no more.

Owns the list, in the database and, so that everybody can be asked without waiting, in memory.
"""

from crdtsync.access import tables
from crdtsync.access.tables import Revocation
from crdtsync.clock import Clock
from crdtsync.errors import OperatorError, RemoteError, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.store.side import SideDatabase

__all__ = ["RevocationError", "Revocations"]


class RevocationError(OperatorError):
    """A revocation can't be made as it was asked for."""


class Revocations:
    """The revocations in one access database."""

    def __init__(self, database: SideDatabase, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._known: dict[str, Revocation] = {}

    async def load(self) -> None:
        """Read the list anew: somebody else may have written."""
        found = await self._database.call(tables.list_revocations)
        self._known = {each.principal: each for each in found}

    def refusal(self, principal: Principal) -> RemoteError | None:
        """Return why a principal's proof counts no more; ``None`` where it does."""
        revoked = self._known.get(principal.id)
        if revoked is None:
            return None
        if revoked.until_ms is not None and revoked.until_ms <= self._clock.time_ms():
            return None
        if principal.issued_s is not None and principal.issued_s * 1000 >= revoked.before_ms:
            return None
        return Unauthenticated("the token was revoked", kind="revoked")

    def listed(self) -> list[Revocation]:
        """Return all revocations, by principal."""
        return sorted(self._known.values(), key=lambda each: each.principal)

    async def revoke(
        self, principal: str, *, before_ms: int | None = None, until_ms: int | None = None
    ) -> Revocation:
        """Refuse what a principal proved before a moment (now), until another one (for ever).

        A revocation that is there already is never shortened. Raises ``RevocationError`` for the
        anonymous, who can't be told apart, and where it would have ended already.
        """
        now_ms = self._clock.time_ms()
        if not principal:
            raise RevocationError("who is anonymous can't be revoked")
        if until_ms is not None and until_ms <= now_ms:
            raise RevocationError("the revocation would have ended already")
        made = Revocation(principal, now_ms if before_ms is None else before_ms, until_ms, now_ms)
        await self._database.call(tables.put_revocation, made)
        await self.load()
        return self._known[principal]

    async def undo(self, principal: str) -> bool:
        """Undo a revocation; return whether there was one."""
        done = await self._database.call(tables.take_revocation, principal)
        await self.load()
        return done

    async def purge(self) -> int:
        """Forget revocations that have ended; return how many."""
        purged = await self._database.call(tables.purge_revocations, self._clock.time_ms())
        if purged:
            await self.load()
        return purged
