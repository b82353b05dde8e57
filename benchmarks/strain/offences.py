"""The cases with an offender on a running server, by name."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.clients import Inbox, Writer, join_all
from benchmarks.files import allow_files
from benchmarks.load import Setting
from benchmarks.servers import Kind, Server
from benchmarks.strain.innocents import ROOM
from benchmarks.strain.stage import Figures, Offence, Strain, hold, offending, pause, told, unpause
from benchmarks.strain.wire import pastes

__all__ = ["OFFENCES"]

SLEEPERS = 20
SILENT = 5_000
DEAD_S = 90.0
_POLL_S = 0.2
CURSORS = 500
MOVES_PER_S = 20
FLOOD_PER_S = 100_000
PASTES_PER_S = 50
PASTE_BYTES = 5_000
_PASTER = 1_900_000_000


@asynccontextmanager
async def _busy(server: Server) -> AsyncIterator[None]:
    """Somebody pastes into the room all the time, so that there is something not to read."""
    updates = pastes(_PASTER, 300 * PASTES_PER_S, PASTE_BYTES)
    clocks = range(0, len(updates) * PASTE_BYTES + 1, PASTE_BYTES)
    writer = Writer(ROOM, server.kind.dialect, Inbox(), _PASTER, updates, list(clocks))
    await join_all(server, [writer])

    async def paste() -> None:
        while writer.sent < len(updates):
            writer.send_one()
            await asyncio.sleep(1 / PASTES_PER_S)

    task = asyncio.create_task(paste())
    try:
        yield
    finally:
        task.cancel()
        writer.leave()


@asynccontextmanager
async def _stopped(server: Server, figures: Figures) -> AsyncIterator[None]:
    async with _busy(server):
        async with offending(server, "stopped", path=ROOM, clients=SLEEPERS) as offender:
            offender.tell()
            pause(offender)
            yield
            unpause(offender)
        figures["offender"] = told(offender.facts)


async def _connections(server: Server) -> int:
    """Ask the server's metrics how many connections it has."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    (found,) = re.findall(r"^crdtsync_connections (\d+)", text, re.MULTILINE)
    return int(found)


@asynccontextmanager
async def _dead(server: Server, figures: Figures) -> AsyncIterator[None]:
    alone = await _connections(server)
    async with offending(server, "stopped", path=ROOM, clients=SLEEPERS) as offender:
        offender.tell()
        pause(offender)
        start = time.perf_counter()
        yield
        for _ in range(int(DEAD_S / _POLL_S)):
            if await _connections(server) <= alone:
                break
            await asyncio.sleep(_POLL_S)
        figures["gone_s"] = time.perf_counter() - start
        unpause(offender)
    figures["offender"] = f"gone after {figures['gone_s']:.0f} s"


@asynccontextmanager
async def _trickle(server: Server, figures: Figures) -> AsyncIterator[None]:
    async with _busy(server):
        async with offending(server, "trickle", path=ROOM, clients=SLEEPERS) as offender:
            offender.tell()
            yield
        figures["offender"] = told(offender.facts)


@asynccontextmanager
async def _busy_only(server: Server, figures: Figures) -> AsyncIterator[None]:
    async with _busy(server):
        yield
    figures["offender"] = "nobody"


@asynccontextmanager
async def _silent(server: Server, figures: Figures) -> AsyncIterator[None]:
    allow_files(SILENT + 200)
    async with offending(server, "silent", clients=SILENT) as offender:
        offender.tell()
        yield
    figures["offender"] = told(offender.facts)


def _flood(kind: str) -> Strain:
    @asynccontextmanager
    async def offence(server: Server, figures: Figures) -> AsyncIterator[None]:
        options = {"kind": kind, "path": ROOM, "rate": FLOOD_PER_S}
        async with offending(server, "flood", **options) as offender:
            offender.tell()
            yield
        ends, facts = offender.facts["ends"], offender.facts
        figures["offender"] = f"{facts['sent_per_s']:,.0f} messages/s taken; " + "; ".join(
            f"{count} x {how}" for how, count in ends.items()
        )

    what = {
        "updates": "keystrokes",
        "awareness": "cursor moves",
        "unknown": "messages of an unknown type",
        "damaged": "damaged updates",
    }[kind]
    return _case(
        f"flood-{kind}",
        f"One client sends up to {FLOOD_PER_S:,} {what} a second; when it is closed it comes back.",
        offence,
    )


@asynccontextmanager
async def _cursors(server: Server, figures: Figures) -> AsyncIterator[None]:
    options = {"path": ROOM, "clients": CURSORS, "rate": MOVES_PER_S}
    async with offending(server, "cursors", **options) as offender:
        offender.tell()
        yield
    facts = offender.facts
    figures["offender"] = (
        f"{facts['moves_per_s']:,.0f} moves/s sent, {facts['frames_per_client_s']:.1f} frames/s to "
        f"each client, {facts['mb_per_s']:,.0f} MB/s in all; {told(facts)}"
    )


def _case(name: str, what: str, offence: Offence, *, settle_s: float = 0.0) -> Strain:
    async def run(kind: Kind, setting: Setting) -> Figures:
        return await hold(kind, setting, offence, settle_s=settle_s)

    return Strain(name, what, run)


_BUSY_ROOM = f"a room where somebody pastes {PASTE_BYTES // 1000} KB {PASTES_PER_S} times a second"
OFFENCES = (
    _case("busy", f"Nobody offends: only {_BUSY_ROOM}, to compare with.", _busy_only),
    _case(
        "stopped",
        f"{SLEEPERS} clients stopped by SIGSTOP in {_BUSY_ROOM}.",
        _stopped,
        settle_s=4.0,
    ),
    _case(
        "dead",
        f"{SLEEPERS} clients stopped by SIGSTOP in a quiet room: nothing is left unsent, only "
        "pings stay without an answer.",
        _dead,
    ),
    _case(
        "trickle",
        f"{SLEEPERS} clients that read one byte a second in {_BUSY_ROOM}.",
        _trickle,
        settle_s=4.0,
    ),
    _case(
        "silent",
        f"{SILENT:,} connections in 500 documents that never say a word, every tenth of them "
        "without so much as an upgrade request.",
        _silent,
        settle_s=4.0,
    ),
    *(_flood(kind) for kind in ("updates", "awareness", "unknown", "damaged")),
    _case(
        "cursors",
        f"{CURSORS} clients move their cursors {MOVES_PER_S} times a second in the room.",
        _cursors,
        settle_s=1.0,
    ),
)
