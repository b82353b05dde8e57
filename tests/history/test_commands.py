"""What commands on a store do with its histories: import, delete, check."""

import sqlite3
from pathlib import Path

import pytest

from crdtsync.documents import delete_document, import_document
from crdtsync.history import tables
from crdtsync.history.database import HistoryDatabase
from crdtsync.store.sqlite import SQLiteStore
from tests.cli.running import run
from tests.history.recording import checkpointed, recorded, text_at, typed
from tests.unit.documents import fresh

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """Return a folder with a store of two documents and their histories."""
    async with recorded(SQLiteStore(tmp_path / "db"), tmp_path / "db.guard") as (hub, _):
        for name in ("doc", "other"):
            await typed(hub, "one ", "two ", name=name)
            assert await checkpointed(hub, name)
            await typed(hub, "three ", name=name)
    return tmp_path


def edit(folder: Path, sql: str) -> None:
    connection = sqlite3.connect(folder / "db.guard" / tables.FILE)
    with connection:
        assert connection.execute(sql).rowcount
    connection.close()


def some_update() -> bytes:
    doc = fresh()
    doc["text"] += "imported "  # type: ignore[operator]
    return doc.get_update()


async def test_before_an_import_there_is_a_version(folder: Path) -> None:
    """A document that an import changes has a version of how it was; a new one has none."""
    update = some_update()
    async with HistoryDatabase(folder / "db.guard") as history:
        async with SQLiteStore(folder / "db") as store:
            for name in ("doc", "new", "doc"):
                await import_document(store, name, update, merge=True, history=history)
        (version,) = await history.versions("doc", kind="import")
        assert version.sequence == 3
        assert await history.versions("new") == []
    async with recorded(SQLiteStore(folder / "db"), folder / "db.guard") as (_, histories):
        assert await text_at(histories, 3) == "one two three "
        assert (await histories.resolve("doc", f"v{version.id}")).sequence == 3


async def test_the_import_command_makes_one(folder: Path) -> None:
    """So does the command."""
    found = run(
        *("documents", "import", "--store", "sqlite:db", "--merge", "doc", "-"),
        cwd=folder,
        data=some_update(),
    )
    assert found.returncode == 0, found.stderr
    async with HistoryDatabase(folder / "db.guard") as history:
        assert len(await history.versions("doc", kind="import")) == 1


async def test_deleting_by_the_command_line(folder: Path) -> None:
    """A document that is deleted without a server has no history left."""
    found = run(*("documents", "delete", "--store", "sqlite:db", "--yes", "doc"), cwd=folder)
    assert found.returncode == 0, found.stderr
    async with HistoryDatabase(folder / "db.guard") as history:
        assert [each.document for each in await history.outlines()] == ["other"]
        async with SQLiteStore(folder / "db") as store:
            await delete_document(store, "other", history=history)
        assert await history.outlines() == []


def checked(folder: Path, code: int) -> str:
    found = run("check", "--store", "sqlite:db", cwd=folder)
    assert found.returncode == code, found.stderr
    return found.stdout.decode()


async def test_check_finds_damage(folder: Path) -> None:
    """A sound store has nothing to say; a damaged history is an error, of its document."""
    assert checked(folder, 0) == ""
    edit(folder, "UPDATE parts SET data = x'00' WHERE number = 2 AND history = 1")
    out = checked(folder, 1)
    assert "error: doc at 3: the history of document 'doc' is damaged" in out
    assert "other" not in out


async def test_check_finds_what_means_nothing(folder: Path) -> None:
    """Bytes that are as they were written, and yet no history, are found, too."""
    async with HistoryDatabase(folder / "db.guard") as history:
        kept = await history.load("doc")
        assert kept is not None
        wrong = kept.stored.__class__(3, kept.stored.head, b"nothing", kept.stored.blocks)
        incarnation, revision = kept.outline.incarnation, kept.outline.revision
        await history.save("doc", wrong, incarnation=incarnation, revision=revision)
    assert "error: doc at 3" in checked(folder, 1)


async def test_check_of_what_is_no_database(folder: Path) -> None:
    """A history database that can't be opened is an error, behind those of the store."""
    (folder / "db.guard" / tables.FILE).write_bytes(b"no database" * 1_000)
    found = run("check", "--store", "sqlite:db", cwd=folder)
    assert found.returncode == 1
    assert b"error: the store: the check ended here" in found.stdout
    assert b"2 documents sound, 1 error" in found.stderr


async def test_check_finds_what_is_left_over(folder: Path) -> None:
    """A history without its document is a warning."""
    async with SQLiteStore(folder / "db") as store:
        await store.delete("doc")
    assert "warning: doc at 3: there is a history of it" in checked(folder, 0)


async def test_without_histories(tmp_path: Path) -> None:
    """Commands on a store that never had a history make no file for it."""
    async with SQLiteStore(tmp_path / "db") as store:
        await import_document(store, "doc", some_update())
    assert checked(tmp_path, 0) == ""
    found = run(*("documents", "delete", "--store", "sqlite:db", "--yes", "doc"), cwd=tmp_path)
    assert found.returncode == 0
    assert not (tmp_path / "db.guard" / tables.FILE).exists()
