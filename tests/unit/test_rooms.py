"""Rooms from their opening to their end: loading, checkpoints, idleness, deletion, draining."""

from typing import Any

import anyio
import pytest

from crdtsync.batch import Editor
from crdtsync.clock import ManualClock
from crdtsync.errors import (
    CloseCode,
    InvalidDocumentName,
    InvalidUpdate,
    Restarting,
    StoreDamaged,
    Unavailable,
)
from crdtsync.gate import Allow, Decision, Deny, Gate, Principal
from crdtsync.housekeeping import OVERLONG, WRITING_SHARE
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.protocol import KEEPALIVE, SyncStep2, SyncUpdate, step_2_frame, update_frame
from crdtsync.room import Room
from crdtsync.store.base import Checkpoint, Damage, Loaded
from crdtsync.structs import Scan
from crdtsync.update import scan

from .documents import content, fresh, history, replay
from .engine import FAST, Client, FakeLink, TestStore, join, quick, settle, until
from .wire import any_, one, type_

pytestmark = pytest.mark.anyio


async def committed(hub: Hub, count: int) -> None:
    await until(lambda: hub.stats.updates_committed >= count)


# Loading


async def test_a_document_is_loaded_once() -> None:
    """However many ask at once, the store is asked once and all are answered."""
    store = TestStore()
    loads: list[str] = []
    real = store.load

    async def counting(document: str) -> Loaded:
        loads.append(document)
        return await real(document)

    store.load = counting  # type: ignore[method-assign]
    store.stop_loads()
    async with Hub(store, limits=FAST) as hub:
        clients = [Client(hub) for _ in range(10)]
        for client in clients:
            client.sync()
        await until(lambda: loads)
        store.load_gate.set()
        for client in clients:
            await client.hears(SyncStep2)
        assert loads == ["doc"]


async def test_a_client_may_leave_while_its_document_loads() -> None:
    """One that goes before the document is there is never greeted."""
    store = TestStore()
    store.stop_loads()
    async with Hub(store, limits=FAST) as hub:
        gone, staying = Client(hub), Client(hub)
        gone.sync()
        gone.connection.lost()
        staying.sync()
        store.load_gate.set()
        await staying.hears(SyncStep2)
        assert gone.link.frames == []
        assert hub.connections == 1


async def test_a_document_that_cannot_be_loaded() -> None:
    """A store that can't load sends its clients away with 1013, without its own words, and
    everyone is let in again when it works."""
    store = TestStore()
    store.load_failing = True
    async with Hub(store, limits=FAST) as hub:
        client, other = Client(hub), Client(hub, "other")
        client.type("mine")
        for each in (client, other):
            code, reason = await each.gone()
            assert code == 1013
            assert "secret" not in reason
        with pytest.raises(Unavailable):
            async with hub.open("doc"):
                pass
        assert hub.stats.store_errors["load"] >= 2
        assert hub.connections == 0
        store.load_failing = False
        again = await join(hub)
        again.say(step_2_frame(client.doc.get_update()))
        await committed(hub, 1)
        assert again.link.closed is None


@pytest.mark.parametrize("kind", ["damage", "checkpoint", "record", "gap"])
async def test_a_damaged_document_is_read_only(kind: str) -> None:
    """What is intact is served, edits are denied with the reason, and nobody is sent away."""
    store = TestStore()
    async with Hub(store, limits=FAST) as hub:
        await hub.edit("doc", one(1, 0, "intact"))
    async with Hub(store, limits=FAST) as hub:
        await hub.edit("doc", one(1, 6, "!", origin=(1, 5)))
        sound = await store.load("doc")
        record = sound.records[-1]
        change: dict[str, Any] = {"update": b"\x01" if kind == "record" else one(3, 9, "gap")}
        bad = type(record)(record.document, 3, record.time_ms, "", change["update"])
        store.damaged = {
            "damage": Loaded(sound.checkpoint, sound.records, Damage("doc", 3, "bad checksum")),
            "checkpoint": Loaded(type(sound.checkpoint)("doc", 1, 0, b"\x01"), ()),  # type: ignore[misc]
            "record": Loaded(sound.checkpoint, (*sound.records, bad)),
            "gap": Loaded(sound.checkpoint, (*sound.records, bad)),
        }[kind]
    async with Hub(store, limits=FAST) as hub:
        client = await join(hub)
        assert str(client.text) == ("" if kind == "checkpoint" else "intact!")
        for _ in range(10):
            client.type("?")
        assert len(client.denials) == 10
        assert "read-only" in client.denials[0]
        assert client.link.closed is None
        with pytest.raises(StoreDamaged):
            await hub.edit("doc", one(9, 0, "x"))
    assert len(store.checkpoints) <= 2


# Limits of the hub


async def test_max_connections() -> None:
    """A connection more than the limit is asked to come back; one that goes makes room."""
    async with Hub(TestStore(), limits=quick(max_connections=2)) as hub:
        first = await join(hub)
        await join(hub, "other")
        with pytest.raises(Unavailable):
            Client(hub)
        first.connection.lost()
        await join(hub)
        assert hub.connections == 2


@pytest.mark.parametrize("name", ["", "x" * 20, "a\x00b", "\ud800"])
async def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    """Every way in checks the name: connections, the library, an edit."""
    async with Hub(TestStore(), limits=quick(max_document_name_bytes=10)) as hub:
        with pytest.raises(InvalidDocumentName):
            Client(hub, name)
        with pytest.raises(InvalidDocumentName):
            await hub.edit(name, one(1, 0, "x"))
        assert hub.rooms == {}


async def test_a_hub_is_used_while_it_is_open() -> None:
    """Before it is entered a hub lets nobody in, and says so."""
    hub = Hub(TestStore(), limits=FAST)
    with pytest.raises(RuntimeError, match="async with"):
        hub.connect(FakeLink(), "doc", Principal())


# Checkpoints


async def test_max_log_records() -> None:
    """A room in use writes a checkpoint when its log grows long, and its log begins anew."""
    store = TestStore()
    async with Hub(store, limits=quick(max_log_records=5)) as hub:
        client = await join(hub)
        for number in range(30):
            client.type("x")
            await committed(hub, number + 1)
        await until(lambda: store.checkpoints and hub.rooms["doc"].log_records <= 5)
        assert len(store.checkpoints) >= 2
        assert client.link.closed is None
        loaded = await store.load("doc")
        assert loaded.checkpoint is not None
        assert loaded.checkpoint.sequence + len(loaded.records) == 30
        room = hub.rooms["doc"]
        assert room.log_records == len(loaded.records)


async def test_max_log_bytes() -> None:
    """The same by size."""
    store = TestStore()
    async with Hub(store, limits=quick(max_log_bytes=1_000)) as hub:
        client = await join(hub)
        client.type("x" * 900)
        await committed(hub, 1)
        await settle()
        assert store.checkpoints == []
        client.type("x" * 900)
        await until(lambda: store.checkpoints)


async def test_a_checkpoint_that_takes_long_is_rare() -> None:
    """The next one comes when such ones take little of the time, or the log is much too long."""
    rest_s = 0.045 / WRITING_SHARE
    await rests(takes_s=0.05, rest_s=rest_s, limits=quick(max_log_records=3, checkpoint_rest_s=30))


async def test_checkpoint_rest_s() -> None:
    """However long a checkpoint took, the next one does not wait for longer than this."""
    await rests(takes_s=5, rest_s=12, limits=quick(max_log_records=3, checkpoint_rest_s=12))


async def rests(*, takes_s: float, rest_s: float, limits: Limits) -> None:
    """Let checkpoints take their time, and see when the next ones come."""
    clock = ManualClock()

    class SlowStore(TestStore):
        async def checkpoint(self, checkpoint: Checkpoint) -> None:
            clock.advance(takes_s)
            await super().checkpoint(checkpoint)

    store = SlowStore()
    async with Hub(store, limits=limits, clock=clock) as hub:
        client = await join(hub)
        typed = 0

        async def type_some(count: int) -> None:
            nonlocal typed
            for _ in range(count):
                typed += 1
                client.type("x")
                await committed(hub, typed)
            await settle()

        await type_some(4)
        await until(lambda: len(store.checkpoints) == 1)
        await type_some(4)
        clock.advance(rest_s - 1)
        await type_some(4)
        assert len(store.checkpoints) == 1
        clock.advance(2)  # nobody types
        await until(lambda: len(store.checkpoints) == 2)
        await type_some(OVERLONG * 3)
        assert len(store.checkpoints) == 2
        await type_some(1)
        await until(lambda: len(store.checkpoints) == 3)


async def test_checkpoints_count_every_record() -> None:
    """With several writers in one commit a checkpoint stands for all of their records."""
    store = TestStore()
    async with Hub(store, limits=quick(max_log_records=3)) as hub:
        writers = [await join(hub) for _ in range(5)]
        for number in range(6):
            store.stop()
            for writer in writers:
                writer.type("x")
            store.gate.set()
            await committed(hub, 5 * (number + 1))
    loaded = await reloaded(store)
    assert loaded.checkpoint is not None
    assert loaded.records == ()
    assert loaded.checkpoint.sequence == sum(map(len, store.batches))


async def test_a_checkpoint_that_fails_keeps_the_log() -> None:
    """Where the store can't take a checkpoint nothing is lost and nobody is bothered."""
    store = TestStore()
    store.checkpoint_failing = True
    async with Hub(store, limits=quick(max_log_records=2)) as hub:
        client = await join(hub)
        for number in range(10):
            client.type("x")
            await committed(hub, number + 1)
        await until(lambda: hub.stats.store_errors["checkpoint"])
        assert client.link.closed is None
    assert len((await reloaded(store)).records) == 10
    store.checkpoint_failing = False
    async with Hub(store, limits=FAST) as hub:
        await (await join(hub)).shows("x" * 10)


async def reloaded(store: TestStore) -> Loaded:
    async with store:
        return await store.load("doc")


async def test_max_tail_updates() -> None:
    """Committed updates are integrated when their number passes the limit, and not before."""
    async with Hub(TestStore(), limits=quick(max_tail_updates=10)) as hub:
        client = await join(hub)
        seen = []
        for number in range(25):
            client.type("x")
            await committed(hub, number + 1)
            seen.append(hub.rooms["doc"].document.tail_updates)
        assert max(seen) == 10
        assert seen[10] == 0
        assert hub.stats.integration_seconds > 0


# Idle rooms


async def test_idle_room_s() -> None:
    """A room that nobody uses is checkpointed and closed after a while, and opens again."""
    store, clock = TestStore(), ManualClock()
    async with Hub(store, limits=quick(idle_room_s=30.0), clock=clock) as hub:
        client = await join(hub)
        client.type("kept")
        await committed(hub, 1)
        clock.advance(100)
        await settle()
        client.connection.lost()
        clock.advance(29)
        await settle()
        assert "doc" in hub.rooms
        clock.advance(2)
        await until(lambda: "doc" not in hub.rooms)
        assert [checkpoint.sequence for checkpoint in store.checkpoints] == [1]
        again = await join(hub)
        await again.shows("kept")
        again.type("!")
        await committed(hub, 2)
        assert [record.sequence for batch in store.batches for record in batch] == [1, 2]


async def test_a_pinned_room_stays() -> None:
    """A room that the library holds open is not closed under it."""
    clock = ManualClock()
    async with Hub(TestStore(), limits=quick(idle_room_s=1.0), clock=clock) as hub:
        async with hub.open("doc") as room:
            clock.advance(100)
            for _ in range(5):
                await settle()
            assert hub.rooms["doc"] is room
        clock.advance(2)
        await until(lambda: "doc" not in hub.rooms)


async def test_someone_who_comes_while_an_idle_room_is_stored() -> None:
    """A client that comes during the last checkpoint keeps the room open."""
    store, clock = TestStore(), ManualClock()
    async with Hub(store, limits=quick(idle_room_s=1.0), clock=clock) as hub:
        await hub.edit("doc", one(1, 0, "kept"))
        coming: list[Client] = []
        real = store.checkpoint

        async def slow(checkpoint: Any) -> None:
            coming.append(Client(hub))
            await real(checkpoint)

        store.checkpoint = slow  # type: ignore[method-assign]
        clock.advance(2)
        await until(lambda: coming)
        coming[0].sync()
        await coming[0].shows("kept")
        await settle()
        assert hub.rooms["doc"].connections


async def test_a_slow_checkpoint_of_an_idle_room_holds_nobody_up() -> None:
    """While an idle room is stored other rooms' clients hear from the server as ever."""
    store, clock = TestStore(), ManualClock()
    limits = quick(idle_room_s=1.0, keepalive_s=0.008, drain_timeout_s=0.01)
    async with Hub(store, limits=limits, clock=clock) as hub:
        await hub.edit("idle", one(1, 0, "x"))
        started: list[Any] = []

        async def hanging(checkpoint: Any) -> None:
            started.append(checkpoint)
            await anyio.sleep_forever()

        store.checkpoint = hanging  # type: ignore[method-assign]
        client = await join(hub)
        clock.advance(2)
        await until(lambda: started)
        before = client.link.frames.count(KEEPALIVE)
        await until(lambda: client.link.frames.count(KEEPALIVE) > before + 1)
        assert len(started) == 1


async def test_a_room_at_rest_goes_on() -> None:
    """A room in use that nobody asked for a while lets go of what it can make again."""
    clock = ManualClock()
    async with Hub(TestStore(), limits=quick(idle_room_s=1.0), clock=clock) as hub:
        client = await join(hub)
        client.type("a")
        await committed(hub, 1)
        hub.rooms["doc"].integrate()
        clock.advance(5)
        await until(lambda: hub.rooms["doc"].active_s == clock.monotonic_s())
        client.type("b")
        await committed(hub, 2)
        await (await join(hub)).shows("ab")


async def test_housekeeping_interval_s() -> None:
    """The hub looks after its rooms at its interval and not in between."""
    clock = ManualClock()
    limits = quick(idle_room_s=0.0, housekeeping_interval_s=1e6)
    async with Hub(TestStore(), limits=limits, clock=clock) as hub:
        await hub.edit("doc", one(1, 0, "x"))
        clock.advance(1e9)
        await settle()
        assert "doc" in hub.rooms


# Draining


async def test_a_drain_commits_checkpoints_and_closes() -> None:
    """A shutdown stores what came, writes checkpoints, and closes everyone with 1012."""
    store = TestStore()
    async with Hub(store, limits=FAST) as hub:
        clients = [await join(hub, name) for name in ("a", "b", "b")]
        for client in clients:
            client.type("last words")
        await hub.drain()
        for client in clients:
            assert await client.gone() == (1012, "the server is restarting")
        assert sorted(checkpoint.document for checkpoint in store.checkpoints) == ["a", "b"]
        with pytest.raises(Restarting):
            Client(hub)
        with pytest.raises(Restarting):
            await hub.edit("a", one(1, 0, "x"))
    async with Hub(store, limits=FAST) as hub:
        await (await join(hub, "a")).shows("last words")
        await (await join(hub, "b")).shows("last words" * 2)


@pytest.mark.parametrize("stuck", ["load", "commit"])
async def test_nobody_waits_for_a_hub_that_has_ended(stuck: str) -> None:
    """Where the store never answers, whoever waits for it learns that it won't any more."""
    store, told = TestStore(), anyio.Event()

    async def edit(hub: Hub) -> None:
        with pytest.raises(Unavailable, match="stopped"):
            await hub.edit("doc", one(1, 0, "x"))
        told.set()

    async with anyio.create_task_group() as tasks:
        async with Hub(store, limits=quick(drain_timeout_s=0.01)) as hub:
            if stuck == "load":
                store.stop_loads()
            else:
                store.stop()
            tasks.start_soon(edit, hub)
            await settle()
        with anyio.fail_after(5):
            await told.wait()


async def test_drain_timeout_s() -> None:
    """A store that hangs holds a shutdown up for no longer than the limit."""
    store = TestStore()
    with anyio.fail_after(5):
        async with Hub(store, limits=quick(drain_timeout_s=0.02)) as hub:
            client = await join(hub)
            store.stop()
            client.type("x")
            await until(lambda: store.waiting)
    assert client.link.closed is not None
    assert client.link.closed[0] == 1012


async def test_a_hub_that_fails_still_stores_what_came() -> None:
    """When the block raises, the hub drains all the same, and the error is the caller's."""
    store = TestStore()
    clients: list[Client] = []

    async def fail() -> None:
        async with Hub(store, limits=FAST) as hub:
            clients.append(await join(hub))
            clients[0].type("kept")
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await fail()
    assert clients[0].link.closed is not None
    assert len(store.batches) == 1


# The library's way in


async def test_an_edit_reaches_the_clients() -> None:
    """``Hub.edit`` is like a client's edit: stored, shown, with its author."""
    store = TestStore()
    async with Hub(store, limits=FAST) as hub:
        client = await join(hub)
        await hub.edit("doc", one(7, 0, "from the library"), Principal(id="robot"))
        await client.shows("from the library")
        assert store.batches[0][0].author == "robot"


@pytest.mark.parametrize("data", [b"\x01", one(1, 5, "x", origin=(1, 4)), one(1, 0, "")])
async def test_an_edit_that_does_not_fit_is_refused(data: bytes) -> None:
    """Damage and updates that refer to something unknown raise, and nothing is stored."""
    store = TestStore()
    async with Hub(store, limits=FAST) as hub:
        with pytest.raises(InvalidUpdate):
            await hub.edit("doc", data)
        await settle()
        assert store.batches == []


async def test_an_open_room_can_be_read() -> None:
    """Inside ``Hub.open`` the room is loaded: state, state vector, export, sequence."""
    made = history(3)
    async with Hub(TestStore(), limits=FAST) as hub:
        for data in made:
            await hub.edit("doc", data)
        async with hub.open("doc") as room:
            assert content(replay(room.state())) == content(replay(*made))
            reader = fresh()
            reader.apply_update(room.state())
            assert room.sequence == room.committed_sequence == hub.stats.updates_committed
            shown = room.export()
            assert shown["text"].kind == "text"
        assert hub.rooms["doc"].pins == 0


async def test_delete() -> None:
    """A deleted document's clients are sent away for good, and the store forgets it."""
    store = TestStore()
    async with Hub(store, limits=FAST) as hub:
        client, other = await join(hub), await join(hub, "other")
        client.type("x")
        assert await hub.delete("doc")
        code, _ = await client.gone()
        assert 4400 <= code < 4500
        assert "doc" not in hub.rooms
        assert not await hub.delete("doc")
        assert await store.info("doc") is None
        fresh_one = await join(hub)
        assert str(fresh_one.text) == ""
        assert other.link.closed is None
        assert await hub.edit("doc", one(1, 0, "new")) == 1


async def test_delete_waits_for_what_is_on_its_way() -> None:
    """A delete lets pending edits through to the store first, so that none comes after it."""
    store = TestStore()
    async with Hub(store, limits=FAST) as hub, anyio.create_task_group() as tasks:
        client = await join(hub)
        store.stop()
        client.type("x")
        await until(lambda: store.waiting)
        tasks.start_soon(hub.delete, "doc")
        await settle()
        late = Client(hub)
        late.sync()
        store.gate.set()
        await until(lambda: "doc" not in hub.rooms or late.link.closed)
        await settle()
        assert (await store.load("doc")).records == ()


async def test_nobody_is_left_in_the_room_of_a_deleted_document() -> None:
    """Who comes while the last edits are on their way is sent away, and no edit of theirs becomes
    one of the next document of that name."""
    store = TestStore()
    async with Hub(store, limits=FAST) as hub, anyio.create_task_group() as tasks:
        client = await join(hub)
        store.stop()
        client.type("x")
        await until(lambda: store.waiting)
        room = hub.rooms["doc"]
        tasks.start_soon(hub.delete, "doc")
        await client.gone()
        late = [Client(hub) for _ in range(3)]
        for each in late:
            each.sync()
            await each.hears(SyncStep2)
        assert list(room.connections) == [each.connection for each in late]
        store.gate.set()
        for each in late:
            assert (await each.gone())[0] == CloseCode.FORBIDDEN
        assert not room.connections
        await until(lambda: hub.rooms.get("doc") is not room)
        assert (await store.load("doc")).records == ()


async def test_nothing_waits_for_all_others_to_stop_typing() -> None:
    """A delete, a flush and the end take as long as what is pending then, however others type."""
    store = TestStore()
    typed = 0
    async with Hub(store, limits=FAST) as hub, anyio.create_task_group() as tasks:
        await hub.edit("doc", one(1, 0, "old"))
        busy = await join(hub, "busy")

        def more_than(done: int) -> bool:
            return hub.stats.updates_committed > done

        async def type_on() -> None:
            nonlocal typed
            while True:
                busy.type("x")
                typed += 1
                await until(lambda done=hub.stats.updates_committed: more_than(done))
                busy.type("y")  # right behind the commit: something is always pending

        tasks.start_soon(type_on)
        await until(lambda: typed > 5)
        assert await hub.delete("doc")
        await hub.committer.flush()
        before = typed
        await until(lambda: typed > before)
        await hub.drain()
        tasks.cancel_scope.cancel()


class SlowlyDeleting(TestStore):
    """A store whose deletions wait."""

    def __init__(self) -> None:
        super().__init__()
        self.deleting, self.go_on = anyio.Event(), anyio.Event()

    async def delete(self, document: str) -> bool:
        self.deleting.set()
        await self.go_on.wait()
        return await super().delete(document)


async def test_who_comes_while_a_document_is_deleted() -> None:
    """Nobody opens what goes: his room would keep it, and write it into the store again."""
    store = SlowlyDeleting()
    async with Hub(store, limits=FAST) as hub, anyio.create_task_group() as tasks:
        await hub.edit("doc", one(1, 0, "old"))
        tasks.start_soon(hub.delete, "doc")
        await store.deleting.wait()
        with pytest.raises(Restarting, match="being deleted"):
            hub.connect(FakeLink(), "doc", Principal())
        with pytest.raises(Restarting, match="being deleted"):
            await hub.edit("doc", one(2, 0, "also old"))
        assert "doc" not in hub.rooms
        other = await join(hub, "other")
        assert str(other.text) == ""  # that document alone
        store.go_on.set()
        await settle()
        later = await join(hub)
        assert str(later.text) == ""
        assert await hub.edit("doc", one(1, 0, "new")) == 1


async def test_who_has_a_document_open_while_it_is_deleted() -> None:
    """What he writes then does not enter the next document of that name."""
    store = TestStore()
    async with Hub(store, limits=quick(commit_retry_s=0.2)) as hub:
        await hub.edit("doc", one(1, 0, "old"))
        async with hub.open("doc") as room:
            assert await hub.delete("doc")
            assert await hub.edit("doc", one(2, 0, "new")) == 1
            update = one(1, 3, "also old", origin=(1, 2))
            room.submit(update, scan(update, hub.limits), Editor(Principal()))
            with pytest.raises(Unavailable, match="deleted"):
                await hub.committed(room)
        await settle()
        assert len((await store.load("doc")).records) == 1
        assert await hub.edit("doc", one(2, 3, "er", origin=(2, 2))) == 2


async def test_two_delete_a_document_at_once() -> None:
    """The document is closed until the last of them is done."""
    store = SlowlyDeleting()
    async with Hub(store, limits=FAST) as hub, anyio.create_task_group() as tasks:
        await hub.edit("doc", one(1, 0, "old"))
        first = anyio.CancelScope()
        second: list[bool] = []

        async def cancelled() -> None:
            with first:
                await hub.delete("doc")

        async def delete() -> None:
            second.append(await hub.delete("doc"))

        tasks.start_soon(cancelled)
        await store.deleting.wait()
        tasks.start_soon(delete)
        await settle()
        first.cancel()
        await settle()
        with pytest.raises(Restarting):
            hub.connect(FakeLink(), "doc", Principal())
        store.go_on.set()
        await until(lambda: second == [True])
        assert str((await join(hub)).text) == ""


async def test_a_room_that_was_let_go_of_is_not_loaded() -> None:
    """It would take the place of the one that is open now: its chat, and who waits for it."""

    class Late(TestStore):
        async def load(self, document: str) -> Loaded:
            found = await super().load(document)
            if waits:
                await waits.pop(0).wait()
            return found

    old, new = anyio.Event(), anyio.Event()
    waits: list[anyio.Event] = []
    store = Late()
    async with Hub(store, limits=FAST) as hub, anyio.create_task_group() as tasks:
        await hub.edit("doc", one(1, 0, "old"))
        hub.abandon(hub.rooms["doc"], "to load it afresh")
        waits += [old, new]
        first = Client(hub)
        await settle()
        gone = hub.rooms["doc"]
        hub.abandon(gone, "once more")
        assert (await first.gone())[0] == CloseCode.TRY_AGAIN_LATER
        opened: list[Room] = []

        async def use() -> None:
            async with hub.open("doc") as room:
                opened.append(room)

        tasks.start_soon(use)
        await settle()
        old.set()
        await settle()
        assert not gone.loaded
        assert opened == []  # it waits for its own
        new.set()
        await until(lambda: bool(opened))
        assert opened == [hub.rooms["doc"]]


# Gates


class Secretary:
    """Lets only some in: a gate that looks at the principal, the document and the roots."""

    def check(self, principal: Principal, document: str, update: bytes, scan: Scan) -> Decision:
        if "private" in scan.roots and principal.id != "boss":
            return Deny("only the boss writes there")
        return Allow()


async def test_a_custom_gate_decides() -> None:
    """A gate sees who, where and what; a denied update changes nothing."""
    gate: Gate = Secretary()
    async with Hub(TestStore(), limits=FAST, gate=gate) as hub:
        boss = await join(hub, principal=Principal(id="boss"))
        clerk = await join(hub, principal=Principal(id="clerk"))
        clerk.say(update_frame(one(6, 0, "y", parent="text")))
        boss.say(update_frame(one(7, 0, "z", parent="private")))
        await committed(hub, 2)
        await boss.shows("y")
        assert clerk.link.closed is None
        clerk.say(update_frame(one(5, 0, "x", parent="private")))
        assert clerk.denials == ["only the boss writes there"]
        assert hub.stats.rejected["denied"] == 1
        code, reason = await clerk.gone()
        assert (code, reason) == (4409, "start from a fresh document: only the boss writes there")


async def test_a_custom_gate_decides_for_viewers_too() -> None:
    """Where a gate is given it alone decides, whatever the principal says."""

    class Open:
        def check(self, principal: Principal, document: str, update: bytes, scan: Scan) -> Decision:
            return Allow()

    async with Hub(TestStore(), limits=FAST, gate=Open()) as hub:
        viewer, other = await join(hub, principal=Principal(read_only=True)), await join(hub)
        viewer.type("let in")
        await other.shows("let in")


# Refused updates at the engine


async def test_a_refused_update_harms_nobody_else() -> None:
    """An update that may not enter closes its sender, and the document goes on."""
    store = TestStore()
    async with Hub(store, limits=FAST) as hub:
        attacker, victim = await join(hub), await join(hub)
        victim.type("fine")
        await attacker.shows("fine")
        attacker.say(update_frame(one(66, 0, any_(b"\x7e"), parent="m", key="k", deletes=())))
        attacker.say(update_frame(one(66, 1, type_(1), right=(66, 0))))
        assert (await attacker.gone())[0] == 4422
        victim.type("!")
        await committed(hub, 3)
        assert victim.link.closed is None
        await (await join(hub)).shows("fine!")


async def test_held_updates_are_dropped_with_the_room_and_asked_for_again() -> None:
    """What waited when a room closed is brought again by the client that has it."""
    store, clock = TestStore(), ManualClock()
    async with Hub(store, limits=quick(idle_room_s=1.0), clock=clock) as hub:
        client = await join(hub)
        first = one(7, 0, "a")
        second = one(7, 1, "b", origin=(7, 0))
        client.say(update_frame(second))
        assert len(hub.rooms["doc"].document.waiting) == 1
        client.connection.lost()
        clock.advance(5)
        await until(lambda: "doc" not in hub.rooms)
        again = await join(hub)
        again.say(update_frame(first))
        again.say(update_frame(second))
        await (await join(hub)).shows("ab")


async def test_a_client_that_left_hears_nothing_more() -> None:
    """After ``lost`` nothing is sent, however often it is called, and nothing is taken."""
    async with Hub(TestStore(), limits=FAST) as hub:
        gone, other = await join(hub), await join(hub)
        gone.connection.lost()
        gone.connection.lost()
        before = len(gone.link.frames)
        other.type("x")
        gone.type("y")
        await committed(hub, 1)
        await settle()
        assert len(gone.link.frames) == before
        assert hub.stats.connections_closed == 1
        assert not any(isinstance(m, SyncUpdate) for m in gone.messages)


async def test_slow_clients_are_no_reason_to_keep_memory() -> None:
    """However long one lags, what is kept for it stays under the limits."""
    async with Hub(TestStore(), limits=Limits(max_backlog_log_bytes=10_000)) as hub:
        author, slow = await join(hub), await join(hub)
        slow.block()
        for number in range(200):
            author.type("x" * 500)
            if number % 20 == 0:
                await committed(hub, number + 1)
        await committed(hub, 200)
        assert hub.rooms["doc"].fanout._log_bytes <= 10_000
        slow.drain()
        await slow.shows("x" * 100_000)
