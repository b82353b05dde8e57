"""Durable before visible: commits, failing stores, pressure, and what comes after a commit."""

import logging

import anyio
import anyio.lowlevel
import pytest

from crdtsync.batch import Editor
from crdtsync.committer import pause_s
from crdtsync.engine import Change
from crdtsync.errors import CrdtsyncError, InvalidUpdate, Unavailable
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.protocol import SyncStep2, SyncUpdate, update_frame
from crdtsync.update import scan

from .documents import content, history, replay
from .engine import FAST, TIMEOUT_S, Client, TestStore, join, quick, settle, until
from .wire import block, item, one, update

pytestmark = pytest.mark.anyio


# Durable before visible


async def test_nobody_sees_what_is_not_stored() -> None:
    """While the append has not returned nobody sees the edit: not others, not newcomers, not
    the author who asked for it back, not the library."""
    store = TestStore()
    async with Hub(store, limits=FAST) as hub:
        author, reader = await join(hub, acknowledge=True), await join(hub)
        store.stop()
        author.type("secret")
        await until(lambda: store.waiting)
        frames = len(author.link.frames), len(reader.link.frames)
        newcomer = await join(hub)
        reader.sync()
        await reader.hears(SyncStep2, 2)
        await settle()
        assert str(newcomer.text) == str(reader.text) == ""
        assert len(author.link.frames) == frames[0]
        async with hub.open("doc") as room:
            assert room.state() == b"\x00\x00"
            assert room.uncommitted
        store.gate.set()
        for client in (reader, newcomer):
            await client.shows("secret")
        assert len(author.link.frames) == frames[0] + 1


async def test_an_edit_of_the_library_returns_after_its_commit() -> None:
    """``Hub.edit`` returns the sequence once the store has it, and not before."""
    store = TestStore()
    async with Hub(store, limits=FAST) as hub, anyio.create_task_group() as tasks:
        done: list[int] = []

        async def edit() -> None:
            done.append(await hub.edit("doc", one(1, 0, "x"), Principal(id="ann")))

        store.stop()
        tasks.start_soon(edit)
        await until(lambda: store.waiting)
        await settle()
        assert done == []
        store.gate.set()
        await until(lambda: done)
        assert done == [1]
        assert [record.author for record in store.batches[0]] == ["ann"]


async def test_a_known_edit_returns_at_once() -> None:
    """An edit that brings nothing commits nothing and still answers."""
    store = TestStore()
    async with Hub(store, limits=FAST) as hub:
        assert await hub.edit("doc", one(1, 0, "x")) == 1
        assert await hub.edit("doc", one(1, 0, "x")) == 1
        assert len(store.batches) == 1


async def test_an_edit_that_lacks_something_leaves_nothing() -> None:
    """Where ``Hub.edit`` raises for what is missing, no part is kept, held or shown."""
    store = TestStore()
    async with Hub(store, limits=FAST) as hub:
        data = update(block(2, 0, item("b", parent="t")), block(1, 0, item("x", origin=(9, 0))))
        for _ in range(2):
            with pytest.raises(InvalidUpdate):
                await hub.edit("doc", data)
        room = hub.rooms["doc"]
        assert room.document.clocks == {}
        assert not room.document.waiting
        assert await hub.edit("doc", one(9, 0, "there")) == 1
        assert await hub.edit("doc", data) == 2
        assert room.document.clocks == {1: 1, 2: 1, 9: 5}


# Group commit


async def test_rooms_share_commits() -> None:
    """While one commit is on its way the next one gathers, over all rooms."""
    store = TestStore()
    async with Hub(store, limits=FAST) as hub:
        clients = [await join(hub, f"doc{number}") for number in range(10)]
        store.stop()
        clients[0].type("first")
        await until(lambda: store.waiting)
        for client in clients[1:]:
            client.type("then")
            client.type(" more")
        store.gate.set()
        await until(lambda: hub.stats.updates_committed == 19)
        assert len(store.batches) == 2
        assert len(store.batches[1]) == 9
        assert {record.document for record in store.batches[1]} == {f"doc{n}" for n in range(1, 10)}


async def test_commit_interval_s() -> None:
    """At most one commit starts per interval; what arrives meanwhile shares the next."""
    store, interval_s = TestStore(), 0.05
    async with Hub(store, limits=quick(commit_interval_s=interval_s)) as hub:
        client = await join(hub)
        begun_s = hub.clock.monotonic_s()
        client.type("a")
        await until(lambda: len(store.batches) == 1)
        for _ in range(20):
            client.type("b")
            await settle()
        await until(lambda: hub.stats.updates_committed == 21)
        took_s = hub.clock.monotonic_s() - begun_s  # 0.1 s, where nothing else holds it up
        assert len(store.batches) - 1 <= took_s / interval_s


def test_waiting_for_others() -> None:
    """An update waits the interval from its own arrival; a lone one commits at once."""
    assert pause_s(10.0, float("-inf"), 10.0, 2.0) == 0
    assert pause_s(10.0, 8.0, 10.0, 2.0) == 0  # the last commit is long enough ago
    assert pause_s(10.0, 8.5, 10.0, 2.0) == 2  # not what is left of the interval, 0.5
    assert pause_s(10.0, 9.0, 11.5, 2.0) == 0.5  # it came while another was under way
    assert pause_s(10.0, 9.0, 13.0, 2.0) <= 0
    assert pause_s(10.0, 10.0, 10.0, 0.0) == 0


async def test_a_lone_update_does_not_wait() -> None:
    """What nothing was committed shortly before is committed at once, whatever the interval."""
    store = TestStore()
    async with Hub(store, limits=quick(commit_interval_s=60.0)) as hub:
        client = await join(hub)
        client.type("a")
        await until(lambda: len(store.batches) == 1)


async def test_max_merge() -> None:
    """Up to the limit of updates become one record and one frame; 1 turns joining off."""
    for most, records in ((1, 7), (3, 3), (512, 1)):
        store = TestStore()
        async with Hub(store, limits=quick(max_merge=most)) as hub:
            client, reader = await join(hub), await join(hub)
            before = len(reader.link.frames)
            for _ in range(7):
                client.type("x")
            await reader.shows("x" * 7)
            assert sum(len(batch) for batch in store.batches) == records
            assert len(reader.link.frames) - before == records


async def test_a_batch_is_cut_by_size() -> None:
    """Above ``max_frame_bytes`` joined updates go into several records and frames."""
    store = TestStore()
    async with Hub(store, limits=quick(max_frame_bytes=1_000)) as hub:
        client = await join(hub)
        for _ in range(10):
            client.type("x" * 300)
        await until(lambda: hub.stats.updates_committed == 10)
        assert sum(len(batch) for batch in store.batches) >= 3
        assert all(len(record.update) <= 1_000 for batch in store.batches for record in batch)


async def test_each_record_has_one_author() -> None:
    """Updates of several authors in one commit are stored each under its own, in order."""
    store = TestStore()
    async with Hub(store, limits=FAST) as hub:
        ann = await join(hub, principal=Principal(id="ann"))
        bob = await join(hub, principal=Principal(id="bob"))
        reader = await join(hub)
        store.stop()
        ann.type("first")
        await until(lambda: store.waiting)
        for client in (ann, bob, ann, ann, bob):
            client.type("x")
        before = len(reader.link.frames)
        store.gate.set()
        await until(lambda: hub.stats.updates_committed == 6)
        assert [record.author for record in store.batches[1]] == ["ann", "bob", "ann", "bob"]
        assert [record.sequence for record in store.batches[1]] == [2, 3, 4, 5]
        assert len(reader.link.frames) - before == 2
        room = hub.rooms["doc"]
        assert (room.sequence, room.committed_sequence, room.log_records) == (5, 5, 5)


async def test_of_overlapping_updates_the_new_part_is_stored() -> None:
    """An update that repeats what is known is cut to what is not, and so joined with others."""
    store = TestStore()
    async with Hub(store, limits=FAST) as hub:
        client, reader = await join(hub), await join(hub)
        client.say(update_frame(one(1, 0, "ab")))
        client.say(update_frame(one(1, 0, "abcd")))
        await reader.shows("abcd")
        ((record,),) = store.batches
        assert scan(record.update, FAST).ranges == ((1, 0, 4),)


async def test_what_was_held_is_stored_under_its_sender() -> None:
    """An update that waited for another client's is recorded as its own author's."""
    store = TestStore()
    async with Hub(store, limits=FAST) as hub:
        ann = await join(hub, principal=Principal(id="ann"))
        bob = await join(hub, principal=Principal(id="bob"))
        bob.say(update_frame(one(2, 0, "b", origin=(1, 0))))
        ann.say(update_frame(one(1, 0, "a")))
        await until(lambda: hub.stats.updates_committed == 2)
        assert [record.author for batch in store.batches for record in batch] == ["ann", "bob"]


# A failing store


async def test_a_store_that_recovers_loses_nothing() -> None:
    """A failed append is retried; meanwhile nothing is shown and the room says it is degraded."""
    store = TestStore()
    failures = [True, True]
    store.failing = lambda _: bool(failures) and failures.pop()
    async with Hub(store, limits=quick(commit_retry_s=30.0)) as hub:
        author, reader = await join(hub), await join(hub)
        author.type("held")
        await until(lambda: hub.rooms["doc"].degraded)
        reader.read()
        assert str(reader.text) == ""
        author.type(" on")
        await reader.shows("held on")
        assert hub.rooms["doc"].degraded == ""
        assert hub.stats.store_errors["append"] == 2
        assert author.link.closed is None
        assert [record.sequence for batch in store.batches for record in batch] == [1, 2]


async def test_commit_retry_s() -> None:
    """A store that keeps failing sends the room's clients away with 1013: nothing was shown,
    nothing acknowledged, and when it works again they bring everything back."""
    store = TestStore()
    store.failing = lambda _: True
    async with Hub(store, limits=quick(commit_retry_s=0.08)) as hub:
        author, reader = await join(hub, acknowledge=True), await join(hub)
        held = hub.rooms["doc"]
        before = len(author.link.frames)
        author.type("kept")
        with pytest.raises(Unavailable):
            await hub.edit("doc", one(9, 0, "lost", parent="other"))
        for client in (author, reader):
            assert await client.gone() == (1013, "the store can't take edits now")
        assert not any(isinstance(m, SyncUpdate) for m in author.messages)
        assert len(author.link.frames) == before
        assert str(reader.text) == ""
        assert "doc" not in hub.rooms
        assert hub.stats.store_errors["append"] >= 2
        late = one(9, 0, "by who still had the room", parent="other")
        held.submit(late, scan(late, FAST), Editor(Principal()))
        with anyio.fail_after(TIMEOUT_S), pytest.raises(Unavailable, match="can't take edits now"):
            await hub.committed(held)
        store.failing = lambda _: False
        again = Client(hub)
        again.doc.apply_update(author.doc.get_update())
        again.sync()
        late = await join(hub)
        await again.hears(SyncStep2)
        await late.shows("kept")


async def test_one_documents_trouble_is_its_own() -> None:
    """While one document can't be stored the others go on at once."""
    store = TestStore()
    store.failing = lambda name: name == "bad"
    async with Hub(store, limits=quick(commit_retry_s=60.0)) as hub:
        bad = await join(hub, "bad")
        good, reader = await join(hub, "good"), await join(hub, "good")
        store.stop()
        good.type("a")
        bad.type("x")
        store.gate.set()
        await reader.shows("a")
        for _ in range(5):
            good.type("b")
            await settle()
        await reader.shows("abbbbb")
        assert hub.rooms["bad"].degraded
        assert not hub.rooms["good"].degraded
        assert bad.link.closed is None
        store.failing = lambda name: False


async def test_a_stalled_room_keeps_its_order() -> None:
    """What arrives while a batch is retried goes out behind it."""
    store = TestStore()
    store.failing = lambda _: True
    async with Hub(store, limits=quick(commit_retry_s=60.0)) as hub:
        author, reader = await join(hub), await join(hub)
        for number in range(5):
            author.type(str(number))
            await settle()
        store.failing = lambda _: False
        await reader.shows("01234")
        assert [r.sequence for batch in store.batches for r in batch] == list(
            range(1, 1 + sum(map(len, store.batches)))
        )


async def test_what_comes_while_a_commit_fails_waits_for_it() -> None:
    """An update that comes while the store is failing is tried behind the batch that failed, and
    not shown with it."""
    store = TestStore()
    async with Hub(store, limits=quick(commit_retry_s=60.0)) as hub:
        author, reader = await join(hub), await join(hub)
        store.stop()
        store.failing = lambda _: True
        author.type("a")
        await until(lambda: store.waiting)
        author.type("b")  # the commit of "a" is on its way
        store.gate.set()
        await until(lambda: store.attempts["doc"])
        await settle()
        store.failing = lambda _: False

        def shown() -> bool:
            reader.read()
            assert len(str(reader.text)) <= sum(map(len, store.batches))
            return str(reader.text) == "ab"

        await until(shown)
        assert [r.sequence for batch in store.batches for r in batch] == [1, 2]


async def test_a_drain_waits_for_a_store_that_recovers() -> None:
    """A shutdown lets the retries end before it sends the clients away."""
    store = TestStore()
    failures = [True]
    store.failing = lambda _: bool(failures) and failures.pop()
    async with Hub(store, limits=quick(commit_retry_s=30.0)) as hub:
        (await join(hub)).type("saved")
    assert sum(len(batch) for batch in store.batches) == 1


# Pressure


async def test_max_pending_bytes() -> None:
    """Above the limit of pending updates their senders are not read until a commit is through."""
    store = TestStore()
    async with Hub(store, limits=quick(max_pending_bytes=2_000)) as hub:
        busy, calm = await join(hub), await join(hub, "other")
        store.stop()
        calm.type("a")
        await until(lambda: store.waiting)
        busy.type("x" * 1_500)
        assert busy.link.reading
        busy.type("y" * 1_500)
        assert not busy.link.reading
        assert calm.link.reading
        calm.type("b")
        assert not calm.link.reading
        store.gate.set()
        await until(lambda: busy.link.reading and calm.link.reading)
        assert hub.pressure.pending_bytes == 0


# on_change


async def test_changes_are_told_in_order_and_after_the_commit() -> None:
    """``on_change`` gets each record as it was stored, in the order of commits."""
    store = TestStore()
    told: list[Change] = []

    async def on_change(change: Change) -> None:
        stored = [record.update for batch in store.batches for record in batch]
        assert change.update in stored
        await anyio.lowlevel.checkpoint()
        told.append(change)

    async with Hub(store, limits=FAST, on_change=on_change) as hub:
        for number, data in enumerate(history(2, steps=20)):
            await hub.edit("doc", data, Principal(id=f"p{number}"))
        await until(lambda: len(told) == sum(map(len, store.batches)))
        assert [change.sequence for change in told] == list(range(1, len(told) + 1))
        assert {change.document for change in told} == {"doc"}
        assert told[3].author.startswith("p")
        assert content(replay(*(change.update for change in told))) == content(
            replay(*history(2, steps=20))
        )


@pytest.mark.parametrize("error", [ValueError("mine"), CrdtsyncError("theirs")])
async def test_a_failing_on_change_is_logged(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """What ``on_change`` raises is logged, and neither commits nor later changes suffer."""
    told = []

    async def on_change(change: Change) -> None:
        told.append(change)
        if len(told) == 1:
            raise error

    async with Hub(TestStore(), limits=FAST, on_change=on_change) as hub:
        with caplog.at_level(logging.ERROR, "crdtsync"):
            await hub.edit("doc", one(1, 0, "x"))
            await hub.edit("doc", one(2, 0, "y"))
            await until(lambda: len(told) == 2)
        assert "on_change failed" in caplog.text


async def test_a_slow_on_change_holds_nothing_up() -> None:
    """While ``on_change`` sleeps, edits are stored and shown."""
    release = anyio.Event()

    async def on_change(change: Change) -> None:
        await release.wait()

    async with Hub(TestStore(), limits=FAST, on_change=on_change) as hub:
        author, reader = await join(hub), await join(hub)
        for letter in "abc":
            author.type(letter)
            await settle()
        await reader.shows("abc")
        release.set()


async def test_changes_are_told_before_the_hub_is_gone() -> None:
    """A shutdown lets ``on_change`` hear of everything that was committed."""
    told: list[int] = []

    async def on_change(change: Change) -> None:
        await anyio.sleep(0.001)
        told.append(change.sequence)

    async with Hub(TestStore(), limits=FAST, on_change=on_change) as hub:
        for number in range(10):
            await hub.edit("doc", one(number, 0, "x"))
    assert told == list(range(1, 11))
