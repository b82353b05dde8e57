"""How fast a client may send: slowed down first, then sent away; others never notice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtsync.brake import MAX_PAUSE_S
from crdtsync.connection import Connection
from crdtsync.counted import CountedConnection
from crdtsync.errors import TooManyRequests
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.metrics import Metrics
from crdtsync.pace import GRANT_BYTES, GRANT_MESSAGES, Bucket, Pace
from crdtsync.protocol import KEEPALIVE
from crdtsync.store.memory import MemoryStore

from .engine import join, quick, until

pytestmark = pytest.mark.anyio

STEP_1 = b"\x00\x00\x01\x00"
BIG = b"\x63" + bytes(1000)
"""A message that means nothing."""


@given(st.lists(st.tuples(st.integers(1, 3000), st.floats(0, 3)), min_size=1, max_size=40))
def test_a_bucket_keeps_its_rate(takes: list[tuple[int, float]]) -> None:
    """Who waits as told gets the burst and the rate, and never more than one take beyond."""
    rate, burst_s = 1000, 2.0
    now_s = 50.0
    bucket = Bucket(rate, burst_s, now_s)
    taken, start_s = 0, now_s
    for amount, idle_s in takes:
        now_s += idle_s
        assert taken <= rate * (burst_s + now_s - start_s) + 1e-6
        taken += amount
        wait_s = bucket.take(amount, now_s)
        assert wait_s >= 0
        now_s += wait_s


def test_a_calm_while_is_a_new_beginning() -> None:
    """Being slowed counts from its first time, until half of the burst is back."""
    bucket = Bucket(100, 10.0, 0.0)
    assert bucket.take(1000, 0.0) == 0.0
    assert bucket.take(50, 0.0) == pytest.approx(0.6)
    assert bucket.slow_for_s(3.0) == 3.0
    assert bucket.take(400, 4.0) > 0
    assert bucket.slow_for_s(4.0) == 4.0
    assert bucket.take(10, 20.0) == 0.0
    assert bucket.slow_for_s(20.0) == 0.0


def test_no_limits_take_no_time() -> None:
    """Without limits there is nothing to wait for."""
    pace = Pace(Limits(max_bytes_per_s=0, max_messages_per_s=0), 0.0)
    assert pace.took_bytes(1 << 60, 0.0) == pace.took_messages(1 << 60, 0.0) == 0.0


async def test_max_bytes_per_s_slows() -> None:
    """A client over its rate is not read for a while, then again; nothing of it is lost."""
    limits = quick(max_bytes_per_s=10 * GRANT_BYTES, rate_burst_s=0.1, max_ignored_messages=10**9)
    async with Hub(MemoryStore(), limits=limits) as hub:
        client, other = await join(hub), await join(hub)
        for _ in range(3 * GRANT_BYTES // len(BIG)):
            client.say(BIG)
        assert not client.link.reading
        assert other.link.reading
        assert client.link.pauses == 1
        client.type("still read")
        await other.shows("still read")
        await until(lambda: client.link.reading)
        assert hub.stats.slowed == 1
        assert client.link.closed is None


async def test_a_slowed_client_is_not_read_for_other_reasons_either() -> None:
    """What ends one reason for not reading does not end the other."""
    limits = quick(max_bytes_per_s=GRANT_BYTES, rate_burst_s=0.1, max_ignored_messages=10**9)
    async with Hub(MemoryStore(), limits=limits) as hub:
        client = await join(hub)
        connection = client.connection
        connection.pause_reading()
        client.say(bytes([99]) * 2 * GRANT_BYTES)
        connection.resume_reading()
        assert not client.link.reading
        connection.pause_reading()
        connection.brake.release()
        assert not client.link.reading
        connection.resume_reading()
        assert client.link.reading


async def test_max_slowed_s() -> None:
    """A client that goes on above its rate for too long is closed with 4429."""
    limits = quick(
        max_bytes_per_s=GRANT_BYTES, rate_burst_s=0.1, max_slowed_s=0.02, max_ignored_messages=10**9
    )
    async with Hub(MemoryStore(), limits=limits) as hub:
        client = await join(hub)

        def sends_on() -> bool:
            client.say(BIG * 70)
            return client.link.closed is not None

        await until(sends_on)
        assert client.link.closed == (4429, "you send too much, and have for too long")
        assert hub.stats.rejected["too-many-requests"] == 1


async def test_max_messages_per_s() -> None:
    """Messages are counted where a limit asks for it, however small they are."""
    limits = quick(max_messages_per_s=GRANT_MESSAGES, rate_burst_s=2.0, max_bytes_per_s=0)
    async with Hub(MemoryStore(), limits=limits) as hub:
        client = await join(hub)
        assert isinstance(client.connection, CountedConnection)
        for _ in range(2 * GRANT_MESSAGES - 10):
            client.say(KEEPALIVE)
        assert client.link.reading
        for _ in range(2 * GRANT_MESSAGES):
            client.say(KEEPALIVE)
        assert not client.link.reading
        client.connection.lost()


async def test_rate_burst_s() -> None:
    """What the rate brings in that time may come at once, such as one large step 2."""
    limits = quick(max_bytes_per_s=GRANT_BYTES, rate_burst_s=8.0, max_ignored_messages=10**9)
    async with Hub(MemoryStore(), limits=limits) as hub:
        client = await join(hub)
        for _ in range(8):
            client.say(bytes([99]) * GRANT_BYTES)
        assert client.link.reading
        for _ in range(2):
            client.say(bytes([99]) * GRANT_BYTES)
        assert not client.link.reading


async def test_by_default_only_bytes_are_measured() -> None:
    """A plain connection counts no messages, and the default has room for the largest message."""
    limits = Limits()
    assert limits.max_bytes_per_s * limits.rate_burst_s >= 2 * limits.max_message_bytes
    assert limits.max_message_bytes / limits.max_bytes_per_s <= MAX_PAUSE_S
    async with Hub(MemoryStore(), limits=quick()) as hub:
        client = await join(hub)
        assert type(client.connection) is Connection
        for _ in range(1000):
            client.say(STEP_1)
        assert client.link.pauses == 0


async def test_received_bytes_are_exact() -> None:
    """The metric has every byte, whether it was accounted for already or not."""
    async with Hub(MemoryStore(), limits=quick(max_ignored_messages=10**9)) as hub:
        client = await join(hub)

        def received() -> float:
            text, _ = Metrics(hub).exposition("")
            lines = text.decode().splitlines()
            line = next(x for x in lines if x.startswith("crdtsync_received_bytes_total "))
            return float(line.split()[1])

        before = received()
        for count in range(1, 201):
            client.say(BIG)
            assert received() == before + count * len(BIG)
        client.connection.lost()
        assert received() == before + 200 * len(BIG)


async def test_a_backlog_is_counted_once() -> None:
    """What waited for the document to load is accounted for when it is taken, and not before."""
    limits = quick(max_messages_per_s=1000, max_ignored_messages=10**9)
    from .engine import Client, TestStore

    store = TestStore()
    store.stop_loads()
    async with Hub(store, limits=limits) as hub:
        client = Client(hub)
        for _ in range(10):
            client.say(BIG)
        assert client.connection.unsettled_bytes == 0
        store.load_gate.set()
        await until(lambda: client.connection.live)
        assert client.connection.unsettled_bytes == 10 * len(BIG)


async def test_refused_for_messages() -> None:
    """Too many messages for too long close as too many bytes do."""
    limits = quick(max_messages_per_s=GRANT_MESSAGES, rate_burst_s=0.1, max_slowed_s=0.02)
    async with Hub(MemoryStore(), limits=limits) as hub:
        client = await join(hub)

        def sends_on() -> bool:
            client.say(KEEPALIVE)
            return client.link.closed is not None

        await until(sends_on)
        assert client.link.closed is not None
        assert client.link.closed[0] == TooManyRequests.close_code
