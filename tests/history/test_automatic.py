"""Versions that the server makes, and authors' names: in the background, never per keystroke."""

from pathlib import Path
from typing import Any

import pytest

from crdtsync.clock import ManualClock
from crdtsync.errors import StoreError
from crdtsync.gate import Principal
from crdtsync.history import automatic as automatic_module
from crdtsync.history.model import Version
from crdtsync.history.retention import HistoryRules
from crdtsync.history.service import Histories
from crdtsync.hub import Hub
from crdtsync.store.sqlite import SQLiteStore
from tests.history.recording import ANN, BOB, recorded, typed
from tests.unit.engine import TestStore, join, quick, settle, until

pytestmark = pytest.mark.anyio

SLOW = quick(housekeeping_interval_s=1e6)
"""Looks come from the test."""


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both event loops."""
    return str(request.param)


async def look(hub: Hub, histories: Histories) -> None:
    """Have the server look, and wait until that is written."""
    histories.automatic.look(hub.spawn)
    await until(lambda: not histories.automatic._writing)


async def auto(histories: Histories, name: str = "doc") -> list[Version]:
    return await histories.versions(name, kind="auto")


async def test_history_pause_s() -> None:
    """After a pause in editing there is one version, of the last moment, and then no more."""
    clock = ManualClock()
    limits = quick(housekeeping_interval_s=1e6, history_pause_s=30.0, history_interval_s=1e6)
    async with recorded(clock=clock, limits=limits) as (hub, histories):
        for _ in range(5):
            await typed(hub, "x")
            await look(hub, histories)
            clock.advance(29)
            await look(hub, histories)
        assert await auto(histories) == []
        edited_ms = clock.time_ms() - 29_000
        clock.advance(1)
        await look(hub, histories)
        (version,) = await auto(histories)
        assert (version.sequence, version.time_ms, version.author) == (5, edited_ms, "")
        clock.advance(1e6)
        await look(hub, histories)
        assert await auto(histories) == [version]
        assert histories.automatic._editing == {}
        assert histories.stats.versions == 1


async def test_history_interval_s() -> None:
    """While somebody edits without a pause there is a version every so often."""
    clock = ManualClock()
    limits = quick(housekeeping_interval_s=1e6, history_pause_s=1e6, history_interval_s=60.0)
    async with recorded(clock=clock, limits=limits) as (hub, histories):
        for _ in range(30):
            await typed(hub, "x")
            await look(hub, histories)
            clock.advance(10)
        found = [version.sequence for version in await auto(histories)]
        assert found == [28, 21, 14, 7]


async def test_an_edit_while_a_version_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is edited meanwhile has its own interval, from that edit on."""
    clock = ManualClock()
    limits = quick(housekeeping_interval_s=1e6, history_pause_s=1e6, history_interval_s=60.0)
    async with recorded(clock=clock, limits=limits) as (hub, histories):
        real = histories.kept.add_versions

        async def slowly(new: Any) -> Any:
            monkeypatch.undo()
            clock.advance(5)
            await typed(hub, "y")
            histories.automatic.look(hub.spawn)
            return await real(new)

        monkeypatch.setattr(histories.kept, "add_versions", slowly)
        await typed(hub, "x")
        await look(hub, histories)
        clock.advance(60)
        await look(hub, histories)
        assert [version.sequence for version in await auto(histories)] == [1]
        clock.advance(59)
        await look(hub, histories)
        assert [version.sequence for version in await auto(histories)] == [1]
        clock.advance(1)
        await look(hub, histories)
        assert [version.sequence for version in await auto(histories)] == [2, 1]


async def test_who_only_reads_makes_no_version() -> None:
    """An opened document costs nothing, and gets no version."""
    async with recorded(limits=SLOW) as (hub, histories):
        await typed(hub)
        await look(hub, histories)
        assert histories.automatic._editing == {}
        await histories.automatic.finish()
        assert await auto(histories) == []


async def test_the_end_makes_the_last_one() -> None:
    """A server that stops makes a version of what was edited and has none yet."""
    async with recorded(limits=SLOW) as (hub, histories):
        await typed(hub, "x", "y")
        await hub.drain()
        assert [version.sequence for version in await auto(histories)] == [2]


@pytest.mark.parametrize("late", [0, 1])
async def test_a_room_that_was_given_up(late: int) -> None:
    """The version is of the document's last moment, in whatever order its rooms are looked at."""
    async with recorded(limits=SLOW) as (hub, histories):
        await typed(hub, "x")
        before = hub.rooms["doc"]
        hub.abandon(before, "the test says so")
        await typed(hub, "y", "z")
        rooms = [before, hub.rooms["doc"]]
        assert rooms[0] is not rooms[1]
        histories.automatic._take_note([rooms[1 - late], rooms[late]], 0.0)
        await histories.automatic.finish()
        assert [version.sequence for version in await auto(histories)] == [3]


async def test_documents_without_history() -> None:
    """Of what is left out there is no version."""
    rules = HistoryRules(excluded=("doc",))
    async with recorded(limits=SLOW, rules=rules) as (hub, histories):
        await typed(hub, "x")
        await look(hub, histories)
        assert histories.automatic._editing == {}


async def test_a_deleted_document_gets_none() -> None:
    """A document of the same name, made anew, gets no version of the old one's edits."""
    clock = ManualClock()
    async with recorded(limits=SLOW, clock=clock) as (hub, histories):
        await typed(hub, "x", "y", "z")
        await look(hub, histories)
        await hub.delete("doc")
        assert histories.automatic._editing == {}
        clock.advance(1)
        await typed(hub, "x")
        clock.advance(1e6)
        await look(hub, histories)
        clock.advance(1e6)
        await look(hub, histories)
        assert [version.sequence for version in await auto(histories)] == [1]


async def test_what_can_t_be_written_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing disk delays versions and names, and loses none."""
    clock = ManualClock()
    async with recorded(clock=clock, limits=SLOW) as (hub, histories):
        await typed(hub, "x")
        await look(hub, histories)
        clock.advance(1e6)
        await typed(hub, who=BOB)

        async def fails(*args: object) -> Any:
            raise StoreError("no room")

        with monkeypatch.context() as patched:
            patched.setattr(histories.kept, "add_versions", fails)
            patched.setattr(histories.kept, "note_authors", fails)
            for _ in range(3):
                await look(hub, histories)
        assert histories.stats.errors["version"] == 3
        await look(hub, histories)
        assert len(await auto(histories)) == 1
        assert await histories.kept.names(["ann", "bob"]) == {"ann": "Ann", "bob": "Bob"}


async def test_a_commit_that_fails_at_first() -> None:
    """The version is of the edit that came through later, not of what was there before it."""
    clock, store = ManualClock(), TestStore()
    async with recorded(store, clock=clock, limits=SLOW) as (hub, histories):
        client = await typed(hub, "x")
        await look(hub, histories)
        clock.advance(1e6)
        await look(hub, histories)
        failing = [True]
        store.failing = lambda _: failing[0]
        client.type("y")
        await until(lambda: hub.rooms["doc"].stalled)
        await look(hub, histories)
        failing[0] = False
        await until(lambda: hub.rooms["doc"].committed_sequence == 2)
        await settle()
        await look(hub, histories)
        clock.advance(1e6)
        await look(hub, histories)
        assert [version.sequence for version in await auto(histories)] == [2, 1]


async def test_a_document_whose_first_commit_fails_has_no_version() -> None:
    """Where nothing was stored there is nothing to make a version of."""
    clock, store = ManualClock(), TestStore()
    async with recorded(store, clock=clock, limits=SLOW) as (hub, histories):
        client = await join(hub)
        store.failing = lambda _: True
        client.type("x")
        await until(lambda: hub.rooms["doc"].stalled)
        histories.automatic._take_note(
            histories.automatic.noticing.take(hub.spawn), clock.monotonic_s()
        )
        assert histories.automatic._editing == {}
        store.failing = lambda _: False
        await until(lambda: hub.rooms["doc"].committed_sequence == 1)


async def test_names_are_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is written once, in a batch, and again where it is another one."""
    monkeypatch.setattr(automatic_module, "MAX_KNOWN", 3)
    store = SQLiteStore(tmp_path / "db")
    async with recorded(store, tmp_path / "guard", limits=SLOW) as (hub, histories):
        calls: list[dict[str, str]] = []
        real = histories.kept.note_authors

        async def note_authors(names: Any, time_ms: int, /) -> None:
            calls.append(dict(names))
            await real(names, time_ms)

        monkeypatch.setattr(histories.kept, "note_authors", note_authors)
        for who in (ANN, BOB, ANN, Principal(), Principal(id="nameless")):
            await typed(hub, who=who)
        await look(hub, histories)
        await typed(hub, who=ANN)
        await look(hub, histories)
        assert calls == [{"ann": "Ann", "bob": "Bob"}]
        await typed(hub, who=Principal(id="ann", name="Ann Lee"))
        await look(hub, histories)
        assert calls[1:] == [{"ann": "Ann Lee"}]
        for number in range(5):
            await typed(hub, who=Principal(id=f"p{number}", name="P"))
            await look(hub, histories)
        assert len(histories.automatic._known) <= 3
        assert (await histories.kept.names(["ann"]))["ann"] == "Ann Lee"
        await settle()
