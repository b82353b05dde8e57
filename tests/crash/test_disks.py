"""The real server on a disk that is full or fails: nothing is shown and lost, and it recovers."""

import asyncio
import errno
import json
import random
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.crash.clients import Client, Writing, write
from tests.crash.disks import LIBFIU, Disk, failing, small
from tests.crash.edits import holding
from tests.crash.ledger import Ledger, Lost
from tests.crash.nursery import Nursery, Victim
from tests.crash.steps import Kind
from tests.crash.victim import SMALL, Plan
from tests.needs import require

TIMEOUT_S = 40
BATCH = 150
"""Edits that each writer sends at a time."""
OPTIONS = (
    *("--host", "127.0.0.1", "--port", "0", "--max-log-records", "25"),
    *("--housekeeping-interval-s", "0.1", "--idle-room-s", "0.2", "--checkpoint-rest-s", "0"),
)
SOON = ("--commit-retry-s", "0.3")

SYNC, WRITE, RENAME = "posix/io/sync/*", "posix/io/rw/pwrite", "posix/io/dir/rename"
FOLDER = "posix/io/sync/fsync"
"""The file store syncs files with fdatasync, and folders with this."""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """A nursery whose victims libfiu makes fail."""
    require(LIBFIU.exists(), "libfiu is not installed")
    with Nursery(tmp_path_factory.mktemp("faulty"), faults=True) as started:
        yield started


def get(victim: Victim, path: str) -> tuple[int, str]:
    """Return status and body of an HTTP answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{victim.port()}{path}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def errors(victim: Victim, operation: str) -> float:
    """Return how many operations of a kind the store has failed at, by the metrics."""
    name = f'crdtsync_store_errors_total{{operation="{operation}"}} '
    lines = get(victim, "/metrics")[1].splitlines()
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


async def until(true: Callable[[], bool]) -> None:
    """Ask the server until it says so."""
    for _ in range(200):
        if await asyncio.to_thread(true):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it does not become true")


@dataclass(slots=True)
class Site:
    """A store on a disk, with two documents and two writers each."""

    nursery: Nursery
    kind: Kind
    disk: Disk
    changes: tuple[str, ...] = ()
    ledger: Ledger = field(init=False)
    clients: list[Client] = field(default_factory=list)
    dice: random.Random = field(default_factory=lambda: random.Random(5))

    def __post_init__(self) -> None:
        self.ledger = Ledger(
            [Writing(name, 300 + 2 * n + w) for n, name in enumerate("ab") for w in (0, 1)]
        )

    @property
    def url(self) -> str:
        return f"{self.kind}:{self.disk.folder / 'store'}"

    async def serve(self, *options: str) -> Victim:
        """Start a server on the store, and return when it listens."""
        arguments = ("serve", "--store", self.url, *OPTIONS, *options)
        victim = self.nursery.start(*arguments, plan=Plan(tune=SMALL, changes=self.changes))
        assert await asyncio.to_thread(victim.port) is not None, victim.error
        return victim

    async def join(self, victim: Victim) -> dict[int, Client]:
        """Compare what is there with what was shown, and let the writers in, and a reader each."""
        port = victim.port()
        assert port is not None
        for name in self.ledger.safe:
            reader = Client(name)
            await reader.join(port)
            self.clients.append(reader)
            self.ledger.compare(name, reader.updates())
        joined = {}
        for each in self.ledger.writings:
            client = joined[each.client] = Client(each.document, acknowledged=True)
            await client.join(port)
        self.clients += joined.values()
        return joined

    async def write(self, joined: dict[int, Client]) -> None:
        """Have each writer that is still there send some edits."""
        async with asyncio.TaskGroup() as tasks:
            for each in self.ledger.writings:
                tasks.create_task(write(each, joined[each.client], self.dice, most=BATCH))

    async def until_shown(self) -> None:
        """Wait until each writer was shown all that was sent to its document."""
        for client in self.clients[-len(self.ledger.writings) :]:
            mine = [each for each in self.ledger.writings if each.document == client.document]
            sent = {each.client: each.sent for each in mine}
            while holding(list(sent), client.updates()).counts != sent:
                assert not client.gone.is_set(), client.code
                await client.until_shown(client.shown + 1)

    async def end(self, victim: Victim) -> None:
        """Kill the server, and take into account all that anyone was shown."""
        await asyncio.to_thread(victim.kill)
        await self.leave()

    async def leave(self) -> None:
        """Let all clients go, and take into account what they were shown."""
        for client in self.clients:
            client.leave()
            await client.gone.wait()
            self.ledger.shown(client)
        self.clients.clear()

    async def restart_and_look(self) -> None:
        """Start once more, on a sound disk: what was shown is there, and a check is clean."""
        victim = await self.serve()
        await self.join(victim)
        await self.end(victim)
        found = await asyncio.to_thread(self.nursery.run, "check", "--store", self.url)
        assert found.wait() == 0, (found.out, found.error)
        assert " 0 errors" in found.error


async def suffer(site: Site, *, mended: bool) -> None:
    """A disk breaks for good under load; it is mended later, or the server is killed before."""
    victim = await site.serve(*SOON)
    joined = await site.join(victim)
    await site.write(joined)
    await site.until_shown()
    assert (await asyncio.to_thread(get, victim, "/health/ready"))[0] == 200
    await asyncio.to_thread(site.disk.fail, victim)
    while not all(client.gone.is_set() for client in site.clients):
        await site.write(joined)
        if any(each.sent > 3500 for each in site.ledger.writings):
            raise AssertionError("the disk takes everything")
    # Who has edits that can't be stored is sent away, to come back; nobody with another reason.
    assert {client.code for client in site.clients} == {1013}
    await until(lambda: get(victim, "/health/ready")[0] == 503)
    _, body = await asyncio.to_thread(get, victim, "/health/ready")
    assert json.loads(body)["checks"]["store"] != "ok"
    assert (await asyncio.to_thread(get, victim, "/health/live"))[0] == 200
    assert await asyncio.to_thread(errors, victim, "append") > 0
    assert "the store failed: append failed on" in victim.error
    await site.leave()
    # What is stored can still be read, and holds everything that was shown.
    await site.join(victim)
    await site.leave()
    if mended:
        await asyncio.to_thread(site.disk.mend, victim)
        await until(lambda: get(victim, "/health/ready")[0] == 200)
        joined = await site.join(victim)
        await site.write(joined)
        await site.until_shown()
    await site.end(victim)
    if not mended and site.disk.folder.is_mount():
        await asyncio.to_thread(site.disk.mend, victim)
    await site.restart_and_look()


async def stumble(site: Site) -> None:
    """A disk fails now and then under load: clients wait a little, and get everything."""
    victim = await site.serve()
    joined = await site.join(victim)
    await asyncio.to_thread(site.disk.fail, victim)
    for _ in range(2):
        await site.write(joined)
    await site.until_shown()
    assert await asyncio.to_thread(errors, victim, "append") > 2
    assert {client.code for client in site.clients} == {None}
    await site.end(victim)
    await site.restart_and_look()


async def keep_logs(site: Site) -> None:
    """Documents' files can't be replaced: no checkpoints, and edits are stored as ever."""
    victim = await site.serve()
    joined = await site.join(victim)
    await site.write(joined)  # the files are there
    await site.until_shown()
    await asyncio.to_thread(site.disk.fail, victim)
    await site.write(joined)
    await site.until_shown()
    await until(lambda: errors(victim, "checkpoint") > 0)
    assert await asyncio.to_thread(errors, victim, "append") == 0
    assert {client.code for client in site.clients} == {None}
    assert (await asyncio.to_thread(get, victim, "/health/ready"))[0] == 200
    assert re.search(r"no checkpoint of '.', its log is kept", victim.error)
    await site.end(victim)
    await site.restart_and_look()


def timely(scene: Coroutine[Any, Any, None]) -> None:
    """Play a scene, and end it when it hangs."""

    async def play() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await scene

    asyncio.run(play())


@pytest.mark.parametrize("mended", [True, False], ids=["mended", "killed"])
def test_a_full_disk(nursery: Nursery, kind: Kind, tmp_path: Path, mended: bool) -> None:
    """Where the disk is full nothing is shown that is not stored; with room again it goes on."""
    with small(tmp_path / "disk") as disk:
        timely(suffer(Site(nursery, kind, disk), mended=mended))


@pytest.mark.parametrize("mended", [True, False], ids=["mended", "killed"])
@pytest.mark.parametrize(
    ("kind", "calls", "error"),
    [
        ("sqlite", SYNC, errno.EIO),
        ("sqlite", WRITE, errno.EIO),
        ("sqlite", WRITE, errno.ENOSPC),
        ("file", SYNC, errno.EIO),
    ],
)
def test_a_disk_that_fails(
    faulty: Nursery, tmp_path: Path, kind: Kind, calls: str, error: int, mended: bool
) -> None:
    """The same where writing or syncing fails."""
    with failing(tmp_path / "disk", calls, error=error) as disk:
        timely(suffer(Site(faulty, kind, disk), mended=mended))


def test_showing_what_the_disk_refuses_is_found(
    faulty: Nursery, kind: Kind, tmp_path: Path
) -> None:
    """A server that shows edits before they are stored fails the same test."""
    with failing(tmp_path / "disk", SYNC, error=errno.EIO) as disk, pytest.raises(Lost):
        timely(suffer(Site(faulty, kind, disk, ("shown_before_stored",)), mended=False))


@pytest.mark.parametrize(
    ("kind", "calls", "share"),
    [("sqlite", SYNC, 0.2), ("sqlite", WRITE, 0.06), ("file", SYNC, 0.2)],
)
def test_a_disk_that_fails_now_and_then(
    faulty: Nursery, tmp_path: Path, kind: Kind, calls: str, share: float
) -> None:
    """Where one commit in five or so fails nobody is sent away, and all that was sent is shown."""
    with failing(tmp_path / "disk", calls, error=errno.EIO, probability=share) as disk:
        timely(stumble(Site(faulty, kind, disk)))


@pytest.mark.parametrize("calls", [RENAME, FOLDER])
def test_without_checkpoints(faulty: Nursery, tmp_path: Path, calls: str) -> None:
    """Where only checkpoints fail nobody notices but the operator."""
    with failing(tmp_path / "disk", calls, error=errno.EIO) as disk:
        timely(keep_logs(Site(faulty, "file", disk)))
