"""Sets of ids against a set that keeps each id by itself."""

from collections.abc import Iterator
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtsync import idset
from crdtsync.idset import IdSet


@pytest.fixture(autouse=True, scope="module", params=[3, 1024], ids=["small", "as it is"])
def chunks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run each test with chunks so small that ranges lie in many, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(idset, "CHUNK_RANGES", request.param)
        patch.setattr(idset, "UNITE_RANGES", request.param)
        yield


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


@given(RANGES, RANGES)
def test_what_is_missing(
    added: list[tuple[int, int, int]], asked: list[tuple[int, int, int]]
) -> None:
    """The parts of a range that are not there are told in order, and the columns are the ranges."""
    held = IdSet()
    for each in added:
        held.insert(*each)
    for client, start, end in asked:
        parts = [(client, *part) for part in held.missing(client, start, end)]
        assert parts == sorted(parts)
        assert ids(parts) == ids([(client, start, end)]) - ids(added)
    for client in (1, 2):
        starts, ends = held.ranges(client)
        assert [(client, *each) for each in zip(starts, ends, strict=True)] == [
            each for each in held if each[0] == client
        ]


def test_an_insertion_says_whether_it_changed_anything() -> None:
    """Whatever the order, what is known is known, across chunks as well."""
    dice, held, known = Random(5), IdSet(), set[tuple[int, int]]()
    for _ in range(3_000):
        start = dice.randrange(4_000)
        each = (7, start, start + dice.choice((1, 1, 1, 2, 40)))
        news = ids([each]) - known
        known |= news
        assert held.insert(*each) == bool(news)
    assert ids(list(held)) == known


@pytest.mark.parametrize("step", [2, -2], ids=["ascending", "descending"])
def test_many_ranges_in_any_order(step: int) -> None:
    """Hundreds of thousands that never touch are a set, in one piece or one by one."""
    ranges = [(7, start, start + 1) for start in range(0, 200_000, 2)][:: step // 2]
    at_once, each = IdSet(), IdSet()
    at_once.add(ranges)
    for one in ranges:
        each.insert(*one)
    assert list(at_once) == list(each) == sorted(ranges)
