"""Named steps of a store's work at which a process kills itself, and how it is made to.

A step is a statement of SQLite or a call of the operating system that the store makes, by what it
is done to. ``arm`` wraps both in this process; at the n-th time the whole process group ends with
SIGKILL: before the step, behind it, or with half of a write written.
"""

import os
import re
import signal
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

__all__ = ["FILE", "HISTORY", "SQLITE", "STEPS", "Step", "When", "arm", "record"]

Kind = Literal["sqlite", "file"]
When = Literal["before", "after", "half"]

CALLS = ("fdatasync", "fsync", "ftruncate", "mkdir", "rename", "replace", "unlink", "write")
"""What the file store asks of ``os`` that changes something."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step, and when to die at it."""

    name: str
    call: str
    """``sql``, or the name of a function of ``os``."""
    match: str
    """A pattern that the statement, or the path, matches."""
    most: int = 4
    """How often it happens in a short life, about: where dice choose, up to this."""
    nth: int = 1
    when: When = "before"

    def __str__(self) -> str:
        return f"{self.when} {self.name} ({self.call}, time {self.nth})"

    def to_json(self) -> dict[str, Any]:
        """Return what ``Step(**...)`` takes."""
        return asdict(self)


HISTORY = (
    Step("a history is folded", "sql", r"INSERT INTO parts", 12),
    Step("a history is written", "sql", r"UPDATE histories SET incarnation", 8),
    Step("the end of a transaction", "sql", r"COMMIT", 30),
)
"""What is done before a checkpoint, whatever the store."""
SQLITE = (
    Step("a commit", "sql", r"INSERT INTO tail", 60),
    Step("a new document's row", "sql", r"INSERT INTO documents", 4),
    Step("the end of a transaction", "sql", r"COMMIT", 12),
    Step("settling", "sql", r"INSERT OR IGNORE INTO log", 6),
    Step("emptying the tail", "sql", r"DELETE FROM tail WHERE id", 6),
    Step("writing a checkpoint", "sql", r"INSERT INTO checkpoints", 12),
    Step("dropping the older checkpoint", "sql", r"DELETE FROM checkpoints", 12),
    Step("dropping what a checkpoint stands for", "sql", r"DELETE FROM (log|tail) WHERE doc", 24),
    *HISTORY[:2],
)
FILE = (
    Step("a commit", "write", r"journal-\d+", 60),
    Step("a commit's sync", "fdatasync", r"journal-\d+", 60),
    Step("beginning a journal", "fsync", r"store$", 4),
    Step("retiring a journal", "unlink", r"journal-\d+", 3),
    Step("writing a document's file", "write", r"/documents/", 20),
    Step("syncing a document's file", "fdatasync", r"/documents/", 20),
    Step("cutting a document's file", "ftruncate", r"/documents/", 6),
    Step("naming a document's file", "replace", r"/documents/", 12),
    Step("syncing the folder", "fsync", r"/documents$", 12),
    *HISTORY,
)
STEPS: dict[Kind, tuple[Step, ...]] = {"sqlite": SQLITE, "file": FILE}

_Seen = Callable[[str, str, When], None]


def die() -> None:
    """End this process and all that it started, at once."""
    os.killpg(0, signal.SIGKILL)


def arm(step: Step) -> None:
    """Have this process end at a step."""
    pattern = re.compile(step.match)
    lock = threading.Lock()
    count = 0

    def seen(call: str, what: str, when: When) -> None:
        nonlocal count
        if call != step.call or when != step.when or not pattern.search(what):
            return
        with lock:
            count += 1
            if count == step.nth:
                die()

    _watch(seen, halves=step.when == "half")


def record(path: str) -> None:
    """Write each step that this process takes to a file, a line each: its call and its object."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    write = os.write

    def seen(call: str, what: str, when: When) -> None:
        if when == "before":
            write(descriptor, f"{call} {' '.join(what.split())}\n".encode())

    _watch(seen, halves=False)


def _watch(seen: _Seen, *, halves: bool) -> None:
    class Watched(sqlite3.Connection):
        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
            seen("sql", sql, "before")
            result = super().execute(sql, *args)
            seen("sql", sql, "after")
            return result

    connect: Any = sqlite3.connect

    def watched_connect(*args: Any, **options: Any) -> Any:
        return connect(*args, **{"factory": Watched, **options})

    sqlite3.connect = watched_connect
    for name in CALLS:
        setattr(os, name, partial(_call, seen, name, getattr(os, name), halves))


def _call(
    seen: _Seen, name: str, call: Callable[..., Any], halves: bool, *args: Any, **options: Any
) -> Any:
    if not threading.current_thread().name.startswith("crdtsync-store"):
        return call(*args, **options)
    what = args[0]
    what = os.readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else str(what)
    if name == "write" and halves:
        data = args[1]
        call(args[0], data[: len(data) // 2])
        seen(name, what, "half")
        return call(args[0], data[len(data) // 2 :]) + len(data) // 2
    seen(name, what, "before")
    result = call(*args, **options)
    seen(name, what, "after")
    return result
