"""A file store after the power went: only what was synced is certain to be on the disk."""

import os
import random
import sys
from pathlib import Path

import pytest

from crdtsync.store import Store, file_log
from tests.store.kit import Maker, findings, point, rec, recs, worse_than_ok

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="names open files by /proc"),
    pytest.mark.parametrize("anyio_backend", ["asyncio"]),
]


class Medium:
    """Remembers what was synced: of files their bytes, of folders their names."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._kept = folder.with_name("kept")
        """A second name for each file, so that none is really gone, nor its number used again."""
        self._kept.mkdir()
        self._bytes: dict[int, bytes] = {}
        self._names: dict[Path, dict[str, int]] = {folder: {}}
        self._fsync, self._fdatasync = os.fsync, os.fdatasync
        monkeypatch.setattr(os, "fsync", self.sync)
        monkeypatch.setattr(os, "fdatasync", self.sync)

    def sync(self, descriptor: int) -> None:
        """Take what the file or folder is now as what a power cut leaves of it."""
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.is_dir():
            self._names[path] = {item.name: self._keep(item) for item in path.iterdir()}
        else:
            self._bytes[self._keep(path)] = path.read_bytes()

    def _keep(self, path: Path) -> int:
        number = path.stat().st_ino
        if path.is_file() and not (self._kept / str(number)).exists():
            os.link(path, self._kept / str(number))
        return number

    def cut_power(self, folder: Path, chance: random.Random) -> None:
        """Make what a power cut might leave: synced for certain, the rest at random."""
        self._leave(self._folder, folder, chance)

    def _leave(self, source: Path, target: Path, chance: random.Random) -> None:
        target.mkdir(parents=True)
        synced = self._names.get(source, {})
        for name in synced.keys() | {item.name for item in source.iterdir()}:
            path = source / name
            if path.is_dir():  # made when the store was created, and synced with its parent
                self._leave(path, target / name, chance)
                continue
            now = self._keep(path) if path.exists() else None
            number = chance.choice([synced.get(name), now])
            if number is not None and not name.endswith((".lock", ".pid")):
                (target / name).write_bytes(self._content(number, chance))

    def _content(self, number: int, chance: random.Random) -> bytes:
        certain = self._bytes.get(number, b"")
        kept = (self._kept / str(number)).read_bytes()
        if not kept.startswith(certain):
            return chance.choice([certain, kept])
        length = chance.choice([0, len(kept) - len(certain), chance.randint(0, len(kept))])
        unsynced = kept[len(certain) : len(certain) + length]
        return certain + chance.choice([unsynced, bytes(len(unsynced))])


async def work(store: Store, lasts: dict[str, int], chance: random.Random) -> None:
    """Append to some documents, and sometimes checkpoint or delete one; keep ``lasts`` right."""
    names = chance.sample("abcdefghijkl", chance.randint(1, 5))
    await store.append([rec(name, lasts.get(name, 0) + 1) for name in names])
    for name in names:
        lasts[name] = lasts.get(name, 0) + 1
    name = chance.choice(sorted(lasts))
    match chance.randint(0, 19):
        case 0:
            await store.checkpoint(point(name, lasts[name]))
        case 1:
            await store.delete(name)
            del lasts[name]
        case 2:
            name = f"imported-{len(lasts)}-{chance.random()}"
            await store.checkpoint(point(name, 7))
            lasts[name] = 7


@pytest.mark.parametrize("seed", range(20))
async def test_what_is_acknowledged_survives_a_power_cut(
    make_file: Maker, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Whatever the disk kept of what was not synced, all acknowledged records are there, alone."""
    monkeypatch.setattr(file_log, "JOURNAL_BYTES", 1_000)
    chance = random.Random(seed)
    cuts: list[dict[str, int]] = []
    lasts: dict[str, int] = {}
    with monkeypatch.context() as patch:
        medium = Medium(make_file.path, patch)
        async with make_file(durability="fsync") as store:
            for step in range(40):
                await work(store, lasts, chance)
                if step % 5 == 4:
                    medium.cut_power(make_file.folder / f"cut{len(cuts)}" / "store", chance)
                    cuts.append(lasts.copy())
    for number, lasts in enumerate(cuts):
        async with Maker("file", make_file.folder / f"cut{number}")(durability="none") as store:
            for name, last in lasts.items():
                loaded = await store.load(name)
                assert loaded.damage is None
                after = loaded.checkpoint.sequence if loaded.checkpoint else 0
                assert loaded.records == tuple(recs(name, after + 1, last))
            assert {info.name for info in await store.documents()} == set(lasts)
            assert worse_than_ok(await findings(store)) == []
            await store.append([rec(name, last + 1) for name, last in lasts.items()])
