"""Sets of ids against a set that keeps each id by itself."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from crdtsync.idset import IdSet

RANGES = st.lists(
    st.tuples(st.integers(1, 2), st.integers(0, 30), st.integers(1, 8)).map(
        lambda triple: (triple[0], triple[1], triple[1] + triple[2])
    ),
    max_size=20,
)


def ids(ranges: list[tuple[int, int, int]]) -> set[tuple[int, int]]:
    return {(client, clock) for client, start, end in ranges for clock in range(start, end)}


@given(RANGES, RANGES)
def test_a_set_covers_what_was_added_and_nothing_else(
    added: list[tuple[int, int, int]], asked: list[tuple[int, int, int]]
) -> None:
    """For any ranges in any order the set knows exactly the ids in them."""
    held = IdSet()
    for each in added:
        held.add([each])
    assert ids(list(held)) == ids(added)
    for each in asked:
        assert held.covers([each]) == (ids([each]) <= ids(added))
    for client in (1, 2):
        for clock in range(40):
            assert held.has(client, clock) == ((client, clock) in ids(added))


@given(RANGES, RANGES)
def test_many_at_once(added: list[tuple[int, int, int]], more: list[tuple[int, int, int]]) -> None:
    """Many ranges put in at once are the same set as one by one."""
    held, other = IdSet(), IdSet()
    held.add(added)
    other.add([*added, *more])
    for client in {each[0] for each in more}:
        held.unite(client, [each[1:] for each in more if each[0] == client])
    assert sorted(held) == sorted(other)


@given(RANGES)
def test_ranges_are_kept_joined(added: list[tuple[int, int, int]]) -> None:
    """Ranges that touch or overlap become one, so memory follows the holes alone."""
    held = IdSet()
    held.add(added)
    kept = sorted(held)
    for (client, _, end), (other, start, _) in pairwise(kept):
        assert client != other or end < start


def test_an_empty_question_is_covered() -> None:
    """Nothing at all is in every set."""
    assert IdSet().covers([])
    assert not IdSet().covers([(1, 0, 1)])
