"""The quarantine of refused updates over HTTP: what it shows, applies and drops, and to whom."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest

from crdtsync.auth import ConnectRequest
from crdtsync.errors import Unauthenticated
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.refused.base import Filter, Run
from crdtsync.refused.keeping import RefusedUpdates
from crdtsync.roles import ADMIN, WRITE
from crdtsync.server import rest_quarantine
from crdtsync.server.asgi import create_app
from crdtsync.store.memory import MemoryStore
from tests.refusals import refused, typed_words

from .conftest import asgi_client, is_problem
from .schemas import violations

pytestmark = pytest.mark.anyio

QUARANTINE = "/api/v1/quarantine"


class Tokens:
    """``root`` is admin everywhere, ``ann`` in her own document, ``bob`` nowhere."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        match request.token:
            case "root":
                return Principal(id="root", role=ADMIN)
            case "ann":
                return Principal(id="ann", role=ADMIN if request.document == "anns" else None)
            case "bob":
                return Principal(id="bob", role=WRITE)
        raise Unauthenticated("sign in first")


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    """A hub with a quarantine in memory."""
    async with Hub(MemoryStore(), quarantine=RefusedUpdates(None)) as hub:
        yield hub


@pytest.fixture
async def http(hub: Hub) -> AsyncIterator[httpx.AsyncClient]:
    """A client who administers."""
    async with asgi_client(create_app(hub, authenticator=Tokens(), lifespan=False)) as client:
        client.headers["Authorization"] = "Bearer root"
        yield client


async def refuse(hub: Hub, *updates: bytes, joined: bool = False, **changed: Any) -> None:
    """Put updates into the quarantine, each an entry of its own."""
    run = Run() if joined else None
    for update in updates:
        hub.quarantine.keep(refused(update, run, **changed))
    done = anyio.Event()
    hub.quarantine.when_kept(done.set)
    await done.wait()


async def text_of(http: httpx.AsyncClient, name: str = "doc") -> str:
    return (await http.get(f"/api/v1/documents/{name}?format=text&root=text")).text


async def test_entries_are_listed_and_read(hub: Hub, http: httpx.AsyncClient) -> None:
    """An entry has all that is known of it, what it says, and its bytes; as described."""
    (update,) = typed_words("secret")
    await refuse(hub, update)
    body = (await http.get(QUARANTINE)).json()
    (entry,) = body["entries"]
    assert entry == {
        "id": 1,
        "url": "/api/v1/quarantine/1",
        "document": "doc",
        "author": "ann",
        "name": "Ann",
        "kind": "gate",
        "reason": "no",
        "first": "2023-11-14T22:13:20.000Z",
        "last": "2023-11-14T22:13:20.000Z",
        "updates": 1,
        "bytes": len(update),
    }
    one = await http.get(entry["url"])
    assert one.json() == entry | {
        "ranges": [{"client": 7, "start": 0, "end": 7}],
        "deleted": 0,
        "roots": ["text"],
        "text": "secret ",
    }
    for url in (f"{entry['url']}?format=update",):
        assert (await http.get(url)).content == update
    described = (await http.get("/api/v1/openapi.json")).json()
    paths = described["paths"]
    for response, path in ((await http.get(QUARANTINE), QUARANTINE), (one, f"{QUARANTINE}/{{id}}")):
        schema = paths[path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert list(violations(response.json(), schema, described)) == []
    applied = await http.post(f"{QUARANTINE}/1/apply")
    answers = paths[f"{QUARANTINE}/{{id}}/apply"]["post"]["responses"]
    schema = answers["200"]["content"]["application/json"]["schema"]
    assert list(violations(applied.json(), schema, described)) == []


async def test_pages(hub: Hub, http: httpx.AsyncClient) -> None:
    """Following ``next`` visits every entry once, the oldest first, within the filter."""
    await refuse(hub, *[typed_words("x", client=client)[0] for client in range(1, 6)])
    await refuse(hub, typed_words("y", client=77)[0], document="other")
    url: str | None = f"{QUARANTINE}?document=doc&limit=2"
    found: list[int] = []
    while url is not None:
        body = (await http.get(url)).json()
        found += [entry["id"] for entry in body["entries"]]
        url = body["next"]
    assert found == [1, 2, 3, 4, 5]


async def test_an_entry_is_applied_as_its_author_s_edit(hub: Hub, http: httpx.AsyncClient) -> None:
    """The document has it, with its author, and the quarantine has it no more."""
    await refuse(hub, *typed_words("secret"))
    response = await http.post(f"{QUARANTINE}/1/apply")
    assert response.json() == {"applied": [1], "left": []}
    assert await text_of(http) == "secret "
    loaded = await hub.store.load("doc")
    assert [record.author for record in loaded.records] == ["ann"]
    is_problem(await http.post(f"{QUARANTINE}/1/apply"), 404, "unknown-entry")


async def test_what_builds_on_something_missing_waits(hub: Hub, http: httpx.AsyncClient) -> None:
    """One entry of a chain is not applied by itself; all of it is, in whatever order it came."""
    first, second, third = typed_words("one two three")
    await refuse(hub, third, first, second)
    problem = await http.post(f"{QUARANTINE}/1/apply")
    is_problem(problem, 409, "not-applicable")
    assert "builds on edits that the document lacks" in problem.json()["detail"]
    response = await http.post(f"{QUARANTINE}/apply?document=doc&author=ann")
    assert sorted(response.json()["applied"]) == [1, 2, 3]
    assert await text_of(http) == "one two three "
    assert (await http.get(QUARANTINE)).json()["entries"] == []


async def test_what_can_t_be_applied_is_left(hub: Hub, http: httpx.AsyncClient) -> None:
    """Of several entries those that fit enter; the others stay, with the reason."""
    await refuse(hub, typed_words("a b", client=5)[1], typed_words("fits", client=6)[0])
    response = await http.post(f"{QUARANTINE}/apply?document=doc")
    assert response.json()["applied"] == [2]
    ((left),) = response.json()["left"]
    assert left == {"id": 1, "reason": "it builds on edits that the document lacks"}
    assert [each["id"] for each in (await http.get(QUARANTINE)).json()["entries"]] == [1]


async def test_entries_are_dropped(hub: Hub, http: httpx.AsyncClient) -> None:
    """One by one, or all of a document or an author; never all of everything by mistake."""
    await refuse(hub, *[typed_words("x", client=client)[0] for client in range(1, 4)])
    await refuse(hub, typed_words("y", client=77)[0], document="other", author="bob")
    assert (await http.delete(f"{QUARANTINE}/1")).status_code == 204
    is_problem(await http.delete(f"{QUARANTINE}/1"), 404, "unknown-entry")
    is_problem(await http.delete(QUARANTINE), 400, "invalid-parameter")
    assert (await http.delete(f"{QUARANTINE}?author=bob")).json() == {"dropped": 1}
    assert (await http.delete(f"{QUARANTINE}?document=doc")).json() == {"dropped": 2}
    assert (await http.get(QUARANTINE)).json()["entries"] == []


async def test_more_than_a_page_is_dropped(
    hub: Hub, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a document or an author is all of it, however many entries that is."""
    monkeypatch.setattr(rest_quarantine, "MAX_PAGE", 2)
    await refuse(hub, *[typed_words("x", client=client)[0] for client in range(1, 6)])
    await refuse(hub, typed_words("y", client=77)[0], document="other", author="bob")
    await refuse(hub, *[typed_words("z", client=client)[0] for client in range(91, 95)])
    assert (await http.delete(f"{QUARANTINE}?document=doc")).json() == {"dropped": 9}
    assert (await http.delete(f"{QUARANTINE}?author=bob")).json() == {"dropped": 1}
    assert (await http.get(f"{QUARANTINE}?limit=1")).json()["entries"] == []


async def test_more_than_a_page_is_applied(
    hub: Hub, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What builds on an entry of a later page enters as well; what can't is told, all of it."""
    monkeypatch.setattr(rest_quarantine, "MAX_PAGE", 2)
    words = [f"w{number}" for number in range(7)]
    await refuse(hub, *reversed(typed_words(" ".join(words))))
    await refuse(hub, *[typed_words("a b", client=client)[1] for client in (91, 92, 93)])
    body = (await http.post(f"{QUARANTINE}/apply?document=doc")).json()
    assert sorted(body["applied"]) == [1, 2, 3, 4, 5, 6, 7]
    assert [each["id"] for each in body["left"]] == [8, 9, 10]
    assert (await text_of(http)).split() == words
    left = await hub.quarantine.entries(Filter(document="doc"), limit=100)
    assert [entry.id for entry in left] == [8, 9, 10]


@pytest.mark.parametrize("number", ["0", "99", "x", "-1", "1.5", "9" * 40, "%00", "\u0661"])
async def test_ids_that_are_none(hub: Hub, http: httpx.AsyncClient, number: str) -> None:
    """Whatever stands in an id's place finds nothing."""
    is_problem(await http.get(f"{QUARANTINE}/{number}"), 404, "unknown-entry")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "after=-1", "after=" + "9" * 30]
)
async def test_parameters_that_are_wrong(http: httpx.AsyncClient, query: str) -> None:
    """Parameters are checked."""
    is_problem(await http.get(f"{QUARANTINE}?{query}"), 400, "invalid-parameter")
    is_problem(await http.post(f"{QUARANTINE}/apply"), 400, "invalid-parameter")


REQUESTS = [
    ("GET", ""),
    ("GET", "?document=doc"),
    ("DELETE", "?document=doc"),
    ("POST", "/apply?document=doc"),
    ("GET", "/1"),
    ("GET", "/1?format=update"),
    ("DELETE", "/1"),
    ("POST", "/1/apply"),
    ("GET", "/999"),
]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
async def test_only_admins(hub: Hub, method: str, path: str) -> None:
    """Strangers get 401, everybody but admins 403, and nothing of what is there.

    Without authentication nobody is an admin.
    """
    await refuse(hub, *typed_words("secret"))
    async with asgi_client(create_app(hub, lifespan=False)) as client:
        response = await client.request(method, QUARANTINE + path)
        is_problem(response, 403, "forbidden")
        assert "use the crdtsync command" in response.json()["detail"]
    async with asgi_client(create_app(hub, authenticator=Tokens(), lifespan=False)) as client:
        response = await client.request(method, QUARANTINE + path)
        is_problem(response, 401, "unauthenticated")
        for token in ("bob", "ann"):
            headers = {"Authorization": f"Bearer {token}"}
            response = await client.request(method, QUARANTINE + path, headers=headers)
            is_problem(response, 403, "forbidden")
        headers = {"Authorization": "Bearer root"}
        response = await client.request(method, QUARANTINE + path, headers=headers)
        assert response.status_code in ((404,) if path == "/999" else (200, 204))


async def test_the_admin_of_one_document(hub: Hub) -> None:
    """Who is admin of a document has its refused updates, and no others."""
    await refuse(hub, *typed_words("mine"), document="anns")
    await refuse(hub, *typed_words("not hers", client=8)[:1])
    headers = {"Authorization": "Bearer ann"}
    app = create_app(hub, authenticator=Tokens(), lifespan=False)
    async with asgi_client(app) as client:
        client.headers.update(headers)
        listed = (await client.get(f"{QUARANTINE}?document=anns")).json()["entries"]
        assert [entry["id"] for entry in listed] == [1]
        assert (await client.get(f"{QUARANTINE}/1")).status_code == 200
        is_problem(await client.get(f"{QUARANTINE}/2"), 403, "forbidden")
        is_problem(await client.get(QUARANTINE), 403, "forbidden")


async def test_a_hub_without_a_quarantine() -> None:
    """Where nothing is kept the list is empty, and nothing fails."""
    async with Hub(MemoryStore()) as hub:
        app = create_app(hub, authenticator=Tokens(), lifespan=False)
        async with asgi_client(app) as client:
            client.headers["Authorization"] = "Bearer root"
            body = (await client.get(QUARANTINE)).json()
            assert body == {"entries": [], "dropped": [], "next": None}
            is_problem(await client.get(f"{QUARANTINE}/1"), 404, "unknown-entry")
            assert (await client.delete(f"{QUARANTINE}?author=x")).json() == {"dropped": 0}
