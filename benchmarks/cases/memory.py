"""What a server keeps in memory for a client that does nothing, and for a grown document."""

from __future__ import annotations

import asyncio

from benchmarks import proc, servers
from benchmarks.cases.base import Better, Case, Column, Metrics, Target
from benchmarks.cases.trace import check_text
from benchmarks.clients import Client, Inbox, Reader, Writer, join_all
from benchmarks.edits import FIRST_CLIENT, Trace, load_trace
from benchmarks.files import allow_files
from benchmarks.load import Setting, running
from benchmarks.servers import Kind, Server

_CONNECTIONS = 2_000
_ROOMS = 200
_WARM = 20
_SETTLE_S = 2.0
_SPARE_FILES = 200
_JOIN_TIMEOUT_S = 120.0


async def _settled_kb(server: Server) -> int:
    """Return the smallest resident memory seen while the server has nothing to do."""
    found = []
    for _ in range(4):
        await asyncio.sleep(_SETTLE_S / 4)
        found.append(proc.rss_kb(server.serving_pid))
    return min(found)


async def _idle_kb(kind: Kind, setting: Setting) -> float:
    """Return KiB per idle connection."""
    allow_files(_CONNECTIONS + _SPARE_FILES)
    async with running(kind, setting) as server:
        inbox = Inbox()
        warm: list[Client] = [Reader(f"warm-{n}", kind.dialect, inbox) for n in range(_WARM)]
        await join_all(server, warm)
        before = await _settled_kb(server)
        idle: list[Client] = [
            Reader(f"room-{number % _ROOMS}", kind.dialect, inbox) for number in range(_CONNECTIONS)
        ]
        await join_all(server, idle, timeout_s=_JOIN_TIMEOUT_S)
        after = await _settled_kb(server)
        for client in (*idle, *warm):
            client.leave()
    return (after - before) / _CONNECTIONS


async def _join_and_check(server: Server, trace: Trace) -> Reader:
    reader = Reader("paper", server.kind.dialect, Inbox())
    await join_all(server, [reader])
    check_text(trace, [entry.update for entry in reader.log])
    return reader


async def _warm_up(server: Server) -> None:
    reader = Reader("warm", server.kind.dialect, Inbox())
    await join_all(server, [reader])
    reader.leave()


async def _room_mb(kind: Kind, setting: Setting, trace: Trace) -> dict[str, float]:
    """Return MiB that the trace's document takes, brought by a client and loaded from disk."""
    data = servers.fresh_folder(setting.data)
    found: dict[str, float] = {}
    try:
        async with servers.running(kind, data, setting.cores) as server:
            await _warm_up(server)
            before = await _settled_kb(server)
            writer = Writer("paper", kind.dialect, Inbox(), FIRST_CLIENT, [trace.state])
            await join_all(server, [writer])
            writer.send_one()
            await asyncio.sleep(_SETTLE_S)
            reader = await _join_and_check(server, trace)
            found["room_mb"] = (await _settled_kb(server) - before) / 1024
            writer.leave()
            reader.leave()
        if kind.keeps:
            async with servers.running(kind, data, setting.cores) as server:
                await _warm_up(server)
                before = await _settled_kb(server)
                reader = await _join_and_check(server, trace)
                found["loaded_mb"] = (await _settled_kb(server) - before) / 1024
                reader.leave()
    finally:
        servers.remove_folder(data)
    return found


async def _memory(kind: Kind, setting: Setting) -> Metrics:
    idle = await _idle_kb(kind, setting)
    return {"idle_kb": idle, **await _room_mb(kind, setting, load_trace(setting.trace))}


MEMORY = Case(
    "memory",
    f"Resident memory that {_CONNECTIONS:,} idle clients in {_ROOMS} documents add, for each; and "
    "that the finished document of the trace adds with one reader: brought by a client as one "
    "update, and loaded from the store after a restart.",
    (
        Column("idle_kb", "KiB per idle connection", 1, Better.LOWER),
        Column("room_mb", "MiB for the trace's document", 1, Better.LOWER),
        Column("loaded_mb", "MiB when loaded from the store", 1, Better.LOWER),
    ),
    _memory,
    targets=(
        Target("idle_kb", Better.LOWER, 20),
        Target("room_mb", Better.LOWER, 6),
    ),
)
