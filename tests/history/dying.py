"""A server that is killed at a step of a restore: ``python -m tests.history.dying FOLDER STEP``."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import pycrdt

from crdtsync.gate import Principal
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.entering import LiveEdits
from crdtsync.history.restorer import Restorer
from crdtsync.history.service import Histories
from crdtsync.hub import Hub
from crdtsync.store.sqlite import SQLiteStore

__all__ = ["STEPS", "opened", "typed"]

STEPS = ("check", "apart", "create", "enter")
"""What is done for the last time, one after the other."""

ANN = Principal(id="ann")


def opened(folder: Path) -> tuple[Hub, Histories]:
    """Return a hub with history, to be entered."""
    store = SQLiteStore(folder / "store.db")
    histories = Histories(store, HistoryDatabase(folder))
    return Hub(store, history=histories), histories


async def typed(hub: Hub, *words: str) -> None:
    """Have somebody type words into a document, each one an edit."""
    doc = pycrdt.Doc[pycrdt.Text]()
    text = doc.get("text", type=pycrdt.Text)
    for word in words:
        before = doc.get_state()
        text += word
        await hub.edit("doc", doc.get_update(before), ANN)


async def _main(folder: Path, step: str) -> None:
    hub, histories = opened(folder)
    async with hub:
        await typed(hub, "one ", "two ")
        edits = LiveEdits(hub)
        owner: Any = edits if step in ("check", "enter") else histories
        real = getattr(owner, step)

        async def last(*args: Any, **options: Any) -> None:
            await real(*args, **options)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(owner, step, last)
        await Restorer(histories, edits).restore("doc", "s1", principal=ANN)


if __name__ == "__main__":
    anyio.run(_main, Path(sys.argv[1]), sys.argv[2])
