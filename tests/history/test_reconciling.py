"""How a history is put together with its document again, and what may go wrong on the way."""

import logging
import sqlite3
from pathlib import Path

import pytest

from crdtsync.errors import StoreDamaged, StoreError, StoreFull
from crdtsync.history import reconciling, tables
from crdtsync.history.base import HistoryChanged, Reach
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.model import HistoryUnavailable, Stored
from crdtsync.history.proving import Unproven
from tests.history.backing import Place, named, put_back, said, shows
from tests.history.recording import checkpointed, moments, recorded, typed
from tests.history.test_storage import STORED, edit, new
from tests.unit.engine import quick, until

pytestmark = pytest.mark.anyio

STILL = quick(housekeeping_interval_s=1e6)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both event loops."""
    return str(request.param)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Offer a store."""
    return Place(tmp_path, "sqlite")


async def test_beginning_anew_with_what_is_left(tmp_path: Path) -> None:
    """Versions go over by their ids; what is left out, earlier or damaged is set aside."""
    async with HistoryDatabase(tmp_path) as histories:
        revision = await histories.save("doc", STORED, incarnation=5, revision=0)
        made = await histories.add_versions([new(each, label=f"at {each}") for each in range(1, 6)])
        one, two, three, four, five = (each.id for each in made)
        assert (await histories.reach("doc")) == Reach(5, 7)
        edit(tmp_path, "UPDATE versions SET label = 'another' WHERE id = ?", four)
        read = {"revision": revision, "newest_version": five}
        for wrong in (read | {"revision": revision + 1}, read | {"newest_version": four}):
            with pytest.raises(HistoryChanged):
                await histories.begin_anew("doc", Stored(0), reason="", time_ms=9, **wrong)
        left = Stored(3, b"head", b"fewer structs", (b"first",))
        assert await histories.begin_anew(
            "doc",
            left,
            reason="why not",
            time_ms=9,
            since=2,
            without={three},
            **read,
        )
        kept = await histories.load("doc")
        assert kept is not None
        assert kept.stored == left
        assert (kept.outline.incarnation, kept.outline.revision) == (5, revision + 1)
        assert [each.id for each in await histories.versions("doc")] == [five, two]
        assert (await histories.reach("doc")) == Reach(5, 5)
        assert await histories.version(one) is None
        assert not await histories.check()
        assert await histories.begin_anew("doc", Stored(0), reason="", time_ms=9)
        assert await histories.reach("doc") == Reach(5, 5)
        assert not await histories.begin_anew("other", left, reason="", time_ms=9)
        assert await histories.reach("other") is None
    connection = sqlite3.connect(tmp_path / tables.FILE)
    aside = "SELECT label FROM versions v JOIN histories h ON h.id = history AND reason = 'why not'"
    assert sorted(connection.execute(aside)) == [("another",), ("at 1",), ("at 3",)]
    connection.close()


async def test_while_the_history_can_t_be_written(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it can't be cut back, what is read is right; nothing is folded until it can."""
    async with recorded(place.store(), place.folder) as (hub, histories):
        await typed(hub, "one ")
        await named(histories, "kept")
        place.copy_store("store")
        await typed(hub, "two ")
        await named(histories, "lost")
    place.put_store("store")
    async with recorded(place.store(), place.folder, limits=STILL) as (hub, histories):
        kept = histories.kept

        async def full(*_: object, **__: object) -> bool:
            raise StoreFull("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(kept, "begin_anew", full)
            await typed(hub, "A ", "B ")
            version = await named(histories, "new")
            assert await said(histories) == ["kept", "new"]
            assert await shows(histories, "s2") == "one A "
            assert await shows(histories, f"v{version}") == "one A B "
            assert not await checkpointed(hub)
        histories.recorder._failing.clear()
        assert await checkpointed(hub)
        assert await said(histories) == ["kept", "new"]
        assert await shows(histories, f"v{version}") == "one A B "
        assert histories.stats.errors["diverged"] == 1


async def test_damage_leaves_the_versions_of_the_log(tmp_path: Path) -> None:
    """Where a damaged history begins anew, versions whose moments the log has stay."""
    async with recorded(folder=tmp_path, limits=STILL) as (hub, histories):
        await typed(hub, "one ", "two ")
        gone = await named(histories, "at the checkpoint")
        assert await checkpointed(hub)
        with sqlite3.connect(tmp_path / "history.db") as connection:
            connection.execute("UPDATE parts SET data = x'00' WHERE number = 1")
        connection.close()
        await typed(hub, "three ")
        await named(histories, "in the log")
        await typed(hub, "four ")
        assert await checkpointed(hub)
        assert await said(histories) == ["at the checkpoint", "in the log"]
        assert await shows(histories, f"v{gone}") == "one two "
        assert await moments(histories) == [2, 3, 4]


async def test_it_is_set_right_when_the_room_opens(place: Place) -> None:
    """Nobody has to ask: that somebody is there is enough."""
    await put_back(place)
    async with recorded(place.store(), place.folder, limits=STILL) as (hub, histories):
        async with hub.open("doc"):
            await until(lambda: histories.stats.errors["diverged"])
        outline = await histories.kept.outline("doc")
        assert outline is not None
        assert outline.sequence == 1


async def test_the_log_says_what_went(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """An operator reads up to where the history is good, and which versions are set aside."""
    await put_back(place)
    with caplog.at_level(logging.ERROR):
        async with recorded(place.store(), place.folder) as (_, histories):
            assert await said(histories) == ["kept"]
    (line,) = [each for each in caplog.messages if "cut back" in each]
    assert "behind 1" in line
    assert "'lost'" in line
    assert "'kept'" not in line


async def test_what_can_t_be_cut_back(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A history that can't be proven to be the same with less in it is set aside as a whole."""
    await put_back(place)

    def unproven(stored: Stored, sequence: int) -> Stored:
        raise Unproven("a test says so")

    monkeypatch.setattr(reconciling, "cut_back", unproven)
    async with recorded(place.store(), place.folder) as (hub, histories):
        await typed(hub, "A ")
        assert await said(histories) == ["kept"]
        assert await shows(histories, "s2") == "one A "
        assert await checkpointed(hub)
        assert await shows(histories, "now") == "one A "


async def test_when_nothing_can_be_worked_out(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks is told so, the document is served, and it is tried again."""
    await put_back(place)
    async with recorded(place.store(), place.folder, limits=STILL) as (hub, histories):

        async def fails(*_: object) -> None:
            raise HistoryUnavailable("a test says so")

        with monkeypatch.context() as patch:
            patch.setattr(reconciling, "HERE_BYTES", 0)
            patch.setattr(histories.workers, "run", fails)
            await typed(hub, "A ")
            await named(histories, "new")
            with pytest.raises(HistoryUnavailable):
                await said(histories)
            assert histories.stats.errors["unavailable"]
        assert await said(histories) == ["kept", "new"]
        assert await shows(histories, "now") == "one A "


async def test_a_database_that_fails_on_the_way(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A history database that turns out to be damaged is set aside, as ever."""
    await put_back(place)
    async with recorded(place.store(), place.folder, limits=STILL) as (hub, histories):

        async def fails(*_: object, **__: object) -> bool:
            raise StoreDamaged("database disk image is malformed")

        monkeypatch.setattr(histories.kept, "begin_anew", fails)
        await typed(hub, "A ")
        assert await checkpointed(hub)
        assert await shows(histories, "now") == "one A "
        assert (place.folder / f"{tables.FILE}.damaged-1").exists()


async def test_a_room_opens_without_its_history(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the history can't be asked, people edit all the same."""
    await put_back(place)
    async with recorded(place.store(), place.folder, limits=STILL) as (hub, histories):

        async def fails(_: str) -> Reach:
            raise StoreError("a test says so")

        monkeypatch.setattr(histories.kept, "reach", fails)
        await typed(hub, "A ", "B ")
        assert histories.stats.errors["unavailable"]
        assert await shows(histories, "now") == "one A B "


async def test_not_too_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many documents are known to fit, and no more."""
    monkeypatch.setattr(reconciling, "MAX_KNOWN", 2)
    async with recorded(limits=STILL) as (hub, histories):
        for number in range(5):
            await typed(hub, "one ", name=f"doc{number}")
            assert await checkpointed(hub, f"doc{number}")
            assert len(histories.reconciling._known) <= 2
        assert not histories.stats.errors


async def test_another_life_leaves_no_versions(tmp_path: Path) -> None:
    """A damaged history of a document before has none that the new one could have."""
    async with recorded(folder=tmp_path, limits=STILL) as (hub, histories):
        await histories.kept.save("doc", STORED, incarnation=5, revision=0)
        await histories.kept.add_versions([new(1, label="of the old")])
        edit(tmp_path, "UPDATE parts SET data = x'00'")
        await typed(hub, "one ")
        assert await checkpointed(hub)
        assert await said(histories) == []
        assert await moments(histories) == [1]
