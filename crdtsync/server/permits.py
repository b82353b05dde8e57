"""What a principal may do over HTTP: see a document in a list, administer, manage share links.

Owns these decisions for all routes, and the search for the documents that somebody may see:
bounded work for a page, whatever there is that it may not see. Whether one document may be read
is decided where its request is let in: the authenticator refuses before anybody has looked
whether there is one.
"""

import json
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from cryptography.fernet import Fernet, InvalidToken
from starlette.requests import Request

from crdtsync.auth import Authenticator
from crdtsync.errors import Forbidden, RemoteError
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.roles import BUILT_IN, Grants, Role
from crdtsync.server.doors import admit_request
from crdtsync.server.problems import Problem
from crdtsync.store.base import DocumentInfo, Store

__all__ = ["MAX_LOOKS", "Cursors", "Permits", "Place", "Sight"]

MAX_LOOKS: Final = 5_000
"""Names that are looked at for one page of the list."""
BATCH: Final = 500
"""Names that the store is asked for at once."""
_CALL_COST: Final = 10
"""Looks that asking the store counts as."""
_PATTERNS_PER_LOOK: Final = 20
"""Patterns that a name is compared with in the time that a look takes otherwise."""
_PADDED_BYTES: Final = 512
"""A cursor's length tells no name's."""


_ELSEWHERE: Final = "; where nobody has a role, use the crdtsync command or turn authentication on"
# Always the same words, so that they tell nothing about what is there.
_ADMIN_NEEDED: Final = f"this takes an admin role{_ELSEWHERE}"
_SHARES_NEEDED: Final = f"this takes a role that manages share links{_ELSEWHERE}"


class Permits:
    """Who may do what: asks the authenticator, and goes by the role that it gives.

    What concerns one document takes a role in that document, everything else (``""``) one that
    holds everywhere. Who has no role administers nothing, nor does who came by a share link.
    """

    def __init__(
        self, hub: Hub, authenticator: Authenticator, roles: Mapping[str, Role] = BUILT_IN
    ) -> None:
        """``roles`` are those that grants may name."""
        self._hub = hub
        self._authenticator = authenticator
        self.roles = roles

    async def principal(self, request: Request, document: str) -> Principal:
        """Return who asks, for a document or for none (``""``)."""
        return await admit_request(self._hub, self._authenticator, request, document)

    @asynccontextmanager
    async def reading(self, request: Request) -> AsyncIterator[None]:
        """Read within this which document a request is about.

        Where that fails, who asks is looked at before it is told why.
        """
        try:
            yield
        except (Problem, RemoteError):
            await self.principal(request, "")
            raise

    async def admin(self, request: Request, document: str = "") -> Principal:
        """Return who asks, or raise ``Forbidden`` unless it administers what it asks for."""
        principal, role = await self._known(request, document, _ADMIN_NEEDED)
        if role is None or not role.admin:
            raise Forbidden(_ADMIN_NEEDED)
        return principal

    async def sharer(self, request: Request, document: str) -> tuple[Principal, Role]:
        """Return who asks, with its role, unless it may not manage the document's links."""
        principal, role = await self._known(request, document, _SHARES_NEEDED)
        if role is None or not role.shares:
            raise Forbidden(_SHARES_NEEDED)
        return principal, role

    async def holder(
        self,
        request: Request,
        document: str,
        needed: str,
        right: Callable[[Principal, Role | None], bool],
    ) -> Principal:
        """Return who asks, or raise ``Forbidden`` (``needed`` says why) unless it has a right.

        Visitors by a share link have the role that the link gives them.
        """
        principal, role = await self._in_role(request, document, needed)
        if (role is None and principal.grants is not None) or not right(principal, role):
            raise Forbidden(needed)
        return principal

    async def _known(
        self, request: Request, document: str, needed: str
    ) -> tuple[Principal, Role | None]:
        principal, role = await self._in_role(request, document, needed)
        return principal, None if principal.share else role

    async def _in_role(
        self, request: Request, document: str, needed: str
    ) -> tuple[Principal, Role | None]:
        try:
            principal = await self.principal(request, document)
        except Forbidden:
            # In our words, as for who is let in: a difference would tell about ids.
            raise Forbidden(needed) from None
        role = principal.role
        if role is None and principal.grants is not None:
            role = principal.grants.role(document, self.roles)
        return principal, role


@dataclass(frozen=True, slots=True)
class Place:
    """How far a search has come: behind ``after``, not before the range ``start``."""

    after: str = ""
    start: str = ""


class Cursors:
    """Places as text that says nothing: a search may end at a name that one may not see."""

    def __init__(self) -> None:
        self._cipher = Fernet(Fernet.generate_key())

    def write(self, place: Place) -> str:
        """Return a place as text, for as long as this server lives."""
        plain = json.dumps([place.after, place.start]).encode()
        return self._cipher.encrypt(
            plain.ljust(-(-len(plain) // _PADDED_BYTES) * _PADDED_BYTES)
        ).decode()

    def read(self, text: str) -> Place | None:
        """Return the place; ``None`` where the text is none that was written here."""
        try:
            after, start = json.loads(self._cipher.decrypt(text.encode()))
        except (InvalidToken, UnicodeEncodeError):
            return None
        return Place(after, start)


class Sight:
    """The documents that somebody's grants let it see.

    The patterns say where in the list to look: what stands before a pattern's first ``*`` is
    sought in the store's index, and only names that begin so are looked at, one by one.
    """

    def __init__(self, grants: Grants, roles: Mapping[str, Role]) -> None:
        self._roles = roles
        self._exact = {each: role for each, role in grants.patterns.items() if "*" not in each}
        self._wild = Grants({p: role for p, role in grants.patterns.items() if "*" in p})
        self._cost = 1 + len(self._wild.patterns) // _PATTERNS_PER_LOOK
        cover: list[str] = []
        for start in sorted(
            p.partition("*")[0] for p, role in self._wild.patterns.items() if role in roles
        ):
            if not cover or not start.startswith(cover[-1]):
                cover.append(start)
        self._cover = cover
        self._alone = sorted(
            name for name, role in self._exact.items() if role in roles and not self._covers(name)
        )

    def _covers(self, name: str) -> bool:
        at = bisect_right(self._cover, name)
        return at > 0 and name.startswith(self._cover[at - 1])

    def sees(self, name: str) -> bool:
        """Whether a document may be seen: the grants give a role in it, and one that exists."""
        role = self._exact.get(name) or self._wild.role_name(name)
        return role in self._roles

    async def search(
        self, store: Store, *, prefix: str, place: Place, limit: int
    ) -> tuple[list[DocumentInfo], Place | None]:
        """Return up to ``limit`` documents from a place on, and the place to go on from.

        ``None`` for a place: there are no more. Where the search ends because the page is full,
        the place is its last name; where it has looked long enough, any name.
        """
        found: list[DocumentInfo] = []
        looks, after = MAX_LOOKS, place.after
        for start, whole in self._ranges(prefix):
            if start < place.start or (start < after and not after.startswith(start)):
                continue  # all names of this range are behind us
            more = True
            while more:
                if looks <= 0:
                    return found, Place(after, start)
                if whole:
                    info = await store.info(start) if start > after else None
                    batch, more = [] if info is None else [info], False
                else:
                    size = min(BATCH, limit + 1)
                    batch = await store.documents(prefix=start, after=after, limit=size)
                    more = len(batch) == size
                looks -= _CALL_COST + len(batch) * self._cost
                for info in batch:
                    if self.sees(info.name):
                        if len(found) == limit:
                            return found, Place(found[-1].name)
                        found.append(info)
                    after = info.name
        return found, None

    def _ranges(self, prefix: str) -> Iterator[tuple[str, bool]]:
        """Yield where to look, in order: what names begin with, or (``True``) a whole name."""
        ranges = (
            [(prefix, False)]
            if self._covers(prefix)
            else [(start, False) for start in self._cover if start.startswith(prefix)]
        )
        ranges += [(name, True) for name in self._alone if name.startswith(prefix)]
        yield from sorted(ranges)
