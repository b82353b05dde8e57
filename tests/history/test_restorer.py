"""Restores as people have them: live, with a way back, in order, whatever else goes on."""

import json
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pycrdt
import pytest

from crdtsync.audit import Caller, Event, NoAudit, What
from crdtsync.errors import (
    DocumentQuarantined,
    Restarting,
    StoreDamaged,
    StoreError,
    Unavailable,
)
from crdtsync.gate import Principal
from crdtsync.guard import NoGuard, Quarantined
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.entering import LiveEdits, StoredEdits
from crdtsync.history.model import NotRestorable, UnknownMoment, UnknownRoot
from crdtsync.history.restorer import Restorer
from crdtsync.history.service import Histories, Resolved
from crdtsync.hub import Hub
from crdtsync.store.base import Damage, Loaded, Record
from crdtsync.store.memory import MemoryStore
from crdtsync.store.sqlite import SQLiteStore
from tests.docs.kit import REPOSITORY, blocks, code, environment, page, tables
from tests.history.dying import STEPS, opened
from tests.history.recording import ANN, BOB, checkpointed, past_of, recorded, text_at, typed
from tests.unit.engine import FAST, TestStore, join, quick, until

pytestmark = pytest.mark.anyio

CALLER = Caller(address="192.0.2.1", request_id="r1")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both event loops."""
    return str(request.param)


class Ears(NoAudit):
    """Takes events, and keeps them."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def record(self, event: Event) -> None:
        self.events.append(event)


async def test_everybody_sees_it_and_it_can_be_undone() -> None:
    """A restore is seen by who is there; the version of before brings all of it back."""
    async with recorded() as (hub, histories):
        ann = await typed(hub, "one ", "two ", "three ")
        bob = await join(hub, principal=BOB)
        done = await histories.restore("doc", "s1", note="so it was", principal=BOB)
        assert (done.sequence, done.changed) == (4, True)
        await ann.shows("one ")
        await bob.shows("one ")
        before = done.version_before
        assert before is not None
        assert (before.sequence, before.kind, before.author) == (3, "restore", "bob")
        assert before.label.startswith("Before restoring what it was at ")
        assert before.note == "so it was"
        again = await histories.restore("doc", f"v{before.id}", principal=ANN)
        assert again.sequence == 5
        assert again.version_before is not None
        assert again.version_before.label == f'Before restoring "{before.label}"'
        await ann.shows("one two three ")
        await bob.shows("one two three ")
        ann.type("four")
        await bob.shows("one two three four")


async def test_the_edit_is_its_author_s() -> None:
    """The log has the restore as an edit of who did it."""
    async with recorded() as (hub, histories):
        await typed(hub, "one ", "two ")
        await histories.restore("doc", "s1", principal=BOB)
        changes = list((await past_of(histories)).timeline.changes())
        assert [change.author for change in changes] == ["ann", "ann", "bob"]


async def test_the_present_is_no_edit() -> None:
    """Where there is nothing to do nothing is done, and no version made."""
    async with recorded() as (hub, histories):
        await typed(hub, "one ", "two ")
        for moment in ("now", "s2"):
            done = await histories.restore("doc", moment, principal=ANN)
            assert (done.version_before, done.sequence, done.changed) == (None, 2, False)
        done = await histories.undo("doc", author="bob", since="s0", principal=ANN)
        assert not done.changed
        assert await histories.versions("doc") == []


async def test_what_is_folded_already() -> None:
    """It is all the same whether a moment is in the log or in the history."""
    async with recorded() as (hub, histories):
        ann = await typed(hub, "one ", "two ")
        assert await checkpointed(hub)
        assert (await histories.restore("doc", "s1", principal=BOB)).changed
        assert await checkpointed(hub)
        await ann.shows("one ")
        done = await histories.restore("doc", "s2", principal=BOB)
        assert not (await histories.restore("doc", "s4", principal=BOB)).changed
        assert done.sequence == 4
        await ann.shows("one two ")
        assert await text_at(histories, 3) == "one "


def paused(
    histories: Histories, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], Awaitable[None]]
) -> None:
    """Have something happen when the edit is worked out, and not yet entered."""
    real = histories.apart

    async def apart(*args: Any) -> Any:
        found = await real(*args)
        await meanwhile()
        return found

    monkeypatch.setattr(histories, "apart", apart)


async def test_what_is_typed_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Edits that are committed while a restore is worked out survive it."""
    async with recorded() as (hub, histories):
        ann = await typed(hub, "one ", "two ")

        async def type_on() -> None:
            ann.type("three")
            await until(lambda: hub.rooms["doc"].committed_sequence == 3)

        paused(histories, monkeypatch, type_on)
        done = await histories.restore("doc", "s1", principal=BOB)
        assert done.sequence == 4
        assert done.version_before is not None
        assert done.version_before.sequence == 3
        await ann.shows("one three")


async def test_the_present_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who restores the present undoes nothing of what comes while it is looked up."""
    async with recorded() as (hub, histories):
        ann = await typed(hub, "one ")
        real = histories.resolve

        async def resolve(document: str, moment: str) -> Resolved:
            found = await real(document, moment)
            ann.type("two")
            await until(lambda: hub.rooms["doc"].committed_sequence == 2)
            return found

        monkeypatch.setattr(histories, "resolve", resolve)
        assert not (await histories.restore("doc", "now", principal=BOB)).changed
        await ann.shows("one two")


async def test_one_at_a_time() -> None:
    """Restores of one document wait for one another; each brings its moment back."""
    async with recorded() as (hub, histories):
        ann = await typed(hub, "a", "b", "c")
        done: list[int] = []
        active = 0

        class Counting(LiveEdits):
            async def check(self, document: str) -> None:
                nonlocal active
                active += 1
                assert active == 1
                await super().check(document)
                await anyio.lowlevel.checkpoint()

            async def enter(self, document: str, update: bytes, principal: Principal) -> int:
                nonlocal active
                sequence = await super().enter(document, update, principal)
                active -= 1
                return sequence

        restorer = Restorer(histories, Counting(hub))

        async def restore(moment: str) -> None:
            done.append((await restorer.restore("doc", moment, principal=BOB)).sequence)

        async with anyio.create_task_group() as tasks:
            for moment in ("s1", "s2", "s0"):
                tasks.start_soon(restore, moment)
        assert done == [4, 5, 6]
        texts = {await text_at(histories, sequence) for sequence in done}
        assert texts == {"a", "ab", ""}
        await ann.shows(await text_at(histories, 6))
        assert restorer._busy == {}


async def test_one_root() -> None:
    """One root is restored, the others stay as they are; which there are is known."""
    async with recorded() as (hub, histories):
        ann = await typed(hub, "one ", "two ")
        table = ann.doc.get("map", type=pycrdt.Map)
        before = ann.doc.get_state()
        table["k"] = "v"
        await hub.edit("doc", ann.doc.get_update(before), ANN)
        await histories.restore("doc", "s1", root="text", principal=BOB)
        await ann.shows("one ")
        assert table["k"] == "v"
        with pytest.raises(UnknownRoot):
            await histories.restore("doc", "s1", root="other", principal=BOB)
        with pytest.raises(UnknownMoment):
            await histories.restore("doc", "s9", principal=BOB)
        with pytest.raises(UnknownMoment):
            await histories.restore("other", "s1", principal=BOB)
        assert "other" not in hub.rooms


async def test_undo() -> None:
    """One author's work is undone between two moments, others' stays."""
    async with recorded() as (hub, histories):
        ann = await typed(hub, "ann ")
        bob = await join(hub, principal=BOB)
        for word in ("bob ", "bob again "):
            before = hub.rooms["doc"].committed_sequence
            bob.type(word)
            await until(lambda: hub.rooms["doc"].committed_sequence > before)  # noqa: B023
        done = await histories.undo("doc", author="bob", since="s1", until="s2", principal=ANN)
        await ann.shows("ann bob again ")
        assert done.version_before is not None
        assert done.version_before.label == "Before undoing what bob did"
        await histories.undo("doc", author="bob", since="s1", principal=ANN)
        await ann.shows("ann ")


async def test_the_audit_log() -> None:
    """Who restored what is worth remembering; what changes nothing is not."""
    ears = Ears()
    histories = Histories(store := MemoryStore(), HistoryDatabase(None), limits=FAST)
    async with Hub(store, limits=FAST, history=histories, audit=ears) as hub:
        await typed(hub, "one ", "two ")
        await histories.restore("doc", "s1", principal=BOB, caller=CALLER)
        await histories.restore("doc", "now", principal=BOB, caller=CALLER)
        await histories.undo("doc", author="ann", since="s0", principal=BOB, caller=CALLER)
    restored, undone = (event for event in ears.events if event.what is What.RESTORED)
    assert (restored.document, restored.principal, restored.caller) == ("doc", "bob", CALLER)
    assert restored.detail == {"moment": 1, "sequence": 3, "whole": True}
    assert undone.detail == {"moment": 0, "sequence": 4, "undone": "ann"}
    json.dumps(undone.detail)


async def test_what_can_t_be_written_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged or quarantined document, and a server that ends, refuse without delay."""
    async with recorded() as (hub, histories):
        await typed(hub, "one ", "two ")

        async def endless(*_: object) -> None:
            await anyio.sleep_forever()

        monkeypatch.setattr(histories, "apart", endless)
        hub.rooms["doc"].damage = "it is damaged"
        with pytest.raises(StoreDamaged, match="it is damaged"):
            await histories.restore("doc", "s1", principal=BOB)
        hub.rooms["doc"].damage = ""
        guard = Quarantining()
        monkeypatch.setattr(hub, "guard", guard)
        with pytest.raises(DocumentQuarantined):
            await histories.restore("doc", "s1", principal=BOB)
        guard.quarantines = False
        hub.draining = True
        with pytest.raises(Restarting):
            await histories.restore("doc", "s1", principal=BOB)
        hub.draining = False
        assert await histories.versions("doc") == []


class Quarantining(NoGuard):
    """Has quarantined every document."""

    quarantines = True

    def quarantined(self, document: str, /) -> Quarantined | None:
        return Quarantined(document, 0, ()) if self.quarantines else None


async def test_an_edit_that_is_refused_leaves_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the document refuses the edit all is as it was, and no version says otherwise."""
    async with recorded() as (hub, histories):
        ann = await typed(hub, "one ", "two ")

        async def refuse(*_: object) -> int:
            raise NotRestorable("no room")

        monkeypatch.setattr(histories.restorer._edits, "enter", refuse)
        with pytest.raises(NotRestorable, match="no room"):
            await histories.restore("doc", "s1", principal=BOB)
        assert await histories.versions("doc") == []
        await ann.shows("one two ")


class Doubtful(TestStore):
    """A store whose disk says that it failed, and has the records at the next start after all."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[Record] = []

    async def append(self, batch: Sequence[Record]) -> None:
        try:
            await super().append(batch)
        except StoreError:
            self.written = self.written or list(batch)
            raise


async def test_an_edit_that_the_store_may_have_keeps_its_version(tmp_path: Path) -> None:
    """The store fails while it gets the edit, and has it: so there is a version of before."""
    store = Doubtful()
    impatient = replace(FAST, commit_retry_s=0.0)
    async with recorded(store, tmp_path, limits=impatient) as (hub, histories):
        await typed(hub, "one ", "two ")
        store.failing = lambda _: True
        with pytest.raises(Unavailable):
            await histories.restore("doc", "s1", principal=BOB)
        (before,) = await histories.versions("doc")
        assert (before.kind, before.sequence) == ("restore", 2)
        store.failing = lambda _: False
    async with store:
        await store.append(store.written)
    async with recorded(store, tmp_path) as (hub, histories):
        ann = await join(hub)
        await ann.shows("one ")
        await histories.restore("doc", f"v{before.id}", principal=BOB)
        await ann.shows("one two ")


async def test_a_version_without_its_edit_harms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended between version and edit, there is a version more, and the document is as it was."""
    async with recorded() as (hub, histories):
        ann = await typed(hub, "one ", "two ")
        with anyio.CancelScope() as scope:

            async def end(*_: object) -> int:
                scope.cancel()
                await anyio.lowlevel.checkpoint()
                raise AssertionError

            monkeypatch.setattr(histories.restorer._edits, "enter", end)
            await histories.restore("doc", "s1", principal=BOB)
        assert [version.sequence for version in await histories.versions("doc")] == [2]
        await ann.shows("one two ")
        monkeypatch.undo()
        assert (await histories.restore("doc", "s1", principal=BOB)).sequence == 3


async def test_a_full_document() -> None:
    """What brings more than it takes is held to the document's size, what makes room is not."""
    limits = quick(max_document_bytes=3_000, housekeeping_interval_s=1e6)
    async with recorded(limits=limits) as (hub, histories):
        ann = await typed(hub, "kept ")
        before = ann.doc.get_state()
        with ann.doc.transaction():
            del ann.text[0:5]
            ann.text.insert(0, "x" * 2_000)
        await hub.edit("doc", ann.doc.get_update(before), ANN)
        hub.rooms["doc"].fill.state_bytes = 4_000
        assert (await histories.restore("doc", "s1", principal=BOB)).changed
        await ann.shows("kept ")
        with pytest.raises(NotRestorable, match="size limit"):
            await histories.restore("doc", "s2", principal=BOB)
        await ann.shows("kept ")


async def test_limits_on_clients_are_not_for_restores() -> None:
    """What was let in once may come back, though a client may not send so much any more."""
    async with recorded() as (hub, histories):
        ann = await join(hub, principal=ANN)
        table = ann.doc.get("map", type=pycrdt.Map)
        with ann.doc.transaction():
            table["deep"] = pycrdt.Array([pycrdt.Array([[[["x"]]]])])
        await hub.edit("doc", ann.doc.get_update(), ANN)
        before = ann.doc.get_state()
        del table["deep"]
        await hub.edit("doc", ann.doc.get_update(before), ANN)
        hub.limits = quick(max_any_depth=1)
        assert (await histories.restore("doc", "s1", principal=BOB)).changed
        await until(lambda: ann.read() or "deep" in table)


async def test_without_a_server(tmp_path: Path) -> None:
    """Who has the store alone restores in it; a server shows that later."""
    url = tmp_path / "doc.db"
    async with recorded(SQLiteStore(url), tmp_path / "history") as (hub, _):
        await typed(hub, "one ", "two ")
    async with SQLiteStore(url) as store:
        histories = Histories(store, HistoryDatabase(tmp_path / "history"), limits=FAST)
        async with histories:
            done = await histories.restore("doc", "s1", principal=BOB)
            assert (done.sequence, done.changed) == (3, True)
            assert done.version_before is not None
            records = (await store.load("doc")).records
            assert [record.author for record in records] == ["bob"]
            guarded = Restorer(histories, StoredEdits(store, guard=Quarantining()))
            with pytest.raises(Exception, match="quarantined"):
                await guarded.restore("doc", "s2", principal=BOB)
    async with recorded(SQLiteStore(url), tmp_path / "history") as (hub, _):
        await (await join(hub)).shows("one ")


class DamagedStore(MemoryStore):
    """Can't read a document's last record, from some time on."""

    damaged = False

    async def load(self, document: str) -> Loaded:
        loaded = await super().load(document)
        if not self.damaged:
            return loaded
        damage = Damage(document, 3, "it is damaged")
        return Loaded(loaded.checkpoint, loaded.records[:-1], damage)


async def test_a_damaged_document_without_a_server() -> None:
    """A damaged document is not restored, for nobody knows what it is now."""
    async with recorded(store := DamagedStore()) as (hub, histories):
        await typed(hub, "one ", "two ", "three ")
        store.damaged = True
        restorer = Restorer(histories, StoredEdits(store))
        with pytest.raises(StoreDamaged, match="it is damaged"):
            await restorer.restore("doc", "s1", principal=BOB)
        assert await histories.versions("doc") == []


@pytest.mark.parametrize("step", STEPS)
async def test_killed_in_a_restore(tmp_path: Path, step: str) -> None:
    """Killed behind any of its steps, the document is as before, or restored; and goes on."""
    command = [sys.executable, "-m", "tests.history.dying", str(tmp_path), step]
    done = await anyio.run_process(command, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL, done.stderr
    hub, histories = opened(tmp_path)
    async with hub:
        entered = step == "enter"
        client = await join(hub)
        await client.shows("one " if entered else "one two ")
        versions = await histories.versions("doc", kind="restore")
        assert [version.sequence for version in versions] == ([2] if step in STEPS[2:] else [])
        assert (await histories.restore("doc", "s1", principal=BOB)).changed is not entered
        await client.shows("one ")
        assert (await histories.restore("doc", "s2", principal=BOB)).changed
        await client.shows("one two ")


def test_the_page_s_example() -> None:
    """The example of the page about restoring runs, and prints what stands below it."""
    text = page("docs/restoring.md")
    (program,) = blocks(text, "python")
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"It prints `{done.stdout.strip()}`" in text


def test_the_page_s_guards() -> None:
    """Each test that the page names is there."""
    found = tables(page("docs/restoring.md"))
    named = {word for rows in found for row in rows[1:] for word in code(row[-1])}
    assert len(named) > 10
    for each in named:
        path, _, test = each.partition("::")
        assert f"def {test}(" in (REPOSITORY / "tests" / path).read_text("utf-8"), each
