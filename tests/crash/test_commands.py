"""Commands that change a store, killed at each of their steps: done or not done, never half."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pycrdt
import pytest

from crdtsync.store import Record, Store, open_store, sqlite_schema
from tests.crash.changes import CHANGES
from tests.crash.nursery import Nursery, Victim
from tests.crash.steps import CALLS, Kind, Step
from tests.crash.victim import Plan

DOCUMENTS = ("first", "second", "third")
TOGETHER = 3
"""Victims that run at once."""

Contents = dict[str, tuple[bytes, ...]]
"""The updates of each document."""


def update(number: int) -> bytes:
    """Return a small update, another one for each number."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=number)
    doc["text"] = pycrdt.Text(f"edit {number} " * 3)
    return doc.get_update()


def url(kind: Kind, folder: Path) -> str:
    """Return the store in a folder, as ``--store`` takes it."""
    return f"{kind}:{folder / 'store'}"


def fill(kind: Kind, folder: Path) -> None:
    """Make a store with three documents, and copy it as a kill leaves it: nothing is settled."""
    folder.mkdir()
    scratch = folder.with_name(f"{folder.name}-scratch")
    scratch.mkdir()
    asyncio.run(_fill(kind, scratch, folder))
    shutil.rmtree(scratch)


async def _fill(kind: Kind, scratch: Path, folder: Path) -> None:
    async with open_store(url(kind, scratch), durability="os") as store:
        for sequence in range(1, 6):
            await store.append(
                [
                    Record(name, sequence, sequence, "ann", update(100 * place + sequence))
                    for place, name in enumerate(DOCUMENTS, 1)
                ]
            )
        await asyncio.to_thread(copy, scratch, folder)


def copy(scratch: Path, folder: Path) -> None:
    """Copy a store that is open: what a kill at this moment would leave."""
    for path in scratch.iterdir():
        if path.is_dir():
            shutil.copytree(path, folder / path.name)
        elif not path.name.endswith("-shm"):
            shutil.copy(path, folder / path.name)


async def contents(kind: Kind, folder: Path, *, read_only: bool = True) -> Contents:
    """Return what a store holds, which has to be sound."""
    async with open_store(url(kind, folder), durability="os", read_only=read_only) as store:
        await sound(store)
        found: Contents = {}
        for info in await store.documents():
            loaded = await store.load(info.name)
            assert loaded.checkpoint is None
            assert [record.sequence for record in loaded.records] == list(
                range(1, len(loaded.records) + 1)
            )
            found[info.name] = tuple(record.update for record in loaded.records)
        return found


async def sound(store: Store) -> None:
    """Assert that a check of the store finds no error."""
    wrong = [finding async for finding in store.check() if finding.level == "error"]
    assert wrong == []


@dataclass(frozen=True, slots=True)
class Trial:
    """One command, killed at each step that it takes."""

    nursery: Nursery
    kind: Kind
    folder: Path
    """Holds ``before``, the store that each run begins with."""
    arguments: tuple[str, ...]
    changes: tuple[str, ...] = ()

    def start(self, name: str, plan: Plan) -> Victim:
        """Run the command on a copy of the store."""
        copy = self.folder / name
        shutil.copytree(self.folder / "before", copy)
        arguments = (*self.arguments, "--store", url(self.kind, copy))
        return self.nursery.start(*arguments, plan=plan, cwd=self.folder)

    def steps(self) -> list[Step]:
        """Return every step that changes something, by running the command once to its end."""
        path = self.folder / "steps"
        victim = self.start("after", Plan(record=str(path), changes=self.changes))
        if self.arguments[0] == "serve":
            assert victim.port() is not None, victim.error
            recorded = path.read_text("utf-8")  # without what stopping takes
            victim.kill()
        else:
            assert victim.wait() in (0, 1), victim.error
            recorded = path.read_text("utf-8")
        counts = dict.fromkeys(("sql", *CALLS), 0)
        found: list[Step] = []
        for line in recorded.splitlines():
            call, _, what = line.partition(" ")
            counts[call] += 1
            if call == "sql" and what.upper().startswith(("SELECT", "PRAGMA TR", "PRAGMA CELL")):
                continue
            found.append(Step(what[:60], call, "", nth=counts[call]))
            if call == "write":
                found.append(Step(what[:60], call, "", nth=counts[call], when="half"))
        return found

    def kill_at_each(self, look: Callable[[Path, Step], None], *, share: int = 1) -> int:
        """Kill the command at every ``share``-th step, and look at what is left each time."""
        steps = self.steps()[::share]
        for start in range(0, len(steps), TOGETHER):
            group = [
                (step, f"{number}", self.start(f"{number}", self._plan(step)))
                for number, step in enumerate(steps[start : start + TOGETHER], start)
            ]
            for step, name, victim in group:
                assert victim.wait() == -9, f"not killed {step}: {victim.out} {victim.error}"
                look(self.folder / name, step)
                shutil.rmtree(self.folder / name)
        return len(steps)

    def _plan(self, step: Step) -> Plan:
        return Plan(step=step, changes=self.changes)


def test_delete(nursery: Nursery, kind: Kind, tmp_path: Path) -> None:
    """A deletion that is killed has happened or not, and can be done again; others are whole."""
    fill(kind, tmp_path / "before")
    whole = asyncio.run(contents(kind, tmp_path / "before"))
    rest = {name: updates for name, updates in whole.items() if name != "second"}
    outcomes: list[bool] = []

    def look(folder: Path, step: Step) -> None:
        left = asyncio.run(contents(kind, folder))
        assert left in (whole, rest), step
        outcomes.append(left == rest)
        assert asyncio.run(contents(kind, folder, read_only=False)) == left, step

    trial = Trial(nursery, kind, tmp_path, ("documents", "delete", "second", "--yes"))
    assert trial.kill_at_each(look) > 5
    assert asyncio.run(contents(kind, tmp_path / "after")) == rest
    assert outcomes == sorted(outcomes)  # at one moment, for good
    assert {True, False} == set(outcomes)


def test_half_a_deletion_is_found(nursery: Nursery, tmp_path: Path) -> None:
    """Without transactions the same test fails: a document is left that is neither."""
    fill("sqlite", tmp_path / "before")
    whole = asyncio.run(contents("sqlite", tmp_path / "before"))
    left: list[Contents] = []

    def look(folder: Path, step: Step) -> None:
        left.append(asyncio.run(contents("sqlite", folder)))

    trial = Trial(
        nursery,
        "sqlite",
        tmp_path,
        ("documents", "delete", "second", "--yes"),
        changes=("without_transactions",),
    )
    trial.kill_at_each(look)
    assert any(found.get("second") == () for found in left)
    assert left[0] == whole


def test_import(nursery: Nursery, kind: Kind, tmp_path: Path) -> None:
    """An import that is killed has added all of the document, or nothing."""
    fill(kind, tmp_path / "before")
    whole = asyncio.run(contents(kind, tmp_path / "before"))
    (tmp_path / "new.bin").write_bytes(update(999))

    def look(folder: Path, step: Step) -> None:
        left = asyncio.run(contents(kind, folder))
        new = left.pop("new", None)
        assert new in (None, (update(999),)), step
        assert left == whole, step
        again = asyncio.run(contents(kind, folder, read_only=False))
        assert again.pop("new", None) == new
        assert again == whole

    trial = Trial(nursery, kind, tmp_path, ("documents", "import", "new", "new.bin"))
    assert trial.kill_at_each(look, share=2) > 5
    assert "new" in asyncio.run(contents(kind, tmp_path / "after"))


def damage(kind: Kind, folder: Path) -> None:
    """Change a byte in the third record of the second document."""
    third = update(203)
    if kind == "sqlite":
        db = sqlite3.connect(folder / "store")
        changed = db.execute(
            'UPDATE log SET "update" = ? WHERE "update" = ?', (b"?" + third[1:], third)
        )
        assert changed.rowcount == 1
        db.commit()
        db.close()
        return
    (path,) = (folder / "store" / "documents").glob("second*")
    data = path.read_bytes()
    assert data.count(third) == 1
    path.write_bytes(data.replace(third, b"?" + third[1:]))


async def repair(kind: Kind, folder: Path) -> None:
    """Repair a store."""
    async with open_store(url(kind, folder), durability="os") as store:
        async for _ in store.check(repair=True):
            pass


def kept_aside(kind: Kind, folder: Path) -> bytes:
    """Return everything that repairs have kept."""
    if kind == "file":
        paths = folder.rglob("*.damaged-*")
        return b"".join(path.read_bytes() for path in paths if path.is_file())
    db = sqlite3.connect(f"file:{folder / 'store'}?mode=ro", uri=True)
    rows = db.execute("SELECT content FROM damaged").fetchall()
    db.close()
    return b"".join(content for (content,) in rows)


def test_repair(nursery: Nursery, kind: Kind, tmp_path: Path) -> None:
    """A repair that is killed loses nothing, and a second one ends it: what is cut off is kept."""
    before = tmp_path / "before"
    fill(kind, before)
    whole = asyncio.run(contents(kind, before, read_only=False))  # settled, now
    damage(kind, before)
    repaired = {name: updates[: 2 if name == "second" else 5] for name, updates in whole.items()}

    def look(folder: Path, step: Step) -> None:
        asyncio.run(repair(kind, folder))
        assert asyncio.run(contents(kind, folder)) == repaired, step
        kept = kept_aside(kind, folder)
        assert all(part in kept for part in (update(203)[1:], update(204), update(205))), step

    trial = Trial(nursery, kind, tmp_path, ("check", "--repair"))
    assert trial.kill_at_each(look) > 3


def schema(path: Path) -> Sequence[Any]:
    """Return a database's version and its tables."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    (version,) = db.execute("PRAGMA user_version").fetchone()
    tables = sorted(name for (name,) in db.execute("SELECT name FROM sqlite_master"))
    db.close()
    return version, tables


def test_creation(nursery: Nursery, kind: Kind, tmp_path: Path) -> None:
    """A server killed while it makes its store leaves one that the next start completes."""
    (tmp_path / "before").mkdir()

    def look(folder: Path, step: Step) -> None:
        assert asyncio.run(contents(kind, folder, read_only=False)) == {}, step
        if kind == "sqlite":
            assert schema(folder / "store") == schema(tmp_path / "after" / "store")

    trial = Trial(nursery, kind, tmp_path, ("serve", "--host", "127.0.0.1", "--port", "0"))
    assert trial.kill_at_each(look, share=2) > 3


def migrate_and_die(nursery: Nursery, folder: Path, *changes: str) -> None:
    """Kill a migration at each of its steps; the next start has to end it with all that was."""
    fill("sqlite", folder / "before")
    whole = asyncio.run(contents("sqlite", folder / "before"))
    CHANGES["second_migration"]()
    versions: list[int] = []

    def look(copy: Path, step: Step) -> None:
        version, tables = schema(copy / "store")
        assert ("notes" in tables, "next" in tables) == (version == 2, False), step
        versions.append(version)
        assert asyncio.run(contents("sqlite", copy, read_only=False)) == whole, step
        assert schema(copy / "store") == schema(folder / "after" / "store")

    trial = Trial(
        nursery,
        "sqlite",
        folder,
        ("serve", "--host", "127.0.0.1", "--port", "0"),
        changes=changes,
    )
    assert trial.kill_at_each(look) > 10
    assert set(versions) == {1, 2}
    assert versions == sorted(versions)


def test_migration(nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database killed within a migration has the old schema or the new one, and all its data."""
    monkeypatch.setattr(sqlite_schema, "MIGRATIONS", sqlite_schema.MIGRATIONS)
    migrate_and_die(nursery, tmp_path, "second_migration")


def test_a_migration_in_pieces_is_found(
    nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the transaction around a migration the same test fails."""
    monkeypatch.setattr(sqlite_schema, "MIGRATIONS", sqlite_schema.MIGRATIONS)
    with pytest.raises(AssertionError, match=r"CREATE TABLE next|UPDATE log|DELETE FROM log"):
        migrate_and_die(nursery, tmp_path, "second_migration_in_pieces")
