"""Share links and revocations over HTTP: who may, what comes back, and that it is as described."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from crdtsync.access.service import Access
from crdtsync.auth import ConnectRequest
from crdtsync.clock import ManualClock
from crdtsync.errors import Forbidden, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.roles import BUILT_IN, Role, Rule
from crdtsync.server.asgi import create_app
from crdtsync.server.bodies import MAX_BODY_BYTES
from tests.server.conftest import asgi_client, is_problem
from tests.unit.engine import Client

pytestmark = pytest.mark.anyio

SHARES = "/api/v1/shares"
REVOCATIONS = "/api/v1/revocations"
OWNER = Role(name="owner", write=(Rule(root="chat"),), shares=True)


class Accounts:
    """The token is the id, and the role's name."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        if request.document.startswith("closed"):
            raise Forbidden("this document is not yours")
        match request.token:
            case "":
                raise Unauthenticated("sign in first")
            case "owner":
                return Principal(id="owner", role=OWNER)
            case "reader":
                return Principal(id="reader", read_only=True)
            case "anybody":
                return Principal(id="anybody")
        return Principal(id=request.token, role=BUILT_IN[request.token])


@pytest.fixture
async def http(hub: Hub, access: Access) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(hub, authenticator=access.wrap(Accounts()), access=access, lifespan=False)
    async with asgi_client(app) as client:
        yield client


def as_(token: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {token}"}}


async def make(http: httpx.AsyncClient, token: str = "admin", **fields: Any) -> dict[str, Any]:
    body = {"document": "a/b", "role": "read"} | fields
    response = await http.post(SHARES, json=body, **as_(token))
    assert response.status_code == 201, response.text
    assert response.headers["cache-control"] == "no-store"
    return dict(response.json())


async def test_the_life_of_a_link(
    http: httpx.AsyncClient, hub: Hub, access: Access, clock: ManualClock
) -> None:
    """It is made, lets a visitor in, is listed with him, and revoked, which sends him away."""
    made = await make(
        http, label="for Bob", expires="2030-01-31T12:00:00+01:00", max_uses=3, password="pass"
    )
    assert made["path"] == f"/a%2Fb?token={made['token']}"
    assert (made["owner"], made["label"], made["state"]) == ("admin", "for Bob", "open")
    assert made["expires"] == "2030-01-31T11:00:00.000Z"
    assert made["password"] is True
    request = ConnectRequest(
        document="a/b", token=made["token"], params={"password": "pass", "name": "Bob"}
    )
    guest = Client(hub, "a/b", principal=await access.wrap(Accounts()).authenticate(request))
    url = f"{SHARES}/{made['id']}"
    found = (await http.get(url, **as_("admin"))).json()
    (visitor,) = found["visitors"]
    assert (visitor["name"], visitor["connections"]) == ("Bob", 1)
    assert found["uses"] == 1
    assert "token" not in found
    listed = (await http.get(SHARES, params={"document": "a/b"}, **as_("admin"))).json()
    assert listed == {"shares": [found], "next": None}
    assert (await http.delete(url, **as_("admin"))).status_code == 204
    assert guest.connection.closed
    assert (await http.get(url, **as_("admin"))).json()["state"] == "revoked"
    assert (await http.delete(url, **as_("admin"))).status_code == 204


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [
        ("", 401, "unauthenticated"),
        ("read", 403, "forbidden"),
        ("write", 403, "forbidden"),
        ("reader", 403, "forbidden"),
        ("anybody", 403, "forbidden"),
    ],
)
async def test_who_may_not(http: httpx.AsyncClient, token: str, status: int, code: str) -> None:
    """Without the right to manage links, or to administer, every route says no."""
    made = await make(http)
    options = as_(token) if token else {}
    for method, url, body in (
        ("GET", f"{SHARES}?document=a/b", None),
        ("GET", SHARES, None),
        ("POST", SHARES, {"document": "a/b", "role": "read"}),
        ("GET", f"{SHARES}/{made['id']}", None),
        ("DELETE", f"{SHARES}/{made['id']}", None),
        ("GET", REVOCATIONS, None),
        ("POST", REVOCATIONS, {"principal": "ann"}),
        ("DELETE", f"{REVOCATIONS}?principal=ann", None),
    ):
        is_problem(await http.request(method, url, json=body, **options), status, code)
    assert (await http.get(f"{SHARES}/{made['id']}", **as_("admin"))).json()["state"] == "open"
    assert (await http.get(REVOCATIONS, **as_("admin"))).json() == {"revocations": []}


async def test_an_owner_is_no_administrator(http: httpx.AsyncClient) -> None:
    """Who manages a document's links sees these, not all, and gives no more than its own role."""
    made = await make(http, "owner")
    assert made["owner"] == "owner"
    assert (await http.get(f"{SHARES}?document=a/b", **as_("owner"))).status_code == 200
    assert (await http.get(f"{SHARES}/{made['id']}", **as_("owner"))).status_code == 200
    is_problem(await http.get(SHARES, **as_("owner")), 403, "forbidden")
    is_problem(await http.get(REVOCATIONS, **as_("owner")), 403, "forbidden")
    is_problem(await http.post(REVOCATIONS, json={}, **as_("owner")), 403, "forbidden")
    for role in ("write", "comment"):
        body = {"document": "a/b", "role": role}
        is_problem(await http.post(SHARES, json=body, **as_("owner")), 403, "forbidden")
    closed = {"document": "closed/x", "role": "read"}
    is_problem(await http.post(SHARES, json=closed, **as_("owner")), 403, "forbidden")


async def test_a_visitor_manages_nothing(http: httpx.AsyncClient, access: Access) -> None:
    """A link's own token opens none of these routes, even if its role could."""
    made = await make(http, role="write")
    is_problem(await http.get(f"{SHARES}?document=a/b", **as_(made["token"])), 403, "forbidden")
    is_problem(await http.get(REVOCATIONS, **as_(made["token"])), 403, "forbidden")


async def test_pages(http: httpx.AsyncClient) -> None:
    """A long list comes in pages, each once and in order."""
    ids = sorted([(await make(http))["id"] for _ in range(5)])
    await make(http, document="other")
    found: list[str] = []
    url = f"{SHARES}?document=a/b&limit=2"
    while url:
        page = (await http.get(url, **as_("admin"))).json()
        found += [each["id"] for each in page["shares"]]
        url = page["next"]
    assert found == ids
    is_problem(await http.get(f"{SHARES}?limit=0", **as_("admin")), 400, "invalid-parameter")
    everything = (await http.get(SHARES, **as_("admin"))).json()["shares"]
    assert len(everything) == 6


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid-body"),
        (b"[]", 400, "invalid-body"),
        (b"{", 400, "invalid-body"),
        (b"[" * 100_000, 413, "body-too-large"),
        (b"[" * 60_000, 400, "invalid-body"),
        (b'{"document": "a"}', 400, "invalid-parameter"),
        (b'{"role": "read"}', 400, "invalid-parameter"),
        (b'{"document": "", "role": "read"}', 400, "invalid-parameter"),
        (b'{"document": "\\ud800", "role": "read"}', 400, "invalid-parameter"),
        (b'{"document": "a\\u0000", "role": "read"}', 400, "invalid-document-name"),
        (b'{"document": 1, "role": "read"}', 400, "invalid-parameter"),
        (b'{"document": "a", "role": "read", "x": 1}', 400, "invalid-parameter"),
        (b'{"document": "a", "role": "read", "max_uses": true}', 400, "invalid-parameter"),
        (b'{"document": "a", "role": "read", "max_uses": 0}', 422, "invalid-share"),
        (b'{"document": "a", "role": "read", "max_uses": 1e400}', 400, "invalid-parameter"),
        (b'{"document": "a", "role": "read", "expires": "soon"}', 400, "invalid-parameter"),
        (b'{"document": "a", "role": "read", "expires": 5}', 400, "invalid-parameter"),
        (b'{"document": "a", "role": "read", "expires": "2030-01-01"}', 400, "invalid-parameter"),
        (
            b'{"document": "a", "role": "read", "expires": "2001-01-01T00:00Z"}',
            422,
            "invalid-share",
        ),
        (b'{"document": "a", "role": "admin"}', 422, "invalid-share"),
        (b'{"document": "a", "role": "none"}', 422, "invalid-share"),
    ],
)
async def test_bodies_that_are_wrong(
    http: httpx.AsyncClient, body: bytes, status: int, code: str
) -> None:
    """Each is refused as a problem, and makes nothing."""
    is_problem(await http.post(SHARES, content=body, **as_("admin")), status, code)
    assert (await http.get(SHARES, **as_("admin"))).json()["shares"] == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b" " * (MAX_BODY_BYTES + 1), b"{}", b'{"document": "a\\u0000"}']
)
@pytest.mark.parametrize("url", [SHARES, REVOCATIONS])
async def test_who_asks_comes_before_what_is_wrong(
    http: httpx.AsyncClient, url: str, body: bytes
) -> None:
    """Whoever has no token is told that, whatever the body is; others, what is wrong with it."""
    is_problem(await http.post(url, content=body), 401, "unauthenticated")
    is_problem(await http.get(SHARES, params={"document": "\0"}), 401, "unauthenticated")
    response = await http.post(url, content=body, **as_("read"))
    assert response.status_code == (403 if url == REVOCATIONS else 413 if len(body) > 99 else 400)


async def test_names_in_a_sentence_stay(http: httpx.AsyncClient, access: Access) -> None:
    """What is wrong is told in a sentence, and roles in it by their names."""
    access.shares._roles = {**access.shares._roles, "Editor of Texts": OWNER}
    response = await http.post(SHARES, json={"document": "a", "role": "x"}, **as_("admin"))
    is_problem(response, 422, "invalid-share")
    detail = response.json()["detail"]
    assert detail.startswith("There is no role of this name")
    assert "Editor of Texts" in detail


async def test_the_largest_body(http: httpx.AsyncClient) -> None:
    """A body at the limit is read."""
    body = json.dumps({"document": "a", "role": "read"}).encode().ljust(MAX_BODY_BYTES)
    assert (await http.post(SHARES, content=body, **as_("admin"))).status_code == 201
    is_problem(await http.post(SHARES, content=body + b" ", **as_("admin")), 413, "body-too-large")


async def test_revocations(http: httpx.AsyncClient, hub: Hub, access: Access) -> None:
    """Somebody is revoked, which closes its connections, listed, and reinstated."""
    client = Client(hub, principal=Principal(id="an n/ü"))
    body = {"principal": "an n/ü", "until": "2999-01-01T00:00:00Z"}
    response = await http.post(REVOCATIONS, json=body, **as_("admin"))
    assert response.status_code == 201
    made = response.json()
    assert made.pop("closed") == 1
    assert client.connection.closed
    assert (await http.get(REVOCATIONS, **as_("admin"))).json() == {"revocations": [made]}
    assert (made["principal"], made["until"]) == ("an n/ü", "2999-01-01T00:00:00.000Z")
    url = f"{REVOCATIONS}?principal=an%20n%2F%C3%BC"
    assert (await http.delete(url, **as_("admin"))).status_code == 204
    is_problem(await http.delete(url, **as_("admin")), 404, "not-revoked")
    is_problem(await http.delete(REVOCATIONS, **as_("admin")), 404, "not-revoked")
    past = {"principal": "ann", "until": "2001-01-01T00:00:00Z"}
    is_problem(await http.post(REVOCATIONS, json=past, **as_("admin")), 422, "invalid-revocation")


async def test_an_unknown_link(http: httpx.AsyncClient) -> None:
    """There is none of this id, for who may ask; others learn nothing about ids."""
    made = await make(http)
    refusals = [await http.get(f"{SHARES}/{each}", **as_("read")) for each in ("0", made["id"])]
    assert refusals[0].content == refusals[1].content
    is_problem(refusals[0], 403, "forbidden")
    is_problem(await http.get(f"{SHARES}/0", **as_("admin")), 404, "unknown-share")
    is_problem(await http.get(f"{SHARES}/0"), 401, "unauthenticated")
