"""Tokens over HTTP, for admins: issuing one, and explaining what one means here.

Owns these routes, and that nobody gives more than he has. A token is in one answer only, that to
its making; one that is asked about is in none, and neither is in any log.
"""

import json
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crdtsync.access.links import PRINCIPAL_PREFIX
from crdtsync.access.ranks import exceeds
from crdtsync.errors import Forbidden, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.roles import Grants
from crdtsync.server.bodies import Fields, read_body
from crdtsync.server.doors import record_admin
from crdtsync.server.parameters import API, iso
from crdtsync.server.permits import Permits
from crdtsync.server.problems import Problem, sentence

if TYPE_CHECKING:  # it reads keys, which is large: only who has one brings it
    from crdtsync.identity.desk import TokenDesk

__all__ = [
    "DEFAULT_LIFETIME_S",
    "EXPLAIN",
    "MAX_DOCUMENTS",
    "MAX_LIFETIME_S",
    "TOKENS",
    "token_routes",
]

TOKENS: Final = f"{API}/tokens"
EXPLAIN: Final = f"{TOKENS}/explain"
MAX_DOCUMENTS: Final = 100
"""Patterns of a token that is issued, and names that are asked about at once."""
DEFAULT_LIFETIME_S: Final = 3600
MAX_LIFETIME_S: Final = 24 * 3600
"""Who has a token for longer is to ask again: one can't be taken back, but for its subject's."""
_NO_STORE: Final = {"Cache-Control": "no-store"}


def token_routes(hub: Hub, desk: "TokenDesk", permits: Permits) -> list[Route]:
    """Return the routes; that for issuing only where there is a key to sign with."""
    rest = _TokenRest(hub, desk, permits)
    routes = [Route(EXPLAIN, rest.explain, methods=["POST"])]
    if desk.issues:
        routes.append(Route(TOKENS, rest.issue, methods=["POST"]))
    return routes


class _TokenRest:
    def __init__(self, hub: Hub, desk: "TokenDesk", permits: Permits) -> None:
        self._hub = hub
        self._desk = desk
        self._permits = permits

    async def issue(self, request: Request) -> Response:
        """Make a token that gives no more than who asks for it has."""
        admin = await self._permits.admin(request)
        fields = Fields(await read_body(request))
        subject, name = fields.text("subject", required=True), fields.text("name")
        documents = fields.table("documents", most=MAX_DOCUMENTS)
        asked = fields.number("lifetime_s")
        lifetime_s = DEFAULT_LIFETIME_S if asked is None else asked
        fields.end()
        if not 0 < lifetime_s <= MAX_LIFETIME_S:
            raise _invalid(f"a token holds for 1 to {MAX_LIFETIME_S} seconds")
        if subject.startswith(PRINCIPAL_PREFIX):
            raise _invalid("this id is a visitor's")
        self._check(admin, documents)
        try:
            made = await self._desk.issue(
                subject, name=name, documents=documents, lifetime_s=lifetime_s
            )
        except Unauthenticated as error:
            raise _invalid(str(error)) from None
        record_admin(
            self._hub,
            request,
            admin,
            "token-issued",
            subject=subject,
            id=made.id,
            lifetime_s=lifetime_s,
        )
        body = {
            "token": made.token,
            "id": made.id,
            "subject": subject,
            "name": name,
            "documents": documents,
            "issued": iso(made.issued_s * 1000),
            "expires": iso(made.expires_s * 1000),
        }
        return _json(body, status=201)

    def _check(self, admin: Principal, documents: dict[str, str]) -> None:
        """Refuse roles that nobody has defined, and more than the admin has himself."""
        roles = dict(self._permits.roles)
        if not all(role in roles for role in documents.values()):
            raise _invalid("a role is not known here")
        own = admin.grants
        if own is None:
            assert admin.role is not None, "an admin has a role"
            own = Grants({"*": admin.role.name})
            roles[admin.role.name] = admin.role
        if exceeds(own, documents, roles):
            raise Forbidden("a token gives no more than who issues it has")

    async def explain(self, request: Request) -> Response:
        """Say what a token means here, without letting it in."""
        admin = await self._permits.admin(request)
        fields = Fields(await read_body(request))
        token = fields.text("token", required=True).strip()
        documents = fields.texts("documents", most=MAX_DOCUMENTS)
        fields.end()
        found = await self._desk.explain(token, documents)
        record_admin(self._hub, request, admin, "token-explained")
        return _json(
            {
                "header": found.header,
                "claims": found.claims,
                "verifies": found.verifies,
                "reason": found.reason or None,
                "roles": found.roles,
            }
        )


def _invalid(reason: str) -> Problem:
    return Problem(422, sentence(reason), code="invalid-token-request")


def _json(value: object, *, status: int = 200) -> Response:
    """Answer in ASCII: a claim may hold halves of surrogate pairs."""
    text = json.dumps(value, allow_nan=False)
    return Response(text, status, _NO_STORE, media_type="application/json")
