"""The file store: journals, settling, replay, and a disk that fails."""

import errno
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from crdtsync.errors import StoreError, StoreFull
from crdtsync.store import Durability, FileStore, Loaded, file_disk, file_log
from crdtsync.store.file_log import FileLog
from tests.store.kit import Maker, findings, point, rec, recs, worse_than_ok

pytestmark = pytest.mark.anyio


def log_of(store: object) -> FileLog:
    """Return a file store without its thread."""
    assert isinstance(store, FileStore)
    log: FileLog = store._backend  # type: ignore[assignment]
    return log


def journals(make: Maker) -> list[Path]:
    """Return the store's journals."""
    return sorted(make.path.glob("journal-*"))


def documents(make: Maker) -> list[str]:
    """Return the names of the documents' files."""
    return sorted(path.name for path in (make.path / "documents").iterdir())


class Disk:
    """Stands in for calls of the operating system, and counts or refuses them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.syncs = 0
        self.room = 1 << 40
        """Bytes that may still be written."""
        self.piece = 1 << 40
        """Bytes that one call writes at most."""
        self.sync_fails = False
        self.truncate_fails = False
        self._write, self._sync = os.write, os.fdatasync
        self._truncate = os.ftruncate
        monkeypatch.setattr(os, "write", self.write)
        monkeypatch.setattr(os, "fdatasync", self.sync)
        monkeypatch.setattr(os, "ftruncate", self.truncate)

    def write(self, descriptor: int, data: Any) -> int:
        """Write as much as there is room for."""
        if len(bytes(data[:20])) < 20 and os.fstat(descriptor).st_size == 0:
            return self._write(descriptor, data)  # an event loop's wake-up
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(descriptor, data[: min(self.room, self.piece)])
        self.room -= written
        return written

    def sync(self, descriptor: int) -> None:
        """Sync, or not."""
        self.syncs += 1
        if self.sync_fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._sync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        """Truncate, or not."""
        if self.truncate_fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._truncate(descriptor, size)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Put a disk under the store that can fail."""
    return Disk(monkeypatch)


async def test_closing_leaves_documents_only(make_file: Maker) -> None:
    """A store that was closed has one file per document, and no journal."""
    async with make_file() as store:
        await store.append([rec("a", 1), rec("b/c", 1)])
        assert len(journals(make_file)) == 1
        assert documents(make_file) == []
    assert journals(make_file) == []
    assert documents(make_file) == ["a.crdt", "b%2fc.crdt"]
    names = sorted(path.name for path in make_file.path.iterdir())
    assert names == ["documents", "store.lock"]


@pytest.mark.parametrize(("durability", "syncs"), [("fsync", 1), ("os", 0), ("none", 0)])
async def test_a_commit_is_one_sync(
    make_file: Maker, disk: Disk, durability: Durability, syncs: int
) -> None:
    """A commit of a hundred documents is one sync with ``fsync``, and none with the others."""
    async with make_file(durability=durability) as store:
        for sequence in (1, 2, 3):
            disk.syncs = 0
            await store.append([rec(f"d{n}", sequence) for n in range(100)])
            assert disk.syncs == syncs


async def test_nothing_old_goes_before_the_new_is_safe(make_file: Maker, disk: Disk) -> None:
    """With ``os``, settling and checkpoints are synced all the same; with ``none`` nothing is."""
    for durability, syncs in (("os", True), ("none", False)):
        make = Maker("file", make_file.folder / durability)
        make.folder.mkdir()
        async with make(durability=durability) as store:  # type: ignore[arg-type]
            await store.append(recs("a", 1, 3))
            disk.syncs = 0
            await store.checkpoint(point("a", 2))
            assert bool(disk.syncs) is syncs
            await store.append([rec("b", 1)])
            disk.syncs = 0
        assert bool(disk.syncs) is syncs


async def test_a_journal_that_fails_to_be_closed_is_retired_as_any_other(
    make_file: Maker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A late error of close leaves no journal behind, out of which deleted content would come."""
    monkeypatch.setattr(file_log, "JOURNAL_BYTES", 1000)
    async with make_file() as store:
        await store.append([rec("a", number, update=b"old") for number in range(1, 6)])
        log = log_of(store)
        assert log._journal is not None
        full, close, failed = log._journal._descriptor, os.close, []

        def failing(descriptor: int) -> None:
            close(descriptor)
            if descriptor == full and not failed:
                failed.append(descriptor)
                raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, "close", failing)
        with caplog.at_level(logging.ERROR):
            await store.append([rec("filler", 1, update=b"x" * 2000)])
            await store.load("a")
        assert failed
        assert "could not be closed" in caplog.text
        assert await store.delete("a")
        await store.append([rec("a", 1, update=b"new")])
        shutil.copytree(
            make_file.path, make_file.path.parent / "killed", ignore=shutil.ignore_patterns("lock")
        )
    for path in (make_file.path, make_file.path.parent / "killed"):
        async with FileStore(path) as again:
            loaded = await again.load("a")
            assert loaded.damage is None
            assert [each.update for each in loaded.records] == [b"new"]


async def test_journals_are_settled_bit_by_bit(
    make_file: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a journal fills, a proportionate number of documents of the last one is settled."""
    monkeypatch.setattr(file_log, "JOURNAL_BYTES", 12_000)
    async with make_file() as store:
        log = log_of(store)
        steps = []
        for sequence in range(1, 60):
            before = len(log._unsettled)
            await store.append([rec(f"d{n}", sequence) for n in range(20)])
            await store.probe()  # behind the settling, on the same thread
            steps.append(before - len(log._unsettled))
            assert len(journals(make_file)) <= 2
        assert max(steps) <= 3
        assert sum(step > 0 for step in steps) >= 20
        number = int(journals(make_file)[0].name.split("-")[1])
        assert number >= 3
        for n in range(20):
            assert (await store.load(f"d{n}")).records == tuple(recs(f"d{n}", 1, 59))


async def test_a_crash_at_any_moment_loses_nothing(
    make_file: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every commit, what is on the disk replays to all that was acknowledged."""
    monkeypatch.setattr(file_log, "JOURNAL_BYTES", 3_000)
    async with make_file() as store:
        for sequence in range(1, 25):
            await store.append([rec(f"d{n}", sequence) for n in range(5)])
            if sequence % 6 == 0:
                await store.checkpoint(point("d0", sequence - 2))
            if sequence % 9 == 0:
                await store.delete("x")
            await store.append([rec("x", sequence % 9 + (sequence > 8))])
            crashed = make_file.crashed(make_file.folder / f"crash{sequence}")
            async with crashed() as copy:
                for name in ("d0", "d1", "d4", "x"):
                    assert await copy.load(name) == await store.load(name)
                assert await copy.documents() == await store.documents()
                assert worse_than_ok(await findings(copy)) == []
                await copy.append([rec("d1", sequence + 1)])


async def test_replaying_twice_is_harmless(make_file: Maker) -> None:
    """Journals that were settled already, but not removed, change nothing."""
    async with make_file() as store:
        await store.append([*recs("a", 1, 5), *recs("b", 1, 2)])
        crashed = make_file.crashed(make_file.folder / "crashed")
        await store.checkpoint(point("a", 4))
        await store.append([rec("a", 6)])
    for journal in journals(crashed):
        (make_file.path / journal.name).write_bytes(journal.read_bytes())
    async with make_file() as store:
        assert await store.load("a") == Loaded(point("a", 4), tuple(recs("a", 5, 6)))
        assert await store.load("b") == Loaded(None, tuple(recs("b", 1, 2)))
        assert worse_than_ok(await findings(store)) == []


async def test_a_deleted_document_is_not_replayed(make_file: Maker) -> None:
    """A crash after a deletion does not bring the document back."""
    async with make_file() as store:
        await store.append([rec("a", 1), rec("b", 1)])
        await store.checkpoint(point("a", 1))
        await store.delete("a")
        crashed = make_file.crashed(make_file.folder / "crashed")
    async with crashed() as store:
        assert [info.name for info in await store.documents()] == ["b"]
        await store.append([rec("a", 1)])


async def test_deleting_settles_that_document_alone(make_file: Maker, disk: Disk) -> None:
    """However many others the journals have: a few syncs, and theirs stay as they are."""
    async with make_file(durability="fsync") as store:
        await store.append([rec(f"d{number}", 1) for number in range(200)])
        await store.append([rec("old", 1), rec("new", 1)])
        await store.checkpoint(point("old", 1))
        await store.append([rec("old", 2)])
        for name in ("old", "new"):
            before = disk.syncs
            assert await store.delete(name)
            assert disk.syncs - before <= 2, "its file, where it has one, and the journal"
        assert not documents(make_file)
        assert not await store.delete("old")
        assert not await store.delete("never")
        crashed = make_file.crashed(make_file.folder / "crashed")
        reader = make_file(read_only=True)
        async with reader:
            assert {info.name for info in await reader.documents()} == {
                f"d{number}" for number in range(200)
            }
            assert await reader.load("old") == Loaded(None, ())
    for make in (make_file, crashed):
        async with make() as store:
            assert len(await store.documents()) == 200
            assert worse_than_ok(await findings(store)) == []


async def test_a_document_is_made_anew_behind_its_deletion(make_file: Maker) -> None:
    """Of all that the journals have of that name, only what came behind the deletion counts."""
    async with make_file() as store, make_file(read_only=True) as reader:
        await store.append(recs("a", 1, 5))
        await store.append(recs("b", 1, 5))
        await store.checkpoint(point("b", 3))
        assert len((await reader.load("a")).records) == 5
        fresh = [rec(name, 1, update=b"fresh") for name in ("a", "b")]
        for name, record in zip(("a", "b"), fresh, strict=True):
            assert await store.delete(name)
            await store.append([record])
            assert await reader.load(name) == Loaded(None, (record,))
        crashed = make_file.crashed(make_file.folder / "crashed")
    for make in (make_file, crashed):
        async with make() as store:
            for record in fresh:
                assert await store.load(record.document) == Loaded(None, (record,))
            assert worse_than_ok(await findings(store)) == []


@pytest.mark.parametrize("fails", ["the entry", "the removal"])
async def test_a_deletion_that_fails_leaves_all_of_it(
    make_file: Maker, disk: Disk, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """Done or not done: what the journals had of the document is in its file then."""
    whole = Loaded(point("a", 2), tuple(recs("a", 3, 5)))
    async with make_file(durability="fsync") as store:
        await store.append(recs("a", 1, 2))
        await store.checkpoint(point("a", 2))
        await store.append(recs("a", 3, 5))
        with monkeypatch.context() as patch:
            if fails == "the entry":
                sync = disk.sync

                def failing(descriptor: int) -> None:
                    name = os.readlink(f"/proc/self/fd/{descriptor}")
                    disk.sync_fails = "journal-" in name
                    sync(descriptor)

                patch.setattr(os, "fdatasync", failing)
            else:

                def refuse(path: Path, missing_ok: bool = False) -> None:
                    raise PermissionError(errno.EPERM, "no", str(path))

                patch.setattr(Path, "unlink", refuse)
            with pytest.raises(StoreError, match="delete failed"):
                await store.delete("a")
            disk.sync_fails = False
            assert await store.load("a") == whole
        crashed = make_file.crashed(make_file.folder / "crashed")
        await store.append([rec("a", 6)])
    async with make_file() as store:
        assert await store.load("a") == Loaded(whole.checkpoint, (*whole.records, rec("a", 6)))
    async with crashed() as store:
        assert await store.load("a") == whole
        assert await store.delete("a")
    async with crashed() as store:
        assert not await store.documents()


async def test_a_deletion_is_on_the_medium_where_commits_are_not(
    make_file: Maker, disk: Disk
) -> None:
    """With ``os``, too: else the file might be gone, and the journal bring back the rest."""
    async with make_file(durability="os") as store:
        before = disk.syncs
        await store.append(recs("a", 1, 5))
        assert disk.syncs == before
        assert await store.delete("a")
        assert disk.syncs == before + 1
        await store.append([rec("a", 1)])
        assert disk.syncs == before + 1


async def test_a_copy_made_while_it_runs_is_whole(
    make_file: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Journals copied first, and documents any time later, make a store without gaps."""
    monkeypatch.setattr(file_log, "JOURNAL_BYTES", 2_000)
    copy = Maker("file", make_file.folder / "copy")
    copy.path.mkdir(parents=True)
    async with make_file() as store:
        for sequence in range(1, 60):
            await store.append([rec(f"d{n}", sequence) for n in range(5)])
            if sequence == 20:
                for journal in journals(make_file):
                    shutil.copy(journal, copy.path)
            if sequence == 40:
                await store.checkpoint(point("d3", 35))
        shutil.copytree(make_file.path / "documents", copy.path / "documents")
    async with copy() as store:
        assert worse_than_ok(await findings(store)) == []
        infos = await store.documents()
        assert len(infos) == 5
        assert all(20 <= info.sequence <= 59 for info in infos)


async def test_short_writes_are_continued(make_file: Maker, disk: Disk) -> None:
    """A system that writes less than asked for is asked again."""
    disk.piece = 7
    async with make_file() as store:
        await store.append([rec(f"d{n}", 1) for n in range(5)])
        await store.checkpoint(point("d0", 1))
    async with make_file() as store:
        assert len(await store.documents()) == 5
        assert worse_than_ok(await findings(store)) == []


@pytest.mark.parametrize("room", [0, 1, 15, 16, 17, 60, 150])
async def test_a_full_disk_refuses_the_batch(make_file: Maker, disk: Disk, room: int) -> None:
    """However much of a commit fits, ``StoreFull`` leaves nothing of it, and the store goes on."""
    batch = [rec(f"d{n}", 3) for n in range(5)]
    async with make_file() as store:
        await store.append([rec(f"d{n}", s) for n in range(5) for s in (1, 2)])
        for _ in range(2):
            disk.room = room
            with pytest.raises(StoreFull, match="append failed") as caught:
                await store.append(batch)
            assert "Free some space" in caught.value.hint
            assert (await store.load("d0")).records == tuple(recs("d0", 1, 2))
        disk.room = 1 << 40
        crashed = make_file.crashed(make_file.folder / "crashed")
        await store.append(batch)
    async with crashed() as store:
        assert (await store.load("d0")).records == tuple(recs("d0", 1, 2))
    async with make_file() as store:
        assert (await store.load("d0")).records == tuple(recs("d0", 1, 3))


async def test_a_failed_sync_leaves_nothing(make_file: Maker, disk: Disk) -> None:
    """A commit whose sync failed is cut off before anything else is written, or read again."""
    async with make_file(durability="fsync") as store:
        await store.append([rec("a", 1)])
        disk.sync_fails = True
        for _ in range(3):
            with pytest.raises(StoreError, match="append failed"):
                await store.append([rec("a", 2, update=b"failed")])
        assert (await store.load("a")).records == (rec("a", 1),)
        disk.sync_fails = False
        await store.append([rec("a", 2)])
        crashed = make_file.crashed(make_file.folder / "crashed")
    for make in (make_file, crashed):
        async with make() as store:
            assert (await store.load("a")).records == tuple(recs("a", 1, 2))


async def test_a_journal_that_can_not_be_cut_takes_nothing(
    make_file: Maker, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    """While the end of the journal is in doubt every append fails; then they work again."""
    async with make_file(durability="fsync") as store:
        await store.append([rec("a", 1)])
        disk.sync_fails = disk.truncate_fails = True
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                with pytest.raises(StoreError):
                    await store.append([rec("a", 2, update=b"failed")])
        assert "not back yet" in caplog.text
        disk.sync_fails = False
        with pytest.raises(StoreError):
            await store.append([rec("a", 2, update=b"failed")])
        disk.truncate_fails = False
        await store.append([rec("a", 2)])
    async with make_file() as store:
        assert (await store.load("a")).records == tuple(recs("a", 1, 2))


async def test_settling_that_fails_is_put_off(
    make_file: Maker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where documents' files can't be written commits go on, up to a limit, and nothing is lost."""
    monkeypatch.setattr(file_log, "JOURNAL_BYTES", 2_000)
    monkeypatch.setattr(file_log, "MAX_JOURNAL_BYTES", 12_000)
    failures = 0

    def refuse(*arguments: Any, **options: Any) -> None:
        nonlocal failures
        failures += 1
        raise OSError(errno.EACCES, "Permission denied")

    async with make_file() as store:
        await store.append([rec("a", 1)])
        sequence = 1
        with monkeypatch.context() as patch:
            patch.setattr(file_disk, "replace", refuse)
            try:
                while True:
                    await store.append([rec("a", sequence + 1)])
                    sequence += 1
            except StoreError as error:
                refusal = str(error)
        assert "Permission denied" in refusal
        assert "settle failed" in caplog.text
        assert 12_000 / 40 > sequence > 12_000 / 80
        assert failures < sequence / 3
        assert (await store.load("a")).records == tuple(recs("a", 1, sequence))
        await store.append([rec("a", sequence + 1)])
    async with make_file() as store:
        assert (await store.load("a")).records == tuple(recs("a", 1, sequence + 1))
        assert worse_than_ok(await findings(store)) == []


async def test_a_close_that_fails_keeps_the_journal(
    make_file: Maker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the last settling fails, the journal stays for the next start, and the lock goes."""

    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        async with make_file() as store:
            await store.append([rec("a", 1), rec("b", 1)])
            patch.setattr(file_disk, "replace", refuse)
    assert "close failed" in caplog.text
    assert len(journals(make_file)) == 1
    async with make_file() as store:
        assert len(await store.documents()) == 2


async def test_a_checkpoint_that_fails_changes_nothing(make_file: Maker, disk: Disk) -> None:
    """A checkpoint that does not fit leaves the older one, the records, and no stray file."""
    async with make_file() as store:
        await store.append(recs("a", 1, 9))
        await store.checkpoint(point("a", 2))
        disk.room = 50
        with pytest.raises(StoreFull, match="checkpoint failed"):
            await store.checkpoint(point("a", 8))
        disk.room = 1 << 40
        assert await store.load("a") == Loaded(point("a", 2), tuple(recs("a", 3, 9)))
        assert documents(make_file) == ["a.crdt"]
        await store.checkpoint(point("a", 8))
        assert await store.load("a") == Loaded(point("a", 8), (rec("a", 9),))


async def test_a_checkpoint_is_read_back(make_file: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint that does not read back as it was written replaces nothing."""
    async with make_file() as store:
        await store.append(recs("a", 1, 3))
        with monkeypatch.context() as patch:
            patch.setattr(file_disk, "read", lambda path: b"something else")
            patch.setattr(log_of(store), "load", lambda name: Loaded(None, tuple(recs("a", 1, 3))))
            with pytest.raises(StoreError, match="reads back different"):
                await store.checkpoint(point("a", 2))
        assert await store.load("a") == Loaded(None, tuple(recs("a", 1, 3)))


async def test_forgotten_documents_are_read_again(
    make_file: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above the limit of known documents, those that no journal has are forgotten."""
    monkeypatch.setattr(file_log, "MAX_KNOWN_DOCUMENTS", 10)
    async with make_file() as store:
        await store.append([rec(f"d{n}", 1) for n in range(15)])
    async with make_file() as store:
        assert len(await store.documents()) == 15
        await store.append([rec("d3", 2)])
        assert len(log_of(store)._known) == 1
        await store.append([rec(f"d{n}", 2) for n in range(3)])


async def test_unfinished_files_are_removed(
    make_file: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    """What a crash left half written is removed at the next start, and the log says so."""
    async with make_file() as store:
        await store.append([rec("a", 1)])
    unfinished = make_file.path / "documents" / "a.crdt.tmp"
    unfinished.write_bytes(b"half")
    async with make_file(read_only=True) as store:
        found = worse_than_ok(await findings(store))
        assert [item.level for item in found] == ["warning"]
        assert "a.crdt.tmp" in found[0].message
    async with make_file() as store:
        assert not unfinished.exists()
        assert await store.load("a") == Loaded(None, (rec("a", 1),))
    assert "not written to its end" in caplog.text
