"""The OpenAPI 3.1 description of the HTTP routes, as data.

Written by hand rather than derived, because it is a promise to clients: tests compare it with
the routes, and with what they answer to requests that are made of it. WebSockets are outside
OpenAPI; the description's text says how to open one.
"""

from collections.abc import Iterable
from typing import Final

from crdtsync.server.openapi_documents import DOCUMENT_PATHS, DOCUMENT_SCHEMAS
from crdtsync.server.openapi_pages import HISTORY_PAGE_PATHS, PAGE_PATHS
from crdtsync.server.openapi_parts import (
    COUNT,
    STRING,
    Json,
    body,
    completed,
    headers,
    object_,
    problem,
    ref,
)
from crdtsync.server.parameters import API

__all__ = ["Json", "describe"]

_ABOUT: Final = (
    "Documents are edited over WebSocket: open one at `/NAME` below this server's root, with"
    " any y-websocket client. These routes read, write and administer them, and tell how the server"
    " is. What answers GET answers HEAD as well. Every error is a problem document (RFC 9457)"
    " with a `code` for programs. Who has no role in a document gets 403, whether it exists or"
    " not."
)


def describe(
    *,
    version: str,
    root_path: str = "",
    metrics: bool = True,
    page: bool = True,
    rest: bool = True,
    authenticated: bool = False,
    max_name_bytes: int = 512,
    more: Iterable[tuple[Json, Json]] = (),
) -> Json:
    """Return the description of an application that is mounted at ``root_path``.

    ``authenticated``: requests for documents take a token. ``more`` is what further routes add,
    each as paths and schemas.
    """
    paths: Json = dict(_PATHS)
    schemas = dict(_SCHEMAS)
    for its_paths, its_schemas in ((DOCUMENT_PATHS, DOCUMENT_SCHEMAS), *more) if rest else ():
        paths |= its_paths
        schemas |= its_schemas
    if metrics:
        paths["/metrics"] = {"get": _METRICS}
    if page:
        paths |= PAGE_PATHS
    if page and rest:
        paths |= HISTORY_PAGE_PATHS
    return {
        "openapi": "3.1.0",
        "info": {"title": "crdtsync", "version": version, "description": _ABOUT},
        "servers": [{"url": root_path or "/"}],
        "paths": completed(paths, authenticated=authenticated),
        "components": {
            "schemas": schemas,
            "parameters": {"name": _name(max_name_bytes)} if rest else {},
            "securitySchemes": _SCHEMES if rest else {},
        },
    }


def _name(max_bytes: int) -> Json:
    return {
        "name": "name",
        "in": "path",
        "required": True,
        "description": (
            "The document's name, percent-encoded once; slashes may stay. At most"
            f" {max_bytes} bytes of UTF-8, and no NUL."
        ),
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": max_bytes,
            "pattern": "^[^\\u0000]+$",
        },
    }


_SCHEMES: Final[Json] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "`Authorization: Bearer TOKEN`, what keeps a token out of logs.",
    },
    "token": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "For what can't set a header. Goes before the header where both are there.",
    },
}
_CHECK: Final = {"description": "`ok`, or what is wrong.", **STRING}
_CHECKS: Final = object_(
    {"store": _CHECK, "loop": _CHECK, "draining": _CHECK, "authentication": _CHECK},
    optional=("authentication",),
)
_SCHEMAS: Final[Json] = {
    "Live": object_({"status": {"const": "ok"}}),
    "Ready": object_(
        {
            "status": {"const": "ok"},
            "checks": _CHECKS,
            "restarts": COUNT | {"description": "Deaths that the supervisor saw."},
        }
    ),
    "Problem": object_(
        {
            "type": {"type": "string", "format": "uri-reference"},
            "title": STRING,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": STRING,
            "code": {"type": "string", "description": "A stable word for programs."},
            "checks": _CHECKS,
            "operation": {
                "type": ["integer", "null"],
                "description": "Of an edit: which operation is wrong, counted from 0.",
            },
            "sequence": COUNT | {"description": "The document's, where a condition fails."},
            "state_vector": STRING | {"description": "The document's, where a condition fails."},
        },
        optional=("checks", "operation", "sequence", "state_vector"),
    ),
}

_NOT_KEPT: Final = headers("Cache-Control")
_LIVE: Final[Json] = {
    "operationId": "live",
    "summary": "Whether the event loop runs",
    "responses": {"200": body("It does.", "application/json", ref("Live"), _NOT_KEPT)},
}
_READY: Final[Json] = {
    "operationId": "ready",
    "summary": "Whether the server takes work",
    "description": (
        "The store can be written to, the event loop is not late, no shutdown runs, and there are "
        "keys to check tokens with."
    ),
    "responses": {
        "200": body("It does.", "application/json", ref("Ready"), _NOT_KEPT),
        "503": problem("It does not: `checks` says why.", "not-ready"),
    },
}
_METRICS: Final[Json] = {
    "operationId": "metrics",
    "summary": "Figures for Prometheus",
    "responses": {
        "200": {
            "description": "The Prometheus text format, or OpenMetrics where `Accept` asks.",
            "headers": headers("Cache-Control", "Vary"),
            "content": {
                "text/plain": {"schema": STRING},
                "application/openmetrics-text": {"schema": STRING},
            },
        }
    },
}
_OPENAPI: Final[Json] = {
    "operationId": "openapi",
    "summary": "This description",
    "responses": {"200": body("OpenAPI 3.1.", "application/json", {"type": "object"})},
}
_PATHS: Final[Json] = {
    "/health/live": {"get": _LIVE},
    "/health/ready": {"get": _READY},
    f"{API}/openapi.json": {"get": _OPENAPI},
}
