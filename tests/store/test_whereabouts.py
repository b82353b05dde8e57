"""Files that are taken away under an open store: nothing more is promised, and nothing is lost."""

import logging
import os
from pathlib import Path

import anyio
import httpx
import pytest
from filelock import SoftFileLock

from crdtsync.errors import StoreError, StoreLocked
from crdtsync.store import SQLiteStore, threaded, whereabouts
from crdtsync.store.locking import StoreLock
from crdtsync.store.side import SideDatabase
from tests.cli.running import server

from .kit import Maker, point, rec, recs

pytestmark = pytest.mark.anyio

TEXT = {"roots": {"text": {"kind": "text", "delta": [{"insert": "here"}]}}}


@pytest.fixture(autouse=True)
def always_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threaded, "VERIFY_EVERY_S", 0.0)


async def test_what_is_moved_away_gets_nothing_until_it_is_back(make_durable: Maker) -> None:
    make, path = make_durable, make_durable.path
    away = path.with_name("away")
    async with make() as store:
        await store.append(recs("a", 1, 2))
        path.rename(away)
        with pytest.raises(StoreError, match=r"was removed while the store has it open") as caught:
            await store.append([rec("a", 3)])
        assert "Move it back" in caught.value.hint
        for refused in (store.probe(), store.checkpoint(point("a", 2)), store.delete("a")):
            with pytest.raises(StoreError, match="was removed"):
                await refused
        away.rename(path)
        await store.append([rec("a", 3)])
        await store.probe()
    async with make() as store:
        assert list((await store.load("a")).records) == recs("a", 1, 3)


async def test_a_replaced_store_is_not_the_one_that_is_open(make_durable: Maker) -> None:
    """As by a backup that was put in its place under way: both stay what they are."""
    make, path = make_durable, make_durable.path
    other = Maker(make.kind, path.parent / "backup")
    other.folder.mkdir()
    async with other() as store:
        await store.append(recs("old", 1, 1))
    async with make() as store:
        await store.append(recs("new", 1, 1))
        path.rename(path.with_name("first"))
        other.path.rename(path)
        with pytest.raises(StoreError, match=r"was (replaced by another file|removed)"):
            await store.append([rec("new", 2)])
    async with make() as store:
        assert [info.name for info in await store.documents()] == ["old"]
    path.rename(path.with_name("second"))
    path.with_name("first").rename(path)
    async with make() as store:
        assert list((await store.load("new")).records) == recs("new", 1, 1)


async def test_a_deleted_database_can_still_be_read(tmp_path: Path) -> None:
    """So that its documents can be copied from the process that has it open."""
    path = tmp_path / "store.db"
    async with SQLiteStore(path) as store:
        await store.append(recs("a", 1, 3))
        for suffix in ("", "-wal", "-shm", ".lock", ".pid"):
            path.with_name(path.name + suffix).unlink()
        with pytest.raises(StoreError, match="removed") as caught:
            await store.append([rec("a", 4)])
        assert "before you end it" in caught.value.hint
        assert list((await store.load("a")).records) == recs("a", 1, 3)
        assert [info.name for info in await store.documents()] == ["a"]
    async with SQLiteStore(path) as store:
        assert await store.documents() == []


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
async def test_what_sqlite_has_beside_the_database_is_no_rubbish(
    tmp_path: Path, suffix: str
) -> None:
    """Who clears it away loses nothing, if the server may end in its own way."""
    path = tmp_path / "store.db"
    async with SQLiteStore(path) as store:
        await store.append(recs("a", 1, 2))
        await store.append(recs("a", 3, 4))
        path.with_name(path.name + suffix).unlink()
        with pytest.raises(StoreError, match=f"store.db{suffix} was removed") as caught:
            await store.append([rec("a", 5)])
        assert "not by kill -9" in caught.value.hint
    async with SQLiteStore(path) as store:
        assert list((await store.load("a")).records) == recs("a", 1, 4)
        await store.append([rec("a", 5)])


@pytest.mark.parametrize("what", ["documents", "journal-*"])
async def test_the_parts_of_a_file_store(tmp_path: Path, what: str) -> None:
    make = Maker("file", tmp_path)
    async with make() as store:
        await store.append(recs("a", 1, 2))
        (part,) = make.path.glob(what)
        part.rename(tmp_path / "away")
        with pytest.raises(StoreError, match=f"{part.name} was removed"):
            await store.append([rec("a", 3)])
        (tmp_path / "away").rename(part)
        await store.append([rec("a", 3)])
    async with make() as store:
        assert list((await store.load("a")).records) == recs("a", 1, 3)


def lock_of(make: Maker) -> Path:
    return make.path / "store.lock" if make.kind == "file" else Path(f"{make.path}.lock")


async def test_a_lock_that_was_cleared_away_is_taken_anew(
    make_durable: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    make, lock = make_durable, lock_of(make_durable)
    async with make() as store:
        for first in (1, 2):  # any number of times
            lock.unlink()
            await store.append([rec("a", first)])
            assert lock.exists()
        with pytest.raises(StoreLocked, match=f"in use by process {os.getpid()}"):
            async with make():
                pass
        await store.append([rec("a", 3)])
    assert caplog.text.count("was removed while it was in use: it was made anew") == 2
    async with make() as store:
        assert list((await store.load("a")).records) == recs("a", 1, 3)


async def test_a_lock_that_another_has_taken_meanwhile_ends_the_writing(
    make_durable: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    make, lock = make_durable, lock_of(make_durable)
    async with make() as store:
        await store.append([rec("a", 1)])
        lock.unlink()
        other = StoreLock(lock.with_suffix(""), url="other")
        other.acquire()
        for _ in range(2):
            with pytest.raises(StoreLocked, match="in use by process"):
                await store.append([rec("a", 2)])
        other.release()
        await store.append([rec("a", 2)])
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


def test_a_lock_that_is_only_a_marker_may_be_numbered_anew(tmp_path: Path) -> None:
    """As on a file system without locks, which may forget a file that nobody has open."""
    lock = StoreLock(tmp_path / "store", url="url")
    lock._lock = SoftFileLock(lock._path)
    lock.acquire()
    lock._inode = (lock._inode or 0) + 1
    lock.verify()
    assert not lock._removed
    lock._path.unlink()
    lock.verify()
    assert lock._path.exists()
    lock.release()


async def test_commits_look_now_and_then_and_everything_else_each_time(
    make_durable: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threaded, "VERIFY_EVERY_S", 3600.0)
    make, path = make_durable, make_durable.path
    async with make() as store:
        await store.append([rec("a", 1)])
        path.rename(path.with_name("away"))
        await store.append([rec("a", 2)])
        with pytest.raises(StoreError, match="was removed"):
            await store.probe()
        path.with_name("away").rename(path)
    async with make() as store:
        assert list((await store.load("a")).records) == recs("a", 1, 2)


async def test_what_can_not_be_looked_at_is_not_said_to_be_gone(
    make_durable: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(path: Path) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(path))

    async with make_durable() as store:
        await store.append([rec("a", 1)])
        with monkeypatch.context() as patched:
            patched.setattr(whereabouts.os, "stat", deny)
            store_files = whereabouts.Whereabouts()
            store_files.note(make_durable.path, "hint")
            store_files.note_folder(make_durable.folder, "hint")
            store_files.verify()
        store_files.verify()


async def test_a_side_database_that_is_gone_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "side.db"
    async with SideDatabase(path, ["CREATE TABLE t (x)"]) as side:
        await side.call(lambda db: db.execute("INSERT INTO t VALUES (1)"))
        path.unlink()
        with pytest.raises(StoreError, match=r"side\.db was removed"):
            await side.call(lambda db: db.execute("INSERT INTO t VALUES (2)"))
        rows = await side.read(lambda db: db.execute("SELECT x FROM t").fetchall())
        assert rows == [(1,)]


async def names_in(database: Path) -> set[str]:
    async with SQLiteStore(database) as store:
        return {info.name for info in await store.documents(limit=20_000)}


def test_a_server_whose_database_is_gone_says_so_and_acknowledges_nothing(
    tmp_path: Path,
) -> None:
    """It serves what it has, and goes on where the database is back."""
    database, away = tmp_path / "crdtsync.db", tmp_path / "away.db"
    with server(tmp_path, "--port", "0", "--commit-retry-s", "0.1s") as running:
        port = running.wait_for(r"127\.0\.0\.1:(\d+)")[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as http:
            documents = "/api/v1/documents"
            assert http.put(f"{documents}/a", json=TEXT).status_code == 201
            assert http.get("/health/ready").status_code == 200
            database.rename(away)
            answer = 201
            number = 0
            while answer == 201:  # what came within a second of the last look
                number += 1
                answer = http.put(f"{documents}/b{number}", json=TEXT).status_code
                assert number < 10_000
            assert answer == 503
            assert http.get(f"{documents}/a").json()["name"] == "a"
            away.rename(database)
            assert http.put(f"{documents}/c", json=TEXT).status_code == 201
        code, _, err = running.stop()
    assert code == 0
    assert "crdtsync.db was removed while the store has it open" in err
    names = anyio.run(names_in, database)
    assert {"a", "c"} <= names
    assert f"b{number}" not in names
