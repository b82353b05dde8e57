"""One run of a case: the innocent alone, then beside the offender, then the proof."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import proc
from benchmarks.load import Setting, living, resting_collector, running
from benchmarks.servers import Kind, Server, ServerFailed
from benchmarks.strain.innocents import Innocents, Wait

__all__ = ["Figures", "Offender", "Strain", "hold", "offending", "peak_mb_since", "reset_peak"]

Figures = dict[str, float | str]
_REPO = Path(__file__).parent.parent.parent
_READY_TIMEOUT_S = 120.0


@dataclass(slots=True)
class Offender:
    """A running offender process."""

    process: asyncio.subprocess.Process
    facts: dict[str, Any] = field(default_factory=dict)

    async def hear(self, timeout_s: float = _READY_TIMEOUT_S) -> dict[str, Any]:
        """Wait for what it says next."""
        assert self.process.stdout is not None
        async with asyncio.timeout(timeout_s):
            line = await self.process.stdout.readline()
        if not line:
            raise ServerFailed("an offender process ended early")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def tell(self) -> None:
        """Let it go on to its next step."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")

    def signal(self, number: int) -> None:
        """Send it a signal, such as SIGSTOP."""
        self.process.send_signal(number)


@asynccontextmanager
async def offending(server: Server, name: str, **options: object) -> AsyncIterator[Offender]:
    """Run an offender that is in place, until the block ends; then ``facts`` is its report."""
    if name != "past":
        options["offender"] = name
    settings = json.dumps({"port": server.port, **options})
    core = str(server.cores[1])
    module = {"giant": "giant_clients", "past": "past_clients"}.get(name, "offender")
    process = await asyncio.create_subprocess_exec(
        *("taskset", "--cpu-list", core, sys.executable, "-m", f"benchmarks.strain.{module}"),
        settings,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
        cwd=_REPO,
    )
    offender = Offender(process)
    try:
        await offender.hear()
        yield offender
        offender.tell()
        offender.facts = await offender.hear()
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@dataclass(frozen=True, slots=True)
class Strain:
    """One thing that gets in the innocents' way."""

    name: str
    what: str
    run: Callable[[Kind, Setting], Awaitable[Figures]]


def reset_peak(pid: int) -> float:
    """Forget the peak of a server's memory so far; return what it has now, in MB."""
    for member in proc.family(pid):
        Path(f"/proc/{member}/clear_refs").write_text("5")
    return proc.rss_kb(pid) / 1024


def peak_mb_since(pid: int, before_mb: float) -> float:
    """Return by how much the server's memory grew at most since ``reset_peak``, in MB."""
    return proc.peak_rss_kb(pid) / 1024 - before_mb


def loads(server: Server, before_mb: float, usage: proc.Usage) -> Figures:
    """Return the figures of a stretch that the server's machine has."""
    return {
        "growth_mb": peak_mb_since(server.serving_pid, before_mb),
        "server_cpu": 100 * usage.server_s / usage.wall_s,
        "others_cpu": 100 * usage.others_s / usage.wall_s,
    }


def told(facts: dict[str, Any]) -> str:
    """Say how an offender's connections ended."""
    return "; ".join(f"{count} x {how}" for how, count in facts.get("ends", {}).items())


def waits(innocents: Innocents, key: str, since: float, until: float) -> Figures:
    """Return the figures of a stretch, for the offender's room and for the others."""
    found: Figures = {}
    for place, groups in (("room", innocents.shared), ("others", innocents.others)):
        wait = innocents.waits(groups, since, until)
        if isinstance(wait, Wait):
            found[f"{place}_{key}p50_ms"] = wait.p50_ms
            found[f"{place}_{key}p99_ms"] = wait.p99_ms
            found[f"{place}_{key}max_ms"] = wait.max_ms
    return found


Offence = Callable[[Server, Figures], AbstractAsyncContextManager[None]]


async def hold(
    kind: Kind,
    setting: Setting,
    offence: Offence,
    *,
    settle_s: float = 0.0,
    shared: bool = True,
    fill: Callable[[Path], Awaitable[None]] | None = None,
) -> Figures:
    """Measure the innocents alone, then while an offence lasts; prove that they lost nothing.

    ``settle_s`` passes between the offence's beginning and the measurement. ``shared`` says
    whether some innocents are in the offender's room; ``fill`` puts into the server's folder what
    is to be there when it starts.
    """
    seconds = setting.warm_up_s + 2 * setting.seconds + settle_s + 240
    innocents = Innocents(kind, seconds, shared=shared)
    figures: Figures = {}
    async with running(kind, setting, fill) as server:
        await innocents.join(server)
        async with living(innocents.clients), innocents.typing(), resting_collector():
            await asyncio.sleep(setting.warm_up_s)
            quiet = time.perf_counter()
            await asyncio.sleep(setting.seconds)
            figures |= waits(innocents, "alone_", quiet, time.perf_counter() - 0.2)
            before_mb = reset_peak(server.serving_pid)
            async with offence(server, figures):
                await asyncio.sleep(settle_s)
                moment, since = server.moment(), time.perf_counter()
                await asyncio.sleep(setting.seconds)
                usage, until = moment.usage(), time.perf_counter()
            figures |= loads(server, before_mb, usage)
            await innocents.finish(server)
            figures |= waits(innocents, "", since, until)
    return figures


def pause(offender: Offender) -> None:
    """Stop an offender as a laptop's lid does."""
    offender.signal(signal.SIGSTOP)


def unpause(offender: Offender) -> None:
    """Let it go on."""
    offender.signal(signal.SIGCONT)
