"""Disks that fill up or fail under a running server, and that are well again later."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.crash.nursery import Victim
from tests.needs import require

__all__ = ["LIBFIU", "Disk", "failing", "small"]

LIBFIU = Path("/usr/lib/fiu/fiu_posix_preload.so")
"""Where Debian's libfiu0 has it."""
SMALL_BYTES = 8 * 1024 * 1024
LEFT_BYTES = 4 * 1024
"""What is left of a full disk: an edit or two may still find a place."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A folder, and what breaks and mends the disk that it is on."""

    folder: Path
    fail: Callable[[Victim], None]
    mend: Callable[[Victim], None]


@contextmanager
def small(folder: Path) -> Iterator[Disk]:
    """A disk of 8 MiB, to be filled."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL_BYTES}", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    require(mounted.returncode == 0, "no small disk can be mounted (that takes root)")
    ballast = folder / "ballast"

    def fill(victim: Victim) -> None:
        with ballast.open("wb") as file:
            file.write(bytes(max(0, shutil.disk_usage(folder).free - LEFT_BYTES)))

    def empty(victim: Victim) -> None:
        ballast.unlink()

    try:
        yield Disk(folder, fill, empty)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def failing(folder: Path, calls: str, *, error: int, probability: float = 1) -> Iterator[Disk]:
    """A disk on which calls fail, by libfiu's names for them: ``posix/io/sync/*``."""
    require(LIBFIU.exists() and shutil.which("fiu-ctrl"), "libfiu is not installed")
    folder.mkdir()

    def tell(victim: Victim, command: str) -> None:
        told = subprocess.run(
            ["fiu-ctrl", "-f", str(victim.faults), "-c", command, str(victim.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 0, told
        assert "error" not in (told.stdout + told.stderr).lower(), told

    def fail(victim: Victim) -> None:
        how = f"name={calls},failinfo={error}"
        if probability < 1:
            tell(victim, f"enable_random {how},probability={probability}")
        else:
            tell(victim, f"enable {how}")

    def mend(victim: Victim) -> None:
        tell(victim, f"disable name={calls}")

    yield Disk(folder, fail, mend)
