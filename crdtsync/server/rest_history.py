"""Any moment of a document over HTTP: its content, what changed, who wrote it, and the way back.

Owns the URLs below ``/api/v1/history``. Who asks is let in, or refused, before anybody looks
whether there is such a document or moment.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Final, get_args
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crdtsync.gate import Principal
from crdtsync.history.content import Format
from crdtsync.history.restorer import Restored
from crdtsync.history.words import FORMS, MAX_NOTE, is_moment, restored_fields
from crdtsync.hub import Hub
from crdtsync.protocol import check_document_name
from crdtsync.server.bodies import Fields, read_body
from crdtsync.server.doors import caller_of
from crdtsync.server.history_permits import HistoryPermits, history_of
from crdtsync.server.parameters import API, DEFAULT_PAGE, MAX_PAGE, number
from crdtsync.server.permits import Permits
from crdtsync.server.problems import Problem
from crdtsync.server.representations import in_pieces, matches

__all__ = [
    "CONTENT_FORMATS",
    "HISTORY",
    "UNCACHED",
    "RestHistory",
    "check_moment",
    "check_name",
    "check_there",
    "read_document",
]

HISTORY: Final = f"{API}/history"
CONTENT_FORMATS: Final[dict[str, Format]] = {each: each for each in get_args(Format)}
UNCACHED: Final = {"Cache-Control": "private, no-store", "Vary": "Authorization"}
_BINARY: Final = ("update", "snapshot")
_OF_ONE_ROOT: Final = ("text", "xml")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


class RestHistory:
    """The history's routes of one hub."""

    def __init__(self, hub: Hub, permits: Permits) -> None:
        self._hub = hub
        self._permits = HistoryPermits(permits)

    @property
    def routes(self) -> list[Route]:
        """The routes, to be put into an application."""
        return [
            Route(f"{HISTORY}/content", self.content),
            Route(f"{HISTORY}/diff", self.diff),
            Route(f"{HISTORY}/blame", self.blame),
            Route(f"{HISTORY}/activity", self.activity),
            Route(f"{HISTORY}/restore", self.restore, methods=["POST"]),
            Route(f"{HISTORY}/undo", self.undo, methods=["POST"]),
        ]

    # Reading

    async def content(self, request: Request) -> Response:
        """Answer with a moment's content, in one of its forms."""
        document = await read_document(self._hub, request, self._permits)
        query = request.query_params
        moment, root = asked_moment(request, "at", otherwise="now"), query.get("root")
        shape = query.get("format", "json")
        if shape not in CONTENT_FORMATS:
            formats = ", ".join(CONTENT_FORMATS)
            raise Problem(400, f"format is one of {formats}.", code="invalid-parameter")
        if root is not None and shape in _BINARY:
            raise Problem(
                400, f"A moment's {shape} is always whole: leave root out.",
                code="invalid-parameter",
            )  # fmt: skip
        await check_there(self._hub, document)
        history = history_of(self._hub)
        extra = {}
        if shape in _BINARY:  # their file is named after the moment
            sequence = (await history.resolve(document, moment)).sequence
            moment = f"s{sequence}"
            extra["Content-Disposition"] = file_name(document, sequence, shape)
        data = await history.read(document, moment, format=CONTENT_FORMATS[shape], root=root)
        if shape in _BINARY:
            return _tagged(request, data, "application/octet-stream", extra)
        # Text even where it is XML: a browser would run what documents have in them.
        kind = "text/plain" if shape in _OF_ONE_ROOT else "application/json"
        return _tagged(request, data, kind)

    async def diff(self, request: Request) -> Response:
        """Answer with what lies between two moments."""
        document = await read_document(self._hub, request, self._permits)
        older = asked_moment(request, "from")
        newer = asked_moment(request, "to", otherwise="now")
        await check_there(self._hub, document)
        found = await history_of(self._hub).compare_json(
            document, older, newer, root=request.query_params.get("root")
        )
        return _tagged(request, found, "application/json")

    async def blame(self, request: Request) -> Response:
        """Answer with who wrote what of a moment's content."""
        document = await read_document(self._hub, request, self._permits)
        moment = asked_moment(request, "at", otherwise="now")
        await check_there(self._hub, document)
        found = await history_of(self._hub).blame_json(
            document, moment, root=request.query_params.get("root")
        )
        return _tagged(request, found, "application/json")

    async def activity(self, request: Request) -> Response:
        """Answer with who worked on the document when, the newest first and a page at a time."""
        document = await read_document(self._hub, request, self._permits)
        query = request.query_params
        before = asked_moment(request, "before") if "before" in query else None
        limit = number(query, "limit", least=1, most=MAX_PAGE, otherwise=DEFAULT_PAGE)
        await check_there(self._hub, document)
        found = await history_of(self._hub).activity(document, before=before, limit=limit)
        data = json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()
        return _tagged(request, data, "application/json")

    # The way back

    async def restore(self, request: Request) -> Response:
        """Make an older moment, or one root of it, the present: by an ordinary edit."""
        principal, document, fields = await self._restorable(request)
        moment = body_moment(fields, "at")
        root, note = fields.either("root"), fields.text("note")
        fields.end()
        if len(note) > MAX_NOTE:
            raise Problem(422, f"A note has at most {MAX_NOTE} characters.", code="invalid-version")
        await check_there(self._hub, document)
        done = await history_of(self._hub).restore(
            document,
            moment,
            root=root,
            note=note,
            principal=principal,
            caller=caller_of(request),
        )
        return _restored(document, done)

    async def undo(self, request: Request) -> Response:
        """Take back what one author did since a moment, and leave what others did."""
        principal, document, fields = await self._restorable(request)
        author = fields.either("author")
        if author is None:
            raise Problem(400, "author is a text.", code="invalid-parameter")
        since, until = body_moment(fields, "since"), body_moment(fields, "until", otherwise="now")
        fields.end()
        await check_there(self._hub, document)
        done = await history_of(self._hub).undo(
            document,
            author=author,
            since=since,
            until=until,
            principal=principal,
            caller=caller_of(request),
        )
        return _restored(document, done)

    async def _restorable(self, request: Request) -> tuple[Principal, str, Fields]:
        async with self._permits.reading(request):
            fields = Fields(await read_body(request))
            document = fields.text("document", required=True)
            check_name(self._hub, document)
        return await self._permits.restorer(request, document), document, fields


def check_name(hub: Hub, document: str) -> None:
    """Raise ``InvalidDocumentName`` where no document can be called so."""
    check_document_name(document, max_bytes=hub.limits.max_document_name_bytes)


async def read_document(hub: Hub, request: Request, permits: HistoryPermits) -> str:
    """Return the document that the query names, to who may read its history."""
    async with permits.reading(request):
        document = request.query_params.get("document")
        if document is None:
            raise Problem(400, "Name the document.", code="invalid-parameter")
        check_name(hub, document)
    await permits.reader(request, document)
    return document


async def check_there(hub: Hub, document: str) -> None:
    """Raise ``Problem`` where there is no such document; for who may read it."""
    histories = hub.history
    if histories is None:
        there = await hub.store.info(document) is not None
    else:
        there = await histories.exists(document)
    if not there:
        raise Problem(404, "There is no document of this name.", code="unknown-document")


def asked_moment(request: Request, name: str, *, otherwise: str | None = None) -> str:
    """Return the moment that a field of the query names."""
    return check_moment(name, request.query_params.get(name, otherwise))


def body_moment(fields: Fields, name: str, *, otherwise: str | None = None) -> str:
    """Return the moment that a member of the body names."""
    text = fields.either(name)
    return check_moment(name, otherwise if text is None else text)


def check_moment(name: str, text: str | None) -> str:
    """Return a moment as text; raise ``Problem`` where it is none."""
    if text is None or not is_moment(text):
        raise Problem(400, f"{name} is a moment: {FORMS}.", code="invalid-parameter")
    return text


def file_name(document: str, sequence: int, shape: str) -> str:
    """Return the header that names a download after its document and moment (RFC 6266)."""
    whole = f"{document.rsplit('/', 1)[-1] or 'document'}-s{sequence}.{shape}"
    plain = _UNSAFE.sub("_", whole)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(whole, safe='')}"


def _tagged(
    request: Request, data: bytes, media_type: str, extra: Mapping[str, str] | None = None
) -> Response:
    """Answer with content, or 304 to who has it. What was erased may be kept by nobody."""
    headers = {
        "ETag": f'"{hashlib.sha256(data).hexdigest()[:32]}"',
        "Vary": "Authorization",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",
    }
    if matches(request.headers.get("if-none-match", ""), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return in_pieces(data, media_type, headers | dict(extra or {}))


def _restored(document: str, done: Restored) -> Response:
    body = restored_fields(document, done.sequence, done.changed, done.version_before)
    return JSONResponse(body, headers=UNCACHED)
