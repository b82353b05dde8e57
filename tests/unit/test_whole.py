"""A whole state by its bytes, against the pieces that make it."""

from random import Random

import pytest

from crdtsync import whole as module
from crdtsync.limits import Limits
from crdtsync.slicing import missing_from, slice_update
from crdtsync.structs import Scan
from crdtsync.update import scan
from crdtsync.whole import Whole

from .documents import content, history, replay
from .wire import NULL, any_, block, deleted, gc, item, one, skip, update

LIMITS = Limits()
KINDS = update(
    block(
        7,
        0,
        item("abc"),
        gc(3),
        item("\U0001f600x", origin=(7, 2)),
        item(any_(NULL, NULL, NULL), parent="list"),
        item(deleted(4), origin=(7, 2)),
    ),
    block(5, 0, item("z", origin=(7, 1), right=(7, 2))),
    deletes=[(7, 0, 1), (9, 4, 6)],
)


def expected(state: bytes, has: dict[int, int]) -> bytes:
    return missing_from(state, scan(state, LIMITS, structs=True), has)


@pytest.mark.parametrize("known", range(18))
def test_what_a_reader_lacks_is_what_a_look_at_all_finds(known: int) -> None:
    """At each clock, whatever kind of struct is cut there, and for each other client."""
    whole = Whole(KINDS, LIMITS)
    for has in ({7: known}, {7: known, 5: 1}, {5: 1}, {8: 3}, {}):
        assert whole.missing(has) == expected(KINDS, has)


@pytest.mark.parametrize("seed", range(10))
def test_a_state_grows_by_updates(seed: int) -> None:
    """Whether they follow by their bytes, overlap, or come in one: it is the same document, and
    what is missing from it is found as in one that was read at once."""
    dice, made = Random(seed), replay(*history(seed, steps=50)).get_update()
    updates = slice_update(made, scan(made, LIMITS, structs=True), {}, max_bytes=20).ready
    whole = Whole(updates.pop(0), LIMITS)
    while updates:
        some = [updates.pop(0) for _ in range(min(len(updates), dice.randrange(1, 9)))]
        if dice.random() < 0.2:
            some = [whole.state, *some]
        whole.fold([(each, scan(each, LIMITS)) for each in some])
        again = Whole(whole.state, LIMITS)
        ranges = scan(whole.state, LIMITS).ranges
        for _ in range(5):
            has = {client: dice.randrange(end + 2) for client, _, end in ranges}
            assert whole.missing(has) == again.missing(has) == expected(whole.state, has)
    assert content(replay(whole.state)) == content(replay(made))


def test_nothing_is_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer reads the struct that it cuts, and an update that comes is all that is read."""
    many = update(block(7, 0, *(item("ab", key=str(key)) for key in range(1_000))))
    whole = Whole(many, LIMITS)
    read: list[bytes] = []

    def reading(data: bytes, limits: Limits, *, structs: bool = False) -> Scan:
        read.append(data)
        return scan(data, limits, structs=structs)

    monkeypatch.setattr(module, "scan", reading)
    more = one(7, 2_000, "c", origin=(7, 1_999))
    whole.fold([(more, scan(more, LIMITS))])
    for known in range(0, 2_000, 7):
        assert whole.missing({7: known})
    assert read == [more]


def test_holes_are_kept() -> None:
    """A state with holes, as some writer left it, is answered from as it is."""
    state = update(block(7, 0, item("a"), skip(3), item("b", origin=(7, 0))))
    whole = Whole(state, LIMITS)
    for known in range(6):
        assert whole.missing({7: known}) == expected(state, {7: known})
