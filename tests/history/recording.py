"""A hub that keeps history, and what its documents were."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pycrdt

from crdtsync.clock import Clock
from crdtsync.gate import Principal
from crdtsync.history.base import HistoryStore
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.past import Past
from crdtsync.history.retention import HistoryRules
from crdtsync.history.service import Histories
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.store.base import Store
from crdtsync.store.memory import MemoryStore
from tests.unit.engine import FAST, Client, join, until

__all__ = ["ANN", "BOB", "checkpointed", "moments", "past_of", "recorded", "text_at", "typed"]

ANN = Principal(id="ann", name="Ann")
BOB = Principal(id="bob", name="Bob")


@asynccontextmanager
async def recorded(
    store: Store | None = None,
    folder: Path | None = None,
    *,
    kept: HistoryStore | None = None,
    clock: Clock | None = None,
    limits: Limits = FAST,
    rules: HistoryRules | None = None,
) -> AsyncIterator[tuple[Hub, Histories]]:
    """Open a hub with history."""
    store = store or MemoryStore()
    histories = Histories(
        store, kept or HistoryDatabase(folder), rules=rules, limits=limits, clock=clock
    )
    async with Hub(store, limits=limits, clock=clock, history=histories) as hub:
        yield hub, histories


async def typed(hub: Hub, *words: str, name: str = "doc", who: Principal = ANN) -> Client:
    """Have somebody type words, each committed by itself; return the client."""
    client = await join(hub, name, principal=who)
    room = hub.rooms[name]
    for word in words:
        before = room.committed_sequence
        client.type(word)
        await until(lambda: room.committed_sequence > before)  # noqa: B023 - awaited here
    return client


async def checkpointed(hub: Hub, name: str = "doc") -> bool:
    """Try a checkpoint of an open document; return whether its log is empty then."""
    return await hub.housekeeping.checkpoint(hub.rooms[name])


async def past_of(histories: Histories, name: str = "doc") -> Past:
    return Past.open(*await histories.inputs(name))


async def text_at(histories: Histories, sequence: int, name: str = "doc") -> str:
    """Return the text as it was at a moment."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update((await past_of(histories, name)).update_at(sequence))
    return str(doc.get("text", type=pycrdt.Text))


async def moments(histories: Histories, name: str = "doc") -> list[int]:
    """Return the sequences of all moments that are kept."""
    return [sequence for sequence, _ in (await past_of(histories, name)).timeline.moments()]
