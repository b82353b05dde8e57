"""A document's log that is kept while somebody asks for its past is the one in the store."""

from pathlib import Path
from random import Random

import anyio
import pytest

from crdtsync.clock import ManualClock
from crdtsync.errors import StoreError
from crdtsync.history import following as following_module
from crdtsync.history.following import FOLLOWED_S, Following
from crdtsync.history.model import UnknownDocument
from crdtsync.history.service import Histories
from crdtsync.hub import Hub
from crdtsync.store.base import DocumentInfo, Loaded
from tests.history.recording import ANN, checkpointed, recorded, text_at, typed
from tests.unit.engine import TestStore, quick, settle, until

pytestmark = pytest.mark.anyio

STILL = quick(housekeeping_interval_s=1e6)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both event loops."""
    return str(request.param)


class CountingStore(TestStore):
    """Counts what is read, and lets a load take its time."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.loading = anyio.Event()
        self.loading.set()
        self.waiting = self.late = False

    async def load(self, document: str) -> Loaded:
        self.reads += 1
        loaded = await super().load(document)
        self.waiting = True
        await self.loading.wait()
        self.waiting = False
        return await super().load(document) if self.late else loaded

    async def info(self, document: str) -> DocumentInfo | None:
        self.reads += 1
        return await super().info(document)


async def same(histories: Histories, name: str = "doc") -> int:
    """See that what is read is what somebody reads who has kept nothing; return the last moment."""
    found = await histories.inputs(name)
    assert found == await Following(histories).read(name)
    return max(each.sequence for each in (*found.records, found.stored, found.checkpoint) if each)


async def test_the_store_is_read_once() -> None:
    """Whatever is asked of a document that people edit, its log is not read again."""
    store = CountingStore()
    async with recorded(store, limits=STILL) as (hub, histories):
        client = await typed(hub, "one ", "two ")
        await histories.create("doc", label="two", principal=ANN)  # its history begins
        await histories.inputs("doc")
        before = store.reads
        for number in range(3, 6):
            client.type(f"{number} ")
            await until(lambda: hub.rooms["doc"].committed_sequence == number)  # noqa: B023
            assert (await histories.inputs("doc")).records[-1].sequence == number
        version = await histories.create("doc", label="five", principal=ANN)
        assert (version.sequence, version.author) == (5, "ann")
        assert (await histories.resolve("doc", f"v{version.id}")).sequence == 5
        assert await histories.exists("doc")
        done = await histories.restore("doc", "s2", principal=ANN)
        assert done.sequence == 6
        assert await text_at(histories, 6) == "one two "
        assert store.reads == before
        assert await same(histories) == 6


@pytest.mark.parametrize("late", [False, True])
async def test_what_is_committed_while_it_is_read(late: bool) -> None:
    """It is there once, whether the store had it already or not."""
    store = CountingStore()
    store.late = late
    async with recorded(store, limits=STILL) as (hub, histories):
        client = await typed(hub, "a")
        store.loading = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(histories.inputs, "doc")
            await until(lambda: store.waiting)
            client.type("b")
            await until(lambda: hub.rooms["doc"].committed_sequence == 2)
            store.loading.set()
        before = store.reads
        assert [each.sequence for each in (await histories.inputs("doc")).records] == [1, 2]
        assert store.reads == before
        assert await same(histories) == 2


async def test_a_read_that_fails() -> None:
    """Nothing is kept of it."""

    class Failing(CountingStore):
        async def info(self, document: str) -> DocumentInfo | None:
            raise StoreError("no")

    store = Failing()
    async with recorded(store, limits=STILL) as (hub, histories):
        await typed(hub, "a")
        with pytest.raises(StoreError):
            await histories.inputs("doc")
        assert not histories.following.active


async def test_checkpoints_and_the_history(tmp_path: Path) -> None:
    """When the log goes into the history both are read again."""
    store = CountingStore()
    async with recorded(store, tmp_path, limits=STILL) as (hub, histories):
        await typed(hub, "a", "b")
        assert await same(histories) == 2
        assert await checkpointed(hub)
        found = await histories.inputs("doc")
        assert found.stored is not None
        assert (found.stored.sequence, found.checkpoint, found.records) == (2, None, ())
        await typed(hub, "c")
        assert await same(histories) == 3
        await histories.erase_before("doc", "s2")
        assert not histories.following.active
        assert await same(histories) == 3


async def test_a_document_of_the_same_name(tmp_path: Path) -> None:
    """What was known of one that is deleted is not of the next one."""
    async with recorded(TestStore(), tmp_path, limits=STILL) as (hub, histories):
        await typed(hub, "old", "older")
        await same(histories)
        await hub.documents.delete("doc", ANN)
        assert not histories.following.active
        with pytest.raises(UnknownDocument):
            await histories.inputs("doc")
        await typed(hub, "new")
        assert await same(histories) == 1
        assert await text_at(histories, 1) == "new"


async def test_a_long_log_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one that was long when it was read, nor one that grew."""
    monkeypatch.setattr(following_module, "FOLLOWED_BYTES", 300)
    async with recorded(TestStore(), limits=STILL) as (hub, histories):
        client = await typed(hub, "a" * 100)
        await histories.inputs("doc")
        assert histories.following.active
        client.type("b" * 200)
        await until(lambda: not histories.following.active)
        assert await same(histories) == 2
        assert not histories.following.active


async def test_what_nobody_asks_for_is_let_go_of() -> None:
    """It takes memory for as long as somebody asks, and a while longer."""
    clock = ManualClock()
    async with recorded(TestStore(), limits=STILL, clock=clock) as (hub, histories):
        await typed(hub, "a")
        await histories.inputs("doc")
        clock.advance(FOLLOWED_S - 1)
        histories.automatic.look(hub.spawn)
        assert histories.following.active
        await histories.inputs("doc")
        clock.advance(FOLLOWED_S - 1)
        histories.automatic.look(hub.spawn)
        assert histories.following.active
        clock.advance(1)
        histories.automatic.look(hub.spawn)
        assert not histories.following.active


async def close(hub: Hub) -> None:
    """Have everybody leave and the idle rooms close."""
    for room in list(hub.rooms.values()):
        for connection in list(room.connections):
            connection.lost()
        await hub.housekeeping.checkpoint(room)
        await settle()
        del hub.rooms[room.name]


@pytest.mark.parametrize("seed", range(12))
async def test_anything_in_any_order(seed: int, tmp_path: Path) -> None:
    """What is read is what is stored, whatever was done to one document and another."""
    random = Random(seed)
    store = CountingStore()
    async with recorded(store, tmp_path, limits=STILL) as (hub, histories):
        last = {"one": 0, "two": 0}
        for _ in range(40):
            name = random.choice([*last])
            match random.choice(["type", "type", "type", "read", "read", "fold", "back", "close"]):
                case "type":
                    words = ["x"] * random.randrange(1, 4)
                    await typed(hub, *words, name=name)
                    last[name] += len(words)
                case "read" if last[name]:
                    assert await same(histories, name) == last[name]
                case "fold" if name in hub.rooms:
                    await checkpointed(hub, name)
                case "back" if last[name]:
                    moment = f"s{random.randrange(max(1, last[name] - 3), last[name] + 1)}"
                    last[name] = (await histories.restore(name, moment, principal=ANN)).sequence
                case "close":
                    await close(hub)
        for name, sequence in last.items():
            if sequence:
                assert await same(histories, name) == sequence
