"""Large rooms and large documents: presence in slices, answers as the socket takes them."""

import pytest

from crdtsync.awareness import Entry, encode_entries
from crdtsync.fanout import AWARENESS_FRAME_COST_BYTES, AWARENESS_SLICE_BYTES
from crdtsync.hub import Hub
from crdtsync.protocol import (
    QUERY_AWARENESS,
    AwarenessMessage,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    awareness_frame,
    update_frame,
)

from .engine import Client, TestStore, join, quick, until

pytestmark = pytest.mark.anyio


def moved(client: int, clock: int) -> bytes:
    """Return the frame of a cursor that moved."""
    return awareness_frame(encode_entries([Entry(client, clock, f'{{"at":{clock}}}')]))


async def test_awareness_bytes_per_s() -> None:
    """Presence over the budget waits: the first goes out, the next one is not due for long."""
    async with Hub(TestStore(), limits=quick(awareness_bytes_per_s=1)) as hub:
        client = await join(hub)
        client.say(moved(5, 1))
        await client.hears(AwarenessMessage)
        client.say(moved(5, 2))
        client.say(QUERY_AWARENESS)
        client.sync()
        await client.hears(SyncStep2, 2)
        assert len([each for each in client.messages if isinstance(each, AwarenessMessage)]) == 2
        fanout = hub.rooms["doc"].fanout
        assert fanout.awareness_due_s - hub.clock.monotonic_s() > AWARENESS_FRAME_COST_BYTES / 2


async def test_max_ignored_messages() -> None:
    """So many messages that mean nothing are let pass between two pings, one more closes."""
    async with Hub(TestStore(), limits=quick(max_ignored_messages=3)) as hub:
        client = await join(hub)
        for _ in range(3):
            client.say(b"\x63")
        assert not client.connection.closed
        client.say(b"\x63")
        await until(lambda: client.link.closed)
        reason = "too many messages that mean nothing to a server"
        assert client.link.closed == (4429, reason)
    async with Hub(TestStore(), limits=quick(max_ignored_messages=3, ping_interval_s=0.01)) as hub:
        client = await join(hub)
        for _ in range(8):  # some between each two pings
            client.say(b"\x63")
            pings = client.link.pings
            await until(lambda pings=pings: client.link.pings > pings)  # type: ignore[misc]
        assert not client.connection.closed


async def test_presence_goes_out_in_slices() -> None:
    """A flush to many lets others run in between, and reaches all, the slow ones too."""
    count = 2 * AWARENESS_SLICE_BYTES // AWARENESS_FRAME_COST_BYTES
    async with Hub(TestStore(), limits=quick(awareness_interval_s=1e6)) as hub:
        clients = [await join(hub) for _ in range(count)]
        fanout = hub.rooms["doc"].fanout
        clients[0].say(moved(5, 1))
        await until(lambda: fanout.awareness_due_s > float("-inf"))
        fanout.awareness.apply([Entry(5, 2, "{}")], clients[0].connection)
        before = [len(client.link.frames) for client in clients]
        flush = fanout.flush_awareness()
        next(flush)
        reached = sum(len(c.link.frames) > was for c, was in zip(clients, before, strict=True))
        assert 0 < reached <= count // 2
        clients[-1].block()
        assert len(list(flush)) <= 2
        clients[-1].drain()
        assert all(len(c.link.frames) == was + 1 for c, was in zip(clients, before, strict=True))


def put(writer: Client, count: int, size: int) -> None:
    """Insert texts that pycrdt does not join into one."""
    for _ in range(count):
        before = writer.doc.get_state()
        writer.text.insert(0, "x" * size)
        writer.say(update_frame(writer.doc.get_update(before)))


async def newcomer(hub: Hub, room: int) -> Client:
    """Return a client that has asked for the document, and takes only so many frames."""
    client = Client(hub)
    await until(lambda: client.connection.live)
    client.link.room = room
    client.sync()
    return client


async def test_an_answer_waits_with_the_socket() -> None:
    """Of a large answer only what the socket takes is sent, later edits follow, all share it."""
    async with Hub(TestStore(), limits=quick(max_frame_bytes=1024)) as hub:
        writer = await join(hub)
        put(writer, 20, 600)
        room = hub.rooms["doc"]
        await until(lambda: not room.uncommitted)
        room.integrate()
        one, two = await newcomer(hub, 2), await newcomer(hub, 2)
        assert len(one.link.frames) == len(two.link.frames) == 3  # with the server's step 1
        waiting = [update for update, _ in one.connection.parts]
        assert len(waiting) > 5
        for mine, (theirs, _) in zip(waiting, two.connection.parts, strict=True):
            assert mine is theirs
        writer.type("y")
        await until(lambda: not room.uncommitted)
        for _ in range(3):
            one.drain(room=1)
        assert len(one.link.frames) == 6
        for reader in (one, two):
            reader.drain()
            await reader.shows("x" * 12_000 + "y")
            kinds = [type(each) for each in reader.messages if not isinstance(each, SyncStep1)]
            assert kinds.count(SyncStep2) == 1
            assert kinds[-2:] == [SyncStep2, SyncUpdate]  # the "y" is behind the answer


async def test_a_laggard_behind_the_log() -> None:
    """Where the log is dropped, the difference from the document waits with the socket too."""
    limits = quick(max_frame_bytes=1024, max_backlog_log_bytes=1024)
    async with Hub(TestStore(), limits=limits) as hub:
        writer, reader = await join(hub), await join(hub)
        reader.block()
        put(writer, 20, 600)
        room = hub.rooms["doc"]
        await until(lambda: not room.uncommitted)
        room.integrate()
        before = len(reader.link.frames)
        reader.drain(room=2)
        assert len(reader.link.frames) == before + 2
        writer.type("y")
        await until(lambda: not room.uncommitted)
        reader.drain()
        await reader.shows("x" * 12_000 + "y")
