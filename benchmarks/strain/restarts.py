"""A herd that comes back at once after a restart."""

from __future__ import annotations

import asyncio
import time

from benchmarks import servers
from benchmarks.clients import Inbox, Writer, join_all
from benchmarks.files import allow_files
from benchmarks.load import Setting, living, resting_collector
from benchmarks.servers import Kind, Server
from benchmarks.strain.innocents import Innocents
from benchmarks.strain.stage import (
    Figures,
    Strain,
    loads,
    offending,
    reset_peak,
    told,
    waits,
)
from benchmarks.strain.wire import paragraphs, pastes

__all__ = ["RESTARTS"]

HERD = 1_000
DOCUMENTS = 100
_STATE_BYTES = 200_000
_PARAGRAPH_BYTES = 100
_PASTES = 200
_WRITER = 1_800_000_000
_SETTLE_S = 1.0


async def _fill(server: Server) -> None:
    """Write the documents that are to be loaded: one large update each, and some small ones."""
    state = paragraphs(_WRITER, _STATE_BYTES, _PARAGRAPH_BYTES)
    updates = [state, *pastes(_WRITER + 1, _PASTES, 10)]
    clocks = range(len(updates) + 1)
    writers = [
        Writer(f"herd-{number}", server.kind.dialect, Inbox(), _WRITER, updates, clocks)
        for number in range(DOCUMENTS)
    ]
    await join_all(server, writers)
    for writer in writers:
        for _ in updates:
            writer.send_one()
            await asyncio.sleep(0)
    await asyncio.sleep(_SETTLE_S)
    for writer in writers:
        writer.leave()


async def _alone(kind: Kind, setting: Setting, server: Server) -> Figures:
    innocents = Innocents(kind, setting.warm_up_s + setting.seconds + 60, prefix="before-")
    await innocents.join(server)
    async with living(innocents.clients), innocents.typing(), resting_collector():
        await asyncio.sleep(setting.warm_up_s)
        quiet = time.perf_counter()
        await asyncio.sleep(setting.seconds)
        figures = waits(innocents, "alone_", quiet, time.perf_counter() - 0.2)
        await innocents.finish(server)
    return figures


async def _return(kind: Kind, setting: Setting, server: Server) -> Figures:
    """Let the herd come to a server that has just started and has innocents already."""
    innocents = Innocents(kind, setting.warm_up_s + setting.seconds + 240, prefix="after-")
    await innocents.join(server)
    figures: Figures = {}
    async with living(innocents.clients), innocents.typing(), resting_collector():
        await asyncio.sleep(setting.warm_up_s)
        before_mb = reset_peak(server.serving_pid)
        options = {"clients": HERD, "documents": DOCUMENTS}
        async with offending(server, "herd", **options) as offender:
            moment, since = server.moment(), time.perf_counter()
            offender.tell()
            await offender.hear()
            usage, until = moment.usage(), time.perf_counter()
        facts = offender.facts
        figures["offender"] = (
            f"in sync after {facts['half_s']:.1f} s (half of them) and {facts['all_s']:.1f} s "
            f"(all); {told(facts)}"
        )
        figures |= loads(server, before_mb, usage)
        await innocents.finish(server)
        figures |= waits(innocents, "", since, until)
    return figures


async def _herd(kind: Kind, setting: Setting, *, kill: bool) -> Figures:
    allow_files(HERD + 500)
    data = servers.fresh_folder(setting.data)
    try:
        async with servers.running(kind, data, setting.cores) as server:
            await _fill(server)
            figures = await _alone(kind, setting, server)
            if kill:
                server.kill()
        async with servers.running(kind, data, setting.cores) as server:
            return figures | await _return(kind, setting, server)
    finally:
        servers.remove_folder(data)


def _case(name: str, how: str, *, kill: bool) -> Strain:
    async def run(kind: Kind, setting: Setting) -> Figures:
        return await _herd(kind, setting, kill=kill)

    what = (
        f"{HERD:,} clients come at once to a server that was just restarted after {how}, to "
        f"{DOCUMENTS} documents of {_STATE_BYTES // 1000} KB that have to be loaded."
    )
    return Strain(name, what, run)


RESTARTS = (
    _case("herd-sigterm", "a polite stop", kill=False),
    _case("herd-sigkill", "kill -9", kill=True),
)
