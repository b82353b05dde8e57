"""The file store on a disk whose syncs fail: the system forgets what it could not write."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from crdtsync.clock import ManualClock
from crdtsync.store.file_log import FileLog
from tests.simulation.faults import Faults
from tests.simulation.filesystem import DiskPath
from tests.simulation.kernel import Kernel
from tests.simulation.media import FileMedium
from tests.store.kit import rec


def opened() -> FileLog:
    """Return the file store's backend on the present disk."""
    log = FileLog(
        DiskPath("/store"),  # type: ignore[arg-type]
        url="file:/store",
        durability="fsync",
        read_only=False,
        clock=ManualClock(),
    )
    log.open()
    return log


@contextmanager
def disk(seed: int) -> Iterator[tuple[Faults, FileMedium]]:
    """A disk that the file store is on, without faults until a test makes some."""
    kernel = Kernel(seed)
    faults = Faults(kernel)
    faults.calm = True
    medium = FileMedium(faults, kernel)
    try:
        yield faults, medium
    finally:
        medium.close()


@pytest.mark.parametrize("seed", range(12))
def test_a_failed_sync_of_a_document_is_not_forgotten(seed: int) -> None:
    """What a sync has failed to write stays in the journal until another has written it."""
    with disk(seed) as (faults, medium):
        log = opened()
        sequence = 0

        def work(count: int) -> None:
            nonlocal sequence
            for _ in range(count):
                sequence += 1
                if log.append([rec("a", sequence), rec("b", sequence)]):
                    try:
                        log.settle()
                    except OSError:
                        pass

        work(40 + seed)
        faults.failing_syncs = lambda name: name.startswith("/store/documents/")
        work(80)
        faults.failing_syncs = lambda name: False
        work(80)
        medium.crash(power=True)
        medium.buried()
        log = opened()
        for name in ("a", "b"):
            loaded = log.load(name)
            assert loaded.damage is None
            assert [each.sequence for each in loaded.records] == list(range(1, sequence + 1))
        log.close()


def test_what_a_dead_process_wrote_is_synced_before_it_counts() -> None:
    """A restart takes nothing for settled that is only in the system's cache."""
    missing = 0
    for seed in range(40):
        with disk(seed) as (faults, medium):
            log = opened()
            last = 0
            for _ in range(5):
                log.settle()
                for _ in range(60):
                    last += 1
                    log.append([rec("a", last)])
            log.settle()
            for other in range(60):  # the newest journal has nothing of the first document
                log.append([rec("b", other + 1)])
            faults.steps_left = seed
            try:
                log.settle()
            except OSError:
                pass
            if not faults.dying:
                break
            medium.crash(power=False)
            faults.dying = False
            medium.buried()
            opened()
            medium.crash(power=True)
            medium.buried()
            log = opened()
            missing += last - len(log.load("a").records)
            log.close()
    assert seed > 5, "it died at some steps"
    assert not missing
