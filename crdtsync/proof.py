"""The proof that a state reloads to the same document, before anything older is let go.

Reading a state takes the update reader some 100 ms a megabyte, and pycrdt as long as it likes;
so for a large one this module is run as a process of its own, ``python -m crdtsync.proof``,
which also survives what pycrdt may do to it. Standard input: the length of the state vector as
eight bytes, big-endian, the state vector, the state. Exit code 0: proven; 3: not, standard error
says why.
"""

import contextlib
import os
import sys
from typing import Final

from crdtsync.crdt import IntegrationError, Replica
from crdtsync.errors import CrdtsyncError, InvalidUpdate
from crdtsync.guard import NO_WATCH, Watch, Work
from crdtsync.limits import Limits, trusting
from crdtsync.state_vector import read_state_vector
from crdtsync.update import scan

__all__ = ["UNPROVEN", "pack", "prove_state"]

UNPROVEN: Final = 3
"""The exit code for a state that is not proven."""
PROOF_NICENESS: Final = 10
"""A proof is in no hurry: on a busy machine the server goes first."""

_UNLIMITED: Final = trusting(Limits())


def prove_state(state: bytes, state_vector: bytes, watch: Watch = NO_WATCH) -> None:
    """Prove that a state is sound, and that pycrdt makes the same document of it again.

    Raises ``IntegrationError`` where it is not so.
    """
    try:
        found = scan(state, _UNLIMITED)
    except InvalidUpdate as error:
        raise IntegrationError(f"the state can't be read back: {error}") from None
    again = Replica(state, watch, work=Work.PROVING)
    there = read_state_vector(state_vector, _UNLIMITED)
    if read_state_vector(again.state_vector(), _UNLIMITED) != there:
        raise IntegrationError("the state reloads to another state vector")
    second = again.state()
    if second != state:
        reread = scan(second, _UNLIMITED)
        if set(reread.ranges) != set(found.ranges) or set(reread.deletes) != set(found.deletes):
            raise IntegrationError("the state reloads to another document")


def pack(state: bytes, state_vector: bytes) -> bytes:
    """Return what the process reads."""
    return len(state_vector).to_bytes(8, "big") + state_vector + state


def _main() -> int:
    with contextlib.suppress(OSError):
        os.nice(PROOF_NICENESS)
    data = sys.stdin.buffer.read()
    border = 8 + int.from_bytes(data[:8], "big")
    try:
        prove_state(data[border:], data[8:border])
    except CrdtsyncError as error:
        sys.stderr.write(str(error))
        return UNPROVEN
    return 0


if __name__ == "__main__":
    sys.exit(_main())
