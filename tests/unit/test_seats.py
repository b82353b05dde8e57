"""Connections are counted exactly, whatever way they end, and refused where there are too many."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdtsync.audit import Caller
from crdtsync.errors import CrdtsyncError, TooManyConnections, TooManyRequests
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.seats import Seat, Seats
from crdtsync.store.memory import MemoryStore

from .engine import Client, FakeLink, TestStore, join, quick, settle, until

pytestmark = pytest.mark.anyio

ADDRESSES = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "127.0.0.1"]


@given(st.lists(st.tuples(st.sampled_from(ADDRESSES), st.integers(0, 9)), max_size=60))
def test_counts_are_what_is_there(steps: list[tuple[str, int]]) -> None:
    """Whoever comes and goes, in any order and also twice: the counts are those who are there."""
    seats = Seats(Limits(max_connections_per_address=3))
    there: list[tuple[str, Seat]] = []
    network = {"2001:db8::1": "a", "2001:db8::2": "a", "127.0.0.1": ""}
    for address, what in steps:
        key = network.get(address, address)
        taken = sum(1 for each, _ in there if each == key)
        if what < 6:
            if key and taken == 3:
                with pytest.raises(TooManyConnections, match="from your address"):
                    seats.arrive(address)
            else:
                there.append((key, seats.arrive(address)))
        elif there:
            _, seat = there.pop(what % len(there))
            seat.leave()
            seat.leave()  # it counts once
        expected = Counter(each for each, _ in there if each)
        assert sorted(seats.addresses.values()) == sorted(expected.values())
    for _, seat in there:
        seat.leave()
    assert not seats.addresses


async def test_max_connections_per_document() -> None:
    """One more than a document may have is told to come back, and comes in when another leaves."""
    async with Hub(MemoryStore(), limits=quick(max_connections_per_document=2)) as hub:
        one, two = await join(hub), await join(hub)
        with pytest.raises(TooManyConnections, match="the document has too many"):
            hub.connect(FakeLink(), "doc", Principal())
        other = await join(hub, "elsewhere")
        two.connection.lost()
        three = await join(hub)
        assert hub.connections == 3
        assert TooManyConnections.close_code == 1013
        for client in (one, three, other):
            client.connection.lost()


async def test_max_connections_per_principal() -> None:
    """A principal is counted over all documents; anonymous clients are not."""
    async with Hub(MemoryStore(), limits=quick(max_connections_per_principal=2)) as hub:
        ada = Principal(id="ada")
        one = await join(hub, "a", principal=ada)
        await join(hub, "b", principal=ada)
        with pytest.raises(TooManyConnections, match="you have too many"):
            hub.connect(FakeLink(), "c", ada)
        assert "c" not in hub.rooms
        await join(hub, "c", principal=Principal(id="bob"))
        for _ in range(5):
            await join(hub, "d")
        one.connection.lost()
        await join(hub, "c", principal=ada)
        assert hub.seats.principals == {"ada": 2, "bob": 1}


ENDS = ["lost", "lost twice", "close", "refuse", "give up", "abandon", "delete", "text", "damage"]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(ENDS)), min_size=1, max_size=8))
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
def test_no_way_of_closing_leaks(anyio_backend: str, ends: list[tuple[str, str]]) -> None:
    """However connections end, every count is back at nothing, and each ended once."""
    import anyio

    anyio.run(_every_end, ends)


async def _every_end(ends: list[tuple[str, str]]) -> None:
    store = TestStore()
    audit = Log()
    async with Hub(store, limits=quick(housekeeping_interval_s=10), audit=audit) as hub:
        clients = [
            (await join(hub, f"doc{number}", principal=Principal(id=who)), end)
            for number, (who, end) in enumerate(ends)
        ]
        assert sum(hub.seats.principals.values()) == len(ends)
        for number, (client, end) in enumerate(clients):
            await _end(hub, client, end, f"doc{number}")
        await settle()
        await until(lambda: hub.connections == 0)
        assert hub.seats.principals == {}
        assert not any(room.connections for room in hub.rooms.values())
    events = [(each.document, each.what.value) for each in audit.events]
    for number in range(len(ends)):
        assert events.count((f"doc{number}", "connect")) == 1
        assert events.count((f"doc{number}", "disconnect")) == 1


async def _end(hub: Hub, client: Client, end: str, name: str) -> None:
    connection = client.connection
    match end:
        case "lost":
            connection.lost(1001)
        case "lost twice":
            connection.lost()
            connection.lost()
        case "close":
            connection.close(1012, "good-bye")  # type: ignore[arg-type]
            connection.lost()
        case "refuse":
            connection.refuse(TooManyRequests("enough"))
            connection.lost()
        case "give up":
            connection.closed = True
            connection.room.detach(connection)
            connection.lost()
        case "abandon":
            hub.abandon(connection.room, "no more")
        case "delete":
            await hub.delete(name)
        case "text":
            connection.receive_text()
        case "damage":
            connection.receive(b"\x00\x07")
            connection.close(1012, "late")  # type: ignore[arg-type]


class Log:
    """An audit log that keeps its events."""

    lost = 0

    def __init__(self) -> None:
        self.events: list[Any] = []

    def open(self) -> None: ...
    def close(self) -> None: ...

    def record(self, event: Any) -> None:
        self.events.append(event)


async def test_who_is_not_let_in_is_not_counted() -> None:
    """A refusal of any kind leaves every count as it was."""
    limits = quick(max_connections=1, max_document_name_bytes=4)
    async with Hub(MemoryStore(), limits=limits) as hub:
        for name in ("toolong", ""):
            with pytest.raises(CrdtsyncError):
                hub.connect(FakeLink(), name, Principal(id="ada"), caller=Caller(address="x"))
        await join(hub)
        with pytest.raises(TooManyConnections, match="the server has too many"):
            hub.connect(FakeLink(), "doc", Principal(id="ada"))
        assert hub.seats.principals == {}
