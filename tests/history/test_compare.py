"""Diffs: each one makes the one moment of the other, and says no more than what differs."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import pycrdt
import pytest
from hypothesis import strategies as st

from crdtsync.history.compare import compare
from crdtsync.history.content import read
from crdtsync.history.model import HistoryDamaged, LoggedRecord, UnknownMoment, WrongKind
from crdtsync.history.patch import patch
from crdtsync.history.reading import rfc3339
from tests.corpus.corpus import NAMES, load
from tests.history.kit import START_MS, logged
from tests.properties.authors import History, histories
from tests.properties.edits import Dice
from tests.properties.profile import checked
from tests.unit.wire import any_, block, embed, format_, item, one, type_, update

Json = dict[str, Any]

TEN = b"\x7d\x0a"
X = b"\x77\x01x"


def rich(records: Sequence[LoggedRecord], sequence: int) -> Json:
    return dict(json.loads(read(None, None, records, sequence, "rich")))


def diff(records: Sequence[LoggedRecord], older: int, newer: int, **options: Any) -> Json:
    return dict(json.loads(compare(None, None, records, older, newer, **options)))


def assert_patches(records: Sequence[LoggedRecord], older: int, newer: int) -> Json:
    """A diff makes the one moment of the other, and says nothing of a moment and itself."""
    before, after = rich(records, older), rich(records, newer)
    told = diff(records, older, newer)
    made = patch(before, told)
    assert json.dumps(made) == json.dumps(after)
    if older == newer:
        assert told["roots"] == {}
    return told


def assert_both_ways(records: Sequence[LoggedRecord], older: int, newer: int) -> Json:
    """Return the diff in the usual direction."""
    assert_patches(records, newer, older)
    return assert_patches(records, older, newer)


def by(number: int, author: str) -> Json:
    return {"author": author, "name": "", "time": rfc3339(START_MS + 1000 * number)}


@checked(200, history=histories, first=st.integers(0, 99), second=st.integers(0, 99))
def test_a_diff_makes_the_one_of_the_other(history: History, first: int, second: int) -> None:
    """Between any two moments of a random history, forwards and backwards."""
    records = logged(history.updates)
    one, other = (each % (len(records) + 1) for each in (first, second))
    assert_both_ways(records, one, other)


FORMATS = [{"b": True}, {"b": None}, {"b": 1}, {"i": {"n": 1}}, {"i": None, "b": True}]


def decorated(data: bytes) -> list[bytes]:
    """Return updates of three writers of a text: characters, embeds, formats over one another."""
    dice = Dice(data)
    docs = [pycrdt.Doc[Any](client_id=number) for number in (1, 300, 4_000_000_000)]
    updates: list[bytes] = []
    for _ in range(3 + dice.roll(30)):
        doc = dice.pick(docs)
        text = doc.get("text", type=pycrdt.Text)
        size = len(text)
        start = dice.roll(size + 1)
        end = min(size, start + 1 + dice.roll(4))
        what = dice.roll(8)
        before = doc.get_state()
        with doc.transaction():
            if what == 0:
                doc.apply_update(dice.pick(docs).get_update(before))
                continue
            if what == 1:
                text.insert_embed(start, {"e": dice.roll(3)}, dice.pick([None, *FORMATS]))
            elif what <= 4 and start < end:
                text.format(start, end, dice.pick(FORMATS))
            elif what == 5 and start < end:
                del text[start:end]
            else:
                text.insert(start, dice.pick(["a", "bc", "def"]), dice.pick([None, *FORMATS]))
        updates.append(doc.get_update(before))
    return updates


@checked(
    200,
    data=st.binary(min_size=60, max_size=300),
    first=st.integers(0, 99),
    second=st.integers(0, 99),
)
def test_formats_over_formats(data: bytes, first: int, second: int) -> None:
    """Of a text full of marks and embeds, too."""
    records = logged(decorated(data))
    one, other = (each % (len(records) + 1) for each in (first, second))
    assert_both_ways(records, one, other)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "holes"])
def test_recorded_documents(name: str) -> None:
    """Between moments of what Yjs clients wrote, of divided pairs and hooks, too."""
    records = logged([each.data for each in load(name).updates][:300])
    random = Random(name)
    for _ in range(8):
        older, newer = (random.randint(0, len(records)) for _ in range(2))
        assert_both_ways(records, older, newer)


def test_the_operations_of_a_text() -> None:
    """Kept, inserted and deleted characters, an embed and a format, each with who and when."""
    records = logged(
        [
            one(1, 0, "hello world"),
            one(1, 11, " big", origin=(1, 4), right=(1, 5)),
            update(block(2, 0, item(embed('{"image":"x"}'), origin=(1, 10))), deletes=[(1, 0, 2)]),
            update(
                block(
                    3,
                    0,
                    item(format_("b", "true"), origin=(1, 5), right=(1, 6)),
                    item(format_("b", "null"), origin=(1, 10), right=(2, 0)),
                )
            ),
        ],
        authors=("zoe", "ada", "ben", "eve"),
    )
    told = assert_both_ways(records, 1, 4)
    assert told["from"] == {"sequence": 1, "time": rfc3339(START_MS + 1000)}
    assert told["roots"] == {
        "text": {
            "kind": "text",
            "ops": [
                {"delete": 2, "text": "he", "by": by(3, "eve")},
                {"retain": 3},
                {"insert": " big", "attributes": {}, "by": by(2, "ben")},
                {"retain": 1},
                {"retain": 5, "attributes": {"b": True}, "by": by(4, "zoe")},
                {"insert": {"image": "x"}, "attributes": {}, "by": by(3, "eve")},
            ],
        }
    }
    back = diff(records, 4, 1)["roots"]["text"]["ops"]
    assert back == [
        {"insert": "he", "attributes": {}, "by": by(3, "eve")},
        {"retain": 3},
        {"delete": 4, "text": " big", "by": by(2, "ben")},
        {"retain": 1},
        {"retain": 5, "attributes": {"b": None}, "by": by(4, "zoe")},
        {"delete": 1, "content": [{"image": "x"}], "by": by(3, "eve")},
    ]


def test_who_changed_a_format() -> None:
    """A format that another one takes the place of is whose who set the newer one, either way."""
    records = logged(
        [
            update(
                block(
                    1,
                    0,
                    item(format_("c", '"red"')),
                    item("abc", origin=(1, 0)),
                    item(format_("c", "null"), origin=(1, 3)),
                )
            ),
            update(block(2, 0, item(format_("c", '"blue"'), origin=(1, 0), right=(1, 1)))),
            update(deletes=[(1, 0, 1)]),
        ],
        authors=("zoe", "ada", "ben"),
    )
    assert assert_both_ways(records, 1, 3)["roots"]["text"]["ops"] == [
        {"retain": 3, "attributes": {"c": "blue"}, "by": by(2, "ben")}
    ]
    assert diff(records, 3, 1)["roots"]["text"]["ops"] == [
        {"retain": 3, "attributes": {"c": "red"}, "by": by(2, "ben")}
    ]


def test_what_stands_in_a_text() -> None:
    """A shared type in a text stays, and what changes is within; its format may change, too."""
    made = update(
        block(
            1,
            0,
            item("ab", parent="t"),
            item(type_(1), origin=(1, 1)),
            item("cd", origin=(1, 2)),
            item(any_(TEN), parent=(1, 2), key="k"),
        )
    )
    marks = block(
        2,
        0,
        item(format_("b", "true"), origin=(1, 1), right=(1, 2)),
        item(format_("b", "null"), origin=(1, 2), right=(1, 3)),
        item(any_(X), origin=(1, 5), key="k"),
    )
    records = logged([made, update(marks)])
    told = assert_both_ways(records, 1, 2)
    (keep, inside) = told["roots"]["t"]["ops"]
    assert keep == {"retain": 2}
    assert inside == {
        "inside": {
            "kind": "map",
            "keys": {"k": {"change": "changed", "before": 10, "after": "x", "by": by(2, "")}},
        },
        "attributes": {"b": True},
        "by": by(2, ""),
    }
    content = rich(records, 2)["roots"]["t"]["delta"]
    assert content[1] == {
        "insert": {"kind": "map", "value": {"k": "x"}},
        "attributes": {"b": True},
    }


def test_the_changes_of_a_map() -> None:
    """Keys are added, changed and removed; one that holds a shared type changes inside."""
    records = logged(
        [
            update(
                block(
                    1,
                    0,
                    item(any_(TEN), parent="m", key="changes"),
                    item(any_(TEN), parent="m", key="goes"),
                    item(any_(TEN), parent="m", key="same"),
                    item(type_(0), parent="m", key="list"),
                )
            ),
            update(
                block(
                    2,
                    0,
                    item(any_(X), origin=(1, 0), key="changes"),
                    item(any_(TEN), origin=(1, 2), key="same"),
                    item(any_(X), parent="m", key="comes"),
                    item(any_(TEN, X), parent=(1, 3)),
                ),
                deletes=[(1, 1, 2)],
            ),
        ],
    )
    assert assert_both_ways(records, 1, 2)["roots"] == {
        "m": {
            "kind": "map",
            "keys": {
                "changes": {"change": "changed", "before": 10, "after": "x", "by": by(2, "")},
                "comes": {"change": "added", "after": "x", "by": by(2, "")},
                "goes": {"change": "removed", "before": 10, "by": by(2, "")},
                "list": {
                    "change": "inside",
                    "diff": {"kind": "array", "ops": [{"insert": [10, "x"], "by": by(2, "")}]},
                },
            },
        }
    }


def test_the_changes_of_xml() -> None:
    """Nodes come and go, attributes change, and text within a node."""
    records = logged(
        [
            update(
                block(
                    1,
                    0,
                    item(type_(3, "p"), parent="x"),
                    item(type_(6), parent=(1, 0)),
                    item("text", parent=(1, 1)),
                    item(any_(TEN), parent=(1, 0), key="a"),
                )
            ),
            update(
                block(
                    2,
                    0,
                    item(type_(3, "br"), origin=(1, 0)),
                    item(any_(X), origin=(1, 6), key="a"),
                    item("!", origin=(1, 5)),
                )
            ),
        ]
    )
    node = {"name": "br", "attributes": {}, "children": []}
    assert assert_both_ways(records, 1, 2)["roots"]["x"] == {
        "kind": "xml",
        "ops": [
            {
                "inside": {
                    "kind": "xml",
                    "ops": [
                        {
                            "inside": {
                                "kind": "text",
                                "ops": [
                                    {"retain": 4},
                                    {"insert": "!", "attributes": {}, "by": by(2, "")},
                                ],
                            }
                        }
                    ],
                    "attributes": {
                        "a": {"change": "changed", "before": 10, "after": "x", "by": by(2, "")}
                    },
                }
            },
            {"insert": [node], "by": by(2, "")},
        ],
        "attributes": {},
    }


def test_a_root_that_comes() -> None:
    """A root that one of the moments does not have is said to be added, or removed."""
    records = logged([one(1, 0, "a", parent="one"), one(1, 1, "b", parent="two")])
    assert assert_both_ways(records, 1, 2)["roots"]["two"]["root"] == "added"
    assert diff(records, 2, 1)["roots"]["two"]["root"] == "removed"
    assert list(diff(records, 0, 2, root="one")["roots"]) == ["one"]


def test_a_root_that_comes_empty() -> None:
    """A root whose content came and went has come, and has all that a change of its kind has."""
    made = block(
        1,
        0,
        item(any_(X), parent="m", key="k"),
        item("a", parent="t"),
        item(any_(X), parent="a"),
        item(type_(3, "p"), parent="x"),
    )
    records = logged([one(9, 0, "first"), update(made, deletes=[(1, 0, 4)])])
    assert assert_both_ways(records, 1, 2)["roots"] == {
        "a": {"kind": "array", "ops": [], "root": "added"},
        "m": {"kind": "map", "keys": {}, "root": "added"},
        "t": {"kind": "text", "ops": [], "root": "added"},
        "x": {"kind": "xml", "ops": [], "attributes": {}, "root": "added"},
    }


def test_a_root_that_is_something_else() -> None:
    """An array that becomes a text can't be compared, unless there is nothing in it."""
    records = logged(
        [
            one(1, 0, any_(TEN), parent="r"),
            one(1, 1, "text", parent="other"),
            update(deletes=[(1, 0, 1)]),
            one(1, 5, "abc", origin=(1, 0)),
        ]
    )
    assert rich(records, 4)["roots"]["r"]["kind"] == "text"
    for older, newer in ((2, 4), (4, 2)):
        with pytest.raises(WrongKind):
            diff(records, older, newer)
        assert diff(records, older, newer, root="other")["roots"] == {}
    assert_both_ways(records, 3, 4)
    assert_both_ways(records, 2, 3)


def test_moments_that_are_not_there() -> None:
    """A moment that the document never had, and a log with a hole, are errors of their own."""
    records = logged([one(1, 0, "a"), one(1, 1, "b", origin=(1, 0))])
    with pytest.raises(UnknownMoment):
        diff(records, 1, 3)
    with pytest.raises(HistoryDamaged):
        diff(records[1:], 2, 2)


def test_a_diff_of_something_else_does_not_apply() -> None:
    """A diff that is longer than what it is applied to is refused."""
    records = logged([one(1, 0, "abcdef"), update(deletes=[(1, 2, 6)])])
    told = diff(records, 1, 2)
    with pytest.raises(ValueError, match="longer"):
        patch(rich(records, 2), told)
