"""Cutting an update that stands by itself: into frames for clients, portions for pycrdt.

Owns what an update's parts are worth as one message, and as one transaction. Whoever gets them
has all that the update refers to and does not bring; that can be told from the update alone.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from crdtsync.errors import InvalidUpdate
from crdtsync.joining import join_updates
from crdtsync.limits import Limits, trusting
from crdtsync.slicing import slice_update
from crdtsync.structs import EMPTY_UPDATE, Layout, Scan
from crdtsync.update import scan

__all__ = ["PORTION_BYTES", "Part", "compact", "frames_of", "is_loose", "portions_of"]

PORTION_BYTES: Final = 16 * 1024
"""So much is integrated in one transaction: what that costs grows faster than its size."""
MAX_JOINING_BYTES: Final = 4 * 1024 * 1024
"""Above this an update is cut into portions; see ``Scan.joining``."""

COMPACT_BELOW_BYTES: Final = 64 * 1024
"""Smaller neighbours are joined."""

_UNLIMITED: Final = trusting(Limits())

Part = tuple[bytes, Layout]


def frames_of(update: bytes, limits: Limits) -> list[bytes]:
    """Cut a large update, so that a client on a slow line hears something now and then."""
    if update == EMPTY_UPDATE:
        return []
    if len(update) <= limits.max_frame_bytes:
        return [update]
    pieces = _cut(update, scan(update, limits, structs=True), limits.max_frame_bytes)
    return [update] if pieces is None else pieces


def compact(parts: list[Part], limits: Limits) -> list[Part]:
    """Join small neighbours of updates that follow one another, and cut large ones, for clients."""
    if len(parts) > 1:
        joined: list[Part] = []
        for group in _groups(parts):
            one = join_updates(group)
            joined += group if one is None else [one]
        parts = joined
    if any(len(update) > limits.max_frame_bytes for update, _ in parts):
        parts = [part for whole in parts for part in _cut_part(whole, limits)]
    return parts


def _groups(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Group small neighbours; a large one stays alone."""
    group: list[Part] = []
    size = 0
    for part in parts:
        if group and size + len(part[0]) > COMPACT_BELOW_BYTES:
            yield group
            group, size = [], 0
        group.append(part)
        size += len(part[0])
    if group:
        yield group


def _cut_part(part: Part, limits: Limits) -> list[Part]:
    pieces = frames_of(part[0], limits)
    return [part] if len(pieces) == 1 else [(each, scan(each, limits)) for each in pieces]


def portions_of(update: bytes) -> list[bytes]:
    """Cut an update into what is best integrated in one transaction each.

    Only one that is loose (``is_loose``) is cut. Raises ``InvalidUpdate``.
    """
    if len(update) <= PORTION_BYTES:
        return [update]
    if not is_loose(update, scan(update, _UNLIMITED)):
        return [update]
    pieces = _cut(update, scan(update, _UNLIMITED, structs=True), PORTION_BYTES)
    if pieces is None:
        raise InvalidUpdate("the update leaves holes")
    return pieces


def is_loose(update: bytes, found: Scan) -> bool:
    """Return whether an update's items take much memory to be joined.

    They are joined with their neighbours from the last to the first when a transaction
    ends, and each string on the way stays until then: n characters that came as n items take
    n squared, halved, in bytes. What came out of the library is joined already.
    """
    if len(update) <= PORTION_BYTES:
        return False
    joining = found.joining
    if joining is None:
        joining = len(update) * sum(count for _, _, count in found.bodies)
    return joining > MAX_JOINING_BYTES


def _cut(update: bytes, found: Scan, max_bytes: int) -> list[bytes] | None:
    """Cut an update for one who has everything but the ranges that it brings."""
    before: dict[int, int] = dict(found.needs)
    for client, _, end in found.deletes:
        before[client] = max(end, before.get(client, 0))
    starts: dict[int, int] = {}
    for client, start, _ in found.ranges:
        starts[client] = min(start, starts.get(client, start))
    before.update(starts)
    slices = slice_update(update, found, before, max_bytes=max_bytes)
    return slices.ready if slices.rest is None else None
