"""A large document's state, made of its updates, proven, and cut for newcomers.

Runs as a process of its own, ``python -m crdtsync.condensing``: pycrdt takes 30 ms of a state of
5 MB and holds Python's lock all the while, the proof takes ten times that, and the process
survives what pycrdt may do to it. Standard input is a pickle of a frame's size and the updates,
standard output one of the state and its frames. Exit code 0: proven; 3: not, standard error says
why.
"""

import contextlib
import gc
import os
import pickle
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import IO, Final

from crdtsync.clock import SystemClock
from crdtsync.crdt import Replica
from crdtsync.errors import CrdtsyncError
from crdtsync.limits import Limits, trusting
from crdtsync.portions import frames_of
from crdtsync.proof import prove_state
from crdtsync.state_vector import encode_state_vector
from crdtsync.update import scan

__all__ = ["UNPROVEN", "Condensed", "condense", "read_condensed", "write_parts"]

UNPROVEN: Final = 3
"""The exit code where there is no proven state."""
NICENESS: Final = 10
"""It is in no hurry: on a busy machine the server goes first."""

Condensed = tuple[bytes, list[bytes]]
"""A proven state, and the same as updates of a frame's size."""


class _WorkingTime(SystemClock):
    """A clock that stands still while the process gets no turn."""

    def monotonic_s(self) -> float:
        return time.process_time()


def condense(parts: Sequence[bytes], max_frame_bytes: int) -> Condensed:
    """Make one state of updates that follow one another, with all that they bring.

    Raises ``IntegrationError``.
    """
    limits = replace(trusting(Limits()), max_frame_bytes=max_frame_bytes)
    clocks: dict[int, int] = {}
    for part in parts:
        for client, _, end in scan(part, limits).ranges:
            clocks[client] = max(end, clocks.get(client, 0))
    replica = Replica(clock=_WorkingTime())
    replica.apply(parts)
    state = replica.state()
    prove_state(state, encode_state_vector(clocks))
    return state, frames_of(state, limits)


def write_parts(target: IO[bytes], parts: Sequence[bytes], max_frame_bytes: int) -> None:
    """Write what the process reads."""
    pickle.dump((max_frame_bytes, parts), target, pickle.HIGHEST_PROTOCOL)


def read_condensed(source: IO[bytes]) -> Condensed:
    """Read what the process has written."""
    state, frames = pickle.load(source)
    return state, [state] if frames is None else frames


def _main() -> int:
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    gc.disable()  # it ends with its answer
    max_frame_bytes, parts = pickle.load(sys.stdin.buffer)
    try:
        state, frames = condense(parts, max_frame_bytes)
    except CrdtsyncError as error:
        sys.stderr.write(str(error))
        return UNPROVEN
    answer = state, None if frames == [state] else frames
    pickle.dump(answer, sys.stdout.buffer, pickle.HIGHEST_PROTOCOL)
    return 0


if __name__ == "__main__":
    sys.exit(_main())
