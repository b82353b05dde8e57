"""The quarantine of refused updates over HTTP: to read it, to apply and to drop what is in it.

Owns the URLs below ``/api/v1/quarantine``. For admins alone, where anybody is authenticated.
"""

from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crdtsync.auth import Authenticator, OpenAuthenticator
from crdtsync.documents.refused import MISSING, Applied, refused_content
from crdtsync.errors import Forbidden, InvalidUpdate
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.refused.base import Entry, Filter
from crdtsync.server.admission import admit
from crdtsync.server.problems import Problem
from crdtsync.server.request import scope_request

__all__ = ["MAX_PAGE", "PAGE", "REFUSED", "RestQuarantine"]

REFUSED: Final = "/api/v1/quarantine"
PAGE: Final = 100
"""Entries of one page of the list."""
MAX_PAGE: Final = 1_000
"""The most that ``limit`` may ask for, and entries that are applied or dropped at once."""
_MAX_ID: Final = (1 << 63) - 1
_UNCACHED: Final = {"Cache-Control": "no-store"}


class RestQuarantine:
    """The quarantine's routes of one hub."""

    def __init__(self, hub: Hub, authenticator: Authenticator) -> None:
        self._hub = hub
        self._authenticator = authenticator
        self._open = isinstance(authenticator, OpenAuthenticator)

    @property
    def routes(self) -> list[Route]:
        """The routes, to be put into an application."""
        one = f"{REFUSED}/{{id}}"
        return [
            Route(REFUSED, self.all, methods=["GET", "DELETE"]),
            Route(f"{REFUSED}/apply", self.apply_all, methods=["POST"]),
            Route(one, self.one, methods=["GET", "DELETE"]),
            Route(f"{one}/apply", self.apply, methods=["POST"]),
        ]

    async def all(self, request: Request) -> Response:
        """List entries, a page at a time, or drop those of a document or an author."""
        query = request.query_params
        which = Filter(
            document=query.get("document"),
            author=query.get("author"),
            after=_number(query.get("after", "0"), "after", 0, _MAX_ID),
        )
        await self._admit(request, which.document or "")
        if request.method == "DELETE":
            found = await self._meant(which)
            return JSONResponse({"dropped": await self._hub.quarantine.drop(found)})
        limit = _number(query.get("limit", str(PAGE)), "limit", 1, MAX_PAGE)
        found = await self._hub.quarantine.entries(which, limit=limit + 1)
        base = request.scope.get("root_path", "")
        body: dict[str, Any] = {
            "entries": [_entry(each, base) for each in found[:limit]],
            "dropped": [
                {"cause": each.cause, "updates": each.updates, "bytes": each.size}
                for each in await self._hub.quarantine.lost()
            ],
            "next": None,
        }
        if len(found) > limit:
            fields = {key: query[key] for key in ("document", "author") if key in query}
            fields |= {"after": str(found[limit - 1].id), "limit": str(limit)}
            body["next"] = f"{quote(base)}{REFUSED}?{urlencode(fields)}"
        return JSONResponse(body, headers=_UNCACHED)

    async def one(self, request: Request) -> Response:
        """Answer with one entry or its update, or drop it."""
        entry = await self._found(request)
        if request.method == "DELETE":
            await self._hub.quarantine.drop([entry])
            return Response(status_code=204)
        shape = request.query_params.get("format")
        if shape not in (None, "metadata", "update"):
            raise Problem(400, "format is metadata or update.", code="invalid-parameter")
        binary = "application/octet-stream"
        if shape == "update" or (shape is None and request.headers.get("accept") == binary):
            headers = _UNCACHED | {
                "Content-Disposition": "attachment",
                "X-Content-Type-Options": "nosniff",
            }
            return Response(entry.update, media_type=binary, headers=headers)
        content = refused_content(entry, self._hub.limits)
        body = _entry(entry, request.scope.get("root_path", "")) | {
            "ranges": [
                {"client": client, "start": start, "end": end}
                for client, start, end in content.ranges
            ],
            "deleted": content.deleted,
            "roots": list(content.roots),
            "text": content.text,
        }
        return JSONResponse(body, headers=_UNCACHED)

    async def apply(self, request: Request) -> Response:
        """Let one entry into its document after all."""
        return self._answer(await self._apply([await self._found(request)]))

    async def apply_all(self, request: Request) -> Response:
        """Let the entries of a document, or of one author in it, in after all, in order."""
        query = request.query_params
        document = query.get("document")
        await self._admit(request, document or "")
        if document is None:
            raise Problem(400, "Name the document.", code="invalid-parameter")
        found = await self._meant(Filter(document=document, author=query.get("author")), whole=True)
        return self._answer(await self._apply(found))

    async def _apply(self, entries: list[Entry]) -> Applied:
        """Edit the document as the entries' authors; as many as fit, in whatever order fits."""
        applied: list[Entry] = []
        left = {entry.id: (entry, MISSING) for entry in entries}
        progress = True
        while left and progress:
            progress = False
            for entry, _ in list(left.values()):
                author = Principal(id=entry.author, name=entry.name)
                try:
                    await self._hub.edit(entry.document, entry.update, author)
                except InvalidUpdate as error:
                    lacks = "lacks" in str(error)
                    left[entry.id] = entry, MISSING if lacks else str(error)
                    continue
                del left[entry.id]
                applied.append(entry)
                progress = True
        await self._hub.quarantine.drop(applied)
        return Applied(tuple(applied), tuple(left.values()))

    def _answer(self, done: Applied) -> Response:
        if done.left and not done.applied:
            entry, reason = done.left[0]
            raise Problem(
                409, f"Entry {entry.id} can't be applied: {reason}.", code="not-applicable"
            )
        return JSONResponse(
            {
                "applied": [entry.id for entry in done.applied],
                "left": [{"id": entry.id, "reason": reason} for entry, reason in done.left],
            },
            headers=_UNCACHED,
        )

    async def _meant(self, which: Filter, *, whole: bool = False) -> list[Entry]:
        if which.document is None and which.author is None:
            raise Problem(400, "Name a document or an author.", code="invalid-parameter")
        return await self._hub.quarantine.entries(which, limit=MAX_PAGE, whole=whole)

    async def _found(self, request: Request) -> Entry:
        text = request.path_params["id"]
        admin = await self._is_admin(request, "")
        entry = None
        if text.isascii() and text.isdigit() and len(text) < 19:
            which = Filter(ids=(int(text),))
            entry = next(iter(await self._hub.quarantine.entries(which, limit=1, whole=True)), None)
        if not admin and not (entry and await self._is_admin(request, entry.document)):
            raise _forbidden()
        if entry is None:
            raise Problem(404, "The quarantine has no such entry.", code="unknown-entry")
        return entry

    async def _admit(self, request: Request, document: str) -> None:
        if await self._is_admin(request, ""):
            return
        if not document or not await self._is_admin(request, document):
            raise _forbidden()

    async def _is_admin(self, request: Request, document: str) -> bool:
        asked = scope_request(request.scope, document)
        principal = await admit(self._authenticator, asked)
        return self._open or (principal.role is not None and principal.role.admin)


def _forbidden() -> Forbidden:
    return Forbidden("the quarantine of refused updates is for admins")


def _number(text: str, name: str, least: int, most: int) -> int:
    if text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most:
        return int(text)
    raise Problem(400, f"{name} is a number from {least} to {most}.", code="invalid-parameter")


def _entry(entry: Entry, base: str) -> dict[str, Any]:
    return {
        "id": entry.id,
        "url": f"{quote(base)}{REFUSED}/{entry.id}",
        "document": entry.document,
        "author": entry.author,
        "name": entry.name,
        "kind": entry.kind,
        "reason": entry.reason,
        "first": _iso(entry.first_ms),
        "last": _iso(entry.last_ms),
        "updates": entry.updates,
        "bytes": entry.size,
    }


def _iso(time_ms: int) -> str:
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
