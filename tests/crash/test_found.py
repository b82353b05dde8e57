"""What these tests have found, each in its smallest form."""

import errno
import os
from pathlib import Path

import pytest

from crdtsync import Hub
from crdtsync.errors import StoreError
from crdtsync.store import Checkpoint, FileStore, Record, file_disk, file_log
from tests.docs.peers import QUICK, Peer, Trouble


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both event loops."""
    return str(request.param)


@pytest.mark.anyio
async def test_what_comes_during_a_failing_commit_waits_for_it() -> None:
    """An edit that came while a commit failed is stored behind it, and not shown before it is.

    It had been taken along by the next commit, out of order, and shown when the failed one was
    tried again with success.
    """
    store = Trouble()
    async with Hub(store, limits=QUICK) as hub, Peer(hub, "d") as ann, Peer(hub, "d") as bob:
        store.failing = lambda record: store.failures == 0 or record.sequence == 2
        store.hold()
        ann.write("a")
        await store.asked.wait()
        ann.write("b")
        store.gate.set()
        for peer in (ann, bob):
            await peer.sent_away()
        assert [record.sequence for record in (await store.load("d")).records] == [1]
        assert str(bob.text) == "a"
        store.failing = lambda record: False
        async with Peer(hub, "d", doc=ann.doc), Peer(hub, "d", doc=bob.doc) as again:
            await again.until(lambda: str(again.text) == "ab")


class Folders:
    """Syncing a folder, which fails for the folders of a name for as long as a test wants."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failing = ""
        self._sync = file_disk.sync_folder
        monkeypatch.setattr(file_disk, "sync_folder", self.sync)
        monkeypatch.setattr(file_log, "JOURNAL_BYTES", 600)

    def sync(self, folder: Path) -> None:
        """Sync a folder, or fail."""
        if folder.name == self.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._sync(folder)


async def append(store: FileStore, first: int, last: int) -> None:
    """Append records of one document, one by one."""
    for sequence in range(first, last + 1):
        await store.append([Record("d", sequence, sequence, "ann", b"%d " % sequence * 10)])


async def holds_all(path: Path, checkpoint: int, last: int) -> None:
    """Assert that a store holds a document's checkpoint and each record behind it."""
    async with FileStore(path, durability="os") as store:
        loaded = await store.load("d")
        assert loaded.damage is None
        assert loaded.checkpoint is not None
        assert loaded.checkpoint.sequence == checkpoint
        found = [(record.sequence, record.update) for record in loaded.records]
        assert found == [(n, b"%d " % n * 10) for n in range(checkpoint + 1, last + 1)]
        assert [finding.level async for finding in store.check()] == ["ok"]


@pytest.mark.anyio
async def test_a_checkpoint_whose_name_can_t_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a checkpoint fails after its file has its name, later records go behind that file's.

    They had been written where the older file had ended, and were lost with the journal.
    """
    path = tmp_path / "store"
    folders = Folders(monkeypatch)
    async with FileStore(path, durability="os") as store:
        await append(store, 1, 10)
        await store.checkpoint(Checkpoint("d", 4, 4, b"four" * 5))
        folders.failing = "documents"
        with pytest.raises(StoreError, match="checkpoint failed"):
            await store.checkpoint(Checkpoint("d", 8, 8, b"eight" * 40))
        folders.failing = ""
        await append(store, 11, 60)
    await holds_all(path, 8, 60)


@pytest.mark.anyio
async def test_a_journal_whose_end_can_t_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a journal is removed and the folder can't be synced, settling goes on afterwards.

    It had failed for good, because the journal was gone, and commits with it in the end.
    """
    path = tmp_path / "store"
    folders = Folders(monkeypatch)
    monkeypatch.setattr(file_log, "MAX_JOURNAL_BYTES", 3000)
    async with FileStore(path, durability="os") as store:
        await append(store, 1, 10)
        await store.checkpoint(Checkpoint("d", 4, 4, b"four" * 5))
        folders.failing = "store"
        await append(store, 11, 30)
        assert "settle failed" in caplog.text
        folders.failing = ""
        await append(store, 31, 120)
        assert len(list(path.glob("journal-*"))) <= 2
    await holds_all(path, 4, 120)
