"""The pieces that the OpenAPI description is made of, and what all operations have in common."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from crdtsync.server.parameters import DEFAULT_PAGE, MAX_PAGE
from crdtsync.server.problems import PROBLEM_MEDIA_TYPE

__all__ = [
    "COUNT",
    "HEADER",
    "NAME",
    "SECURITY",
    "STRING",
    "TIME",
    "Json",
    "body",
    "completed",
    "empty",
    "headers",
    "limit",
    "object_",
    "or_null",
    "path",
    "problem",
    "query",
    "ref",
]

Json = dict[str, Any]

STRING: Final[Json] = {"type": "string"}
COUNT: Final[Json] = {"type": "integer", "minimum": 0}
TIME: Final[Json] = {"type": "string", "format": "date-time"}
HEADER: Final[Json] = {"schema": STRING}
SECURITY: Final[list[Json]] = [{"bearer": []}, {"token": []}, {}]
"""Of what asks the authenticator; ``completed`` takes the last away where there is one."""
NAME: Final[Json] = {"$ref": "#/components/parameters/name"}
"""A document's name in a path."""

_ALWAYS: Final[Json] = HEADER | {"required": True}
_HEADERS: Final[Mapping[str, Json]] = {
    "401": {"WWW-Authenticate": _ALWAYS | {"description": "RFC 6750, section 3."}},
    "403": {"WWW-Authenticate": _ALWAYS | {"description": "RFC 6750, section 3."}},
    "503": {"Retry-After": _ALWAYS | {"description": "Seconds."}},
}
_CODES: Final[Mapping[str, tuple[str, ...]]] = {
    "401": ("unauthenticated", "password-needed", "revoked"),
    "403": ("forbidden",),
    "429": ("too-many-requests",),
    "503": ("unavailable", "restarting", "store-error"),
}


def or_null(schema: Json) -> Json:
    """Return the schema of the same, or null."""
    return schema | {"type": [schema["type"], "null"]}


def object_(properties: Json, *, optional: tuple[str, ...] = ()) -> Json:
    """Return the schema of an object; what is not optional is required."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def ref(name: str) -> Json:
    """Return a reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def headers(*always: str, sometimes: tuple[str, ...] = ()) -> Json:
    """Return the headers of a response."""
    return dict.fromkeys(always, _ALWAYS) | dict.fromkeys(sometimes, HEADER)


def body(description: str, media_type: str, schema: Json, headers: Json | None = None) -> Json:
    """Return a response with a body."""
    answer: Json = {"description": description, "content": {media_type: {"schema": schema}}}
    if headers:
        answer["headers"] = headers
    return answer


def empty(description: str, headers: Json | None = None) -> Json:
    """Return a response without a body."""
    return {"description": description} | ({"headers": headers} if headers else {})


def problem(description: str, *codes: str) -> Json:
    """Return a response that is a problem document with one of these codes.

    Without any, they are what this status has everywhere: ``completed`` adds them.
    """
    return body(description, PROBLEM_MEDIA_TYPE, _problem(codes) if codes else ref("Problem"))


def query(name: str, description: str, schema: Json) -> Json:
    """Return a parameter in the query string."""
    return {"name": name, "in": "query", "description": description, "schema": schema}


def limit() -> Json:
    """Return the parameter that bounds a page."""
    pages: Json = {"minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE}
    return query("limit", "At most so many.", {"type": "integer"} | pages)


def path(name: str, description: str, schema: Json) -> Json:
    """Return a parameter in the path."""
    about = {"name": name, "in": "path", "required": True}
    return about | {"description": description, "schema": schema}


def completed(paths: Json, *, authenticated: bool) -> Json:
    """Return a copy with what holds everywhere: security, codes and headers of a status.

    ``authenticated``: an authenticator decides, so that a request without a token gets nowhere.
    """
    paths = deepcopy(paths)
    for item in paths.values():
        for operation in item.values():
            if authenticated and "security" in operation:
                operation["security"] = [each for each in operation["security"] if each]
            responses = operation["responses"]
            responses.setdefault("500", problem("A defect of the server.", "internal-error"))
            for status, response in responses.items():
                if int(status) >= 400:
                    _complete(status, response)
            operation["responses"] = dict(sorted(responses.items()))
    return paths


def _complete(status: str, response: Json) -> None:
    needed = _HEADERS.get(status, {}) | {"Cache-Control": _ALWAYS}
    response["headers"] = needed | response.get("headers", {})
    content = response["content"][PROBLEM_MEDIA_TYPE]
    codes = _CODES.get(status, ())
    if codes and content["schema"] == ref("Problem"):
        content["schema"] = _problem(codes)


def _problem(codes: tuple[str, ...]) -> Json:
    return {"allOf": [ref("Problem"), {"properties": {"code": {"enum": list(codes)}}}]}
