"""Versions over HTTP: listed in pages, made, named, removed; for whom, and what is wrong."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from crdtsync.access.service import Access
from crdtsync.audit import NO_AUDIT, Event, What
from crdtsync.auth import ConnectRequest
from crdtsync.errors import Forbidden, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.history.model import HistoryDamaged, HistoryOff
from crdtsync.history.words import MAX_LABEL, MAX_NOTE
from crdtsync.hub import Hub
from crdtsync.roles import ADMIN, EVERYTHING, READ, WRITE, Role
from crdtsync.server.asgi import create_app
from crdtsync.server.bodies import MAX_BODY_BYTES

from .conftest import asgi_client, is_problem, sample
from .histories import MadeUp, plant

pytestmark = pytest.mark.anyio

VERSIONS = "/api/v1/versions"
HISTORY = "/api/v1/history"
DOC = {"document": "doc"}
ROLES = {
    "reader": READ,
    "writer": WRITE,
    "admin": ADMIN,
    "blind": Role(name="blind", write=EVERYTHING, history=False, admin=False),
    "adder": Role(name="adder", write=EVERYTHING),
}


class OwnDocument:
    """The token is a role in ``doc``; in ``other`` nobody has one, but ``plain``."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        if request.token == "plain":
            return Principal(id="ann", name="Ann")
        role = ROLES.get(request.token)
        if role is None:
            raise Unauthenticated("sign in first")
        if request.document != "doc":
            raise Forbidden("you have no access to this document")
        return Principal(id="ann", name="Ann", role=role, read_only=role.reads_only)


@pytest.fixture
def history() -> MadeUp:
    """Version 1 and 3 are of ``doc``, version 2 is of ``other``."""
    made = MadeUp(doc=["one", "two", "three"], other=["else"])
    made.add("doc", 1)
    made.add("other", 1)
    made.add("doc", 2, kind="auto", label="")
    return made


@pytest.fixture
async def access(hub: Hub) -> AsyncIterator[Access]:
    """Share links."""
    async with Access(hub) as access:
        yield access


@pytest.fixture
async def http(
    hub: Hub, access: Access, history: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    """A client who may write."""
    plant(monkeypatch, history)
    for name in ("doc", "other"):
        await hub.edit(name, sample().get_update(), Principal())
    app = create_app(hub, authenticator=access.wrap(OwnDocument()), access=access, lifespan=False)
    async with asgi_client(app) as client:
        client.headers["Authorization"] = "Bearer writer"
        yield client


def as_(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What is written into the audit log of what is done."""
    found: list[Event] = []
    monkeypatch.setattr(NO_AUDIT, "record", found.append)
    return found


async def test_versions_are_listed(http: httpx.AsyncClient) -> None:
    """The newest first, each with all that is known of it."""
    answer = await http.get(VERSIONS, params=DOC)
    assert answer.headers["cache-control"] == "private, no-store"
    body = answer.json()
    assert [each["id"] for each in body["versions"]] == [3, 1]
    assert body["next"] is None
    assert "link" not in answer.headers
    assert body["versions"][1] == {
        "id": 1,
        "document": "doc",
        "sequence": 1,
        "time": "2026-01-01T01:00:00.000Z",
        "kind": "named",
        "label": "Version 1",
        "note": "",
        "author": "ada",
        "author_name": "Ada",
    }
    only = (await http.get(VERSIONS, params=DOC | {"kind": "auto"})).json()
    assert [each["id"] for each in only["versions"]] == [3]
    assert (await http.get(f"{VERSIONS}/1")).json() == body["versions"][1]


@pytest.mark.parametrize("root_path", ["", "/über uns"])
async def test_ten_thousand_versions(
    hub: Hub, http: httpx.AsyncClient, history: MadeUp, root_path: str
) -> None:
    """Following ``next`` from page to page, each version comes once, in order."""
    for _ in range(10_000 - 2):
        history.add("doc", 2)
    app = create_app(hub, lifespan=False)

    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        path, raw = scope["path"], scope["raw_path"]
        scope |= {"root_path": root_path}
        if root_path and not path.startswith(root_path):
            scope |= {"path": root_path + path, "raw_path": root_path.encode() + raw}
        await app(scope, receive, send)

    ids: list[int] = []
    url: str | None = f"{VERSIONS}?document=doc&limit=1000"
    async with asgi_client(mounted) as client:
        while url is not None:
            answer = await client.get(url)
            body = answer.json()
            ids += [each["id"] for each in body["versions"]]
            url = body["next"]
            assert answer.headers.get("link") == (f'<{url}>; rel="next"' if url else None)
    assert len(ids) == 10_000
    assert ids == sorted(ids, reverse=True)


async def test_a_page_keeps_its_filter(http: httpx.AsyncClient, history: MadeUp) -> None:
    """The next page is of the same kind, and of the same document, whatever its name."""
    history.add("doc", 2, kind="auto")
    page = (await http.get(VERSIONS, params=DOC | {"kind": "auto", "limit": "1"})).json()
    rest = (await http.get(page["next"])).json()
    assert [each["id"] for each in page["versions"] + rest["versions"]] == [4, 3]
    assert rest["next"] is None


async def test_a_version_is_made(http: httpx.AsyncClient, history: MadeUp) -> None:
    """It is of the present moment, its author is who asks, and the answer says where it is."""
    answer = await http.post(VERSIONS, json=DOC | {"label": "As agreed", "note": "by all"})
    assert answer.status_code == 201
    made = answer.json()
    assert (made["id"], made["sequence"], made["kind"]) == (4, 3, "named")
    assert (made["label"], made["note"]) == ("As agreed", "by all")
    assert (made["author"], made["author_name"]) == ("ann", "Ann")
    assert answer.headers["location"] == f"{VERSIONS}/4"
    assert (await http.get(answer.headers["location"])).json() == made


async def test_a_version_is_renamed(http: httpx.AsyncClient) -> None:
    """What is given is changed, and nothing else; a note may be emptied."""
    assert (await http.patch(f"{VERSIONS}/1", json={"note": "x"})).json()["label"] == "Version 1"
    renamed = (await http.patch(f"{VERSIONS}/1", json={"label": "new"})).json()
    assert (renamed["label"], renamed["note"]) == ("new", "x")
    assert (await http.patch(f"{VERSIONS}/1", json={"note": ""})).json()["note"] == ""


async def test_a_version_is_removed(http: httpx.AsyncClient, events: list[Event]) -> None:
    """By an administrator, and it stands in the audit log."""
    assert (await http.delete(f"{VERSIONS}/1", headers=as_("admin"))).status_code == 204
    (event,) = [each for each in events if each.what is What.ADMIN]
    assert (event.document, event.principal) == ("doc", "ann")
    assert event.detail == {"action": "version-removed", "id": 1, "sequence": 1}
    assert event.caller.address == "127.0.0.1"
    is_problem(await http.get(f"{VERSIONS}/1", headers=as_("plain")), 404, "unknown-version")


# Who may

MAY: dict[str, set[str]] = {
    "list": {"reader", "writer", "admin", "adder", "plain"},
    "show": {"reader", "writer", "admin", "adder", "plain"},
    "create": {"writer", "admin", "adder", "plain"},
    "rename": {"writer", "admin", "adder", "plain"},
    "remove": {"admin"},
}
REQUESTS: dict[str, tuple[str, str, Any]] = {
    "list": ("GET", f"{VERSIONS}?document=doc", None),
    "show": ("GET", f"{VERSIONS}/1", None),
    "create": ("POST", VERSIONS, DOC | {"label": "x"}),
    "rename": ("PATCH", f"{VERSIONS}/1", {"label": "x"}),
    "remove": ("DELETE", f"{VERSIONS}/1", None),
}


@pytest.mark.parametrize("token", [*ROLES, "plain", ""])
@pytest.mark.parametrize("what", REQUESTS)
async def test_who_may(http: httpx.AsyncClient, history: MadeUp, what: str, token: str) -> None:
    """Each operation, by each role: it is done, or nothing is."""
    method, url, body = REQUESTS[what]
    before = dict(history.kept)
    answer = await http.request(method, url, json=body, headers=as_(token))
    if token in MAY[what]:
        assert answer.is_success
    else:
        if token:
            is_problem(answer, 403, "forbidden")
        else:
            is_problem(answer, 401, "unauthenticated")
        assert history.kept == before


@pytest.mark.parametrize("role", ["read", "comment", "write"])
async def test_visitors_by_a_share_link(
    http: httpx.AsyncClient, access: Access, history: MadeUp, role: str
) -> None:
    """A visitor has the link's role: reads, and restores where it writes; administers nothing."""
    token = as_((await access.shares.create("doc", role)).token)
    assert (await http.get(VERSIONS, params=DOC, headers=token)).status_code == 200
    assert (await http.get(f"{VERSIONS}/1", headers=token)).status_code == 200
    for what in ("content", "blame", "activity", "diff"):
        answer = await http.get(f"{HISTORY}/{what}", params=DOC | {"from": "s1"}, headers=token)
        assert answer.status_code == 200
    is_problem(await http.get(f"{VERSIONS}/2", headers=token), 403, "forbidden")
    is_problem(await http.get(VERSIONS, params={"document": "other"}, headers=token), 403,
               "forbidden")  # fmt: skip
    is_problem(await http.delete(f"{VERSIONS}/1", headers=token), 403, "forbidden")
    named = await http.post(VERSIONS, json=DOC | {"label": "x"}, headers=token)
    assert named.status_code == (403 if role == "read" else 201)
    back = await http.post(f"{HISTORY}/restore", json=DOC | {"at": "s1"}, headers=token)
    assert back.status_code == (200 if role == "write" else 403)
    body = DOC | {"author": "ada", "since": "s1"}
    undone = await http.post(f"{HISTORY}/undo", json=body, headers=token)
    assert undone.status_code == back.status_code


@pytest.mark.parametrize("what", ["show", "rename", "remove"])
async def test_ids_tell_nothing(http: httpx.AsyncClient, what: str) -> None:
    """A version of a document that is not one's own, and none at all: the same answer."""
    method, _, body = REQUESTS[what]
    for token in ("writer", "admin"):
        foreign, none = [
            await http.request(method, f"{VERSIONS}/{id}", json=body, headers=as_(token))
            for id in (2, 99)
        ]
        is_problem(foreign, 403, "forbidden")
        assert (foreign.status_code, foreign.text) == (none.status_code, none.text)


@pytest.mark.parametrize("id", ["99", "0", "-1", "x", "1.0", "9" * 30, "%C3%BC", "\u0661"])
async def test_ids_that_there_are_not(http: httpx.AsyncClient, id: str) -> None:
    """To who has no role, and so may read all, an id without a version is a 404."""
    for method, body in (("GET", None), ("PATCH", {"label": "x"})):
        answer = await http.request(method, f"{VERSIONS}/{id}", json=body, headers=as_("plain"))
        is_problem(answer, 404, "unknown-version")


# Bad input


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({}, 400, "invalid-parameter"),
        ({"document": ""}, 400, "invalid-document-name"),
        ({"document": "nothing"}, 404, "unknown-document"),
        (DOC | {"limit": "0"}, 400, "invalid-parameter"),
        (DOC | {"limit": "1001"}, 400, "invalid-parameter"),
        (DOC | {"before": "-1"}, 400, "invalid-parameter"),
        (DOC | {"before": "v3"}, 400, "invalid-parameter"),
        (DOC | {"before": str(1 << 63)}, 400, "invalid-parameter"),
        (DOC | {"kind": "mine"}, 400, "invalid-parameter"),
    ],
)
async def test_wrong_lists(
    http: httpx.AsyncClient, params: dict[str, str], status: int, code: str
) -> None:
    """What is no list of versions."""
    answer = await http.get(VERSIONS, params=params, headers=as_("plain"))
    is_problem(answer, status, code)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"label": "x"}, 400, "invalid-parameter"),
        (DOC, 400, "invalid-parameter"),
        (DOC | {"label": ""}, 400, "invalid-parameter"),
        (DOC | {"label": 7}, 400, "invalid-parameter"),
        (DOC | {"label": "x", "kind": "auto"}, 400, "invalid-parameter"),
        (DOC | {"label": "x", "author": "eve"}, 400, "invalid-parameter"),
        (DOC | {"label": " \n"}, 422, "invalid-version"),
        (DOC | {"label": "x" * (MAX_LABEL + 1)}, 422, "invalid-version"),
        (DOC | {"label": "x", "note": "x" * (MAX_NOTE + 1)}, 422, "invalid-version"),
        ({"document": "nothing", "label": "x"}, 404, "unknown-document"),
        ([], 400, "invalid-body"),
        (DOC | {"label": "x" * MAX_BODY_BYTES}, 413, "body-too-large"),
    ],
)
async def test_versions_that_can_not_be_made(
    http: httpx.AsyncClient, history: MadeUp, body: Any, status: int, code: str
) -> None:
    """Bodies that are wrong: nothing is made."""
    is_problem(await http.post(VERSIONS, json=body, headers=as_("plain")), status, code)
    assert len(history.kept) == 3


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "invalid-parameter"),
        ({"label": "x", "note": None}, 400, "invalid-parameter"),
        ({"label": 1}, 400, "invalid-parameter"),
        ({"sequence": 1}, 400, "invalid-parameter"),
        ({"label": ""}, 422, "invalid-version"),
        ({"note": "x" * (MAX_NOTE + 1)}, 422, "invalid-version"),
        ({"label": "x" * MAX_BODY_BYTES}, 413, "body-too-large"),
    ],
)
async def test_names_that_can_not_be_given(
    http: httpx.AsyncClient, history: MadeUp, body: Any, status: int, code: str
) -> None:
    """Bodies that are wrong: the version stays as it is."""
    before = dict(history.kept)
    is_problem(await http.patch(f"{VERSIONS}/1", json=body), status, code)
    assert history.kept == before


async def test_words_at_their_limit(http: httpx.AsyncClient) -> None:
    """The longest words there may be are taken."""
    words = {"label": "ü" * MAX_LABEL, "note": "ü" * MAX_NOTE}
    made = await http.post(VERSIONS, json=DOC | words)
    assert made.status_code == 201
    assert (await http.patch(f"{VERSIONS}/1", json=words)).json()["note"] == words["note"]


async def test_strangers_are_sent_away_before_their_body_is_read(http: httpx.AsyncClient) -> None:
    """Who comes without a token is told so, whatever it sends."""
    for method, url in (("POST", VERSIONS), ("PATCH", f"{VERSIONS}/1")):
        for data in (b"x" * (MAX_BODY_BYTES + 1), b"{", b""):
            answer = await http.request(method, url, content=data, headers=as_(""))
            is_problem(answer, 401, "unauthenticated")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(HistoryOff("x"), 404, "history-off"), (HistoryDamaged("x"), 500, "history-damaged")],
)
async def test_a_history_that_fails(
    http: httpx.AsyncClient, history: MadeUp, error: Any, status: int, code: str
) -> None:
    """Without a history, or with a damaged one, each route says so."""
    history.error = error
    for what in ("list", "show", "create", "rename", "remove"):
        method, url, body = REQUESTS[what]
        answer = await http.request(method, url, json=body, headers=as_("admin"))
        is_problem(answer, status, code)
        answer = await http.request(method, url, json=body, headers=as_(""))
        is_problem(answer, 401, "unauthenticated")
