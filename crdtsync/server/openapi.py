"""The OpenAPI 3.1 description of the HTTP routes, as data.

Written by hand rather than derived, because it is a promise to clients: a test compares it
with the routes and with what they answer. WebSockets are outside OpenAPI; the description's
text says how to open one.
"""

from typing import Any, Final

from crdtsync.server.problems import PROBLEM_MEDIA_TYPE
from crdtsync.server.rest import API, DEFAULT_PAGE, FORMATS, MAX_PAGE, QUARANTINED

__all__ = ["Json", "describe"]

Json = dict[str, Any]

_ABOUT: Final = (
    "Documents are edited over WebSocket: open one at `/NAME` below this server's root, with"
    " any y-websocket client. These routes read them, and tell how the server is."
)


def describe(*, version: str, root_path: str = "", metrics: bool = True, rest: bool = True) -> Json:
    """Return the description of an application that is mounted at ``root_path``."""
    paths: Json = {
        "/health/live": {"get": _LIVE},
        "/health/ready": {"get": _READY},
        f"{API}/openapi.json": {"get": _OPENAPI},
    }
    if rest:
        paths[f"{API}/documents"] = {"get": _DOCUMENTS}
        paths[f"{API}/documents/{{name}}"] = {"get": _DOCUMENT}
        paths[QUARANTINED] = {"get": _QUARANTINED}
        paths[f"{QUARANTINED}/{{name}}"] = {"get": _QUARANTINED_ONE, "delete": _RELEASE}
    if metrics:
        paths["/metrics"] = {"get": _METRICS}
    return {
        "openapi": "3.1.0",
        "info": {"title": "crdtsync", "version": version, "description": _ABOUT},
        "servers": [{"url": root_path or "/"}],
        "paths": paths,
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "token": {"type": "apiKey", "in": "query", "name": "token"},
            },
        },
    }


def _object(properties: Json, *, optional: tuple[str, ...] = ()) -> Json:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _body(description: str, media_type: str, schema: Json, headers: Json | None = None) -> Json:
    answer: Json = {"description": description, "content": {media_type: {"schema": schema}}}
    if headers:
        answer["headers"] = headers
    return answer


def _problem(description: str) -> Json:
    return _body(description, PROBLEM_MEDIA_TYPE, _ref("Problem"))


def _query(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema}


_STRING: Final[Json] = {"type": "string"}
_COUNT: Final[Json] = {"type": "integer", "minimum": 0}
_TIME: Final[Json] = {"type": "string", "format": "date-time"}
_HEADER: Final[Json] = {"schema": _STRING}
_SECURITY: Final[list[Json]] = [{"bearer": []}, {"token": []}, {}]

_ENTRY: Final[Json] = {
    "name": {"type": "string", "minLength": 1},
    "url": {"type": "string", "format": "uri-reference"},
    "sequence": _COUNT | {"description": "The newest stored update's number."},
    "created": _TIME,
    "updated": _TIME,
    "bytes": _COUNT | {"description": "What the store keeps."},
    "connections": _COUNT | {"description": "Clients at this moment."},
    "quarantined": {"type": ["string", "null"], "description": "Why nobody gets it."},
}
_CHECK: Final = {"description": "`ok`, or what is wrong.", **_STRING}
_CHECKS: Final = _object({"store": _CHECK, "loop": _CHECK, "draining": _CHECK})

_SCHEMAS: Final[Json] = {
    "Document": _object(_ENTRY),
    "Metadata": _object(
        _ENTRY | {"state_vector": {"type": ["string", "null"], "contentEncoding": "base64"}}
    ),
    "Quarantined": _object(
        {
            "name": {"type": "string", "minLength": 1},
            "since": _TIME,
            "reason": _STRING,
            "deaths": {
                "type": "array",
                "items": _object({"time": _TIME, "work": _STRING, "signal": _COUNT}),
            },
        }
    ),
    "QuarantinedList": _object({"documents": {"type": "array", "items": _ref("Quarantined")}}),
    "Page": _object(
        {
            "documents": {"type": "array", "items": _ref("Document")},
            "next": {
                "type": ["string", "null"],
                "format": "uri-reference",
                "description": "The next page; null on the last.",
            },
        }
    ),
    "Live": _object({"status": {"const": "ok"}}),
    "Ready": _object(
        {
            "status": {"const": "ok"},
            "checks": _CHECKS,
            "restarts": _COUNT | {"description": "Deaths that the supervisor saw."},
        }
    ),
    "Problem": _object(
        {
            "type": {"type": "string", "format": "uri-reference"},
            "title": _STRING,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": _STRING,
            "code": {"type": "string", "description": "A stable word for programs."},
            "checks": _CHECKS,
        },
        optional=("checks",),
    ),
}

_LIVE: Final[Json] = {
    "operationId": "live",
    "summary": "Whether the event loop runs",
    "responses": {"200": _body("It does.", "application/json", _ref("Live"))},
}
_READY: Final[Json] = {
    "operationId": "ready",
    "summary": "Whether the server takes work",
    "description": "The store can be written to, the event loop is not late, no shutdown runs.",
    "responses": {
        "200": _body("It does.", "application/json", _ref("Ready")),
        "503": _problem("It does not: `checks` says why."),
    },
}
_METRICS: Final[Json] = {
    "operationId": "metrics",
    "summary": "Figures for Prometheus",
    "responses": {
        "200": {
            "description": "The Prometheus text format, or OpenMetrics where `Accept` asks.",
            "content": {
                "text/plain": {"schema": _STRING},
                "application/openmetrics-text": {"schema": _STRING},
            },
        }
    },
}
_OPENAPI: Final[Json] = {
    "operationId": "openapi",
    "summary": "This description",
    "responses": {"200": _body("OpenAPI 3.1.", "application/json", {"type": "object"})},
}
_DOCUMENTS: Final[Json] = {
    "operationId": "documents",
    "summary": "List documents",
    "description": "By name, in the order of code points.",
    "security": _SECURITY,
    "parameters": [
        _query("prefix", "Only names that begin with this.", _STRING),
        _query("after", "Only names behind this one.", _STRING),
        _query(
            "limit",
            "At most so many.",
            {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE},
        ),
    ],
    "responses": {
        "200": _body("A page.", "application/json", _ref("Page"), {"Link": _HEADER}),
        "400": _problem("A parameter is wrong."),
        "401": _problem("Who are you?"),
        "403": _problem("You may not."),
        "503": _problem("Not at the moment."),
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
    "security": _SECURITY,
    "parameters": [
        _NAME,
        _query("format", "The representation.", {"type": "string", "enum": list(FORMATS)}),
        _query("root", "One root of the document: with `json` or `text`.", _STRING),
        {"name": "If-None-Match", "in": "header", "schema": _STRING},
    ],
    "responses": {
        "200": {
            "description": "The document.",
            "headers": {"ETag": _HEADER},
            "content": {
                "application/json": {
                    "schema": {
                        "description": "The metadata; with `format=json`, the content.",
                        "anyOf": [_ref("Metadata"), {}],
                    }
                },
                "text/plain": {"schema": _STRING},
                "application/octet-stream": {
                    "schema": {"description": "The whole document as one Yjs v1 update."}
                },
            },
        },
        "304": {"description": "It is what `If-None-Match` names.", "headers": {"ETag": _HEADER}},
        "400": _problem("A parameter or the name is wrong."),
        "401": _problem("Who are you?"),
        "403": _problem("You may not."),
        "404": _problem("There is no such document, or no such root in it."),
        "406": _problem("It can't be had in that form."),
        "423": _problem("It is quarantined; the metadata can be had."),
        "500": _problem("The stored document is damaged, or can't be put together."),
        "503": _problem("Not at the moment."),
    },
}
_REFUSALS: Final[Json] = {
    "400": _problem("The name is wrong."),
    "401": _problem("Who are you?"),
    "403": _problem("You may not."),
    "404": _problem("No document of this name is quarantined."),
    "503": _problem("Not at the moment."),
}
_QUARANTINED: Final[Json] = {
    "operationId": "quarantined",
    "summary": "List quarantined documents",
    "description": "The documents that the server died over more than once. Nobody gets them.",
    "security": _SECURITY,
    "responses": {
        "200": _body("All of them.", "application/json", _ref("QuarantinedList")),
        "401": _problem("Who are you?"),
        "403": _problem("You may not."),
        "503": _problem("Not at the moment."),
    },
}
_QUARANTINED_ONE: Final[Json] = {
    "operationId": "quarantinedDocument",
    "summary": "Read why a document is quarantined, or the document as it is stored",
    "description": "The update is joined from the stored bytes, without the CRDT library.",
    "security": _SECURITY,
    "parameters": [
        _NAME,
        _query("format", "The representation.", {"type": "string", "enum": list(FORMATS)}),
    ],
    "responses": {
        "200": {
            "description": "The record, or the update.",
            "content": {
                "application/json": {"schema": _ref("Quarantined")},
                "application/octet-stream": {
                    "schema": {"description": "The whole document as one Yjs v1 update."}
                },
            },
        },
        "423": _problem("Its content can be had as an update only."),
        "500": _problem("The stored document is damaged, or can't be put together."),
        **_REFUSALS,
    },
}
_RELEASE: Final[Json] = {
    "operationId": "release",
    "summary": "Serve a quarantined document again",
    "security": _SECURITY,
    "parameters": [_NAME],
    "responses": {"204": {"description": "It is released."}, **_REFUSALS},
}
