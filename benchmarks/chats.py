"""A chat in which a great deal was said, made ahead of the measurement.

Everything goes through a hub's real archiving, shedding and checkpoints, on a clock that is moved
from message to message; it takes a minute, so the store is kept in benchmarks/.cache.
"""

import os
import random
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio
import pycrdt

from benchmarks.edits import CACHE
from benchmarks.serving import STORE
from crdtsync.channels.hand import submit
from crdtsync.channels.model import Message, message_id
from crdtsync.channels.names import CHAT
from crdtsync.channels.rules import ChannelRules
from crdtsync.channels.service import Channels
from crdtsync.clock import ManualClock
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.store.sqlite import SQLiteStore

__all__ = ["ROOM", "Past", "prepared", "session"]

ROOM: Final = "rooms/general"
DAY_MS: Final = 86_400_000
_TEXT: Final = "Something of the length that people write to one another."
_SAID_AT_ONCE: Final = 50
"""Messages of one commit."""


@dataclass(frozen=True, slots=True)
class Past:
    """What was said: so many messages in so many days up to now, by people in sessions."""

    name: str
    messages: int
    days: float
    people: int = 100
    session: int = 20
    """Messages that one client says before it is another one: a page that is loaded anew."""
    lasting: bool = True
    """Whether the store is good for later days, too."""

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        day = "" if self.lasting else f"-{time.time_ns() // 1_000_000 // DAY_MS}"
        return CACHE / f"chat-{self.name}-{self.messages}{day}"


def session(author: str, client: int, times: list[int], texts: list[str]) -> list[bytes]:
    """Return the updates by which one client says things at some times."""
    updates: list[bytes] = []
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=client)
    said = doc.get(CHAT, type=pycrdt.Map)
    subscription = doc.observe(lambda event: updates.append(event.update))
    for time_ms, text in zip(times, texts, strict=True):
        id = message_id(time_ms)
        said[id] = Message(id=id, author=author, text=text, time_ms=time_ms).value()
    doc.unobserve(subscription)
    return updates


def _said(past: Past, now_ms: int) -> Iterator[tuple[int, str, bytes]]:
    """Iterate over all messages, the earliest first: time, author, update.

    So many people as are there take turns; each time they come, they come as new clients.
    """
    dice = random.Random(1)
    step_ms = past.days * DAY_MS / past.messages
    start_ms = now_ms - past.days * DAY_MS
    crowd = past.people * past.session
    for first in range(0, past.messages, crowd):
        indexes = range(first, min(first + crowd, past.messages))
        turns = [dice.randrange(past.people) for _ in indexes]
        times = [int(start_ms + step_ms * (index + 1)) for index in indexes]
        updates: dict[int, Iterator[bytes]] = {}
        for person in set(turns):
            own = [at for at, turn in zip(times, turns, strict=True) if turn == person]
            client = dice.randrange(1 << 31, 1 << 32)
            updates[person] = iter(session(f"person-{person}", client, own, [_TEXT] * len(own)))
        for time_ms, person in zip(times, turns, strict=True):
            yield time_ms, f"person-{person}", next(updates[person])


async def _write(past: Past, folder: Path) -> None:
    now_ms = time.time_ns() // 1_000_000
    start_ms = int(now_ms - past.days * DAY_MS)
    clock = ManualClock(time_ms=start_ms)
    channels = Channels(ChannelRules(chat=("*",)))
    async with Hub(SQLiteStore(folder / STORE), clock=clock, channels=channels) as hub:
        async with hub.open(ROOM) as room:
            for number, (time_ms, author, update) in enumerate(_said(past, now_ms)):
                clock.advance((time_ms - clock.time_ms()) / 1000)
                if number % _SAID_AT_ONCE == 0:
                    await hub.committed(room)
                    while channels.archiving.busy:
                        await anyio.lowlevel.checkpoint()
                submit(room, update, Principal(id=author))
            await hub.committed(room)
            while channels.archiving.busy:
                await anyio.lowlevel.checkpoint()
        clock.advance(3600)  # the last checkpoint sheds what there is to shed


def prepared(past: Past, folder: Path) -> None:
    """Put a store that has the chat into an empty folder."""
    kept = past.folder
    if not kept.exists():
        partial = kept.with_suffix(".tmp")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        print(f"{past.name}: writing {past.messages:,} messages", file=sys.stderr, flush=True)
        anyio.run(_write, past, partial)
        partial.rename(kept)
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    os.sync()  # or the disk writes it while the server waits for its own
