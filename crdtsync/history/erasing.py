"""Histories with less in them: moments that went, content that nobody can read any more.

Pure, and proven: what is returned says the same of each moment that is kept.
"""

from collections.abc import Iterator
from typing import NamedTuple

from crdtsync.crdt import IntegrationError, Replica
from crdtsync.encoding import write_var_uint
from crdtsync.history.cutting import head_of
from crdtsync.history.model import Stored
from crdtsync.history.past import Past
from crdtsync.history.proving import Unproven, prove_moments
from crdtsync.history.retention import Retention, kept_moments
from crdtsync.history.sieve import NOBODY
from crdtsync.history.timeline import Timeline
from crdtsync.idset import IdSet
from crdtsync.joining import assemble
from crdtsync.limits import Limits, trusting
from crdtsync.slicing import content_offset, cut_struct
from crdtsync.structs import DELETED, GC, SKIP, TYPE, Scan, Struct
from crdtsync.update import scan

__all__ = ["Marked", "Thinned", "blanked", "erased", "renamed", "thinned"]

_KIND_BITS = 0x1F


class Marked(NamedTuple):
    """A version, as far as it matters for what may go."""

    id: int
    sequence: int
    named: bool
    """Whether somebody has named it: then its moment stays."""


class Thinned(NamedTuple):
    """What is left."""

    stored: Stored | None
    """``None`` where nothing goes."""
    before: int
    """How many moments there were,"""
    after: int
    """and how many stay."""
    versions: tuple[int, ...]
    """The ids of versions that go with their moments."""


def thinned(
    stored: Stored, versions: tuple[Marked, ...], retention: Retention, now_ms: int
) -> Thinned:
    """Return a history without the moments that are too old. Raises ``HistoryDamaged``."""
    timeline = Timeline(stored.head, stored.blocks)
    moments = list(timeline.moments())
    named = {each.sequence for each in versions if each.named}
    kept = kept_moments(moments, named, retention, now_ms)
    there = {sequence for sequence, _ in moments}
    lost = tuple(
        each.id
        for each in versions
        if not each.named and each.sequence in there and each.sequence not in kept
    )
    if len(kept) == len(there):
        return Thinned(None, len(there), len(there), lost)
    left = timeline.thinned(lambda sequence, _: sequence in kept)
    head, blocks = left.write()
    new = stored_with(stored, head, blocks)
    prove_moments(Past.open(stored), Past.open(new), verbatim=True)
    return Thinned(new, len(there), len(kept), lost)


def stored_with(stored: Stored, head: bytes, blocks: tuple[bytes, ...]) -> Stored:
    """Return a history with another timeline of the same length."""
    return Stored(stored.sequence, head, stored.structs, blocks)


def renamed(stored: Stored, author: str, to: str) -> Stored | None:
    """Return a history in which an author's work is another's; ``None`` where there is none."""
    if author == NOBODY or author not in Timeline(stored.head).authors:
        return None
    head, blocks = Timeline(stored.head, stored.blocks).renamed(author, to).write()
    new = stored_with(stored, head, blocks)
    if author in Timeline(new.head, new.blocks).authors:
        raise Unproven("the author's id is still there")
    return new


def erased(stored: Stored, sequence: int, verbatim: bool) -> Stored:
    """Return a history that begins with a moment, and in which what was deleted by then is blank.

    What a ``verbatim`` document deletes without saying so, such as the children of a deleted
    type, is not known, and stays. Raises ``UnknownMoment``, ``HistoryDamaged``, ``Unproven``.
    """
    past = Past.open(stored)
    gone = IdSet()
    gone.add(past.timeline.snapshot(sequence).deletes)
    if not verbatim:
        try:
            state = Replica(past.update_at(sequence)).state()
        except IntegrationError as error:
            raise Unproven(f"the moment can't be read by the CRDT library: {error}") from None
        gone.add(scan(state, trusting(Limits())).deletes)
    structs = blanked(past.structs, past.found, gone)
    timeline = past.timeline.thinned(lambda each, _: each >= sequence)
    new = Past(timeline, structs).stored()
    again = Past.open(new)
    prove_moments(past, again, verbatim=verbatim)
    for struct in again.found.structs or ():
        if struct.kind not in (GC, SKIP, DELETED, TYPE):
            rest = sum(end - start for start, end in _live(struct, gone))
            if rest < struct.length:
                raise Unproven("something of what was to be erased is still there")
    return new


def blanked(data: bytes, found: Scan, gone: IdSet) -> bytes:
    """Return an update in which some clocks hold nothing any more, in the same places.

    ``found`` comes with structs. Shared types stay: what lies in them refers to them.
    """
    blocks: dict[int, tuple[int, int, int, list[bytes]]] = {}
    parts: dict[int, list[bytes]] = {}
    for struct in found.structs or ():
        parts.setdefault(struct.client, []).extend(_pieces(data, struct, gone))
    for client, start, end in found.ranges:
        own = parts[client]
        blocks[client] = (start, end, len(own), own)
    return assemble(blocks, ())[0]


def _live(struct: Struct, gone: IdSet) -> Iterator[tuple[int, int]]:
    return gone.missing(struct.client, struct.clock, struct.clock + struct.length)


def _pieces(data: bytes, struct: Struct, gone: IdSet) -> Iterator[bytes]:
    """Yield a struct in pieces: what stays as it is, and what is blank."""
    whole = data[struct.start : struct.end]
    live = list(_live(struct, gone))
    if struct.kind in (GC, SKIP, DELETED, TYPE) or live == [
        (struct.clock, struct.clock + struct.length)
    ]:
        yield whole
        return
    position = struct.clock
    for start, end in [*live, (struct.clock + struct.length, struct.clock + struct.length)]:
        if position < start:
            yield _blank(*_part(data, struct, position), start - position)
        if start < end:
            yield head_of(*_part(data, struct, start), end - start)
        position = end


def _part(data: bytes, struct: Struct, start: int) -> tuple[bytes, Struct]:
    """Return a struct without what is before ``start``: bytes, and where it lies in them."""
    if start == struct.clock:
        return data, struct
    rest = cut_struct(data, struct, start - struct.clock)
    return rest, struct._replace(
        clock=start,
        length=struct.clock + struct.length - start,
        start=0,
        end=len(rest),
        origin=(struct.client, start - 1),
        parent=None,
        key=None,
    )


def _blank(data: bytes, struct: Struct, length: int) -> bytes:
    """Return a struct with nothing in it, in its place."""
    info = data[struct.start] & ~_KIND_BITS | DELETED
    head = data[struct.start + 1 : content_offset(data, struct)]
    return bytes((info,)) + head + write_var_uint(length)
