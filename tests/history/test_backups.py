"""A store or its history is put back to an older copy: what is answered is the document's."""

from pathlib import Path

import pytest

from crdtsync.documents import import_document
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.model import UnknownMoment
from crdtsync.history.retention import Retention
from crdtsync.history.service import Histories
from crdtsync.protocol import update_frame
from tests.history.backing import Place, named, put_back, said, seen_at, shows, warnings
from tests.history.recording import ANN, BOB, checkpointed, moments, recorded, typed
from tests.unit.documents import fresh
from tests.unit.engine import join, quick, until

pytestmark = pytest.mark.anyio

STILL = quick(housekeeping_interval_s=1e6)


@pytest.fixture(params=["sqlite", "file"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Offer a store of each kind."""
    return Place(tmp_path, str(request.param))


@pytest.mark.parametrize("folded", [False, True])
async def test_a_restored_document_that_grows(place: Place, folded: bool) -> None:
    """However long it gets, it is what it is, and so are its moments and versions."""
    async with recorded(place.store(), place.folder) as (hub, histories):
        await typed(hub, "one ")
        before = await named(histories, "signed")
        if folded:
            assert await checkpointed(hub)
        place.copy_store("store")
        await typed(hub, "two ", "three ")
        after = await named(histories, "lost")
    place.put_store("store")
    text = "one "
    async with recorded(place.store(), place.folder) as (hub, histories):
        made: dict[str, int] = {}
        for number, word in enumerate(["A ", "B ", "C ", "D "], 2):
            await typed(hub, word, who=BOB)
            text += word
            made[text] = await named(histories, word)
            assert await shows(histories, "now") == text
            for told, version in made.items():
                assert await shows(histories, f"v{version}") == told
            assert await shows(histories, f"s{number}") == text
        assert await said(histories) == ["signed", "A ", "B ", "C ", "D "]
        assert await checkpointed(hub)
        assert await said(histories) == ["signed", "A ", "B ", "C ", "D "]
        for told, version in made.items():
            assert await shows(histories, f"v{version}") == told
        assert await shows(histories, f"v{before}") == "one "
        with pytest.raises(UnknownMoment):
            await histories.resolve("doc", f"v{after}")
        assert await moments(histories) == [1, 2, 3, 4, 5]
        assert not histories.stats.errors["proof"]


async def test_versions_beyond_the_history(place: Place) -> None:
    """Versions tell of a future that was in no history yet, only in the log that was lost."""
    async with recorded(place.store(), place.folder) as (hub, histories):
        await typed(hub, "one ")
        assert await checkpointed(hub)
        await typed(hub, "two ")
        kept = await named(histories, "kept")
        place.copy_store("store")
        place.copy_history("before")
        await typed(hub, "three ", "four ")
        lost = await named(histories, "lost")
        place.copy_history("history")  # the log of what is lost is in no history yet
    place.put_store("store")
    place.put_history("history")
    async with recorded(place.store(), place.folder) as (hub, histories):
        await typed(hub, "A ", "B ", "C ")
        assert await said(histories) == ["kept"]
        assert await shows(histories, f"v{kept}") == "one two "
        with pytest.raises(UnknownMoment):
            await histories.version(lost)
        assert await checkpointed(hub)
        assert await moments(histories) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("folded", [False, True])
async def test_a_history_that_was_not_there(place: Place, folded: bool) -> None:
    """A lost future's history that comes back later is found out by what both have of a record."""
    async with recorded(place.store(), place.folder) as (hub, histories):
        await typed(hub, "one ", "two ")
        await named(histories, "kept")
        place.copy_store("store")
        await typed(hub, "three ", "four ")
        await named(histories, "lost")
        assert await checkpointed(hub)
        await typed(hub, "five ")
        await named(histories, "lost, too")
    place.copy_history("history")
    place.put_store("store")
    place.put_history(None)
    async with recorded(place.store(), place.folder, limits=STILL) as (hub, histories):
        await typed(hub, "A ", "B ", "C ", "D ")
        if folded:
            assert await checkpointed(hub)
        place.copy_store("grown")
    place.put_store("grown")
    place.put_history("history")
    async with recorded(place.store(), place.folder) as (hub, histories):
        assert await said(histories) == ["kept"]
        assert await shows(histories, "s2") == "one two "
        assert await shows(histories, "now") == "one two A B C D "
        await typed(hub, "E ")
        await named(histories, "new")
        if folded:  # what was folded elsewhere is not known here
            with pytest.raises(UnknownMoment):
                await shows(histories, "s4")
        else:
            assert await shows(histories, "s4") == "one two A B "
        done = await histories.restore("doc", "s2", principal=BOB)
        assert done.changed
        assert await checkpointed(hub)
        assert await said(histories) == ["kept", "new"]
        assert await shows(histories, "now") == "one two "
        assert await shows(histories, "s7") == "one two A B C D E "


async def test_an_older_history(place: Place) -> None:
    """Behind an older history there is a gap where the log is gone; all else is answered."""
    async with recorded(place.store(), place.folder) as (hub, histories):
        await typed(hub, "one ")
        first = await named(histories, "first")
        assert await checkpointed(hub)
        await typed(hub, "two ")
        second = await named(histories, "second")
        place.copy_history("history")
        await typed(hub, "three ")
        await named(histories, "third")
        assert await checkpointed(hub)
        await typed(hub, "four ")
    place.put_history("history")
    async with recorded(place.store(), place.folder) as (hub, histories):
        assert await said(histories) == ["first", "second"]
        assert await shows(histories, f"v{first}") == "one "
        with pytest.raises(UnknownMoment) as caught:
            await shows(histories, f"v{second}")
        assert caught.value.pruned
        await typed(hub, "five ")
        assert await checkpointed(hub)
        assert await moments(histories) == [1, 4, 5]
        assert await shows(histories, "now") == "one two three four five "
        assert await said(histories) == ["first", "second"]
        assert not histories.stats.errors


async def test_made_anew_around_a_backup(place: Place) -> None:
    """A document of the same name, made anew, has nothing of the one before, and the other way."""
    async with recorded(place.store(), place.folder) as (hub, histories):
        await typed(hub, "old ")
        await named(histories, "of the old")
        assert await checkpointed(hub)
        place.copy_store("old")
        place.copy_history("old history")
        await hub.delete("doc")
        await typed(hub, "new ", "and ", "more ")
        await named(histories, "of the new")
        assert await checkpointed(hub)
        place.copy_store("new")
        place.copy_history("new history")
    for store, history in (("old", "new history"), ("new", "old history")):
        place.put_store(store)
        place.put_history(history)
        async with recorded(place.store(), place.folder) as (hub, histories):
            assert await said(histories) == []
            word = {"old": "old ", "new": "new and more "}[store]
            assert await shows(histories, "now") == word
            await named(histories, "now")
            await typed(hub, "again ")
            assert await checkpointed(hub)
            assert await said(histories) == ["now"]
            assert await shows(histories, "now") == word + "again "


async def test_a_client_brings_back_what_was_lost(place: Place) -> None:
    """What comes back comes as one edit: moments in the midst of it are not the document's."""
    async with recorded(place.store(), place.folder) as (hub, histories):
        client = await typed(hub, "one ")
        place.copy_store("store")
        for number, word in enumerate(["two ", "three "], 2):
            client.type(word)
            await until(lambda: hub.rooms["doc"].committed_sequence == number)  # noqa: B023
        lost = await named(histories, "lost")
        held = client.doc.get_update()
    place.put_store("store")
    async with recorded(place.store(), place.folder) as (hub, histories):
        other = await join(hub, principal=ANN)
        other.say(update_frame(held))
        await until(lambda: hub.rooms["doc"].committed_sequence == 2)
        assert await shows(histories, "s2") == "one two three "
        await typed(hub, "four ", who=BOB)
        assert await shows(histories, "s3") == "one two three four "
        with pytest.raises(UnknownMoment):
            await histories.version(lost)
        assert await checkpointed(hub)
        assert await moments(histories) == [1, 2, 3]


@pytest.mark.parametrize("order", [("store", "history"), ("history", "store")])
async def test_copies_while_people_type(place: Place, order: tuple[str, str]) -> None:
    """The store, then the history: all is there. The other way, what was folded meanwhile is not.

    Large enough for workers, with checkpoints and pruning between the copies.
    """
    made: dict[int, str] = {}
    text = ""
    async with recorded(place.store(), place.folder) as (hub, histories):

        async def work(count: int) -> None:
            nonlocal text
            for _ in range(count):
                word = f"{len(made)} " + "x" * 3_000
                await typed(hub, "...", word)
                text += "..." + word
                made[await named(histories, f"{len(made)}")] = text

        await work(3)
        assert await checkpointed(hub)
        await work(3)
        for number, which in enumerate(order):
            if number:
                known = len(made)
                await work(2)
                assert await checkpointed(hub)
                await histories.prune("doc", Retention(everything_s=0))
                await work(2)
            if which == "store":
                place.copy_store("store")
                there = len(made)
            else:
                place.copy_history("history")
        await work(1)
    place.put_store("store")
    place.put_history("history")
    async with recorded(place.store(), place.folder) as (hub, histories):
        found = await histories.versions("doc", kind="named", limit=1000)
        wanted = there if order[0] == "store" else known
        assert sorted(each.id for each in found) == list(made)[:wanted]
        for number, (version, then) in enumerate(made.items()):
            if order[0] == "store" and number < there:
                assert await shows(histories, f"v{version}") == then
            elif number >= wanted:
                with pytest.raises(UnknownMoment):
                    await shows(histories, f"v{version}")
            else:
                seen = await seen_at(histories, version)
                assert seen == then or (number >= 3 and seen is None)
        assert await shows(histories, "now") == list(made.values())[there - 1]
        await typed(hub, "new ")
        await named(histories, "new")
        assert await checkpointed(hub)
        assert len(await said(histories)) == wanted + 1
        assert await shows(histories, "now") == list(made.values())[there - 1] + "new "


async def test_who_only_reads_writes_nothing(place: Place) -> None:
    """Without a hub a history is seen cut back, and stays as it is until somebody writes."""
    lost = await put_back(place)
    place.copy_history("history")
    for _ in range(2):
        store = place.store()
        async with store, Histories(store, HistoryDatabase(place.folder)) as histories:
            assert await said(histories) == ["kept"]
            assert await shows(histories, "now") == "one "
            with pytest.raises(UnknownMoment):
                await shows(histories, f"v{lost}")
            outline = await histories.kept.outline("doc")
            assert outline is not None
            assert outline.sequence == 2
            assert await histories.kept.version(lost) is not None
    store = place.store()
    async with store, Histories(store, HistoryDatabase(place.folder)) as histories:
        await named(histories, "new")
        outline = await histories.kept.outline("doc")
        assert outline is not None
        assert outline.sequence == 1
        assert await said(histories) == ["kept", "new"]


async def test_check_tells(place: Place) -> None:
    """A history that is ahead, or of another future, is a warning, and damage of nothing."""
    async with recorded(place.store(), place.folder) as (hub, histories):
        await typed(hub, "one ")
        place.copy_store("store")
        await typed(hub, "two ", "three ")
        await named(histories, "lost")
        assert await checkpointed(hub)
    place.copy_history("history")
    place.put_store("store")
    assert await warnings(place) == [
        "the history ends at 3, the document at 1",
        "2 of its versions are of a state that the document does not have",
    ]
    place.put_history(None)
    async with recorded(place.store(), place.folder, limits=STILL) as (hub, _):
        await typed(hub, "A ", "B ", "C ")
        place.copy_store("grown")
    place.put_store("grown")
    place.put_history("history")
    assert await warnings(place) == [
        "the document went on otherwise than its history behind 1",
        "2 of its versions are of a state that the document does not have",
    ]
    async with recorded(place.store(), place.folder) as (hub, histories):
        assert await shows(histories, "now") == "one A B C "
    assert await warnings(place) == []


async def test_commands_before_the_server(place: Place) -> None:
    """What is imported into a restored document before any server runs stays, with its version."""
    async with recorded(place.store(), place.folder) as (hub, histories):
        await typed(hub, "one ")
        await named(histories, "kept")
        place.copy_store("store")
        await typed(hub, "two ", "three ", "four ")
        await named(histories, "lost")
    place.put_store("store")
    doc = fresh()
    store = place.store()
    async with store, HistoryDatabase(place.folder) as kept:
        for _ in range(3):  # as long as the history then
            doc["text"] += "imported "  # type: ignore[operator]
            await import_document(store, "doc", doc.get_update(), merge=True, history=kept)
    async with recorded(place.store(), place.folder) as (hub, histories):
        assert await said(histories) == ["kept"]
        imports = await histories.versions("doc", kind="import")
        texts = [await shows(histories, f"v{each.id}") for each in reversed(imports)]
        assert [sorted(each.split()) for each in texts] == [
            ["one"],
            ["imported", "one"],
            ["imported", "imported", "one"],
        ]
        await typed(hub, "A ")
        assert await checkpointed(hub)
        assert sorted((await shows(histories, "now")).split()) == ["A", *["imported"] * 3, "one"]
