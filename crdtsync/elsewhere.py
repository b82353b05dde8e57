"""A document's state, made and proven in a process of its own.

Owns what the end of that process means: the state, a reason why there is none, or a death that
this process would have died, too.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

import anyio.to_thread

from crdtsync.condensing import UNPROVEN, Condensed, read_condensed, write_parts
from crdtsync.crdt import IntegrationError
from crdtsync.guard import CRASHES
from crdtsync.yielding import Yielding

__all__ = ["Died", "condense_elsewhere"]

log = logging.getLogger("crdtsync")

TIMEOUT_S: Final = 120.0
"""What takes longer than this does not end: a megabyte takes some 100 ms."""


class Died(IntegrationError):
    """The process crashed: this one would have, too."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"its proof ended with signal {signum}")
        self.signum = signum


async def condense_elsewhere(
    parts: Sequence[bytes], max_frame_bytes: int, yielding: Yielding
) -> Condensed | None:
    """Make a proven state of updates; ``None`` where there can be no process for it.

    Raises ``IntegrationError`` where there is no such state.
    """
    path = os.pathsep.join(each or os.getcwd() for each in sys.path)
    try:
        done = await anyio.to_thread.run_sync(
            partial(
                yielding.run,
                [sys.executable, "-m", "crdtsync.condensing"],
                partial(write_parts, parts=parts, max_frame_bytes=max_frame_bytes),
                read_condensed,
                env={**os.environ, "PYTHONPATH": path},
                timeout_s=TIMEOUT_S,
            ),
            abandon_on_cancel=True,
        )
    except OSError as error:
        log.warning("no process for a proof: %s", error)
        return None
    except subprocess.TimeoutExpired:
        raise IntegrationError(f"its proof takes over {TIMEOUT_S:.0f} s") from None
    if done.answer is not None:
        return done.answer
    if done.code == UNPROVEN:
        raise IntegrationError(done.problem)
    if -done.code in CRASHES:  # pycrdt does not survive it
        raise Died(-done.code)
    log.warning("the process for a proof ended with %d", done.code)
    return None
