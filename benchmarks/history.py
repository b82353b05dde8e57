"""What version history takes: ``python -m benchmarks.history TRACE [--rounds N]``.

The trace's document, recorded keystroke by keystroke with every moment kept, a checkpoint every
2,000 records as a server makes them, and 1,000 versions. Then, through ``Histories`` as REST and
the command line ask it (a SQLite store on disk, the work in worker processes): the space, and how
long it takes to list versions, to open one, to see who wrote what, to compare two, to restore one.
"""

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import click

from benchmarks.edits import load_trace
from crdtsync.crdt import Replica
from crdtsync.gate import Principal
from crdtsync.guard import NO_WATCH
from crdtsync.history.base import NewVersion
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.service import Histories
from crdtsync.hub import Hub
from crdtsync.store.base import Checkpoint, Record
from crdtsync.store.sqlite import SQLiteStore

DOCUMENT = "paper"
VERSIONS = 1_000
RECORDS_PER_CHECKPOINT = 2_000
PAUSES_MS = (80, 120, 150, 200, 330)
START_MS = 1_700_000_000_000
AUTHOR = Principal(id="ada", name="Ada")


async def _record(histories: Histories, updates: list[bytes]) -> tuple[int, float]:
    """Write the history; return the collected state's size and the seconds of all folds."""
    random.seed(1)
    store, replica, time_ms, folding_s = histories.store, Replica(), START_MS, 0.0
    state = b""
    info = None
    for start in range(0, len(updates), RECORDS_PER_CHECKPOINT):
        chunk = updates[start : start + RECORDS_PER_CHECKPOINT]
        records = []
        for sequence, update in enumerate(chunk, start + 1):
            time_ms += random.choice(PAUSES_MS) + random.randrange(100)
            records.append(Record(DOCUMENT, sequence, time_ms, AUTHOR.id, update))
        await store.append(records)
        info = info or await store.info(DOCUMENT)
        assert info is not None
        every = len(updates) / VERSIONS
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
                if int(record.sequence / every) != int((record.sequence - 1) / every)
            ]
        )
        replica.apply(chunk)
        state = replica.state()
        checkpoint = Checkpoint(DOCUMENT, records[-1].sequence, time_ms, state)
        begun_s = time.perf_counter()
        if not await histories.recorder.fold(checkpoint, verbatim=False, watch=NO_WATCH):
            sys.exit("a fold failed")
        folding_s += time.perf_counter() - begun_s
        await store.checkpoint(checkpoint)
    return len(state), folding_s


async def _timed(call: Callable[[], Awaitable[object]], rounds: int) -> str:
    took: list[float] = []
    for _ in range(rounds):
        begun_s = time.perf_counter()
        await call()
        took.append((time.perf_counter() - begun_s) * 1000)
    median, most = statistics.median(took), max(took)
    return f"{median:8.1f} ms   (least {min(took):.1f}, most {most:.1f})"


async def _measure(trace: Path, rounds: int, folder: Path) -> None:
    updates = load_trace(trace).updates
    path = folder / "store.db"
    store = SQLiteStore(path)
    histories = Histories(store, HistoryDatabase(folder))
    random.seed(2)
    async with Hub(store, history=histories):
        size, folding_s = await _record(histories, updates)
        used = (await histories.kept.space()).used
        versions = await histories.versions(DOCUMENT, limit=VERSIONS)
        print(f"{len(updates):,} keystrokes, {len(versions):,} versions, every moment kept")
        print(f"collected state {size:,} bytes, history {used:,} bytes: {used / size:.2f}x")
        folds = len(updates) / RECORDS_PER_CHECKPOINT
        print(f"a fold of {RECORDS_PER_CHECKPOINT:,} keystrokes: {folding_s / folds * 1000:.0f} ms")

        def moment() -> str:
            return f"v{random.choice(versions).id}"

        async def restore() -> object:
            return await histories.restore(DOCUMENT, moment(), principal=AUTHOR)

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
            "restore a version": restore,
        }
        for name, call in cases.items():
            await call()  # a worker is there
            print(f"{name:32} {await _timed(call, rounds)}")


@click.command()
@click.argument("trace", type=click.Path(exists=True, path_type=Path))
@click.option("--rounds", default=15, show_default=True)
def main(trace: Path, rounds: int) -> None:
    """Measure version history on a recorded trace."""
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(_measure, trace, rounds, Path(folder))


if __name__ == "__main__":
    main()
