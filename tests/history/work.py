"""What workers are asked in tests."""

import os
import time

from crdtsync.history.model import HistoryDamaged, UnknownMoment


def process() -> tuple[int, int]:
    """Return the process's id, and its niceness."""
    return os.getpid(), os.nice(0)


def waits_its_turn() -> bool:
    """Whether the process runs only while nothing else wants its core."""
    return os.sched_getscheduler(0) == getattr(os, "SCHED_IDLE", None)


def sleep_if_it_waits(seconds: float) -> tuple[int, bool]:
    """Return who is at work and whether that one gives way, and hardly ever, if so."""
    if waits_its_turn():
        time.sleep(seconds)
    return os.getpid(), waits_its_turn()


def burn(core: int, seconds: float) -> bool:
    """Take so much of a core's time; return whether the process gives way."""
    os.sched_setaffinity(0, {core})
    until_s = time.process_time() + seconds
    while time.process_time() < until_s:
        pass
    return waits_its_turn()


def double(data: bytes) -> bytes:
    return data * 2


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def note_and_sleep(path: str, seconds: float) -> None:
    """Say who is at work, then be at it."""
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(seconds)


def die() -> None:
    os._exit(7)


def damaged() -> None:
    raise HistoryDamaged("no good", hint="look away")


def pruned() -> None:
    raise UnknownMoment("gone", pruned=True)


def fail() -> None:
    raise KeyError("a defect")


def unpicklable() -> object:
    return lambda: None
