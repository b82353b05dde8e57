"""Presence over HTTP: who is in a document, and of whom one may hear."""

from collections import Counter
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import httpx
import pytest

from crdtsync.auth import ConnectRequest
from crdtsync.channels.rules import ChannelRules
from crdtsync.clock import ManualClock
from crdtsync.errors import Forbidden, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.roles import ADMIN, BUILT_IN, Grants
from crdtsync.server import rest_presence
from crdtsync.server.asgi import create_app
from crdtsync.server.rest_presence import MAX_PEOPLE
from crdtsync.store.base import Damage, Loaded
from tests.channels.people import GRACE_S, come, person, presence_hub, settled
from tests.unit.engine import TestStore

from .conftest import asgi_client, is_problem
from .schemas import violations

pytestmark = pytest.mark.anyio

PRESENCE = "/api/v1/presence"
NAME = '<b onclick="x()">Ada</b>'


class Tokens:
    """``root`` administers everything, ``ann`` reads what begins with ``anns``."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        match request.token:
            case "root":
                return Principal(id="root", role=ADMIN, grants=Grants({"*": "admin"}))
            case "ann":
                grants = Grants({"anns*": "read"})
                role = grants.role(request.document, BUILT_IN)
                if request.document and role is None:
                    raise Forbidden("no role")
                return Principal(id="ann", role=role, grants=grants)
            case "visitor":
                return Principal(id="share:1:2", role=BUILT_IN["read"], share="1")
        raise Unauthenticated("sign in first")


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    """A hub that keeps presence in all documents but one."""
    rules = ChannelRules(presence=("a*", "b*", "dam*"))
    store = TestStore()
    async with presence_hub(store, rules=rules, clock=ManualClock()) as hub:
        yield hub


@pytest.fixture
async def http(hub: Hub) -> AsyncIterator[httpx.AsyncClient]:
    """A client who administers."""
    async with asgi_client(create_app(hub, authenticator=Tokens(), lifespan=False)) as client:
        client.headers["Authorization"] = "Bearer root"
        yield client


def as_(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def described(http: httpx.AsyncClient, path: str, body: object) -> None:
    """Check an answer by the description."""
    api = (await http.get("/api/v1/openapi.json")).json()
    schema = api["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert list(violations(body, schema, api)) == []


async def test_others_have_their_turn(
    hub: Hub, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has been in many documents, the loop is free while they are looked at."""
    for number in range(10):
        await come(hub, person("ada", NAME), f"anns-{number}")
    looks: list[int] = []
    turns = 0

    def members_only(*_: object) -> bool:
        looks.append(turns)
        return False

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(rest_presence, "LOOKS", 3)
    monkeypatch.setattr(rest_presence, "admits_only_members", members_only)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(others)
        answer = await http.get(f"{PRESENCE}/people?id=ada")
        tasks.cancel_scope.cancel()
    assert [each["id"] for each in answer.json()["people"]] == ["ada"]
    assert len(looks) == 10
    assert max(Counter(looks).values()) <= 6  # trio may let one go twice before another


async def test_who_is_in_a_document(hub: Hub, http: httpx.AsyncClient) -> None:
    """The people there, in which role, and how many connections there are; names are data."""
    clock = hub.clock
    assert isinstance(clock, ManualClock)
    await come(hub, person("ada", NAME, role="admin"), "anns")
    ben = await come(hub, person("ben", role="read"), "anns")
    await come(hub, "", "anns")
    await settled(hub, "anns")
    ben.connection.lost()
    clock.advance(GRACE_S)
    await settled(hub, "anns")
    answer = await http.get(PRESENCE, params={"document": "anns"})
    assert answer.status_code == 200
    start_ms = clock.time_ms() - 1000 * int(GRACE_S)
    assert answer.json() == {
        "document": "anns",
        "online": 1,
        "connections": 2,
        "viewers": 0,
        "owners_online": ["ada"],
        "known": 2,
        "people": [
            {
                "id": "ada",
                "status": "online",
                "name": NAME,
                "color": "",
                "last_seen": start_ms,
                "connections": 1,
                "role": "admin",
                "read_only": False,
            },
            {
                "id": "ben",
                "status": "offline",
                "name": "Ben",
                "color": "",
                "last_seen": start_ms,
                "connections": 0,
                "role": None,
                "read_only": False,
            },
        ],
    }
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    await described(http, PRESENCE, answer.json())
    tag = {"If-None-Match": answer.headers["etag"]}
    again = await http.get(PRESENCE, params={"document": "anns"}, headers=tag)
    assert (again.status_code, again.content) == (304, b"")
    page = await http.get(PRESENCE, params={"document": "anns", "limit": 1})
    assert ([each["id"] for each in page.json()["people"]], page.json()["known"]) == (["ada"], 2)
    await come(hub, "cora", "anns")
    changed = await http.get(PRESENCE, params={"document": "anns"}, headers=tag)
    assert changed.status_code == 200


async def test_a_document_that_nobody_has_open(hub: Hub, http: httpx.AsyncClient) -> None:
    """It is read from the store, and let go of again."""
    ada = await come(hub, "ada", "anns")
    await settled(hub, "anns")
    ada.connection.lost()
    assert isinstance(hub.clock, ManualClock)
    hub.clock.advance(GRACE_S)
    await settled(hub, "anns")
    hub.rooms.pop("anns")
    answer = await http.get(PRESENCE, params={"document": "anns"}, headers=as_("ann"))
    assert [(each["id"], each["status"]) for each in answer.json()["people"]] == [
        ("ada", "offline")
    ]


async def test_what_is_not_to_be_had(hub: Hub, http: httpx.AsyncClient) -> None:
    """Each refusal is a problem of its own, and who may not read a document learns nothing."""
    is_problem(await http.get(PRESENCE), 400, "invalid-document-name")
    is_problem(await http.get(PRESENCE, params={"document": "off"}), 404, "presence-off")
    is_problem(await http.get(PRESENCE, params={"document": "anew"}), 404, "unknown-document")
    wrong = {"document": "anns", "limit": "0"}
    is_problem(await http.get(PRESENCE, params=wrong), 400, "invalid-parameter")
    await come(hub, "ben", "bens")
    for name in ("bens", "off", "anew", "b-none"):
        answer = await http.get(PRESENCE, params={"document": name}, headers=as_("ann"))
        is_problem(answer, 403, "forbidden")
    stranger = await http.get(PRESENCE, params={"document": "anns"}, headers=as_("x"))
    is_problem(stranger, 401, "unauthenticated")
    assert set(hub.rooms) == {"bens"}


async def test_conversations_of_others_tell_nothing() -> None:
    """Who is in a direct conversation hears of it in a contact list, and nobody else does."""
    rules = ChannelRules(chat=("*",), presence=("*",))
    async with presence_hub(rules=rules) as hub:
        await come(hub, "ada", "dm/ada/ann")
        await settled(hub, "dm/ada/ann")

        class Everybody:
            async def authenticate(self, request: ConnectRequest) -> Principal:
                return Principal(id=request.token, grants=Grants({"*": "admin"}), role=ADMIN)

        app = create_app(hub, authenticator=Everybody(), lifespan=False)
        async with asgi_client(app) as http:
            for who, told in (("ann", ["ada"]), ("eve", [])):
                answer = await http.get(f"{PRESENCE}/people?id=ada", headers=as_(who))
                assert [each["id"] for each in answer.json()["people"]] == told


async def test_a_damaged_document(hub: Hub, http: httpx.AsyncClient) -> None:
    """Nobody keeps presence there."""
    assert isinstance(hub.store, TestStore)
    hub.store.damaged = Loaded(None, (), Damage("damaged", 1, "bad checksum"))
    await come(hub, "ada", "damaged")
    is_problem(await http.get(PRESENCE, params={"document": "damaged"}), 404, "presence-off")


async def test_a_contact_list(hub: Hub, http: httpx.AsyncClient) -> None:
    """Of people one hears what stands in documents that one may read."""
    ada = await come(hub, "ada", "anns")
    await come(hub, "ada", "bens")
    await come(hub, "ben", "bens")
    ada.own("ada", {"status": "away"})
    for name in ("anns", "bens"):
        await settled(hub, name)
    path = f"{PRESENCE}/people"
    query = {"id": ["ben", "nobody", "ada", "ada"]}
    answer = await http.get(path, params=query)
    time_ms = hub.clock.time_ms()
    assert answer.json() == {
        "people": [
            {"id": "ben", "status": "online", "name": "Ben", "last_seen": time_ms},
            {"id": "ada", "status": "online", "name": "Ada", "last_seen": time_ms},
        ]
    }
    await described(http, path, answer.json())
    tag = {"If-None-Match": answer.headers["etag"]}
    assert (await http.get(path, params=query, headers=tag)).status_code == 304
    ann = await http.get(path, params=query, headers=as_("ann"))
    assert [(each["id"], each["status"]) for each in ann.json()["people"]] == [("ada", "away")]
    visitor = await http.get(path, params=query, headers=as_("visitor"))
    assert visitor.json() == {"people": []}
    for ids in ([], ["x"] * (MAX_PEOPLE + 1), ["a", ""]):
        is_problem(await http.get(path, params={"id": ids}), 400, "invalid-parameter")
    is_problem(await http.get(path, params=query, headers=as_("x")), 401, "unauthenticated")
