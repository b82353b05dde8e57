"""The order of long updates, against the slower one that describes each struct."""

from collections.abc import Iterable
from random import Random

import pytest

from crdtsync.limits import Limits
from crdtsync.ordering import Ordered, pieces_of
from crdtsync.slicing import slice_new
from crdtsync.update import scan
from tests.portions import small_portions

from .documents import history, replay
from .wire import block, gc, item, one, skip, string, update

LIMITS = Limits()


def ranges_of(updates: Iterable[bytes]) -> dict[int, tuple[int, int]]:
    """Return of each client what some updates bring, which has to be without holes."""
    brought: dict[int, tuple[int, int]] = {}
    for each in updates:
        for client, start, end in scan(each, LIMITS).ranges:
            first, last = brought.get(client, (start, start))
            assert start == last
            brought[client] = first, end
    return brought


def holed(data: bytes, random: Random) -> bytes:
    """Put Skips in the place of some structs, as a client that waits for something does."""
    blocks: dict[int, list[bytes]] = {}
    starts: dict[int, int] = {}
    for struct in scan(data, LIMITS, structs=True).structs or ():
        starts.setdefault(struct.client, struct.clock)
        kept = data[struct.start : struct.end]
        own = blocks.setdefault(struct.client, [])
        own.append(skip(struct.length) if random.random() < 0.03 else kept)
    return update(*(block(client, starts[client], *own) for client, own in blocks.items()))


@pytest.mark.parametrize("seed", range(120))
def test_it_finds_what_describing_finds(seed: int) -> None:
    """Of any update, and on any clocks, as much fits, in pieces that follow one another."""
    random = Random(seed)
    data = replay(*history(seed, clients=random.randint(1, 5), steps=60)).get_update()
    if seed % 3 == 2:
        data = holed(data, random)
    size = random.choice([1, 2, 7, 1000])
    clocks = {
        client: random.randint(0, end)
        for client, _, end in scan(data, LIMITS).ranges
        if random.random() < 0.5
    }
    slices = slice_new(data, scan(data, LIMITS, structs=True), clocks, LIMITS)
    with small_portions(random.choice([1, 3, 1000])):
        ordered = Ordered(data, scan(data, LIMITS), clocks)
        pieces = list(ordered.pieces(size))
    assert ranges_of(pieces) == ranges_of(slices.ready)
    assert ordered.left == bool(slices.rest and scan(slices.rest, LIMITS).ranges)
    known = dict(clocks)
    for piece in pieces:
        found = scan(piece, LIMITS, structs=True)
        assert len(found.structs or ()) <= size
        assert slice_new(piece, found, known, LIMITS).rest is None
        for client, start, end in found.ranges:
            assert start == known.get(client, 0)
            known[client] = end


def test_a_long_chain_between_clients() -> None:
    """Where each struct stands behind another client's, the pieces are as large as asked for."""
    first = [item("a"), *(item("c", origin=(2, n)) for n in range(999))]
    second = [item("b", origin=(1, n)) for n in range(1000)]
    data = update(block(2, 0, *second), block(1, 0, *first))
    ordered = Ordered(data, scan(data, LIMITS), {})
    assert not ordered.left
    assert [sum(each[2] for each in scan(one, LIMITS).bodies) for one in ordered.pieces(500)] == [
        500
    ] * 4


@pytest.mark.parametrize(
    ("data", "clocks", "brought", "left"),
    [
        (update(block(1, 0, skip(2), item("a"))), {}, {}, True),
        (update(block(1, 0, skip(2), item("a"))), {1: 2}, {1: (2, 3)}, False),
        (update(block(1, 0, skip(2), item("a"))), {1: 1}, {}, True),
        (update(block(1, 0, skip(2))), {}, {}, False),
        (update(block(1, 3, item("a"))), {1: 2}, {}, True),
        (update(block(1, 0, gc(5), item("a"))), {1: 2}, {1: (2, 6)}, False),
        (one(1, 0, "häßlich"), {1: 4}, {1: (4, 7)}, False),
        (update(block(1, 0, item(string("😀b"), origin=(9, 0)))), {1: 1}, {1: (1, 3)}, False),
        (one(1, 0, "a"), {1: 1}, {}, False),
        (update(block(2, 0, item("a", origin=(1, 0))), block(1, 0, item("b", origin=(2, 0)))),
         {}, {}, True),
    ],
    ids=[
        "a hole", "a hole that is known", "a hole known in part", "nothing but a hole", "a gap",
        "collected", "text", "half a pair", "known", "a ring",
    ],
)  # fmt: skip
def test_what_is_left(
    data: bytes, clocks: dict[int, int], brought: dict[int, tuple[int, int]], left: bool
) -> None:
    """What stands behind a hole, or refers to what is unknown, is left out."""
    ordered = Ordered(data, scan(data, LIMITS), clocks)
    assert ranges_of(ordered.pieces(1000)) == brought
    assert ordered.left is left


def test_pieces_lie_where_they_say() -> None:
    """A place in a piece, with what comes with it, is the place in the whole."""
    data = replay(*history(7, clients=3)).get_update()
    with small_portions(2):
        found = scan(data, LIMITS, structs=True)
        places = [
            (client, struct.clock, offset + struct.start, offset + struct.end)
            for client, piece, offset in pieces_of(data, found)
            for struct in scan(piece, LIMITS, structs=True).structs or ()
        ]
    assert places == [
        (each.client, each.clock, each.start, each.end) for each in found.structs or ()
    ]
