"""Ordinary typing in many documents: what it costs, and how long a keystroke takes."""

from __future__ import annotations

import asyncio
import random
import statistics
import time

from benchmarks import proc
from benchmarks.cases.base import BUSY, Better, Case, Column, Metrics, Target
from benchmarks.check import Tally
from benchmarks.clients import Client, Inbox, TimedReader, Writer, join_all
from benchmarks.edits import FIRST_CLIENT, writers_edits
from benchmarks.load import Group, Setting, converge, living, resting_collector, running
from benchmarks.load import usage_metrics as busy
from benchmarks.servers import Kind
from benchmarks.typists import Typist, latencies

_DOCUMENTS = 100
_WRITERS = 3
_KEYS_PER_S = 5


def _make_groups(kind: Kind, keys: int) -> list[Group]:
    edits = writers_edits(_DOCUMENTS * _WRITERS, keys)
    inbox = Inbox()
    groups = []
    for number in range(_DOCUMENTS):
        document = f"document-{number}"
        mine = range(number * _WRITERS, (number + 1) * _WRITERS)
        writers = [
            Writer(document, kind.dialect, inbox, FIRST_CLIENT + index, edits[index])
            for index in mine
        ]
        reader = TimedReader(document, kind.dialect, inbox)
        groups.append(Group(document, writers, [reader], [Tally(reader)]))
    return groups


async def _typing(kind: Kind, setting: Setting) -> Metrics:
    lasting = setting.warm_up_s + setting.seconds
    groups = _make_groups(kind, int((lasting + 5) * _KEYS_PER_S))
    clients: list[Client] = [c for group in groups for c in (*group.writers, *group.readers)]
    dice = random.Random(7)
    async with running(kind, setting) as server:
        await join_all(server, clients)
        async with living(clients), resting_collector():
            now = asyncio.get_running_loop().time()
            typists = {
                writer.client: Typist(
                    writer, now + dice.random() / _KEYS_PER_S, keys_per_s=_KEYS_PER_S
                )
                for group in groups
                for writer in group.writers
            }
            await asyncio.sleep(setting.warm_up_s)
            moment, since = server.moment(), time.perf_counter()
            await asyncio.sleep(setting.seconds)
            usage = moment.usage()
            for typist in typists.values():
                typist.stop()
            await converge(server, groups)
        peak = proc.peak_rss_kb(server.serving_pid) / 1024
    times = sorted(t for group in groups for t in latencies(group, typists, since))
    per_cent = statistics.quantiles(times, n=100)
    return {
        "server_cpu_used": 100 * usage.server_s / usage.wall_s,
        "cpu_us_per_key": usage.server_s / len(times) * 1e6,
        "p50_ms": per_cent[49] * 1e3,
        "p99_ms": per_cent[98] * 1e3,
        "max_ms": times[-1] * 1e3,
        **busy(usage),
        "peak_rss_mb": peak,
    }


TYPING = Case(
    "typing",
    f"{_DOCUMENTS} documents, {_WRITERS} writers in each at {_KEYS_PER_S} keystrokes a second and "
    "1 reader; latency from a writer's sending to the reader's receiving.",
    (
        Column("server_cpu_used", "server CPU % used", 1, Better.LOWER),
        Column("cpu_us_per_key", "server CPU µs per keystroke", 0, Better.LOWER),
        Column("p50_ms", "p50 ms", 2, Better.LOWER),
        Column("p99_ms", "p99 ms", 2, Better.LOWER),
        Column("max_ms", "max ms", 1, Better.LOWER),
        *BUSY[1:],
    ),
    _typing,
    targets=(
        Target("server_cpu_used", Better.LOWER, 1, "y-websocket"),
        Target("p99_ms", Better.LOWER, 3, "y-websocket", difference=True),
    ),
)
