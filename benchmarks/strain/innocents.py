"""The innocent: people that type in rooms of their own, and some in the offender's room."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from benchmarks import check
from benchmarks.check import Lost, Tally
from benchmarks.clients import Client, Inbox, Reader, TimedReader, Writer, join_all
from benchmarks.edits import FIRST_CLIENT, writers_edits
from benchmarks.load import Group
from benchmarks.servers import Kind, Server
from benchmarks.typists import Typist, latencies

__all__ = ["ROOM", "Innocents", "Wait"]

ROOM = "room"
"""The document that innocents and offenders share."""
OTHERS = 4
WRITERS = 2
KEYS_PER_S = 20
_CONVERGE_TIMEOUT_S = 60.0
_STEP_S = 0.05


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a keystroke took to its reader, in milliseconds."""

    p50_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, times: list[float]) -> Wait:
        """Sum up."""
        if len(times) < 2:
            raise Lost("no keystroke of the innocent arrived")
        cuts = statistics.quantiles(times, n=100)
        return cls(cuts[49] * 1e3, cuts[98] * 1e3, max(times) * 1e3)


class Innocents:
    """Two typists and a reader in each of some documents, the first one the offender's."""

    def __init__(
        self, kind: Kind, seconds: float, *, shared: bool = True, prefix: str = ""
    ) -> None:
        names = [f"{prefix}{ROOM}"] if shared else []
        names += [f"{prefix}other-{number}" for number in range(OTHERS)]
        keys = int(seconds * KEYS_PER_S)
        edits = writers_edits(len(names) * WRITERS, keys)
        inbox = Inbox()
        self.kind = kind
        self.groups: list[Group] = []
        for place, name in enumerate(names):
            numbers = range(place * WRITERS, (place + 1) * WRITERS)
            writers = [
                Writer(name, kind.dialect, inbox, FIRST_CLIENT + number, edits[number])
                for number in numbers
            ]
            reader = TimedReader(name, kind.dialect, inbox)
            self.groups.append(Group(name, writers, [reader], [Tally(reader)]))
        self.shared = self.groups[:1] if shared else []
        self.others = self.groups[1:] if shared else self.groups
        self.typists: dict[int, Typist] = {}

    @property
    def clients(self) -> list[Client]:
        """Everyone."""
        return [c for group in self.groups for c in (*group.writers, *group.readers)]

    async def join(self, server: Server) -> None:
        """Connect all of them."""
        await join_all(server, self.clients)

    @asynccontextmanager
    async def typing(self) -> AsyncIterator[None]:
        """Type for as long as the block runs."""
        self._start()
        try:
            yield
        finally:
            self._stop()

    def _stop(self) -> None:
        for typist in self.typists.values():
            typist.stop()

    def _start(self) -> None:
        dice = random.Random(7)
        now = asyncio.get_running_loop().time()
        for group in self.groups:
            for writer in group.writers:
                first = now + dice.random() / KEYS_PER_S
                self.typists[writer.client] = Typist(writer, first, keys_per_s=KEYS_PER_S)

    def waits(self, groups: list[Group], since: float, until: float) -> Wait | None:
        """Return how long the keystrokes of some documents took, those sent between two moments."""
        times = [each for group in groups for each in latencies(group, self.typists, since, until)]
        return Wait.of(times) if groups else None

    async def finish(self, server: Server) -> None:
        """Stop typing; prove that readers, and a newcomer, have every keystroke.

        Documents that nobody else wrote in must also be the same text as what was typed.
        """
        self._stop()
        deadline = time.monotonic() + _CONVERGE_TIMEOUT_S
        while not all(_has_all(tally, group) for group in self.groups for tally in group.tallies):
            for client in self.clients:
                if client.problem:
                    raise server.complain(client.problem)
            if time.monotonic() > deadline:
                raise Lost("the innocents' keystrokes did not all arrive")
            await asyncio.sleep(_STEP_S)
        for group in self.others:
            check.verify(group.writers, group.tallies)
        late = [Reader(group.document, self.kind.dialect, Inbox()) for group in self.groups]
        await join_all(server, late)
        for group, reader in zip(self.groups, late, strict=True):
            tally = Tally(reader)
            while not _has_all(tally, group):
                if time.monotonic() > deadline:
                    raise Lost("a newcomer lacks keystrokes of the innocent")
                await asyncio.sleep(_STEP_S)
        for client in (*late, *self.clients):
            client.leave()


def _has_all(tally: Tally, group: Group) -> bool:
    tally.advance()
    return all(tally.clocks.get(each.client, 0) == each.clock for each in group.writers)
