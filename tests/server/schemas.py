"""The few keywords of JSON Schema that the description uses, as a check."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any


def resolved(value: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """Return what a value refers to, or the value."""
    if "$ref" not in value:
        return value
    found: Any = root
    for step in value["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)


def references(value: Any) -> Iterator[str]:
    """Yield each ``$ref``."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


_TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
    "null": type(None),
}


def violations(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> Iterator[str]:
    """Yield where a value breaks a schema, of the few keywords that the description uses.

    Stricter than JSON Schema: members that a schema does not name are violations too.
    """
    if "$ref" in schema:
        yield from violations(value, resolved(schema, root), root)
        return
    if "allOf" in schema:
        whole, partial = schema["allOf"]
        yield from violations(value, whole, root)
        for name, each in partial["properties"].items():
            yield from violations(value.get(name), each, root)
        return
    if "anyOf" in schema:
        options = [list(violations(value, each, root)) for each in schema["anyOf"]]
        if all(options):
            yield f"{value!r} fits none of anyOf"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{value!r} is none of {schema['enum']!r}"
    if "const" in schema and value != schema["const"]:
        yield f"{value!r} is not {schema['const']!r}"
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not isinstance(value, tuple(_TYPES[kind] for kind in kinds)):
        yield f"{value!r} is not of type {kinds}"
        return
    if isinstance(value, int) and not (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
    ):
        yield f"{value!r} is out of range"
    if schema.get("format") == "date-time" and value is not None:
        datetime.fromisoformat(value)
    if isinstance(value, dict) and "properties" in schema:
        for name in set(schema["required"]) - set(value):
            yield f"{name} is missing"
        for name, each in value.items():
            if name not in schema["properties"]:
                yield f"{name} is not described"
            else:
                yield from violations(each, schema["properties"][name], root)
    elif isinstance(value, dict) and isinstance(schema.get("additionalProperties"), dict):
        for each in value.values():
            yield from violations(each, schema["additionalProperties"], root)
    if isinstance(value, list) and "items" in schema:
        for each in value:
            yield from violations(each, schema["items"], root)
