"""The quarantine of refused updates over HTTP: to read it, to apply and to drop what is in it.

Owns the URLs below ``/api/v1/quarantine``. For admins alone: of the document, or of all.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crdtsync.documents.refused import MISSING, Applied, refused_content
from crdtsync.errors import InvalidUpdate
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.protocol import check_document_name
from crdtsync.refused.base import Entry, Filter
from crdtsync.server.doors import record_admin
from crdtsync.server.parameters import API, DEFAULT_PAGE, MAX_PAGE, iso, number
from crdtsync.server.permits import Permits
from crdtsync.server.problems import Problem

__all__ = ["MAX_ID", "REFUSED", "RestQuarantine"]

REFUSED: Final = f"{API}/quarantine"
MAX_ID: Final = (1 << 63) - 1
_UNCACHED: Final = {"Cache-Control": "no-store"}


class EntryConvertor(Convertor[str]):
    """An entry's number in a route, or what stands in its place; not ``apply``, a route itself."""

    regex = "(?!apply$)[^/]+"

    def convert(self, value: str) -> str:
        """Return it as it is: a route answers for what is no number."""
        return value

    def to_string(self, value: str) -> str:
        """Return it as it is."""
        return value


register_url_convertor("entry", EntryConvertor())


class RestQuarantine:
    """The quarantine's routes of one hub."""

    def __init__(self, hub: Hub, permits: Permits) -> None:
        self._hub = hub
        self._permits = permits

    @property
    def routes(self) -> list[Route]:
        """The routes, to be put into an application."""
        one = f"{REFUSED}/{{id:entry}}"
        return [
            Route(REFUSED, self.all, methods=["GET", "DELETE"]),
            Route(f"{REFUSED}/apply", self.apply_all, methods=["POST"]),
            Route(one, self.one, methods=["GET", "DELETE"]),
            Route(f"{one}/apply", self.apply, methods=["POST"]),
        ]

    async def all(self, request: Request) -> Response:
        """List entries, a page at a time, or drop those of a document or an author."""
        query = request.query_params
        admin, document = await self._admitted(request)
        author = query.get("author")
        if request.method == "DELETE":
            found, dropped = [], 0
            async for page in self._meant(Filter(document=document, author=author)):
                dropped += await self._hub.quarantine.drop(page)
                found += page
            self._note(request, admin, "refused-updates-dropped", found)
            return JSONResponse({"dropped": dropped}, headers=_UNCACHED)
        after = number(query, "after", least=0, most=MAX_ID, otherwise=0)
        which = Filter(document=document, author=author, after=after)
        limit = number(query, "limit", least=1, most=MAX_PAGE, otherwise=DEFAULT_PAGE)
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
        admin, entry = await self._found(request)
        if request.method == "DELETE":
            await self._hub.quarantine.drop([entry])
            self._note(request, admin, "refused-updates-dropped", [entry])
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
        admin, entry = await self._found(request)
        done = await self._apply([entry])
        self._note(request, admin, "refused-updates-applied", done.applied)
        return self._answer(done)

    async def apply_all(self, request: Request) -> Response:
        """Let the entries of a document, or of one author in it, in after all, in order."""
        query = request.query_params
        admin, document = await self._admitted(request)
        if document is None:
            raise Problem(400, "Name the document.", code="invalid-parameter")
        which = Filter(document=document, author=query.get("author"))
        pages = [page async for page in self._meant(which, whole=True)]
        done = await self._apply(list(chain.from_iterable(pages)))
        self._note(request, admin, "refused-updates-applied", done.applied)
        return self._answer(done)

    def _note(
        self, request: Request, admin: Principal, action: str, entries: Sequence[Entry]
    ) -> None:
        """Write into the audit log what was done with some entries: a line for each document."""
        for name in dict.fromkeys(entry.document for entry in entries):
            updates = sum(entry.document == name for entry in entries)
            record_admin(self._hub, request, admin, action, name, entries=updates)

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

    async def _meant(self, which: Filter, *, whole: bool = False) -> AsyncIterator[list[Entry]]:
        """Give all that a request is about, a page at a time."""
        if which.document is None and which.author is None:
            raise Problem(400, "Name a document or an author.", code="invalid-parameter")
        while page := await self._hub.quarantine.entries(which, limit=MAX_PAGE, whole=whole):
            yield page
            if len(page) < MAX_PAGE:
                break
            which = replace(which, after=page[-1].id)

    async def _found(self, request: Request) -> tuple[Principal, Entry]:
        text = request.path_params["id"]
        entry = None
        if text.isascii() and text.isdigit() and len(text) < 19:
            which = Filter(ids=(int(text),))
            entry = next(iter(await self._hub.quarantine.entries(which, limit=1, whole=True)), None)
        admin = await self._permits.admin(request, "" if entry is None else entry.document)
        if entry is None:
            raise Problem(404, "The quarantine has no such entry.", code="unknown-entry")
        return admin, entry

    async def _admitted(self, request: Request) -> tuple[Principal, str | None]:
        """Return who asks, and the document that the query names."""
        document = request.query_params.get("document")
        if document is not None:
            most = self._hub.limits.max_document_name_bytes
            async with self._permits.reading(request):
                check_document_name(document, max_bytes=most)
        return await self._permits.admin(request, document or ""), document


def _entry(entry: Entry, base: str) -> dict[str, Any]:
    return {
        "id": entry.id,
        "url": f"{quote(base)}{REFUSED}/{entry.id}",
        "document": entry.document,
        "author": entry.author,
        "name": entry.name,
        "kind": entry.kind,
        "reason": entry.reason,
        "first": iso(entry.first_ms),
        "last": iso(entry.last_ms),
        "updates": entry.updates,
        "bytes": entry.size,
    }
