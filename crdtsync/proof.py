"""The proof that a state reloads to the same document, before anything older is let go.

Reading a state takes the update reader some 100 ms a megabyte, and pycrdt as long as it likes;
so for a large one that is done by a process of its own: see ``condensing``.
"""

from typing import Final

from crdtsync.crdt import IntegrationError, Replica
from crdtsync.errors import InvalidUpdate
from crdtsync.guard import NO_WATCH, Watch, Work
from crdtsync.limits import Limits, trusting
from crdtsync.portions import is_loose
from crdtsync.state_vector import read_state_vector
from crdtsync.update import scan

__all__ = ["prove_state"]

_UNLIMITED: Final = trusting(Limits())


def prove_state(state: bytes, state_vector: bytes, watch: Watch = NO_WATCH) -> None:
    """Prove that a state is sound, and that pycrdt makes the same document of it again.

    Raises ``IntegrationError`` where it is not so.
    """
    try:
        found = scan(state, _UNLIMITED)
    except InvalidUpdate as error:
        raise IntegrationError(f"the state can't be read back: {error}") from None
    again = Replica(state, watch, work=Work.PROVING, joined=not is_loose(state, found))
    there = read_state_vector(state_vector, _UNLIMITED)
    if read_state_vector(again.state_vector(), _UNLIMITED) != there:
        raise IntegrationError("the state reloads to another state vector")
    second = again.state()
    if second != state:
        reread = scan(second, _UNLIMITED)
        if set(reread.ranges) != set(found.ranges) or set(reread.deletes) != set(found.deletes):
            raise IntegrationError("the state reloads to another document")
