"""What version history takes: ``python -m benchmarks.history TRACE [--rounds N]``.

The trace's document, recorded keystroke by keystroke with every moment kept, a checkpoint every
2,000 records as a server makes them, and 1,000 versions. Then, through ``Histories`` as REST and
the command line ask it (a SQLite store on disk, the work in worker processes): the space, and how
long it takes to list versions, to open one, to see who wrote what, to compare two, to restore one.

A restore makes a document larger: what goes comes in again as something new. So it is measured
twice: the first one of a document that never had one, each time of a fresh copy, and one after
another in the same document, from some old version and back to the newest one.
"""

import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import click

from benchmarks.edits import load_trace
from crdtsync.crdt import Replica
from crdtsync.gate import Principal
from crdtsync.guard import NO_WATCH
from crdtsync.guarding import guard_folder
from crdtsync.history.base import NewVersion
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.model import Version
from crdtsync.history.service import Histories
from crdtsync.hub import Hub
from crdtsync.store.base import Checkpoint, Record
from crdtsync.store.sqlite import SQLiteStore

__all__ = ["DOCUMENT", "opened", "record"]

DOCUMENT = "paper"
VERSIONS = 1_000
RECORDS_PER_CHECKPOINT = 2_000
PAUSES_MS = (80, 120, 150, 200, 330)
START_MS = 1_700_000_000_000
AUTHOR = Principal(id="ada", name="Ada")


async def record(
    histories: Histories, updates: list[bytes], *, per_checkpoint: int = RECORDS_PER_CHECKPOINT
) -> tuple[int, list[float]]:
    """Write the history; return the collected state's size, and how long each fold took."""
    random.seed(1)
    store, replica, time_ms = histories.store, Replica(), START_MS
    folds_s: list[float] = []
    state = b""
    info = None
    for start in range(0, len(updates), per_checkpoint):
        chunk = updates[start : start + per_checkpoint]
        records = []
        for sequence, update in enumerate(chunk, start + 1):
            time_ms += random.choice(PAUSES_MS) + random.randrange(100)
            records.append(Record(DOCUMENT, sequence, time_ms, AUTHOR.id, update))
        await store.append(records)
        info = info or await store.info(DOCUMENT)
        assert info is not None
        await histories.kept.add_versions(
            [
                NewVersion(
                    document=DOCUMENT,
                    incarnation=info.created_ms,
                    sequence=record.sequence,
                    time_ms=record.time_ms,
                    kind="auto",
                )
                for record in records
                if record.sequence * VERSIONS % len(updates) < VERSIONS
            ]
        )
        replica.apply(chunk)
        state = replica.state()
        checkpoint = Checkpoint(DOCUMENT, records[-1].sequence, time_ms, state)
        begun_s = time.perf_counter()
        if not await histories.recorder.fold(checkpoint, verbatim=False, watch=NO_WATCH):
            sys.exit("a fold failed")
        folds_s.append(time.perf_counter() - begun_s)
        await store.checkpoint(checkpoint)
    return len(state), folds_s


class _Times:
    """How long something took, again and again."""

    def __init__(self) -> None:
        self._took: list[float] = []

    async def add(self, call: Callable[[], Awaitable[object]]) -> None:
        """Do it once."""
        begun_s = time.perf_counter()
        await call()
        self._took.append((time.perf_counter() - begun_s) * 1000)

    def show(self, name: str) -> None:
        """Print it."""
        median, least, most = statistics.median(self._took), min(self._took), max(self._took)
        print(f"{name:38} {median:8.1f} ms   (least {least:.1f}, most {most:.1f})", flush=True)


async def _read(histories: Histories, versions: Sequence[Version], rounds: int) -> None:
    """Measure what leaves the document as it is."""

    def moment() -> str:
        return f"v{random.choice(versions).id}"

    last = f"v{versions[0].id}"
    cases: dict[str, Callable[[], Awaitable[object]]] = {
        "list 50 versions": lambda: histories.versions(
            DOCUMENT, before=random.choice(versions[:-50]).id, limit=50
        ),
        "open a version (text)": lambda: histories.read(DOCUMENT, moment(), format="text"),
        "open a version (json)": lambda: histories.read(DOCUMENT, moment(), format="json"),
        "open a version (update)": lambda: histories.read(DOCUMENT, moment(), format="update"),
        "blame, the whole document": lambda: histories.blame(DOCUMENT, last),
        "compare two versions": lambda: histories.compare(DOCUMENT, moment(), moment()),
        "compare the first and the last": lambda: histories.compare(
            DOCUMENT, f"v{versions[-1].id}", last
        ),
        "activity, 50 sessions": lambda: histories.activity(DOCUMENT),
    }
    for name, call in cases.items():
        await call()  # a worker is there
        times = _Times()
        for _ in range(rounds):
            await times.add(call)
        times.show(name)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Histories]:
    """Open a store with histories beside it, as a server has them, and a hub of both."""
    path = folder / "documents.db"
    guard = guard_folder(f"sqlite:{path}")
    assert guard is not None
    guard.mkdir(parents=True, exist_ok=True)
    store = SQLiteStore(path)
    histories = Histories(store, HistoryDatabase(guard))
    async with Hub(store, history=histories):
        yield histories


async def _restore(folder: Path, versions: Sequence[Version], rounds: int) -> None:
    """Measure what makes it larger: in copies, and again and again in one."""
    first, copy = _Times(), folder.with_name("copy")
    newest, older = f"v{versions[0].id}", versions[len(versions) // 10 :]
    for number in range(rounds + 1):
        shutil.copytree(folder, copy)
        async with opened(copy) as histories:

            async def restore(moment: str, histories: Histories = histories) -> None:
                done = await histories.restore(DOCUMENT, moment, principal=AUTHOR)
                assert done.changed

            for _ in range(2):  # a worker is there, and knows what it needs
                await histories.read(DOCUMENT, newest, format="text")
            if number < rounds:
                await first.add(partial(restore, f"v{random.choice(older).id}"))
            else:
                again, back = _Times(), _Times()
                for _ in range(rounds):
                    await again.add(partial(restore, f"v{random.choice(older).id}"))
                    await back.add(partial(restore, newest))
        shutil.rmtree(copy)
    first.show("restore a version, the first time")
    again.show(f"restore a version, one of {2 * rounds}")
    back.show("and back to the newest")


async def _measure(trace: Path, rounds: int, folder: Path) -> None:
    updates = load_trace(trace).updates
    async with opened(folder) as histories:
        size, folds_s = await record(histories, updates)
        used = (await histories.kept.space()).used
        versions = await histories.versions(DOCUMENT, limit=VERSIONS)
        print(f"{len(updates):,} keystrokes, {len(versions):,} versions, every moment kept")
        print(f"collected state {size:,} bytes, history {used:,} bytes: {used / size:.2f}x")
        median, most = statistics.median(folds_s) * 1000, max(folds_s) * 1000
        print(f"a fold of {RECORDS_PER_CHECKPOINT:,} keystrokes: {median:.0f} ms, most {most:.0f}")
        random.seed(2)
        await _read(histories, versions, rounds)
    await _restore(folder, versions, rounds)


@click.command()
@click.argument("trace", type=click.Path(exists=True, path_type=Path))
@click.option("--rounds", default=15, show_default=True)
def main(trace: Path, rounds: int) -> None:
    """Measure version history on a recorded trace."""
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(_measure, trace, rounds, Path(folder) / "store")


if __name__ == "__main__":
    main()
