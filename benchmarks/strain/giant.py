"""A document of 50 MB that is brought, edited, asked for, stored, and loaded again."""

from __future__ import annotations

import asyncio
import time

from benchmarks import servers
from benchmarks.load import Setting, living, resting_collector
from benchmarks.servers import Kind, Server
from benchmarks.strain.innocents import Innocents
from benchmarks.strain.stage import (
    Figures,
    Offender,
    Strain,
    offending,
    peak_mb_since,
    reset_peak,
    waits,
)
from benchmarks.strain.wire import GIANT_BYTES, GIANT_JOINERS

__all__ = ["GIANTS"]

_LIVES = {"first": ("bring", "edit", "join", "settle", "rejoin"), "second": ("load",)}
_SETTLE_S = 12.0
"""In which the checkpoint is written that the document's size brings about."""
_TIMEOUT_S = 300.0


class _Phases:
    """Measure the innocents through one phase after another."""

    def __init__(self, innocents: Innocents) -> None:
        self.figures: Figures = {}
        self._innocents = innocents
        self._marks: list[tuple[str, float, float]] = []

    async def run(self, name: str, clients: Offender) -> None:
        """Go through a phase, and note how long it takes."""
        if name == "settle":
            start, seconds = time.perf_counter(), _SETTLE_S
            await asyncio.sleep(seconds)
        else:
            clients.tell()
            facts = await clients.hear(_TIMEOUT_S)
            start, seconds = facts["start"], facts["seconds"]
        self.figures[f"{name}_s"] = seconds
        await asyncio.sleep(max(0.0, start + 1.0 - time.perf_counter()))
        self._marks.append((name, start, max(start + seconds, start + 1.0)))

    def close(self) -> Figures:
        """Return the worst that an innocent waited in each phase."""
        for name, start, end in self._marks:
            self.figures |= waits(self._innocents, f"{name}_", start - 0.2, end)
        since, until = self._marks[0][1], self._marks[-1][2]
        return self.figures | waits(self._innocents, "", since, until)


async def _live(
    server: Server, life: str, innocents: Innocents, setting: Setting, figures: Figures
) -> tuple[Figures, float]:
    """Go through a server's life; return its figures, and by how much its memory grew."""
    phases = _Phases(innocents)
    names = _LIVES[life]
    active = [name for name in names if name != "settle"]
    async with living(innocents.clients), innocents.typing(), resting_collector():
        await asyncio.sleep(setting.warm_up_s)
        quiet = time.perf_counter()
        await asyncio.sleep(setting.seconds)
        if life == "first":
            figures |= waits(innocents, "alone_", quiet, time.perf_counter() - 0.2)
        before_mb = reset_peak(server.serving_pid)
        async with offending(server, "giant", phases=active) as clients:
            for name in names:
                await phases.run(name, clients)
        growth = peak_mb_since(server.serving_pid, before_mb)
        await innocents.finish(server)
    return phases.close(), growth


async def _giant(kind: Kind, setting: Setting) -> Figures:
    data = servers.fresh_folder(setting.data)
    figures: Figures = {}
    try:
        for life in _LIVES:
            innocents = Innocents(kind, 400, shared=False, prefix=f"{life}-")
            async with servers.running(kind, data, setting.cores) as server:
                await innocents.join(server)
                found, growth = await _live(server, life, innocents, setting, figures)
            figures["growth_mb"] = max(growth, float(figures.get("growth_mb", 0.0)))
            figures |= {k: max(float(v), float(figures.get(k, 0.0))) for k, v in found.items()}
    finally:
        servers.remove_folder(data)
    return figures


GIANTS = (
    Strain(
        "giant",
        f"A document of {GIANT_BYTES // 1_000_000} MB in {GIANT_BYTES // 220 // 1000},000 "
        f"paragraphs is brought as one update, edited, asked for by {GIANT_JOINERS} clients at "
        "once before and after its checkpoint, and again after a restart; by clients in a process "
        "of their own.",
        _giant,
    ),
)
