"""The description of the routes of share links and revocations, for ``openapi.describe``."""

from typing import Any, Final

from crdtsync.access.shares import MAX_USES
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
from crdtsync.server.rest import DEFAULT_PAGE, MAX_PAGE
from crdtsync.server.rest_access import REVOCATIONS, SHARES

__all__ = ["PARTS"]


def _or_null(schema: Json) -> Json:
    return schema | {"type": [schema["type"], "null"]}


_SHARE: Final[Json] = {
    "id": STRING,
    "document": {"type": "string", "minLength": 1},
    "role": STRING,
    "label": STRING,
    "owner": STRING | {"description": "Who made it; empty for the operator."},
    "password": {"type": "boolean", "description": "Whether it wants one."},
    "created": TIME,
    "expires": _or_null(TIME),
    "max_uses": _or_null(COUNT),
    "uses": COUNT | {"description": "Visitors who have joined, where `max_uses` is set."},
    "revoked": _or_null(TIME),
    "state": {"type": "string", "enum": ["open", "revoked", "expired", "used up"]},
    "visitors": {
        "type": "array",
        "description": "Who is there by it now.",
        "items": object_(
            {"principal": STRING, "name": STRING, "since": TIME, "connections": COUNT}
        ),
    },
}
_REVOCATION: Final[Json] = {
    "principal": {"type": "string", "minLength": 1},
    "before": TIME | {"description": "What was issued before this counts no more."},
    "until": _or_null(TIME),
    "created": TIME,
}
_SCHEMAS: Final[Json] = {
    "Share": object_(_SHARE),
    "MadeShare": object_(
        _SHARE
        | {
            "token": STRING | {"description": "Shown this once."},
            "path": STRING | {"description": "Of the WebSocket, below the server's root."},
        }
    ),
    "ShareList": object_(
        {
            "shares": {"type": "array", "items": ref("Share")},
            "next": {"type": ["string", "null"], "format": "uri-reference"},
        }
    ),
    "NewShare": object_(
        {
            "document": {"type": "string", "minLength": 1},
            "role": {"type": "string", "minLength": 1},
            "label": STRING,
            "password": STRING,
            "expires": TIME,
            "max_uses": {"type": "integer", "minimum": 1, "maximum": MAX_USES},
        },
        optional=("label", "password", "expires", "max_uses"),
    )
    | {"additionalProperties": False},
    "Revocation": object_(_REVOCATION),
    "MadeRevocation": object_(
        _REVOCATION | {"closed": COUNT | {"description": "Connections that it closed."}}
    ),
    "RevocationList": object_({"revocations": {"type": "array", "items": ref("Revocation")}}),
    "NewRevocation": object_(
        {
            "principal": {"type": "string", "minLength": 1},
            "before": TIME,
            "until": TIME,
            "links": {"type": "boolean", "description": "Also the share links that it made."},
        },
        optional=("before", "until", "links"),
    )
    | {"additionalProperties": False},
}
_REFUSALS: Final[Json] = {
    "400": problem("A parameter or the body is wrong."),
    "401": problem("Who are you?"),
    "403": problem("You may not."),
    "429": problem("Too many wrong share links or passwords."),
    "503": problem("Not at the moment."),
}
_MAKING: Final[Json] = _REFUSALS | {
    "413": problem("The body is too large."),
    "422": problem("It can't be made like this."),
}
_ID: Final[Json] = {"name": "id", "in": "path", "required": True, "schema": STRING}


def _request(schema: str) -> Json:
    return {"required": True, "content": {"application/json": {"schema": ref(schema)}}}


def _operation(name: str, summary: str, responses: Json, **more: Any) -> Json:
    about = {"operationId": name, "summary": summary, "security": SECURITY}
    return about | more | {"responses": responses}


_PATHS: Final[Json] = {
    SHARES: {
        "get": _operation(
            "shares",
            "List share links",
            {"200": body("A page.", "application/json", ref("ShareList")), **_REFUSALS},
            description="Of a document, for who may manage its links; of all, for admins.",
            parameters=[
                query("document", "Only the links to this document.", STRING),
                query("after", "Only ids behind this one.", STRING),
                query(
                    "limit",
                    "At most so many.",
                    {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE},
                ),
            ],
        ),
        "post": _operation(
            "createShare",
            "Make a share link",
            {
                "201": body(
                    "It is made; its token is in this answer only.",
                    "application/json",
                    ref("MadeShare"),
                    {"Location": HEADER},
                ),
                **_MAKING,
            },
            requestBody=_request("NewShare"),
        ),
    },
    f"{SHARES}/{{id}}": {
        "get": _operation(
            "share",
            "Read one share link, and who is there by it",
            {
                "200": body("The link.", "application/json", ref("Share")),
                **_REFUSALS,
                "404": problem("There is no such link."),
            },
            parameters=[_ID],
        ),
        "delete": _operation(
            "revokeShare",
            "Revoke a share link, and send its visitors away",
            {
                "204": {"description": "It is revoked."},
                **_REFUSALS,
                "404": problem("There is no such link."),
            },
            parameters=[_ID],
        ),
    },
    REVOCATIONS: {
        "get": _operation(
            "revocations",
            "List who is revoked",
            {"200": body("All.", "application/json", ref("RevocationList")), **_REFUSALS},
        ),
        "post": _operation(
            "revoke",
            "Revoke a principal, and close its connections",
            {
                "201": body("It is revoked.", "application/json", ref("MadeRevocation")),
                **_MAKING,
            },
            requestBody=_request("NewRevocation"),
        ),
        "delete": _operation(
            "undoRevocation",
            "Undo a revocation",
            {
                "204": {"description": "It is undone."},
                **_REFUSALS,
                "404": problem("Nobody of this id is revoked."),
            },
            parameters=[
                query("principal", "Whose.", {"type": "string", "minLength": 1})
                | {"required": True}
            ],
        ),
    },
}
PARTS: Final = (_PATHS, _SCHEMAS)
