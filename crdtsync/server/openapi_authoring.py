"""What the OpenAPI description says of writing documents: PUT, PATCH, and their bodies."""

from typing import Final

from crdtsync.authoring.answers import MAX_KEY
from crdtsync.server.openapi_parts import (
    COUNT,
    NAME,
    SECURITY,
    STRING,
    Json,
    body,
    headers,
    object_,
    problem,
    query,
    ref,
)
from crdtsync.server.rest_authoring import DEFAULT_ROOT, REPLAYED

__all__ = ["AUTHORING_SCHEMAS", "CREATE", "EDIT"]

_BASE64: Final = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_VECTOR: Final[Json] = {"type": "string", "pattern": _BASE64}
_POSITION: Final[Json] = {"type": "integer", "minimum": 0, "maximum": (1 << 53) - 1}
_LENGTH: Final[Json] = {"type": "integer", "minimum": 1, "maximum": (1 << 53) - 1}
_PATH: Final[Json] = {
    "type": "array",
    "description": "A root's name, then keys of maps, and positions.",
    "prefixItems": [STRING],
    "items": {"anyOf": [STRING, _POSITION]},
    "minItems": 1,
    "maxItems": 256,
}
_FORMATS: Final[Json] = {"type": "object", "description": "Formats by name; null takes one away."}
_SHARED: Final[Json] = {
    "description": "A shared type in its rich form.",
    "oneOf": [
        {"required": ["kind", "delta"], "properties": {"kind": {"const": "text"}}},
        {"required": ["kind", "value"], "properties": {"kind": {"enum": ["text", "map", "array"]}}},
        {"required": ["kind", "children"], "properties": {"kind": {"const": "xml"}}},
    ],
    "type": "object",
    "properties": {
        "kind": {"enum": ["text", "map", "array", "xml"]},
        "delta": ref("Delta"),
        "value": {"description": "Of a text its characters; of a map and an array what is in it."},
        "children": {"type": "array"},
    },
    "additionalProperties": False,
}


def _operation(kind: str, members: Json, *, optional: tuple[str, ...] = ()) -> Json:
    found = object_({"op": {"const": kind}, "path": _PATH, **members}, optional=optional)
    return found | {"additionalProperties": False}


_INDEX: Final[Json] = {"type": ["integer", "null"], "minimum": 0, "maximum": (1 << 53) - 1}
_INSERTED: Final[Json] = {"index": _INDEX | {"description": "Left out: at the end."}}

AUTHORING_SCHEMAS: Final[Json] = {
    "Edit": object_(
        {
            "operations": {"type": "array", "items": ref("Operation")},
            "if_state_vector": _VECTOR
            | {"type": ["string", "null"], "description": "Only where the document has this one."},
        },
        optional=("if_state_vector",),
    )
    | {"additionalProperties": False},
    "NewDocument": object_({"roots": {"type": "object", "additionalProperties": ref("Shared")}})
    | {"additionalProperties": False},
    "Operation": {
        "description": "Positions are UTF-16 units; an embed counts one.",
        "oneOf": [
            _operation(
                "insert",
                {"text": STRING, "attributes": _FORMATS, **_INSERTED},
                optional=("index", "attributes"),
            ),
            _operation(
                "insert",
                {"embed": {"type": "object"}, "attributes": _FORMATS, **_INSERTED},
                optional=("index", "attributes"),
            ),
            _operation("insert", {"values": {"type": "array"}, **_INSERTED}, optional=("index",)),
            _operation("insert", {"content": {"type": "array"}, **_INSERTED}, optional=("index",)),
            _operation("insert", {"children": {"type": "array"}, **_INSERTED}, optional=("index",)),
            _operation("delete", {"index": _POSITION, "length": _LENGTH}, optional=("length",)),
            _operation(
                "format",
                {
                    "index": _POSITION,
                    "length": _LENGTH,
                    "attributes": _FORMATS | {"minProperties": 1},
                },
                optional=("length",),
            ),
            _operation("set", {"key": STRING, "value": {"description": "A plain value."}}),
            _operation("set", {"key": STRING, "content": ref("Shared")}),
            _operation("remove", {"key": STRING}),
            _operation("delta", {"delta": ref("Delta")}),
        ],
    },
    "Delta": {
        "type": "array",
        "description": "Quill's; for new texts insertions only.",
        "items": {
            "type": "object",
            "oneOf": [{"required": ["insert"]}, {"required": ["retain"]}, {"required": ["delete"]}],
            "properties": {
                "insert": {"type": ["string", "object"]},
                "retain": _LENGTH,
                "delete": _LENGTH,
                "attributes": {"type": ["object", "null"]},
            },
            "additionalProperties": False,
        },
    },
    "Shared": _SHARED,
    "Edited": object_(
        {
            "name": STRING,
            "sequence": COUNT,
            "state_vector": {"type": "string", "contentEncoding": "base64"},
            "changed": {"type": "boolean", "description": "Whether there was anything to do."},
        }
    ),
    "Content": object_(
        {
            "sequence": COUNT,
            "state_vector": {"type": "string", "contentEncoding": "base64"},
            "roots": {"type": "object"},
        }
    ),
}

_KEY: Final[Json] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": (
        "The same request with the same key is done once, however often it comes; for who asks,"
        " and this document."
    ),
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_KEY,
        "pattern": "^[!-~]+$",
    },
}
_BINARY: Final[Json] = {"schema": {"description": "One Yjs v1 update."}}
_ANSWER: Final = ref("Edited")
_WRONG: Final[Json] = {
    "400": problem(
        "The name, the body, a header or a parameter is wrong.",
        *("invalid-document-name", "invalid-body", "invalid-parameter"),
    ),
    "401": problem("No token, or one that is worth nothing here."),
    "403": problem(
        "No role in this document, whether it exists or not; or one that may not write so.",
        *("forbidden", "edit-refused"),
    ),
    "408": problem("The body comes too slowly.", "body-timeout"),
    "413": problem(
        "The body, or the document with it, is too large.",
        *("body-too-large", "document-too-large"),
    ),
    "415": problem("The body is of a kind that is not taken.", "unsupported-media-type"),
    "422": problem(
        "An operation, the content or the update is wrong (`operation` says which one, counted"
        " from 0), or the key came with another request before.",
        *("invalid-operation", "empty-document", "invalid-update", "key-reused"),
    ),
    "423": problem("It is quarantined.", "quarantined"),
    "429": problem("Too many edits of this document wait, or too many wrong share links."),
    "500": problem(
        "The stored document is damaged, or can't be put together.",
        *("store-damaged", "document-error", "internal-error"),
    ),
    "503": problem("Not at the moment."),
}
_MARKED: Final = headers("Cache-Control", sometimes=("ETag", REPLAYED))

CREATE: Final[Json] = {
    "operationId": "createDocument",
    "summary": "Make a document",
    "description": (
        "Of roots in their rich form, of one text, or of an update. Takes a role that may write"
        " so. Nothing is replaced."
    ),
    "security": SECURITY,
    "parameters": [
        NAME,
        query("root", f"Of plain text: the root's name; `{DEFAULT_ROOT}` where left out.", STRING),
        {
            "name": "If-None-Match",
            "in": "header",
            "description": "`*`: where the document exists, the answer is 412 and not 409.",
            "schema": STRING,
        },
        _KEY,
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": ref("NewDocument"),
                "example": {"roots": {"body": {"kind": "text", "value": "Hello"}}},
            },
            "text/plain": {"schema": {"description": "UTF-8."}, "example": "Hello"},
            "application/octet-stream": _BINARY,
        },
    },
    "responses": {
        "201": body(
            "It is made.",
            "application/json",
            _ANSWER,
            headers("Cache-Control", "Location", sometimes=("ETag", REPLAYED)),
        ),
        "409": problem(
            "The document exists, or a request with this key is being worked on.",
            *("document-exists", "key-in-use"),
        ),
        "412": problem("The document exists.", "precondition-failed"),
        **_WRONG,
    },
}
EDIT: Final[Json] = {
    "operationId": "editDocument",
    "summary": "Edit a document by operations, or by an update",
    "description": (
        "All of them or none, as an ordinary edit of who asks: clients see it at once. Takes a"
        " role that may write so. The answer comes when it is stored. An `ETag` comes where"
        " nobody else wrote meanwhile."
    ),
    "security": SECURITY,
    "parameters": [
        NAME,
        query(
            "if_state_vector",
            "Only where the document has this one, in base64. The body's goes before it.",
            _VECTOR,
        ),
        {
            "name": "If-Match",
            "in": "header",
            "description": "Only where the document is as one of these ETags had it.",
            "schema": STRING,
        },
        _KEY,
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": ref("Edit"),
                "example": {
                    "operations": [{"op": "insert", "path": ["text"], "index": 0, "text": "Hi"}]
                },
            },
            "application/octet-stream": _BINARY,
        },
    },
    "responses": {
        "200": body("It is done and stored.", "application/json", _ANSWER, _MARKED),
        "404": problem("There is no such document.", "unknown-document"),
        "409": problem(
            "It can be edited by updates only, or a request with this key is being worked on.",
            *("not-editable", "key-in-use"),
        ),
        "412": problem(
            "The document is not as the condition has it; `state_vector` says how it is.",
            "precondition-failed",
        ),
        **_WRONG,
    },
}
