"""What the OpenAPI description says of the quarantine of refused updates."""

from typing import Final

from crdtsync.server.openapi_parts import (
    COUNT,
    SECURITY,
    STRING,
    TIME,
    Json,
    body,
    empty,
    headers,
    limit,
    object_,
    path,
    problem,
    query,
    ref,
)
from crdtsync.server.rest_quarantine import MAX_ID, REFUSED

__all__ = ["PARTS"]

_ENTRY: Final[Json] = {
    "id": {"type": "integer", "minimum": 1},
    "url": {"type": "string", "format": "uri-reference"},
    "document": {"type": "string", "minLength": 1},
    "author": STRING | {"description": "The principal's id; empty for anonymous."},
    "name": STRING,
    "kind": {"type": "string", "enum": ["damaged", "gate", "limit", "read-only"]},
    "reason": STRING | {"description": "What the author was told."},
    "first": TIME,
    "last": TIME,
    "updates": COUNT | {"description": "Updates that followed one another are one entry."},
    "bytes": COUNT,
}
_RANGE: Final[Json] = object_({"client": COUNT, "start": COUNT, "end": COUNT})

_SCHEMAS: Final[Json] = {
    "RefusedEntry": object_(_ENTRY),
    "RefusedEntryContent": object_(
        _ENTRY
        | {
            "ranges": {"type": "array", "items": _RANGE},
            "deleted": COUNT | {"description": "How many clocks it deletes."},
            "roots": {"type": "array", "items": STRING},
            "text": STRING | {"description": "The beginning of the text that it brings."},
        }
    ),
    "RefusedPage": object_(
        {
            "entries": {"type": "array", "items": ref("RefusedEntry")},
            "dropped": {
                "type": "array",
                "description": "What was refused and is not kept, by cause, ever.",
                "items": object_({"cause": STRING, "updates": COUNT, "bytes": COUNT}),
            },
            "next": {"type": ["string", "null"], "format": "uri-reference"},
        }
    ),
    "RefusedApplied": object_(
        {
            "applied": {"type": "array", "items": {"type": "integer"}},
            "left": {
                "type": "array",
                "items": object_({"id": {"type": "integer"}, "reason": STRING}),
            },
        }
    ),
    "RefusedDropped": object_({"dropped": COUNT}),
}

_ERRORS: Final[Json] = {
    "401": problem("No token, or one that is worth nothing here."),
    "403": problem("This takes the role `admin`, in the document or everywhere."),
    "429": problem("Too many wrong share links or passwords."),
    "503": problem("Not at the moment."),
}
_WRONG: Final[Json] = {
    "400": problem("A parameter is wrong or missing.", "invalid-parameter", "invalid-document-name")
}
_NONE: Final[Json] = {"404": problem("There is no such entry.", "unknown-entry", "not-found")}
_NOT_NOW: Final[Json] = {
    "409": problem(
        "It builds on edits that the document lacks: apply those first.", "not-applicable"
    ),
    "423": problem("The document is quarantined.", "quarantined"),
    "500": problem(
        "The stored document is damaged, or can't be put together.",
        *("store-damaged", "document-error", "internal-error"),
    ),
}
_UNCACHED: Final = headers("Cache-Control")
_DOCUMENT: Final = query("document", "Only of this document.", STRING | {"minLength": 1})
_AUTHOR: Final = query("author", "Only of this author.", STRING)
_ID: Final = path("id", "The entry's number.", {"type": "integer", "minimum": 1})
_APPLIED: Final[Json] = {
    "200": body(
        "What was applied, and what not.", "application/json", ref("RefusedApplied"), _UNCACHED
    )
}

_PATHS: Final[Json] = {
    REFUSED: {
        "get": {
            "operationId": "refusedUpdates",
            "summary": "List refused updates",
            "description": "The oldest first.",
            "security": SECURITY,
            "parameters": [
                _DOCUMENT,
                _AUTHOR,
                query("after", "Only ids above this one.", COUNT | {"maximum": MAX_ID}),
                limit(),
            ],
            "responses": {
                "200": body("A page.", "application/json", ref("RefusedPage"), _UNCACHED),
                **_WRONG,
                **_ERRORS,
            },
        },
        "delete": {
            "operationId": "dropRefusedUpdates",
            "summary": "Drop the refused updates of a document, an author, or both",
            "description": "All of them; one of both has to be named.",
            "security": SECURITY,
            "parameters": [_DOCUMENT, _AUTHOR],
            "responses": {
                "200": body("How many went.", "application/json", ref("RefusedDropped"), _UNCACHED),
                **_WRONG,
                **_ERRORS,
            },
        },
    },
    f"{REFUSED}/apply": {
        "post": {
            "operationId": "applyRefusedUpdates",
            "summary": "Let the refused updates of a document in after all, in order",
            "description": "All of them; what was applied is dropped from the quarantine.",
            "security": SECURITY,
            "parameters": [_DOCUMENT | {"required": True}, _AUTHOR],
            "responses": {**_APPLIED, **_WRONG, **_NOT_NOW, **_ERRORS},
        }
    },
    f"{REFUSED}/{{id}}": {
        "get": {
            "operationId": "refusedUpdate",
            "summary": "Read one entry, or its update",
            "security": SECURITY,
            "parameters": [
                _ID,
                query(
                    "format",
                    "The representation.",
                    {"type": "string", "enum": ["metadata", "update"]},
                ),
            ],
            "responses": {
                "200": {
                    "description": "The entry, or its update.",
                    "headers": headers(
                        "Cache-Control", sometimes=("X-Content-Type-Options", "Content-Disposition")
                    ),
                    "content": {
                        "application/json": {"schema": ref("RefusedEntryContent")},
                        "application/octet-stream": {
                            "schema": {"description": "What was refused, as a Yjs v1 update."}
                        },
                    },
                },
                **_WRONG,
                **_NONE,
                **_ERRORS,
            },
        },
        "delete": {
            "operationId": "dropRefusedUpdate",
            "summary": "Drop one entry",
            "security": SECURITY,
            "parameters": [_ID],
            "responses": {"204": empty("It is gone."), **_NONE, **_ERRORS},
        },
    },
    f"{REFUSED}/{{id}}/apply": {
        "post": {
            "operationId": "applyRefusedUpdate",
            "summary": "Let one refused update into its document after all",
            "security": SECURITY,
            "parameters": [_ID],
            "responses": {**_APPLIED, **_NONE, **_NOT_NOW, **_ERRORS},
        }
    },
}

PARTS: Final = (_PATHS, _SCHEMAS)
"""Paths and schemas, as ``openapi.describe`` takes them."""
