"""The quarantine of refused updates over HTTP: to read it, to apply and to drop what is in it.

Owns the URLs below ``/api/v1/quarantine``. For admins alone: of the document, or of all.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote, urlencode

import anyio.lowlevel
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
            return await self._drop_all(request, admin, _named(document, author))
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
        applied: dict[int, Entry] = {}
        try:
            left = await self._apply([entry], applied)
        finally:
            self._note(request, admin, "refused-updates-applied", applied.values())
        return self._answer(Applied(tuple(applied.values()), tuple(left.values())))

    async def apply_all(self, request: Request) -> Response:
        """Let the entries of a document, or of one author in it, in after all, in order."""
        query = request.query_params
        admin, document = await self._admitted(request)
        if document is None:
            raise Problem(400, "Name the document.", code="invalid-parameter")
        which = _named(document, query.get("author"))
        applied: dict[int, Entry] = {}
        left: dict[int, tuple[Entry, str]] = {}
        newest = MAX_ID  # what comes meanwhile is not waited for
        progress = True
        try:
            while progress:
                before = len(applied)
                left.clear()
                async for page in self._pages(which, whole=True):
                    meant = [entry for entry in page if entry.id <= newest]
                    for entry, why in (await self._apply(meant, applied)).values():
                        left[entry.id] = replace(entry, update=b""), why
                newest = min(newest, max([0, *applied, *left]))
                progress = bool(left) and len(applied) > before
        finally:
            self._note(request, admin, "refused-updates-applied", applied.values())
        return self._answer(Applied(tuple(applied.values()), tuple(left.values())))

    async def _drop_all(self, request: Request, admin: Principal, which: Filter) -> Response:
        dropped = 0
        found: list[Entry] = []
        try:
            async for page in self._pages(which):
                dropped += await self._hub.quarantine.drop(page)
                found += page
        finally:
            self._note(request, admin, "refused-updates-dropped", found)
        return JSONResponse({"dropped": dropped}, headers=_UNCACHED)

    async def _pages(self, which: Filter, *, whole: bool = False) -> AsyncIterator[list[Entry]]:
        """Go through all that is meant, a page at a time: it may be more than memory is for."""
        while True:
            page = await self._hub.quarantine.entries(which, limit=MAX_PAGE, whole=whole)
            if page:
                yield page
            if len(page) < MAX_PAGE:
                return
            which = replace(which, after=page[-1].id)

    def _note(
        self, request: Request, admin: Principal, action: str, entries: Iterable[Entry]
    ) -> None:
        """Write into the audit log what was done with some entries: a line for each document."""
        for name, count in Counter(entry.document for entry in entries).items():
            record_admin(self._hub, request, admin, action, name, entries=count)

    async def _apply(
        self, entries: list[Entry], applied: dict[int, Entry]
    ) -> dict[int, tuple[Entry, str]]:
        """Edit the document as the entries' authors; as many as fit, in whatever order fits.

        What has entered is in ``applied`` at once, without its updates, which may be many
        megabytes. Returns what is left, and why.
        """
        done: list[Entry] = []
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
                    await anyio.lowlevel.checkpoint()  # nothing was waited for
                    continue
                del left[entry.id]
                applied[entry.id] = replace(entry, update=b"")
                done.append(applied[entry.id])
                progress = True
        await self._hub.quarantine.drop(done)
        return left

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


def _named(document: str | None, author: str | None) -> Filter:
    if document is None and author is None:
        raise Problem(400, "Name a document or an author.", code="invalid-parameter")
    return Filter(document=document, author=author)


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
