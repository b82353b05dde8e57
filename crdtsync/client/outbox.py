"""What was edited here and has not gone out yet: joined, cut, bounded.

Owns how edits become frames: those of one turn are joined into one, one that is too large is
cut where structs end, and where too much waits only the clocks are kept, for the document has
the rest.
"""

from collections.abc import Mapping

from crdtsync.client.options import Options
from crdtsync.joining import join_updates
from crdtsync.limits import Limits, trusting
from crdtsync.slicing import slice_update
from crdtsync.structs import Scan
from crdtsync.update import scan

__all__ = ["Outbox", "cut"]

_MOST = trusting(Limits())
_MAX_JOINED = 1000


def cut(update: bytes, known: Mapping[int, int], options: Options) -> list[bytes]:
    """Cut an update that fits on top of ``known`` into pieces of about ``max_frame_bytes``."""
    if len(update) <= options.max_frame_bytes:
        return [update]
    found = scan(update, _MOST, structs=True)
    slices = slice_update(update, found, known, max_bytes=options.max_frame_bytes)
    return [update] if slices.rest is not None else slices.ready


class Outbox:
    """Edits on their way to the socket."""

    __slots__ = ("_lowest", "_options", "_overflown", "_size", "_updates")

    def __init__(self, options: Options) -> None:
        self._options = options
        self._updates: list[tuple[bytes, Scan]] = []
        self._size = 0
        self._lowest: dict[int, int] = {}  # of each client the first clock that waits
        self._overflown = False

    def __bool__(self) -> bool:
        return bool(self._updates) or self._overflown

    def add(self, update: bytes, found: Scan) -> None:
        """Put an edit behind the others."""
        for client, start, _ in found.ranges:
            self._lowest.setdefault(client, start)
        self._size += len(update)
        if self._overflown or self._size > self._options.max_outbox_bytes:
            self._overflown = True
            self._updates.clear()
        else:
            self._updates.append((update, found))

    def clear(self) -> None:
        """Forget everything: it goes out in some other way."""
        self._updates.clear()
        self._lowest.clear()
        self._size = 0
        self._overflown = False

    def lacking(self, clocks: Mapping[int, int]) -> dict[int, int] | None:
        """Return the clocks without what waits, where there is too much of it to be kept."""
        if not self._overflown:
            return None
        return {**clocks, **self._lowest}

    def take(self, clocks: Mapping[int, int]) -> list[bytes]:
        """Return what waits as few updates, and forget it."""
        groups: list[list[tuple[bytes, Scan]]] = []
        size = 0
        for each in self._updates:
            full = size + len(each[0]) > self._options.max_frame_bytes
            if not groups or full or len(groups[-1]) >= _MAX_JOINED:
                groups.append([])
                size = 0
            groups[-1].append(each)
            size += len(each[0])
        known = {**clocks, **self._lowest}
        self.clear()
        pieces: list[bytes] = []
        for group in groups:
            joined = join_updates(group)
            for update in [joined[0]] if joined else [update for update, _ in group]:
                pieces += cut(update, known, self._options)
                found = scan(update, _MOST) if joined is None else joined[1]
                known.update({client: end for client, _, end in found.ranges})
        return pieces
