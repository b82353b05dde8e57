"""The description of the chat's routes, for ``openapi.describe``."""

from typing import Any, Final

from crdtsync.channels.listing import MAX_PAGE
from crdtsync.channels.model import MAX_EMOJI, MAX_NAME, MAX_URL
from crdtsync.channels.names import MESSAGE_ID
from crdtsync.server.openapi_parts import (
    COUNT,
    SECURITY,
    STRING,
    TIME,
    Json,
    body,
    empty,
    headers,
    object_,
    or_null,
    path,
    problem,
    query,
    ref,
)
from crdtsync.server.rest_chat import DEFAULT_MESSAGES, MESSAGES, REACTIONS

__all__ = ["PARTS"]


_ID: Final[Json] = {
    "type": "string",
    "pattern": f"^{MESSAGE_ID.pattern}$",
}
_GUEST: Final = STRING | {
    "description": "Whom somebody anonymous calls himself: it begins with `guest-`."
}
_FILE: Final = object_({"url": STRING, "size": COUNT, "media_type": STRING})
_SCHEMAS: Final[Json] = {
    "Message": object_(
        {
            "id": _ID,
            "author": STRING,
            "name": STRING,
            "text": STRING | {"description": "Plain text: escape it where it is shown."},
            "time": TIME,
            "type": {"type": "string", "enum": ["text", "file", "system"]},
            "reply_to": or_null(_ID),
            "edited": or_null(TIME),
            "deleted": or_null(TIME),
            "deleted_by": or_null(STRING),
            "file": _FILE | {"type": ["object", "null"]},
            "reactions": {
                "type": "object",
                "description": "By emoji: who.",
                "additionalProperties": {"type": "array", "items": STRING},
            },
        }
    ),
    "MessageList": object_(
        {
            "messages": {"type": "array", "items": ref("Message")},
            "next": {"type": ["string", "null"], "format": "uri-reference"},
        }
    ),
    "NewMessage": object_(
        {
            "text": {"type": "string", "minLength": 1},
            "type": or_null({"type": "string"}) | {"enum": ["text", "file", "system", None]},
            "author": or_null(_GUEST),
            "reply_to": or_null(_ID),
            "url": or_null(STRING | {"maxLength": MAX_URL}),
            "size": or_null({"type": "integer", "minimum": 0, "maximum": (1 << 53) - 1}),
            "media_type": or_null(STRING | {"maxLength": MAX_NAME}),
        },
        optional=("type", "author", "reply_to", "url", "size", "media_type"),
    )
    | {"additionalProperties": False},
    "ChangedMessage": object_(
        {"text": {"type": "string", "minLength": 1}, "author": or_null(_GUEST)},
        optional=("author",),
    )
    | {"additionalProperties": False},
}
_UNCACHED: Final = headers("Cache-Control")
_DOCUMENT: Final = query("document", "Whose chat.", {"type": "string", "minLength": 1}) | {
    "required": True
}
_THREAD: Final = query("thread", "The id of the message that began the thread.", _ID)
_AUTHOR: Final = query("author", _GUEST["description"], STRING)
_NAME: Final[Json] = {
    "400": problem(
        "A parameter is wrong.", "invalid-parameter", "invalid-document-name", "invalid-body"
    )
}
_REFUSALS: Final[Json] = {
    "401": problem("No token, or one that is worth nothing here."),
    "403": problem(
        "Not allowed: not to this one, not any more, or not here.",
        "forbidden",
        "foreign-origin",
        "edit-too-late",
        "document-full",
    ),
    "422": problem("It is no message.", "invalid-message"),
    "423": problem("The document is quarantined.", "quarantined"),
    "429": problem("Too many wrong share links, or too much is said."),
    "503": problem("Not at the moment."),
}
_TOO_LARGE: Final[Json] = {
    "408": problem("The body comes too slowly.", "body-timeout"),
    "413": problem("The body is too large.", "body-too-large"),
}
_NO_CHAT: Final[Json] = {"404": problem("The document has no chat.", "no-chat", "not-found")}
_UNKNOWN: Final[Json] = {
    "404": problem("There is no such message.", "unknown-message", "no-chat", "not-found")
}
_ARCHIVED: Final[Json] = {"409": problem("It is in an archive.", "message-archived")}
_ONE: Final = path("id", "The message's id.", STRING | {"minLength": 1})


def _request(schema: str) -> Json:
    return {"required": True, "content": {"application/json": {"schema": ref(schema)}}}


def _operation(name: str, summary: str, responses: Json, **more: Any) -> Json:
    about = {"operationId": name, "summary": summary, "security": SECURITY}
    return about | more | {"responses": responses | _NAME | _REFUSALS}


def _message(description: str, status: str = "200", extra: Json | None = None) -> Json:
    return {status: body(description, "application/json", ref("Message"), extra or _UNCACHED)}


_REACTION: Final = [
    _DOCUMENT,
    _THREAD,
    query("message", "The message's id.", _ID) | {"required": True},
    query("emoji", "The reaction.", STRING | {"minLength": 1, "maxLength": MAX_EMOJI})
    | {"required": True},
    _AUTHOR,
]
_PATHS: Final[Json] = {
    MESSAGES: {
        "get": _operation(
            "messages",
            "List messages, the newest last",
            {
                "200": body(
                    "A page.",
                    "application/json",
                    ref("MessageList"),
                    headers("Cache-Control", sometimes=("Link",)),
                ),
                **_NO_CHAT,
            },
            description="`next` leads to earlier ones, those in archives included.",
            parameters=[
                _DOCUMENT,
                _THREAD,
                query("before", "Only messages before this one.", _ID),
                query(
                    "limit",
                    "At most so many.",
                    {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": MAX_PAGE,
                        "default": DEFAULT_MESSAGES,
                    },
                ),
            ],
        ),
        "post": _operation(
            "sendMessage",
            "Say something",
            {
                **_message("It is said.", "201", headers("Cache-Control", "Location")),
                **_UNKNOWN,
                **_TOO_LARGE,
            },
            description="The time is the server's. The type `system` takes an admin role.",
            parameters=[_DOCUMENT, _THREAD],
            requestBody=_request("NewMessage"),
        ),
    },
    f"{MESSAGES}/{{id}}": {
        "get": _operation(
            "message",
            "Read one message",
            {**_message("The message."), **_UNKNOWN},
            parameters=[_ONE, _DOCUMENT, _THREAD],
        ),
        "patch": _operation(
            "editMessage",
            "Give one's own message another text",
            {**_message("As it is now."), **_UNKNOWN, **_ARCHIVED, **_TOO_LARGE},
            parameters=[_ONE, _DOCUMENT, _THREAD],
            requestBody=_request("ChangedMessage"),
        ),
        "delete": _operation(
            "deleteMessage",
            "Delete one's own message, or as a moderator anybody's",
            {"204": empty("It is deleted."), **_UNKNOWN},
            parameters=[_ONE, _DOCUMENT, _THREAD, _AUTHOR],
        ),
    },
    REACTIONS: {
        "put": _operation(
            "react",
            "Put one's reaction under a message",
            {"204": empty("It is there."), **_UNKNOWN, **_ARCHIVED},
            parameters=_REACTION,
        ),
        "delete": _operation(
            "unreact",
            "Take one's reaction back",
            {"204": empty("It is not there."), **_UNKNOWN, **_ARCHIVED},
            parameters=_REACTION,
        ),
    },
}
PARTS: Final = (_PATHS, _SCHEMAS)
