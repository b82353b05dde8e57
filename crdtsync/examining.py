"""A closer look at a large update before it is let in, on a thread.

Owns what takes long where its numbers alone don't say that it fits: whether each thing that it
refers to is in the document or in itself. What was found out stays true: clocks only grow.
"""

from crdtsync.document import Document
from crdtsync.limits import Limits, trusting
from crdtsync.slicing import causal_order
from crdtsync.structs import Scan
from crdtsync.update import scan

__all__ = ["examined"]


def examined(update: bytes, found: Scan, document: Document, limits: Limits) -> Scan:
    """Return the scan of an update, with all that ``document.admit`` would have to find out.

    For an update that was let through by the reader. May be called on any thread: it reads single
    clocks, and a copy of all, and nothing else of the document.
    """
    if document.fits(found) and not document.overlaps(found):
        return found
    if found.structs is None:
        found = scan(update, trusting(limits), structs=True)
    if found.skips or document.overlaps(found):
        return found
    structs, known = found.structs or [], dict(document.clocks)
    if len(causal_order(structs, known)) < len(structs):
        return found
    for client, _, end in found.ranges:
        known[client] = max(end, known.get(client, 0))
    if any(known.get(client, 0) < end for client, _, end in found.deletes):
        return found
    return found.completed()
