"""Documents over HTTP: the list, each one as metadata, JSON, text or an update, and its end.

Quarantined ones can be listed, had as stored, and released.

Owns the URLs of documents below ``/api/v1``, and conditional requests.
What a document holds comes from its room, so that a reader sees what clients see. Who asks is
let in, or refused, before anybody looks whether there is such a document.
"""

import base64
from typing import Any, Final
from urllib.parse import quote, urlencode

import anyio.to_thread
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from crdtsync.authoring.running import known_of, mark_of
from crdtsync.channels.members import admits_only_members
from crdtsync.documents import join_stored
from crdtsync.errors import DocumentQuarantined
from crdtsync.gate import Principal
from crdtsync.guard import Quarantined
from crdtsync.hub import Hub
from crdtsync.protocol import document_name
from crdtsync.room import Room
from crdtsync.server.doors import caller_of, record_admin
from crdtsync.server.parameters import API, DEFAULT_PAGE, MAX_PAGE, iso, number
from crdtsync.server.permits import Cursors, Permits, Place, Sight
from crdtsync.server.problems import Problem
from crdtsync.server.representations import (
    MEDIA_TYPES,
    Format,
    as_json,
    as_text,
    etag,
    format_of,
    in_pieces,
    matches,
)
from crdtsync.server.request import encoded_path, strip_prefix
from crdtsync.server.rest_authoring import RestAuthoring
from crdtsync.store.base import DocumentInfo

__all__ = ["DOCUMENTS", "QUARANTINED", "Rest"]

DOCUMENTS: Final = f"{API}/documents"
QUARANTINED: Final = f"{API}/quarantined"
_PRIVATE: Final = {"Cache-Control": "private, no-store", "Vary": "Accept, Authorization"}


class Rest:
    """The document routes of one hub."""

    def __init__(self, hub: Hub, permits: Permits) -> None:
        self._hub = hub
        self._permits = permits
        self._cursors = Cursors()
        self._writing = RestAuthoring(hub, permits, DOCUMENTS)

    async def documents(self, request: Request) -> Response:
        """List the documents that one may see by name, a page at a time."""
        principal = await self._permits.principal(request, "")
        query = request.query_params
        prefix = query.get("prefix", "")
        limit = number(query, "limit", least=1, most=MAX_PAGE, otherwise=DEFAULT_PAGE)
        page, further = await self._page(principal, prefix, self._place(query), limit)
        rules, base = self._hub.channels.rules, request.scope.get("root_path", "")
        page = [each for each in page if not admits_only_members(rules, each.name, principal.id)]
        body: dict[str, Any] = {
            "documents": [self._entry(info, base) for info in page],
            "next": None,
        }
        headers = _PRIVATE | {"Cache-Control": "private, no-cache"}
        if further is not None:
            fields = {"prefix": prefix} if prefix else {}
            if page and further == Place(page[-1].name):
                fields["after"] = further.after
            else:
                fields["cursor"] = self._cursors.write(further)
            fields["limit"] = str(limit)
            body["next"] = f"{quote(base)}{DOCUMENTS}?{urlencode(fields)}"
            headers["Link"] = f'<{body["next"]}>; rel="next"'
        return JSONResponse(body, headers=headers)

    def _place(self, query: QueryParams) -> Place:
        cursor = query.get("cursor")
        place = Place(query.get("after", "")) if cursor is None else self._cursors.read(cursor)
        if place is None:
            raise Problem(
                404, "The cursor is not this server's, or older than it.", code="unknown-cursor"
            )
        return place

    async def _page(
        self, principal: Principal, prefix: str, place: Place, limit: int
    ) -> tuple[list[DocumentInfo], Place | None]:
        store = self._hub.store
        if principal.grants is not None:
            sight = Sight(principal.grants, self._permits.roles)
            return await sight.search(store, prefix=prefix, place=place, limit=limit)
        found = await store.documents(prefix=prefix, after=place.after, limit=limit + 1)
        page = found[:limit]
        return page, Place(page[-1].name) if len(found) > limit else None

    async def document(self, request: Request) -> Response:
        """Answer with one representation of one document (304 where one has it), or delete it."""
        name = await self._name(request)
        if request.method == "DELETE":
            principal = await self._permits.admin(request, name)
            caller = caller_of(request)
            if not await self._hub.documents.delete(name, principal, caller=caller):
                raise _unknown_document()
            return Response(status_code=204)
        if request.method in ("PUT", "PATCH"):
            return await self._writing.answer(request, name)
        await self._permits.principal(request, name)
        shape = format_of(request)
        root = request.query_params.get("root")
        if root is not None and shape in ("metadata", "update"):
            raise Problem(400, f"root doesn't go with {shape}.", code="invalid-parameter")
        info = await self._hub.store.info(name)
        if info is None:
            raise _unknown_document()
        record = self._hub.guard.quarantined(name)
        if record is not None and shape == "metadata":
            entry = self._entry(info, request.scope.get("root_path", ""))
            entry |= {"state_vector": None, "damage": None}
            return JSONResponse(entry, headers=_PRIVATE | {"Cache-Control": "private, no-cache"})
        if shape in ("rich", "delta", "xml"):
            return await self._writing.read(request, name, shape, root)
        async with self._hub.open(name) as room:
            info = await known_of(self._hub, room, info)
            return await self._represent(request, room, info, shape, root)

    async def _represent(
        self, request: Request, room: Room, info: DocumentInfo, shape: Format, root: str | None
    ) -> Response:
        vector = room.state_vector()
        metadata = shape == "metadata"
        shown = [self._connections(info.name), room.sequence, vector.hex()] if metadata else []
        headers = {
            "ETag": etag(mark_of(info, room), shape, root, *shown),
            "Vary": "Accept, Authorization",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-cache",
        }
        if matches(request.headers.get("if-none-match", ""), headers["ETag"]):
            return Response(status_code=304, headers=headers)
        media_type = MEDIA_TYPES[shape]
        match shape:
            case "metadata":
                entry = self._entry(info, request.scope.get("root_path", ""))
                entry["sequence"] = room.sequence
                entry["state_vector"] = base64.b64encode(vector).decode()
                entry["damage"] = room.damage or None
                return JSONResponse(entry, headers=headers)
            case "json":
                text = as_json(await self._hub.documents.export(room, text=False), root)
                return in_pieces(text.encode(), media_type, headers)
            case "text":
                text = as_text(await self._hub.documents.export(room, text=True), root)
                return in_pieces(text.encode(), media_type, headers)
            case "update":
                headers["Content-Disposition"] = "attachment"
                return in_pieces(await self._hub.documents.whole(room), media_type, headers)
        raise AssertionError(shape)

    # Quarantined documents

    async def quarantined(self, request: Request) -> Response:
        """List what the server died over, by name, as far as one may see it."""
        principal = await self._permits.principal(request, "")
        records = self._hub.guard.listed()
        if principal.grants is not None:
            sight = Sight(principal.grants, self._permits.roles)
            records = [record for record in records if sight.sees(record.document)]
        rules, id = self._hub.channels.rules, principal.id
        records = [each for each in records if not admits_only_members(rules, each.document, id)]
        found = [_quarantined(record) for record in records]
        return JSONResponse({"documents": found}, headers=_PRIVATE)

    async def one_quarantined(self, request: Request) -> Response:
        """Answer with one record, with the stored update, or release the document."""
        name = await self._name(request, QUARANTINED)
        ask = self._permits.admin if request.method == "DELETE" else self._permits.principal
        principal = await ask(request, name)
        record = self._hub.guard.quarantined(name)
        if record is None:
            raise Problem(404, "No document of this name is quarantined.", code="not-quarantined")
        if request.method == "DELETE":
            self._hub.guard.release(name)
            record_admin(self._hub, request, principal, "release", name)
            return Response(status_code=204)
        shape = format_of(request)
        if shape == "metadata":
            return JSONResponse(_quarantined(record), headers=_PRIVATE)
        if shape != "update":
            raise DocumentQuarantined(record.reason)
        loaded = await self._hub.store.load(name)
        exported = await anyio.to_thread.run_sync(join_stored, name, loaded, self._hub.limits)
        headers = _PRIVATE | {
            "Content-Disposition": "attachment",
            "X-Content-Type-Options": "nosniff",
        }
        return in_pieces(exported.data, MEDIA_TYPES["update"], headers)

    def _entry(self, info: DocumentInfo, base: str) -> dict[str, Any]:
        entry = _entry(info, base, self._connections(info.name))
        record = self._hub.guard.quarantined(info.name)
        entry["quarantined"] = None if record is None else record.reason
        return entry

    async def _name(self, request: Request, above: str = DOCUMENTS) -> str:
        most = self._hub.limits.max_document_name_bytes
        async with self._permits.reading(request):
            below = strip_prefix(encoded_path(request.scope), f"{above}/")
            if not below:
                raise Problem(400, "The document's name is empty.", code="invalid-document-name")
            # The slash in front is the one that a WebSocket's path has and a name has not.
            return document_name(b"/" + below, max_bytes=most)

    def _connections(self, name: str) -> int:
        room = self._hub.rooms.get(name)
        return 0 if room is None else len(room.connections)


def _entry(info: DocumentInfo, base: str, connections: int) -> dict[str, Any]:
    return {
        "name": info.name,
        "url": f"{quote(base)}{DOCUMENTS}/{quote(info.name)}",
        "sequence": info.sequence,
        "created": iso(info.created_ms),
        "updated": iso(info.updated_ms),
        "bytes": info.checkpoint_bytes + info.log_bytes,
        "connections": connections,
    }


def _quarantined(record: Quarantined) -> dict[str, Any]:
    return {
        "name": record.document,
        "since": iso(record.time_ms),
        "reason": record.reason,
        "deaths": [
            {"time": iso(each.time_ms), "work": each.work.name.lower(), "signal": each.signum}
            for each in record.deaths
        ],
    }


def _unknown_document() -> Problem:
    return Problem(404, "There is no document of this name.", code="unknown-document")
