"""A fresh token on an open connection: what it changes, and when it is refused."""

from collections.abc import Awaitable, Callable

import anyio
import pytest

from crdtsync.auth import ConnectRequest
from crdtsync.clock import ManualClock
from crdtsync.encoding import read_var_string, read_var_uint
from crdtsync.errors import Forbidden, MalformedMessage, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.protocol import (
    TokenMessage,
    decode_frame,
    token_accepted_frame,
    token_frame,
    token_refused_frame,
)
from crdtsync.roles import READ, WRITE
from crdtsync.server.admission import readmission
from crdtsync.session import Session, TokenReceived
from crdtsync.store.memory import MemoryStore
from tests.unit.engine import Client, join, quick, settle, until

pytestmark = pytest.mark.anyio

SECRET = "s3cret-token"


class Clerk:
    """Looks at tokens when it is allowed to, and keeps what it was asked."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.asked: list[str] = []
        self.open = anyio.Event()
        self.open.set()

    async def __call__(self, token: str) -> Principal:
        self.asked.append(token)
        await self.open.wait()
        match token.split(":"):
            case [who, role, left_s]:
                end_s = self.clock.time_ms() / 1000 + float(left_s)
                return Principal(id=who, role={"read": READ, "write": WRITE}[role], expires_s=end_s)
            case ["none"]:
                raise Forbidden("you have no role here")
            case ["bug"]:
                raise KeyError(SECRET)
        raise Unauthenticated("the token is not valid")


@pytest.fixture
def clerk(clock: ManualClock) -> Clerk:
    return Clerk(clock)


def results(client: Client) -> list[tuple[bool, int | str]]:
    """Return the answers to tokens: taken and how long it lasts, or not and why."""
    found: list[tuple[bool, int | str]] = []
    for frame in client.link.frames:
        if frame[0] == 101:
            value = read_var_string(frame, 2) if frame[1] else read_var_uint(frame, 2)
            assert value[1] == len(frame)
            found.append((not frame[1], value[0]))
    return found


async def ann(hub: Hub, clerk: Callable[[str], Awaitable[Principal]], left_s: float = 60) -> Client:
    end_s = hub.clock.time_ms() / 1000 + left_s
    client = await join(hub, principal=Principal(id="ann", role=WRITE, expires_s=end_s))
    hub.sessions.renewable(client.connection, clerk)
    return client


async def hand_in(client: Client, token: str) -> tuple[bool, int | str]:
    """Hand in a token and wait for the answer."""
    before = len(results(client))
    client.say(token_frame(token))
    await until(lambda: len(results(client)) > before)
    return results(client)[-1]


def test_the_bytes() -> None:
    """The messages are what the page of the protocol says."""
    assert token_frame("abc") == b"\x64\x03abc"
    assert token_accepted_frame(3600) == b"\x65\x00\x90\x1c"
    assert token_refused_frame("no") == b"\x65\x01\x02no"
    assert decode_frame(b"\x64\x03abc") == [TokenMessage("abc")]
    with pytest.raises(MalformedMessage):
        decode_frame(b"\x64\x09abc")


def test_a_token_is_in_no_repr() -> None:
    """What is printed of a message or an event has no token in it."""
    (message,) = decode_frame(token_frame(SECRET))
    (event,) = Session(Limits()).receive(token_frame(SECRET))
    assert SECRET not in repr(message) + repr(event)
    assert event == TokenReceived(SECRET)


async def test_a_fresh_token_lasts(hub: Hub, clock: ManualClock, clerk: Clerk) -> None:
    """Who hands one in stays past the old one's end, up to the new one's, and is told how long."""
    client = await ann(hub, clerk)
    clock.advance(50)
    assert await hand_in(client, "ann:write:100") == (True, 100)
    clock.advance(99)
    await hub.sessions.sweep()
    assert not client.connection.closed
    clock.advance(1)
    await hub.sessions.sweep()
    assert (await client.gone())[0] == 4401


async def test_a_fresh_token_brings_its_role(hub: Hub, clerk: Clerk) -> None:
    """With the new token's role the next edit is judged."""
    client, other = await ann(hub, clerk), await join(hub)
    assert (await hand_in(client, "ann:read:100"))[0]
    client.type("no")
    await settle()
    assert client.denials == ["this document is read-only for you"]
    assert (await hand_in(client, "ann:write:100"))[0]
    assert client.connection.free
    other.type("x")
    await until(lambda: client.read() or "x" in str(client.text))


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("bob:write:100", "the token is somebody else's"),
        ("rubbish", "the token is not valid"),
        ("none", "you have no role here"),
        ("bug", "not possible at the moment"),
    ],
)
async def test_a_refused_token(
    hub: Hub, clock: ManualClock, clerk: Clerk, token: str, reason: str
) -> None:
    """It changes nothing: the old one stays, until it ends."""
    client = await ann(hub, clerk)
    was = client.connection.principal
    assert await hand_in(client, token) == (False, reason)
    assert client.connection.principal is was
    clock.advance(60)
    await hub.sessions.sweep()
    assert (await client.gone())[0] == 4401


async def test_a_revoked_one(hub: Hub, clerk: Clerk) -> None:
    """Who is revoked can't renew."""
    client = await ann(hub, clerk)
    hub.sessions.refuse_by(lambda *_: Unauthenticated("the token was revoked"))
    assert await hand_in(client, "ann:write:100") == (False, "the token was revoked")


async def test_one_at_a_time(hub: Hub, clerk: Clerk) -> None:
    """While one is looked at another isn't, and frames go on meanwhile."""
    client, other = await ann(hub, clerk), await join(hub)
    clerk.open = anyio.Event()
    client.say(token_frame("ann:write:100"))
    await until(lambda: clerk.asked)
    assert await hand_in(client, "ann:write:200") == (False, "another token is being looked at")
    client.type("typed meanwhile")
    await other.shows("typed meanwhile")
    clerk.open.set()
    await until(lambda: len(results(client)) == 2)
    assert results(client)[-1] == (True, 100)
    assert clerk.asked == ["ann:write:100"]


async def test_token_refreshes_per_minute(clock: ManualClock, clerk: Clerk) -> None:
    """Above the limit the authenticator isn't asked, until the minute is over."""
    async with Hub(MemoryStore(), limits=quick(token_refreshes_per_minute=3), clock=clock) as hub:
        client = await ann(hub, clerk, left_s=1000)
        for _ in range(3):
            assert (await hand_in(client, "ann:write:1000"))[0]
        told = await hand_in(client, "ann:write:1000")
        assert told == (False, "too many tokens: wait a minute")
        assert len(clerk.asked) == 3
        clock.advance(60)
        assert (await hand_in(client, "ann:write:1000"))[0]


async def test_a_flood_of_tokens(clock: ManualClock, clerk: Clerk) -> None:
    """Tokens above the limit count as messages that mean nothing: too many end it."""
    limits = quick(token_refreshes_per_minute=1, max_ignored_messages=5)
    async with Hub(MemoryStore(), limits=limits, clock=clock) as hub:
        client = await ann(hub, clerk)
        for _ in range(8):
            client.say(token_frame("ann:write:1000"))
        assert (await client.gone())[0] == 4429
        asked = len(clerk.asked)
        assert asked <= 1


async def test_a_flood_without_reading(hub: Hub, clerk: Clerk) -> None:
    """Who doesn't read piles up no refusals."""
    client = await ann(hub, clerk)
    client.say(token_frame("rubbish"))
    await until(lambda: results(client))
    client.block()
    for _ in range(200):
        client.say(token_frame("rubbish"))
    await settle()
    assert len(results(client)) <= hub.limits.token_refreshes_per_minute


async def test_max_token_bytes(clock: ManualClock, clerk: Clerk) -> None:
    """A token at the limit is looked at; a longer one closes the connection with 4413."""
    async with Hub(MemoryStore(), limits=quick(max_token_bytes=300), clock=clock) as hub:
        client = await ann(hub, clerk)
        assert not (await hand_in(client, "x" * 300))[0]
        client.say(token_frame("x" * 301))
        assert (await client.gone())[0] == 4413


async def test_who_has_none(hub: Hub, clerk: Clerk) -> None:
    """The anonymous, and visitors by a link, have no token to renew: told so, and nothing else."""
    for principal in (Principal(), Principal(id="share:x:y", share="x")):
        client = await join(hub, principal=principal)
        hub.sessions.renewable(client.connection, clerk)
        told = await hand_in(client, "ann:write:100")
        assert told == (False, "this connection has no token to renew")
        assert not client.connection.closed
    assert clerk.asked == []


async def test_gone_meanwhile(hub: Hub, clerk: Clerk) -> None:
    """Who went while a token was looked at is not brought back, and nothing breaks."""
    client = await ann(hub, clerk)
    clerk.open = anyio.Event()
    client.say(token_frame("ann:write:100"))
    await until(lambda: clerk.asked)
    client.connection.lost()
    clerk.open.set()
    await settle()
    assert results(client) == []
    assert hub.connections == 0


async def test_what_is_asked_again() -> None:
    """The authenticator gets the first request with the new token, and nothing of the old one."""
    asked: list[ConnectRequest] = []

    class Keeper:
        async def authenticate(self, request: ConnectRequest) -> Principal:
            asked.append(request)
            return Principal(id="ann")

    first = ConnectRequest(
        document="doc",
        token="old",
        params={"team": "blue"},
        headers={
            "authorization": "Bearer old",
            "sec-websocket-protocol": "crdtsync, token.old",
            "origin": "https://example.org",
        },
        address="192.0.2.1",
    )
    readmit = readmission(Keeper(), first)
    await readmit("new")
    (request,) = asked
    assert request.token == "new"
    assert (request.document, request.address) == ("doc", "192.0.2.1")
    assert (request.params, request.headers) == (first.params, {"origin": "https://example.org"})
