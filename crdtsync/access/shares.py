"""Share links: making, listing and revoking them, and letting visitors in by them.

Owns the way of a visitor: secret, password, place. Whoever can't name the right secret learns
nothing, not even whether there is such a link. Failures are counted per link and address.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from crdtsync.access import tables
from crdtsync.access.links import (
    MAX_LABEL_CHARS,
    MAX_NAME_CHARS,
    MAX_PASSWORD_BYTES,
    NAMELESS,
    PRINCIPAL_PREFIX,
    Share,
    ShareToken,
    Visitor,
    clean,
    digest,
    make_id,
    make_secret,
    read_token,
    same,
    visitor_digest,
    write_token,
)
from crdtsync.access.passwords import Passwords
from crdtsync.access.ranks import covers
from crdtsync.access.tables import StoredShare
from crdtsync.access.throttle import Throttle
from crdtsync.auth import ConnectRequest
from crdtsync.clock import Clock
from crdtsync.errors import Forbidden, OperatorError, RemoteError, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.limits import Limits
from crdtsync.roles import Role
from crdtsync.store.side import SideDatabase

__all__ = ["KEPT_S", "MAX_USES", "SEEN_S", "MadeShare", "ShareError", "Shares"]

MAX_USES: Final = 1_000_000
REQUEST_S: Final = 900.0
"""A request by a link is over by then: its body has ten minutes."""
KEPT_S: Final = 30 * 24 * 3600.0
"""How long a link that has ended is still listed."""
SEEN_S: Final = 30.0
"""Visitors that the server has not confirmed for so long are not shown as present."""
_NO_DIGEST: Final = bytes(32)
_ENDED: Final = {
    "revoked": "the share link was revoked",
    "expired": "the share link has expired",
    "used up": "the share link has been used as often as it may",
}


class ShareError(OperatorError):
    """A link can't be made as it was asked for, or there is none."""


@dataclass(frozen=True, slots=True)
class MadeShare:
    """A new link, with the one look at its token."""

    share: Share
    token: str = field(repr=False)


class Shares:
    """The share links in one access database. Made within an event loop."""

    def __init__(
        self,
        database: SideDatabase,
        *,
        clock: Clock,
        limits: Limits,
        roles: Mapping[str, Role],
    ) -> None:
        self._database = database
        self._clock = clock
        self._limits = limits
        self._roles = roles
        self._throttle = Throttle(limits.share_failures_per_minute, clock)
        self._passwords = Passwords()
        self._ended: set[str] = set()  # revoked just now
        self._fresh: set[str] = set()  # of those: since the database was last asked
        self._joined: dict[str, float] = {}  # links that somebody came by lately, and when last
        self.joined = False
        """Whether anybody has come by a link yet."""

    # Links

    async def create(
        self,
        document: str,
        role: str,
        *,
        owner: str = "",
        own_role: Role | None = None,
        label: str = "",
        password: str = "",
        expires_ms: int | None = None,
        max_uses: int | None = None,
    ) -> MadeShare:
        """Make a link; ``own_role`` is what its maker may do there, ``None`` for everything.

        Raises ``Forbidden`` where the link would give more than that, ``ShareError`` where
        something else is wrong with it.
        """
        given = self._role(role)
        if own_role is not None and not covers(own_role, given):
            raise Forbidden("a link can't give more than you may do yourself")
        now_ms = self._clock.time_ms()
        if expires_ms is not None and expires_ms <= now_ms:
            raise ShareError("the link would have expired already")
        if max_uses is not None and not 1 <= max_uses <= MAX_USES:
            raise ShareError(f"a link can be used 1 to {MAX_USES} times")
        if len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD_BYTES:
            raise ShareError(f"a password has at most {MAX_PASSWORD_BYTES} bytes")
        secret = make_secret()
        share = Share(
            id=make_id(),
            document=document,
            role=role,
            label=clean(label, MAX_LABEL_CHARS),
            owner=owner,
            password=bool(password),
            created_ms=now_ms,
            expires_ms=expires_ms,
            max_uses=max_uses,
        )
        kept = await self._passwords.hash(password) if password else None
        stored = StoredShare(share, digest(secret), kept)
        if not await self._database.call(tables.add_share, stored, self._limits.max_shares):
            raise ShareError(
                f"the document has {self._limits.max_shares} links already",
                hint="Revoke some, or set max_shares higher",
            )
        return MadeShare(share, write_token(share.id, secret))

    def _role(self, name: str) -> Role:
        role = self._roles.get(name)
        if role is None:
            raise ShareError(f"there is no role of this name; there are {', '.join(self._roles)}")
        if role.admin or role.shares:
            raise ShareError("a link can't give a role that manages links or the server")
        return role

    async def find(self, share: str) -> Share | None:
        """Return one link."""
        stored = await self._database.call(tables.find_share, share)
        return None if stored is None else stored.share

    async def listed(
        self, document: str | None = None, *, after: str = "", limit: int = 1000
    ) -> list[Share]:
        """Return the links of a document, or of all, by id."""
        return await self._database.call(tables.list_shares, document, after, limit)

    async def revoke(self, share: str) -> bool:
        """Revoke a link; return whether there is one that wasn't. Nobody joins by it any more."""
        done = await self._database.call(tables.revoke_share, share, self._clock.time_ms())
        if done:
            self._ended.add(share)
            self._fresh.add(share)
        return done

    async def reinstate(self, share: str) -> bool:
        """Undo a link's revocation; return whether there was one."""
        done = await self._database.call(tables.reinstate_share, share)
        self._ended.discard(share)
        self._fresh.discard(share)
        return done

    async def revoke_of(self, owner: str) -> list[str]:
        """Revoke the links that a principal made; return their ids."""
        found = await self._database.call(tables.shares_of_owner, owner)
        for share in found:
            await self.revoke(share)
        return found

    async def purge(self) -> int:
        """Forget links that ended long ago; return how many."""
        before_ms = self._clock.time_ms() - int(KEPT_S * 1000)
        return await self._database.call(tables.purge_shares, before_ms)

    # Who is there

    def ended(self, share: str) -> bool:
        """Return whether a link was revoked just now."""
        return share in self._ended

    def refusal(self, principal: Principal) -> RemoteError | None:
        """Return why a visitor may not stay; ``None`` for everybody else."""
        if principal.share and principal.share in self._ended:
            return Forbidden(_ENDED["revoked"])
        return None

    async def look(self, live: set[str]) -> None:
        """Find out which of the links that visitors are there by have been revoked."""
        # And of those by which a request came that may still be on its way. Only these: who comes
        # in this moment is among them the next time.
        since_s = self._clock.monotonic_s() - REQUEST_S
        self._joined = {share: at_s for share, at_s in self._joined.items() if at_s > since_s}
        asked = sorted(live | self._joined.keys())
        self._fresh = set()
        found = await self._database.call(tables.ended_shares, asked) if asked else set()
        self._ended = found | self._fresh

    async def keep_visitors(self, visitors: list[Visitor]) -> None:
        """Write down who is there, for the command line."""
        await self._database.call(tables.keep_visitors, visitors, self._clock.time_ms())

    async def kept_visitors(self) -> list[Visitor]:
        """Return who is there, as the server wrote it down last."""
        since_ms = self._clock.time_ms() - int(SEEN_S * 1000)
        return await self._database.call(tables.kept_visitors, since_ms)

    # Visitors

    async def join(self, request: ConnectRequest) -> Principal:
        """Let somebody in by a link; raise ``Unauthenticated``, ``Forbidden`` or
        ``TooManyRequests``.
        """
        address = _network(request.address)
        self._throttle.check(address)
        token = read_token(request.token)
        stored = await self._found(token)
        if stored is None or token is None:
            self._throttle.failed(address)
            raise Unauthenticated("the share link is not valid")
        share = stored.share
        if share.document != request.document:
            raise Forbidden("the share link is for another document")
        if (state := share.state(self._clock.time_ms())) in ("revoked", "expired"):
            raise Forbidden(_ENDED[state])
        if stored.password is not None:
            password = token.password or request.params.get("password", "")
            await self._check_password(stored, stored.password, password, address)
        self._joined[share.id] = self._clock.monotonic_s()
        role = self._roles.get(share.role)
        if role is None or role.admin or role.shares:
            raise Forbidden("the share link's role is no longer given")
        return await self._let_in(share, role, request)

    async def _found(self, token: ShareToken | None) -> StoredShare | None:
        """Return the link, for who names its secret; the work is the same where there is none."""
        stored = await self._database.call(tables.find_share, token.id if token else "")
        kept = stored.secret if stored is not None else _NO_DIGEST
        right = same(kept, digest(token.secret if token else ""))
        return stored if right else None

    async def _check_password(
        self, stored: StoredShare, kept: bytes, password: str, address: str
    ) -> None:
        if not password:
            raise Unauthenticated("the share link wants a password", kind="password-needed")
        share = stored.share.id
        if len(password) > MAX_PASSWORD_BYTES:
            password = ""  # and wrong, as any other
        async with self._passwords.turn(share):
            # Within the turn: of a thousand that come at once, no more are tried than may fail.
            self._throttle.check(address)
            self._throttle.check(share)
            try:
                await self._passwords.check(share, kept, password)
            except Unauthenticated:
                self._throttle.failed(address)
                self._throttle.failed(share)
                raise

    async def _let_in(self, share: Share, role: Role, request: ConnectRequest) -> Principal:
        visitor = visitor_digest(share.id, request.params.get("visitor", ""))
        now_ms = self._clock.time_ms()
        state = await self._database.call(tables.use_share, share.id, visitor, now_ms)
        if state != "open":
            raise Forbidden(_ENDED[state])
        self.joined = True
        return Principal(
            id=f"{PRINCIPAL_PREFIX}{share.id}:{visitor or make_id()}",
            name=clean(request.params.get("name", ""), MAX_NAME_CHARS, otherwise=NAMELESS),
            read_only=role.reads_only,
            role=role,
            expires_s=None if share.expires_ms is None else share.expires_ms / 1000,
            share=share.id,
            attributes={"joined_ms": now_ms},
        )


def _network(address: str) -> str:
    """Return whose failures count together: an address, of IPv6 the network that one has."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return f"address {address}"
    if parsed.version == 6:
        mapped = getattr(parsed, "ipv4_mapped", None)
        if mapped is not None:
            return f"address {mapped}"
        return f"address {ipaddress.ip_network((parsed, 64), strict=False)}"
    return f"address {parsed}"
