"""A document of 50 MB that is brought, edited, asked for, stored, and loaded again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks import servers
from benchmarks.clients import Inbox, Reader, Writer, join_all
from benchmarks.load import Setting, living, resting_collector
from benchmarks.servers import Kind, Server
from benchmarks.strain.innocents import Innocents
from benchmarks.strain.stage import Figures, Strain, peak_mb_since, reset_peak, waits
from benchmarks.strain.wire import paragraphs, pastes

__all__ = ["GIANTS"]

SIZE_BYTES = 50_000_000
JOINERS = 20
_PARAGRAPH_BYTES = 200
_EDITS = 100
_WRITER = 1_700_000_000
_NAME = "giant"
_TIMEOUT_S = 240.0
_STEP_S = 0.01


class _Phases:
    """Measure the innocents through one phase after another."""

    def __init__(self, innocents: Innocents) -> None:
        self.figures: Figures = {}
        self._innocents = innocents
        self._marks: list[tuple[str, float, float]] = []

    @asynccontextmanager
    async def phase(self, name: str) -> AsyncIterator[None]:
        """Note how long something takes."""
        start = time.perf_counter()
        yield
        end = time.perf_counter()
        self.figures[f"{name}_s"] = end - start
        self._marks.append((name, start, max(end, start + 1.0)))

    def close(self) -> Figures:
        """Return the worst that an innocent waited in each phase."""
        for name, start, end in self._marks:
            for wait in waits(self._innocents, f"{name}_", start - 0.2, end).items():
                self.figures[wait[0]] = wait[1]
        since, until = self._marks[0][1], self._marks[-1][2]
        return self.figures | waits(self._innocents, "", since, until)


async def _join(server: Server, count: int, *, size: int = SIZE_BYTES) -> list[Reader]:
    readers = [Reader(_NAME, server.kind.dialect, Inbox()) for _ in range(count)]
    await join_all(server, readers, at_once=count, timeout_s=_TIMEOUT_S)
    for reader in readers:
        got = sum(len(entry.update) for entry in reader.log)
        if got < size * 0.95:
            raise server.complain(f"a joiner got {got:,} bytes of the large document")
    return readers


async def _first_life(phases: _Phases, server: Server) -> None:
    state = paragraphs(_WRITER, SIZE_BYTES, _PARAGRAPH_BYTES)
    updates = [state, *pastes(_WRITER + 1, _EDITS, 10)]
    clocks = range(len(updates) + 1)
    writer = Writer(_NAME, server.kind.dialect, Inbox(), _WRITER, updates, clocks)
    watcher = Reader(_NAME, server.kind.dialect, Inbox())
    await join_all(server, [watcher, writer], timeout_s=_TIMEOUT_S)

    async def seen(count: int) -> None:
        for _ in range(int(_TIMEOUT_S / _STEP_S)):
            if sum(len(entry.update) for entry in watcher.log) >= count:
                return
            await asyncio.sleep(_STEP_S)
        raise server.complain("the large document did not arrive")

    async with phases.phase("bring"):
        writer.send_one()
        await seen(len(state))
    async with phases.phase("edit"):
        for _ in updates[1:]:
            writer.send_one()
            await asyncio.sleep(_STEP_S)
        await seen(len(state) + _EDITS * 10)
    async with phases.phase("join"):
        joined = await _join(server, JOINERS)
    async with phases.phase("settle"):  # the checkpoint, which its size brings about
        await asyncio.sleep(12)
    async with phases.phase("rejoin"):
        joined += await _join(server, JOINERS)
    for client in (*joined, watcher, writer):
        client.leave()


async def _giant(kind: Kind, setting: Setting) -> Figures:
    data = servers.fresh_folder(setting.data)
    figures: Figures = {}
    try:
        for life in ("first", "second"):
            innocents = Innocents(kind, 400, shared=False, prefix=f"{life}-")
            phases = _Phases(innocents)
            async with servers.running(kind, data, setting.cores) as server:
                await innocents.join(server)
                async with living(innocents.clients), innocents.typing(), resting_collector():
                    await asyncio.sleep(setting.warm_up_s)
                    quiet = time.perf_counter()
                    await asyncio.sleep(setting.seconds)
                    if life == "first":
                        figures |= waits(innocents, "alone_", quiet, time.perf_counter() - 0.2)
                    before_mb = reset_peak(server.serving_pid)
                    if life == "first":
                        await _first_life(phases, server)
                    else:
                        async with phases.phase("load"):
                            readers = await _join(server, JOINERS)
                        for reader in readers:
                            reader.leave()
                    growth = peak_mb_since(server.serving_pid, before_mb)
                    await innocents.finish(server)
                    found = phases.close()
            figures["growth_mb"] = max(growth, float(figures.get("growth_mb", 0.0)))
            worst = {k: max(float(v), float(figures.get(k, 0.0))) for k, v in found.items()}
            figures |= worst
    finally:
        servers.remove_folder(data)
    return figures


GIANTS = (
    Strain(
        "giant",
        f"A document of {SIZE_BYTES // 1_000_000} MB in {SIZE_BYTES // 220 // 1000},000 paragraphs "
        f"is brought as one update, edited, asked for by {JOINERS} clients at once before and "
        "after its checkpoint, and again after a restart.",
        _giant,
    ),
)
