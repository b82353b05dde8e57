"""The server killed while it writes histories: no record is missing there, and none is twice."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from crdtsync.guarding import guard_folder
from crdtsync.history import tables
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.past import Past
from crdtsync.history.proving import same_document
from crdtsync.history.service import Histories
from crdtsync.store import open_store
from tests.crash.life import Life
from tests.crash.nursery import Nursery
from tests.crash.steps import FILE, HISTORY, SQLITE, Kind, Step

ROUNDS = 8


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("nursery")) as nursery:
        yield nursery


CHECKPOINT: dict[Kind, tuple[Step, ...]] = {"sqlite": (SQLITE[5], SQLITE[7]), "file": (FILE[7],)}
"""Where a checkpoint takes the log's place: the history is written by then."""


@pytest.mark.parametrize("kind", ["sqlite", "file"])
def test_nothing_is_lost_or_doubled(nursery: Nursery, tmp_path: Path, kind: Kind) -> None:
    """Killed at each step between folding and the end of a checkpoint, history has every record."""
    steps = (*HISTORY, *CHECKPOINT[kind])
    life = Life(kind, tmp_path / "life", nursery, seed=5, steps=steps)
    asyncio.run(life.rounds(ROUNDS))
    killed = life.tally.kills
    assert sum(killed[step.name] for step in steps) >= ROUNDS // 2, killed
    records = asyncio.run(_verify(life.url))
    assert records > 100


def test_a_defect_is_found(nursery: Nursery, tmp_path: Path) -> None:
    """A server that drops the log before the history has it is found."""
    life = Life("sqlite", tmp_path / "life", nursery, seed=5, changes=("history_left_out",))
    asyncio.run(life.rounds(2))
    with pytest.raises(AssertionError):
        asyncio.run(_verify(life.url))


async def _verify(url: str) -> int:
    """Compare each document with its history; return the number of records."""
    count = folded = 0
    folder = guard_folder(url)
    assert folder is not None
    store = open_store(url, read_only=True)
    async with store, Histories(store, HistoryDatabase(folder, insist=True)) as histories:
        for info in await store.documents():
            inputs = await histories.inputs(info.name)
            folded += 0 if inputs.stored is None else inputs.stored.sequence
            past = Past.open(*inputs)
            found = [sequence for sequence, _ in past.timeline.moments()]
            assert found == list(range(1, info.sequence + 1))
            loaded = await store.load(info.name)
            if loaded.checkpoint is not None:
                then = past.update_at(loaded.checkpoint.sequence)
                assert same_document(then, loaded.checkpoint.state)
            count += info.sequence
    connection = sqlite3.connect(folder / tables.FILE)
    aside = connection.execute("SELECT reason FROM histories WHERE aside_ms IS NOT NULL").fetchall()
    connection.close()
    assert aside == []
    assert folded > 0
    return count
