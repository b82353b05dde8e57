"""How many files and sockets the process may have open, and what of that clients may take.

Knows the operating system's limit and nothing of who uses it. The rest, a reserve, is the
store's and the server's own: a commit must not fail because too many clients came.
"""

import logging
import sys
from typing import Final

if sys.platform != "win32":  # which has no such limit
    import resource

__all__ = ["UNLIMITED", "client_descriptors", "raise_descriptor_limit"]

log = logging.getLogger("crdtsync")

UNLIMITED: Final = sys.maxsize


def raise_descriptor_limit(wanted: int) -> None:
    """Let the process open ``wanted`` files and sockets, or as many as the system allows it.

    What a shell or a service manager gives to begin with (often 1,024) is meant for programs
    that count them in fixed tables.
    """
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return
    new = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    while new > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (new, hard))
            return
        except (OSError, ValueError) as error:  # macOS has a lower limit that is not told
            log.debug("the limit of open files can't be %d: %s", new, error)
        new //= 2


def client_descriptors(reserved: int) -> int:
    """Return the lowest descriptor that is no client's: all below it are, or are in use.

    Of a limit so small that the reserve would take more than half, clients get half.
    """
    if sys.platform == "win32":
        return UNLIMITED
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return UNLIMITED if soft == resource.RLIM_INFINITY else max(soft - reserved, soft // 2)
