"""Where each item of a document is, found the slow way: one by one, up through its parents."""

from bisect import bisect_right
from collections.abc import Callable, Iterable

from crdtsync.places import Place
from crdtsync.structs import GC, SKIP, Id, Struct
from crdtsync.update import scan
from tests.permissions.kit import LIMITS

__all__ = ["places_of"]


def places_of(updates: Iterable[bytes]) -> dict[Id, Place | None]:
    """Return the place of the first and last id of each struct; ``None`` where it is collected."""
    clients: dict[int, list[Struct]] = {}
    for update in updates:
        for struct in scan(update, LIMITS, structs=True).structs or ():
            if struct.kind != SKIP:
                clients.setdefault(struct.client, []).append(struct)
    starts = {}
    for client, structs in clients.items():
        structs.sort(key=lambda each: each.clock)
        starts[client] = [each.clock for each in structs]

    def holder(each: Id) -> Struct:
        client, clock = each
        return clients[client][bisect_right(starts[client], clock) - 1]

    found: dict[Id, Place | None] = {}
    for structs in clients.values():
        for struct in structs:
            place = _place(struct, holder)
            found[struct.client, struct.clock] = place
            found[struct.client, struct.clock + struct.length - 1] = place
    return found


def _place(struct: Struct, holder: Callable[[Id], Struct]) -> Place | None:
    while struct.kind != GC:
        if isinstance(struct.parent, str):
            return Place(struct.parent, struct.key)
        above = struct.parent or struct.origin or struct.right
        assert above is not None
        struct = holder(above)
    return None
