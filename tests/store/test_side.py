"""The small database beside the store."""

import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database

from crdtsync.errors import StoreDamaged, StoreError
from crdtsync.store.side import SideDatabase

pytestmark = pytest.mark.anyio

FIRST = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"
SECOND = "ALTER TABLE notes ADD COLUMN author TEXT NOT NULL DEFAULT ''; CREATE TABLE more (id)"


def add(database: Database, text: str) -> None:
    database["notes"].insert({"text": text})  # type: ignore[union-attr]


def texts(database: Database) -> list[str]:
    return [text for (text,) in database.execute("SELECT text FROM notes ORDER BY id")]


def names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


async def test_what_is_written_stays(tmp_path: Path) -> None:
    """Rows are there after a restart, and a newer schema keeps them; an older one is refused."""
    path = tmp_path / "folder" / "side.db"
    async with SideDatabase(path, [FIRST]) as side:
        await side.call(add, "one")
    async with SideDatabase(path, [FIRST, SECOND]) as side:
        await side.call(add, "two")
        assert await side.call(texts) == ["one", "two"]
    with pytest.raises(StoreError, match="newer"):
        async with SideDatabase(path, [FIRST]):
            raise AssertionError("it opened")


async def test_a_failing_call_leaves_nothing(tmp_path: Path) -> None:
    """What a function did before it raised is undone."""

    def half(database: Database) -> None:
        add(database, "half")
        raise KeyError("no")

    async with SideDatabase(tmp_path / "side.db", [FIRST]) as side:
        with pytest.raises(KeyError):
            await side.call(half)
        with pytest.raises(StoreError):
            await side.call(lambda database: database.execute("SELECT * FROM nothing"))
        assert await side.call(texts) == []


async def test_others_are_noticed(tmp_path: Path) -> None:
    """The version changes by what another one writes, and not by one's own."""
    path = tmp_path / "side.db"
    async with SideDatabase(path, [FIRST]) as side, SideDatabase(path, [FIRST]) as other:
        before = await side.version()
        await side.call(add, "mine")
        assert await side.version() == before
        await other.call(add, "theirs")
        assert await side.version() != before
        assert await side.call(texts) == ["mine", "theirs"]


async def test_without_a_path_it_is_in_memory() -> None:
    """Without a file it works, and forgets."""
    for _ in range(2):
        async with SideDatabase(None, [FIRST]) as side:
            await side.call(add, "one")
            assert await side.call(texts) == ["one"]


async def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    """Where the file can't be, opening it says so."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        async with SideDatabase(tmp_path / "file" / "side.db", [FIRST]):
            raise AssertionError("it opened")


async def test_reading_waits_for_nobody(tmp_path: Path) -> None:
    """While another process writes, what was there before is read at once."""
    path = tmp_path / "side.db"
    async with SideDatabase(path, [FIRST]) as side:
        await side.call(add, "one")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO notes (text) VALUES ('two')")
        assert await side.read(texts) == ["one"]
        other.execute("COMMIT")
        other.close()
        assert await side.read(texts) == ["one", "two"]


async def test_it_shrinks(tmp_path: Path) -> None:
    """A database that shrinks gives back so many pages at a time, and overwrites what is gone."""
    path = tmp_path / "side.db"
    async with SideDatabase(path, [FIRST], shrinks=True) as side:
        await side.call(add, "SECRET" * 100_000)
        assert await side.shrink(50)
        await side.call(lambda database: database.execute("DELETE FROM notes"))
        assert not await side.shrink(50)
        assert await side.shrink(1_000)
    assert path.stat().st_size < 20_000
    assert b"SECRET" not in path.read_bytes()


async def test_only_reading(tmp_path: Path) -> None:
    """It is read as it is, beside who writes and without; nothing is written, or made beside it."""
    path = tmp_path / "side.db"
    async with SideDatabase(path, [FIRST]) as side:
        await side.call(add, "one")
        async with SideDatabase(path, [FIRST], read_only=True) as reader:
            assert await reader.read(texts) == ["one"]
            await side.call(add, "two")
            assert await reader.read(texts) == ["one", "two"]
            with pytest.raises(StoreError):
                await reader.call(add, "mine")
    assert names(tmp_path) == ["side.db"]
    before = path.read_bytes()
    async with SideDatabase(path, [FIRST], read_only=True) as reader:
        assert await reader.read(texts) == ["one", "two"]
        assert names(tmp_path) == ["side.db"]
    assert path.read_bytes() == before


async def test_only_reading_another_schema(tmp_path: Path) -> None:
    """Who only reads brings nothing up to date, and says what would."""
    path = tmp_path / "side.db"
    with pytest.raises(StoreError, match="No such file"):
        async with SideDatabase(path, [FIRST], read_only=True):
            raise AssertionError("it opened")
    async with SideDatabase(path, [FIRST, SECOND]):
        pass
    with pytest.raises(StoreError, match="newer"):
        async with SideDatabase(path, [FIRST], read_only=True):
            raise AssertionError("it opened")
    with pytest.raises(StoreError, match="older") as caught:
        async with SideDatabase(path, [FIRST, SECOND, "CREATE TABLE x (id)"], read_only=True):
            raise AssertionError("it opened")
    assert "Start the server" in caught.value.hint


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """It is no store: what may help is SQLite's own tool, not our check."""
    path = tmp_path / "side.db"
    path.write_bytes(b"nothing" * 1000)
    for read_only in (True, False):
        with pytest.raises(StoreDamaged) as caught:
            async with SideDatabase(path, [FIRST], read_only=read_only):
                raise AssertionError("it opened")
        assert f"sqlite3 {path} .recover" in caught.value.hint
        assert "crdtsync check" not in caught.value.hint
