"""The description of the routes of tokens, for ``openapi.describe``."""

from typing import Any, Final

from crdtsync.server.openapi_parts import (
    SECURITY,
    STRING,
    TIME,
    Json,
    body,
    headers,
    object_,
    problem,
    ref,
)
from crdtsync.server.rest_tokens import (
    DEFAULT_LIFETIME_S,
    EXPLAIN,
    MAX_DOCUMENTS,
    MAX_LIFETIME_S,
    TOKENS,
)

__all__ = ["EXPLAINING", "ISSUING"]

_TEXT: Final[Json] = {"type": "string", "minLength": 1}
_OBJECT: Final[Json] = {"type": "object"}
_GRANTS: Final[Json] = {
    "type": "object",
    "description": "Roles, by pattern of document names.",
    "minProperties": 1,
    "maxProperties": MAX_DOCUMENTS,
    "propertyNames": {"minLength": 1},
    "additionalProperties": _TEXT,
}
_LIFETIME: Final[Json] = {
    "type": ["integer", "null"],
    "description": "How long it holds, in seconds.",
    "minimum": 1,
    "maximum": MAX_LIFETIME_S,
    "default": DEFAULT_LIFETIME_S,
}
_CLOSED: Final[Json] = {"additionalProperties": False}
_REFUSALS: Final[Json] = {
    "401": problem("No token, or one that is worth nothing here."),
    "403": problem("This takes a role that administers, and all that the token is to give."),
    "408": problem("The body comes too slowly.", "body-timeout"),
    "413": problem("The body is too large.", "body-too-large"),
    "429": problem("Too many wrong share links or passwords."),
    "503": problem("Not at the moment."),
}
_UNCACHED: Final = headers("Cache-Control")
_BODY: Final = ("invalid-body", "invalid-parameter")


def _operation(name: str, summary: str, description: str, schema: str, responses: Json) -> Json:
    request: dict[str, Any] = {
        "required": True,
        "content": {"application/json": {"schema": ref(schema)}},
    }
    return {
        "operationId": name,
        "summary": summary,
        "description": description,
        "security": SECURITY,
        "requestBody": request,
        "responses": responses | _REFUSALS,
    }


ISSUING: Final = (
    {
        TOKENS: {
            "post": _operation(
                "issueToken",
                "Issue a token",
                "It gives no more than who asks for it has, in any document.",
                "NewToken",
                {
                    "201": body(
                        "It is in this answer only.",
                        "application/json",
                        ref("IssuedToken"),
                        _UNCACHED,
                    ),
                    "400": problem("The body is wrong.", *_BODY),
                    "422": problem("No token can be made like this.", "invalid-token-request"),
                },
            )
        }
    },
    {
        "NewToken": object_(
            {
                "subject": _TEXT | {"maxLength": 255, "description": "Who it is for."},
                "name": {"type": ["string", "null"], "maxLength": 255},
                "documents": _GRANTS,
                "lifetime_s": _LIFETIME,
            },
            optional=("name", "lifetime_s"),
        )
        | _CLOSED,
        "IssuedToken": object_(
            {
                "token": STRING | {"description": "Shown this once."},
                "id": STRING | {"description": "Its `jti`: no secret, and in the audit log."},
                "subject": _TEXT,
                "name": STRING,
                "documents": _GRANTS,
                "issued": TIME,
                "expires": TIME,
            }
        ),
    },
)
"""Where there is a key to sign with."""
EXPLAINING: Final = (
    {
        EXPLAIN: {
            "post": _operation(
                "explainToken",
                "Explain a token",
                "What it says, genuine or not, and whether this server would take it.",
                "TokenQuestion",
                {
                    "200": body(
                        "What it means.", "application/json", ref("ExplainedToken"), _UNCACHED
                    ),
                    "400": problem("The body is wrong.", *_BODY),
                },
            )
        }
    },
    {
        "TokenQuestion": object_(
            {
                "token": _TEXT,
                "documents": {
                    "type": ["array", "null"],
                    "description": "Documents to tell its role in.",
                    "items": _TEXT,
                    "maxItems": MAX_DOCUMENTS,
                },
            },
            optional=("documents",),
        )
        | _CLOSED,
        "ExplainedToken": object_(
            {
                "header": _OBJECT | {"description": "Empty where it can't be read."},
                "claims": _OBJECT | {"description": "Empty where they can't be read."},
                "verifies": {
                    "type": ["boolean", "null"],
                    "description": "`null`: there are no keys to check it with at the moment.",
                },
                "reason": {"type": ["string", "null"], "description": "Why it does not verify."},
                "roles": {
                    "type": "object",
                    "description": "By document: the role, or why there is none.",
                    "additionalProperties": STRING,
                },
            }
        ),
    },
)
