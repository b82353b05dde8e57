"""A store at work, for ``strace`` to watch: ``python -m tests.crash.recorded PATH DURABILITY``.

Says on standard output what is stored, by a line after each step that has returned.
"""

import asyncio
import os
import sys
from pathlib import Path

from crdtsync.store import Checkpoint, Record, SQLiteStore
from tests.crash.victim import SMALL, Plan

__all__ = ["DOCUMENTS", "ROUNDS", "state_of", "update_of"]

DOCUMENTS = ("a", "b", "c")
ROUNDS = 60


def update_of(document: str, sequence: int) -> bytes:
    """Return a record's update, of a length that varies from a few bytes to several pages."""
    return f"{document}{sequence} ".encode() * (1 + 37 * sequence % 400 * (sequence % 5 == 0))


def state_of(document: str, sequence: int) -> bytes:
    """Return a checkpoint's state."""
    return f"all of {document} up to {sequence}; ".encode() * 200


async def work(path: Path, *, lasting: bool) -> None:
    """Append, settle, and write checkpoints."""
    store = SQLiteStore(path, durability="fsync" if lasting else "os")
    async with store:
        for sequence in range(1, ROUNDS + 1):
            await store.append(
                [
                    Record(name, sequence, sequence, "ann", update_of(name, sequence))
                    for name in "abc"
                ]
            )
            say(f"stored {sequence}")
            if sequence % 13 == 0:
                name = DOCUMENTS[sequence % 3]
                await store.checkpoint(
                    Checkpoint(name, sequence - 2, sequence, state_of(name, sequence - 2))
                )
                say(f"checkpoint {name} {sequence - 2}")
        say("end")


def say(text: str) -> None:
    """Print a line in one write, where the trace shows it."""
    os.write(1, f"{text}\n".encode())


if __name__ == "__main__":
    Plan(tune=SMALL).apply()
    asyncio.run(work(Path(sys.argv[1]), lasting=sys.argv[2] == "fsync"))
