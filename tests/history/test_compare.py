"""Diffs: each one makes the one moment of the other, and names who did it."""

import json
from typing import Any

from hypothesis import strategies as st

from crdtsync.history.compare import compare
from crdtsync.history.content import read
from crdtsync.history.patch import patch
from crdtsync.store.base import Record
from tests.history.kit import logged
from tests.properties.authors import History, histories
from tests.properties.profile import checked

Json = dict[str, Any]


def rich(records: tuple[Record, ...], sequence: int) -> Json:
    return dict(json.loads(read(None, None, records, sequence, "rich")))


def diff(records: tuple[Record, ...], older: int, newer: int, **options: Any) -> Json:
    return dict(json.loads(compare(None, None, records, older, newer, **options)))


def assert_patches(records: tuple[Record, ...], older: int, newer: int) -> None:
    """A diff makes the one moment of the other, and says nothing where nothing differs."""
    before, after = rich(records, older), rich(records, newer)
    told = diff(records, older, newer)
    made = patch(before, told)
    assert json.dumps(made) == json.dumps(after)
    if json.dumps(before["roots"]) == json.dumps(after["roots"]):
        assert told["roots"] == {}


@checked(300, history=histories, first=st.integers(0, 99), second=st.integers(0, 99))
def test_a_diff_makes_the_one_of_the_other(history: History, first: int, second: int) -> None:
    """Between any two moments of a random history, forwards and backwards."""
    records = logged(history.updates)
    one, other = (each % (len(records) + 1) for each in (first, second))
    assert_patches(records, one, other)
    assert_patches(records, other, one)
