"""Kill the server without warning under load: does anything that a reader saw get lost?"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

from benchmarks import servers
from benchmarks.cases.base import Better, Case, Column, Metrics, Target
from benchmarks.check import Tally
from benchmarks.clients import Client, Inbox, Reader, join_all
from benchmarks.edits import FIRST_CLIENT, writers_edits
from benchmarks.load import Group, Setting, make_group
from benchmarks.servers import Kind

_KILLS = 5
_DOCUMENTS = 10
_WRITERS = 2
_WINDOW = 64
_SUPPLY = 20_000
_DRAIN_S = 0.2
_RELOAD_S = 5.0
_STEP_S = 0.05


def _make_groups(kind: Kind, number: int) -> list[Group]:
    edits = writers_edits(_DOCUMENTS * _WRITERS, _SUPPLY)
    inbox = Inbox()
    groups = []
    for document in range(_DOCUMENTS):
        first = document * _WRITERS
        group = make_group(
            kind,
            f"kill-{number}-{document}",
            edits[first : first + _WRITERS],
            1,
            inbox,
            first_client=FIRST_CLIENT + first,
        )
        group.tallies = [Tally(reader) for reader in group.readers]
        groups.append(group)
    return groups


def _missing(seen: dict[int, int], kept: dict[int, int]) -> int:
    return sum(max(0, clock - kept.get(client, 0)) for client, clock in seen.items())


async def _load_and_kill(kind: Kind, setting: Setting, groups: list[Group], data: Path) -> None:
    dice = random.Random(data.name)
    async with servers.running(kind, data, setting.cores) as server:
        clients: list[Client] = [c for g in groups for c in (*g.writers, *g.readers)]
        await join_all(server, clients)
        for group in groups:
            for writer in group.writers:
                writer.window = setting.window or _WINDOW
                writer.pump()
        await asyncio.sleep(0.5 + dice.random())
        for group in groups:
            for writer in group.writers:
                writer.stop()
        server.kill()
        # What the kernel had already taken from the server still reaches the readers.
        await asyncio.sleep(_DRAIN_S)


async def _restart_and_count(
    kind: Kind, setting: Setting, groups: list[Group], data: Path
) -> tuple[int, int, float]:
    """Return how many edits the readers had seen, how many of them are gone, and restart time."""
    seen = 0
    for group in groups:
        seen += sum(tally.advance() for tally in group.tallies)
    started = time.perf_counter()
    async with servers.running(kind, data, setting.cores) as server:
        inbox = Inbox()
        late = [Reader(group.document, kind.dialect, inbox) for group in groups]
        await join_all(server, late)
        took = time.perf_counter() - started
        kept = [Tally(reader) for reader in late]
        for _ in range(int(_RELOAD_S / _STEP_S)):
            for tally in kept:
                tally.advance()
            lost = sum(
                _missing(group.tallies[0].clocks, tally.clocks)
                for group, tally in zip(groups, kept, strict=True)
            )
            if not lost:
                break
            await asyncio.sleep(_STEP_S)
        for reader in late:
            reader.leave()
    return seen, lost, took


async def _kill(kind: Kind, setting: Setting) -> Metrics:
    folder = servers.fresh_folder(setting.data)
    total_seen = total_lost = 0
    slowest = 0.0
    try:
        for number in range(_KILLS):
            groups = _make_groups(kind, number)
            await _load_and_kill(kind, setting, groups, folder)
            seen, lost, took = await _restart_and_count(kind, setting, groups, folder)
            total_seen, total_lost = total_seen + seen, total_lost + lost
            slowest = max(slowest, took)
    finally:
        servers.remove_folder(folder)
    return {"lost": total_lost, "seen": total_seen, "kills": _KILLS, "restart_s": slowest}


KILL = Case(
    "kill",
    f"{_KILLS} kills with SIGKILL while {_DOCUMENTS} documents with {_WRITERS} writers each are "
    "saturated, each followed by a restart on the same files: edits that a reader had seen, and "
    "how many of them are gone. The kill ends the process, not the machine's power.",
    (
        Column("lost", "lost of those seen", 0, Better.LOWER),
        Column("seen", "edits seen by readers"),
        Column("kills", "kills"),
        Column("restart_s", "slowest restart to all synced, s", 2, Better.LOWER),
    ),
    _kill,
    servers=("crdtsync", "y-websocket-leveldb"),
    targets=(Target("lost", Better.LOWER, 0),),
)
