"""The description of the routes of presence, for ``openapi.describe``."""

from typing import Any, Final

from crdtsync.channels.model import STATUSES
from crdtsync.server.openapi_parts import (
    COUNT,
    SECURITY,
    STRING,
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
from crdtsync.server.rest_presence import MAX_PEOPLE, PRESENCE_URL

__all__ = ["PARTS"]

_STATUS: Final[Json] = {"type": "string", "enum": list(STATUSES)}
_TIME: Final[Json] = COUNT | {"description": "Milliseconds since 1970, UTC."}
_SCHEMAS: Final[Json] = {
    "RoomPresence": object_(
        {
            "document": STRING,
            "online": COUNT | {"description": "People who are there: online, away or busy."},
            "connections": COUNT,
            "viewers": COUNT | {"description": "Those there who may only read."},
            "owners_online": {
                "type": "array",
                "description": "The ids of people there who may administer, or share.",
                "items": STRING,
            },
            "known": COUNT | {"description": "People that presence knows, `people` and others."},
            "people": {
                "type": "array",
                "description": "Those who are there first, then who left last.",
                "items": object_(
                    {
                        "id": STRING,
                        "status": _STATUS,
                        "name": STRING,
                        "color": STRING,
                        "last_seen": _TIME,
                        "connections": COUNT,
                        "role": {"type": ["string", "null"]},
                        "read_only": {"type": "boolean"},
                    }
                ),
            },
        }
    ),
    "PeoplePresence": object_(
        {
            "people": {
                "type": "array",
                "description": "Those of whom something is known, in the order asked for.",
                "items": object_(
                    {
                        "id": STRING,
                        "status": _STATUS
                        | {"description": "The best one over all documents that are open."},
                        "name": STRING,
                        "last_seen": _TIME,
                    }
                ),
            }
        }
    ),
}
_TAGGED: Final = ("Cache-Control", "ETag", "Vary", "X-Content-Type-Options")
_IF_NONE_MATCH: Final[Json] = {
    "name": "If-None-Match",
    "in": "header",
    "description": "What one has, by its `ETag`.",
    "schema": STRING,
}
_REFUSALS: Final[Json] = {
    "401": problem("No token, or one that is worth nothing here."),
    "403": problem("No role in this document, whether it exists or not."),
    "429": problem("Too many wrong share links or passwords."),
    "503": problem("Not at the moment."),
}


def _operation(name: str, summary: str, schema: str, responses: Json, **more: Any) -> Json:
    about = {"operationId": name, "summary": summary, "security": SECURITY}
    found = body("It is known.", "application/json", ref(schema), headers(*_TAGGED))
    unchanged = empty("One has it.", headers(*_TAGGED))
    return about | more | {"responses": {"200": found, "304": unchanged} | responses | _REFUSALS}


_ROOM: Final = _operation(
    "roomPresence",
    "Who is in a document",
    "RoomPresence",
    {
        "400": problem("A parameter is wrong.", "invalid-parameter", "invalid-document-name"),
        "404": problem(
            "There is no such document, or no presence is kept in it.",
            *("unknown-document", "presence-off"),
        ),
        "423": problem("The document is quarantined.", "quarantined"),
        "500": problem(
            "The document is damaged.", "store-damaged", "document-error", "internal-error"
        ),
    },
    parameters=[
        query("document", "Which one.", STRING | {"minLength": 1}) | {"required": True},
        limit(),
        _IF_NONE_MATCH,
    ],
)
_PEOPLE: Final = _operation(
    "peoplePresence",
    "What is known of people, over the open documents that one may read",
    "PeoplePresence",
    {"400": problem("A parameter is wrong.", "invalid-parameter")},
    parameters=[
        query(
            "id",
            "Whom, once for each.",
            {
                "type": "array",
                "items": STRING | {"minLength": 1},
                "minItems": 1,
                "maxItems": MAX_PEOPLE,
            },
        )
        | {"required": True, "style": "form", "explode": True},
        _IF_NONE_MATCH,
    ],
)

PARTS: Final[tuple[Json, Json]] = (
    {PRESENCE_URL: {"get": _ROOM}, f"{PRESENCE_URL}/people": {"get": _PEOPLE}},
    _SCHEMAS,
)
"""Paths and schemas."""
