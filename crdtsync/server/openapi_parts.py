"""The pieces that the OpenAPI description is made of."""

from typing import Any, Final

from crdtsync.server.problems import PROBLEM_MEDIA_TYPE

__all__ = [
    "COUNT",
    "HEADER",
    "SECURITY",
    "STRING",
    "TIME",
    "Json",
    "body",
    "object_",
    "problem",
    "query",
    "ref",
]

Json = dict[str, Any]


def object_(properties: Json, *, optional: tuple[str, ...] = ()) -> Json:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def body(description: str, media_type: str, schema: Json, headers: Json | None = None) -> Json:
    answer: Json = {"description": description, "content": {media_type: {"schema": schema}}}
    if headers:
        answer["headers"] = headers
    return answer


def problem(description: str) -> Json:
    return body(description, PROBLEM_MEDIA_TYPE, ref("Problem"))


def query(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema}


STRING: Final[Json] = {"type": "string"}
COUNT: Final[Json] = {"type": "integer", "minimum": 0}
TIME: Final[Json] = {"type": "string", "format": "date-time"}
HEADER: Final[Json] = {"schema": STRING}
SECURITY: Final[list[Json]] = [{"bearer": []}, {"token": []}, {}]
