"""The quarantine of refused updates: what it keeps, joins, knows already, and drops."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crdtsync.errors import StoreError
from crdtsync.limits import Limits
from crdtsync.refused import keeping, records
from crdtsync.refused.base import Entry, Filter, Lost, RefusedUpdate, Run
from crdtsync.refused.keeping import FILE, RefusedUpdates
from crdtsync.store.side import SideDatabase
from crdtsync.structs import EMPTY_UPDATE
from crdtsync.update import scan

from .documents import Doc, fresh
from .engine import until
from .wire import one

pytestmark = pytest.mark.anyio

EVERYTHING = Filter()


def refused(update: bytes, run: Run | None = None, **changed: Any) -> RefusedUpdate:
    fields: dict[str, Any] = {
        "document": "doc",
        "author": "ann",
        "name": "Ann",
        "kind": "gate",
        "reason": "no",
        "time_ms": 1_000,
        "update": update,
        "run": run or Run(),
    }
    return RefusedUpdate(**fields | changed)


async def kept(quarantine: RefusedUpdates, which: Filter = EVERYTHING) -> list[Entry]:
    """Wait until everything is written; return the entries that are meant."""
    done: list[bool] = []
    quarantine.when_kept(lambda: done.append(True))
    await until(lambda: done)
    return await quarantine.entries(which, limit=1_000, whole=True)


async def test_an_entry_has_it_all() -> None:
    """Document, author, name, kind, reason, time and bytes are as they were handed in."""
    update = one(1, 0, "x", parent="private")
    async with RefusedUpdates(None) as quarantine:
        quarantine.keep(refused(update))
        (entry,) = await kept(quarantine)
        assert (entry.document, entry.author, entry.name) == ("doc", "ann", "Ann")
        assert (entry.kind, entry.reason, entry.update) == ("gate", "no", update)
        assert (entry.first_ms, entry.last_ms, entry.updates) == (1_000, 1_000, 1)
        assert entry.size == len(update)
        (listed,) = await quarantine.entries(EVERYTHING, limit=10)
        assert listed.update == b""
        stats = quarantine.stats
        assert (stats.entries, stats.size, stats.kept) == (1, len(update), 1)


async def test_a_restart_keeps_it(tmp_path: Path) -> None:
    """What was handed in before the end is there at the next start, and ids go on."""
    async with RefusedUpdates(tmp_path / "guard") as quarantine:
        quarantine.keep(refused(one(1, 0, "x", parent="private")))
    assert (tmp_path / "guard" / FILE).exists()
    async with RefusedUpdates(tmp_path / "guard") as quarantine:
        assert quarantine.stats.entries == 1
        (first,) = await quarantine.entries(EVERYTHING, limit=10)
        assert await quarantine.drop([replace(first, updates=7), replace(first, id=77)]) == 0
        assert await quarantine.drop([first]) == 1
        assert quarantine.stats.entries == 0
        quarantine.keep(refused(one(1, 0, "x", parent="private")))
        (second,) = await kept(quarantine)
        assert second.id > first.id


def typed(words: str, client: int = 7) -> list[bytes]:
    """Return the updates of somebody who types, one per character."""
    doc: Doc = fresh(client)
    text = doc.get("text", type=type(doc["text"]))
    updates = []
    for letter in words:
        before = doc.get_state()
        text += letter
        updates.append(doc.get_update(before))
    return updates


async def test_updates_that_follow_one_another_are_one_entry() -> None:
    """A connection's keystrokes make one entry, over many batches, without any being lost."""
    words = "a few words, letter by letter"
    async with RefusedUpdates(None) as quarantine:
        run = Run()
        updates = typed(words)
        for number, update in enumerate(updates):
            quarantine.keep(refused(update, run, time_ms=number))
            if number % 5 == 0:
                await kept(quarantine)
        (entry,) = await kept(quarantine)
        assert entry.updates == len(updates)
        assert (entry.first_ms, entry.last_ms) == (0, len(words) - 1)
        doc = fresh()
        doc.apply_update(entry.update)
        assert str(doc["text"]) == words


async def test_what_does_not_follow_is_an_entry_of_its_own() -> None:
    """Another connection, another reason, a gap or a long update begin a new entry."""
    a, b, c, d, *_, last = typed("abcdefgh")
    long = one(9, 0, "x" * records.MAX_JOINED_BYTES, parent="text")
    async with RefusedUpdates(None) as quarantine:
        run = Run()
        quarantine.keep(refused(a, run))
        quarantine.keep(refused(b, Run()))
        quarantine.keep(refused(c, run, reason="another"))
        quarantine.keep(refused(d, run, reason="another"))
        await kept(quarantine)
        quarantine.keep(refused(last, run, reason="another"))
        quarantine.keep(refused(long, run, reason="another"))
        assert sorted(each.updates for each in await kept(quarantine)) == [1, 1, 1, 1, 2]


@pytest.mark.parametrize("author", ["ann", ""])
async def test_the_same_step_2_is_kept_once(author: str) -> None:
    """A client that comes back with the same refused edits makes no second entry."""
    update = one(1, 0, "x", parent="private")
    async with RefusedUpdates(None) as quarantine:
        for _ in range(5):
            quarantine.keep(refused(update, author=author, step_2=True))
            quarantine.keep(refused(update, author=author, step_2=True))
            assert len(await kept(quarantine)) == 1
        assert quarantine.stats.duplicates == 9
        quarantine.keep(refused(update, author="bob"))
        quarantine.keep(refused(update, document="other", author=author))
        assert len(await kept(quarantine)) == 3


async def test_a_step_2_takes_the_place_of_what_it_repeats() -> None:
    """Of a known author what a larger step 2 has in it is not kept twice, and nothing is lost."""
    updates = typed("abcdef")
    doc = fresh()
    for update in updates[:3]:
        doc.apply_update(update)
    half = doc.get_update()
    for update in updates[3:]:
        doc.apply_update(update)
    whole = doc.get_update()
    async with RefusedUpdates(None) as quarantine:
        quarantine.keep(refused(updates[0]))
        quarantine.keep(refused(half, step_2=True))
        assert [each.update for each in await kept(quarantine)] == [half]
        quarantine.keep(refused(whole, step_2=True))
        assert [each.update for each in await kept(quarantine)] == [whole]
        quarantine.keep(refused(half, step_2=True))
        assert [each.update for each in await kept(quarantine)] == [whole]
        assert quarantine.stats.duplicates == 1


async def test_nobody_anonymous_takes_another_s_place() -> None:
    """Without a name a step 2 replaces nothing: whose it is nobody knows."""
    updates = typed("abcdef")
    doc = fresh()
    for update in updates:
        doc.apply_update(update)
    async with RefusedUpdates(None) as quarantine:
        quarantine.keep(refused(updates[0], author=""))
        quarantine.keep(refused(doc.get_update(), author="", step_2=True))
        assert len(await kept(quarantine)) == 2


SIZE = len(one(1, 0, "x" * 100, parent="p"))


@pytest.mark.parametrize(
    ("limits", "cause"),
    [
        (Limits(max_quarantine_author_updates=3), "author"),
        (Limits(max_quarantine_author_bytes=3 * SIZE), "author"),
        (Limits(max_quarantine_document_updates=3), "document"),
        (Limits(max_quarantine_document_bytes=3 * SIZE), "document"),
        (Limits(max_quarantine_updates=3), "total"),
        (Limits(max_quarantine_bytes=3 * SIZE), "total"),
    ],
)
async def test_bounds(limits: Limits, cause: str, caplog: pytest.LogCaptureFixture) -> None:
    """Above each limit the oldest entries are dropped, counted, and said in the log."""
    caplog.set_level(logging.WARNING)
    where = {"author": {"author": "ann"}, "document": {"document": "doc"}}.get(cause, {})
    async with RefusedUpdates(None, limits) as quarantine:
        if where:
            elsewhere = {"document": "else", "author": "eve"}
            quarantine.keep(refused(one(99, 0, "mine", parent="p"), **elsewhere))
        authors = ["ann", "bob"] if cause != "author" else ["ann"]
        documents = ["doc", "two"] if cause != "document" else ["doc"]
        updates = [one(n, 0, "x" * 100, parent="p") for n in range(1, 6)]
        for n, update in enumerate(updates):
            place = {"author": authors[n % len(authors)], "document": documents[n % len(documents)]}
            quarantine.keep(refused(update, **place))
        found = [each.update for each in await kept(quarantine, Filter(**where))]
        assert found == updates[2:]
        assert len(await kept(quarantine)) == (4 if where else 3)
        assert quarantine.stats.lost == {cause: 2}
        assert list(await quarantine.lost()) == [Lost(cause, 2, 2 * SIZE)]
    assert f"{cause} 2" in caplog.text


async def test_what_is_lost_is_remembered(tmp_path: Path) -> None:
    """The count of what was dropped outlives the server."""
    limits = Limits(max_quarantine_updates=1)
    for client in (1, 2, 3):
        async with RefusedUpdates(tmp_path, limits) as quarantine:
            quarantine.keep(refused(one(client, 0, "x", parent="p")))
            assert len(await kept(quarantine)) == 1
    async with RefusedUpdates(tmp_path, limits) as quarantine:
        (lost,) = await quarantine.lost()
        assert (lost.cause, lost.updates) == ("total", 2)


@pytest.mark.parametrize("bound", ["MAX_BUFFERED_UPDATES", "MAX_BUFFERED_BYTES"])
async def test_the_buffer_is_bounded(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More at once than can be written is dropped and counted, not kept in memory."""
    updates = [one(n, 0, "x", parent="p") for n in range(1, 21)]
    most = 5 if bound == "MAX_BUFFERED_UPDATES" else 5 * len(updates[0])
    monkeypatch.setattr(keeping, bound, most)
    async with RefusedUpdates(None) as quarantine:
        for update in updates:
            quarantine.keep(refused(update))
        assert [each.update for each in await kept(quarantine)] == updates[:5]
        assert quarantine.stats.lost == {"buffer": 15}
        assert [each.updates for each in await quarantine.lost()] == [15]


@pytest.mark.parametrize("bound", ["MAX_BUFFERED_UPDATES", "MAX_BUFFERED_BYTES"])
async def test_one_connection_does_not_fill_the_buffer(
    bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who floods loses what he floods with; what others were refused meanwhile is kept."""
    updates = [one(n, 0, "x", parent="p") for n in range(1, 41)]
    most = 20 if bound == "MAX_BUFFERED_UPDATES" else 20 * len(updates[0])
    monkeypatch.setattr(keeping, bound, most)
    async with RefusedUpdates(None) as quarantine:
        flood = Run()
        for update in updates:
            quarantine.keep(refused(update, flood, author="eve"))
        quarantine.keep(refused(one(99, 0, "mine", parent="p")))
        assert sum(each.updates for each in await kept(quarantine, Filter(author="eve"))) == 5
        assert len(await kept(quarantine, Filter(author="ann"))) == 1
        assert quarantine.stats.lost == {"buffer": 35}
        quarantine.keep(refused(updates[7], flood, author="eve"))
        assert sum(each.updates for each in await kept(quarantine, Filter(author="eve"))) == 6
        assert (flood.waiting, flood.waiting_bytes) == (0, 0)


@pytest.mark.parametrize("bound", ["MAX_LATE_UPDATES", "MAX_LATE_BYTES"])
async def test_what_comes_late_is_bounded(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what a connection brings behind a refused update so much is kept, for all its life."""
    updates = [one(n, 0, "x", parent="p") for n in range(1, 41)]
    monkeypatch.setattr(keeping, bound, 5 if bound == "MAX_LATE_UPDATES" else 5 * len(updates[0]))
    async with RefusedUpdates(None) as quarantine:
        run, other = Run(), Run()
        for update in updates[:10]:
            quarantine.keep(refused(update, run))
        for update in updates[10:30]:
            quarantine.keep(refused(update, run, late=True))
            await kept(quarantine)
        quarantine.keep(refused(updates[30], other, late=True))
        assert sum(each.updates for each in await kept(quarantine)) == 16
        assert quarantine.stats.lost == {"late": 15}


async def test_a_single_late_update_may_be_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that somebody wrote offline may come in one piece behind the refused keystroke."""
    monkeypatch.setattr(keeping, "MAX_LATE_BYTES", 10)
    async with RefusedUpdates(None) as quarantine:
        quarantine.keep(refused(one(1, 0, "x" * 100, parent="p"), late=True))
        assert len(await kept(quarantine)) == 1


async def test_a_long_backlog_is_written_in_many_transactions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However much waits, one transaction takes a part of it, and nothing is lost between."""
    monkeypatch.setattr(keeping, "MAX_BATCH_UPDATES", 3)
    updates = [one(n, 0, "x" * n, parent="p") for n in range(1, 41)]
    monkeypatch.setattr(keeping, "MAX_BATCH_BYTES", 2 * len(updates[-1]))
    async with RefusedUpdates(None) as quarantine:
        for update in updates:
            quarantine.keep(refused(update))
        assert [each.update for each in await kept(quarantine)] == updates
        assert quarantine._buffered_bytes == 0


async def test_a_single_update_may_be_larger_than_the_buffer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One large step 2 is kept, whatever the buffer's size."""
    monkeypatch.setattr(keeping, "MAX_BUFFERED_BYTES", 1)
    async with RefusedUpdates(None) as quarantine:
        quarantine.keep(refused(one(1, 0, "x" * 100_000, parent="p")))
        assert len(await kept(quarantine)) == 1


async def test_what_is_no_update_is_counted() -> None:
    """Bytes that came over a connection whose end was near may be anything."""
    async with RefusedUpdates(None) as quarantine:
        quarantine.keep(refused(b"\xff\xff"))
        quarantine.keep(refused(EMPTY_UPDATE[:1]))
        assert await kept(quarantine) == []
        assert quarantine.stats.lost == {"invalid": 2}


async def test_an_older_file_is_taken_on(tmp_path: Path) -> None:
    """What an earlier version kept is there, and counts among the anonymous as one author."""
    update = one(1, 0, "x", parent="p")
    async with SideDatabase(tmp_path / FILE, records.MIGRATIONS[:1]) as side:
        await side.call(
            lambda database: database.execute(
                "INSERT INTO refused VALUES (1, 'doc', '', '', 'gate', 'no', 1, 1, 1, ?, x'00', ?)",
                (len(update), update),
            )
        )
    async with RefusedUpdates(tmp_path, insist=True) as quarantine:
        quarantine.keep(refused(one(2, 0, "x", parent="p"), Run("an address"), author=""))
        assert [each.id for each in await kept(quarantine)] == [1, 2]


async def test_odd_texts_are_kept() -> None:
    """Halves of surrogate pairs, NULs and long reasons don't get in the way."""
    async with RefusedUpdates(None) as quarantine:
        update = one(1, 0, "x", parent="p")
        quarantine.keep(refused(update, author="\ud800", name="\x00", reason="r" * 10_000))
        (entry,) = await kept(quarantine, Filter(author="\ud800"))
        assert entry.name == "\x00"
        assert entry.reason == "r" * records.MAX_TEXT


async def test_a_failing_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk takes nothing, updates wait, nobody else does, and then they are kept."""
    monkeypatch.setattr(keeping, "RETRY_S", 0.001)
    async with RefusedUpdates(None) as quarantine:
        real: Callable[..., Any] = keeping._write
        failed = []

        def fail(*args: Any) -> Any:
            failed.append(real(*args))
            raise StoreError("the disk is full")

        monkeypatch.setattr(keeping, "_write", fail)
        run, done = Run(), []
        first, second = typed("ab")
        quarantine.keep(refused(first, run))
        quarantine.when_kept(lambda: done.append(True))
        await until(lambda: done)  # told, though it could not be kept
        quarantine.keep(refused(second, run))
        await until(lambda: len(failed) > 2)
        await until(lambda: run.entry == 0)  # what was rolled back is no entry
        monkeypatch.setattr(keeping, "_write", real)
        await until(lambda: quarantine.stats.kept == 2)
        (entry,) = await kept(quarantine)
        assert entry.updates == 2


async def test_without_its_folder_it_is_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where its file can't be, the server runs all the same, and says so."""
    (tmp_path / "file").write_text("")
    async with RefusedUpdates(tmp_path / "file") as quarantine:
        quarantine.keep(refused(one(1, 0, "x", parent="p")))
        assert len(await kept(quarantine)) == 1
    assert "in memory only" in caplog.text


async def test_filters() -> None:
    """Entries are found by id, document and author, a page at a time, the oldest first."""
    async with RefusedUpdates(None) as quarantine:
        for n in range(1, 7):
            place = {"document": f"d{n % 2}", "author": f"a{n % 3}"}
            quarantine.keep(refused(one(n, 0, "x", parent="p"), **place))
        ids = [each.id for each in await kept(quarantine)]
        assert ids == sorted(ids)

        async def found(**which: Any) -> list[int]:
            return [each.id for each in await quarantine.entries(Filter(**which), limit=2)]

        assert await found() == ids[:2]
        assert await found(after=ids[3]) == ids[4:]
        assert await found(document="d1") == [ids[0], ids[2]]
        assert await found(author="a0") == [ids[2], ids[5]]
        assert await found(document="d1", author="a0") == [ids[2]]
        assert await found(ids=(ids[5], ids[1], 999)) == [ids[1], ids[5]]
        assert await found(ids=()) == []


async def test_an_hour_of_typing_is_kept_whole(tmp_path: Path) -> None:
    """Thousands of keystrokes are a few entries, and make the text that was typed."""
    words = "".join(chr(97 + n % 26) for n in range(3_000))
    async with RefusedUpdates(tmp_path) as quarantine:
        run = Run()
        for number, update in enumerate(typed(words)):
            quarantine.keep(refused(update, run))
            if number % 1_000 == 0:
                await kept(quarantine)
        found = await kept(quarantine)
        assert sum(each.updates for each in found) == len(words)
        assert len(found) < 20
        assert quarantine.stats.lost.total() == 0
        doc = fresh()
        for entry in found:
            doc.apply_update(entry.update)
        assert str(doc["text"]) == words
        assert scan(found[0].update, Limits()).ranges
