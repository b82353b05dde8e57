"""Read what processes cost from the kernel: CPU time, memory, and who else used the cores.

Linux only: the figures come from /proc and from the per-process CPU clocks.
"""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

_CLOCK_SCHED = 2
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """List a process and all its living descendants."""
    found = [pid]
    for parent in found:
        try:
            tasks = list(Path(f"/proc/{parent}/task").iterdir())
        except FileNotFoundError:
            continue
        for task in tasks:
            try:
                found.extend(int(child) for child in (task / "children").read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def cpu_s(pid: int) -> float:
    """Return user plus system seconds of a process, its threads and its living descendants."""
    total = 0
    for member in family(pid):
        try:
            # The clock id of another process, as clock_getcpuclockid(3) computes it.
            total += time.clock_gettime_ns((~member << 3) | _CLOCK_SCHED)
        except OSError:
            continue
    return total / 1e9


def _status_kb(pid: int, field: str) -> int:
    total = 0
    for member in family(pid):
        try:
            lines = Path(f"/proc/{member}/status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith(field))
    return total


def rss_kb(pid: int) -> int:
    """Return the resident memory of a process and its descendants in KiB."""
    return _status_kb(pid, "VmRSS:")


def peak_rss_kb(pid: int) -> int:
    """Return the highest resident memory that a process and its descendants ever had in KiB."""
    return _status_kb(pid, "VmHWM:")


def _core_busy_s(core: int) -> float:
    with open("/proc/stat") as stat:
        for line in stat:
            name, *fields = line.split()
            if name == f"cpu{core}":
                user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
                return (user + nice + system + irq + softirq + steal) * _TICK_S
    raise ValueError(f"there is no core {core}")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a stretch of time cost: seconds of wall clock and of CPU."""

    wall_s: float
    server_s: float
    load_s: float
    others_s: float
    """CPU that neither the server nor the load generator used, on their two cores."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A reading of all the clocks, from which `since` makes a usage."""

    pid: int
    cores: tuple[int, int]
    wall_s: float
    server_s: float
    load_s: float
    busy_s: float

    @classmethod
    def now(cls, pid: int, cores: tuple[int, int]) -> Moment:
        """Read the clocks of a server process, of this process and of their two cores."""
        busy = sum(_core_busy_s(core) for core in sorted(set(cores)))
        return cls(pid, cores, time.perf_counter(), cpu_s(pid), time.process_time(), busy)

    def usage(self) -> Usage:
        """Return what was used from this moment to now."""
        end = Moment.now(self.pid, self.cores)
        server, load = end.server_s - self.server_s, end.load_s - self.load_s
        others = max(0.0, end.busy_s - self.busy_s - server - load)
        return Usage(end.wall_s - self.wall_s, server, load, others)


def machine() -> dict[str, str]:
    """Describe the machine in the words a reader of the results needs."""
    model = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model,
        "cores": str(os.cpu_count()),
        "memory": f"{pages / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
    }
