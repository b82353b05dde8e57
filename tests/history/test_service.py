"""What is asked of histories: versions, moments by every name, and what was there then."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crdtsync.clock import ManualClock
from crdtsync.gate import Principal
from crdtsync.history import asking
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.model import HistoryDamaged, HistoryUnavailable, UnknownMoment
from crdtsync.history.retention import HistoryRules
from crdtsync.history.service import Histories
from crdtsync.history.versioning import MAX_LABEL, MAX_NOTE
from crdtsync.store.sqlite import SQLiteStore
from tests.history.recording import ANN, BOB, checkpointed, recorded, typed

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both event loops."""
    return str(request.param)


def rfc3339(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat()


async def test_versions() -> None:
    """A version is of the present moment, by its maker; it is listed, named anew, removed."""
    clock = ManualClock()
    async with recorded(clock=clock) as (hub, histories):
        await typed(hub, "one ")
        first = await histories.create("doc", label="first", note="so far", principal=ANN)
        assert (first.sequence, first.time_ms, first.kind) == (1, clock.time_ms(), "named")
        assert (first.label, first.note, first.author) == ("first", "so far", "ann")
        assert first.author_name == "Ann"
        await typed(hub, "two ")
        second = await histories.create("doc", label="", principal=Principal())
        assert (second.sequence, second.author) == (2, "")
        assert await histories.versions("doc") == [second, first]
        assert await histories.versions("doc", before=second.id, limit=1) == [first]
        assert await histories.versions("doc", kind="auto") == []
        assert (await histories.rename(first.id, label="1st")).label == "1st"
        assert (await histories.version(first.id)).note == "so far"
        await histories.remove(first.id)
        for call in (
            histories.version(first.id),
            histories.rename(first.id, label="x"),
            histories.remove(first.id),
            histories.create("other", label="", principal=ANN),
        ):
            with pytest.raises(UnknownMoment):
                await call


async def test_labels_are_bounded() -> None:
    """A label and a note are cut where they are too long, and a page where it is too large."""
    async with recorded() as (hub, histories):
        await typed(hub, "one ")
        version = await histories.create("doc", label="x" * 999, note="y" * 9_999, principal=ANN)
        assert (len(version.label), len(version.note)) == (MAX_LABEL, MAX_NOTE)
        version = await histories.rename(version.id, label="z" * 999)
        assert version.label == "z" * MAX_LABEL
        assert len(await histories.versions("doc", limit=10**9)) == 1
        assert len(await histories.versions("doc", limit=-1)) == 1


@pytest.mark.parametrize("folded", [False, True])
async def test_moments_by_every_name(folded: bool) -> None:
    """A moment is found by now, version, sequence and time, in the log and in the history."""
    clock = ManualClock()
    async with recorded(clock=clock) as (hub, histories):
        start = clock.time_ms()
        for word in ("one ", "two ", "three "):
            await typed(hub, word)
            if word == "two ":
                version = await histories.create("doc", label="here", principal=ANN)
                if folded:
                    assert await checkpointed(hub)
            clock.advance(60)
        for moment, sequence in {
            "now": 3,
            f"v{version.id}": 2,
            "s1": 1,
            "s3": 3,
            rfc3339(start): 1,
            rfc3339(start + 59_999): 1,
            rfc3339(start + 60_000): 2,
            "2099-01-01T00:00:00Z": 3,
        }.items():
            found = await histories.resolve("doc", moment)
            assert (found.sequence, found.time_ms) == (sequence, start + 60_000 * (sequence - 1))
            assert (found.version is not None) == moment.startswith("v")
            text = await histories.read("doc", moment, format="text", root="text")
            assert text.decode() == "".join(["one ", "two ", "three "][:sequence])
        for moment in (
            "s4",
            "s99999",
            "v999",
            "yesterday",
            "",
            "s",
            "s-1",
            "v1x",
            "2026-11-22T10:00:00",
            rfc3339(start - 1),
        ):
            with pytest.raises(UnknownMoment):
                await histories.resolve("doc", moment)
        with pytest.raises(UnknownMoment):
            await histories.resolve("other", "now")


async def test_a_version_of_another_document() -> None:
    """A version's id means nothing in another document."""
    async with recorded() as (hub, histories):
        await typed(hub, "one ", name="a")
        await typed(hub, "two ", name="b")
        version = await histories.create("a", label="", principal=ANN)
        with pytest.raises(UnknownMoment):
            await histories.read("b", f"v{version.id}", format="json")


@pytest.mark.parametrize("folded", [False, True])
async def test_what_was_there(folded: bool) -> None:
    """Content, differences, blame and activity come with authors' names, also of who has left."""
    clock = ManualClock()
    async with recorded(clock=clock) as (hub, histories):
        await typed(hub, "one ")
        clock.advance(7_200)
        await typed(hub, "two ", who=BOB)
        histories.automatic.look(hub.spawn)
        await histories.automatic.finish()
        if folded:
            assert await checkpointed(hub)
        read = json.loads(await histories.read("doc", "s1", format="json"))
        assert read["roots"]["text"]["value"] == "one "
        diff = await histories.compare("doc", "s1", "now")
        (insert,) = [op for op in diff["roots"]["text"]["ops"] if "insert" in op]
        assert insert["insert"] == "two "
        assert (insert["by"]["author"], insert["by"]["name"]) == ("bob", "Bob")
        blame = await histories.blame("doc")
        found = [(run["text"], run["by"]["name"]) for run in blame["roots"]["text"]["runs"]]
        assert found == [("one ", "Ann"), ("two ", "Bob")]
        activity = await histories.activity("doc")
        assert [each["author"] for each in activity["sessions"]] == ["bob", "ann"]
        page = await histories.activity("doc", limit=1)
        assert len(page["sessions"]) == 1
        rest = await histories.activity("doc", before=page["next"])
        assert [each["author"] for each in rest["sessions"]] == ["ann"]


async def test_without_a_hub(tmp_path: Path) -> None:
    """The command line reads the histories of a store that a server has open."""
    folder = tmp_path / "guard"
    async with recorded(SQLiteStore(tmp_path / "db"), folder) as (hub, histories):
        await typed(hub, "one ")
        assert await checkpointed(hub)
        await typed(hub, "two ")
        store = SQLiteStore(tmp_path / "db", read_only=True)
        async with store, Histories(store, HistoryDatabase(folder, insist=True)) as beside:
            assert await beside.read("doc", "s1", format="text", root="text") == b"one "
            assert await beside.read("doc", "now", format="text", root="text") == b"one two "
            version = await beside.create("doc", label="from beside", principal=Principal())
        assert await histories.versions("doc") == [version]


async def test_damage_is_one_document_s(tmp_path: Path) -> None:
    """Who asks for a damaged history is told so; versions, the document and others are there."""
    import sqlite3

    async with recorded(folder=tmp_path) as (hub, histories):
        await typed(hub, "one ")
        await typed(hub, "two ", name="other")
        version = await histories.create("doc", label="", principal=ANN)
        assert await checkpointed(hub)
        assert await checkpointed(hub, "other")
        connection = sqlite3.connect(tmp_path / "history.db")
        with connection:
            connection.execute("UPDATE parts SET data = x'00' WHERE history = 1 AND number = 1")
        connection.close()
        with pytest.raises(HistoryDamaged):
            await histories.read("doc", "now", format="text", root="text")
        assert await histories.versions("doc") == [version]
        assert await histories.read("other", "now", format="text", root="text") == b"two "
        await typed(hub, "three ")
        assert hub.rooms["doc"].damage == ""


async def test_work_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be worked out is a clear answer, and counted."""
    async with recorded() as (hub, histories):
        await typed(hub, "one ")
        monkeypatch.setattr(asking, "read", dies)
        with pytest.raises(HistoryUnavailable):
            await histories.read("doc", "now", format="json")
        assert histories.stats.errors["unavailable"] == 1


def dies(*args: object) -> bytes:
    import os

    os._exit(3)


def test_rules() -> None:
    """The most specific pattern says what is kept; what none fits is kept."""
    rules = HistoryRules(excluded=("scratch/*", "x"))
    assert [name for name in ("a", "scratch/a", "x", "xy") if rules.keeps(name)] == ["a", "xy"]


async def test_going_back() -> None:
    """A restore and an undo are edits that everybody sees, with a version of before."""
    async with recorded() as (hub, histories):
        client = await typed(hub, "one ")
        await typed(hub, "two ", who=BOB)
        assert await checkpointed(hub)
        done = await histories.undo("doc", author="ann", since="s0", principal=BOB)
        await client.shows("two ")
        assert done.changed
        done = await histories.restore("doc", "s1", principal=BOB)
        await client.shows("one ")
        assert done.version_before is not None
        assert (done.version_before.kind, done.version_before.sequence) == ("restore", 3)
        assert await histories.read("doc", "s3", format="text", root="text") == b"two "
        assert (await hub.store.load("doc")).records[-1].author == "bob"
