"""Presence over HTTP: who is in a document, and what is known of people.

Owns the URLs below ``/api/v1/presence``. Who may read a document may know who is in it; of people
somebody is told what stands in documents that they may read, and not whether there are others.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any, Final

import anyio.lowlevel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crdtsync.channels.keeping import PersonHere
from crdtsync.channels.members import admits_only_members
from crdtsync.channels.presence import Sighting
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.protocol import check_document_name
from crdtsync.server.parameters import API, DEFAULT_PAGE, MAX_PAGE, number
from crdtsync.server.permits import Permits, Sight
from crdtsync.server.problems import Problem
from crdtsync.server.representations import matches

__all__ = ["MAX_PEOPLE", "PRESENCE_URL", "presence_routes"]

PRESENCE_URL: Final = f"{API}/presence"
MAX_PEOPLE: Final = 100
"""People that one request may ask for."""
LOOKS: Final = 50
"""Documents that are looked at, whether somebody may hear of them, before others have a turn."""


def presence_routes(hub: Hub, permits: Permits) -> list[Route]:
    """Return the routes."""
    rest = _PresenceRest(hub, permits)
    return [Route(PRESENCE_URL, rest.room), Route(f"{PRESENCE_URL}/people", rest.people)]


class _PresenceRest:
    def __init__(self, hub: Hub, permits: Permits) -> None:
        self._hub = hub
        self._permits = permits

    async def room(self, request: Request) -> Response:
        """Answer with who is in a document, those who are there first."""
        hub, query = self._hub, request.query_params
        async with self._permits.reading(request):
            document = query.get("document", "")
            check_document_name(document, max_bytes=hub.limits.max_document_name_bytes)
        await self._permits.principal(request, document)
        limit = number(query, "limit", least=1, most=MAX_PAGE, otherwise=DEFAULT_PAGE)
        if not hub.channels.rules.present(document):
            raise Problem(404, "No presence is kept in this document.", code="presence-off")
        if await hub.store.info(document) is None and document not in hub.rooms:
            raise Problem(404, "There is no document of this name.", code="unknown-document")
        try:
            info = await hub.channels.presence(document).info()
        except LookupError:
            raise Problem(
                404, "No presence is kept in this document.", code="presence-off"
            ) from None
        body = {
            "document": document,
            "online": info.online,
            "connections": info.connections,
            "viewers": info.viewers,
            "owners_online": list(info.owners_online),
            "known": len(info.people),
            "people": [_here(each) for each in info.people[:limit]],
        }
        return _answer(request, body)

    async def people(self, request: Request) -> Response:
        """Answer with what is known of some people, over the documents that one may read."""
        principal = await self._permits.principal(request, "")
        ids = request.query_params.getlist("id")
        if not 0 < len(ids) <= MAX_PEOPLE or not all(ids):
            raise Problem(400, f"id is given once to {MAX_PEOPLE} times.", code="invalid-parameter")
        keeping, people = self._hub.channels.keeping, list(dict.fromkeys(ids))
        may_tell = self._sight(principal)
        told: set[str] = set()
        for looked, document in enumerate(keeping.where(people), 1):
            if may_tell(document):
                told.add(document)
            if looked % LOOKS == 0:  # each takes a while where there are many grants
                await anyio.lowlevel.checkpoint()
        found = keeping.people(people, told.__contains__)
        return _answer(request, {"people": [_seen(each) for each in found.values()]})

    def _sight(self, principal: Principal) -> Callable[[str], bool]:
        """Return which documents somebody may hear of; who came by a link hears of none."""
        if principal.share:
            return lambda document: False
        rules, grants = self._hub.channels.rules, principal.grants
        sees = None if grants is None else Sight(grants, self._permits.roles).sees

        def may_tell(document: str) -> bool:
            if admits_only_members(rules, document, principal.id):
                return False
            return sees is None or sees(document)

        return may_tell


def _here(here: PersonHere) -> dict[str, Any]:
    person = here.person
    return {
        "id": person.id,
        "status": person.status,
        "name": person.name,
        "color": person.color,
        "last_seen": person.last_seen_ms,
        "connections": person.connections,
        "role": here.role or None,
        "read_only": here.read_only,
    }


def _seen(sighting: Sighting) -> dict[str, Any]:
    return {
        "id": sighting.id,
        "status": sighting.status,
        "name": sighting.name,
        "last_seen": sighting.last_seen_ms,
    }


def _answer(request: Request, body: dict[str, Any]) -> Response:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
    headers = {
        "ETag": tag,
        "Vary": "Authorization",
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    if matches(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(text, media_type="application/json", headers=headers)
