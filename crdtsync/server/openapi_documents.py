"""What the OpenAPI description says of documents, and of quarantined ones."""

from typing import Final

from crdtsync.server.openapi_authoring import AUTHORING_SCHEMAS, CREATE, EDIT
from crdtsync.server.openapi_parts import (
    COUNT,
    NAME,
    SECURITY,
    STRING,
    TIME,
    Json,
    body,
    empty,
    headers,
    limit,
    object_,
    problem,
    query,
    ref,
)
from crdtsync.server.parameters import MAX_PAGE
from crdtsync.server.representations import FORMATS
from crdtsync.server.rest import DOCUMENTS, QUARANTINED

__all__ = ["DOCUMENT_PATHS", "DOCUMENT_SCHEMAS"]

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

DOCUMENT_SCHEMAS: Final[Json] = {
    **AUTHORING_SCHEMAS,
    "Document": object_(_ENTRY),
    "Metadata": object_(
        _ENTRY
        | {
            "state_vector": {
                "type": ["string", "null"],
                "contentEncoding": "base64",
                "description": "Null while it is quarantined.",
            },
            "damage": {
                "type": ["string", "null"],
                "description": "What of it can't be read; it is read-only then.",
            },
        }
    ),
    "Page": object_(
        {
            "documents": {"type": "array", "items": ref("Document"), "maxItems": MAX_PAGE},
            "next": {
                "type": ["string", "null"],
                "format": "uri-reference",
                "description": "The next page; null on the last.",
            },
        }
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
}

_PRIVATE: Final = ("Cache-Control", "Vary")
_WRONG_NAME: Final = problem("No document can have this name.", "invalid-document-name")
_WHO: Final[Json] = {
    "401": problem("No token, or one that is worth nothing here."),
    "403": problem("No role in this document, whether it exists or not; or one that may not."),
    "429": problem("Too many wrong share links or passwords."),
    "503": problem("Not at the moment."),
}
_DAMAGED: Final[Json] = {
    "500": problem(
        "The stored document is damaged, or can't be put together.",
        *("store-damaged", "document-error", "internal-error"),
    ),
}
_UPDATE: Final[Json] = {"description": "The whole document as one Yjs v1 update."}
_FORMAT: Final = query("format", "The representation.", {"type": "string", "enum": list(FORMATS)})

_LIST: Final[Json] = {
    "operationId": "documents",
    "summary": "List the documents that one may see",
    "description": (
        "By name, in the order of code points. A page may hold fewer than `limit`, or none, and"
        " still have a `next`: among many documents that one may not see, a page looks at some."
    ),
    "security": SECURITY,
    "parameters": [
        query("prefix", "Only names that begin with this.", STRING),
        query("after", "Only names behind this one.", STRING),
        query(
            "cursor",
            "How far the search has come, from `next`: goes before `after`.",
            {"type": "string", "pattern": "^[A-Za-z0-9_=-]+$"},
        ),
        limit(),
    ],
    "responses": {
        "200": body(
            "A page.", "application/json", ref("Page"), headers(*_PRIVATE, sometimes=("Link",))
        ),
        "400": problem("A parameter is wrong.", "invalid-parameter"),
        "404": problem("The cursor is not this server's, or older than it.", "unknown-cursor"),
        **_WHO,
    },
}
_READ: Final[Json] = {
    "operationId": "document",
    "summary": "Read one document",
    "description": (
        "`format` chooses the representation; without it, `Accept` does: `application/json`"
        " is the metadata, `text/plain` the text, `application/octet-stream` the update."
    ),
    "security": SECURITY,
    "parameters": [
        NAME,
        _FORMAT,
        query("root", "One root of the document: not with `metadata` or `update`.", STRING),
        {
            "name": "If-None-Match",
            "in": "header",
            "description": "What one has, by its `ETag`.",
            "schema": STRING,
        },
    ],
    "responses": {
        "200": {
            "description": "The document.",
            "headers": headers(
                *_PRIVATE, sometimes=("ETag", "X-Content-Type-Options", "Content-Disposition")
            ),
            "content": {
                "application/json": {
                    "schema": {
                        "description": (
                            "The metadata; with `format=json`, the content by root; with `rich`"
                            " or `delta` the content and the state that it is of."
                        ),
                        "anyOf": [ref("Metadata"), ref("Content"), {"type": "object"}],
                    }
                },
                "text/plain": {"schema": STRING},
                "application/octet-stream": {"schema": _UPDATE},
            },
        },
        "304": empty(
            "It is what `If-None-Match` names.",
            headers(*_PRIVATE, "ETag", "X-Content-Type-Options"),
        ),
        "400": problem(
            "A parameter or the name is wrong.", "invalid-parameter", "invalid-document-name"
        ),
        "404": problem(
            "There is no such document, or no such root in it.", "unknown-document", "unknown-root"
        ),
        "406": problem("It can't be had in that form.", "not-acceptable"),
        "422": problem("That root is of another kind.", "wrong-kind"),
        "423": problem("It is quarantined; the metadata can be had.", "quarantined"),
        **_DAMAGED,
        **_WHO,
    },
}
_DELETE: Final[Json] = {
    "operationId": "deleteDocument",
    "summary": "Delete a document with its whole log",
    "description": "Its clients are closed with 4403, which is final. Takes the role `admin`.",
    "security": SECURITY,
    "parameters": [NAME],
    "responses": {
        "204": empty("It is gone."),
        "400": _WRONG_NAME,
        "404": problem("There is no such document.", "unknown-document"),
        **_WHO,
    },
}
_QUARANTINED: Final[Json] = {
    "operationId": "quarantined",
    "summary": "List the quarantined documents that one may see",
    "description": "The documents that the server died over more than once. Nobody gets them.",
    "security": SECURITY,
    "responses": {
        "200": body("All of them.", "application/json", ref("QuarantinedList"), headers(*_PRIVATE)),
        **_WHO,
    },
}
_NOT_QUARANTINED: Final = problem("No document of this name is quarantined.", "not-quarantined")
_QUARANTINED_ONE: Final[Json] = {
    "operationId": "quarantinedDocument",
    "summary": "Read why a document is quarantined, or the document as it is stored",
    "description": "The update is joined from the stored bytes, without the CRDT library.",
    "security": SECURITY,
    "parameters": [NAME, _FORMAT],
    "responses": {
        "200": {
            "description": "The record, or the update.",
            "headers": headers(
                *_PRIVATE, sometimes=("X-Content-Type-Options", "Content-Disposition")
            ),
            "content": {
                "application/json": {"schema": ref("Quarantined")},
                "application/octet-stream": {"schema": _UPDATE},
            },
        },
        "400": problem(
            "The format or the name is wrong.", "invalid-parameter", "invalid-document-name"
        ),
        "404": _NOT_QUARANTINED,
        "406": problem("It can't be had in that form.", "not-acceptable"),
        "423": problem("Its content can be had as an update only.", "quarantined"),
        **_DAMAGED,
        **_WHO,
    },
}
_RELEASE: Final[Json] = {
    "operationId": "release",
    "summary": "Serve a quarantined document again",
    "description": "Takes the role `admin`.",
    "security": SECURITY,
    "parameters": [NAME],
    "responses": {
        "204": empty("It is released."),
        "400": _WRONG_NAME,
        "404": _NOT_QUARANTINED,
        **_WHO,
    },
}

DOCUMENT_PATHS: Final[Json] = {
    DOCUMENTS: {"get": _LIST},
    f"{DOCUMENTS}/{{name}}": {"get": _READ, "put": CREATE, "patch": EDIT, "delete": _DELETE},
    QUARANTINED: {"get": _QUARANTINED},
    f"{QUARANTINED}/{{name}}": {"get": _QUARANTINED_ONE, "delete": _RELEASE},
}
