"""The description of the HTTP routes: complete, resolvable, and true of what they answer."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

import crdtsync.server
from crdtsync.access.service import Access
from crdtsync.auth import ConnectRequest, OpenAuthenticator
from crdtsync.channels.rules import ChannelRules
from crdtsync.channels.service import Channels
from crdtsync.errors import CrdtsyncError, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.guard import MAX_DEATHS, Work
from crdtsync.guarding import DocumentGuard
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.service import Histories
from crdtsync.hub import Hub
from crdtsync.identity.desk import TokenDesk
from crdtsync.refused.base import RefusedUpdate, Run
from crdtsync.refused.keeping import RefusedUpdates
from crdtsync.roles import ADMIN
from crdtsync.server import (
    openapi_access,
    openapi_chat,
    openapi_history,
    openapi_presence,
    openapi_quarantine,
    openapi_tokens,
)
from crdtsync.server.asgi import create_app
from crdtsync.server.openapi import describe
from crdtsync.store.memory import MemoryStore

from .conftest import asgi_client, make_desk, sample
from .schemas import references, resolved, violations

pytestmark = pytest.mark.anyio

PATHS = {
    "/": [""],
    "/documents/{name}/history": [""],
    "/assets/history/{file}": [""],
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
    "/api/v1/presence": ["?document=a", "?document=b", "?document=none", "?document=bad", ""],
    "/api/v1/presence/people": ["?id=a&id=b", ""],
    "/api/v1/shares": ["", "?limit=1", "?limit=0", "?document=a", "?document="],
    "/api/v1/shares/{id}": [""],
    "/api/v1/revocations": [""],
    "/api/v1/tokens": [],
    "/api/v1/tokens/explain": [],
    "/api/v1/versions": ["?document=a", "?document=a&limit=1", "?document=none", "?kind=x"],
    "/api/v1/versions/{id}": [""],
    "/api/v1/history/content": [
        *("?document=a", "?document=a&format=delta", "?document=a&format=update"),
        *("?document=a&format=text&root=text", "?document=a&at=s1000", "?document=a&at=x"),
    ],
    "/api/v1/history/diff": ["?document=a&from=s1", "?document=none&from=s1", "?document=a"],
    "/api/v1/history/blame": ["?document=a", "?document=a&at=v1000"],
    "/api/v1/history/activity": ["?document=a", "?document=b"],
    "/api/v1/history/restore": [],
    "/api/v1/history/undo": [],
    "/api/v1/history/prune": [],
    "/api/v1/history/erase": [],
    "/api/v1/chat/messages": ["?document=a", "?document=", "?document=a&limit=0"],
    "/api/v1/chat/messages/{id}": ["?document=a"],
    "/api/v1/chat/reactions": [],
}
"""All paths, with query strings to read them with."""
CHANGES: list[tuple[str, str, str, Any]] = [
    ("DELETE", "/api/v1/documents/{name}", "", None),
    ("PUT", "/api/v1/documents/{name}", "", {"roots": {"t": {"kind": "text", "value": "x"}}}),
    ("PUT", "/api/v1/documents/{name}", "", {"roots": {}}),
    ("PUT", "/api/v1/documents/{name}", "?root=x", {"roots": {}}),
    ("PATCH", "/api/v1/documents/{name}", "", {"operations": []}),
    ("PATCH", "/api/v1/documents/{name}", "", {"operations": [{"op": "none"}]}),
    ("PATCH", "/api/v1/documents/{name}", "", {"operations": [], "more": 1}),
    ("PATCH", "/api/v1/documents/{name}", "?if_state_vector=AA==", {"operations": []}),
    ("PATCH", "/api/v1/documents/{name}", "?if_state_vector=x", {"operations": []}),
    ("PATCH", "/api/v1/documents/{name}", "", []),
    ("DELETE", "/api/v1/quarantined/{name}", "", None),
    ("POST", "/api/v1/chat/messages", "?document=a", {"text": "hello"}),
    ("PATCH", "/api/v1/chat/messages/{id}", "?document=a", {"text": "hello"}),
    ("DELETE", "/api/v1/chat/messages/{id}", "?document=a", None),
    ("PUT", "/api/v1/chat/reactions", "?document=a&message=x&emoji=x", None),
    ("DELETE", "/api/v1/chat/reactions", "?document=a&message=x&emoji=x", None),
    ("DELETE", "/api/v1/quarantine", "", None),
    ("DELETE", "/api/v1/quarantine", "?document=a", None),
    ("DELETE", "/api/v1/quarantine/{id}", "", None),
    ("POST", "/api/v1/quarantine/{id}/apply", "", None),
    ("POST", "/api/v1/quarantine/apply", "", None),
    ("POST", "/api/v1/quarantine/apply", "?document=a", None),
    ("POST", "/api/v1/shares", "", {"document": "a", "role": "read"}),
    ("POST", "/api/v1/shares", "", {"document": "a", "role": "admin"}),
    ("POST", "/api/v1/shares", "", {"document": "a", "role": "read", "label": "x" * 70_000}),
    ("POST", "/api/v1/shares", "", {"document": "\0", "role": "read"}),
    ("POST", "/api/v1/shares", "", []),
    ("DELETE", "/api/v1/shares/{id}", "", None),
    ("POST", "/api/v1/revocations", "", {"principal": "bob", "until": "2999-01-01T00:00:00Z"}),
    ("POST", "/api/v1/revocations", "", {"principal": "bob", "until": "2000-01-01T00:00:00Z"}),
    (
        "POST",
        "/api/v1/revocations",
        "",
        {"principal": "x", "before": "0001-01-01T00:00:00+14:00"},
    ),
    ("POST", "/api/v1/revocations", "", {}),
    ("DELETE", "/api/v1/revocations", "?principal=eve", None),
    ("POST", "/api/v1/tokens", "", {"subject": "ann", "documents": {"a/*": "read"}}),
    ("POST", "/api/v1/tokens", "", {"subject": "ann", "documents": {"a/*": "nonsense"}}),
    ("POST", "/api/v1/tokens", "", {"subject": "ann"}),
    ("POST", "/api/v1/tokens/explain", "", {"token": "x.y.z", "documents": ["a"]}),
    ("POST", "/api/v1/tokens/explain", "", {"token": "x", "documents": [""]}),
    ("POST", "/api/v1/tokens/explain", "", []),
    ("POST", "/api/v1/versions", "", {"document": "a", "label": "x"}),
    ("POST", "/api/v1/versions", "", {"document": "a", "label": " "}),
    ("POST", "/api/v1/versions", "", {"document": "none", "label": "x"}),
    ("PATCH", "/api/v1/versions/{id}", "", {"label": "x"}),
    ("PATCH", "/api/v1/versions/{id}", "", {"label": 1}),
    ("DELETE", "/api/v1/versions/{id}", "", None),
    ("POST", "/api/v1/history/restore", "", {"document": "a", "at": "s1"}),
    ("POST", "/api/v1/history/restore", "", {"document": "a", "at": "s1000"}),
    ("POST", "/api/v1/history/restore", "", {"document": "a"}),
    ("POST", "/api/v1/history/undo", "", {"document": "a", "author": "ada", "since": "s1"}),
    ("POST", "/api/v1/history/prune", "", {"document": "a", "dry_run": True}),
    ("POST", "/api/v1/history/prune", "", {"document": "a", "retention": "x"}),
    ("POST", "/api/v1/history/erase", "", {"document": "a", "before": "s1"}),
    ("POST", "/api/v1/history/erase", "", {"document": "a", "before": "s9"}),
    ("POST", "/api/v1/history/erase", "", {"author": "ann"}),
    ("POST", "/api/v1/history/erase", "", {}),
]
"""Requests that change something, or would: method, path, query and body."""


class Admins:
    """Everybody administers."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        return Principal(id="ann", role=ADMIN)


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    """A hub that keeps what it refuses."""
    guard = DocumentGuard(tmp_path / "guard")
    store = MemoryStore()
    history = Histories(store, HistoryDatabase(None))
    channels = Channels(ChannelRules(presence=("a", "bad", "none")))
    refused = RefusedUpdates(None)
    async with Hub(
        store, guard=guard, quarantine=refused, history=history, channels=channels
    ) as hub:
        yield hub


@pytest.fixture
async def access(hub: Hub) -> AsyncIterator[Access]:
    """Its share links and revocations."""
    async with Access(hub) as access:
        yield access


@pytest.fixture
def desk(tmp_path: Path) -> TokenDesk:
    """What explains and issues tokens."""
    return make_desk(tmp_path)


@pytest.fixture
async def http(hub: Hub, access: Access, desk: TokenDesk) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the whole application, whom it takes for an administrator."""
    app = create_app(
        hub,
        authenticator=access.wrap(Admins()),
        access=access,
        tokens=desk,
        lifespan=False,
    )
    async with asgi_client(app) as client:
        yield client


@pytest.fixture
async def description(hub: Hub, http: httpx.AsyncClient) -> dict[str, Any]:
    """The description, of a server with a document called ``a``."""
    await hub.edit("a", sample().get_update(), Principal())
    await hub.edit("b", sample().get_update(), Principal())
    await hub.edit("bad", sample().get_update(), Principal())
    assert hub.history is not None
    await hub.history.create("a", label="x", principal=Principal())
    for _ in range(MAX_DEATHS):
        hub.guard.suspect("bad", Work.INTEGRATING, 11)
    response = await http.get("/api/v1/openapi.json")
    return dict(response.json())


async def test_it_has_every_route(
    hub: Hub, access: Access, desk: TokenDesk, description: dict[str, Any]
) -> None:
    """The description has the application's routes with their methods, and no others."""
    described = {
        (path, method.upper()) for path, item in description["paths"].items() for method in item
    }
    app = create_app(hub, access=access, tokens=desk, lifespan=False)
    assert described == routes_of(app)
    changes = {(path, method) for method, path, _, _ in CHANGES}
    assert described == changes | {(path, "GET") for path, queries in PATHS.items() if queries}
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


@pytest.mark.parametrize("left_out", ["metrics", "page", "rest", "access", "tokens", "issuing"])
async def test_what_is_left_out_is_not_described(
    hub: Hub, access: Access, tmp_path: Path, left_out: str
) -> None:
    """The description is of this application, not of all that there could be."""
    desk = make_desk(tmp_path)
    everything: dict[str, Any] = {"access": access, "tokens": desk}
    options: dict[str, Any] = {
        "access": {"access": None},
        "tokens": {"tokens": None},
        "issuing": {"tokens": make_desk(tmp_path, signs=False)},
    }.get(left_out, {left_out: False})
    app = create_app(hub, lifespan=False, **everything | options)
    async with asgi_client(app) as client:
        description = (await client.get("/api/v1/openapi.json")).json()
    described = {(p, m.upper()) for p, item in description["paths"].items() for m in item}
    assert described == routes_of(app)
    assert described < routes_of(create_app(hub, lifespan=False, **everything))


async def test_references_resolve(description: dict[str, Any]) -> None:
    """Every ``$ref`` leads somewhere, and every schema and parameter is referred to."""
    components = description["components"]
    there = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "parameters")
        for name in components[kind]
    }
    assert set(references(description)) == there


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
        parameters = [resolved(each, description) for each in operation.get("parameters", [])]
        names = [each["name"] for each in parameters if each["in"] == "path"]
        assert names == re.findall(r"\{(\w+)\}", path)
        assert all(each["description"] for each in parameters)
        assert all(each["description"] for each in operation["responses"].values())


async def test_every_way_to_show_a_token_is_described(hub: Hub, access: Access) -> None:
    """What asks the authenticator says so; where there is one, nothing is to be had without."""
    for authenticator, optional in (
        (None, True),
        (access.wrap(OpenAuthenticator()), True),
        (Strict(), False),
        (access.wrap(Strict()), False),
    ):
        app = create_app(hub, authenticator=authenticator, access=access, lifespan=False)
        async with asgi_client(app) as client:
            description = (await client.get("/api/v1/openapi.json")).json()
            schemes = set(description["components"]["securitySchemes"])
            for path, item in description["paths"].items():
                for method, operation in item.items():
                    asks = "security" in operation
                    body: dict[str, Any] = {
                        "document": "a",
                        "role": "read",
                        "principal": "a",
                        "label": "x",
                    }
                    body |= {"at": "now", "author": "a", "since": "now"}
                    body |= {"roots": {}, "operations": [], "text": "x"}
                    sent = {name: body[name] for name in _required(operation, description)}
                    answer = await client.request(
                        method, path.replace("{name}", "a"), json=sent or None
                    )
                    assert (answer.status_code == 401) == (asks and not optional), path
                    if asks:
                        assert ({} in operation["security"]) == optional
                        assert {name for each in operation["security"] for name in each} == schemes


def _required(operation: dict[str, Any], description: dict[str, Any]) -> list[str]:
    """Return what a request's body has to have."""
    content = operation.get("requestBody", {}).get("content", {"application/json": {"schema": {}}})
    schema = resolved(content["application/json"]["schema"], description)
    return list(schema.get("required", []))


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
        "method-not-allowed",
        "http-error",  # what no route raises,
        "invalid-request",  # nor gets to see
    }
    described = _described()
    assert written - elsewhere <= described
    other = {"password-needed", "revoked", "not-found"}  # kinds of Unauthenticated; of no route
    kinds = {each.kind for each in _errors(CrdtsyncError)}
    for path in folder.parent.glob("channels/*.py"):  # where an error is of a kind of its own
        kinds |= set(re.findall(r'kind="([a-z-]+)"', path.read_text("utf-8")))
    assert described - written - other <= kinds


def test_every_described_problem_is_documented() -> None:
    """Each ``code`` of a response is in the table of errors in docs/http.md."""
    page = (Path(__file__).parents[2] / "docs" / "http.md").read_text("utf-8")
    table = page.partition("\n### Errors\n")[2].partition("\n## ")[0]
    assert _described() <= set(re.findall(r"`([a-z-]+)`", table))


def _described() -> set[str]:
    """Return each code that some response is described with."""
    more = [
        openapi_quarantine.PARTS,
        openapi_history.PARTS,
        openapi_presence.PARTS,
        openapi_chat.PARTS,
        openapi_access.PARTS,
        openapi_tokens.EXPLAINING,
        openapi_tokens.ISSUING,
    ]
    return set(_codes(describe(version="1", authenticated=True, more=more)))


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
    response = await http.get(await _at(http, path) + query)
    _keeps_promises(response, description, path)


@pytest.mark.parametrize(("method", "path", "query", "body"), CHANGES)
async def test_what_changes_something_answers_as_described(
    description: dict[str, Any],
    hub: Hub,
    http: httpx.AsyncClient,
    method: str,
    path: str,
    query: str,
    body: Any,
) -> None:
    """The same of requests that change something, the first time and, where it is gone, again."""
    update = sample().get_update()
    hub.quarantine.keep(
        RefusedUpdate(
            document="a",
            author="",
            name="",
            kind="gate",
            reason="no",
            time_ms=1,
            update=update,
            run=Run(),
        )
    )
    kept = anyio.Event()
    hub.quarantine.when_kept(kept.set)
    await kept.wait()
    await http.post("/api/v1/revocations", json={"principal": "eve"})
    for url in [await _at(http, path) + query] * 2:
        response = await http.request(method, url, json=body)
        assert response.status_code < 500
        _keeps_promises(response, description, path)


async def _at(http: httpx.AsyncClient, path: str) -> str:
    """Fill in what there is: a document, an entry, a link."""
    if "shares" in path and "{id}" in path:
        made = await http.post("/api/v1/shares", json={"document": "a", "role": "read"})
        return path.replace("{id}", made.json()["id"])
    name = "bad" if "quarantined" in path else "a"
    return path.replace("{name}", name).replace("{id}", "1")


def _keeps_promises(response: httpx.Response, description: dict[str, Any], path: str) -> None:
    """Check an answer's status, headers, media type and body."""
    operation = description["paths"][path][response.request.method.lower()]
    promised = operation["responses"][str(response.status_code)]
    sent = {name.lower() for name in response.headers} - {"content-type", "content-length"}
    told = {name.lower(): header for name, header in promised.get("headers", {}).items()}
    assert sent <= set(told)
    assert {name for name, header in told.items() if header.get("required")} <= sent
    if response.status_code == 204:
        assert response.content == b""
        return
    media_type = response.headers["content-type"].partition(";")[0]
    schema = promised["content"][media_type]["schema"]
    if media_type.endswith("json"):
        errors = list(violations(response.json(), schema, description))
        assert errors == []


async def test_the_check_itself(description: dict[str, Any]) -> None:
    """The schema check of these tests finds what is wrong."""
    schema = description["components"]["schemas"]["Problem"]
    good = {"type": "a", "title": "b", "status": 404, "detail": "c", "code": "d"}
    assert list(violations(good, schema, description)) == []
    for bad in (
        {**good, "status": "404"},
        {**good, "status": 200},
        {"type": "a"},
        [],
        {**good, "x": 1},
    ):
        assert list(violations(bad, schema, description)), bad
    narrow = {"allOf": [schema, {"properties": {"code": {"enum": ["e"]}}}]}
    assert list(violations(good, narrow, description))
    assert not list(violations(good | {"code": "e"}, narrow, description))
