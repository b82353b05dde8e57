"""Second halves of pairs, against a set of ids."""

from hypothesis import given
from hypothesis import strategies as st

from crdtsync.document import Document
from crdtsync.halves import Halves
from crdtsync.limits import Limits
from crdtsync.update import scan

from .wire import one


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 5)), max_size=40),
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 60)), max_size=20),
)
def test_what_was_added_is_found_and_nothing_else(
    steps: list[tuple[int, int]], asked: list[tuple[int, int]]
) -> None:
    """Ids come in the order of their clocks; some may come again."""
    halves, known = Halves(), set[tuple[int, int]]()
    last: dict[int, int] = {}
    for client, step in steps:
        last[client] = last.get(client, 0) + step
        halves.add([(client, last[client])])
        halves.add([(client, last[client])])
        known.add((client, last[client]))
    assert bool(halves) == bool(known)
    assert halves.any_in(asked) == (not known.isdisjoint(asked))
    for each in asked:
        assert halves.any_in([each]) == (each in known)


def test_a_document_keeps_four_bytes_a_pair() -> None:
    """A text of emoji is known by its pairs in little more than its own size."""
    document = Document(Limits())
    document.loaded()
    data = one(1, 0, "\U0001f600" * 10_000)
    document.admit(data, scan(data, Limits()))
    (own,) = document._halves._clients.values()
    assert len(own) == 10_000
    assert own.itemsize == 4
