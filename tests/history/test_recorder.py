"""Before a checkpoint drops the log, the log is in the history; whatever fails, nothing is lost."""

import shutil
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import anyio
import pycrdt
import pytest

from crdtsync.clock import ManualClock
from crdtsync.errors import StoreDamaged, StoreError, StoreFull
from crdtsync.history import proving, recorder, tables
from crdtsync.history.base import HistoryChanged
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.model import HistoryOff, HistoryUnavailable, Stored, UnknownMoment
from crdtsync.history.past import Past
from crdtsync.history.recorder import FIRST_RETRY_S, LAST_RETRY_S, MAX_UNAVAILABLE
from crdtsync.history.retention import HistoryRules
from crdtsync.hub import Hub
from crdtsync.store.base import Checkpoint, Store
from crdtsync.store.file import FileStore
from crdtsync.store.memory import MemoryStore
from crdtsync.store.sqlite import SQLiteStore
from tests.history.recording import (
    ANN,
    BOB,
    checkpointed,
    moments,
    past_of,
    recorded,
    text_at,
    typed,
)
from tests.unit.engine import FAST, join, until
from tests.unit.wire import one

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both event loops."""
    return str(request.param)


STORES: dict[str, Callable[[Path], Store]] = {
    "sqlite": lambda folder: SQLiteStore(folder / "store.db"),
    "file": lambda folder: FileStore(folder / "store"),
}


def remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def everything(folder: Path) -> bytes:
    """Return what lies in all files of a folder."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


@pytest.mark.parametrize("kind", STORES)
async def test_moments_outlive_the_log(tmp_path: Path, kind: str) -> None:
    """Each record's moment is there after checkpoints and restarts, with author and time."""
    clock = ManualClock()
    words = ["one ", "two ", "three "]
    async with recorded(STORES[kind](tmp_path), tmp_path, clock=clock) as (hub, histories):
        await typed(hub, *words)
        clock.advance(60)
        assert await checkpointed(hub)
        assert (await histories.store.load("doc")).records == ()
        await typed(hub, "four ", who=BOB)
        assert await moments(histories) == [1, 2, 3, 4]
    async with recorded(STORES[kind](tmp_path), tmp_path, clock=clock) as (hub, histories):
        await typed(hub, "five ", who=BOB)
        for _ in range(2):
            past = await past_of(histories)
            assert [each.author for each in past.timeline.changes()] == ["ann"] * 3 + ["bob"] * 2
            times = [each.time_ms for each in past.timeline.changes()]
            assert times[3] - times[0] == 60_000
            assert [await text_at(histories, n) for n in range(6)] == [
                "".join([*words, "four ", "five "][:n]) for n in range(6)
            ]
            assert await checkpointed(hub)
        assert histories.stats.folds == 1


@pytest.mark.parametrize("kind", STORES)
async def test_a_document_stays_the_same_life(tmp_path: Path, kind: str) -> None:
    """No checkpoint, restart or settling makes another incarnation of a document."""
    for number in range(3):
        async with recorded(STORES[kind](tmp_path), tmp_path) as (hub, histories):
            await typed(hub, "x", "y")
            assert await checkpointed(hub)
            assert await moments(histories) == list(range(1, 2 * number + 3))
            assert not histories.stats.errors


async def test_without_history() -> None:
    """A hub without a history store keeps none; of a document that is left out it keeps none."""
    async with Hub(MemoryStore(), limits=FAST) as hub:
        await typed(hub, "one")
        assert hub.history is None
        assert await checkpointed(hub)
    rules = HistoryRules(excluded=("scratch/*",))
    async with recorded(rules=rules) as (hub, histories):
        for name in ("doc", "scratch/1"):
            await typed(hub, "one", name=name)
            assert await checkpointed(hub, name)
        assert [each.document for each in await histories.kept.outlines()] == ["doc"]
        with pytest.raises(HistoryOff):
            await histories.versions("scratch/1")
        with pytest.raises(HistoryOff):
            await histories.resolve("scratch/1", "now")


async def test_large_ones_are_a_worker_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is more than a few kilobytes is folded elsewhere, and not in this process."""

    def here(*args: object) -> Stored:
        raise AssertionError("folded in place")

    async with recorded() as (hub, histories):
        await typed(hub, "small")
        assert await checkpointed(hub)
        monkeypatch.setattr(recorder, "FOLD_HERE_BYTES", 0)
        async with anyio.create_task_group():
            await typed(hub, "x" * 300_000)
            assert await checkpointed(hub)
        assert await moments(histories) == [1, 2]
        assert histories.workers._idle  # who did it waits for more
    del here


async def test_when_the_history_can_t_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no checkpoint, which is counted; it is tried again later, more and more rarely."""
    clock = ManualClock()
    async with recorded(clock=clock) as (hub, histories):
        await typed(hub, "one ")

        async def full(*args: object, **options: object) -> int:
            raise StoreFull("no room")

        with monkeypatch.context() as patched:
            patched.setattr(histories.kept, "save", full)
            pauses = []
            for failures in range(1, 12):
                assert not await checkpointed(hub)
                assert histories.stats.errors["fold"] == failures
                assert not await checkpointed(hub)  # not yet
                assert histories.stats.errors["fold"] == failures
                assert len((await hub.store.load("doc")).records) == 1
                pause = 0.0
                while not histories.recorder.ready("doc"):
                    clock.advance(2.5)
                    pause += 2.5
                pauses.append(pause)
            assert pauses[:3] == [FIRST_RETRY_S, 2 * FIRST_RETRY_S, 4 * FIRST_RETRY_S]
            assert pauses[-1] == LAST_RETRY_S
        await typed(hub, "two ")  # it is served all the while
        assert await checkpointed(hub)
        assert [await text_at(histories, n) for n in (1, 2)] == ["one ", "one two "]
        assert histories.recorder._failing == {}


async def test_work_that_never_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What kills its worker again and again keeps the log for a while, and not for ever."""
    clock = ManualClock()
    async with recorded(clock=clock) as (hub, histories):
        await typed(hub, "one ")
        assert await checkpointed(hub)
        await typed(hub, "two ")

        async def dies(*args: object) -> Stored:
            raise HistoryUnavailable("the process died")

        monkeypatch.setattr(histories.recorder, "_work", dies)
        for _ in range(MAX_UNAVAILABLE - 1):
            assert not await checkpointed(hub)
            clock.advance(LAST_RETRY_S)
        assert (await histories.inputs("doc")).stored is not None
        assert await checkpointed(hub)
        assert (await histories.inputs("doc")).stored is None  # aside


async def test_a_damaged_history_begins_anew(tmp_path: Path) -> None:
    """What is damaged is set aside: the checkpoint goes on, with what the log still has."""
    async with recorded(folder=tmp_path) as (hub, histories):
        await typed(hub, "one ", "two ")
        assert await checkpointed(hub)
        connection = sqlite3.connect(tmp_path / tables.FILE)
        with connection:
            connection.execute("UPDATE parts SET data = x'00' WHERE number = 1")
        connection.close()
        await typed(hub, "three ", "four ")
        assert await checkpointed(hub)
        assert await moments(histories) == [2, 3, 4]
        assert await text_at(histories, 3) == "one two three "
        assert histories.stats.errors["damaged"] == 1


async def test_a_history_that_means_nothing(tmp_path: Path) -> None:
    """So is one whose bytes are as they were written, and yet no history."""
    async with recorded(folder=tmp_path) as (hub, histories):
        await typed(hub, "one ")
        assert await checkpointed(hub)
        kept = await histories.kept.load("doc")
        assert kept is not None
        await histories.kept.save(
            "doc",
            Stored(1, kept.stored.head, b"what is this", kept.stored.blocks),
            incarnation=kept.outline.incarnation,
            revision=kept.outline.revision,
        )
        await typed(hub, "two ")
        assert await checkpointed(hub)
        assert await moments(histories) == [1, 2]
        assert histories.stats.errors["damaged"] == 1


async def test_a_damaged_database_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that SQLite can't read any more is kept, and history goes on in a new one."""
    async with recorded(folder=tmp_path) as (hub, histories):
        await typed(hub, "one ")
        real = histories.kept.load
        aside = tmp_path / f"{tables.FILE}.damaged-1"

        async def load(document: str, /) -> Any:
            if not aside.exists():
                raise StoreDamaged("database disk image is malformed")
            return await real(document)

        monkeypatch.setattr(histories.kept, "load", load)
        assert await checkpointed(hub)
        assert await moments(histories) == [1]
        assert aside.exists()


@pytest.mark.parametrize("forgetting", [False, True])
async def test_a_database_that_breaks_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgetting: bool
) -> None:
    """So it is where writing finds the damage; deleting a document is not held up by it."""
    async with recorded(folder=tmp_path) as (hub, histories):
        await typed(hub, "one ")
        name = "forget" if forgetting else "save"
        real = getattr(histories.kept, name)
        told: list[str] = []

        async def breaks(document: str, *args: Any, **options: Any) -> Any:
            if not told:
                told.append(document)
                raise StoreDamaged("database disk image is malformed")
            return await real(document, *args, **options)

        monkeypatch.setattr(histories.kept, name, breaks)
        if forgetting:
            assert await hub.delete("doc")
        else:
            assert await checkpointed(hub)
            assert await moments(histories) == [1]
        assert (tmp_path / f"{tables.FILE}.damaged-1").exists()


async def test_another_life_of_a_document(tmp_path: Path) -> None:
    """A document that was deleted behind the server's back, and made again, has no old history."""
    clock = ManualClock()
    async with recorded(SQLiteStore(tmp_path / "db"), tmp_path, clock=clock) as (hub, histories):
        await typed(hub, "one ", "two ")
        assert await checkpointed(hub)
        version = await histories.create("doc", label="", principal=ANN)
    clock.advance(10)
    async with SQLiteStore(tmp_path / "db") as store:
        await store.delete("doc")
    async with recorded(SQLiteStore(tmp_path / "db"), tmp_path, clock=clock) as (hub, histories):
        await typed(hub, "other ", "and more ")
        assert await moments(histories) == [1, 2]
        assert await histories.versions("doc") == []
        with pytest.raises(UnknownMoment):
            await histories.read("doc", f"v{version.id}", format="json")
        assert await checkpointed(hub)
        assert await moments(histories) == [1, 2]
        assert await histories.versions("doc") == []
        assert await text_at(histories, 1) == "other "


async def test_the_same_again_by_another(tmp_path: Path) -> None:
    """Where a new document says what the old one said, it is still not the old one's history."""
    clock = ManualClock()
    update = one(1, 0, "x", parent="text")
    for who in (ANN, BOB):
        async with recorded(SQLiteStore(tmp_path / "db"), tmp_path, clock=clock) as (hub, kept):
            await hub.edit("doc", update, who)
            async with hub.open("doc"):
                assert await checkpointed(hub)
                past = await past_of(kept)
            assert [each.author for each in past.timeline.changes()] == [who.id]
        async with SQLiteStore(tmp_path / "db") as store:
            await store.delete("doc")
        clock.advance(10)


@pytest.mark.parametrize("extra", [1, 4])
async def test_an_older_backup(tmp_path: Path, extra: int) -> None:
    """Where the store was put back to an older state, its history is not mixed with the new."""
    async with recorded(SQLiteStore(tmp_path / "db"), tmp_path / "guard") as (hub, histories):
        await typed(hub, "one ")
        assert await checkpointed(hub)
    shutil.copy(tmp_path / "db", tmp_path / "backup")
    async with recorded(SQLiteStore(tmp_path / "db"), tmp_path / "guard") as (hub, histories):
        await typed(hub, "two ", "three ")
        assert await checkpointed(hub)
    remove(tmp_path / name for name in ("db", "db-wal", "db-shm"))
    shutil.copy(tmp_path / "backup", tmp_path / "db")
    async with recorded(SQLiteStore(tmp_path / "db"), tmp_path / "guard") as (hub, histories):
        await typed(hub, *["other "] * extra)
        if extra == 1:  # still shorter than the history that was
            assert await text_at(histories, 2) == "one other "
        assert await checkpointed(hub)
        assert await text_at(histories, 1 + extra) == "one " + "other " * extra
        assert await moments(histories) == [1, *range(2, 2 + extra)]
        assert histories.stats.errors == {"diverged": 1}


async def test_a_verbatim_document() -> None:
    """A document that pycrdt can't carry has its history, too."""
    async with recorded() as (hub, histories):
        client = await typed(hub, "a😀b")
        text = client.text
        await typed(hub, "c")
        client.read()
        assert str(text) == "a😀bc"
        room = hub.rooms["doc"]
        room.document.keep_verbatim("a test says so")
        assert await checkpointed(hub)
        await typed(hub, "d")
        assert room.document.verbatim
        assert await checkpointed(hub)
        assert await moments(histories) == [1, 2, 3]
        assert not histories.stats.errors


async def test_what_is_not_proven_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fold that loses something is found out, and its result is never stored."""
    real = Past.stored

    async with recorded() as (hub, histories):
        await typed(hub, "one ")
        assert await checkpointed(hub)
        client = await typed(hub, "two ")
        with client.doc.transaction():
            del client.text[0:2]

        def loses(past: Past) -> Stored:
            past.timeline._fresh[-1:] = [past.timeline._fresh[-1]._replace(deletes=())]
            return real(past)

        before = client.doc.get_state()
        del client.text[0:1]
        client.say(b"\x00\x02" + _var(client.doc.get_update(before)))
        room = hub.rooms["doc"]
        await until(lambda: room.committed_sequence == 3)
        with monkeypatch.context() as patched:
            patched.setattr(Past, "stored", loses)
            assert await checkpointed(hub)  # nothing but a state can be proven: it is set aside
        assert histories.stats.errors["damaged"] + histories.stats.errors["proof"] >= 1
        await typed(hub, "three ", who=BOB)
        assert await checkpointed(hub)
        newest = (await moments(histories))[-1]
        assert await text_at(histories, newest) == "".join(_roots(await hub.store.load("doc")))


def _var(data: bytes) -> bytes:
    from crdtsync.encoding import write_var_bytes

    return write_var_bytes(data)


def _roots(loaded: Any) -> str:
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update(loaded.checkpoint.state)
    return str(doc.get("text", type=pycrdt.Text))


async def test_somebody_else_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the command line has written the history meanwhile, it is read again."""
    async with recorded() as (hub, histories):
        await typed(hub, "one ")
        real = histories.kept.save
        tries: list[int] = []

        async def save(document: str, stored: Stored, **options: Any) -> int:
            tries.append(options["revision"])
            if len(tries) == 1:
                await real(document, stored, **options)
                raise HistoryChanged("meanwhile")
            return await real(document, stored, **options)

        monkeypatch.setattr(histories.kept, "save", save)
        assert await checkpointed(hub)
        assert tries == [0, 1]
        assert await moments(histories) == [1]


@pytest.mark.parametrize("late", [False, True])
async def test_a_checkpoint_after_the_end(monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    """A document that is deleted while it is folded does not come back, nor does its history."""
    async with recorded() as (hub, histories):
        await typed(hub, "one ")
        room = hub.rooms["doc"]
        real = histories.kept.save
        saving, go_on = anyio.Event(), anyio.Event()

        async def save(document: str, stored: Stored, **options: Any) -> int:
            saving.set()
            await go_on.wait()
            return await real(document, stored, **options)

        monkeypatch.setattr(histories.kept, "save", save)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.housekeeping.checkpoint, room)
            await saving.wait()
            if late:
                await hub.delete("doc")
            else:
                tasks.start_soon(hub.delete, "doc")
                await until(lambda: "doc" not in hub.rooms)
            go_on.set()
        assert await hub.store.info("doc") is None
        assert await histories.kept.outlines() == []


async def test_deleting_takes_the_history_along(tmp_path: Path) -> None:
    """A deleted document's history is gone before the document is."""
    async with recorded(folder=tmp_path) as (hub, histories):
        await typed(hub, "SECRET ")
        await histories.create("doc", label="SECRET", principal=ANN)
        assert await checkpointed(hub)
        seen: list[int] = []
        real = hub.store.delete

        async def delete(document: str) -> bool:
            seen.append(len(await histories.kept.outlines()))
            return await real(document)

        hub.store.delete = delete  # type: ignore[method-assign]
        await hub.delete("doc")
        assert seen == [0]
        assert b"SECRET" not in everything(tmp_path)


async def test_a_gap_is_nobody_s(tmp_path: Path) -> None:
    """What was checkpointed while no history was kept is one step, by nobody known."""
    store = MemoryStore()
    kept = HistoryDatabase(tmp_path)
    async with recorded(store, kept=kept) as (hub, _):
        await typed(hub, "one ")
        assert await checkpointed(hub)
    async with Hub(store, limits=FAST) as hub:
        await typed(hub, "two ", "three ")
        assert await checkpointed(hub)
    async with recorded(store, kept=HistoryDatabase(tmp_path)) as (hub, histories):
        await typed(hub, "four ", who=BOB)
        assert await checkpointed(hub)
        assert await moments(histories) == [1, 3, 4]
        past = await past_of(histories)
        assert [each.author for each in past.timeline.changes()] == ["ann", "", "bob"]
        assert not histories.stats.errors


async def test_proof_of_older_moments() -> None:
    """A history in which an older moment is not as it was is not proven."""
    async with recorded() as (hub, histories):
        await typed(hub, "one ", "two ")
        assert await checkpointed(hub)
        stored = (await histories.inputs("doc")).stored
        assert stored is not None
        client = await join(hub)
        state = client.doc.get_update()
        newest = Checkpoint("doc", 2, 0, state)
        good = proving.fold(stored, None, (), newest, False)
        assert Past.open(good).update_at(1) == Past.open(stored).update_at(1)
        with pytest.raises(proving.Unproven):
            proving.fold(stored, None, (), Checkpoint("doc", 2, 0, b"\x00\x00"), False)
        with pytest.raises(proving.Unproven):
            proving.fold(stored, None, (), Checkpoint("doc", 3, 0, state), False)


async def test_store_errors_are_not_the_history_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that can't be read costs a checkpoint, and no history."""
    async with recorded() as (hub, histories):
        await typed(hub, "one ")
        assert await checkpointed(hub)
        await typed(hub, "two ")

        async def load(document: str) -> Any:
            raise StoreError("not now")

        with monkeypatch.context() as patched:
            patched.setattr(hub.store, "load", load)
            assert not await checkpointed(hub)
        assert await moments(histories) == [1, 2]
