"""Documents over HTTP, to read: the list, and each one as metadata, JSON, text or an update.

Quarantined ones can be listed, had as stored, and released.

Owns the URLs below ``/api/v1``, the choice of a representation and conditional requests.
What a document holds comes from its room, so that a reader sees what clients see.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from crdtsync.auth import Authenticator
from crdtsync.content import RootExport
from crdtsync.documents import join_stored
from crdtsync.errors import DocumentQuarantined, Forbidden
from crdtsync.gate import Principal
from crdtsync.guard import Quarantined
from crdtsync.hub import Hub
from crdtsync.protocol import document_name
from crdtsync.room import Room
from crdtsync.server.admission import admit
from crdtsync.server.problems import Problem
from crdtsync.server.request import encoded_path, scope_request, strip_prefix
from crdtsync.store.base import DocumentInfo

__all__ = ["API", "DEFAULT_PAGE", "MAX_PAGE", "QUARANTINED", "Format", "Rest"]

API: Final = "/api/v1"
DOCUMENTS: Final = f"{API}/documents"
QUARANTINED: Final = f"{API}/quarantined"
DEFAULT_PAGE = 100
"""Documents of one page of the list."""
MAX_PAGE = 1000
"""The most that ``limit`` may ask for."""

Format = Literal["metadata", "json", "text", "update"]
FORMATS: Final[dict[str, Format]] = {
    "metadata": "metadata",
    "json": "json",
    "text": "text",
    "update": "update",
}
MEDIA_TYPES: Final[dict[Format, str]] = {
    "metadata": "application/json",
    "json": "application/json",
    "text": "text/plain",
    "update": "application/octet-stream",
}


class Rest:
    """The document routes of one hub."""

    def __init__(self, hub: Hub, authenticator: Authenticator) -> None:
        self._hub = hub
        self._authenticator = authenticator

    async def documents(self, request: Request) -> Response:
        """List documents by name, a page at a time."""
        await self._authenticate(request, "")
        query = request.query_params
        prefix, after = query.get("prefix", ""), query.get("after", "")
        limit = _limit(query.get("limit"))
        found = await self._hub.store.documents(prefix=prefix, after=after, limit=limit + 1)
        page, more = found[:limit], len(found) > limit
        base = request.scope.get("root_path", "")
        body: dict[str, Any] = {
            "documents": [self._entry(info, base) for info in page],
            "next": None,
        }
        headers = {"Cache-Control": "private, no-cache"}
        if more:
            fields = {"prefix": prefix, "after": page[-1].name, "limit": str(limit)}
            if not prefix:
                del fields["prefix"]
            body["next"] = f"{quote(base)}{DOCUMENTS}?{urlencode(fields)}"
            headers["Link"] = f'<{body["next"]}>; rel="next"'
        return JSONResponse(body, headers=headers)

    async def document(self, request: Request) -> Response:
        """Answer with one representation of one document, or 304 where the client has it."""
        name = self._name(request)
        await self._authenticate(request, name)
        shape = _format(request)
        root = request.query_params.get("root")
        if root is not None and shape not in ("json", "text"):
            raise Problem(
                400, "root goes with format=json or format=text only.", code="invalid-parameter"
            )
        info = await self._hub.store.info(name)
        if info is None:
            raise Problem(404, "There is no document of this name.", code="unknown-document")
        record = self._hub.guard.quarantined(name)
        if record is not None and shape == "metadata":
            entry = self._entry(info, request.scope.get("root_path", ""))
            entry |= {"state_vector": None, "damage": None}
            return JSONResponse(entry, headers={"Cache-Control": "private, no-cache"})
        async with self._hub.open(name) as room:
            return self._represent(request, room, info, shape, root)

    def _represent(
        self, request: Request, room: Room, info: DocumentInfo, shape: Format, root: str | None
    ) -> Response:
        connections = self._connections(info.name)
        vector = room.state_vector()
        headers = {
            "ETag": _etag(room.sequence, vector, shape, root, connections),
            "Vary": "Accept, Authorization",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-cache",
        }
        if _matches(request.headers.get("if-none-match", ""), headers["ETag"]):
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
                value = _json(room.export(), root)
                text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
                return Response(text, media_type=media_type, headers=headers)
            case "text":
                text = _text(room.export(), root)
                return Response(text, media_type=media_type, headers=headers)
            case "update":
                headers["Content-Disposition"] = "attachment"
                return Response(room.state(), media_type=media_type, headers=headers)

    # Quarantined documents

    async def quarantined(self, request: Request) -> Response:
        """List what the server died over, by name."""
        await self._authenticate(request, "")
        found = [_quarantined(record) for record in self._hub.guard.listed()]
        return JSONResponse({"documents": found}, headers={"Cache-Control": "no-store"})

    async def one_quarantined(self, request: Request) -> Response:
        """Answer with one record, with the stored update, or release the document."""
        name = self._name(request, QUARANTINED)
        principal = await self._authenticate(request, name)
        record = self._hub.guard.quarantined(name)
        if record is None:
            raise Problem(404, "No document of this name is quarantined.", code="not-quarantined")
        if request.method == "DELETE":
            if principal.read_only:
                raise Forbidden("you may read here, and not release")
            self._hub.guard.release(name)
            return Response(status_code=204)
        shape = _format(request)
        if shape == "metadata":
            return JSONResponse(_quarantined(record), headers={"Cache-Control": "no-store"})
        if shape != "update":
            raise DocumentQuarantined(record.reason)
        loaded = await self._hub.store.load(name)
        exported = await anyio.to_thread.run_sync(join_stored, name, loaded, self._hub.limits)
        headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
        return Response(exported.data, media_type=MEDIA_TYPES["update"], headers=headers)

    def _entry(self, info: DocumentInfo, base: str) -> dict[str, Any]:
        entry = _entry(info, base, self._connections(info.name))
        record = self._hub.guard.quarantined(info.name)
        entry["quarantined"] = None if record is None else record.reason
        return entry

    def _name(self, request: Request, above: str = DOCUMENTS) -> str:
        below = strip_prefix(encoded_path(request.scope), f"{above}/")
        if not below:
            raise Problem(400, "The document's name is empty.", code="invalid-document-name")
        # The slash in front is the one that a WebSocket's path has and a name has not.
        return document_name(b"/" + below, max_bytes=self._hub.limits.max_document_name_bytes)

    def _connections(self, name: str) -> int:
        room = self._hub.rooms.get(name)
        return 0 if room is None else len(room.connections)

    async def _authenticate(self, request: Request, document: str) -> Principal:
        return await admit(self._authenticator, scope_request(request.scope, document))


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_PAGE
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_PAGE:
        return int(text)
    raise Problem(400, f"limit is a number from 1 to {MAX_PAGE}.", code="invalid-parameter")


def _format(request: Request) -> Format:
    """Return what ``?format=`` names, or else what ``Accept`` prefers; metadata by default."""
    named = request.query_params.get("format")
    if named is not None:
        if named in FORMATS:
            return FORMATS[named]
        raise Problem(400, f"format is one of {', '.join(FORMATS)}.", code="invalid-parameter")
    best: tuple[float, Format] | None = None
    for media_range, quality in _accepted(request.headers.get("accept", "*/*")):
        for shape in ("metadata", "text", "update"):
            kind = MEDIA_TYPES[shape]
            fits = media_range in ("*/*", kind, kind.partition("/")[0] + "/*")
            if fits and quality > 0 and (best is None or quality > best[0]):
                best = (quality, shape)
    if best is None:
        offered = "application/json, text/plain and application/octet-stream"
        raise Problem(406, f"A document is had as {offered}.", code="not-acceptable")
    return best[1]


def _accepted(header: str) -> list[tuple[str, float]]:
    """Read an ``Accept`` header (RFC 9110, 12.5.1); a quality that is no number counts as 1."""
    ranges: list[tuple[str, float]] = []
    for part in header.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    pass
        ranges.append((media_range, quality))
    return ranges


def _entry(info: DocumentInfo, base: str, connections: int) -> dict[str, Any]:
    return {
        "name": info.name,
        "url": f"{quote(base)}{DOCUMENTS}/{quote(info.name)}",
        "sequence": info.sequence,
        "created": _iso(info.created_ms),
        "updated": _iso(info.updated_ms),
        "bytes": info.checkpoint_bytes + info.log_bytes,
        "connections": connections,
    }


def _quarantined(record: Quarantined) -> dict[str, Any]:
    return {
        "name": record.document,
        "since": _iso(record.time_ms),
        "reason": record.reason,
        "deaths": [
            {"time": _iso(each.time_ms), "work": each.work.name.lower(), "signal": each.signum}
            for each in record.deaths
        ],
    }


def _iso(time_ms: int) -> str:
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _etag(sequence: int, vector: bytes, shape: Format, root: str | None, connections: int) -> str:
    """Name a representation: the sequence covers deletions, which no state vector shows."""
    shown = connections if shape == "metadata" else 0
    what = json.dumps([sequence, shape, root, shown]).encode()
    return f'"{hashlib.sha256(what + vector).hexdigest()[:32]}"'


def _matches(if_none_match: str, etag: str) -> bool:
    tags = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return any(tag in ("*", etag) for tag in tags)


def _json(roots: Mapping[str, RootExport], root: str | None) -> dict[str, Any]:
    if root is not None and root not in roots:
        raise _unknown_root()
    return {name: content.value for name, content in roots.items() if root in (None, name)}


def _text(roots: Mapping[str, RootExport], root: str | None) -> str:
    if root is None:
        texts = [name for name, content in roots.items() if content.kind == "text"]
        if len(texts) != 1:
            raise Problem(
                406,
                f"The document has {len(texts)} roots that are text; name one with root.",
                code="not-acceptable",
            )
        root = texts[0]
    if root not in roots:
        raise _unknown_root()
    content = roots[root]
    if content.kind != "text":
        raise Problem(
            406, f"That root is no text but {content.kind}: read it as json.", code="not-acceptable"
        )
    return str(content.value)


def _unknown_root() -> Problem:
    return Problem(404, "The document has no root of this name.", code="unknown-root")
