"""The description of the HTTP routes: complete, resolvable, and true of what they answer."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from crdtsync.gate import Principal
from crdtsync.guard import MAX_DEATHS, Work
from crdtsync.hub import Hub
from crdtsync.server.asgi import create_app

from .conftest import sample

pytestmark = pytest.mark.anyio

PATHS = {
    "/health/live": ["", "?x=1"],
    "/health/ready": [""],
    "/metrics": [""],
    "/api/v1/openapi.json": [""],
    "/api/v1/documents": ["", "?limit=1", "?limit=0"],
    "/api/v1/documents/{name}": ["", "?format=json", "?format=text", "?format=update", "?root=x"],
    "/api/v1/quarantined": [""],
    "/api/v1/quarantined/{name}": ["", "?format=update", "?format=json"],
    "/api/v1/quarantine": ["", "?limit=1", "?limit=0"],
    "/api/v1/quarantine/apply": [],
    "/api/v1/quarantine/{id}": ["", "?format=update", "?format=x"],
    "/api/v1/quarantine/{id}/apply": [],
}


@pytest.fixture
async def description(hub: Hub, http: httpx.AsyncClient) -> dict[str, Any]:
    """The description, of a server with a document called ``a``."""
    await hub.edit("a", sample().get_update(), Principal())
    await hub.edit("b", sample().get_update(), Principal())
    await hub.edit("bad", sample().get_update(), Principal())
    for _ in range(MAX_DEATHS):
        hub.guard.suspect("bad", Work.INTEGRATING, 11)
    response = await http.get("/api/v1/openapi.json")
    return dict(response.json())


async def test_it_has_every_route(hub: Hub, description: dict[str, Any]) -> None:
    """The description has the application's routes and no others; the page is for people."""
    routes = create_app(hub, lifespan=False).routes
    paths = {route.path.replace(":document", "") for route in routes if isinstance(route, Route)}
    assert set(description["paths"]) == paths - {"/"}
    assert set(description["paths"]) == set(PATHS)


async def test_references_resolve(description: dict[str, Any]) -> None:
    """Every ``$ref`` leads to a schema, and every schema is referred to."""
    schemas = description["components"]["schemas"]
    found = {ref.removeprefix("#/components/schemas/") for ref in _references(description)}
    assert found == set(schemas)


async def test_operations_are_named(description: dict[str, Any]) -> None:
    """Each operation has its own id, a summary, and path parameters for its path."""
    operations = [each for path in description["paths"].values() for each in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for path, item in description["paths"].items():
        for operation in item.values():
            assert operation["summary"]
            parameters = operation.get("parameters", [])
            names = [each["name"] for each in parameters if each["in"] == "path"]
            assert names == [name for name in ("name", "id") if f"{{{name}}}" in path]


async def test_the_mount_is_the_server(hub: Hub) -> None:
    """Below a mount, the description's server is the mount."""
    transport = httpx.ASGITransport(create_app(hub, lifespan=False), root_path="/collab")  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.get("/api/v1/openapi.json")
    assert response.json()["servers"] == [{"url": "/collab"}]


@pytest.mark.parametrize(
    ("path", "query"), [(path, query) for path, queries in PATHS.items() for query in queries]
)
async def test_responses_match(
    description: dict[str, Any], http: httpx.AsyncClient, path: str, query: str
) -> None:
    """Each answer's status, media type and body are what the description promises."""
    name = "bad" if "quarantined" in path else "a"
    response = await http.get(path.replace("{name}", name).replace("{id}", "1") + query)
    promised = description["paths"][path]["get"]["responses"][str(response.status_code)]
    media_type = response.headers["content-type"].partition(";")[0]
    schema = promised["content"][media_type]["schema"]
    for header in promised.get("headers", {}):
        assert header in response.headers or header == "Link"
    if media_type.endswith("json"):
        errors = list(_violations(response.json(), schema, description))
        assert errors == []


async def test_the_check_itself(description: dict[str, Any]) -> None:
    """The schema check of these tests finds what is wrong."""
    schema = description["components"]["schemas"]["Problem"]
    good = {"type": "a", "title": "b", "status": 404, "detail": "c", "code": "d"}
    assert list(_violations(good, schema, description)) == []
    for bad in (
        {**good, "status": "404"},
        {**good, "status": 200},
        {"type": "a"},
        [],
        {**good, "x": 1},
    ):
        assert list(_violations(bad, schema, description)), bad


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


_TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
    "null": type(None),
}


def _violations(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> Iterator[str]:
    """Yield where a value breaks a schema, of the few keywords that the description uses.

    Stricter than JSON Schema: members that a schema does not name are violations too.
    """
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/components/schemas/")
        yield from _violations(value, root["components"]["schemas"][name], root)
        return
    if "anyOf" in schema:
        options = [list(_violations(value, each, root)) for each in schema["anyOf"]]
        if all(options):
            yield f"{value!r} fits none of anyOf"
        return
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
                yield from _violations(each, schema["properties"][name], root)
    if isinstance(value, list) and "items" in schema:
        for each in value:
            yield from _violations(each, schema["items"], root)
