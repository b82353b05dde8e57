"""Fan-out: who gets what, and a slow client that costs nothing and misses nothing."""

from random import Random

import anyio
import pytest

from crdtsync.awareness import Entry, encode_entries, read_entries
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.protocol import (
    QUERY_AWARENESS,
    AwarenessMessage,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    awareness_frame,
    update_frame,
)
from crdtsync.update import scan

from .documents import content, history, replay
from .engine import FAST, TIMEOUT_S, Client, TestStore, join, quick, settle, until
from .wire import one

pytestmark = pytest.mark.anyio

HERE = '{"cursor": 1}'


def present(*entries: Entry) -> bytes:
    return awareness_frame(encode_entries(entries))


async def committed(hub: Hub, count: int) -> None:
    await until(lambda: hub.stats.updates_committed >= count)


def ranges(client: Client) -> list[tuple[int, int, int]]:
    """Return every struct range that a client was sent in updates."""
    return sorted(
        each
        for message in client.messages
        if isinstance(message, SyncUpdate | SyncStep2)
        for each in scan(message.update, Limits()).ranges
    )


async def test_an_update_goes_to_everyone_but_its_sender() -> None:
    """Each edit reaches every other client of its document, once, and nobody elsewhere."""
    async with Hub(TestStore(), limits=FAST) as hub:
        author, *readers = [await join(hub) for _ in range(5)]
        stranger = await join(hub, "elsewhere")
        before = len(author.link.frames), len(stranger.link.frames)
        data = author.type("hello")
        for reader in readers:
            await reader.shows("hello")
            assert reader.link.frames.count(update_frame(data)) == 1
        assert (len(author.link.frames), len(stranger.link.frames)) == before


async def test_a_blocked_connection_gets_nothing_until_it_drains() -> None:
    """While its socket is full a client is sent nothing; then one difference, exactly once."""
    async with Hub(TestStore(), limits=FAST) as hub:
        author, slow, fast = [await join(hub) for _ in range(3)]
        slow.block()
        before = len(slow.link.frames)
        for number in range(20):
            author.type("x")
            await committed(hub, number + 1)
        await fast.shows("x" * 20)
        assert len(slow.link.frames) == before
        assert hub.rooms["doc"].fanout.lagging == 1
        slow.drain()
        assert len(slow.link.frames) == before + 1
        await slow.shows("x" * 20)
        assert len(ranges(slow)) == 1
        author.type("y")
        await slow.shows("x" * 20 + "y")
        assert hub.rooms["doc"].fanout.lagging == 0


async def test_several_laggards_each_get_their_own_difference() -> None:
    """Clients that block at different times and drain at different times all end complete."""
    async with Hub(TestStore(), limits=FAST) as hub:
        author = await join(hub)
        slow = [await join(hub) for _ in range(6)]
        for number, client in enumerate(slow):
            client.block()
            author.type(str(number))
            await committed(hub, number + 1)
        for client in slow[::2]:
            client.drain()
            await client.shows("012345")
            assert len(ranges(client)) == len(set(ranges(client)))
        author.type("6")
        await committed(hub, 7)
        for client in slow[1::2]:
            client.drain()
        for client in slow:
            await client.shows("0123456")


async def test_a_laggard_is_spared_its_own_updates() -> None:
    """In what a laggard missed its own updates are left out where they stand alone."""
    async with Hub(TestStore(), limits=FAST) as hub:
        slow, other = await join(hub), await join(hub)
        slow.block()
        before = len(slow.link.frames)
        slow.type("mine")
        await other.shows("mine")
        slow.drain()
        assert len(slow.link.frames) == before
        assert hub.rooms["doc"].fanout.lagging == 0


async def test_a_client_that_blocks_while_it_drains() -> None:
    """A socket that fills up again in the middle of a difference goes on behind what it got."""
    async with Hub(TestStore(), limits=quick(max_merge=2)) as hub:
        author, slow = await join(hub), await join(hub)
        slow.block()
        for number in range(12):
            author.type("x")
            await committed(hub, number + 1)
        for _ in range(20):
            slow.drain(room=1)
            slow.read()
            if str(slow.text) == "x" * 12:
                slow.drain()
        await slow.shows("x" * 12)
        assert len(ranges(slow)) == 6


async def test_a_socket_that_fills_up_during_a_publish() -> None:
    """One that gets full in the middle of several frames gets the rest when it drains."""
    async with Hub(TestStore(), limits=quick(max_merge=1)) as hub:
        author, slow = await join(hub), await join(hub)
        slow.link.room = 2
        for _ in range(6):
            author.type("x")
        await committed(hub, 6)
        assert slow.connection.blocked
        slow.drain()
        await slow.shows("x" * 6)
        assert len(ranges(slow)) == len(set(ranges(slow)))


async def test_max_backlog_log_bytes() -> None:
    """The log kept for laggards is bounded: behind it one gets the document instead."""
    async with Hub(TestStore(), limits=quick(max_backlog_log_bytes=3_000)) as hub:
        author, slow = await join(hub), await join(hub)
        author.type("before ")
        await slow.shows("before ")
        slow.block()
        for number in range(50):
            author.type("x" * 100)
            await committed(hub, number + 2)
            assert hub.rooms["doc"].fanout._log_bytes <= 3_000
        slow.drain()
        await slow.shows("before " + "x" * 5_000)
        author.type("!")
        await slow.shows("before " + "x" * 5_000 + "!")


async def test_the_log_is_forgotten_when_nobody_lags() -> None:
    """Once the last laggard is up to date, or gone, nothing is kept for it."""
    async with Hub(TestStore(), limits=FAST) as hub:
        author, slow, gone = [await join(hub) for _ in range(3)]
        fanout = hub.rooms["doc"].fanout
        for client in (slow, gone):
            client.block()
        author.type("x" * 1_000)
        await committed(hub, 1)
        assert fanout._log_bytes
        slow.drain()
        assert fanout._log_bytes
        gone.connection.lost()
        assert fanout._log_bytes == 0


@pytest.mark.parametrize("seed", range(4))
async def test_random_laggards_end_complete(seed: int) -> None:
    """Whoever blocks and drains whenever, all converge, and nobody is told anything twice."""
    random = Random(seed)
    made = history(seed, steps=60)
    async with Hub(
        TestStore(), limits=quick(max_backlog_log_bytes=random.choice([500, 1 << 20]), max_merge=3)
    ) as hub:
        author = await join(hub)
        readers = [await join(hub) for _ in range(4)]
        for data in made:
            author.say(update_frame(data))
            if random.random() < 0.5:
                await until(lambda: not hub.rooms["doc"].uncommitted)
            reader = random.choice(readers)
            if reader.connection.blocked:
                reader.drain(room=random.choice([1, 2, float("inf")]))
            else:
                reader.block()
        await until(lambda: not hub.rooms["doc"].uncommitted)
        for reader in readers:
            reader.drain()
            reader.read()
            assert content(reader.doc) == content(replay(*made))


# Awareness


async def test_awareness_goes_to_a_laggard_as_a_state() -> None:
    """While blocked a client misses awareness; then it gets the newest per client, once."""
    async with Hub(TestStore(), limits=FAST) as hub:
        mover, slow, other = [await join(hub) for _ in range(3)]
        mover.say(present(Entry(5, 1, HERE)))
        await slow.hears(AwarenessMessage)
        slow.block()
        before = len(slow.link.frames)
        for clock in range(2, 30):
            mover.say(present(Entry(5, clock, HERE)))
        mover.say(present(Entry(6, 1, HERE)))
        other.say(present(Entry(7, 1, HERE)))
        await until(lambda: hub.rooms["doc"].fanout._flushed == 31)
        other.connection.lost()
        await until(lambda: hub.rooms["doc"].fanout._flushed == 32)
        assert len(slow.link.frames) == before
        slow.drain()
        await slow.hears(AwarenessMessage, 2)
        got = read_entries(slow.awareness[-1], Limits())
        assert sorted(got, key=lambda entry: entry.client) == [
            Entry(5, 29, HERE),
            Entry(6, 1, HERE),
            Entry(7, 1, "null"),
        ]


async def test_awareness_of_many_comes_in_frames_of_the_limit() -> None:
    """Very many states go out in several frames, and all of them arrive."""
    async with Hub(TestStore(), limits=quick(max_frame_bytes=2_000)) as hub:
        crowd = await join(hub)
        crowd.say(present(*(Entry(n, 1, '"' + "x" * 90 + '"') for n in range(100))))
        await until(lambda: len(hub.rooms["doc"].fanout.awareness) == 100)
        newcomer = await join(hub)
        states = [e for p in newcomer.awareness for e in read_entries(p, Limits())]
        assert {entry.client for entry in states} >= set(range(100))
        assert all(len(frame) < 4_000 for frame in newcomer.link.frames)


async def test_a_full_document_takes_no_more_presence() -> None:
    """One state too many is not seen; who brings it, edits and all, stays."""
    async with Hub(TestStore(), limits=quick(max_awareness_clients=3)) as hub:
        first, greedy = await join(hub), await join(hub)
        first.say(present(Entry(1, 1, HERE), Entry(2, 1, HERE)))
        greedy.say(present(Entry(3, 1, HERE)))
        greedy.say(present(Entry(4, 1, HERE)))
        await first.hears(AwarenessMessage)
        late = await join(hub)
        late.say(present(Entry(5, 1, HERE)))
        late.type("edits")
        await first.shows("edits")
        seen = {each.client for each in hub.rooms["doc"].fanout.awareness.present()}
        assert seen == {2, 3, 5}
        assert [each.link.closed for each in (first, greedy, late)] == [None] * 3


# What a blocked client asks for


async def test_questions_of_a_blocked_client_wait() -> None:
    """One that asks and does not read piles nothing up: the newest of each kind is answered."""
    async with Hub(TestStore(), limits=FAST) as hub:
        author, slow = await join(hub), await join(hub)
        author.say(present(Entry(5, 1, HERE)))
        author.type("x")
        await slow.shows("x")
        await slow.hears(AwarenessMessage)
        slow.block()
        before = len(slow.link.frames)
        for _ in range(100):
            slow.sync()
            slow.say(QUERY_AWARENESS)
            slow.say(update_frame(one(77, 5, "ahead", origin=(77, 4))))
        assert len(slow.link.frames) == before
        steps = sum(isinstance(m, SyncStep2) for m in slow.messages)
        slow.drain()
        await slow.hears(SyncStep2, steps + 1)
        slow.read()
        kinds = [type(m) for m in slow.messages[-(len(slow.link.frames) - before) :]]
        assert kinds.count(SyncStep2) == 1
        assert kinds.count(SyncStep1) == 1
        assert kinds.count(AwarenessMessage) == 1


async def test_max_lag_s() -> None:
    """One that takes nothing for too long is closed with 1013; one that drains in time stays."""
    async with Hub(TestStore(), limits=quick(max_lag_s=0.03)) as hub:
        stuck, slow = await join(hub), await join(hub)
        stuck.block()
        with anyio.fail_after(TIMEOUT_S):
            while stuck.link.closed is None:
                slow.block()
                slow.drain()
                await settle()
        assert stuck.link.closed[0] == 1013
        assert slow.link.closed is None
        assert hub.stats.rejected["lagging"] == 1
        assert hub.connections == 1


async def test_a_blocked_client_gets_no_keepalive() -> None:
    """Nothing is queued behind a full socket, not even a sign of life."""
    async with Hub(TestStore(), limits=quick(keepalive_s=0.008)) as hub:
        slow, other = await join(hub), await join(hub)
        slow.block()
        before = len(slow.link.frames)
        await other.hears(AwarenessMessage, 3)
        assert len(slow.link.frames) == before


async def test_what_goes_out_is_counted() -> None:
    """Frames, updates and bytes are counted per receiver, joined or not."""
    async with Hub(TestStore(), limits=FAST) as hub:
        author, *readers = [await join(hub) for _ in range(4)]
        frames, size = hub.stats.frames_out, hub.stats.bytes_out
        sent = len(update_frame(author.type("x")))
        for reader in readers:
            await reader.shows("x")
        assert hub.stats.frames_out - frames == 3
        assert hub.stats.updates_out == 3
        assert hub.stats.bytes_out - size == 3 * sent
