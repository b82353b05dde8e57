"""What somebody sees and may do over HTTP: its grants decide, and nothing else shows through."""

from collections.abc import Mapping
from pathlib import Path

import anyio
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdtsync.auth import ConnectRequest
from crdtsync.channels.rules import ChannelRules
from crdtsync.channels.service import Channels
from crdtsync.errors import Forbidden, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.guard import MAX_DEATHS, Work
from crdtsync.guarding import DocumentGuard
from crdtsync.hub import Hub
from crdtsync.roles import BUILT_IN, Grants
from crdtsync.server import permits
from crdtsync.server.asgi import create_app
from crdtsync.server.permits import BATCH, MAX_LOOKS, Cursors, Place, Sight
from crdtsync.store.base import DocumentInfo
from crdtsync.store.memory import MemoryStore
from tests.store.kit import rec

from .conftest import asgi_client, is_problem, sample

pytestmark = pytest.mark.anyio

DOCUMENTS = "/api/v1/documents"


class Granting:
    """Takes the token as a name, and gives it the role that its grants say."""

    def __init__(self, **people: Mapping[str, str]) -> None:
        self._people = people

    async def authenticate(self, request: ConnectRequest) -> Principal:
        if request.token not in self._people:
            raise Unauthenticated("sign in first")
        grants = Grants(self._people[request.token])
        role = grants.role(request.document, BUILT_IN)
        if request.document and role is None:
            raise Forbidden("you have no access to this document")
        return Principal(id=request.token, role=role, grants=grants)


def client_for(hub: Hub, token: str, **people: Mapping[str, str]) -> httpx.AsyncClient:
    """Return a client of the hub's application that shows a token."""
    client = asgi_client(create_app(hub, authenticator=Granting(**people), lifespan=False))
    client.headers["Authorization"] = f"Bearer {token}"
    return client


class Counting(MemoryStore):
    """A store that counts the names that it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    async def documents(
        self, *, prefix: str = "", after: str = "", limit: int = 1000
    ) -> list[DocumentInfo]:
        found = await super().documents(prefix=prefix, after=after, limit=limit)
        self.looks += len(found)
        return found

    async def info(self, document: str) -> DocumentInfo | None:
        self.looks += 1
        return await super().info(document)


async def walk(client: httpx.AsyncClient, url: str) -> tuple[list[str], list[httpx.Response]]:
    """Follow ``next`` to the end; return the names, and the pages."""
    names: list[str] = []
    pages: list[httpx.Response] = []
    following: str | None = url
    while following is not None:
        pages.append(await client.get(following))
        body = pages[-1].json()
        names += [entry["name"] for entry in body["documents"]]
        following = body["next"]
    return names, pages


async def test_the_list_shows_what_one_may_see(hub: Hub) -> None:
    """Exact names, patterns, exceptions to them, and roles that nobody defined."""
    names = ["a", "a/1", "a/2", "b", "team/minutes", "team/plan", "x/public", "y/private", "z"]
    await hub.store.append([rec(name, 1) for name in names])
    people = {
        "ann": {"team/*": "write", "team/minutes": "read", "a": "admin"},
        "bob": {"*/public": "read", "a*": "comment", "a/2": "nobody-defined-this"},
        "eve": {},
        "all": {"*": "read"},
    }
    seen = {
        "ann": ["a", "team/minutes", "team/plan"],
        "bob": ["a", "a/1", "x/public"],
        "eve": [],
        "all": names,
    }
    for person, wanted in seen.items():
        for limit in (1, 2, 100):
            async with client_for(hub, person, **people) as client:
                assert (await walk(client, f"{DOCUMENTS}?limit={limit}"))[0] == wanted
                found, _ = await walk(client, f"{DOCUMENTS}?limit={limit}&prefix=a")
                assert found == [name for name in wanted if name.startswith("a")]


WORDS = st.lists(st.sampled_from(["a", "b", "/", "\U0010ffff"]), max_size=4).map("".join)
PATTERNS = st.lists(st.sampled_from(["a", "b", "/", "*"]), min_size=1, max_size=4).map("".join)


@settings(deadline=None, max_examples=150)
@given(
    names=st.sets(WORDS.filter(bool), max_size=30),
    patterns=st.dictionaries(PATTERNS, st.sampled_from(["read", "admin", "unknown"]), max_size=5),
    prefix=WORDS,
    after=WORDS,
    limit=st.integers(1, 5),
    looks=st.integers(1, 60),
)
def test_paging_is_exact(
    names: set[str],
    patterns: dict[str, str],
    prefix: str,
    after: str,
    limit: int,
    looks: int,
) -> None:
    """Whatever is granted, page by page comes each document that may be seen, once, in order."""

    async def pages() -> list[str]:
        grants = Grants(patterns)
        found: list[str] = []
        async with MemoryStore() as store:
            await store.append([rec(name, 1) for name in names])
            place: Place | None = Place(after)
            while place is not None:
                sight = Sight(grants, BUILT_IN)
                page, place = await sight.search(store, prefix=prefix, place=place, limit=limit)
                assert len(page) <= limit
                found += [info.name for info in page]
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(permits, "MAX_LOOKS", looks)
        patch.setattr(permits, "BATCH", 3)
        found = anyio.run(pages)
    grants = Grants(patterns)
    assert found == sorted(
        name
        for name in names
        if name.startswith(prefix) and name > after and grants.role(name, BUILT_IN) is not None
    )


async def test_the_work_of_a_page_is_bounded(tmp_path: object) -> None:
    """Among many names that one may not see, a page stops, and its cursor tells none of them."""
    store = Counting()
    async with Hub(store) as hub:
        hidden = [f"hidden-{number:06}" for number in range(12_000)]
        await store.append([rec(name, 1) for name in [*hidden, "a/shown", "z/shown"]])
        async with client_for(hub, "ann", ann={"*/shown": "read"}) as client:
            names, pages = await walk(client, DOCUMENTS)
            assert names == ["a/shown", "z/shown"]
            assert len(pages) > 2
            assert store.looks <= len(pages) * (MAX_LOOKS + BATCH)
            cursors = [page.json()["next"] for page in pages[:-1]]
            for page in pages:
                assert "hidden" not in page.text
                assert "hidden" not in str(page.headers)
            assert len({len(cursor) for cursor in cursors}) == 1
            store.looks = 0
            again = await client.get(cursors[-1])
            assert again.json() == pages[-1].json()
            assert store.looks <= MAX_LOOKS + BATCH


async def test_patterns_say_where_to_look() -> None:
    """What others have costs nothing: the list is sought by what the patterns begin with."""
    store = Counting()
    async with Hub(store) as hub:
        others = [f"team-{number:05}/plan" for number in range(3_000)]
        await store.append([rec(name, 1) for name in [*others, "solo"]])
        async with client_for(hub, "ann", ann={"team-01500/*": "write", "solo": "read"}) as client:
            names, pages = await walk(client, DOCUMENTS)
        assert names == ["solo", "team-01500/plan"]
        assert len(pages) == 1
        assert store.looks <= 4


@pytest.mark.parametrize("cursor", ["", "x", "gAAAAA", "ü", "%00", "%FF", "a" * 5000])
async def test_a_foreign_cursor(hub: Hub, http: httpx.AsyncClient, cursor: str) -> None:
    """A cursor that this server has not written is refused, and not taken for a name."""
    is_problem(await http.get(f"{DOCUMENTS}?cursor={cursor}"), 404, "unknown-cursor")
    other = Cursors().write(Place("a", "b"))
    is_problem(await http.get(DOCUMENTS, params={"cursor": other}), 404, "unknown-cursor")


def test_cursors_tell_no_length() -> None:
    """A cursor is as long for every name that a document can have."""
    cursors = Cursors()
    written = [cursors.write(Place("x" * size, "")) for size in (0, 1, 100, 490)]
    assert len({len(each) for each in written}) == 1
    for place in (Place("a", "b"), Place("\U0010ffff" * 128, "ü"), Place("\x00\ud800")):
        assert cursors.read(cursors.write(place)) == place


# One document


ROUTES: dict[str, tuple[str, str]] = {
    "read": ("GET", f"{DOCUMENTS}/NAME?format=json"),
    "head": ("HEAD", f"{DOCUMENTS}/NAME"),
    "delete": ("DELETE", f"{DOCUMENTS}/NAME"),
    "quarantined": ("GET", "/api/v1/quarantined/NAME"),
    "release": ("DELETE", "/api/v1/quarantined/NAME"),
}
READERS = {"read": (200, 404), "head": (200, 404), "quarantined": (200, 404)}
EXPECTED: dict[str, dict[str, tuple[int, int]]] = {
    "stranger": dict.fromkeys(ROUTES, (401, 401)),
    "nobody": dict.fromkeys(ROUTES, (403, 403)),
    "misspelled": dict.fromkeys(ROUTES, (403, 403)),
    "elsewhere": dict.fromkeys(ROUTES, (403, 403)),
    "read": READERS | {"delete": (403, 403), "release": (403, 403)},
    "comment": READERS | {"delete": (403, 403), "release": (403, 403)},
    "write": READERS | {"delete": (403, 403), "release": (403, 403)},
    "admin": READERS | {"delete": (204, 404), "release": (204, 404)},
}
"""By person and route: the status where the document exists, and where it does not."""
PEOPLE: dict[str, Mapping[str, str]] = {
    "nobody": {},
    "misspelled": {"*": "raed"},
    "elsewhere": {"other": "admin", "other*": "admin"},
    **{role: {"*": role} for role in ("read", "comment", "write", "admin")},
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("person", EXPECTED)
async def test_who_may_do_what(hub: Hub, person: str, route: str) -> None:
    """Every role on every route, for a document that is there and for one that is not."""
    name = "bad" if route in ("quarantined", "release") else "good"
    await hub.edit("good", sample().get_update())
    await hub.edit("bad", sample().get_update())
    for _ in range(MAX_DEATHS):
        hub.guard.suspect("bad", Work.INTEGRATING, 11)
    method, path = ROUTES[route]
    async with client_for(hub, person, **PEOPLE) as client:
        present = await client.request(method, path.replace("NAME", name))
        absent = await client.request(method, path.replace("NAME", "absent"))
    assert (present.status_code, absent.status_code) == EXPECTED[person][route]
    if present.status_code in (401, 403):
        assert present.content == absent.content
        assert dict(present.headers) == dict(absent.headers)
        if method != "HEAD":
            code = "unauthenticated" if present.status_code == 401 else "forbidden"
            is_problem(present, present.status_code, code)
    gone = present.status_code == 204
    assert (await hub.store.info("good") is None) == (gone and route == "delete")
    assert (hub.guard.quarantined("bad") is None) == (gone and route == "release")


async def test_quarantined_documents_are_listed_for_who_may_see_them(hub: Hub) -> None:
    """The list of quarantined documents is filtered like the list of documents."""
    for name in ("a", "b"):
        for _ in range(MAX_DEATHS):
            hub.guard.suspect(name, Work.INTEGRATING, 11)
    for token, wanted in {"ann": ["a"], "bob": [], "all": ["a", "b"]}.items():
        people = {"ann": {"a": "read"}, "bob": {"c*": "admin"}, "all": {"*": "read"}}
        async with client_for(hub, token, **people) as client:
            body = (await client.get("/api/v1/quarantined")).json()
        assert [each["name"] for each in body["documents"]] == wanted


async def test_the_list_names_no_conversation_of_others(tmp_path: Path) -> None:
    """Of direct conversations that are quarantined only their members hear."""
    guard, channels = DocumentGuard(tmp_path), Channels(ChannelRules(chat=("*",)))
    async with Hub(MemoryStore(), guard=guard, channels=channels) as hub:
        for name in ("dm/ann/bob", "rooms/a"):
            for _ in range(MAX_DEATHS):
                hub.guard.suspect(name, Work.INTEGRATING, 11)
        for token, wanted in {"ann": ["dm/ann/bob", "rooms/a"], "eve": ["rooms/a"]}.items():
            people = {"ann": {"*": "read"}, "eve": {"*": "admin"}}
            async with client_for(hub, token, **people) as client:
                body = (await client.get("/api/v1/quarantined")).json()
            assert [each["name"] for each in body["documents"]] == wanted


async def test_without_roles_nobody_administers(hub: Hub, http: httpx.AsyncClient) -> None:
    """Where the authenticator gives no role, one may read, and delete or release nothing."""
    await hub.edit("d", sample().get_update())
    assert (await http.get(f"{DOCUMENTS}/d")).status_code == 200
    is_problem(await http.delete(f"{DOCUMENTS}/d"), 403, "forbidden")
    is_problem(await http.delete("/api/v1/quarantined/d"), 403, "forbidden")
    assert await hub.store.info("d") is not None


@pytest.mark.parametrize(
    ("token", "path", "challenge"),
    [
        ("", DOCUMENTS, "Bearer"),
        ("wrong", DOCUMENTS, 'Bearer error="invalid_token"'),
        ("ann", f"{DOCUMENTS}/x", 'Bearer error="insufficient_scope"'),
    ],
)
@pytest.mark.parametrize("way", ["header", "query"])
async def test_the_challenge(hub: Hub, token: str, path: str, challenge: str, way: str) -> None:
    """A refusal names the scheme, and what is wrong with the token where there is one."""
    async with client_for(hub, token, ann={}) as client:
        if way == "query":
            del client.headers["Authorization"]
            path += f"?token={token}"
        response = await client.get(path)
    assert response.headers["WWW-Authenticate"] == challenge
    assert response.headers["Cache-Control"] == "no-store"
    assert token not in response.text or not token


async def test_several_tokens(hub: Hub) -> None:
    """Two tokens that differ are nobody's, and the answer says that it is the request's fault."""
    async with client_for(hub, "ann", ann={"*": "admin"}) as client:
        response = await client.get(f"{DOCUMENTS}?token=other")
    is_problem(response, 401, "unauthenticated")
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_request"'


# Deleting


async def test_a_deleted_document_is_gone_for_everybody(hub: Hub) -> None:
    """It can't be read any more, is not listed, and its name may be used again, from the start."""
    await hub.edit("d", sample().get_update())
    async with client_for(hub, "ann", ann={"*": "admin"}) as client:
        response = await client.delete(f"{DOCUMENTS}/d")
        assert (response.status_code, response.content) == (204, b"")
        is_problem(await client.get(f"{DOCUMENTS}/d"), 404, "unknown-document")
        is_problem(await client.delete(f"{DOCUMENTS}/d"), 404, "unknown-document")
        assert (await client.get(DOCUMENTS)).json()["documents"] == []
    assert await hub.edit("d", sample().get_update()) == 1


async def test_a_quarantined_document_may_be_deleted(hub: Hub) -> None:
    """Deleting touches no content, so it works; the name stays quarantined until it is released."""
    await hub.store.append([rec("d", 1)])
    for _ in range(MAX_DEATHS):
        hub.guard.suspect("d", Work.INTEGRATING, 11)
    async with client_for(hub, "ann", ann={"*": "admin"}) as client:
        assert (await client.delete(f"{DOCUMENTS}/d")).status_code == 204
        assert (await client.get("/api/v1/quarantined/d")).status_code == 200
        assert (await client.delete("/api/v1/quarantined/d")).status_code == 204
    assert await hub.edit("d", sample().get_update()) == 1
