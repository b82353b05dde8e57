"""The SQLite store: schema, durability, the tail, and a database that fails."""

import errno
import io
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from crdtsync.errors import StoreError, StoreFull
from crdtsync.store import (
    Durability,
    SQLiteStore,
    failures,
    sqlite_schema,
    sqlite_tail,
    sqlite_writer,
)
from crdtsync.store import sqlite as sqlite_store
from crdtsync.store.sqlite_writer import Writer
from tests.store.kit import NOW, Maker, findings, point, rec, recs, worse_than_ok

pytestmark = pytest.mark.anyio


def writer_of(store: object) -> Writer:
    """Return the part of a SQLite store that writes."""
    assert isinstance(store, SQLiteStore)
    writer: Writer = store._backend._writer  # type: ignore[attr-defined]
    return writer


@contextmanager
def opened(make: Maker) -> Iterator[sqlite3.Connection]:
    """Open the database as another program would."""
    with closing(sqlite3.connect(make.path, isolation_level=None)) as db:
        yield db


class Failing:
    """A connection on which the next commit fails, after or before it has happened."""

    def __init__(self, db: sqlite3.Connection, *, name: str, happened: bool) -> None:
        self._db = db
        self._name = name
        self._happened = happened

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        """Fail where SQLite would write."""
        if not sql.startswith(("INSERT INTO tail ", "COMMIT")):
            return self._db.execute(sql, *arguments)
        if self._happened:
            self._db.execute(sql, *arguments)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorname = self._name
        error.sqlite_errorcode = getattr(sqlite3, self._name)
        raise error


@pytest.mark.parametrize(("durability", "level"), [("fsync", 2), ("os", 1), ("none", 0)])
async def test_durability_sets_synchronous(
    make_sqlite: Maker, durability: Durability, level: int
) -> None:
    """Each durability is a level of ``PRAGMA synchronous``, and the journal a WAL."""
    async with make_sqlite(durability=durability) as store:
        await store.append([rec("d", 1)])
        db = writer_of(store).ready()
        assert db.execute("PRAGMA synchronous").fetchone() == (level,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        (limit,) = db.execute("PRAGMA journal_size_limit").fetchone()
        assert limit == sqlite_schema.JOURNAL_SIZE_LIMIT_BYTES


async def test_closing_leaves_one_file(make_sqlite: Maker) -> None:
    """A store that was closed is one file beside its lock; the write-ahead log is folded in."""
    async with make_sqlite() as store:
        await store.append(recs("d", 1, 100))
    names = sorted(path.name for path in make_sqlite.folder.iterdir())
    assert names == ["store.db", "store.db.lock"]


async def test_space_is_used_again(make_sqlite: Maker) -> None:
    """What checkpoints and deletions free is filled before the database grows."""
    sizes = []
    async with make_sqlite() as store:
        for round_ in range(6):
            first = round_ * 100 + 1
            await store.append([rec("d", n, update=bytes(2000)) for n in range(first, first + 100)])
            await store.checkpoint(point("d", first + 99))
            await store.append([rec(f"e{round_}", 1, update=bytes(50_000))])
            await store.delete(f"e{round_}")
            (pages,) = writer_of(store).ready().execute("PRAGMA page_count").fetchone()
            sizes.append(pages)
    assert sizes[-1] <= sizes[1]


async def test_a_probe_writes(make_sqlite: Maker) -> None:
    """A probe commits to the disk: the write-ahead log grows."""
    wal = make_sqlite.path.with_name("store.db-wal")
    async with make_sqlite() as store:
        await store.append([rec("d", 1)])
        before = wal.stat().st_size
        await store.probe()
        assert wal.stat().st_size > before


async def test_links_to_one_database_have_one_lock(make_sqlite: Maker) -> None:
    """A second name of an open database does not open it again."""
    link = make_sqlite.folder / "link.db"
    async with make_sqlite() as store:
        await store.append([rec("d", 1)])
        link.symlink_to(make_sqlite.path)
        with pytest.raises(StoreError, match="in use"):
            async with SQLiteStore(link):
                pass


async def test_older_schemas_are_migrated(
    make_sqlite: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database of an older schema is brought up to date and keeps what it holds."""
    async with make_sqlite() as store:
        await store.append(recs("d", 1, 3))

    def add_note(db: Database) -> None:
        db.table("documents").add_column("note", str)

    def add_tags(db: Database) -> None:
        db.table("tags").create({"name": str}, pk="name")

    newer = (*sqlite_schema.MIGRATIONS, add_note, add_tags)
    monkeypatch.setattr(sqlite_schema, "MIGRATIONS", newer)
    with pytest.raises(StoreError, match="has schema 1, and this version of crdtsync reads 3"):
        async with make_sqlite(read_only=True):
            pass
    async with make_sqlite() as store:
        assert (await store.load("d")).records == tuple(recs("d", 1, 3))
        await store.append([rec("e", 1)])
    with opened(make_sqlite) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (3,)
        assert db.execute("SELECT count(*) FROM tags").fetchone() == (0,)


async def test_a_failed_migration_changes_nothing(
    make_sqlite: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that fails is undone whole; the steps before it stay, and it is tried again."""
    async with make_sqlite() as store:
        await store.append(recs("d", 1, 3))

    def add_tags(db: Database) -> None:
        db.table("tags").create({"name": str}, pk="name")

    def fail(db: Database) -> None:
        db.table("log").drop()
        db.execute("SELECT * FROM nowhere")

    original = sqlite_schema.MIGRATIONS
    monkeypatch.setattr(sqlite_schema, "MIGRATIONS", (*original, add_tags, fail))
    with pytest.raises(StoreError, match="no such table: nowhere"):
        async with make_sqlite():
            pass
    with opened(make_sqlite) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        assert db.execute("SELECT count(*) FROM log").fetchone() == (3,)
    monkeypatch.setattr(sqlite_schema, "MIGRATIONS", (*original, add_tags))
    async with make_sqlite() as store:
        assert (await store.load("d")).records == tuple(recs("d", 1, 3))


async def test_newer_schemas_are_refused(make_sqlite: Maker) -> None:
    """A database of a newer crdtsync is not touched."""
    async with make_sqlite() as store:
        await store.append([rec("d", 1)])
    with opened(make_sqlite) as db:
        db.execute("PRAGMA user_version = 99")
    before = make_sqlite.path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(StoreError, match="schema 99") as caught:
            async with make_sqlite(read_only=read_only):
                pass
        assert "newer" in caught.value.hint
    assert make_sqlite.path.read_bytes() == before


async def test_other_programs_databases_are_refused(make_sqlite: Maker) -> None:
    """A database that is not ours, and a file that is none, are refused and kept as they are."""
    with opened(make_sqlite) as db:
        db.execute("CREATE TABLE customers (name)")
    before = make_sqlite.path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        async with make_sqlite():
            pass
    with opened(make_sqlite) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("customers",)]
    make_sqlite.path.write_bytes(b"not a database at all " * 100)
    with pytest.raises(StoreError, match="not a database"):
        async with make_sqlite():
            pass
    assert before


async def test_a_full_database_refuses_the_batch(make_sqlite: Maker) -> None:
    """``StoreFull`` leaves nothing of its batch, and the store goes on when there is room."""
    async with make_sqlite() as store:
        await store.append(recs("a", 1, 3))
        db = writer_of(store).ready()
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 1}")
        for batch in (
            [rec("a", 4, update=bytes(100_000))],
            [rec("a", 4), rec("new", 1, update=bytes(100_000))],
        ):
            db = writer_of(store).ready()
            db.execute(f"PRAGMA max_page_count = {pages + 1}")
            with pytest.raises(StoreFull, match="append failed") as caught:
                await store.append(batch)
            assert str(make_sqlite.path) in str(caught.value)
            assert "Free some space" in caught.value.hint
            assert [info.sequence for info in await store.documents()] == [3]
        await store.append([rec("a", 4, update=bytes(100_000)), rec("new", 1)])
    async with make_sqlite() as store:
        assert (await store.load("a")).records[-1].sequence == 4


@pytest.mark.parametrize("happened", [False, True])
@pytest.mark.parametrize("batch", [[rec("a", 4)], [rec("a", 4), rec("new", 1)]])
async def test_a_failed_fsync_leaves_nothing(
    make_sqlite: Maker, batch: list[Any], happened: bool
) -> None:
    """A commit that is reported as failed is not there, even where it did reach the database.

    The connection is given up, the next append works, and may hold something else.
    """
    async with make_sqlite() as store:
        await store.append(recs("a", 1, 3))
        writer = writer_of(store)
        db = writer.ready()
        failing: Any = Failing(db, name="SQLITE_IOERR_FSYNC", happened=happened)
        writer._db = failing
        with pytest.raises(StoreError, match="SQLITE_IOERR_FSYNC"):
            await store.append(batch)
        assert writer.ready() is not db
        with pytest.raises(sqlite3.ProgrammingError):
            db.execute("SELECT 1")
        assert (await store.load("a")).records == tuple(recs("a", 1, 3))
        assert [info.name for info in await store.documents()] == ["a"]
        await store.append([rec("a", 4, update=b"another"), rec("new", 1), rec("other", 1)])
    async with make_sqlite() as store:
        assert (await store.load("a")).records[3] == rec("a", 4, update=b"another")
        assert worse_than_ok(await findings(store)) == []


async def test_a_database_that_stays_away_is_tried_again(
    make_sqlite: Maker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the database can't be opened every append fails, and once it can they work."""
    async with make_sqlite() as store:
        await store.append(recs("a", 1, 3))
        writer = writer_of(store)
        failing: Any = Failing(writer.ready(), name="SQLITE_IOERR_FSYNC", happened=False)
        writer._db = failing

        def refuse(*arguments: Any, **options: Any) -> sqlite3.Connection:
            raise sqlite3.OperationalError("unable to open database file")

        with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
            patch.setattr(sqlite_writer, "connect", refuse)
            for _ in range(3):
                with pytest.raises(StoreError):
                    await store.append([rec("a", 4)])
        assert "not back yet" in caplog.text
        await store.append([rec("a", 4)])
        assert (await store.load("a")).records == tuple(recs("a", 1, 4))


async def test_a_failed_checkpoint_changes_nothing(make_sqlite: Maker) -> None:
    """A checkpoint that fails leaves the older one and all records."""
    async with make_sqlite() as store:
        await store.append(recs("a", 1, 9))
        await store.checkpoint(point("a", 2))
        writer = writer_of(store)
        failing: Any = Failing(writer.ready(), name="SQLITE_IOERR_WRITE", happened=False)
        writer._db = failing
        with pytest.raises(StoreError, match="checkpoint failed"):
            await store.checkpoint(point("a", 8))
        loaded = await store.load("a")
        assert loaded.checkpoint == point("a", 2)
        assert loaded.records == tuple(recs("a", 3, 9))
        await store.checkpoint(point("a", 8))
        assert (await store.load("a")).records == tuple(recs("a", 9, 9))


@pytest.mark.parametrize(
    ("number", "full"),
    [(errno.EDQUOT, True), (errno.EFBIG, True), (errno.EIO, False), (None, False)],
)
async def test_a_quota_is_a_full_disk(
    make_sqlite: Maker, monkeypatch: pytest.MonkeyPatch, number: int | None, full: bool
) -> None:
    """SQLite tells of a write that failed, and not why: the system is asked, beside the file."""

    class Beside(io.BytesIO):
        def write(self, data: Any) -> int:
            if number is not None:
                raise OSError(number, os.strerror(number))
            return super().write(data)

    folders: list[Path] = []

    def beside(*, dir: Path) -> Beside:
        folders.append(dir)
        return Beside()

    async with make_sqlite() as store:
        await store.append(recs("a", 1, 3))
        writer = writer_of(store)
        failing: Any = Failing(writer.ready(), name="SQLITE_IOERR_WRITE", happened=False)
        writer._db = failing
        with monkeypatch.context() as patch:
            patch.setattr(failures.tempfile, "TemporaryFile", beside)
            with pytest.raises(StoreError, match="append failed") as caught:
                await store.append([rec("a", 4)])
        assert isinstance(caught.value, StoreFull) is full
        assert ("raise the quota" in caught.value.hint) is full
        assert set(folders) == {make_sqlite.path.parent}
        await store.append([rec("a", 4)])


async def test_a_locked_database_says_so(
    make_sqlite: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that holds SQLite's own lock is named as the reason, and outlived."""
    monkeypatch.setattr(sqlite_schema, "BUSY_TIMEOUT_S", 0.01)
    async with make_sqlite() as store:
        await store.append([rec("d", 1)])
        with opened(make_sqlite) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="locked") as caught:
                await store.append([rec("d", 2)])
            assert "other program" in caught.value.hint
        await store.append([rec("d", 2)])


async def test_records_move_from_the_tail_to_the_log(
    make_sqlite: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records are found before, while and after they are moved, whatever is removed between."""
    monkeypatch.setattr(sqlite_tail, "SETTLE_ROWS", 10)
    monkeypatch.setattr(sqlite_tail, "SETTLE_DOCUMENTS", 2)
    async with make_sqlite() as store:
        for sequence in range(1, 60):
            await store.append([rec("a", sequence), rec("b", sequence)])
            if sequence % 7 == 0:
                await store.checkpoint(point("b", sequence - 1))
            if sequence % 11 == 0:
                await store.delete("c")
                await store.append(recs("c", 1, 5))
                await store.checkpoint(point("c", 5))
            assert (await store.load("a")).records == tuple(recs("a", 1, sequence))
            last = (await store.load("b")).records[-1].sequence
            assert last == sequence
            info = await store.info("a")
            assert info is not None
            assert info.log_records == sequence
        assert worse_than_ok(await findings(store)) == []
        with opened(make_sqlite) as db:
            (settled,) = db.execute("SELECT count(*) FROM log").fetchone()
            (waiting,) = db.execute("SELECT count(*) FROM tail").fetchone()
        assert settled > 50
        assert waiting < 10
        crashed = make_sqlite.crashed(make_sqlite.folder / "crashed")
    for make in (make_sqlite, crashed):
        async with make() as store:
            with opened(make) as db:
                assert db.execute("SELECT count(*) FROM tail").fetchone() == (0,)
            assert (await store.load("a")).records == tuple(recs("a", 1, 59))
            await store.append([rec("a", 60), rec("b", 60)])
            assert worse_than_ok(await findings(store)) == []


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [("SETTLE_DOCUMENTS", 2, 4), ("SETTLE_SLICE_BYTES", 1, 2 * 21)],
    ids=["by documents", "by bytes"],
)
async def test_records_that_are_moving_are_there_once(
    make_sqlite: Maker, monkeypatch: pytest.MonkeyPatch, option: str, value: int, expected: int
) -> None:
    """Between two steps of a move every document is whole, and so it is after a crash there."""
    monkeypatch.setattr(sqlite_tail, option, value)
    names = [f"d{n}" for n in range(7)]
    async with make_sqlite() as store:
        await store.append([rec(name, n) for n in (1, 2, 3) for name in names])
        writer = writer_of(store)
        monkeypatch.setattr(sqlite_tail, "SETTLE_ROWS", 10)
        steps = 0
        more = True
        while more:
            more = writer.settle()
            steps += 1
            await store.append([rec(name, steps + 3) for name in names])
            if steps == 2:
                await store.checkpoint(point("d0", 5))
                await store.checkpoint(point("d6", 5))
                await store.delete("d3")
                names.remove("d3")
            crashed = make_sqlite.crashed(make_sqlite.folder / f"crash{steps}")
            async with crashed() as copy:
                infos = await store.documents()
                assert await copy.documents() == infos
                assert [info.name for info in infos] == names
                for name in names:
                    loaded = await store.load(name)
                    assert await copy.load(name) == loaded
                    after = loaded.checkpoint.sequence if loaded.checkpoint else 0
                    assert loaded.records == tuple(recs(name, after + 1, steps + 3))
                assert worse_than_ok(await findings(store)) == []
                assert worse_than_ok(await findings(copy)) == []
        assert steps == expected


@pytest.mark.parametrize("slice_bytes", [128 * 1024, 2_000])
async def test_large_updates_move_sooner(
    make_sqlite: Maker, monkeypatch: pytest.MonkeyPatch, slice_bytes: int
) -> None:
    """Records leave the tail when they are many, or when their updates are long."""
    monkeypatch.setattr(sqlite_tail, "SETTLE_BYTES", 10_000)
    monkeypatch.setattr(sqlite_tail, "SETTLE_SLICE_BYTES", slice_bytes)
    async with make_sqlite() as store:
        await store.append([rec("a", n, update=bytes(900)) for n in range(1, 12)])
        await store.probe()  # behind the moving, on the same thread
        with opened(make_sqlite) as db:
            assert db.execute("SELECT count(*) FROM tail").fetchone() == (11,)
        await store.append([rec("a", 12, update=bytes(900))])
        for _ in range(12):
            await store.probe()
        with opened(make_sqlite) as db:
            assert db.execute("SELECT count(*) FROM tail").fetchone() == (0,)


async def test_the_write_ahead_log_begins_anew(
    make_sqlite: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While commits go on, the write-ahead log is folded in, so that it stays short."""
    monkeypatch.setattr(sqlite_writer, "FOLD_PAGES", 40)
    async with make_sqlite() as store:
        wal = make_sqlite.path.with_name(make_sqlite.path.name + "-wal")
        for sequence in range(1, 400):
            await store.append([rec("a", sequence)])
            if sequence % 20 == 0:
                await store.info("a")  # behind the folding on the reading thread
                await store.probe()  # and on the writing one
        assert wal.stat().st_size < 150 * 4120
        assert (await store.load("a")).records == tuple(recs("a", 1, 399))
        assert worse_than_ok(await findings(store)) == []
        crashed = make_sqlite.crashed(make_sqlite.folder / "crashed")
    async with crashed() as store:
        assert (await store.load("a")).records == tuple(recs("a", 1, 399))


async def test_folding_that_fails_is_put_off(
    make_sqlite: Maker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the write-ahead log can't be folded in, commits go on, and it is tried again."""
    monkeypatch.setattr(sqlite_writer, "FOLD_PAGES", 40)
    tried = 0

    def refuse(_: sqlite3.Connection) -> None:
        nonlocal tried
        tried += 1
        raise sqlite3.OperationalError("disk I/O error")

    async with make_sqlite() as store:
        with monkeypatch.context() as patch:
            patch.setattr(sqlite_store, "fold", refuse)
            patch.setattr(sqlite_writer, "fold", refuse)
            for sequence in range(1, 101):
                await store.append([rec("a", sequence)])
                await store.info("a")
                await store.probe()
        assert 4 <= tried <= 100
        assert "settle failed" in caplog.text
        assert (await store.load("a")).records == tuple(recs("a", 1, 100))


async def test_moving_that_fails_is_put_off(
    make_sqlite: Maker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where moving records fails, commits go on, and it is tried again after twice as many."""
    monkeypatch.setattr(sqlite_tail, "SETTLE_ROWS", 10)
    failures = 0

    class Refusing(Failing):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            nonlocal failures
            if not sql.startswith("DELETE FROM tail"):
                return self._db.execute(sql, *arguments)
            failures += 1
            raise sqlite3.OperationalError("database or disk is full")

    async with make_sqlite() as store:
        writer = writer_of(store)
        original = writer.ready()
        refusing: Any = Refusing(original, name="", happened=False)
        with monkeypatch.context() as patch:
            patch.setattr(sqlite_writer, "connect", lambda *_, **__: refusing)
            patch.setattr(writer, "_give_up", lambda: None)
            writer._db = refusing
            for sequence in range(1, 36):
                await store.append([rec("a", sequence)])
                await store.probe()  # behind the moving, on the same thread
        writer._db = original
        assert failures == 2
        assert "settle failed" in caplog.text
        assert (await store.load("a")).records == tuple(recs("a", 1, 35))
        await store.append(recs("a", 36, 60))
        await store.probe()
        with opened(make_sqlite) as db:
            assert db.execute("SELECT count(*) FROM tail").fetchone() == (0,)
        assert (await store.load("a")).records == tuple(recs("a", 1, 60))


async def test_forgotten_documents_are_asked_for_again(
    make_sqlite: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above the limit of known documents all are forgotten, and nothing else changes."""
    monkeypatch.setattr(sqlite_writer, "MAX_KNOWN_DOCUMENTS", 10)
    async with make_sqlite() as store:
        for sequence in (1, 2, 3):
            await store.append([rec(f"d{n}", sequence) for n in range(15)])
            assert len(writer_of(store)._known) <= 15
        await store.append([rec("d0", 4)])
        assert len(writer_of(store)._known) == 1
        assert len(await store.documents()) == 15


async def test_times_may_go_back(make_sqlite: Maker) -> None:
    """The wall clock orders nothing: later records may have earlier times."""
    records = [rec("d", n)._replace(time_ms=NOW - n) for n in range(1, 5)]
    async with make_sqlite() as store:
        await store.append(records)
        assert (await store.load("d")).records == tuple(records)
        info = await store.info("d")
    assert info is not None
    assert info.updated_ms == NOW - 4
