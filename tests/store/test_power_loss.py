"""A file store after the power went: only what was synced is certain to be on the disk."""

import os
import random
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from crdtsync.store import Store, file_log
from tests.store.kit import Maker, findings, point, rec, recs, worse_than_ok

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="names open files by /proc"),
    pytest.mark.parametrize("anyio_backend", ["asyncio"]),
]


@dataclass(frozen=True)
class Cut:
    """What a power cut left, and what it must not have taken."""

    folder: Path
    lasts: dict[str, int]
    busy: frozenset[str]


class Medium:
    """Remembers what was synced: of files their bytes, of folders their names."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, chance: random.Random
    ) -> None:
        self._folder = folder
        self._kept = folder.with_name("kept")
        """A second name for each file, so that none is really gone, nor its number used again."""
        self._kept.mkdir()
        self._bytes: dict[int, bytes] = {}
        self._names: dict[Path, dict[str, int]] = {folder: {}}
        self.cuts: list[Cut] = []
        self.lasts: dict[str, int] = {}
        """What is acknowledged."""
        self.busy: set[str] = set()
        """What is being changed."""
        self._chance = chance
        monkeypatch.setattr(os, "fsync", self.sync)
        monkeypatch.setattr(os, "fdatasync", self.sync)

    def sync(self, descriptor: int) -> None:
        """Take what the file or folder is now as what a power cut leaves of it.

        Now and then, the power is cut just before that, or just after.
        """
        if self._chance.random() < 0.03:
            self.cut_power()
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.is_dir():
            self._names[path] = {item.name: self._keep(item) for item in path.iterdir()}
        else:
            self._bytes[self._keep(path)] = path.read_bytes()
        if self._chance.random() < 0.03:
            self.cut_power()

    def _keep(self, path: Path) -> int:
        number = path.stat().st_ino
        if path.is_file() and not (self._kept / str(number)).exists():
            os.link(path, self._kept / str(number))
        return number

    def cut_power(self) -> None:
        """Make what a power cut might leave: synced for certain, the rest at random."""
        folder = self._folder.with_name(f"cut{len(self.cuts)}")
        if self._names[self._folder]:  # else the store is just being made
            self._leave(self._folder, folder / "store")
            self.cuts.append(Cut(folder, self.lasts.copy(), frozenset(self.busy)))

    def _leave(self, source: Path, target: Path) -> None:
        target.mkdir(parents=True)
        synced = self._names.get(source, {})
        for name in synced.keys() | {item.name for item in source.iterdir()}:
            path = source / name
            if path.is_dir():  # made when the store was created, and synced with its parent
                self._leave(path, target / name)
                continue
            now = self._keep(path) if path.exists() else None
            number = self._chance.choice([synced.get(name), now])
            if number is not None and not name.endswith((".lock", ".pid")):
                (target / name).write_bytes(self._content(number))

    def _content(self, number: int) -> bytes:
        certain = self._bytes.get(number, b"")
        kept = (self._kept / str(number)).read_bytes()
        if not kept.startswith(certain):
            return self._chance.choice([certain, kept])
        length = self._chance.choice(
            [0, len(kept) - len(certain), self._chance.randint(0, len(kept))]
        )
        unsynced = kept[len(certain) : len(certain) + length]
        return certain + self._chance.choice([unsynced, bytes(len(unsynced))])


async def work(store: Store, medium: Medium, chance: random.Random) -> None:
    """Append to some documents, and sometimes checkpoint, delete or import one."""
    lasts = medium.lasts
    names = chance.sample("abcdefghijkl", chance.randint(1, 5))
    medium.busy = set(names)
    await store.append([rec(name, lasts.get(name, 0) + 1) for name in names])
    for name in names:
        lasts[name] = lasts.get(name, 0) + 1
    name = chance.choice(sorted(lasts))
    match chance.randint(0, 9):
        case 0:
            medium.busy = {name}
            await store.checkpoint(point(name, lasts[name]))
        case 1:
            medium.busy = {name}
            await store.delete(name)
            del lasts[name]
        case 2:
            name = f"imported-{chance.random()}"
            medium.busy = {name}
            await store.checkpoint(point(name, 7))
            lasts[name] = 7
    medium.busy = set()


async def last_of(store: Store, name: str) -> int:
    """Return a document's last sequence, once it is certain that all up to it is as written."""
    loaded = await store.load(name)
    assert loaded.damage is None
    after = loaded.checkpoint.sequence if loaded.checkpoint else 0
    assert loaded.checkpoint in (None, point(name, after))
    last = after + len(loaded.records)
    assert loaded.records == tuple(recs(name, after + 1, last))
    return last


@pytest.mark.parametrize("seed", range(12))
async def test_what_is_acknowledged_survives_a_power_cut(
    make_file: Maker, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Whatever the disk kept of what was not synced, all acknowledged records are there, alone."""
    monkeypatch.setattr(file_log, "JOURNAL_BYTES", 1_000)
    with monkeypatch.context() as patch:
        medium = Medium(make_file.path, patch, random.Random(seed))
        chance = random.Random(seed)
        async with make_file(durability="fsync") as store:
            for _ in range(60):
                await work(store, medium, chance)
    assert medium.cuts
    for cut in medium.cuts:
        async with Maker("file", cut.folder)(durability="none") as store:
            names = {info.name for info in await store.documents()}
            assert names - cut.busy == cut.lasts.keys() - cut.busy
            for name in names - cut.busy:
                assert await last_of(store, name) == cut.lasts[name]
            for name in cut.busy:
                assert await last_of(store, name) - cut.lasts.get(name, 0) in (0, 1, 7) or (
                    name not in names
                )
            assert worse_than_ok(await findings(store)) == []
            await store.append([rec(name, await last_of(store, name) + 1) for name in names])
