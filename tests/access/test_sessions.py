"""Connections in time: they end when their proof does, and take another role at once."""

import gc
import math
import weakref
from dataclasses import replace

import pytest

from crdtsync.access.sessions import MIN_ENDS
from crdtsync.clock import ManualClock
from crdtsync.connection import Connection
from crdtsync.errors import Unauthenticated
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.roles import READ, WRITE, Role
from tests.unit.engine import Client, join, settle, until

pytestmark = pytest.mark.anyio


def now_s(clock: ManualClock) -> float:
    return clock.time_ms() / 1000


def ann(clock: ManualClock, left_s: float, **fields: object) -> Principal:
    return Principal(id="ann", expires_s=now_s(clock) + left_s, **fields)  # type: ignore[arg-type]


async def test_an_expired_principal_is_sent_away(hub: Hub, clock: ManualClock) -> None:
    """At the second at which the proof ends the connection is closed with 4401, not before."""
    client = await join(hub, principal=ann(clock, 60))
    lasting = await join(hub, principal=Principal(id="bob"))
    clock.advance(59.9)
    await hub.sessions.sweep()
    assert not client.connection.closed
    clock.advance(0.1)
    await hub.sessions.sweep()
    assert await client.gone() == (4401, "the token has expired")
    assert client.denials == ["the token has expired"]
    assert not lasting.connection.closed
    assert hub.stats.rejected["unauthenticated"] == 1


async def test_each_at_its_own_time(hub: Hub, clock: ManualClock) -> None:
    """Of several, those who have expired go, in any order of coming."""
    lefts = [30, 10, 20, 10]
    clients = [
        await join(hub, f"doc-{n % 2}", principal=ann(clock, s)) for n, s in enumerate(lefts)
    ]
    for moment in (10, 20, 30):
        clock.advance(10)
        await hub.sessions.sweep()
        gone = [client.connection.closed for client in clients]
        assert gone == [left <= moment for left in lefts]


async def test_more_than_are_looked_at_at_once(
    hub: Hub, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crowd that expires together goes in one sweep, with turns for others in between."""
    monkeypatch.setattr("crdtsync.access.sessions.SWEEP_AT_ONCE", 3)
    clients = [Client(hub, f"doc-{n}", principal=ann(clock, 5)) for n in range(20)]
    clock.advance(5)
    await hub.sessions.sweep()
    assert all(client.connection.closed for client in clients)


async def test_who_has_gone_is_forgotten(hub: Hub, clock: ManualClock) -> None:
    """Clients that come and go long before their tokens end leave little behind, and no room."""
    rooms: list[weakref.ref[Connection]] = []
    stays = [Client(hub, f"stays-{n}", principal=ann(clock, 50_000 + n)) for n in range(10)]
    for number in range(1000):
        client = Client(hub, principal=ann(clock, 90_000 - number))
        rooms.append(weakref.ref(client.connection))
        client.connection.lost()
    await settle()
    del client
    gc.collect()
    assert not any(each() for each in rooms)
    assert len(hub.sessions._ends) <= 2 * 10 + MIN_ENDS + 1
    clock.advance(50_004)
    await hub.sessions.sweep()
    assert [client.connection.closed for client in stays] == [True] * 5 + [False] * 5


async def test_the_sweep_runs_by_itself(
    hub: Hub, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to call it: it is one of the hub's tasks."""
    client = await join(hub, principal=ann(clock, 1))
    clock.advance(2)
    assert (await client.gone())[0] == 4401


@pytest.mark.parametrize("jump_s", [3600, -3600])
async def test_the_wall_clock_jumps(hub: Hub, clock: ManualClock, jump_s: int) -> None:
    """A jump closes who has expired by what the clock says then, and nobody else."""
    short = await join(hub, principal=ann(clock, 1800))
    long = await join(hub, principal=ann(clock, 7200))
    clock.jump(jump_s)
    await hub.sessions.sweep()
    assert short.connection.closed == (jump_s > 0)
    assert not long.connection.closed
    clock.jump(-jump_s)
    await hub.sessions.sweep()
    assert not long.connection.closed
    clock.advance(7200)
    await hub.sessions.sweep()
    assert long.connection.closed


async def test_who_is_not_loaded_yet_expires_too(hub: Hub, clock: ManualClock) -> None:
    """A connection that waits for its room is closed as any other."""
    client = Client(hub, principal=ann(clock, 1))
    clock.advance(1)
    await hub.sessions.sweep()
    assert client.connection.closed
    await settle()


async def test_an_end_that_is_no_time(hub: Hub) -> None:
    """Who can't say when the proof ends isn't let in; one without end stays."""
    with pytest.raises(Unauthenticated):
        Client(hub, principal=Principal(id="ann", expires_s=math.nan))
    client = await join(hub, principal=Principal(id="ann", expires_s=math.inf))
    await hub.sessions.sweep()
    assert not client.connection.closed
    assert hub.connections == 1
    with pytest.raises(ValueError, match="no time"):
        hub.sessions.reauthorize(lambda _, was: replace(was, expires_s=math.nan))


async def test_a_later_end(hub: Hub, clock: ManualClock) -> None:
    """Who got more time stays for it; who got less goes earlier."""
    client = await join(hub, principal=ann(clock, 10))
    hub.sessions.reauthorize(lambda _, was: replace(was, expires_s=now_s(clock) + 100))
    clock.advance(10)
    await hub.sessions.sweep()
    assert not client.connection.closed
    hub.sessions.reauthorize(lambda _, was: replace(was, expires_s=now_s(clock) + 5))
    clock.advance(5)
    await hub.sessions.sweep()
    assert client.connection.closed


async def test_write_becomes_read(hub: Hub) -> None:
    """From the change on, edits of the open connection are denied; what was typed before stays."""
    writer = await join(hub, principal=Principal(id="ann", role=WRITE))
    other = await join(hub)
    writer.type("a")
    await other.shows("a")
    assert hub.sessions.update_principal("ann", role=READ) == 1
    writer.type("b")
    other.type("c")
    await until(lambda: writer.read() or "c" in str(writer.text))
    assert writer.denials == ["this document is read-only for you"]
    await (await join(hub)).shows("ac")


async def test_read_becomes_write(hub: Hub) -> None:
    """A reader who may write from now on need not come back."""
    reader = await join(hub, principal=Principal(id="ann", role=READ, read_only=True))
    other = await join(hub)
    assert hub.sessions.update_principal("ann", role=WRITE) == 1
    reader.type("a")
    await other.shows("a")
    assert reader.denials == []


async def test_no_role_is_the_end(hub: Hub) -> None:
    """Whose role is taken goes with 4403, in that document or in all; others stay."""
    here = await join(hub, "here", principal=Principal(id="ann"))
    there = await join(hub, "there", principal=Principal(id="ann"))
    other = await join(hub, "here", principal=Principal(id="bob"))
    assert hub.sessions.update_principal("ann", role=None, document="here") == 1
    assert await here.gone() == (4403, "you have no access to this document any more")
    assert not there.connection.closed
    assert hub.sessions.update_principal("ann", role=None) == 1
    assert there.connection.closed
    assert not other.connection.closed


async def test_reauthorize_asks_for_each(hub: Hub) -> None:
    """A custom server decides by document and principal; what it leaves as it is isn't counted."""
    await join(hub, "a", principal=Principal(id="ann"))
    kept = await join(hub, "b", principal=Principal(id="bob"))
    asked: list[tuple[str, str]] = []

    def decide(document: str, principal: Principal) -> Principal | None:
        asked.append((document, principal.id))
        return replace(principal, role=Role(name="x")) if document == "b" else principal

    assert hub.sessions.reauthorize(decide) == 1
    assert sorted(asked) == [("a", "ann"), ("b", "bob")]
    assert kept.connection.principal.role == Role(name="x")
    assert not kept.connection.free
    assert hub.sessions.reauthorize(decide, principal="nobody") == 0


async def test_nobody_becomes_somebody_else(hub: Hub) -> None:
    """Another id on an open connection is the caller's mistake: authors would be wrong."""
    client = await join(hub, principal=Principal(id="ann"))
    with pytest.raises(ValueError, match="somebody else"):
        hub.sessions.reauthorize(lambda _, was: replace(was, id="bob"))
    assert client.connection.principal.id == "ann"


async def test_what_is_refused_at_the_door(hub: Hub) -> None:
    """What speaks against somebody is asked when it comes in, and again at each recheck."""
    revoked: set[str] = set()

    def refusal(_: str, principal: Principal) -> Unauthenticated | None:
        return Unauthenticated("the token was revoked") if principal.id in revoked else None

    hub.sessions.refuse_by(refusal)
    client = await join(hub, principal=Principal(id="ann"))
    revoked.add("ann")
    with pytest.raises(Unauthenticated):
        Client(hub, principal=Principal(id="ann"))
    assert hub.connections == 1
    assert hub.sessions.recheck() == 1
    assert (await client.gone())[0] == 4401
