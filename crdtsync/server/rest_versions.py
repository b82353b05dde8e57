"""Versions over HTTP: moments of a document that have a name.

Owns the URLs below ``/api/v1/versions``. An id tells nothing to who may not read its document's
history: there is none, for all that it hears.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, get_args
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crdtsync.errors import Forbidden, StoreError
from crdtsync.gate import Principal
from crdtsync.history.model import HistoryError, UnknownMoment, Version, VersionKind
from crdtsync.history.words import version_fields, wrong_words
from crdtsync.hub import Hub
from crdtsync.server.bodies import Fields, read_body
from crdtsync.server.doors import record_admin
from crdtsync.server.history_permits import HistoryPermits, history_of
from crdtsync.server.parameters import API, DEFAULT_PAGE, MAX_PAGE, number
from crdtsync.server.permits import Permits
from crdtsync.server.problems import Problem, sentence
from crdtsync.server.rest_history import UNCACHED, check_name, check_there, read_document

__all__ = ["MAX_ID", "VERSIONS", "RestVersions"]

VERSIONS: Final = f"{API}/versions"
MAX_ID: Final = (1 << 63) - 1
_KINDS: Final[dict[str, VersionKind]] = {kind: kind for kind in get_args(VersionKind)}


class RestVersions:
    """The versions' routes of one hub."""

    def __init__(self, hub: Hub, permits: Permits) -> None:
        self._hub = hub
        self._permits = HistoryPermits(permits)

    @property
    def routes(self) -> list[Route]:
        """The routes, to be put into an application."""
        return [
            Route(VERSIONS, self.all, methods=["GET", "POST"]),
            Route(f"{VERSIONS}/{{id}}", self.one, methods=["GET", "PATCH", "DELETE"]),
        ]

    async def all(self, request: Request) -> Response:
        """List a document's versions, the newest first and a page at a time; or make one."""
        if request.method == "POST":
            return await self._create(request)
        query = request.query_params
        document = await read_document(self._hub, request, self._permits)
        kind = query.get("kind")
        if kind is not None and kind not in _KINDS:
            raise Problem(400, f"kind is one of {', '.join(_KINDS)}.", code="invalid-parameter")
        limit = number(query, "limit", least=1, most=MAX_PAGE, otherwise=DEFAULT_PAGE)
        before = number(query, "before", least=0, most=MAX_ID, otherwise=MAX_ID)
        await check_there(self._hub, document)
        found = await history_of(self._hub).versions(
            document,
            before=before if "before" in query else None,
            limit=limit + 1,
            kind=None if kind is None else _KINDS[kind],
        )
        page = found[:limit]
        body: dict[str, Any] = {"versions": [version_fields(each) for each in page], "next": None}
        headers = dict(UNCACHED)
        if len(found) > limit:
            fields = {"document": document} | ({} if kind is None else {"kind": kind})
            fields |= {"before": str(page[-1].id), "limit": str(limit)}
            base = quote(request.scope.get("root_path", ""))
            body["next"] = f"{base}{VERSIONS}?{urlencode(fields)}"
            headers["Link"] = f'<{body["next"]}>; rel="next"'
        return JSONResponse(body, headers=headers)

    async def _create(self, request: Request) -> Response:
        async with self._permits.reading(request):
            fields = Fields(await read_body(request))
            document = fields.text("document", required=True)
            check_name(self._hub, document)
        principal = await self._permits.author(request, document)
        label, note = fields.text("label", required=True), fields.text("note")
        fields.end()
        _check_words(label, note)
        await check_there(self._hub, document)
        made = await history_of(self._hub).create(
            document, label=label, note=note, principal=principal
        )
        location = f"{quote(request.scope.get('root_path', ''))}{VERSIONS}/{made.id}"
        headers = UNCACHED | {"Location": location}
        return JSONResponse(version_fields(made), status_code=201, headers=headers)

    async def one(self, request: Request) -> Response:
        """Answer with one version, give it other words, or remove it."""
        match request.method:
            case "PATCH":
                _, version = await self._found(request, self._permits.author)
                fields = Fields(await read_body(request))
                label, note = fields.given("label"), fields.given("note")
                fields.end()
                if label is None and note is None:
                    raise Problem(400, "Give a label or a note.", code="invalid-parameter")
                _check_words(label, note)
                version = await history_of(self._hub).rename(version.id, label=label, note=note)
            case "DELETE":
                admin, version = await self._found(request, self._permits.admin)
                await history_of(self._hub).remove(version.id)
                record_admin(
                    self._hub,
                    request,
                    admin,
                    "version-removed",
                    version.document,
                    id=version.id,
                    sequence=version.sequence,
                )
                return Response(status_code=204)
            case _:
                _, version = await self._found(request, self._permits.reader)
        return JSONResponse(version_fields(version), headers=UNCACHED)

    async def _found(
        self, request: Request, ask: Callable[[Request, str], Awaitable[Principal]]
    ) -> tuple[Principal, Version]:
        """Return who asks, and the version that the path names.

        Who may not even read it gets the answer that an id without a version gets.
        """
        try:
            version = await self._version(request.path_params["id"])
        except (HistoryError, StoreError):
            await self._permits.somebody(request)
            raise
        if version is not None:
            try:
                return await ask(request, version.document), version
            except Forbidden:
                if ask != self._permits.reader and await self._reads(request, version.document):
                    raise
        await ask(request, "")
        raise Problem(404, "There is no version of this id.", code="unknown-version")

    async def _reads(self, request: Request, document: str) -> bool:
        try:
            await self._permits.reader(request, document)
        except Forbidden:
            return False
        return True

    async def _version(self, text: str) -> Version | None:
        if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= MAX_ID):
            return None
        try:
            return await history_of(self._hub).version(int(text))
        except UnknownMoment:
            return None


def _check_words(label: str | None, note: str | None) -> None:
    wrong = wrong_words(label, note)
    if wrong:
        raise Problem(422, sentence(wrong), code="invalid-version")
