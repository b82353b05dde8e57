"""Being a y-websocket server: each rule of the wire, at the engine with a link that records."""

from itertools import pairwise

import anyio
import pytest

from crdtsync.awareness import Entry, encode_entries, read_entries
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.protocol import (
    EMPTY_STEP_2,
    KEEPALIVE,
    QUERY_AWARENESS,
    AuthMessage,
    AwarenessMessage,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    awareness_frame,
    decode_frame,
    permission_denied_frame,
    step_1_frame,
    step_2_frame,
    update_frame,
)
from crdtsync.structs import EMPTY_UPDATE

from .documents import content, history, replay
from .engine import FAST, TIMEOUT_S, Client, TestStore, join, quick, settle, until
from .wire import block, item, one, skip, state_vector, update

pytestmark = pytest.mark.anyio

HERE = '{"cursor": 1}'
VIEWER = Principal(id="vera", read_only=True)


def present(*entries: Entry) -> bytes:
    return awareness_frame(encode_entries(entries))


def entries(client: Client) -> list[Entry]:
    return [each for payload in client.awareness for each in read_entries(payload, Limits())]


async def test_the_server_opens_with_step_1_and_awareness() -> None:
    """Order: on open the server sends its step 1, then all awareness states, and no step 2."""
    async with Hub(TestStore(), limits=FAST) as hub:
        first = await join(hub)
        first.say(present(Entry(5, 1, HERE)))
        await until(lambda: hub.rooms["doc"].fanout.awareness.version)
        second = Client(hub)
        assert [type(message) for message in second.read()] == [SyncStep1, AwarenessMessage]
        assert entries(second) == [Entry(5, 1, HERE)]


async def test_an_empty_document_answers_with_the_empty_step_2() -> None:
    """Order: the empty step 2 must be sent too, or the client never reports "synced"."""
    async with Hub(TestStore(), limits=FAST) as hub:
        client = await join(hub)
        assert EMPTY_STEP_2 in client.link.frames


async def test_a_client_that_lacks_nothing_gets_a_step_2() -> None:
    """Order: a step 1 that says "I have all" is answered by a step 2 as well."""
    async with Hub(TestStore(), limits=FAST) as hub:
        client = await join(hub)
        client.type("hello")
        await until(lambda: hub.stats.updates_committed)
        client.sync()
        await client.hears(SyncStep2, 2)


@pytest.mark.parametrize("frame", [update_frame(EMPTY_UPDATE), step_2_frame(EMPTY_UPDATE)])
async def test_empty_updates_are_neither_stored_nor_relayed(frame: bytes) -> None:
    """Order: an empty update never reaches the store or anyone else."""
    store = TestStore()
    async with Hub(store, limits=FAST) as hub:
        first, second = await join(hub), await join(hub)
        before = len(second.link.frames)
        first.say(frame)
        first.type("x")
        await second.shows("x")
        assert len(second.link.frames) == before + 1
        assert len(store.batches) == 1


async def test_every_frame_out_holds_one_message() -> None:
    """One message per frame: clients up to 3.1 ignore everything after a frame's first message."""
    async with Hub(TestStore(), limits=quick(max_frame_bytes=100)) as hub:
        first = await join(hub)
        first.say(present(Entry(5, 1, HERE)) + QUERY_AWARENESS)
        for data in history(1):
            first.say(update_frame(data))
        await until(lambda: hub.stats.updates_committed > 20 and not hub.rooms["doc"].uncommitted)
        second = await join(hub)
        for client in (first, second):
            assert all(len(decode_frame(frame)) == 1 for frame in client.link.frames)


async def test_a_frame_may_bring_several_messages() -> None:
    """One message per frame: inbound, every message of a frame counts."""
    async with Hub(TestStore(), limits=FAST) as hub:
        client, other = await join(hub), await join(hub)
        data = one(7, 0, "both")
        client.say(step_1_frame(b"\x00") + update_frame(data) + QUERY_AWARENESS)
        await client.hears(SyncStep2, 2)
        await client.hears(AwarenessMessage)
        await other.shows("both")


async def test_nothing_is_answered_from_an_unloaded_document() -> None:
    """Load before answering: what comes while the document loads waits, and is answered after."""
    store = TestStore()
    async with Hub(store, limits=FAST) as hub:
        (await join(hub)).type("stored")
        await until(lambda: hub.stats.updates_committed)
    store.stop_loads()
    async with Hub(store, limits=FAST) as hub:
        client = Client(hub)
        client.sync()
        client.say(update_frame(one(7, 0, "!", parent="other")))
        client.say(present(Entry(5, 1, HERE)))
        await settle()
        assert client.link.frames == []
        store.load_gate.set()
        await client.shows("stored")
        await until(lambda: hub.stats.updates_committed == 1)


async def test_max_backlog_bytes() -> None:
    """Load before answering: above the limit a loading document's client is not read further."""
    store = TestStore()
    store.stop_loads()
    async with Hub(store, limits=quick(max_backlog_bytes=2_000)) as hub:
        client = Client(hub)
        client.say(update_frame(one(7, 0, "x" * 1_000)))
        assert client.link.reading
        client.say(update_frame(one(7, 1_000, "y" * 1_000, origin=(7, 999))))
        assert not client.link.reading
        other = Client(hub)
        store.load_gate.set()
        await until(lambda: client.link.reading)
        await other.shows("x" * 1_000 + "y" * 1_000)


async def test_empty_frames_fill_the_backlog_too() -> None:
    """Load before answering: messages without a byte cost memory, and count."""
    store = TestStore()
    store.stop_loads()
    async with Hub(store, limits=quick(max_backlog_bytes=2_000)) as hub:
        client = Client(hub)
        for _ in range(100):
            client.say(b"")
        assert not client.link.reading
        store.load_gate.set()
        assert (await client.gone())[0] == 4400


async def test_every_step_1_is_answered() -> None:
    """resyncInterval: a client may ask again at any time, and is answered each time."""
    async with Hub(TestStore(), limits=FAST) as hub:
        client = await join(hub)
        for count in range(2, 6):
            client.sync()
            await client.hears(SyncStep2, count)


async def test_awareness_comes_back_to_its_sender() -> None:
    """Liveness: a client's awareness is echoed to itself, for pings don't feed its watchdog."""
    async with Hub(TestStore(), limits=FAST) as hub:
        client = await join(hub)
        client.say(present(Entry(5, 1, HERE)))
        await client.hears(AwarenessMessage)
        assert entries(client) == [Entry(5, 1, HERE)]


async def test_keepalive_s_and_awareness_interval_s() -> None:
    """Liveness: a client that heard nothing gets the empty awareness message, a busy one none;
    awareness goes out at most once per tick."""
    async with Hub(TestStore(), limits=quick(keepalive_s=0.012)) as hub:
        client = await join(hub)
        await until(lambda: client.link.frames.count(KEEPALIVE) >= 2)
    async with Hub(TestStore(), limits=quick(awareness_interval_s=1e6)) as hub:
        client = await join(hub)
        client.say(present(Entry(5, 1, HERE)))
        await client.hears(AwarenessMessage)
        client.say(present(Entry(5, 2, HERE)))
        client.say(QUERY_AWARENESS)
        client.sync()
        await client.hears(SyncStep2, 2)
        assert [entry.clock for entry in entries(client)] == [1, 2]  # the tick's, the query's


async def test_ping_interval_s() -> None:
    """Liveness: pings go out, and a peer that says nothing between two of them is dropped."""
    async with Hub(TestStore(), limits=quick(ping_interval_s=0.02)) as hub:
        quiet, answering = await join(hub), await join(hub)
        pings = 0
        with anyio.fail_after(TIMEOUT_S):
            while not quiet.link.aborted:
                await until(lambda: answering.link.pings > pings or quiet.link.aborted)  # noqa: B023
                pings = answering.link.pings
                answering.connection.heard()
        assert quiet.link.pings == 1
        assert hub.connections == 1
        assert not answering.link.aborted


async def test_a_large_document_comes_in_pieces() -> None:
    """Large documents: stored batches as update frames, then a final step 2."""
    made = history(3, steps=100)
    store = TestStore()
    limits = quick(max_frame_bytes=300)
    for stored in (False, True):
        async with Hub(store, limits=limits) as hub:
            if not stored:
                await hub.edit("doc", replay(*made).get_update())
            for _ in range(2):
                client = await join(hub)
                kinds = [type(m) for m in client.messages if isinstance(m, SyncStep2 | SyncUpdate)]
                assert len(kinds) > 3
                assert kinds == [SyncUpdate] * (len(kinds) - 1) + [SyncStep2]
                assert content(client.doc) == content(replay(*made))


async def test_a_leaving_client_is_removed() -> None:
    """Awareness removal: a null at the same clock removes, for everyone."""
    async with Hub(TestStore(), limits=FAST) as hub:
        first, second = await join(hub), await join(hub)
        first.say(present(Entry(5, 1, HERE)))
        await second.hears(AwarenessMessage)
        first.say(present(Entry(5, 1, "null")))
        await second.hears(AwarenessMessage, 2)
        assert entries(second)[-1] == Entry(5, 1, "null")


async def test_a_dead_sockets_ids_are_removed() -> None:
    """Awareness removal: when a socket dies its ids go, and late repetitions bring no ghost."""
    async with Hub(TestStore(), limits=FAST) as hub:
        first, second = await join(hub), await join(hub)
        first.say(present(Entry(5, 3, HERE)))
        await second.hears(AwarenessMessage)
        first.connection.lost()
        await second.hears(AwarenessMessage, 2)
        assert entries(second)[-1] == Entry(5, 3, "null")
        second.say(present(Entry(6, 1, HERE), Entry(5, 3, HERE)))
        await second.hears(AwarenessMessage, 3)
        newcomer = await join(hub)
        assert entries(newcomer) == [Entry(6, 1, HERE)]


async def test_a_client_returns_at_its_clock() -> None:
    """Awareness removal: a client that reconnects with its old clock is seen again."""
    async with Hub(TestStore(), limits=FAST) as hub:
        first, second = await join(hub), await join(hub)
        first.say(present(Entry(5, 3, HERE)))
        await second.hears(AwarenessMessage)
        first.connection.lost()
        await second.hears(AwarenessMessage, 2)
        again = await join(hub)
        again.say(present(Entry(5, 3, HERE)))
        await second.hears(AwarenessMessage, 3)
        assert entries(second)[-1] == Entry(5, 4, HERE)


async def test_repetitions_of_others_states_are_ignored() -> None:
    """Re-broadcasts: an entry for another connection's id changes nothing and is no error."""
    async with Hub(TestStore(), limits=FAST) as hub:
        first, second = await join(hub), await join(hub)
        first.say(present(Entry(5, 3, HERE)))
        await second.hears(AwarenessMessage)
        second.say(present(Entry(5, 9, '"forged"')))
        second.connection.lost()
        newcomer = await join(hub)
        assert entries(newcomer) == [Entry(5, 3, HERE)]


async def test_an_awareness_query_is_answered() -> None:
    """Awareness query: all states, and an empty message where there are none."""
    async with Hub(TestStore(), limits=FAST) as hub:
        client = await join(hub)
        client.say(QUERY_AWARENESS)
        await client.hears(AwarenessMessage)
        assert client.link.frames[-1] == KEEPALIVE
        client.say(present(Entry(5, 1, HERE), Entry(6, 2, HERE)))
        await client.hears(AwarenessMessage, 2)
        client.say(QUERY_AWARENESS)
        await client.hears(AwarenessMessage, 3)
        assert entries(client)[-2:] == [Entry(5, 1, HERE), Entry(6, 2, HERE)]


async def test_a_viewers_edits_stay_out() -> None:
    """Read-only clients: edits are denied with the reason, sync is answered, the rest goes on."""
    store = TestStore()
    async with Hub(store, limits=FAST) as hub:
        writer, viewer = await join(hub), await join(hub, principal=VIEWER)
        viewer.type("no")
        assert viewer.denials == ["this document is read-only for you"]
        writer.type("yes")
        await until(lambda: viewer.read() and "yes" in str(viewer.text))
        viewer.sync()
        await viewer.hears(SyncStep2, 2)
        viewer.say(present(Entry(9, 1, HERE)))
        await writer.hears(AwarenessMessage)
        assert viewer.link.closed is None
        assert {record.author for batch in store.batches for record in batch} == {""}
        assert "no" not in str(writer.text)


async def test_a_viewers_step_2_with_nothing_new_is_no_violation() -> None:
    """Read-only clients: a step 2 that brings nothing is not even mentioned."""
    async with Hub(TestStore(), limits=FAST) as hub:
        writer = await join(hub)
        writer.type("shared")
        await until(lambda: hub.stats.updates_committed)
        viewer = await join(hub, principal=VIEWER)
        for _ in range(10):
            viewer.say(step_2_frame(viewer.doc.get_update()))
            viewer.say(step_2_frame(EMPTY_UPDATE))
        assert viewer.denials == []
        assert viewer.link.closed is None


async def test_a_viewer_that_insists_is_not_listened_to() -> None:
    """Read-only clients: the first edit is denied, all others are dropped, and it stays."""
    store = TestStore()
    async with Hub(store, limits=FAST) as hub:
        viewer, writer = await join(hub, principal=VIEWER), await join(hub)
        for _ in range(10):
            viewer.type("no")
            viewer.say(step_2_frame(viewer.doc.get_update()))
        writer.type("yes")
        await until(lambda: viewer.read() and "yes" in str(viewer.text))
        assert viewer.denials == ["this document is read-only for you"]
        assert viewer.link.closed is None
        assert hub.stats.updates_refused["read-only"] == 20
        assert str(writer.text) == "yes"


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x00\x02\x05abc", 4400),
        (b"", 4400),
        (update_frame(one(1, 0, "x")[:-1]), 4422),
        (update_frame(b"\x00\x00\x00"), 4422),
        (step_1_frame(state_vector((1, 1)) + b"\x00"), 4422),
        (present(Entry(1, 1, "{")), 4400),
        (present(Entry(1, 1, '"' + "x" * 70_000 + '"')), 4413),
    ],
)
async def test_a_refusal_is_told_before_it_closes(frame: bytes, code: int) -> None:
    """Auth message, close codes: the reason goes out as 02 00, then a final 44xx close."""
    async with Hub(TestStore(), limits=FAST) as hub:
        client, other = await join(hub), await join(hub)
        client.say(frame)
        got, reason = await client.gone()
        assert got == code
        assert client.link.frames[-1] == permission_denied_frame(reason)
        assert isinstance(client.messages[-1], AuthMessage)
        assert sum(hub.stats.rejected.values()) == 1
        other.type("on")
        await until(lambda: hub.stats.updates_committed)
        assert other.link.closed is None


async def test_refusal_delay_s() -> None:
    """Close codes: between the reason and the close there is a pause, so that it arrives."""
    hub = Hub(TestStore(), limits=quick(refusal_delay_s=60.0))
    async with hub:
        client = await join(hub)
        client.say(b"\xff")
        assert client.denials
        await settle()
        assert client.link.closed is None
        assert hub.connections == 0
    assert client.link.closed is not None
    assert client.link.closed[0] == 4400


async def test_nothing_is_taken_from_a_refused_client() -> None:
    """Close codes: what a refused client still sends is not read."""
    async with Hub(TestStore(), limits=quick(refusal_delay_s=60.0)) as hub:
        client, other = await join(hub), await join(hub)
        client.say(b"\xff")
        client.type("late")
        other.type("on")
        await until(lambda: hub.stats.updates_committed == 1)
        assert hub.stats.updates_in == 1


async def test_text_messages_are_refused() -> None:
    """Close codes: the protocol has no text messages, 4415."""
    async with Hub(TestStore(), limits=FAST) as hub:
        client = await join(hub)
        client.connection.receive_text()
        assert (await client.gone())[0] == 4415


async def test_messages_without_meaning_are_counted() -> None:
    """Auth and unknown messages from a client change nothing."""
    async with Hub(TestStore(), limits=FAST) as hub:
        client = await join(hub)
        client.say(permission_denied_frame("why?"))
        client.say(b"\x2a\x01\x02")
        assert hub.stats.messages_ignored == {"auth": 1, "unknown": 1}
        assert client.link.closed is None


async def test_a_long_offline_client_returns_with_one_step_2() -> None:
    """Message size: edits of weeks in one step 2 are taken like any others."""
    async with Hub(TestStore(), limits=FAST) as hub:
        away, other = await join(hub), await join(hub)
        away.text += "x" * 3_000_000
        away.say(step_2_frame(away.doc.get_update()))
        await other.shows("x" * 3_000_000)


async def test_own_updates_come_back_where_asked_for() -> None:
    """sync-status: a client that asks for it hears its own update once it is durable."""
    async with Hub(TestStore(), limits=FAST) as hub:
        asking, plain = await join(hub, acknowledge=True), await join(hub)
        asked, data = len(asking.link.frames), asking.type("mine")
        await plain.shows("mine")
        assert asking.link.frames[asked:] == [update_frame(data)]
        before = len(plain.link.frames)
        plain.type("!")
        await asking.shows("mine!")
        assert len(plain.link.frames) == before


async def test_something_ahead_is_asked_for_again() -> None:
    """An update that lacks something is answered with a step 1, for the client to bring it."""
    store = TestStore()
    async with Hub(store, limits=FAST) as hub:
        client, other = await join(hub), await join(hub)
        client.text += "lost "
        client.type("seen")
        await client.hears(SyncStep1, 2)
        await other.shows("lost seen")
        assert all(batch for batch in store.batches)
        assert hub.stats.updates_held == 1


async def test_who_lacks_it_itself_is_asked_less_and_less() -> None:
    """A client that waits for what it is asked for is not asked every second for ever."""
    lacking = step_2_frame(update(block(7, 0, item("a"), skip(1), item("c"))))
    async with Hub(TestStore(), limits=quick(housekeeping_interval_s=0.02)) as hub:
        client = await join(hub)
        client.read()
        times: list[float] = []
        while len(times) < 5:
            heard = sum(isinstance(each, SyncStep1) for each in client.messages)
            client.say(lacking)
            await client.hears(SyncStep1, heard + 1)
            times.append(anyio.current_time())
        pauses = [after - before for before, after in pairwise(times)]
        for pause, least in zip(pauses, (0.02, 0.04, 0.08, 0.16), strict=True):
            assert pause >= least
        client.say(step_2_frame(one(7, 0, "abc")))  # now it has it
        assert client.connection.asks == 0


async def test_deletions_travel() -> None:
    """A deletion without any insertion is stored and relayed."""
    async with Hub(TestStore(), limits=FAST) as hub:
        first, second = await join(hub), await join(hub)
        data = one(7, 0, "abc")
        first.say(update_frame(data))
        await second.shows("abc")
        first.say(update_frame(update(deletes=[(7, 1, 2)])))
        await second.shows("ac")
