"""Programs that tests start: what they find around them, and how all of one is ended.

``crdtsync serve`` is two processes, a supervisor and the serving one.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil

__all__ = ["environment", "kill", "serving_process", "wait_gone"]


def environment(**extra: str) -> dict[str, str]:
    """Return this process's environment with our source tree, and without our variables."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CRDTSYNC_")}
    return kept | {"PYTHONPATH": str(Path(__file__).parents[1])} | extra


def serving_process(supervisor: int) -> int:
    """Return the process that serves clients for a supervisor."""
    (child,) = psutil.Process(supervisor).children()
    return child.pid


def wait_gone(process: psutil.Process, timeout_s: float) -> None:
    """Wait until a process that is nobody's child here has ended, taken note of or not."""
    deadline = time.monotonic() + timeout_s
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"{process} does not end"
        time.sleep(0.01)


def kill(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """End a process with all below it by SIGKILL, none of them seeing the others go."""
    try:
        top = psutil.Process(process.pid)
        if process.poll() is None:
            family = [top]
            for each in family:  # stopped from the top down, so that nothing is started meanwhile
                each.suspend()
                family += each.children()
            for each in reversed(family):
                os.kill(each.pid, signal.SIGKILL)
    except (psutil.NoSuchProcess, ProcessLookupError):
        pass
    process.kill()
    process.wait()
