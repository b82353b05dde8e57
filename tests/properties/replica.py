"""What Yjs does by itself and pycrdt does not show: updates wait for what they refer to."""

from typing import Any

import pycrdt

from crdtsync.limits import Limits
from crdtsync.state_vector import read_state_vector
from crdtsync.structs import Scan
from crdtsync.update import scan

__all__ = ["READER", "Early", "integrate"]

READER = Limits()
Early = list[tuple[bytes, Scan]]
"""Updates that came before what they refer to."""


def integrate(doc: pycrdt.Doc[Any], early: Early, update: bytes) -> None:
    """Apply an update, and early ones, once all is there that they refer to."""
    early.append((update, scan(update, READER)))
    progress = True
    while progress:
        progress = False
        for each in early:
            if _fits(doc, each[1]):
                early.remove(each)
                doc.apply_update(each[0])
                progress = True
                break


def _fits(doc: pycrdt.Doc[Any], found: Scan) -> bool:
    clocks = read_state_vector(doc.get_state(), READER)
    if found.skips or any(clocks.get(each, 0) < start for each, start, _ in found.ranges):
        return False
    for each, _, end in found.ranges:
        clocks[each] = max(end, clocks.get(each, 0))
    needs = [*found.needs.items(), *((each, end) for each, _, end in found.deletes)]
    return all(clocks.get(each, 0) >= end for each, end in needs)
