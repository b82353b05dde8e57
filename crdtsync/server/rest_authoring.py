"""Writing documents over HTTP: made by PUT, edited by PATCH; and read with all that is in them.

Owns what such requests look like: their bodies, conditions and idempotency keys, and what each
mistake is answered with. What becomes of them is ``hub.documents``'.
"""

import base64
import binascii
import json
import re
from typing import Any, Final, Literal
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from crdtsync.authoring.answers import MAX_KEY
from crdtsync.authoring.entering import refuse_reader
from crdtsync.authoring.model import (
    AuthoringError,
    ConditionFailed,
    Edited,
    InvalidOperation,
    KeyBusy,
    NotEditable,
    NothingToCreate,
)
from crdtsync.documents.model import DocumentExists, DocumentNotFound
from crdtsync.errors import InvalidUpdate, MessageTooLarge
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.server.bodies import read_body, read_bytes
from crdtsync.server.doors import caller_of
from crdtsync.server.permits import Permits
from crdtsync.server.problems import Problem, problem, sentence
from crdtsync.server.representations import MEDIA_TYPES, etag, in_pieces, marks_of, matches

__all__ = ["DEFAULT_ROOT", "REPLAYED", "RestAuthoring"]

DEFAULT_ROOT: Final = "text"
"""Of a document that is made of plain text."""
REPLAYED: Final = "Idempotency-Replayed"
"""A header: this is the answer to the same request before."""
_KEY: Final = re.compile(f"[!-~]{{1,{MAX_KEY}}}")
_TOLD: Final = (
    AuthoringError,
    DocumentExists,
    DocumentNotFound,
    InvalidUpdate,
    MessageTooLarge,
)
_JSON, _TEXT, _UPDATE = "application/json", "text/plain", "application/octet-stream"


class RestAuthoring:
    """What PUT and PATCH do, and GET where it takes to know all that is in a document."""

    def __init__(self, hub: Hub, permits: Permits, above: str) -> None:
        self._hub = hub
        self._permits = permits
        self._above = above

    async def read(
        self, request: Request, name: str, shape: Literal["rich", "delta", "xml"], root: str | None
    ) -> Response:
        """Answer with a document's content, and with the state that it is of."""
        content = await self._hub.documents.read(name, format=shape, root=root)
        headers = {
            "ETag": etag(content.mark, shape, root),
            "Vary": "Accept, Authorization",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-cache",
        }
        if matches(request.headers.get("if-none-match", ""), headers["ETag"]):
            return Response(status_code=304, headers=headers)
        if shape == "xml":  # as text: a browser would run what documents have in them
            return in_pieces(content.value.encode(), MEDIA_TYPES[shape], headers)
        found = {
            "sequence": content.sequence,
            "state_vector": base64.b64encode(content.state_vector).decode(),
            "roots": content.value,
        }
        text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
        return in_pieces(text.encode(), MEDIA_TYPES[shape], headers)

    async def answer(self, request: Request, name: str) -> Response:
        """Make a document (PUT) or edit it (PATCH)."""
        principal = await self._permits.principal(request, name)
        refuse_reader(self._hub, name, principal, caller_of(request))
        write = self._create if request.method == "PUT" else self._edit
        try:
            edited = await write(request, name, principal)
        except _TOLD as error:
            return _problem(error, request)
        return self._edited(request, name, edited)

    async def _create(self, request: Request, name: str, principal: Principal) -> Edited:
        if "if-match" in request.headers:
            vector = b"\0"
            raise ConditionFailed("PUT makes new documents: none can match", 0, vector)
        kind, root = _kind(request), request.query_params.get("root")
        if root is not None and kind != _TEXT:
            raise InvalidOperation("root goes with text/plain only")
        content: Any
        if kind == _JSON:
            body = await read_body(request, self._hub.limits.max_edit_bytes)
            content = body.pop("roots", None)
            _end(body)
        elif kind == _TEXT:
            raw = await read_bytes(request, self._hub.limits.max_edit_bytes)
            try:
                content = raw.decode()
            except UnicodeDecodeError:
                raise Problem(400, "The text is not UTF-8.", code="invalid-body") from None
            root = DEFAULT_ROOT if root is None else root
        else:
            content = await read_bytes(request, self._hub.limits.max_message_bytes)
        return await self._hub.documents.create(
            name,
            content,
            principal,
            root=root,
            idempotency_key=_key(request),
            caller=caller_of(request),
        )

    async def _edit(self, request: Request, name: str, principal: Principal) -> Edited:
        given = request.query_params.get("if_state_vector")
        match = request.headers.get("if-match")
        kind = _kind(request, text=False)
        operations: Any = None
        update = b""
        if kind == _JSON:
            body = await read_body(request, self._hub.limits.max_edit_bytes)
            operations = body.pop("operations", None)
            named = body.pop("if_state_vector", None)
            _end(body)
            if named is not None and not isinstance(named, str):
                raise _bad_vector()
            given = given if named is None else named
        else:
            update = await read_bytes(request, self._hub.limits.max_message_bytes)
        conditions: dict[str, Any] = {
            "if_state_vector": None if given is None else _vector(given),
            "if_match": None if match is None else marks_of(match),
            "idempotency_key": _key(request),
            "caller": caller_of(request),
        }
        documents = self._hub.documents
        if kind == _JSON:
            return await documents.edit(name, operations, principal, **conditions)
        return await documents.apply(name, update, principal, **conditions)

    def _edited(self, request: Request, name: str, edited: Edited) -> Response:
        body = {
            "name": name,
            "sequence": edited.sequence,
            "state_vector": base64.b64encode(edited.state_vector).decode(),
            "changed": edited.changed,
        }
        headers = {"Cache-Control": "no-store"}
        if edited.mark:
            headers["ETag"] = f'"{edited.mark}"'
        if edited.replayed:
            headers[REPLAYED] = "true"
        if edited.created:
            base = quote(request.scope.get("root_path", ""))
            headers["Location"] = f"{base}{self._above}/{quote(name)}"
        return JSONResponse(body, status_code=201 if edited.created else 200, headers=headers)


def _kind(request: Request, *, text: bool = True) -> str:
    """Return what a body is. Raises ``Problem`` (415)."""
    kind = request.headers.get("content-type", _JSON).partition(";")[0].strip().lower()
    taken = (_JSON, _TEXT, _UPDATE) if text else (_JSON, _UPDATE)
    if kind not in taken:
        raise Problem(415, f"The body is one of {', '.join(taken)}.", code="unsupported-media-type")
    return kind


def _key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise Problem(
            400,
            f"An Idempotency-Key has 1 to {MAX_KEY} printable characters of ASCII, no spaces.",
            code="invalid-parameter",
        )
    return key


def _vector(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _bad_vector() from None


def _bad_vector() -> Problem:
    return Problem(400, "if_state_vector is a state vector in base64.", code="invalid-parameter")


def _end(body: dict[str, Any]) -> None:
    if body:
        raise Problem(400, "The body has members that mean nothing here.", code="invalid-parameter")


def _problem(error: Exception, request: Request) -> Response:
    """Say what is wrong, in members that programs can read."""
    detail = sentence(error)
    match error:
        case InvalidOperation():
            which = {"operation": error.index}
            return problem(422, detail, code="invalid-operation", members=which)
        case NothingToCreate():
            return problem(422, detail, code="empty-document")
        case ConditionFailed():
            now = base64.b64encode(error.state_vector).decode()
            members = {"sequence": error.sequence, "state_vector": now}
            return problem(412, detail, code="precondition-failed", members=members)
        case DocumentExists():
            if "*" in request.headers.get("if-none-match", ""):
                return problem(412, "The document exists.", code="precondition-failed")
            return problem(409, "The document exists.", code="document-exists")
        case DocumentNotFound():
            return problem(404, "There is no document of this name.", code="unknown-document")
        case NotEditable():
            return problem(409, detail, code="not-editable")
        case InvalidUpdate():
            return problem(422, detail, code="invalid-update")
        case MessageTooLarge():
            return problem(413, detail, code="document-too-large")
        case KeyBusy():
            return problem(409, detail, code="key-in-use")
    return problem(422, detail, code="key-reused")
