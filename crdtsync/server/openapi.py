"""The OpenAPI 3.1 description of the HTTP routes, as data.

Written by hand rather than derived, because it is a promise to clients: a test compares it
with the routes and with what they answer. WebSockets are outside OpenAPI; the description's
text says how to open one.
"""

from collections.abc import Iterable
from typing import Final

from crdtsync.server.openapi_parts import (
    COUNT,
    HEADER,
    SECURITY,
    STRING,
    TIME,
    Json,
    body,
    object_,
    problem,
    query,
    ref,
)
from crdtsync.server.openapi_quarantine import QUARANTINE_PATHS, QUARANTINE_SCHEMAS
from crdtsync.server.representations import FORMATS
from crdtsync.server.rest import API, DEFAULT_PAGE, MAX_PAGE, QUARANTINED

__all__ = ["Json", "describe"]

_ABOUT: Final = (
    "Documents are edited over WebSocket: open one at `/NAME` below this server's root, with"
    " any y-websocket client. These routes read them, and tell how the server is."
)


def describe(
    *,
    version: str,
    root_path: str = "",
    metrics: bool = True,
    rest: bool = True,
    more: Iterable[tuple[Json, Json]] = (),
) -> Json:
    """Return the description of an application that is mounted at ``root_path``.

    ``more`` is what optional routes add, each as paths and schemas.
    """
    paths: Json = {
        "/health/live": {"get": _LIVE},
        "/health/ready": {"get": _READY},
        f"{API}/openapi.json": {"get": _OPENAPI},
    }
    schemas = dict(_SCHEMAS)
    if rest:
        paths[f"{API}/documents"] = {"get": _DOCUMENTS}
        paths[f"{API}/documents/{{name}}"] = {"get": _DOCUMENT}
        paths[QUARANTINED] = {"get": _QUARANTINED}
        paths[f"{QUARANTINED}/{{name}}"] = {"get": _QUARANTINED_ONE, "delete": _RELEASE}
        paths |= QUARANTINE_PATHS
        schemas |= QUARANTINE_SCHEMAS
    if metrics:
        paths["/metrics"] = {"get": _METRICS}
    for its_paths, its_schemas in more:
        paths |= its_paths
        schemas |= its_schemas
    return {
        "openapi": "3.1.0",
        "info": {"title": "crdtsync", "version": version, "description": _ABOUT},
        "servers": [{"url": root_path or "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "token": {"type": "apiKey", "in": "query", "name": "token"},
            },
        },
    }


_ENTRY: Final[Json] = {
    "name": {"type": "string", "minLength": 1},
    "url": {"type": "string", "format": "uri-reference"},
    "sequence": COUNT | {"description": "The newest stored update's number."},
    "created": TIME,
    "updated": TIME,
    "bytes": COUNT | {"description": "What the store keeps."},
    "connections": COUNT | {"description": "Clients at this moment."},
    "quarantined": {"type": ["string", "null"], "description": "Why nobody gets it."},
}
_CHECK: Final = {"description": "`ok`, or what is wrong.", **STRING}
_CHECKS: Final = object_({"store": _CHECK, "loop": _CHECK, "draining": _CHECK})

_SCHEMAS: Final[Json] = {
    "Document": object_(_ENTRY),
    "Metadata": object_(
        _ENTRY | {"state_vector": {"type": ["string", "null"], "contentEncoding": "base64"}}
    ),
    "Quarantined": object_(
        {
            "name": {"type": "string", "minLength": 1},
            "since": TIME,
            "reason": STRING,
            "deaths": {
                "type": "array",
                "items": object_({"time": TIME, "work": STRING, "signal": COUNT}),
            },
        }
    ),
    "QuarantinedList": object_({"documents": {"type": "array", "items": ref("Quarantined")}}),
    "Page": object_(
        {
            "documents": {"type": "array", "items": ref("Document")},
            "next": {
                "type": ["string", "null"],
                "format": "uri-reference",
                "description": "The next page; null on the last.",
            },
        }
    ),
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
        },
        optional=("checks",),
    ),
}

_LIVE: Final[Json] = {
    "operationId": "live",
    "summary": "Whether the event loop runs",
    "responses": {"200": body("It does.", "application/json", ref("Live"))},
}
_READY: Final[Json] = {
    "operationId": "ready",
    "summary": "Whether the server takes work",
    "description": "The store can be written to, the event loop is not late, no shutdown runs.",
    "responses": {
        "200": body("It does.", "application/json", ref("Ready")),
        "503": problem("It does not: `checks` says why."),
    },
}
_METRICS: Final[Json] = {
    "operationId": "metrics",
    "summary": "Figures for Prometheus",
    "responses": {
        "200": {
            "description": "The Prometheus text format, or OpenMetrics where `Accept` asks.",
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
_DOCUMENTS: Final[Json] = {
    "operationId": "documents",
    "summary": "List documents",
    "description": "By name, in the order of code points.",
    "security": SECURITY,
    "parameters": [
        query("prefix", "Only names that begin with this.", STRING),
        query("after", "Only names behind this one.", STRING),
        query(
            "limit",
            "At most so many.",
            {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE},
        ),
    ],
    "responses": {
        "200": body("A page.", "application/json", ref("Page"), {"Link": HEADER}),
        "400": problem("A parameter is wrong."),
        "401": problem("Who are you?"),
        "403": problem("You may not."),
        "503": problem("Not at the moment."),
    },
}
_NAME: Final[Json] = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "The document's name, percent-encoded once; slashes may stay.",
    "schema": {"type": "string", "minLength": 1},
}
_DOCUMENT: Final[Json] = {
    "operationId": "document",
    "summary": "Read one document",
    "description": (
        "`format` chooses the representation; without it, `Accept` does: `application/json`"
        " is the metadata, `text/plain` the text, `application/octet-stream` the update."
    ),
    "security": SECURITY,
    "parameters": [
        _NAME,
        query("format", "The representation.", {"type": "string", "enum": list(FORMATS)}),
        query("root", "One root of the document: with `json` or `text`.", STRING),
        {"name": "If-None-Match", "in": "header", "schema": STRING},
    ],
    "responses": {
        "200": {
            "description": "The document.",
            "headers": {"ETag": HEADER},
            "content": {
                "application/json": {
                    "schema": {
                        "description": "The metadata; with `format=json`, the content.",
                        "anyOf": [ref("Metadata"), {}],
                    }
                },
                "text/plain": {"schema": STRING},
                "application/octet-stream": {
                    "schema": {"description": "The whole document as one Yjs v1 update."}
                },
            },
        },
        "304": {"description": "It is what `If-None-Match` names.", "headers": {"ETag": HEADER}},
        "400": problem("A parameter or the name is wrong."),
        "401": problem("Who are you?"),
        "403": problem("You may not."),
        "404": problem("There is no such document, or no such root in it."),
        "406": problem("It can't be had in that form."),
        "423": problem("It is quarantined; the metadata can be had."),
        "500": problem("The stored document is damaged, or can't be put together."),
        "503": problem("Not at the moment."),
    },
}
_REFUSALS: Final[Json] = {
    "400": problem("The name is wrong."),
    "401": problem("Who are you?"),
    "403": problem("You may not."),
    "404": problem("No document of this name is quarantined."),
    "503": problem("Not at the moment."),
}
_QUARANTINED: Final[Json] = {
    "operationId": "quarantined",
    "summary": "List quarantined documents",
    "description": "The documents that the server died over more than once. Nobody gets them.",
    "security": SECURITY,
    "responses": {
        "200": body("All of them.", "application/json", ref("QuarantinedList")),
        "401": problem("Who are you?"),
        "403": problem("You may not."),
        "503": problem("Not at the moment."),
    },
}
_QUARANTINED_ONE: Final[Json] = {
    "operationId": "quarantinedDocument",
    "summary": "Read why a document is quarantined, or the document as it is stored",
    "description": "The update is joined from the stored bytes, without the CRDT library.",
    "security": SECURITY,
    "parameters": [
        _NAME,
        query("format", "The representation.", {"type": "string", "enum": list(FORMATS)}),
    ],
    "responses": {
        "200": {
            "description": "The record, or the update.",
            "content": {
                "application/json": {"schema": ref("Quarantined")},
                "application/octet-stream": {
                    "schema": {"description": "The whole document as one Yjs v1 update."}
                },
            },
        },
        "423": problem("Its content can be had as an update only."),
        "500": problem("The stored document is damaged, or can't be put together."),
        **_REFUSALS,
    },
}
_RELEASE: Final[Json] = {
    "operationId": "release",
    "summary": "Serve a quarantined document again",
    "security": SECURITY,
    "parameters": [_NAME],
    "responses": {"204": {"description": "It is released."}, **_REFUSALS},
}
