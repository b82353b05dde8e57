"""The description of the HTTP routes: complete, resolvable, and true of what they answer."""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

import crdtsync.server
from crdtsync.auth import ConnectRequest
from crdtsync.errors import CrdtsyncError, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.guard import MAX_DEATHS, Work
from crdtsync.hub import Hub
from crdtsync.server.asgi import create_app
from crdtsync.server.openapi import describe

from .conftest import asgi_client, sample

pytestmark = pytest.mark.anyio

PATHS = {
    "/": [""],
    "/health/live": ["", "?x=1"],
    "/health/ready": [""],
    "/metrics": [""],
    "/api/v1/openapi.json": [""],
    "/api/v1/documents": ["", "?limit=1", "?limit=0", "?cursor=x"],
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
    """The description has the application's routes with their methods, and no others."""
    described = {
        (path, method.upper()) for path, item in description["paths"].items() for method in item
    }
    assert described == routes_of(create_app(hub, lifespan=False))
    assert set(description["paths"]) == set(PATHS)


def routes_of(app: Starlette) -> set[tuple[str, str]]:
    """Return the paths of an application as OpenAPI writes them, each with its methods."""
    return {
        (re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path), method)
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or ())
        if method != "HEAD"  # is GET without a body; the description's text says so
    }


@pytest.mark.parametrize("left_out", ["metrics", "page", "rest"])
async def test_what_is_left_out_is_not_described(hub: Hub, left_out: str) -> None:
    """The description is of this application, not of all that there could be."""
    app = create_app(hub, lifespan=False, **{left_out: False})  # type: ignore[arg-type]
    async with asgi_client(app) as client:
        description = (await client.get("/api/v1/openapi.json")).json()
    described = {(p, m.upper()) for p, item in description["paths"].items() for m in item}
    assert described == routes_of(app)
    assert described < routes_of(create_app(hub, lifespan=False))


async def test_references_resolve(description: dict[str, Any]) -> None:
    """Every ``$ref`` leads somewhere, and every schema and parameter is referred to."""
    components = description["components"]
    there = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "parameters")
        for name in components[kind]
    }
    assert set(_references(description)) == there


async def test_operations_are_named(description: dict[str, Any]) -> None:
    """Each operation has its own id, a summary, its path's parameters, and described answers."""
    operations = [
        (path, operation)
        for path, item in description["paths"].items()
        for operation in item.values()
    ]
    assert len({operation["operationId"] for _, operation in operations}) == len(operations)
    for path, operation in operations:
        assert operation["summary"]
        parameters = [_resolved(each, description) for each in operation.get("parameters", [])]
        names = [each["name"] for each in parameters if each["in"] == "path"]
        assert names == re.findall(r"\{(\w+)\}", path)
        assert all(each["description"] for each in parameters)
        assert all(each["description"] for each in operation["responses"].values())


async def test_every_way_to_show_a_token_is_described(hub: Hub) -> None:
    """What asks the authenticator says so; where there is one, nothing is to be had without."""
    for authenticator, optional in ((None, True), (Strict(), False)):
        app = create_app(hub, authenticator=authenticator, lifespan=False)
        async with asgi_client(app) as client:
            description = (await client.get("/api/v1/openapi.json")).json()
            schemes = set(description["components"]["securitySchemes"])
            for path, item in description["paths"].items():
                for method, operation in item.items():
                    asks = "security" in operation
                    answer = await client.request(method, path.replace("{name}", "a"))
                    assert (answer.status_code == 401) == (asks and not optional), path
                    if asks:
                        assert ({} in operation["security"]) == optional
                        assert {name for each in operation["security"] for name in each} == schemes


class Strict:
    """Lets nobody in."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        raise Unauthenticated("sign in first")


def test_every_problem_is_described() -> None:
    """Each ``code`` in the sources of the routes, and of their errors, is some response's."""
    folder = Path(crdtsync.server.__file__).parent
    written = {
        code
        for path in folder.glob("*.py")
        for code in re.findall(r'code=?(?:, detail)? ?=? ?"([a-z-]+)"', path.read_text("utf-8"))
    }
    elsewhere = {
        "not-found",  # a path that is none
        "method-not-allowed",
        "http-error",  # what no route raises
    }
    described = set(_codes(describe(version="1", authenticated=True)))
    assert written - elsewhere <= described
    assert described - written <= {each.kind for each in _errors(CrdtsyncError)}


def _errors(kind: type) -> Iterator[Any]:
    for each in kind.__subclasses__():
        if hasattr(each, "kind"):
            yield each
        yield from _errors(each)


def _codes(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "code" in value.get("properties", {}):
            yield from value["properties"]["code"].get("enum", [])
        for each in value.values():
            yield from _codes(each)
    elif isinstance(value, list):
        for each in value:
            yield from _codes(each)


@pytest.mark.parametrize(
    ("path", "query"), [(path, query) for path, queries in PATHS.items() for query in queries]
)
async def test_responses_match(
    description: dict[str, Any], http: httpx.AsyncClient, path: str, query: str
) -> None:
    """Each answer's status, media type and body are what the description promises."""
    name = "bad" if "quarantined" in path else "a"
    response = await http.get(path.replace("{name}", name) + query)
    promised = description["paths"][path]["get"]["responses"][str(response.status_code)]
    media_type = response.headers["content-type"].partition(";")[0]
    schema = promised["content"][media_type]["schema"]
    sent = {name.lower() for name in response.headers} - {"content-type", "content-length"}
    told = {name.lower(): header for name, header in promised.get("headers", {}).items()}
    assert sent <= set(told)
    assert {name for name, header in told.items() if header.get("required")} <= sent
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
    narrow = {"allOf": [schema, {"properties": {"code": {"enum": ["e"]}}}]}
    assert list(_violations(good, narrow, description))
    assert not list(_violations(good | {"code": "e"}, narrow, description))


def _resolved(value: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in value:
        return value
    found: Any = root
    for step in value["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)


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
        yield from _violations(value, _resolved(schema, root), root)
        return
    if "allOf" in schema:
        whole, partial = schema["allOf"]
        yield from _violations(value, whole, root)
        for name, each in partial["properties"].items():
            yield from _violations(value.get(name), each, root)
        return
    if "anyOf" in schema:
        options = [list(_violations(value, each, root)) for each in schema["anyOf"]]
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
                yield from _violations(each, schema["properties"][name], root)
    if isinstance(value, list) and "items" in schema:
        for each in value:
            yield from _violations(each, schema["items"], root)
