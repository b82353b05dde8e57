"""What history answers about odd documents: collected, deep, damaged, made up."""

import json
import sys
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pycrdt
import pytest

from crdtsync.encoding import write_var_uint
from crdtsync.errors import InvalidUpdate
from crdtsync.history.activity import activity
from crdtsync.history.blame import blame
from crdtsync.history.compare import compare
from crdtsync.history.content import read
from crdtsync.history.model import HistoryError, HistoryUnavailable, UnknownRoot, WrongKind
from crdtsync.history.patch import patch
from crdtsync.history.reading import told
from crdtsync.history.values import read_any
from crdtsync.store.base import Checkpoint, Record
from crdtsync.update import scan
from tests.corpus.corpus import NAMES, load
from tests.history.kit import LIMITS, START_MS, logged
from tests.properties.authors import History, histories
from tests.properties.profile import checked
from tests.unit.wire import (
    any_,
    binary,
    block,
    deleted,
    doc,
    embed,
    format_,
    gc,
    item,
    one,
    string,
    type_,
    update,
)

Json = dict[str, Any]


def rich(records: tuple[Record, ...], sequence: int, checkpoint: Checkpoint | None = None) -> Json:
    return dict(json.loads(read(None, checkpoint, records, sequence, "rich")))


@checked(80, history=histories)
def test_a_history_that_begins_with_a_collected_state(history: History) -> None:
    """Behind a checkpoint, moments, diffs and blame are what they are without one, as far as
    what was collected before it goes."""
    count = len(history.updates)
    border = history.dice.roll(count) + 1
    made: pycrdt.Doc[Any] = pycrdt.Doc()
    for each in history.updates[:border]:
        made.apply_update(each)
    checkpoint = Checkpoint("doc", border, START_MS, made.get_update())
    whole = logged(history.updates)
    behind = whole[border:]
    before = rich(behind, border, checkpoint)
    after = rich(behind, count, checkpoint)
    meant = rich(whole, count)
    for name, root in meant["roots"].items():
        shown = after["roots"][name]
        assert shown == root or not any(each for key, each in root.items() if key != "kind")
    diff = json.loads(compare(None, checkpoint, behind, border, count))
    assert json.dumps(patch(before, diff)) == json.dumps(after)
    for root in json.loads(blame(None, checkpoint, behind, border))["roots"].values():
        for run in root.get("runs", ()):
            assert run["by"] == {"author": "", "name": "", "time": "2023-11-14T22:13:20.000Z"}


def answers(records: tuple[Record, ...]) -> list[bytes]:
    """Ask everything there is to ask of a history."""
    last = len(records)
    found: list[bytes] = []

    def ask(question: Callable[[], bytes]) -> None:
        try:
            found.append(question())
        except HistoryError:
            found.append(b"")

    for each in ("update", "snapshot", "json", "rich", "delta", "text", "xml"):
        ask(lambda each=each: read(None, None, records, last, each))
    ask(lambda: blame(None, None, records, last))
    ask(lambda: compare(None, None, records, 0, last))
    ask(lambda: compare(None, None, records, last, max(0, last - 1)))
    ask(lambda: activity(None, None, records))
    return found


def test_made_up_documents() -> None:
    """Whatever items hold and wherever they say that they lie, there is an answer."""
    random = Random(5)
    whole = 0
    for _ in range(400):
        items: list[bytes] = []
        size = 0
        for _ in range(random.randint(1, 14)):
            content = random.choice(
                [
                    string("ab😀"), any_(b"\x7e", b"\x77\x01x"), binary(b"\x00"),
                    deleted(2), embed("3"), embed('{"a":[1.0]}'), doc("sub"),
                    format_("b", "true"), format_("b", "null"), type_(random.randrange(3)),
                    type_(3, "p"), type_(4), type_(5, "h"), type_(6),
                ]
            )  # fmt: skip
            place: dict[str, Any] = {"parent": random.choice(["r", "s"])}
            if size and random.random() < 0.4:
                place = {"parent": (7, random.randrange(size))}
            elif size and random.random() < 0.6:
                place = {"origin": (7, random.randrange(size))}
                if random.random() < 0.4:
                    place["right"] = (7, random.randrange(size))
            if random.random() < 0.3:
                place["key"] = random.choice("kl")
            made = gc(2) if random.random() < 0.05 else item(content, **place)
            items.append(made)
            size += scan(update(block(7, size, made)), LIMITS).ranges[0][2] - size
        cut = random.randrange(size + 1)
        gone = update(deletes=[(7, cut, cut + 1)]) if cut < size else update()
        whole += all(answers(logged([update(block(7, 0, *items)), gone]))[:4])
    assert whole > 40


def test_damaged_logs() -> None:
    """Bits that are turned in what was stored are an error of history, or are read as they are."""
    random = Random(11)
    read_all = 0
    for name in ("text-formats", "nested", "xml", "undo", "any-values", "map"):
        log = [each.data for each in load(name).updates][:12]
        for _ in range(25):
            number = random.randrange(len(log))
            bad = bytearray(log[number])
            bad[random.randrange(len(bad))] ^= 1 << random.randrange(8)
            try:
                scan(bytes(bad), LIMITS)
            except InvalidUpdate:
                continue
            records = logged([*log[:number], bytes(bad), *log[number + 1 :]])
            read_all += all(answers(records)[:4])
    assert read_all > 3


@pytest.fixture
def deep() -> Iterator[None]:
    """Lets this process read what is nested deeply, too."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    yield
    sys.setrecursionlimit(limit)


def test_an_answer_that_is_nested_too_deeply() -> None:
    """Who has not made room for it gets an error of history, not one of the interpreter."""
    assert told(b'{"a":[1]}') == {"a": [1]}
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)  # whatever others have made room for in this process
    try:
        with pytest.raises(HistoryUnavailable):
            told(b"[" * 5_000 + b"]" * 5_000)
    finally:
        sys.setrecursionlimit(limit)


def test_deep_documents(deep: None) -> None:
    """Types in types as deep as the limits allow, and values in values, are told."""
    chain = [item(type_(0), parent="r"), *(item(type_(0), parent=(1, n)) for n in range(255))]
    value = b"\x75\x01" * 512 + b"\x7e"
    chain.append(item(any_(value), parent=(1, 255)))
    records = logged([update(block(1, 0, *chain)), update(deletes=[(1, 256, 257)])])
    assert all(len(each) > 256 for each in answers(records)[2:4])
    diff = json.loads(compare(None, None, records, 1, 2))
    assert json.dumps(patch(rich(records, 1), diff)) == json.dumps(rich(records, 2))


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"\x7f", None),
        (b"\x7e", None),
        (b"\x79", False),
        (b"\x78", True),
        (b"\x7d\x4a", -10),
        (b"\x7d\xbf\x01", 127),
        (b"\x7b\x40\x08\x00\x00\x00\x00\x00\x00", 3),
        (b"\x7b\x7f\xf0\x00\x00\x00\x00\x00\x00", None),
        (b"\x7c\x3f\x00\x00\x00", 0.5),
        (b"\x7a\x7f\xff\xff\xff\xff\xff\xff\xff", (1 << 63) - 1),
        (b"\x7a" + b"\xff" * 8, -1),
        (b"\x74\x02\x00\xff", "AP8="),
        (b"\x75\x02\x77\x01a\x75\x00", ["a", []]),
        (b"\x76\x01\x01k\x76\x00", {"k": {}}),
    ],
)
def test_values(raw: bytes, value: Any) -> None:
    """Each of lib0's values is what an export has for it."""
    found, end = read_any(raw, 0)
    assert (found, type(found), end) == (value, type(value), len(raw))


def test_long_integers() -> None:
    """An integer of several bytes is read to its end."""
    for number in (64, 8191, 1 << 40, (1 << 53) - 1):
        low = number & 0x3F | 0x80
        raw = b"\x7d" + bytes((low,)) + write_var_uint(number >> 6)
        assert read_any(raw, 0) == (number, len(raw))


def test_the_root_that_is_asked_for() -> None:
    """Text and markup are one root's: the only one, or the one that is named."""
    log = logged(
        [
            one(1, 0, "abc", parent="t"),
            one(1, 3, type_(3, "p"), parent="x"),
            one(1, 4, any_(b"\x7e"), parent="a"),
            one(1, 5, "d", parent="u"),
        ]
    )
    assert read(None, None, log, 3, "text") == b"abc"
    assert read(None, None, log, 4, "text", "u") == b"d"
    assert read(None, None, log, 4, "xml") == b"<p></p>"
    assert list(json.loads(read(None, None, log, 4, "delta"))["roots"]) == ["t", "u"]
    assert list(json.loads(read(None, None, log, 4, "json", "a"))["roots"]) == ["a"]
    for error, format, root in (
        (UnknownRoot, "text", None),
        (UnknownRoot, "text", "v"),
        (UnknownRoot, "json", "v"),
        (WrongKind, "text", "a"),
        (WrongKind, "delta", "a"),
        (WrongKind, "xml", "t"),
    ):
        with pytest.raises(error):
            read(None, None, log, 4, format, root)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [each for each in NAMES if each != "holes"])
def test_recorded_documents(name: str) -> None:
    """Of what Yjs clients wrote, everything is answered that is asked for without a root."""
    found = answers(logged([each.data for each in load(name).updates][:200]))
    assert all(found[:5])
    assert all(found[7:])
