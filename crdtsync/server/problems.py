"""Errors over HTTP: every one is ``application/problem+json`` (RFC 9457), never a traceback.

``code`` is a member of our own: the same short stable word that metrics and logs use.
"""

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from crdtsync.errors import (
    CrdtsyncError,
    RemoteError,
    StoreDamaged,
    StoreError,
    Unauthenticated,
    Unavailable,
)
from crdtsync.history.model import (
    HistoryDamaged,
    HistoryError,
    HistoryOff,
    NotRestorable,
    UnknownMoment,
    UnknownRoot,
    WrongKind,
)
from crdtsync.server.request import scope_request

__all__ = [
    "PROBLEM_MEDIA_TYPE",
    "RETRY_AFTER_S",
    "Problem",
    "exception_handlers",
    "problem",
    "sentence",
]

logger = logging.getLogger("crdtsync.http")

PROBLEM_MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
"""What a 503 suggests; about as long as a y-websocket client waits."""
_CHALLENGES: Final = {401: "invalid_token", 403: "insufficient_scope"}


class Problem(Exception):
    """Something to answer with a problem document, raised from within a route."""

    def __init__(
        self, status: int, detail: str, *, code: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code
        self.headers = headers


def problem(
    status: int,
    detail: str,
    *,
    code: str,
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
) -> Response:
    """Return a problem document; ``members`` are its extension members (RFC 9457, 3.2)."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    body.update(members or {})
    answer = Response(
        json.dumps(body, ensure_ascii=False),
        status_code=status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=dict(headers or {}),
    )
    answer.headers["Cache-Control"] = "no-store"
    return answer


def exception_handlers() -> dict[Any, ExceptionHandler]:
    """Return the handlers that turn every exception of a route into a problem document."""
    return {
        Problem: _from_problem,
        HTTPException: _from_http_exception,
        RemoteError: _from_remote_error,
        Unavailable: _from_unavailable,
        StoreError: _from_store_error,
        HistoryError: _from_history_error,
        CrdtsyncError: _from_other_error,
        Exception: _from_anything,
    }


async def _from_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem(error.status, error.detail, code=error.code, headers=error.headers)


async def _from_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    match error.status_code:
        case 404:
            code, detail = (
                "not-found",
                (
                    "There is nothing here over plain HTTP. A document is reached by opening a"
                    " WebSocket at its path."
                ),
            )
        case 405:
            code, detail = "method-not-allowed", f"{request.method} is not supported here."
        case _:
            code, detail = "http-error", error.detail
    return problem(error.status_code, detail, code=code, headers=error.headers)


async def _from_remote_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RemoteError)
    wrong = _CHALLENGES.get(error.http_status)
    headers = None if wrong is None else {"WWW-Authenticate": _challenge(request, wrong)}
    return problem(error.http_status, str(error), code=error.kind, headers=headers)


def _challenge(request: Request, wrong: str) -> str:
    """Name the scheme, and what is wrong with a token where there is one (RFC 6750, 3)."""
    try:
        token = scope_request(request.scope, "").token
    except Unauthenticated:  # several that differ
        return 'Bearer error="invalid_request"'
    return f'Bearer error="{wrong}"' if token else "Bearer"


async def _from_unavailable(request: Request, error: Exception) -> Response:
    assert isinstance(error, Unavailable)
    return problem(
        error.http_status,
        str(error),
        code=error.kind,
        headers={"Retry-After": str(RETRY_AFTER_S)} if error.http_status == 503 else None,
    )


async def _from_store_error(request: Request, error: Exception) -> Response:
    """Log what the operator has to mend; tell the client only that it has to come back."""
    assert isinstance(error, StoreError)
    logger.error("%s %s: %s %s", request.method, request.url.path, error, error.hint)
    if isinstance(error, StoreDamaged):
        return problem(500, "The stored document is damaged.", code="store-damaged")
    return problem(
        503,
        "The store does not answer at the moment.",
        code="store-error",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


async def _from_other_error(request: Request, error: Exception) -> Response:
    """Log what the document's bytes or the CRDT library have against it."""
    logger.error("%s %s: %s", request.method, request.url.path, error)
    return problem(500, "The document can't be put together.", code="document-error")


async def _from_history_error(request: Request, error: Exception) -> Response:
    """Say what is wrong with a moment, or with what is kept; the document itself is well."""
    assert isinstance(error, HistoryError)
    match error:
        case UnknownMoment(pruned=True):
            return problem(410, "This moment is kept no more.", code="moment-pruned")
        case UnknownMoment():
            return problem(404, "The document has no such moment.", code="unknown-moment")
        case HistoryOff():
            return problem(404, "No history is kept of this document.", code="history-off")
        case NotRestorable():
            return problem(409, sentence(error), code="not-restorable")
        case UnknownRoot():
            return problem(404, sentence(error), code="unknown-root")
        case WrongKind():
            return problem(422, sentence(error), code="wrong-kind")
    logger.error("%s %s: %s %s", request.method, request.url.path, error, error.hint)
    if isinstance(error, HistoryDamaged):
        return problem(500, "The stored history is damaged.", code="history-damaged")
    return problem(
        503,
        "This part of the history can't be worked out at the moment.",
        code="history-unavailable",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def sentence(error: object) -> str:
    """Write an error's words as a sentence; names in them stay as they are."""
    text = str(error).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


async def _from_anything(request: Request, error: Exception) -> Response:
    """Answer for a bug; the server logs the exception, which is raised again behind this."""
    return problem(500, "The server failed to answer this request.", code="internal-error")
