"""The description of the routes of share links and revocations, for ``openapi.describe``."""

from typing import Any, Final

from crdtsync.access.links import ID_BYTES
from crdtsync.access.shares import MAX_USES
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
    or_null,
    path,
    problem,
    query,
    ref,
)
from crdtsync.server.rest_access import REVOCATIONS, SHARES

__all__ = ["PARTS"]


_SHARE: Final[Json] = {
    "id": STRING,
    "document": {"type": "string", "minLength": 1},
    "role": STRING,
    "label": STRING,
    "owner": STRING | {"description": "Who made it; empty for the operator."},
    "password": {"type": "boolean", "description": "Whether it wants one."},
    "created": TIME,
    "expires": or_null(TIME),
    "max_uses": or_null(COUNT),
    "uses": COUNT | {"description": "Visitors who have joined, where `max_uses` is set."},
    "revoked": or_null(TIME),
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
    "until": or_null(TIME),
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
            "label": or_null(STRING),
            "password": or_null(STRING),
            "expires": or_null(TIME),
            "max_uses": or_null({"type": "integer", "minimum": 1, "maximum": MAX_USES}),
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
            "before": or_null(TIME),
            "until": or_null(TIME),
            "links": or_null(
                {"type": "boolean", "description": "Also the share links that it made."}
            ),
        },
        optional=("before", "until", "links"),
    )
    | {"additionalProperties": False},
}
_REFUSALS: Final[Json] = {
    "401": problem("No token, or one that is worth nothing here."),
    "403": problem("This takes a role that manages links, or administers."),
    "429": problem("Too many wrong share links or passwords."),
    "503": problem("Not at the moment."),
}
_UNCACHED: Final = headers("Cache-Control")
_BODY: Final = ("invalid-body", "invalid-parameter")
_TOO_LARGE: Final[Json] = {
    "408": problem("The body comes too slowly.", "body-timeout"),
    "413": problem("The body is too large.", "body-too-large"),
}
_UNKNOWN: Final[Json] = {"404": problem("There is no such link.", "unknown-share", "not-found")}
_NAME: Final[Json] = {
    "400": problem("A parameter is wrong.", "invalid-parameter", "invalid-document-name")
}
_ID: Final = path(
    "id", "The link's id, no secret.", STRING | {"pattern": f"^[0-9a-f]{{{2 * ID_BYTES}}}$"}
)


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
            {
                "200": body("A page.", "application/json", ref("ShareList"), _UNCACHED),
                **_NAME,
                **_REFUSALS,
            },
            description="Of a document, for who may manage its links; of all, for admins.",
            parameters=[
                query("document", "Only the links to this document.", STRING | {"minLength": 1}),
                query("after", "Only ids behind this one.", STRING),
                limit(),
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
                    headers("Cache-Control", "Location"),
                ),
                "400": problem("The body is wrong.", *_BODY, "invalid-document-name"),
                **_TOO_LARGE,
                "422": problem("No link can be made like this.", "invalid-share"),
                **_REFUSALS,
            },
            requestBody=_request("NewShare"),
        ),
    },
    f"{SHARES}/{{id}}": {
        "get": _operation(
            "share",
            "Read one share link, and who is there by it",
            {
                "200": body("The link.", "application/json", ref("Share"), _UNCACHED),
                **_UNKNOWN,
                **_REFUSALS,
            },
            parameters=[_ID],
        ),
        "delete": _operation(
            "revokeShare",
            "Revoke a share link, and send its visitors away",
            {"204": empty("It is revoked."), **_UNKNOWN, **_REFUSALS},
            parameters=[_ID],
        ),
    },
    REVOCATIONS: {
        "get": _operation(
            "revocations",
            "List who is revoked",
            {
                "200": body("All.", "application/json", ref("RevocationList"), _UNCACHED),
                **_REFUSALS,
            },
        ),
        "post": _operation(
            "revoke",
            "Revoke a principal, and close its connections",
            {
                "201": body("It is revoked.", "application/json", ref("MadeRevocation"), _UNCACHED),
                "400": problem("The body is wrong.", *_BODY),
                **_TOO_LARGE,
                "422": problem("Nobody can be revoked like this.", "invalid-revocation"),
                **_REFUSALS,
            },
            requestBody=_request("NewRevocation"),
        ),
        "delete": _operation(
            "undoRevocation",
            "Undo a revocation",
            {
                "204": empty("It is undone."),
                "404": problem("Nobody of this id is revoked.", "not-revoked"),
                **_REFUSALS,
            },
            parameters=[
                query("principal", "Whose.", STRING | {"pattern": f"^[0-9a-f]{{{2 * ID_BYTES}}}$"})
                | {"required": True}
            ],
        ),
    },
}
PARTS: Final = (_PATHS, _SCHEMAS)
