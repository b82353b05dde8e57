"""Drive servers: saturate them for a while and count what arrives."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from benchmarks import check, servers
from benchmarks.check import Lost, Tally
from benchmarks.clients import Client, Inbox, Pacer, Reader, Writer, join_all, keep_alive
from benchmarks.edits import FIRST_CLIENT
from benchmarks.proc import Usage
from benchmarks.servers import Kind, Server

_CONVERGE_TIMEOUT_S = 60.0
_STEP_S = 0.02

C = TypeVar("C", bound=Client)


@dataclass(frozen=True, slots=True)
class Setting:
    """What the command line chose for all cases."""

    seconds: float
    warm_up_s: float
    quick: bool
    trace: Path
    data: Path
    cores: tuple[int, int]
    window: int | None = None
    """Edits in flight per writer, where not the case's own."""


@dataclass(slots=True)
class Group:
    """The clients of one document; the last reader paces the writers."""

    document: str
    writers: list[Writer]
    readers: list[Reader]
    tallies: list[Tally] = field(default_factory=list)

    @property
    def converged(self) -> bool:
        """Whether every reader has all that was sent."""
        sent = {writer.client: writer.clock for writer in self.writers if writer.sent}
        for tally in self.tallies:
            tally.advance()
        return all(tally.clocks == sent for tally in self.tallies)


@dataclass(frozen=True, slots=True)
class Flow:
    """What a saturated stretch delivered."""

    updates: int
    messages: int
    usage: Usage

    def metrics(self) -> dict[str, float]:
        """Return the figures that the saturated cases report."""
        usage = self.usage
        return {
            "updates_per_s": self.updates / usage.wall_s,
            "updates_per_cpu_s": self.updates / usage.server_s,
            "updates_per_message": self.updates / max(1, self.messages),
            "cpu_us_per_message": usage.server_s / max(1, self.messages) * 1e6,
            **usage_metrics(usage),
        }


def usage_metrics(usage: Usage) -> dict[str, float]:
    """Return how busy everyone was, in per cent of one core."""
    return {
        "server_cpu": 100 * usage.server_s / usage.wall_s,
        "load_cpu": 100 * usage.load_s / usage.wall_s,
        "others_cpu": 100 * usage.others_s / usage.wall_s,
    }


def make_group(
    kind: Kind,
    document: str,
    edits: Sequence[Sequence[bytes]],
    readers: int,
    inbox: Inbox,
    *,
    first_client: int = FIRST_CLIENT,
) -> Group:
    """Make the clients of a document: one writer per set of edits, and some readers."""
    writers = [
        Writer(document, kind.dialect, inbox, first_client + number, updates)
        for number, updates in enumerate(edits)
    ]
    pacer = Pacer(document, kind.dialect, inbox)
    pacer.writers = {writer.client: writer for writer in writers}
    plain = [Reader(document, kind.dialect, inbox) for _ in range(readers - 1)]
    return Group(document, writers, [*plain, pacer])


@asynccontextmanager
async def resting_collector() -> AsyncIterator[None]:
    """Keep the garbage collector from interrupting a measurement."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


@asynccontextmanager
async def living(clients: Sequence[C]) -> AsyncIterator[None]:
    """Show life on every connection inside the block, and leave at its end."""
    task = asyncio.create_task(keep_alive(clients))
    try:
        yield
    finally:
        task.cancel()
        for client in clients:
            client.leave()


async def arrival(server: Server, groups: Sequence[Group], timeout_s: float) -> None:
    """Wait until every reader has all that was sent."""
    clients = [c for group in groups for c in (*group.writers, *group.readers)]
    for _ in range(int(timeout_s / _STEP_S)):
        for client in clients:
            if client.problem:
                raise server.complain(client.problem)
        if all(group.converged for group in groups):
            return
        await asyncio.sleep(_STEP_S)
    raise Lost(f"{server.kind.name} did not deliver everything within {timeout_s:.0f} s")


async def converge(server: Server, groups: Sequence[Group]) -> None:
    """Wait until every reader has all that was sent, then prove it."""
    await arrival(server, groups, _CONVERGE_TIMEOUT_S)
    for group in groups:
        check.verify(group.writers, group.tallies)


async def saturate(server: Server, groups: Sequence[Group], setting: Setting, window: int) -> Flow:
    """Keep a window of edits per writer in flight; count what the readers get in `seconds`.

    Ends early where a writer runs out of edits. Afterwards everything must have arrived.
    """
    clients: list[Client] = [c for group in groups for c in (*group.writers, *group.readers)]
    await join_all(server, clients)
    writers = [writer for group in groups for writer in group.writers]
    readers = [reader for group in groups for reader in group.readers]
    for group in groups:
        group.tallies = [Tally(reader) for reader in group.readers]
    tallies = [tally for group in groups for tally in group.tallies]
    async with living(clients), resting_collector():
        for writer in writers:
            writer.window = setting.window or window
            writer.pump()
        await asyncio.sleep(setting.warm_up_s)
        if all(writer.spent.is_set() for writer in writers):
            raise server.complain("used up the edits in the warm-up: choose more --seconds")
        moment, starts = server.moment(), [len(reader.log) for reader in readers]
        spent = [asyncio.create_task(writer.spent.wait()) for writer in writers]
        await asyncio.wait(spent, timeout=setting.seconds)
        usage, ends = moment.usage(), [len(reader.log) for reader in readers]
        for task, writer in zip(spent, writers, strict=True):
            task.cancel()
            writer.stop()
        updates = 0
        for tally, start, end in zip(tallies, starts, ends, strict=True):
            tally.advance(start)
            updates += tally.advance(end)
        await converge(server, groups)
    messages = sum(ends) - sum(starts)
    return Flow(updates, messages, usage)


@asynccontextmanager
async def running(
    kind: Kind, setting: Setting, fill: Callable[[Path], Awaitable[None]] | None = None
) -> AsyncIterator[Server]:
    """Run a server with a data folder that is empty, or filled, at first and gone afterwards."""
    data = servers.fresh_folder(setting.data)
    try:
        if fill is not None:
            await fill(data)
        async with servers.running(kind, data, setting.cores) as server:
            yield server
    finally:
        servers.remove_folder(data)
