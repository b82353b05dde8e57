"""Share links and revocations over HTTP: for who may manage a document's links, and for admins.

Owns these routes, and who may use them. A link's token is in one
answer only, that to its making.
"""

from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crdtsync.access.links import Share, Visitor
from crdtsync.access.revocations import RevocationError
from crdtsync.access.service import Access
from crdtsync.access.shares import ShareError
from crdtsync.access.tables import Revocation
from crdtsync.channels.members import admits_only_members
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.protocol import check_document_name
from crdtsync.server.bodies import Fields, read_body
from crdtsync.server.doors import record_admin
from crdtsync.server.parameters import API, DEFAULT_PAGE, MAX_PAGE, iso, number
from crdtsync.server.permits import Permits
from crdtsync.server.problems import Problem, sentence

__all__ = ["REVOCATIONS", "SHARES", "access_routes"]

SHARES: Final = f"{API}/shares"
REVOCATIONS: Final = f"{API}/revocations"
_NO_STORE: Final = {"Cache-Control": "no-store"}


def access_routes(hub: Hub, access: Access, permits: Permits) -> list[Route]:
    """Return the routes."""
    rest = _AccessRest(hub, access, permits)
    return [
        Route(SHARES, rest.shares, methods=["GET", "POST"]),
        Route(f"{SHARES}/{{id}}", rest.share, methods=["GET", "DELETE"]),
        Route(REVOCATIONS, rest.revocations, methods=["GET", "POST", "DELETE"]),
    ]


class _AccessRest:
    def __init__(self, hub: Hub, access: Access, permits: Permits) -> None:
        self._hub = hub
        self._access = access
        self._permits = permits

    # Share links

    async def shares(self, request: Request) -> Response:
        """List the links of a document, or of all; or make one."""
        if request.method == "POST":
            return await self._create(request)
        query = request.query_params
        document = query.get("document")
        if document is None:
            await self._permits.admin(request)
        else:
            async with self._permits.reading(request):
                self._check_name(document)
            await self._permits.sharer(request, document)
        limit = number(query, "limit", least=1, most=MAX_PAGE, otherwise=DEFAULT_PAGE)
        after = query.get("after", "")
        found = await self._access.shares.listed(document, after=after, limit=limit + 1)
        page, following = found[:limit], None
        if len(found) > limit:
            fields = {"after": page[-1].id, "limit": str(limit)}
            if document is not None:
                fields["document"] = document
            base = quote(request.scope.get("root_path", ""))
            following = f"{base}{SHARES}?{urlencode(fields)}"
        present = self._access.visitors_of(page)
        body = {"shares": [self._entry(each, present[each.id]) for each in page], "next": following}
        return JSONResponse(body, headers=_NO_STORE)

    async def _create(self, request: Request) -> Response:
        async with self._permits.reading(request):
            fields = Fields(await read_body(request))
            document = fields.text("document", required=True)
            self._check_name(document)
        principal, own = await self._permits.sharer(request, document)
        role, label = fields.text("role", required=True), fields.text("label")
        password, max_uses = fields.text("password"), fields.number("max_uses")
        expires_ms = fields.time_ms("expires")
        fields.end()
        if admits_only_members(self._hub.channels.rules, document, ""):
            raise Problem(422, "A direct conversation has no share links.", code="invalid-share")
        try:
            made = await self._access.shares.create(
                document,
                role,
                owner=principal.id,
                own_role=own,
                label=label,
                password=password,
                expires_ms=expires_ms,
                max_uses=max_uses,
            )
        except ShareError as error:
            raise Problem(422, sentence(error), code="invalid-share") from None
        record_admin(
            self._hub, request, principal, "share-created", document, id=made.share.id, role=role
        )
        path = f"/{quote(document, safe='')}?{urlencode({'token': made.token})}"
        body = self._entry(made.share, []) | {"token": made.token, "path": path}
        location = f"{quote(request.scope.get('root_path', ''))}{SHARES}/{made.share.id}"
        return JSONResponse(body, status_code=201, headers=_NO_STORE | {"Location": location})

    async def share(self, request: Request) -> Response:
        """Answer with one link and who is there by it, or revoke it."""
        share = await self._access.shares.find(request.path_params["id"])
        if share is None:
            await self._permits.sharer(request, "")
            raise Problem(404, "There is no share link of this id.", code="unknown-share")
        principal, _ = await self._permits.sharer(request, share.document)
        if request.method == "DELETE":
            await self._access.revoke_share(share.id)
            record_admin(
                self._hub, request, principal, "share-revoked", share.document, id=share.id
            )
            return Response(status_code=204)
        entry = self._entry(share, self._access.visitors(share.id))
        return JSONResponse(entry, headers=_NO_STORE)

    def _entry(self, share: Share, visitors: list[Visitor]) -> dict[str, Any]:
        return {
            "id": share.id,
            "document": share.document,
            "role": share.role,
            "label": share.label,
            "owner": share.owner,
            "password": share.password,
            "created": iso(share.created_ms),
            "expires": None if share.expires_ms is None else iso(share.expires_ms),
            "max_uses": share.max_uses,
            "uses": share.uses,
            "revoked": None if share.revoked_ms is None else iso(share.revoked_ms),
            "state": share.state(self._hub.clock.time_ms()),
            "visitors": [
                {
                    "principal": each.principal,
                    "name": each.name,
                    "since": iso(each.since_ms),
                    "connections": each.connections,
                }
                for each in visitors
            ],
        }

    # Revocations

    async def revocations(self, request: Request) -> Response:
        """List who is revoked, revoke somebody, or undo that."""
        admin = await self._permits.admin(request)
        if request.method == "POST":
            return await self._revoke(request, admin)
        if request.method == "DELETE":
            revoked = request.query_params.get("principal", "")
            if not await self._access.revocations.undo(revoked):
                raise Problem(404, "Nobody of this id is revoked.", code="not-revoked")
            record_admin(self._hub, request, admin, "revocation-undone", revoked=revoked)
            return Response(status_code=204)
        await self._access.revocations.load()
        found = [_revocation(each) for each in self._access.revocations.listed()]
        return JSONResponse({"revocations": found}, headers=_NO_STORE)

    async def _revoke(self, request: Request, admin: Principal) -> Response:
        fields = Fields(await read_body(request))
        principal = fields.text("principal", required=True)
        before_ms, until_ms = fields.time_ms("before"), fields.time_ms("until")
        links = fields.flag("links")
        fields.end()
        try:
            made, closed = await self._access.revoke(
                principal, before_ms=before_ms, until_ms=until_ms, links=links
            )
        except RevocationError as error:
            raise Problem(422, sentence(error), code="invalid-revocation") from None
        record_admin(
            self._hub, request, admin, "principal-revoked", revoked=principal, closed=closed
        )
        body = _revocation(made) | {"closed": closed}
        return JSONResponse(body, status_code=201, headers=_NO_STORE)

    def _check_name(self, document: str) -> None:
        check_document_name(document, max_bytes=self._hub.limits.max_document_name_bytes)


def _revocation(revocation: Revocation) -> dict[str, Any]:
    return {
        "principal": revocation.principal,
        "before": iso(revocation.before_ms),
        "until": None if revocation.until_ms is None else iso(revocation.until_ms),
        "created": iso(revocation.created_ms),
    }
