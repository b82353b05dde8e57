"""``crdtsync serve`` is two processes, a supervisor and the serving one: finding, ending both."""

import os
import signal
import subprocess
import time

import psutil

__all__ = ["kill", "serving_process", "wait_gone"]


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
