"""A real editing history: replayed key by key, then joined by newcomers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from benchmarks import check, proc
from benchmarks.cases.base import BUSY, Better, Case, Column, Metrics, Target
from benchmarks.check import Lost, Tally
from benchmarks.clients import Inbox, Pacer, Reader, Writer, join_all
from benchmarks.edits import FIRST_CLIENT, Trace, load_trace
from benchmarks.load import Group, Setting, arrival, living, resting_collector, running
from benchmarks.load import usage_metrics as busy
from benchmarks.proc import Usage
from benchmarks.servers import Kind, Server

_DOCUMENT = "paper"
_WINDOW = 512
_REPLAY_TIMEOUT_S = 300.0
_JOINS = 50
_CROWD = 100
_SETTLE_S = 0.3


def _make_group(kind: Kind, trace: Trace) -> Group:
    inbox = Inbox()
    writer = Writer(_DOCUMENT, kind.dialect, inbox, FIRST_CLIENT, trace.updates, trace.clocks)
    pacer = Pacer(_DOCUMENT, kind.dialect, inbox)
    pacer.writers = {FIRST_CLIENT: writer}
    return Group(_DOCUMENT, [writer], [pacer], [Tally(pacer)])


def check_text(trace: Trace, updates: Sequence[bytes]) -> None:
    """Check that updates make the trace's final text."""
    text, _ = check.content(updates)
    if text != trace.text:
        raise Lost("the document is not what the trace ends in")


@asynccontextmanager
async def _replayed(
    kind: Kind, setting: Setting, trace: Trace
) -> AsyncIterator[tuple[Server, Group, Usage]]:
    """Run a server, replay the whole trace through it, and keep its two clients connected."""
    group = _make_group(kind, trace)
    (writer,), (reader,) = group.writers, group.readers
    async with running(kind, setting) as server:
        await join_all(server, [writer, reader])
        async with living([writer, reader]):
            async with resting_collector():
                moment = server.moment()
                writer.window = setting.window or _WINDOW
                writer.pump()
                await arrival(server, [group], _REPLAY_TIMEOUT_S)
                usage = moment.usage()
            check_text(trace, [entry.update for entry in reader.log])
            yield server, group, usage


async def _replay(kind: Kind, setting: Setting) -> Metrics:
    trace = load_trace(setting.trace)
    keys = len(trace.updates)
    async with _replayed(kind, setting, trace) as (server, group, usage):
        return {
            "keys_per_cpu_s": keys / usage.server_s,
            "keys_per_s": keys / usage.wall_s,
            "updates_per_message": keys / len(group.readers[0].log),
            **busy(usage),
            "peak_rss_mb": proc.peak_rss_kb(server.serving_pid) / 1024,
        }


def _check_joined(trace: Trace, readers: Sequence[Reader]) -> None:
    distinct = {tuple(entry.update for entry in reader.log) for reader in readers}
    for updates in distinct:
        check_text(trace, updates)


async def _join(kind: Kind, setting: Setting) -> Metrics:
    trace = load_trace(setting.trace)
    async with _replayed(kind, setting, trace) as (server, _, _):
        await asyncio.sleep(_SETTLE_S)
        moment = server.moment()
        for _ in range(_JOINS):
            reader = Reader(_DOCUMENT, kind.dialect, Inbox())
            await join_all(server, [reader])
            reader.leave()
        await asyncio.sleep(_SETTLE_S)
        one = moment.usage()
        _check_joined(trace, [reader])
        await asyncio.sleep(_SETTLE_S)

        crowd = [Reader(_DOCUMENT, kind.dialect, Inbox()) for _ in range(_CROWD)]
        before = proc.rss_kb(server.serving_pid)
        moment = server.moment()
        await asyncio.gather(*(reader.join(server) for reader in crowd))
        async with asyncio.timeout(_REPLAY_TIMEOUT_S):
            for reader in crowd:
                await reader.joined.wait()
        all_s = moment.usage()
        peak = proc.peak_rss_kb(server.serving_pid)
        _check_joined(trace, crowd)
        for reader in crowd:
            reader.leave()
    return {
        "cpu_ms_per_join": one.server_s / _JOINS * 1e3,
        "crowd_s": all_s.wall_s,
        "crowd_cpu_s": all_s.server_s,
        "crowd_mb": max(0, peak - before) / 1024,
        "others_cpu": 100 * all_s.others_s / all_s.wall_s,
        "peak_rss_mb": peak / 1024,
    }


REPLAY = Case(
    "replay",
    "The automerge-paper trace, 259,778 keystrokes of one author, one message each, to a reader "
    "that ends with the paper's text.",
    (
        Column("keys_per_cpu_s", "keystrokes per CPU second", better=Better.HIGHER),
        Column("keys_per_s", "keystrokes/s", better=Better.HIGHER),
        Column("updates_per_message", "updates per message", 1),
        *BUSY,
    ),
    _replay,
    targets=(Target("keys_per_cpu_s", Better.HIGHER, 5, "y-websocket"),),
)

JOIN = Case(
    "join",
    f"Joining the finished document of the trace: {_JOINS} clients one after another, then "
    f"{_CROWD} at once.",
    (
        Column("cpu_ms_per_join", "server CPU ms per join", 2, Better.LOWER),
        Column("crowd_s", f"{_CROWD} at once: s", 2, Better.LOWER),
        Column("crowd_cpu_s", "their server CPU s", 2, Better.LOWER),
        Column("crowd_mb", "peak RSS over before MB", 0, Better.LOWER),
        *BUSY[2:],
    ),
    _join,
    targets=(Target("cpu_ms_per_join", Better.LOWER, 0.2, "y-websocket"),),
)
