"""What a loss of power may leave of a SQLite store, worked out from the calls that it made.

``strace`` records every write and sync of a store at work. From that follow the disks that a loss
of power at any moment may leave: what was synced is there; of what was not, any part, in sectors.
Names of files are taken to last from the moment they are made.
"""

import asyncio
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from crdtsync.store import SQLiteStore
from crdtsync.store.base import Durability
from tests.crash.nursery import ROOT
from tests.crash.recorded import DOCUMENTS, ROUNDS, state_of, update_of
from tests.needs import program, require

SECTOR = 512
CALLS = "write,pwrite64,ftruncate,fdatasync,fsync,unlink"
LINE = re.compile(
    r'^\d+ +(\w+)\((?:\d+<([^>]*)>|"((?:\\x..)*)")(?:, (?:"((?:\\x..)*)"|(\d+)))?(.*)$'
)
RESUMED = re.compile(r"^\d+ +<\.\.\. (\w+) resumed>.*$")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the store's: what it does to which file."""

    name: str
    path: str
    data: bytes = b""
    number: int = 0
    """Where a write goes, or the size that a file is cut to."""


@dataclass(slots=True)
class File:
    """A file: what is on the medium, and what is on its way there."""

    kept: bytearray = field(default_factory=bytearray)
    waiting: list[Call] = field(default_factory=list)

    def sync(self) -> None:
        """Have everything on the medium."""
        for call in self.waiting:
            perform(self.kept, call)
        self.waiting.clear()

    def after_power_loss(self, dice: random.Random, share: float) -> bytes:
        """Return what may be found later: ``share`` of what was on its way, in sectors."""
        found = bytearray(self.kept)
        for call in self.waiting:
            if call.name == "ftruncate":
                if dice.random() < share:
                    perform(found, call)
                continue
            for start in range(0, len(call.data), SECTOR):
                if dice.random() < share:
                    part = call.data[start : start + SECTOR]
                    perform(found, Call("pwrite64", call.path, part, call.number + start))
        return bytes(found)


def perform(data: bytearray, call: Call) -> None:
    """Do to a file's bytes what a call does."""
    if call.name == "ftruncate":
        del data[call.number :]
        data.extend(bytes(call.number - len(data)))
        return
    if len(data) < call.number:
        data.extend(bytes(call.number - len(data)))
    data[call.number : call.number + len(call.data)] = call.data


def calls_in(trace: str) -> Iterator[Call]:
    """Read a trace: writes count from when they begin, syncs when they have returned."""
    syncing: dict[str, Call] = {}
    for line in trace.splitlines():
        thread = line.partition(" ")[0]
        if RESUMED.match(line):
            if thread in syncing and line.endswith("= 0"):
                yield syncing.pop(thread)
            continue
        match = LINE.match(line)
        if match is None:
            assert re.match(r"^\d+ +(\+\+\+|---)", line), line
            continue
        name, path, other, data, number, rest = match.groups()
        path = plain(path).decode() if path else plain(other or "").decode()
        if name in ("fsync", "fdatasync"):
            call = Call(name, path)
            if "unfinished" in rest:
                syncing[thread] = call
            else:
                assert rest.endswith("= 0"), line
                yield call
        elif name == "pwrite64":
            found = re.match(r"^, \d+, (\d+)", rest)
            assert found, line
            yield Call(name, path, plain(data or ""), int(found[1]))
        elif name == "ftruncate":
            yield Call(name, path, number=int(number))
        else:
            yield Call(name, path, plain(data or ""))


def plain(escaped: str) -> bytes:
    """Return the bytes of a string of ``\\\\x..``."""
    return bytes.fromhex(escaped.replace("\\x", ""))


def recorded(folder: Path, durability: Durability) -> list[Call]:
    """Run the store's work under ``strace``, and return its calls."""
    trace = folder / "trace"
    done = subprocess.run(
        [
            *(program("strace"), "-f", "-y", "-xx", "-s", "10000000"),
            *("-o", str(trace), "-e", CALLS),
            *(sys.executable, "-m", "tests.crash.recorded", str(folder / "store"), durability),
        ],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    require("ptrace" not in done.stderr.decode(), "strace may not trace here")
    assert done.returncode == 0, done.stderr
    return list(calls_in(trace.read_text("ascii")))


async def look(path: Path, stored: int, point: dict[str, int]) -> None:
    """Assert that a store holds everything up to ``stored``, and nothing that is damaged."""
    async with SQLiteStore(path, durability="os") as store:
        wrong = [finding async for finding in store.check() if finding.level != "ok"]
        assert wrong == []
        for name in DOCUMENTS:
            loaded = await store.load(name)
            assert loaded.damage is None
            at = 0
            if loaded.checkpoint is not None:
                at = loaded.checkpoint.sequence
                assert loaded.checkpoint.state == state_of(name, at)
            assert at >= point.get(name, 0)
            last = at + len(loaded.records)
            assert last >= stored, f"{name!r} ends at {last}; {stored} was stored"
            for sequence, record in enumerate(loaded.records, at + 1):
                assert record.sequence == sequence
                assert record.update == update_of(name, sequence)


def lose_power(folder: Path, calls: list[Call], *, seed: int) -> int:
    """Cut the power some hundred times, and look at what is left; return how many times."""
    dice = random.Random(seed)
    files: dict[str, File] = {}
    stored, point, cuts, begun = 0, dict[str, int](), 0, False
    for call in calls:
        if call.name == "write" and not call.path.startswith(str(folder)):
            words = call.data.decode(errors="replace").split()
            match words:
                case ["stored", number]:
                    stored, begun = int(number), True
                case ["checkpoint", name, number]:
                    point[name] = int(number)
                case _:
                    pass
            continue
        file = files.setdefault(call.path, File())
        match call.name:
            case "fsync" | "fdatasync":
                file.sync()
            case "pwrite64" | "ftruncate":
                file.waiting.append(call)
            case "unlink":
                del files[call.path]
        if begun and dice.random() < 0.22:
            cuts += 1
            image = folder / f"cut-{cuts}"
            image.mkdir()
            share = dice.choice((0.0, 0.5, 0.9, 1.0))
            for name in ("store", "store-wal"):
                left = files.get(str(folder / name))
                if left is not None:
                    (image / name).write_bytes(left.after_power_loss(dice, share))
            asyncio.run(look(image / "store", stored, point))
            shutil.rmtree(image)
    assert stored == ROUNDS
    assert point
    return cuts


def test_synced_commits_outlive_the_power(tmp_path: Path) -> None:
    """With ``fsync`` every commit that has returned is there, and the database is sound."""
    calls = recorded(tmp_path, "fsync")
    assert sum(call.name in ("fdatasync", "fsync") for call in calls) >= ROUNDS
    assert lose_power(tmp_path, calls, seed=1) > 40


def test_unsynced_commits_do_not(tmp_path: Path) -> None:
    """With ``os`` the same test finds commits that have returned and are gone."""
    calls = recorded(tmp_path, "os")
    with pytest.raises(AssertionError, match="was stored"):
        lose_power(tmp_path, calls, seed=1)
