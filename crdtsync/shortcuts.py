"""What people do most, recognised as allowed without a closer look.

Owns two short ways through rules about content: in a document that is one root, and for an update
whose items' places are easily told. What they don't recognise, or what some rule might forbid, is
for the closer look (``edit``) to say; what they let pass, that would, too.
"""

from collections.abc import Mapping, Sequence

from crdtsync.dividing import PORTION_DELETES
from crdtsync.gate import Clearance
from crdtsync.places import UNKNOWN, PlaceIndex, Run
from crdtsync.structs import Scan

__all__ = ["plain_places", "stays"]


def stays(clearance: Clearance, clocks: Mapping[int, int], update: bytes, found: Scan) -> bool:
    """Return whether an update fits, and does what is allowed, in a document's only root.

    Whatever stands beside something there lies in that root.
    """
    if len(update) > clearance.reach[0 if found.deletes else 1]:
        return False
    if found.ranges:
        if found.roots or found.keys or found.types or found.parents or found.skips:
            return False
        client, start, _ = found.ranges[0]
        if len(found.ranges) > 1 or clocks.get(client) != start:
            return False
        for other, clock in found.needs.items():
            if clocks.get(other, 0) < clock:
                return False
    if len(found.deletes) > PORTION_DELETES:
        return False
    for other, _, clock in found.deletes:  # noqa: SIM110 (half the time)
        if clocks.get(other, 0) < clock:
            return False
    return True


def plain_places(
    clearance: Clearance, index: PlaceIndex, update: bytes, found: Scan
) -> Sequence[Run] | None:
    """Return the places of an update's items, where all that it does is allowed for sure."""
    size = len(update)
    deletes = found.deletes
    if len(deletes) > PORTION_DELETES:
        return None
    reached = clearance.reached
    if not found.ranges:
        placed: Sequence[Run] = ()
    else:
        mark = index.mark()
        one = index.place_item(update, found)
        some = (one,) if one is not None else index.place_run(found)
        if some is None:
            index.forget(mark)
            return None
        for _, _, _, number in some:
            if number < mark:
                reach = reached.get(number) or clearance.reach_in(number)
            else:  # it may be forgotten, and be another's number then
                reach = clearance.reach_in_new(number)
            if size > reach[0 if deletes or index.is_key(number) else 1]:
                index.forget(mark)
                return None
        placed = some
    for client, start, end in deletes:
        number = index.over(client, start, end)
        if number == UNKNOWN or size > (reached.get(number) or clearance.reach_in(number))[0]:
            if placed:
                index.forget(mark)
            return None
    return placed
