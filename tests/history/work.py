"""What workers are asked in tests."""

import os
import time

from crdtsync.history.model import HistoryDamaged, UnknownMoment


def process() -> tuple[int, int]:
    """Return the process's id, and its niceness."""
    return os.getpid(), os.nice(0)


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
