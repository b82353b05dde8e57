"""Documents written over HTTP: PUT, PATCH, their conditions, and every mistake."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest

from crdtsync.auth import ConnectRequest
from crdtsync.errors import CloseCode, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.roles import BUILT_IN
from crdtsync.server.asgi import create_app
from crdtsync.state_vector import encode_state_vector, read_state_vector
from crdtsync.store.memory import MemoryStore
from tests.unit.engine import TestStore, join, until
from tests.unit.wire import one

from .conftest import asgi_client, is_problem

pytestmark = pytest.mark.anyio

DOC = "/api/v1/documents/a"
TEXT: Any = {"roots": {"text": {"kind": "text", "value": "Hello"}}}
BINARY = {"Content-Type": "application/octet-stream"}


def typed(text: str, index: int | None = None, **more: Any) -> dict[str, Any]:
    operation = {"op": "insert", "path": ["text"], "index": index, "text": text}
    return {"operations": [operation], **more}


async def text(http: httpx.AsyncClient) -> str:
    return (await http.get(f"{DOC}?format=text&root=text")).text


# Making


async def test_put(http: httpx.AsyncClient) -> None:
    """PUT makes a document, once; the answer says where it is and how it stands."""
    made = await http.put(DOC, json=TEXT)
    assert made.status_code == 201
    assert made.headers["location"] == DOC
    body = made.json()
    assert (body["name"], body["sequence"], body["changed"]) == ("a", 1, True)
    read = await http.get(f"{DOC}?format=rich")
    assert read.json()["state_vector"] == body["state_vector"]
    assert read.json()["roots"] == {"text": {"kind": "text", "delta": [{"insert": "Hello"}]}}
    is_problem(await http.put(DOC, json=TEXT), 409, "document-exists")
    again = await http.put(DOC, json=TEXT, headers={"If-None-Match": "*"})
    is_problem(again, 412, "precondition-failed")
    other = await http.put(f"{DOC}/b", json=TEXT, headers={"If-None-Match": "*"})
    assert other.status_code == 201
    is_problem(
        await http.put(f"{DOC}/c", json=TEXT, headers={"If-Match": "*"}), 412, "precondition-failed"
    )


async def test_put_text_and_updates(http: httpx.AsyncClient) -> None:
    """A document is made of plain text, and of an update, too."""
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    assert (await http.put(DOC, content="Hi 😀", headers=headers)).status_code == 201
    assert await text(http) == "Hi 😀"
    made = await http.put(f"{DOC}2?root=body", content="Hi", headers=headers)
    assert made.status_code == 201
    assert (await http.get(f"{DOC}2?format=json")).json() == {"body": "Hi"}
    update = one(1, 0, "raw", parent="t")
    assert (await http.put(f"{DOC}3", content=update, headers=BINARY)).status_code == 201
    assert (await http.get(f"{DOC}3?format=update")).content == update


async def test_what_was_read_can_be_put(http: httpx.AsyncClient) -> None:
    """The rich form of a document makes another one of the same content."""
    roots = {
        "text": {"kind": "text", "delta": [{"insert": "a", "attributes": {"b": True}}]},
        "map": {"kind": "map", "value": {"x": {"kind": "array", "value": [1, None]}}},
        "page": {
            "kind": "xml",
            "children": [
                {"name": "p", "attributes": {"k": "v"}, "children": [{"text": [{"insert": "T"}]}]}
            ],
        },
    }
    await http.put(DOC, json={"roots": roots})
    read = (await http.get(f"{DOC}?format=rich")).json()
    assert read["roots"] == roots
    assert (await http.put(f"{DOC}2", json={"roots": read["roots"]})).status_code == 201
    assert (await http.get(f"{DOC}2?format=rich")).json()["roots"] == roots
    assert (await http.get(f"{DOC}2?format=xml")).text == '<p k="v">T</p>'
    assert (await http.get(f"{DOC}2?format=delta&root=text")).json()["roots"] == {
        "text": roots["text"]
    }
    is_problem(await http.get(f"{DOC}?format=delta&root=map"), 422, "wrong-kind")
    is_problem(await http.get(f"{DOC}?format=rich&root=none"), 404, "unknown-root")
    is_problem(await http.get(f"{DOC}?format=update&root=map"), 400, "invalid-parameter")


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        ("{", {}, 400, "invalid-body"),
        ("[]", {}, 400, "invalid-body"),
        ("\u00fc".encode("latin-1"), {"Content-Type": "text/plain"}, 400, "invalid-body"),
        ("{}", {}, 422, "invalid-operation"),
        ('{"roots": {}}', {}, 422, "empty-document"),
        ("", {"Content-Type": "text/plain"}, 422, "empty-document"),
        (b"\0\0", BINARY, 422, "empty-document"),
        (b"", BINARY, 422, "invalid-update"),
        (b"\xff" * 50, BINARY, 422, "invalid-update"),
        ('{"roots": {"t": 1}}', {}, 422, "invalid-operation"),
        ('{"roots": {}, "more": 1}', {}, 400, "invalid-parameter"),
        ("x", {"Content-Type": "application/xml"}, 415, "unsupported-media-type"),
        ("{}", {"Idempotency-Key": "x" * 256}, 400, "invalid-parameter"),
        ("{}", {"Idempotency-Key": ""}, 400, "invalid-parameter"),
    ],
)
async def test_hostile_new_documents(
    hub: Hub,
    http: httpx.AsyncClient,
    content: Any,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    """What makes no document is told why, and nothing is stored."""
    headers = {"Content-Type": "application/json"} | headers
    is_problem(await http.put(DOC, content=content, headers=headers), status, code)
    assert await hub.store.documents() == []


# Editing


async def test_patch(hub: Hub, http: httpx.AsyncClient) -> None:
    """PATCH does operations; who is in the document sees it at once."""
    await http.put(DOC, json=TEXT)
    client = await join(hub, "a")
    done = await http.patch(DOC, json=typed(", you"))
    assert done.status_code == 200
    assert (done.json()["sequence"], done.json()["changed"]) == (2, True)
    await client.shows("Hello, you")
    update = one(9, 0, "raw", parent="more")
    raw = await http.patch(DOC, content=update, headers=BINARY)
    assert raw.json()["changed"]
    assert not (await http.patch(DOC, content=update, headers=BINARY)).json()["changed"]
    is_problem(await http.patch(f"{DOC}/none", json=typed("x")), 404, "unknown-document")


DEEP = '{"operations": ' + "[" * 100_000 + "]" * 100_000 + "}"


@pytest.mark.parametrize(
    ("body", "status", "code", "operation"),
    [
        ("", 400, "invalid-body", None),
        (DEEP, 400, "invalid-body", None),
        ('{"operations": 1' + "0" * 5000 + "}", 400, "invalid-body", None),
        ("{}", 422, "invalid-operation", None),
        ('{"operations": {}}', 422, "invalid-operation", None),
        ('{"operations": [{"op": "x"}]}', 422, "invalid-operation", 0),
        (json.dumps(typed("x", 99)), 422, "invalid-operation", 0),
        ('{"operations": [], "more": 1}', 400, "invalid-parameter", None),
        ('{"operations": [], "if_state_vector": 1}', 400, "invalid-parameter", None),
        ('{"operations": [], "if_state_vector": "?"}', 400, "invalid-parameter", None),
        ('{"operations": [], "if_state_vector": "gA=="}', 422, "invalid-update", None),
        (
            '{"operations": [{"op": "set", "path": ["m"], "key": "k", "value": NaN}]}',
            422,
            "invalid-operation",
            0,
        ),
    ],
)
async def test_hostile_edits(
    http: httpx.AsyncClient, body: str, status: int, code: str, operation: int | None
) -> None:
    """What is no edit is told why, with the operation where it is one's, and changes nothing."""
    await http.put(DOC, json=TEXT)
    answer = await http.patch(DOC, content=body, headers={"Content-Type": "application/json"})
    is_problem(answer, status, code)
    assert answer.json().get("operation") == operation
    assert (await http.get(DOC)).json()["sequence"] == 1
    text_plain = await http.patch(DOC, content="x", headers={"Content-Type": "text/plain"})
    is_problem(text_plain, 415, "unsupported-media-type")


async def test_max_edit_bytes() -> None:
    """JSON over the limit is not read to its end; updates have the limit of messages."""
    limits = Limits(max_edit_bytes=2000, max_message_bytes=3000)
    hub = Hub(MemoryStore(), limits=limits)
    async with hub, asgi_client(create_app(hub, lifespan=False)) as http:
        await http.put(DOC, json=TEXT)
        big = typed("x" * 2000)
        is_problem(await http.patch(DOC, json=big), 413, "body-too-large")
        is_problem(await http.put(f"{DOC}2", json=big), 413, "body-too-large")
        update = one(9, 0, "x" * 2500, parent="more")
        assert (await http.patch(DOC, content=update, headers=BINARY)).status_code == 200
        update = one(8, 0, "x" * 3500, parent="more")
        is_problem(await http.patch(DOC, content=update, headers=BINARY), 413, "body-too-large")


async def test_a_full_document() -> None:
    """What would make a document too large is a 413."""
    hub = Hub(MemoryStore(), limits=Limits(max_document_bytes=2000))
    async with hub, asgi_client(create_app(hub, lifespan=False)) as http:
        await http.put(DOC, json=TEXT)
        answer = await http.patch(DOC, json=typed("x" * 5000))
        is_problem(answer, 413, "document-too-large")


# Conditions


async def test_if_match(hub: Hub, http: httpx.AsyncClient) -> None:
    """An edit is done where the document is as an ETag had it: of any representation."""
    made = await http.put(DOC, json=TEXT)
    queries = ("", "?format=text", "?format=rich", "?format=json&root=text")
    read = [(await http.get(f"{DOC}{query}")).headers["etag"] for query in queries]
    tags = [made.headers["etag"], *read]
    assert len(set(tags)) == len(tags)
    assert {tag.strip('"').partition(".")[0] for tag in tags} == {tags[0].strip('"')}
    for tag in tags[1:]:
        wrong = await http.patch(DOC, json=typed("x"), headers={"If-Match": f"W/{tag}"})
        is_problem(wrong, 412, "precondition-failed")
    tag = tags[-1]
    for character in "123":
        done = await http.patch(DOC, json=typed(character), headers={"If-Match": f'"other", {tag}'})
        assert done.status_code == 200
        lost = await http.patch(DOC, json=typed("lost"), headers={"If-Match": tag})
        is_problem(lost, 412, "precondition-failed")
        assert lost.json()["state_vector"] == done.json()["state_vector"]
        tag = done.headers["etag"]
    assert await text(http) == "Hello123"


async def test_if_state_vector(hub: Hub, http: httpx.AsyncClient) -> None:
    """The same by state vector, in the body or the query; clients may come in any order."""
    await http.put(DOC, json=TEXT)
    await http.patch(DOC, content=one(5, 0, "x", parent="more"), headers=BINARY)
    vector = (await http.get(f"{DOC}?format=rich")).json()["state_vector"]
    raw = base64.b64decode(vector)
    clocks = read_state_vector(raw, Limits())
    assert len(clocks) == 2
    turned = encode_state_vector(dict(reversed(clocks.items())))
    given = base64.b64encode(turned).decode()
    assert turned != raw
    done = await http.patch(DOC, json=typed("1", if_state_vector=given))
    assert done.status_code == 200
    lost = await http.patch(DOC, json=typed("2", if_state_vector=vector))
    is_problem(lost, 412, "precondition-failed")
    now = lost.json()["state_vector"]
    update = one(9, 0, "raw", parent="more")
    query = {"if_state_vector": vector}
    is_problem(
        await http.patch(DOC, params=query, content=update, headers=BINARY),
        412,
        "precondition-failed",
    )
    query = {"if_state_vector": now}
    done = await http.patch(DOC, params=query, content=update, headers=BINARY)
    assert done.status_code == 200


async def test_not_modified(http: httpx.AsyncClient) -> None:
    """Who has a representation is told so, also of the new ones."""
    await http.put(DOC, json=TEXT)
    for shape in ("rich", "delta", "xml"):
        if shape == "xml":
            page = {"op": "insert", "path": ["page"], "children": [{"name": "p"}]}
            await http.patch(DOC, json={"operations": [page]})
        first = await http.get(f"{DOC}?format={shape}")
        again = await http.get(
            f"{DOC}?format={shape}", headers={"If-None-Match": first.headers["etag"]}
        )
        assert (first.status_code, again.status_code) == (200, 304)


async def test_an_etag_is_of_what_is_answered() -> None:
    """While a commit is on its way, who reads gets the tag of what it reads, not of the next."""
    store = TestStore()
    async with Hub(store) as hub, asgi_client(create_app(hub, lifespan=False)) as http:
        await http.put(DOC, json=TEXT)
        client = await join(hub, "a")
        store.gate = anyio.Event()
        client.type(", you")
        await until(lambda: bool(store.waiting))
        early = await http.get(f"{DOC}?format=text")
        store.gate.set()
        await until(lambda: not hub.rooms["a"].uncommitted)
        later = await http.get(
            f"{DOC}?format=text", headers={"If-None-Match": early.headers["etag"]}
        )
        assert early.text == "Hello"
        assert later.status_code == 200


# Requests that come twice


async def test_idempotency(http: httpx.AsyncClient) -> None:
    """The same key and request have one effect and one answer; another request is refused."""
    headers = {"Idempotency-Key": "one"}
    first = await http.put(DOC, json=TEXT, headers=headers)
    again = await http.put(DOC, json=TEXT, headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    for name in ("etag", "location"):
        assert again.headers[name] == first.headers[name]
    headers = {"Idempotency-Key": "two"}
    for _ in range(3):
        assert (await http.patch(DOC, json=typed("x"), headers=headers)).status_code == 200
    is_problem(await http.patch(DOC, json=typed("y"), headers=headers), 422, "key-reused")
    assert await text(http) == "Hellox"


async def test_idempotency_under_way() -> None:
    """While the first request is worked on, another one with its key is a 409."""
    store = TestStore()
    async with Hub(store) as hub, asgi_client(create_app(hub, lifespan=False)) as http:
        await http.put(DOC, json=TEXT)
        headers = {"Idempotency-Key": "one"}
        store.gate = anyio.Event()
        async with anyio.create_task_group() as tasks:

            async def first() -> None:
                await http.patch(DOC, json=typed("x"), headers=headers)

            tasks.start_soon(first)
            await until(lambda: bool(store.waiting))
            is_problem(await http.patch(DOC, json=typed("x"), headers=headers), 409, "key-in-use")
            store.gate.set()
        assert await text(http) == "Hellox"


# Who may


class Keys:
    """Takes the name of a role as a token."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        role = BUILT_IN.get(request.token)
        if role is None:
            raise Unauthenticated("sign in first")
        return Principal(id=f"a-{role.name}", role=role)


@pytest.fixture
async def strict(hub: Hub) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that gives roles."""
    app = create_app(hub, authenticator=Keys(), lifespan=False)
    async with asgi_client(app) as client:
        yield client


def role(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}"}


async def test_roles(hub: Hub, strict: httpx.AsyncClient) -> None:
    """A request is held to its role: a commenter comments, a reader reads, a stranger neither."""
    comment = {"operations": [{"op": "insert", "path": ["comments"], "values": ["c"]}]}
    is_problem(await strict.put(DOC, json=TEXT), 401, "unauthenticated")
    is_problem(await strict.put(DOC, json=TEXT, headers=role("read")), 403, "edit-refused")
    is_problem(await strict.put(DOC, json=TEXT, headers=role("comment")), 403, "edit-refused")
    assert (await strict.put(DOC, json=TEXT, headers=role("write"))).status_code == 201
    for who, body, status in (
        ("write", typed("1"), 200),
        ("comment", comment, 200),
        ("comment", typed("2"), 403),
        ("comment", {"operations": comment["operations"] + typed("3")["operations"]}, 403),
        ("read", comment, 403),
        ("read", typed("4"), 403),
        ("none", typed("5"), 401),
    ):
        answer = await strict.patch(DOC, json=body, headers=role(who))
        assert answer.status_code == status, (who, body)
        if status == 403:
            is_problem(answer, 403, "edit-refused")
            assert "insufficient_scope" in answer.headers["www-authenticate"]
    read = await strict.get(f"{DOC}?format=json", headers=role("read"))
    assert read.json() == {"text": "Hello1", "comments": ["c"]}
    records = (await hub.store.load("a")).records
    assert [each.author for each in records] == ["a-write", "a-write", "a-comment"]
    is_problem(await strict.delete(DOC, headers=role("write")), 403, "forbidden")


async def test_deleting_with_people_in_it(hub: Hub, strict: httpx.AsyncClient) -> None:
    """Who is there when a document is deleted is sent away for good; a new one begins empty."""
    await strict.put(DOC, json=TEXT, headers=role("write"))
    clients = [await join(hub, "a") for _ in range(2)]
    assert (await strict.delete(DOC, headers=role("admin"))).status_code == 204
    for client in clients:
        assert await client.gone() == (CloseCode.FORBIDDEN, "the document was deleted")
        client.type("late")
    is_problem(
        await strict.patch(DOC, json=typed("x"), headers=role("write")), 404, "unknown-document"
    )
    is_problem(await strict.get(DOC, headers=role("read")), 404, "unknown-document")
    other = {"roots": {"text": {"kind": "text", "value": "new"}}}
    assert (await strict.put(DOC, json=other, headers=role("write"))).status_code == 201
    fresh = await join(hub, "a")
    await fresh.shows("new")
