"""Cutting and joining updates: exact, in a causal order, and the same document in the end."""

from random import Random

import pycrdt
import pytest

from crdtsync.errors import InvalidUpdate
from crdtsync.joining import join_updates
from crdtsync.limits import Limits
from crdtsync.slicing import causal_order, cut_struct, missing_from, slice_update, weave_updates
from crdtsync.state_vector import encode_state_vector, read_state_vector
from crdtsync.structs import EMPTY_UPDATE, Scan
from crdtsync.update import scan

from .documents import content, fresh, history, replay
from .wire import NULL, any_, block, deleted, gc, item, one, skip, update

LIMITS = Limits()
SEEDS = range(12)


def described(data: bytes) -> Scan:
    return scan(data, LIMITS, structs=True)


def fits(data: bytes, clocks: dict[int, int]) -> bool:
    """Return whether an update can be integrated on ``clocks`` by itself; advance them."""
    found = described(data)
    before = dict(clocks)
    known = {client: max(end, before.get(client, 0)) for client, _, end in found.ranges}
    clocks.update(known)
    return (
        not found.skips
        and all(before.get(client, 0) >= start for client, start, _ in found.ranges)
        and all(clocks.get(client, 0) >= end for client, end in found.needs.items())
        and all(clocks.get(client, 0) >= end for client, _, end in found.deletes)
        and len(causal_order(found.structs or (), before)) == len(found.structs or ())
    )


# Slices


@pytest.mark.parametrize("max_bytes", [1, 60, 400])
@pytest.mark.parametrize("seed", SEEDS)
def test_pieces_of_a_state_make_the_same_document(seed: int, max_bytes: int) -> None:
    """Each piece of a state integrates by itself, in order, and together they are the state."""
    state = replay(*history(seed)).get_update()
    slices = slice_update(state, described(state), {}, max_bytes=max_bytes)
    assert slices.rest is None
    made, clocks = fresh(), dict[int, int]()
    for piece in slices.ready:
        assert fits(piece, clocks)
        made.apply_update(piece)
        vector = read_state_vector(made.get_state(), LIMITS)
        assert vector == {client: clock for client, clock in clocks.items() if clock}
    assert content(made) == content(replay(state))
    assert len(slices.ready) > 1 or len(state) < max_bytes


@pytest.mark.parametrize("seed", SEEDS)
def test_pieces_of_a_difference_fit_its_reader(seed: int) -> None:
    """The pieces of a difference integrate, one by one, on what the reader has."""
    made = history(seed)
    reader = replay(*made[: len(made) // 2])
    data = replay(*made).get_update(reader.get_state())
    clocks = read_state_vector(reader.get_state(), LIMITS)
    slices = slice_update(data, described(data), clocks, max_bytes=1)
    assert slices.rest is None
    for piece in slices.ready:
        assert fits(piece, clocks)
        reader.apply_update(piece)
    assert content(reader) == content(replay(*made))


def test_pieces_are_about_as_large_as_asked() -> None:
    """A piece ends with the struct that fills it, and a struct is never cut."""
    structs = [item("x" * 50, parent="t")] + [
        item("y" * 50, origin=(1, clock)) for clock in range(49, 1000, 50)
    ]
    data = update(block(1, 0, *structs))
    slices = slice_update(data, described(data), {}, max_bytes=200)
    assert all(200 < len(piece) < 300 for piece in slices.ready[:-1])
    assert weave_updates(slices.ready, LIMITS)[0] == data


@pytest.mark.parametrize(
    ("data", "known", "waits_for"),
    [
        (one(1, 3, "x", origin=(1, 2)), {}, (1, 2)),
        (one(1, 0, "x", origin=(9, 4)), {9: 4}, (9, 4)),
        (one(1, 0, "x", right=(9, 0)), {}, (9, 0)),
        (one(1, 0, "x", parent=(9, 7)), {9: 7}, (9, 7)),
        (update(deletes=[(9, 2, 5)]), {}, (9, 2)),
    ],
)
def test_what_lacks_something_is_the_rest(
    data: bytes, known: dict[int, int], waits_for: tuple[int, int]
) -> None:
    """A gap, a reference or a deletion ahead of what is known keeps its update whole as rest."""
    slices = slice_update(data, described(data), known, max_bytes=1 << 20)
    assert slices.ready == []
    assert slices.rest == data
    assert slices.waits_for == waits_for


def test_an_update_is_cut_where_it_lacks_something() -> None:
    """What fits is ready, what depends on the missing waits, deletions on either side."""
    data = update(
        block(5, 0, item("a", parent="t"), item("b", origin=(9, 0)), item("c", parent="t")),
        block(4, 0, item("d", origin=(5, 0)), item("e", origin=(5, 1))),
        deletes=[(5, 0, 3), (4, 0, 1), (8, 0, 2)],
    )
    slices = slice_update(data, described(data), {}, max_bytes=1 << 20)
    (ready,) = slices.ready
    assert described(ready).ranges == ((5, 0, 1), (4, 0, 1))
    assert set(described(ready).deletes) == {(5, 0, 1), (4, 0, 1)}
    assert slices.rest is not None
    assert described(slices.rest).ranges == ((5, 1, 3), (4, 1, 2))
    assert set(described(slices.rest).deletes) == {(5, 1, 3), (8, 0, 2)}


def test_a_deletion_across_the_border_is_cut_there() -> None:
    """Of a deleted range the known part is ready and the rest waits."""
    data = update(deletes=[(9, 2, 8)])
    slices = slice_update(data, described(data), {9: 5}, max_bytes=1 << 20)
    assert [described(piece).deletes for piece in slices.ready] == [((9, 2, 5),)]
    assert slices.rest is not None
    assert described(slices.rest).deletes == ((9, 5, 8),)


def test_clients_that_refer_to_one_another_come_in_turn() -> None:
    """Two clients whose items alternate are cut into pieces in the order of their references."""
    ours = [item("a", parent="t")] + [item("a", origin=(2, n)) for n in range(20)]
    theirs = [item("b", origin=(1, n)) for n in range(20)]
    data = update(block(2, 0, *theirs), block(1, 0, *ours))
    slices = slice_update(data, described(data), {}, max_bytes=1)
    assert slices.rest is None
    assert len(slices.ready) == 41
    clocks: dict[int, int] = {}
    assert all(fits(piece, clocks) for piece in slices.ready)


def test_a_cycle_is_never_ready() -> None:
    """Two items that each refer to the other fit nowhere: both wait."""
    data = update(block(2, 0, item("b", origin=(1, 0))), block(1, 0, item("a", origin=(2, 0))))
    slices = slice_update(data, described(data), {}, max_bytes=1 << 20)
    assert slices.ready == []
    assert slices.rest is not None
    assert slices.waits_for is not None


def test_skips_never_leave_as_ready() -> None:
    """Around a hole that is filled the structs are ready, and the Skip is not among them."""
    data = update(block(1, 0, item("ab", parent="t"), skip(3), item("c", parent="t")))
    first = slice_update(data, described(data), {}, max_bytes=1 << 20)
    assert [described(piece).ranges for piece in first.ready] == [((1, 0, 2),)]
    assert first.waits_for == (1, 4)
    filled = slice_update(data, described(data), {1: 5}, max_bytes=1 << 20)
    assert filled.rest is None
    assert not any(described(piece).skips for piece in filled.ready)


def test_the_work_is_linear() -> None:
    """Ten thousand clients that each wait for the next are cut as fast as as many that don't."""
    blocks = [block(n, 0, item("x", origin=(n + 1, 0))) for n in range(1, 10_000)]
    data = update(*blocks, block(10_000, 0, item("x", parent="t")))
    slices = slice_update(data, described(data), {}, max_bytes=1 << 20)
    assert slices.rest is None
    lacking = update(*blocks)
    assert slice_update(lacking, described(lacking), {}, max_bytes=1).ready == []


def test_slicing_asks_for_structs() -> None:
    """A scan without structs can't be cut: that is a mistake of the caller."""
    data = one(1, 0, "x")
    with pytest.raises(ValueError, match="structs"):
        slice_update(data, scan(data, LIMITS), {}, max_bytes=1)


# Joining


@pytest.mark.parametrize("seed", SEEDS)
def test_joined_updates_are_what_pycrdt_merges(seed: int) -> None:
    """Updates that follow one another join to the same document as pycrdt's merge."""
    made = history(seed)
    joined = join_updates([(each, scan(each, LIMITS)) for each in made])
    assert joined is not None
    data, layout = joined
    found = scan(data, LIMITS)
    assert (found.ranges, found.bodies) == (layout.ranges, layout.bodies)
    assert sorted(found.deletes) == sorted(layout.deletes)
    assert content(replay(data)) == content(replay(pycrdt.merge_updates(*made)))
    assert content(replay(data)) == content(replay(*made))
    again, whole = scan(pycrdt.merge_updates(*made), LIMITS), scan(data, LIMITS)
    assert sorted(again.ranges) == sorted(whole.ranges)
    assert set(again.deletes) == set(whole.deletes)


def test_joining_in_steps_is_joining_at_once() -> None:
    """A joined update joins again, by its layout alone."""
    made = [(each, scan(each, LIMITS)) for each in history(1)]
    half = len(made) // 2
    first, second = join_updates(made[:half]), join_updates(made[half:])
    assert first is not None
    assert second is not None
    whole, again = join_updates(made), join_updates([first, second])
    assert whole is not None
    assert again is not None
    assert whole[0] == again[0]
    assert whole[1].bodies == again[1].bodies


@pytest.mark.parametrize(
    "updates",
    [
        [one(1, 0, "ab"), one(1, 1, "bc", origin=(1, 0))],
        [one(1, 0, "ab"), one(1, 3, "c", origin=(1, 1))],
        [one(1, 0, "ab"), one(1, 0, "ab")],
        [one(1, 0, "a"), update(block(1, 1, skip(1), gc(1)))],
    ],
)
def test_what_does_not_follow_is_not_joined(updates: list[bytes]) -> None:
    """Overlaps, holes and Skips are left apart."""
    assert join_updates([(each, scan(each, LIMITS)) for each in updates]) is None


def test_one_update_joins_to_itself() -> None:
    """A single update is handed back untouched."""
    data = one(1, 0, "x")
    found = scan(data, LIMITS)
    assert join_updates([(data, found)]) == (data, found)


def test_clients_are_written_from_the_highest_id() -> None:
    """Yjs's own mergeUpdates relies on descending client ids."""
    made = [(each, scan(each, LIMITS)) for each in (one(3, 0, "a"), one(9, 0, "b"), one(5, 0, "c"))]
    joined = join_updates(made)
    assert joined is not None
    assert [client for client, _, _ in scan(joined[0], LIMITS).ranges] == [9, 5, 3]


@pytest.mark.parametrize("seed", SEEDS)
def test_woven_updates_may_overlap(seed: int) -> None:
    """Updates that repeat each other in parts weave to the same document, each clock once."""
    random = Random(seed)
    made = history(seed, clients=2)
    overlapping: list[bytes] = []
    for index in range(len(made)):
        behind = replay(*made[: random.randint(0, index)])
        overlapping.append(replay(*made[: index + 1]).get_update(behind.get_state()))
    data, layout = weave_updates([EMPTY_UPDATE, *overlapping], LIMITS)
    found = scan(data, LIMITS)
    assert found.ranges == layout.ranges
    assert content(replay(data)) == content(replay(*made))
    assert sorted(found.ranges) == sorted(scan(replay(*made).get_update(), LIMITS).ranges)


def test_weaving_over_a_hole_is_refused() -> None:
    """Nothing is made up for clocks that are missing."""
    with pytest.raises(InvalidUpdate):
        weave_updates([one(1, 0, "a"), one(1, 2, "c", origin=(1, 1))], LIMITS)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_missing_completes_any_reader(seed: int) -> None:
    """What a state holds beyond any earlier moment brings that moment's reader up to date."""
    random = Random(seed)
    made = history(seed)
    state = replay(*made).get_update()
    reader = replay(*made[: random.randint(0, len(made))])
    clocks = read_state_vector(reader.get_state(), LIMITS)
    data = missing_from(state, described(state), clocks)
    assert fits(data, clocks)
    reader.apply_update(data)
    assert content(reader) == content(replay(*made))


# Cutting one struct


@pytest.mark.parametrize(
    ("struct", "offset", "expected"),
    [
        (gc(5), 2, gc(3)),
        (item(deleted(5), parent="t"), 2, item(deleted(3), origin=(1, 11))),
        (item("hello", parent="t"), 2, item("llo", origin=(1, 11))),
        (
            item("hello", origin=(7, 7), right=(8, 8)),
            4,
            item("o", origin=(1, 13), right=(8, 8)),
        ),
        (item("a😀b", parent="t"), 1, item("😀b", origin=(1, 10))),
        (item("a😀b", parent="t"), 2, item("\ufffdb", origin=(1, 11))),
        (
            item(any_(NULL, b"\x77\x01z", b"\x75\x01\x7f"), parent="t"),
            1,
            item(any_(b"\x77\x01z", b"\x75\x01\x7f"), origin=(1, 10)),
        ),
        (item(any_(NULL, NULL), parent=(5, 5)), 1, item(any_(NULL), origin=(1, 10))),
    ],
)
def test_a_struct_is_cut_as_yjs_cuts_it(struct: bytes, offset: int, expected: bytes) -> None:
    """What is left stands behind what is gone; half a surrogate pair becomes U+FFFD."""
    data = update(block(1, 10, struct))
    (found,) = described(data).structs or ()
    assert cut_struct(data, found, 0) == struct
    assert cut_struct(data, found, offset) == expected


def test_a_cut_item_keeps_its_key() -> None:
    """The flag that an item lies under a key stays where it is cut."""
    data = one(1, 10, deleted(3), parent="m", key="k")
    (found,) = described(data).structs or ()
    assert cut_struct(data, found, 1) == item(deleted(2), origin=(1, 10), key="k")


@pytest.mark.parametrize("seed", SEEDS)
def test_cuts_agree_with_pycrdt(seed: int) -> None:
    """At any state vector between characters, what is missing is what pycrdt says is missing."""
    random = Random(seed)
    made = history(seed, clients=2)
    whole = replay(*made)
    state = whole.get_update()
    found = described(state)
    halves = set(found.pairs or ())
    for _ in range(10):
        clocks = {client: random.randint(0, end) for client, _, end in found.ranges}
        if halves & set(clocks.items()):
            continue
        ours = described(missing_from(state, found, clocks))
        theirs = described(whole.get_update(encode_state_vector(clocks)))
        assert sorted(ours.ranges) == sorted(theirs.ranges)
        assert {(s.client, s.clock, s.origin, s.right) for s in ours.structs or ()} == {
            (s.client, s.clock, s.origin, s.right) for s in theirs.structs or ()
        }


def test_a_value_that_waits_takes_the_deletion_of_the_one_before_along() -> None:
    """A key that was set isn't deleted until its value comes; what else is deleted goes at once."""
    data = one(1, 9, any_(NULL), origin=(1, 3), key="k", deletes=[(1, 2, 5)])
    slices = slice_update(data, described(data), {1: 6}, max_bytes=1 << 20)
    assert slices.ready == [update(deletes=[(1, 2, 3), (1, 4, 5)])]
    assert slices.waits_for == (1, 8)
    assert slices.rest is not None
    rest = slice_update(slices.rest, described(slices.rest), {1: 9}, max_bytes=1 << 20)
    assert rest.rest is None
    assert list(described(rest.ready[0]).deletes) == [(1, 3, 4)]
