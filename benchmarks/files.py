"""Open files: what a process with thousands of sockets needs."""

from __future__ import annotations

import resource

__all__ = ["allow_files"]


def allow_files(wanted: int) -> None:
    """Raise this process's limit of open files, and that of the processes it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise RuntimeError(f"{wanted} open files needed, the limit is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
