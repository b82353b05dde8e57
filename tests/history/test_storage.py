"""Where histories lie: saves on top of what was read, checksums, what is set aside, versions."""

import sqlite3
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from crdtsync.errors import StoreDamaged, StoreError
from crdtsync.history import database as database_module
from crdtsync.history import tables
from crdtsync.history.base import HistoryChanged, NewVersion
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.model import HistoryDamaged, Stored

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both event loops."""
    return str(request.param)


STORED = Stored(7, b"head", b"structs", (b"first", b"second"))


def new(sequence: int = 1, **changed: Any) -> NewVersion:
    fields: dict[str, Any] = {
        "document": "doc",
        "incarnation": 5,
        "sequence": sequence,
        "time_ms": 1_000 * sequence,
        "kind": "named",
    }
    return NewVersion(**fields | changed)


def edit(folder: Path, sql: str, *args: Any) -> None:
    """Change the file behind everybody's back."""
    connection = sqlite3.connect(folder / tables.FILE)
    with connection:
        assert connection.execute(sql, args).rowcount != 0
    connection.close()


def everything(folder: Path) -> bytes:
    """Return what lies in all files of a folder."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_what_is_saved_is_there_after_a_restart(tmp_path: Path) -> None:
    """Every part comes back, with incarnation, sequence and revision."""
    async with HistoryDatabase(tmp_path / "guard") as histories:
        assert await histories.load("doc") is None
        assert await histories.save("doc", STORED, incarnation=5, revision=0) == 1
    async with HistoryDatabase(tmp_path / "guard") as histories:
        kept = await histories.load("doc")
        assert kept is not None
        assert kept.stored == STORED
        outline = kept.outline
        assert (outline.incarnation, outline.sequence, outline.revision) == (5, 7, 1)
        assert outline.size == len(b"headstructsfirstsecond")
        assert await histories.outline("doc") == outline
        assert await histories.outlines() == [outline]
        assert await histories.outlines(after="doc") == []


async def test_only_what_was_read_is_written_over(tmp_path: Path) -> None:
    """Of two that write on one revision the later one is refused, and nothing of it is written."""
    folder = tmp_path / "guard"
    async with HistoryDatabase(folder) as one, HistoryDatabase(folder) as other:
        await one.save("doc", STORED, incarnation=5, revision=0)
        with pytest.raises(HistoryChanged):
            await other.save("doc", Stored(9, b"h", b"s"), incarnation=5, revision=0)
        longer = Stored(8, b"head", b"structs", (b"first", b"other", b"third"))
        assert await other.save("doc", longer, incarnation=5, revision=1) == 2
        with pytest.raises(HistoryChanged):
            await one.save("doc", STORED, incarnation=5, revision=1)
        kept = await one.load("doc")
        assert kept is not None
        assert kept.stored == longer


async def test_only_what_has_changed_is_written(tmp_path: Path) -> None:
    """A save leaves the rows of blocks that are the same, and removes those that are gone."""
    folder = tmp_path / "guard"

    def rows() -> dict[int, int]:
        connection = sqlite3.connect(folder / tables.FILE)
        found = dict(connection.execute("SELECT number, rowid FROM parts").fetchall())
        connection.close()
        return found

    async with HistoryDatabase(folder) as histories:
        await histories.save("doc", STORED, incarnation=5, revision=0)
        before = rows()
        changed = Stored(8, b"head", b"others", (b"first", b"newer", b"third"))
        await histories.save("doc", changed, incarnation=5, revision=1)
        after = rows()
        assert {n for n, row in after.items() if before.get(n) == row} == {0, 2}
        await histories.save("doc", Stored(8, b"head", b"others"), incarnation=5, revision=2)
        assert set(rows()) == {0, 1}


async def test_a_failed_save_leaves_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A save that fails half-way has written nothing."""
    async with HistoryDatabase(tmp_path) as histories:
        await histories.save("doc", STORED, incarnation=5, revision=0)
        (version,) = await histories.add_versions([new(3)])

        def fails(*args: object) -> int:
            raise sqlite3.OperationalError("disk I/O error")

        with monkeypatch.context() as patched:
            patched.setattr(tables, "_row_sum", fails)
            with pytest.raises(StoreError):
                await histories.save(
                    "doc", Stored(9, b"h", b"s"), incarnation=5, revision=1, without=[version.id]
                )
        kept = await histories.load("doc")
        assert kept is not None
        assert kept.stored == STORED
        assert await histories.version(version.id) == version


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE parts SET data = x'00' WHERE number = 0",
        "UPDATE parts SET data = x'00' WHERE number = 3",
        "UPDATE parts SET data = 'text' WHERE number = 1",
        "UPDATE parts SET checksum = 1 WHERE number = 1",
        "UPDATE histories SET sequence = 8",
        "UPDATE histories SET incarnation = 8",
        "DELETE FROM parts WHERE number = 1",
        "DELETE FROM parts WHERE number = 3",
        "DELETE FROM parts",
        "UPDATE parts SET number = 9 WHERE number = 3",
    ],
)
async def test_damage_is_found(tmp_path: Path, damage: str) -> None:
    """Whatever is not as it was written is damage, of this document, and no other."""
    async with HistoryDatabase(tmp_path) as histories:
        await histories.save("doc", STORED, incarnation=5, revision=0)
    edit(tmp_path, damage)
    async with HistoryDatabase(tmp_path) as histories:
        await histories.save("other", STORED, incarnation=5, revision=0)
        with pytest.raises(HistoryDamaged, match="'doc'"):
            await histories.load("doc")
        assert await histories.load("other") is not None
        (finding,) = await histories.check()
        assert (finding.document, finding.level) == ("doc", "error")


async def test_what_is_set_aside_is_not_read(tmp_path: Path) -> None:
    """A history that is set aside leaves room for a new one; the last ones of them are kept."""
    async with HistoryDatabase(tmp_path) as histories:
        for number in range(tables.MAX_ASIDE + 2):
            await histories.save("doc", Stored(number + 1), incarnation=number, revision=0)
            (version,) = await histories.add_versions([new(1, incarnation=number)])
            assert await histories.set_aside("doc", "it is of another life", 1_000)
            assert await histories.load("doc") is None
            assert await histories.version(version.id) is None
            assert await histories.versions("doc") == []
        assert not await histories.set_aside("doc", "again", 1_000)
    connection = sqlite3.connect(tmp_path / tables.FILE)
    found = connection.execute("SELECT incarnation, reason FROM histories ORDER BY id").fetchall()
    parts = connection.execute("SELECT COUNT(DISTINCT history) FROM parts").fetchone()[0]
    versions = connection.execute("SELECT COUNT(DISTINCT history) FROM versions").fetchone()[0]
    connection.close()
    assert [number for number, _ in found] == [2, 3, 4]
    assert {reason for _, reason in found} == {"it is of another life"}
    assert parts == versions == tables.MAX_ASIDE


async def test_forgetting_leaves_nothing(tmp_path: Path) -> None:
    """A deleted document's history, versions and what was set aside of it are gone."""
    async with HistoryDatabase(tmp_path) as histories:
        await histories.save("doc", STORED, incarnation=5, revision=0)
        await histories.set_aside("doc", "why not", 1_000)
        await histories.save("doc", STORED, incarnation=5, revision=0)
        await histories.save("other", STORED, incarnation=5, revision=0)
        await histories.add_versions([new(1), new(1, document="other")])
        assert await histories.forget("doc")
        assert not await histories.forget("doc")
        assert [each.document for each in await histories.outlines()] == ["other"]
    connection = sqlite3.connect(tmp_path / tables.FILE)
    for table in ("histories", "versions"):
        assert connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone() == (1,)
    assert connection.execute("SELECT COUNT(DISTINCT history) FROM parts").fetchone() == (1,)
    connection.close()


async def test_the_file_shrinks(tmp_path: Path) -> None:
    """What is deleted is given back to the disk, and is not in the file any more."""
    large = Stored(7, b"head", b"SECRET" + bytes(range(256)) * 16_000)
    async with HistoryDatabase(tmp_path) as histories:
        await histories.save("doc", large, incarnation=5, revision=0)
        await histories.save("other", STORED, incarnation=5, revision=0)
        await histories.shrink()
        assert (tmp_path / tables.FILE).stat().st_size > 4_000_000
        await histories.forget("doc")
        assert (await histories.space()).free > 4_000_000
        await histories.shrink()
        space = await histories.space()
        assert space.free == 0
        assert (tmp_path / tables.FILE).stat().st_size == space.used < 100_000
        assert b"SECRET" not in everything(tmp_path)


async def test_a_file_that_does_not_shrink(tmp_path: Path) -> None:
    """Whoever asks for room that a file can't give back does not wait for it for ever."""
    connection = sqlite3.connect(tmp_path / tables.FILE)
    connection.executescript("PRAGMA auto_vacuum = NONE; CREATE TABLE made_otherwise (id)")
    connection.close()
    large = Stored(7, b"head", bytes(range(256)) * 4_000)
    async with HistoryDatabase(tmp_path) as histories:
        await histories.save("doc", large, incarnation=5, revision=0)
        await histories.forget("doc")
        with anyio.fail_after(20):
            await histories.shrink()
        assert (await histories.space()).free > 1_000_000


async def test_versions(tmp_path: Path) -> None:
    """A version is added, listed, named anew and removed; its number is not given again."""
    async with HistoryDatabase(tmp_path) as histories:
        await histories.note_authors({"ann": "Ann", "": "nobody"}, 1)
        (first, second) = await histories.add_versions(
            [new(1, label="draft", author="ann"), new(2, kind="auto", note="by itself")]
        )
        assert (first.label, first.author, first.author_name) == ("draft", "ann", "Ann")
        assert (second.kind, second.note, second.author_name) == ("auto", "by itself", "")
        assert await histories.versions("doc") == [second, first]
        assert await histories.versions("doc", kind="named") == [first]
        assert await histories.versions("doc", before=second.id) == [first]
        assert await histories.versions("doc", limit=1) == [second]
        assert await histories.versions("other") == []
        renamed = await histories.change_version(first.id, label="sent")
        assert renamed is not None
        assert (renamed.label, renamed.note) == ("sent", "")
        await histories.change_version(first.id, note="to Bob")
        found = await histories.version(first.id)
        assert found is not None
        assert (found.label, found.note) == ("sent", "to Bob")
        assert await histories.remove_version(second.id)
        assert not await histories.remove_version(second.id)
        assert await histories.version(second.id) is None
        assert await histories.change_version(second.id, label="x") is None
        (third,) = await histories.add_versions([new(3)])
        assert third.id > second.id
        await histories.note_authors({"ann": "Ann Lee"}, 2)
        assert (await histories.versions("doc"))[1].author_name == "Ann Lee"
        assert await histories.names(["ann", "bob"]) == {"ann": "Ann Lee"}


async def test_a_version_makes_a_history_and_is_of_one_life(tmp_path: Path) -> None:
    """A version may come before anything is folded; one of another incarnation is left out."""
    async with HistoryDatabase(tmp_path) as histories:
        assert len(await histories.add_versions([new(1)])) == 1
        kept = await histories.load("doc")
        assert kept is not None
        assert (kept.stored.sequence, kept.outline.revision) == (0, 0)
        assert await histories.add_versions([new(2, incarnation=6)]) == []
        assert await histories.save("doc", STORED, incarnation=5, revision=0) == 1
        assert len(await histories.versions("doc")) == 1


async def test_a_damaged_version(tmp_path: Path) -> None:
    """A version that is not as it was written is damage, not another version."""
    async with HistoryDatabase(tmp_path) as histories:
        (version,) = await histories.add_versions([new(1, label="draft")])
    edit(tmp_path, "UPDATE versions SET sequence = 2")
    async with HistoryDatabase(tmp_path) as histories:
        with pytest.raises(HistoryDamaged, match="version"):
            await histories.version(version.id)
        with pytest.raises(HistoryDamaged):
            await histories.versions("doc")
        (finding,) = await histories.check()
        assert finding.document == "doc"


async def test_an_author_is_forgotten(tmp_path: Path) -> None:
    """An erased author's id and name are nowhere, not in what was set aside either."""
    async with HistoryDatabase(tmp_path) as histories:
        await histories.save("doc", Stored(7, b"ann-the-author"), incarnation=5, revision=0)
        await histories.set_aside("doc", "why not", 1_000)
        await histories.note_authors({"ann-the-author": "Ann the Author", "bob": "Bob"}, 1)
        await histories.add_versions([new(1, author="ann-the-author"), new(2, author="bob")])
        await histories.erase_author("ann-the-author")
        found = await histories.versions("doc")
        assert [(each.author, each.author_name) for each in found] == [("bob", "Bob"), ("", "")]
        await histories.shrink()
        assert b"the-author" not in everything(tmp_path)
        assert b"the Author" not in everything(tmp_path)


async def test_any_name_can_be_kept() -> None:
    """Halves of surrogate pairs in names, labels and ids are taken like any other text."""
    odd = "\ud800 x"
    async with HistoryDatabase(None) as histories:
        await histories.note_authors({odd: odd}, 1)
        (version,) = await histories.add_versions([new(1, label=odd, note=odd, author=odd)])
        assert version.label == "? x"
        assert await histories.names([odd]) == {odd: "? x"}


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """It is said so; ``replace`` keeps the file, and numbers of versions go on behind all old."""
    (tmp_path / tables.FILE).write_bytes(b"no database at all" * 1_000)
    with pytest.raises(StoreDamaged):
        async with HistoryDatabase(tmp_path, insist=True):
            raise AssertionError("it opened")
    async with HistoryDatabase(tmp_path) as histories:
        with pytest.raises(StoreDamaged):
            await histories.load("doc")
        await histories.replace()
        (version,) = await histories.add_versions([new(1)])
        assert version.id > 1_000_000_000
        assert await histories.load("doc") is not None
    kept = tmp_path / (tables.FILE + ".damaged-1")
    assert kept.read_bytes() == b"no database at all" * 1_000


async def test_a_file_that_comes_back(tmp_path: Path) -> None:
    """A database that can't be opened at first is tried again with each call."""
    blocker = tmp_path / "guard"
    blocker.write_text("a file where the folder should be")
    async with HistoryDatabase(blocker) as histories:
        with pytest.raises(StoreError):
            await histories.outlines()
        blocker.unlink()
        assert await histories.outlines() == []


async def test_the_list_is_quick(tmp_path: Path) -> None:
    """50 of 10,000 versions are there within 10 ms, from any place, of one kind, too."""
    async with HistoryDatabase(tmp_path) as histories:
        await histories.add_versions([new(n, kind="auto") for n in range(1, 10_001)])
        (oldest,) = await histories.add_versions([new(10_001)])
        await histories.add_versions([new(1, document="other") for _ in range(1_000)])
        for before, kind in ((None, None), (5_000, None), (oldest.id, "auto"), (None, "named")):
            best = min([await _timed(histories, before, kind) for _ in range(5)])
            assert best < 0.010


async def _timed(histories: HistoryDatabase, before: int | None, kind: Any) -> float:
    started = time.perf_counter()
    assert await histories.versions("doc", before=before, limit=50, kind=kind)
    return time.perf_counter() - started


async def test_giving_back_goes_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two slices of it others have their turn."""
    monkeypatch.setattr(database_module, "SHRINK_PAGES", 10)
    async with HistoryDatabase(tmp_path) as histories:
        await histories.save("doc", Stored(7, b"", bytes(400_000)), incarnation=5, revision=0)
        await histories.forget("doc")
        pauses: list[float] = []

        async def pause(delay_s: float) -> None:
            pauses.append(delay_s)

        monkeypatch.setattr(database_module.anyio, "sleep", pause)
        await histories.shrink()
        assert len(pauses) >= 9
        assert (await histories.space()).free == 0
