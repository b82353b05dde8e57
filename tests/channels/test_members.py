"""Who gets into direct conversations and archives, by which way ever."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from crdtsync.access.service import Access
from crdtsync.auth import ConnectRequest, OpenAuthenticator
from crdtsync.channels.members import MembersAuthenticator, guard_members
from crdtsync.channels.names import direct_name
from crdtsync.channels.rules import ChannelRules
from crdtsync.channels.service import Channels
from crdtsync.config.model import Config
from crdtsync.errors import Forbidden, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.guard import MAX_DEATHS, Work
from crdtsync.guarding import DocumentGuard
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.service import Histories
from crdtsync.hub import Hub
from crdtsync.roles import ADMIN, BUILT_IN, COMMENT, READ, WRITE, Grants
from crdtsync.server.asgi import create_app
from crdtsync.server.assembly import assemble
from crdtsync.server.doors import Doors
from crdtsync.store.memory import MemoryStore
from tests.channels.people import come, person, presence_hub, settled
from tests.server.conftest import asgi_client
from tests.store.kit import rec

pytestmark = pytest.mark.anyio

RULES = ChannelRules(chat=("dm/*", "rooms/*"))
THEIRS = direct_name("ann", "bob")
ARCHIVE = "rooms/general/chat-archive/000001"
GRANTS = {
    "ann": {"*": "write"},
    "bob": {"dm/*": "comment", "rooms/general": "read"},
    "root": {"*": "admin"},
    "eve": {"rooms/general/*": "write"},
}


class Grantor:
    """Takes a name for its token, and goes by the table above."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def authenticate(self, request: ConnectRequest) -> Principal:
        self.asked.append(request.document)
        if request.token not in GRANTS:
            raise Unauthenticated("sign in first")
        grants = Grants(GRANTS[request.token])
        if not request.document:
            return Principal(id=request.token, grants=grants)
        role = grants.role(request.document, BUILT_IN)
        if role is None:
            raise Forbidden("no access")
        return Principal(id=request.token, role=role, read_only=role.reads_only, grants=grants)


async def ask(who: str, document: str, rules: ChannelRules = RULES) -> Principal:
    """Return whom somebody is let in as."""
    authenticator = guard_members(Grantor(), rules)
    return await authenticator.authenticate(ConnectRequest(document=document, token=who))


@pytest.mark.parametrize(
    ("who", "document", "expected"),
    [
        ("ann", THEIRS, WRITE),
        ("bob", THEIRS, COMMENT),
        ("root", THEIRS, None),
        ("eve", THEIRS, None),
        ("ann", direct_name("bob", "eve"), None),
        ("ann", "dm/bob/ann", None),  # not as the name has to be
        ("ann", "dm/ann", None),
        ("root", "dm/", None),
        ("ann", f"{THEIRS}/chat-archive/000001", "reads"),
        ("root", f"{THEIRS}/chat-archive/000001", None),
        ("ann", ARCHIVE, "reads"),
        ("bob", ARCHIVE, "reads"),
        ("root", ARCHIVE, "reads"),
        ("eve", ARCHIVE, None),  # what she was granted is not the room itself
        ("ann", "rooms/general", WRITE),
        ("ann", "elsewhere/chat-archive/000001", WRITE),  # there is no chat
    ],
)
async def test_who_gets_in(who: str, document: str, expected: Any) -> None:
    """A conversation is its members', an archive is read by whoever gets into its document."""
    if expected is None:
        with pytest.raises(Forbidden):
            await ask(who, document)
        return
    principal = await ask(who, document)
    assert principal.id == who
    if expected == "reads":
        assert principal.reads_only
        assert principal.role is not None
        assert not principal.role.restore
        assert not principal.role.shares
        assert principal.role.history == BUILT_IN[GRANTS[who].get("*", "read")].history
    else:
        assert principal.role == expected


async def test_only_where_there_is_a_chat() -> None:
    """Without a pattern that fits, a name is a name like any other."""
    assert (await ask("root", THEIRS, ChannelRules(chat=("rooms/*",)))).role == ADMIN
    inner = Grantor()
    assert guard_members(inner, ChannelRules(presence=("*",))) is inner
    once = guard_members(inner, RULES)
    assert guard_members(once, RULES) is once


async def test_nobody_anonymous_gets_in() -> None:
    """Where nobody is asked who he is, nobody is a member."""
    guarded = guard_members(OpenAuthenticator(), RULES)
    for name in (THEIRS, direct_name("guest-1", "guest-2")):
        with pytest.raises(Forbidden):
            await guarded.authenticate(ConnectRequest(document=name))
    assert (await guarded.authenticate(ConnectRequest(document="rooms/general"))).role is None
    archive = await guarded.authenticate(ConnectRequest(document=ARCHIVE))
    assert (archive.role, archive.read_only) == (READ, True)


async def test_an_archive_is_asked_for_as_its_document() -> None:
    """The authenticator behind hears of the document alone, and of each request once."""
    inner = Grantor()
    guarded = guard_members(inner, RULES)
    await guarded.authenticate(ConnectRequest(document=ARCHIVE, token="ann"))
    assert inner.asked == ["rooms/general"]


async def test_share_links() -> None:
    """A link opens a room's archives to read, and no conversation, were it made all the same."""
    async with Hub(MemoryStore(), channels=Channels(RULES)) as hub, Access(hub) as access:
        guarded = guard_members(access.wrap(Grantor()), RULES)
        made = await access.shares.create("rooms/general", "write")
        visitor = await guarded.authenticate(
            ConnectRequest(document=ARCHIVE, token=made.token, params={"name": "Vi"})
        )
        assert visitor.share
        assert visitor.reads_only
        made = await access.shares.create(THEIRS, "read")
        with pytest.raises(Forbidden):
            await guarded.authenticate(ConnectRequest(document=THEIRS, token=made.token))


@pytest.mark.parametrize(
    ("who", "allowed"), [("ann", True), ("bob", True), ("root", False), ("eve", False)]
)
async def test_http(who: str, allowed: bool) -> None:
    """By no route anybody else reads a conversation, or finds it in the list."""
    store = MemoryStore()
    history = Histories(store, HistoryDatabase(None))
    async with Hub(store, channels=Channels(RULES), history=history) as hub, Access(hub) as access:
        app = create_app(hub, authenticator=access.wrap(Grantor()), access=access, lifespan=False)
        await store.append([rec(THEIRS, 1, update=b"\x00\x00")])
        await store.append([rec("rooms/a", 1, update=b"\x00\x00")])
        async with asgi_client(app) as http:
            http.headers["authorization"] = f"Bearer {who}"
            await check_routes(http, allowed)


async def check_routes(http: httpx.AsyncClient, allowed: bool) -> None:
    """Ask everything that tells what a conversation holds."""
    name = THEIRS
    listed = (await http.get("/api/v1/documents")).json()["documents"]
    assert (name in [each["name"] for each in listed]) == allowed
    asked = [
        (f"/api/v1/documents/{name}", {}),
        (f"/api/v1/documents/{name}", {"format": "json"}),
        (f"/api/v1/documents/{name}", {"format": "update"}),
        ("/api/v1/versions", {"document": name}),
        ("/api/v1/history/activity", {"document": name}),
    ]
    for path, query in asked:
        found = await http.get(path, params=query)
        assert (found.status_code == 200) == allowed, (path, found.text)
        assert allowed or found.status_code == 403
    made = await http.post("/api/v1/shares", json={"document": name, "role": "read"})
    assert made.status_code == 403, "none of these may make links"


@pytest.mark.parametrize(
    ("who", "allowed"), [("ann", True), ("bob", True), ("root", False), ("eve", False)]
)
async def test_lists(who: str, allowed: bool, tmp_path: Path) -> None:
    """No list tells others of a conversation: neither who is in it, nor that it is quarantined."""
    rules = ChannelRules(chat=("dm/*",), presence=("dm/*",))
    async with presence_hub(rules=rules, guard=DocumentGuard(tmp_path)) as hub:
        await come(hub, person("ann"), THEIRS)
        await settled(hub, THEIRS)
        for _ in range(MAX_DEATHS):
            hub.guard.suspect(THEIRS, Work.INTEGRATING, 11)
        app = create_app(hub, authenticator=Grantor(), lifespan=False)
        async with asgi_client(app) as http:
            http.headers["authorization"] = f"Bearer {who}"
            found = await http.get("/api/v1/presence/people", params={"id": "ann"})
            assert [each["status"] for each in found.json()["people"]] == ["online"] * allowed
            found = await http.get("/api/v1/quarantined")
            assert [each["name"] for each in found.json()["documents"]] == [THEIRS] * allowed


async def test_no_links_are_made() -> None:
    """Who may make links makes none to a conversation."""

    class Owner(Grantor):
        async def authenticate(self, request: ConnectRequest) -> Principal:
            return replace(await super().authenticate(request), role=ADMIN)

    async with Hub(MemoryStore(), channels=Channels(RULES)) as hub, Access(hub) as access:
        app = create_app(hub, authenticator=access.wrap(Owner()), access=access, lifespan=False)
        async with asgi_client(app) as http:
            http.headers["authorization"] = "Bearer ann"
            made = await http.post("/api/v1/shares", json={"document": THEIRS, "role": "read"})
            assert (made.status_code, made.json()["code"]) == (422, "invalid-share")
            made = await http.post("/api/v1/shares", json={"document": "rooms/a", "role": "read"})
            assert made.status_code == 201


async def test_a_configured_server_has_it() -> None:
    """The parts that ``serve`` starts are assembled with it, for both transports."""
    parts = assemble(
        Config(chat=("dm/*",)), MemoryStore(), OpenAuthenticator(), Doors(), folder=None
    )
    assert isinstance(parts.authenticator, MembersAuthenticator)
    parts = assemble(Config(), MemoryStore(), OpenAuthenticator(), Doors(), folder=None)
    assert not isinstance(parts.authenticator, MembersAuthenticator)
