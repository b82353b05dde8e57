"""Stores and real processes: locks, readers beside a server, kills and full disks."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crdtsync.errors import StoreError, StoreFull, StoreLocked
from crdtsync.store import Store
from tests.crash.disks import small
from tests.store.kit import Maker, findings, rec, recs, worse_than_ok

ROOT = Path(__file__).parents[2]
HOLD = "hold"
WRITE = "write"
FILL = "fill"


@contextmanager
def child(make: Maker, work: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run ``child.py`` on a store, until the block ends at the latest."""
    command = [sys.executable, "-m", "tests.store.child", make.kind, str(make.folder), work]
    process = subprocess.Popen(
        [*command, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    """Return the next line that the child prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def entered(store: Store) -> None:
    """Enter a store and leave it."""
    async with store:
        pass


def files(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its bytes."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.anyio
async def test_a_second_process_is_refused(make_durable: Maker) -> None:
    """While a process owns a store, another is told which, and may still read."""
    with child(make_durable, HOLD) as process:
        assert line(process) == "ready"
        with pytest.raises(StoreLocked, match=f"in use by process {process.pid}") as caught:
            await entered(make_durable())
        assert str(make_durable.path) in str(caught.value)
        assert f"Stop process {process.pid}" in caught.value.hint
        async with make_durable(read_only=True) as reader:
            assert (await reader.load("d")).records == tuple(recs("d", 1, 3))
    async with make_durable() as store:  # the kill has freed it
        await store.append([rec("d", 4)])


@pytest.mark.anyio
async def test_one_process_has_one_owner_too(make_durable: Maker) -> None:
    """A second store object of the same process is refused as well, and the first goes on."""
    async with make_durable() as store:
        with pytest.raises(StoreLocked, match=f"process {os.getpid()}"):
            await entered(make_durable())
        await store.append([rec("d", 1)])
    async with make_durable():
        pass


@pytest.mark.anyio
async def test_a_reader_beside_a_server_follows_it(make_durable: Maker) -> None:
    """A read-only store sees what the owner commits, checkpoints and deletes."""
    async with make_durable() as store:
        await store.append([rec("d", 1)])
        async with make_durable(read_only=True) as reader:
            for sequence in range(2, 30):
                await store.append([rec("d", sequence), rec(f"e{sequence}", 1)])
                loaded = await reader.load("d")
                assert loaded.records[-1].sequence == sequence
                assert len(await reader.documents()) == sequence
            assert worse_than_ok(await findings(reader)) == []
            before = await store.documents()
            assert await reader.documents() == before
            await store.delete("e2")
            assert await reader.info("e2") is None
            assert (await reader.load("e2")).records == ()
            assert len(await reader.documents()) == len(before) - 1


@pytest.mark.anyio
async def test_a_reader_writes_nothing(make_durable: Maker) -> None:
    """Reading a store that nobody has open, or that a crash left, changes no byte of it."""
    async with make_durable() as store:
        await store.append(recs("d", 1, 3))
        crashed = make_durable.crashed(make_durable.folder / "crashed")
    for make in (make_durable, crashed):
        before = files(make.folder)
        async with make(read_only=True) as reader:
            assert (await reader.load("d")).records == tuple(recs("d", 1, 3))
            assert len(await reader.documents()) == 1
            assert worse_than_ok(await findings(reader)) == []
            for refused in (
                reader.append([rec("d", 4)]),
                reader.delete("d"),
                reader.probe(),
                findings(reader, repair=True),
            ):
                with pytest.raises(StoreError, match="open for reading only"):
                    await refused
        after = files(make.folder)
        new = {Path(name).suffix for name in after.keys() - before.keys()}
        assert new <= {".db-shm"}  # SQLite's index of the write-ahead log, not the store's data
        assert {name: after[name] for name in before} == before


@pytest.mark.anyio
async def test_there_must_be_something_to_read(make_durable: Maker) -> None:
    """Opening a store that does not exist for reading says so and makes nothing."""
    with pytest.raises(StoreError, match="there is no store"):
        await entered(make_durable(read_only=True))
    assert list(make_durable.folder.iterdir()) == []


@pytest.mark.anyio
async def test_a_missing_folder_is_named(make_durable: Maker) -> None:
    """A store in a folder that does not exist says which to create."""
    make = Maker(make_durable.kind, make_durable.folder / "missing")
    with pytest.raises(StoreError) as caught:
        await entered(make())
    assert str(make.folder) in caught.value.hint


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("kills", [3])
async def test_what_is_acknowledged_survives_kill_9(make_durable: Maker, kills: int) -> None:
    """After each ``kill -9``, every acknowledged batch is there, and every batch is whole."""
    acknowledged = 0
    for round_ in range(kills):
        with child(make_durable, WRITE, acknowledged + 1) as process:
            for _ in range(120 + 77 * round_):
                acknowledged = int(line(process))
            process.send_signal(signal.SIGKILL)
            assert process.stdout is not None
            rest = process.stdout.read()  # what was buffered by readline, too
            acknowledged = int(([str(acknowledged), *rest.split()])[-1])
            process.wait()
        async with make_durable() as store:
            lasts = set()
            for name in ("a", "b", "c"):
                loaded = await store.load(name)
                assert loaded.damage is None
                after = loaded.checkpoint.sequence if loaded.checkpoint else 0
                last = loaded.records[-1].sequence if loaded.records else after
                assert loaded.records == tuple(recs(name, after + 1, last))
                lasts.add(last)
            assert len(lasts) == 1
            assert acknowledged <= lasts.pop() <= acknowledged + 1
            assert worse_than_ok(await findings(store)) == []
            acknowledged = last


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_file_size_limit_loses_nothing(make_durable: Maker) -> None:
    """Where the system refuses to let a file grow, the append fails and the rest is kept."""
    with child(make_durable, FILL, 300_000) as process:
        assert process.stdin is not None
        stored, kind = line(process).split()
        assert kind in ("StoreFull", "StoreError")
        assert line(process) == "loaded"
    async with make_durable() as store:
        loaded = await store.load("d")
        assert loaded.damage is None
        assert len(loaded.records) == int(stored)
        assert worse_than_ok(await findings(store)) == []


@pytest.mark.anyio
async def test_a_probe_finds_as_much_room_as_failed(make_durable: Maker, tmp_path: Path) -> None:
    """Where a commit has failed for want of room, some bytes of it do not make a store ready."""
    with small(tmp_path / "disk") as disk:
        make = Maker(make_durable.kind, disk.folder)
        async with make() as store:
            await store.append([rec("d", 1)])
            with (disk.folder / "ballast").open("wb") as ballast:
                ballast.write(bytes(shutil.disk_usage(disk.folder).free - 32 * 1024))
            await store.probe()
            with pytest.raises(StoreFull, match="append failed"):
                await store.append([rec("d", 2, update=bytes(200_000))])
            with pytest.raises(StoreFull, match="probe failed") as caught:
                await store.probe()
            assert "Free some space" in caught.value.hint
            await store.append([rec("d", 2)])  # so there is enough for such as this
            await store.probe()
            with pytest.raises(StoreFull):
                await store.append([rec("d", 3, update=bytes(200_000))])
            (disk.folder / "ballast").unlink()
            await store.probe()
            await store.append([rec("d", 3, update=bytes(200_000))])
        async with make() as store:
            assert len((await store.load("d")).records) == 3
