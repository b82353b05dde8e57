"""Updates that would hold the event loop up for long are let in by portions, with turns between.

Owns which those are, and how they are cut. A portion is an update like any other, and is decided
on as one; only what the whole deletes is known of each, for what may stand where goes by that.
"""

from collections.abc import Iterable, Iterator
from itertools import chain

from crdtsync.document import Document
from crdtsync.encoding import write_var_uint
from crdtsync.idset import IdSet
from crdtsync.joining import write_deletes
from crdtsync.limits import Limits, trusting
from crdtsync.slicing import slice_new
from crdtsync.structs import Range, Scan
from crdtsync.update import MARKED_STRUCTS, scan

__all__ = ["LONG_DELETES", "LONG_STRUCTS", "divided", "takes_long"]

LONG_STRUCTS = 4 * MARKED_STRUCTS
"""Structs that are looked into one by one in a turn: some 4 us each."""
LONG_DELETES = 20_000
"""Deleted ranges that are let in in a turn: some 0.3 us each."""
PORTION_DELETES = 5_000


def takes_long(found: Scan, document: Document) -> bool:
    """Return whether letting an update in, as it is, would take others' turn for long."""
    if len(found.deletes) <= LONG_DELETES:
        if sum([count for _, _, count in found.bodies]) <= LONG_STRUCTS:
            return False
        roots, root = found.roots, document.root
        if not (
            found.types
            or found.parents
            or found.keys
            or found.pairs
            or document.detailed
            or len(roots) > 1
            or (roots and root is not None and root not in roots)
            or document.overlaps(found)
            or not (found.complete or document.fits(found))
        ):
            return False
    return not document.knows(found)


def divided(
    update: bytes, found: Scan, document: Document, limits: Limits
) -> Iterator[tuple[bytes, Scan] | None]:
    """Cut a long update into portions, each to be let in behind the one before; on any thread.

    They come with their scans, made as they are taken: on the event loop. ``None`` at the end says
    that what follows was left out, because it lacks something. Reads single clocks of the document,
    and a copy of all, and nothing else of it.
    """
    going = IdSet()
    going.add(found.deletes)
    if len(found.bodies) > 1:
        clocks = dict(document.clocks)
        if found.structs is None:
            found = scan(update, trusting(limits), structs=True)
        slices = slice_new(update, found, clocks, limits, max_structs=MARKED_STRUCTS)
        left = () if slices.rest is None else (None,)
        return chain(_portions(slices.ready, going, limits), left)
    if found.skips:  # its writer waits for something, too
        return iter((None,))
    return _up_to_a_gap(_portions(_by_marks(update, found), going, limits), document)


def _by_marks(update: bytes, found: Scan) -> Iterator[bytes]:
    """Cut one client's update where the reader made its marks; its deletions come last."""
    if found.bodies:
        ((client, clock, _),), ((start, end, left),) = found.ranges, found.bodies
        for next_clock, position, next_left in (*found.marks, (0, end, 0)):
            head = (1, left - next_left, client, clock)
            yield b"".join((*map(write_var_uint, head), update[start:position], b"\x00"))
            clock, start, left = next_clock, position, next_left
    yield from _deletions(found.deletes)


def _deletions(deletes: tuple[Range, ...]) -> Iterator[bytes]:
    for at in range(0, len(deletes), PORTION_DELETES):
        yield b"\x00" + write_deletes(deletes[at : at + PORTION_DELETES])


def _up_to_a_gap(
    portions: Iterable[tuple[bytes, Scan]], document: Document
) -> Iterator[tuple[bytes, Scan] | None]:
    for portion in portions:
        if not document.fits(portion[1]):
            yield None
            return
        yield portion


def _portions(
    pieces: Iterable[bytes], going: IdSet, limits: Limits
) -> Iterator[tuple[bytes, Scan]]:
    stored = trusting(limits)
    for piece in pieces:
        found = scan(piece, stored, structs=True)
        parts = [piece]
        if len(found.deletes) > LONG_DELETES:
            structs = piece[: found.bodies[-1][1]] + b"\x00" if found.bodies else b""
            parts = [*([structs] if structs else ()), *_deletions(found.deletes)]
        for part in parts:
            yield part, (found if part is piece else scan(part, stored, structs=True)).among(going)
