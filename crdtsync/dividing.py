"""Updates that would hold the event loop up for long are let in by portions, with turns between.

Owns which those are, and how they are cut. A portion is an update like any other, and is decided
on as one; only what the whole deletes is known of each, for what may stand where goes by that.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

from crdtsync.document import Document
from crdtsync.idset import IdSet
from crdtsync.joining import write_deletes
from crdtsync.limits import Limits, trusting
from crdtsync.ordering import Ordered, pieces_of
from crdtsync.structs import Range, Scan
from crdtsync.update import MARKED_STRUCTS, scan

__all__ = [
    "LONG_DELETES", "LONG_STRUCTS", "divided", "is_long", "is_long_to_decide", "takes_long",
]  # fmt: skip

LONG_STRUCTS = 4 * MARKED_STRUCTS
"""Structs that are looked into one by one in a turn: some 4 us each."""
LONG_DELETES = 20_000
"""Deleted ranges that are let in in a turn: some 0.3 us each."""
PORTION_DELETES = 5_000
LONG_TOGETHER = 20_000
"""Structs, or deleted ranges, of what hangs together: 0.3 s, at some 15 us each."""


def is_long(found: Scan) -> bool:
    """Return whether an update has so many structs that looking into each takes long."""
    return sum([count for _, _, count in found.bodies]) > LONG_STRUCTS


def is_long_to_decide(found: Scan, *, channels: bool) -> bool:
    """Return whether to look where all of an update is would take others' turn for long.

    Where there are ``channels``, an update in which keys are set anew, or deleted, hangs together:
    of a message that was edited twice one part would say that it is deleted, and the next one what
    replaces it. So it takes longer before that is divided.
    """
    deletes, structs = len(found.deletes), sum([count for _, _, count in found.bodies])
    if channels and deletes and found.keys:
        return max(deletes, structs) > LONG_TOGETHER
    return deletes > PORTION_DELETES or structs > LONG_STRUCTS


def takes_long(found: Scan, document: Document) -> bool:
    """Return whether letting an update in, as it is, would take others' turn for long."""
    if len(found.deletes) <= LONG_DELETES:
        if not is_long(found):
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
    that something was left out, because it lacks something. Reads single clocks of the document,
    a copy of all, and what is deleted, and nothing else of it.
    """
    ordered = None
    if len(found.bodies) > 1 or found.skips:
        ordered = Ordered(update, found, dict(document.clocks))
    going = IdSet()
    going.add(found.deletes)
    return _portions(update, found, document, trusting(limits), ordered, going)


def _portions(
    update: bytes,
    found: Scan,
    document: Document,
    limits: Limits,
    ordered: Ordered | None,
    going: IdSet,
) -> Iterator[tuple[bytes, Scan] | None]:
    """Give first the structs, each with its own deletion, then the other deletions.

    So nobody is shown what is deleted, and none of it depends on a portion that may never come.
    """
    inside = bool(found.types or found.parents or found.keys or found.pairs)
    complete = ordered is not None
    left = ordered is not None and ordered.left
    for piece in _pieces(update, found, ordered):
        portion = scan(piece, limits, structs=inside or document.detailed)
        if not (complete or document.fits(portion)):
            left = True
            break
        own = tuple(islice(_own(portion, document, going), PORTION_DELETES))
        if len(own) == PORTION_DELETES:
            own += tuple(_several(portion, document, going, own))
        data = piece[:-1] + write_deletes(own) if own else piece
        yield data, portion.among(going, own, complete=complete)
    if not (left and found.keys):  # else a key whose next value is left out would seem deleted
        for at in range(0, len(found.deletes), PORTION_DELETES):
            deletes = found.deletes[at : at + PORTION_DELETES]
            fits = tuple(_within(deletes, document))
            left = left or fits != deletes
            fresh = [each for each in fits if not document.deleted.covers((each,))]
            if fresh:
                data = b"\x00" + write_deletes(fresh)
                yield data, scan(data, limits)
    if left:
        yield None


def _pieces(update: bytes, found: Scan, ordered: Ordered | None) -> Iterator[bytes]:
    """Cut the structs, without any deletions."""
    if ordered is not None:
        return ordered.pieces(MARKED_STRUCTS)
    return (piece for _, piece, _ in pieces_of(update, found))


def _own(portion: Scan, document: Document, going: IdSet) -> Iterator[Range]:
    """Return what is deleted of a portion itself, and not known yet."""
    for client, start, end in portion.ranges:
        known = max(start, document.clocks.get(client, 0))
        if known < end:
            for first, last in going.common(client, known, end):
                yield client, first, last


def _several(portion: Scan, document: Document, going: IdSet, own: Iterable[Range]) -> list[Range]:
    """Return what else has to come deleted: several values under a key."""
    had = IdSet()
    had.add(own)
    clocks = document.clocks
    found = [
        (each.client, max(each.clock, clocks.get(each.client, 0)), each.clock + each.length)
        for each in portion.structs or ()
        if each.keyed and each.length > 1
    ]
    return [
        each
        for each in found
        if each[1] < each[2] and going.covers((each,)) and not had.covers((each,))
    ]


def _within(deletes: Iterable[Range], document: Document) -> Iterator[Range]:
    """Return what of some ranges is known."""
    for client, start, end in deletes:
        known = document.clocks.get(client, 0)
        if start < known:
            yield client, start, min(end, known)
