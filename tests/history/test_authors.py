"""Who did what: blame, the "by" of diffs, and activity, against a replay that takes notes.

Each edit of these histories writes what no other one does, so a character, a value or a format
says itself which record it came with.
"""

import itertools
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import pycrdt
import pytest
from hypothesis import strategies as st

from crdtsync.history.activity import activity
from crdtsync.history.blame import blame
from crdtsync.history.compare import compare
from crdtsync.history.model import UnknownRoot
from crdtsync.history.reading import rfc3339
from crdtsync.store.base import Record
from tests.history.kit import START_MS, logged
from tests.properties.edits import Dice
from tests.properties.profile import checked

Json = dict[str, Any]

AUTHORS = ("ada", "ben", "eve")
FIRST = 0x4E00
"""The first character that is written; each one is another."""


@dataclass
class Noted:
    """A log, and what a replay of it shows."""

    records: tuple[Record, ...]
    texts: list[str] = field(default_factory=list)
    """The text at each moment, from the empty one on."""
    came: dict[Any, Record] = field(default_factory=dict)
    """By character, or value: the record that it came with,"""
    went: dict[Any, Record] = field(default_factory=dict)
    """and the one that it was gone with."""

    def __repr__(self) -> str:
        return f"Noted({[record.update.hex() for record in self.records]})"


def noted(data: bytes) -> Noted:
    """Return the history that some bytes stand for."""
    dice = Dice(data)
    docs = [pycrdt.Doc[Any](client_id=number) for number in (1, 300, 4_000_000_000)]
    counter = itertools.count(1)
    updates: list[bytes] = []
    for number in range(2 + dice.roll(30)):
        doc = dice.pick(docs)
        if number and dice.roll(4) == 3:
            doc.apply_update(dice.pick(docs).get_update(doc.get_state()))
            continue
        before = doc.get_state()
        with doc.transaction():
            _edit(doc, dice, counter)
        updates.append(doc.get_update(before))
    made = Noted(logged(updates, AUTHORS), [""])
    _replay(made)
    return made


def _edit(doc: "pycrdt.Doc[Any]", dice: Dice, counter: "itertools.count[int]") -> None:
    text = doc.get("text", type=pycrdt.Text)
    borders = [0]
    for char in str(text):
        borders.append(borders[-1] + len(char.encode()))
    start = dice.roll(len(borders))
    end = min(start + 1 + dice.roll(5), len(borders) - 1)
    what = dice.roll(10)
    if what == 9:
        values = doc.get("map", type=pycrdt.Map)
        key = dice.pick(["k", "l"])
        if key in values and dice.roll(3) == 2:
            del values[key]
        else:
            values[key] = float(next(counter))
    elif what == 8:
        array = doc.get("array", type=pycrdt.Array)
        if len(array) and dice.roll(3) == 2:
            del array[dice.roll(len(array))]
        else:
            array.insert(dice.roll(len(array) + 1), float(next(counter)))
    elif what == 7 and start < end:
        text.format(borders[start], borders[end], {"f": next(counter)})
    elif what >= 5 and start < end:
        del text[borders[start] : borders[end]]
    else:
        word = "".join(chr(FIRST + next(counter)) for _ in range(1 + dice.roll(4)))
        text.insert(borders[start], word)


def _replay(made: Noted) -> None:
    doc = pycrdt.Doc[Any]()
    known: set[Any] = set()
    for record in made.records:
        doc.apply_update(record.update)
        text = doc.get("text", type=pycrdt.Text)
        formats = {each["f"] for _, each in text.diff() if each and "f" in each}
        values = doc.get("map", type=pycrdt.Map)
        shown = {*str(text), *formats, *doc.get("array", type=pycrdt.Array)}
        shown |= {each for key in list(values.keys()) for each in (values[key], ("key", key))}
        for each in shown - known:
            made.came.setdefault(each, record)
        for each in known - shown:
            made.went[each] = record
        for each in shown & made.went.keys():
            del made.went[each]
        known = shown
        made.texts.append(str(text))


histories = st.binary(min_size=80, max_size=400).map(noted)


def by(record: Record, name: str = "") -> Json:
    return {"author": record.author, "name": name, "time": rfc3339(record.time_ms)}


@checked(120, history=histories, moment=st.integers(0, 99))
def test_blame_names_who_wrote_it(history: Noted, moment: int) -> None:
    """The runs together are the text, and each character, value and key is its record's."""
    moment = 1 + moment % len(history.records)
    found = json.loads(blame(None, None, history.records, moment, resolution_ms=0))
    roots = found["roots"]
    assert found["moment"] == {
        "sequence": moment,
        "time": rfc3339(history.records[moment - 1].time_ms),
    }
    runs = roots.get("text", {"runs": []})["runs"]
    assert "".join(run["text"] for run in runs) == history.texts[moment]
    for run in runs:
        assert all(run["by"] == by(history.came[char]) for char in run["text"])
    for each in roots.get("array", {"elements": []})["elements"]:
        assert each["by"] == by(history.came[each["value"]])
    for each in roots.get("map", {"keys": {}})["keys"].values():
        assert each["by"] == by(history.came[each["value"]])


@checked(120, history=histories, first=st.integers(0, 99), second=st.integers(0, 99))
def test_diffs_name_who_did_it(history: Noted, first: int, second: int) -> None:
    """What came is its writer's, what went its deleter's, a format is no earlier than set."""
    count = len(history.records) + 1
    older, newer = sorted((first % count, second % count))
    for one, other in ((older, newer), (newer, older)):
        forwards = (one, other) == (older, newer)
        told = json.loads(compare(None, None, history.records, one, other, resolution_ms=0))
        then = replayed_went(history, older, newer)
        came, went = (history.came, then) if forwards else (then, history.came)
        for op in told["roots"].get("text", {"ops": []})["ops"]:
            for char in op.get("insert", ""):
                assert op["by"] == by(came[char])
            for char in op.get("text", ""):
                assert op["by"] == by(went[char])
            if "retain" in op and op.get("attributes", {}).get("f") and forwards:
                # Who formats what overlaps begins the other format anew behind his own.
                assert op["by"]["time"] >= by(history.came[op["attributes"]["f"]])["time"]
        for op in told["roots"].get("array", {"ops": []})["ops"]:
            for value in op.get("insert", ()):
                assert op["by"] == by(came[value])
            for value in op.get("values", ()):
                assert op["by"] == by(went[value])
        for key, change in told["roots"].get("map", {"keys": {}})["keys"].items():
            later = change.get("after" if forwards else "before")
            assert change["by"] == by(history.came[later] if later else then["key", key])


def replayed_went(history: Noted, older: int, newer: int) -> dict[Any, Record]:
    """Return which record each thing was gone with that went between two moments."""
    cut = Noted(history.records[:newer], [""])
    _replay(cut)
    return cut.went


@checked(60, history=histories)
def test_neighbours_of_one_author_are_one_run(history: Noted) -> None:
    """With a resolution, runs are longer, and say the same of who wrote them."""
    last = len(history.records)
    fine, coarse = (
        json.loads(blame(None, None, history.records, last, resolution_ms=each))
        for each in (0, 3_600_000)
    )
    runs = [each["roots"].get("text", {"runs": []})["runs"] for each in (fine, coarse)]
    told = [[(c, run["by"]["author"]) for run in one for c in run["text"]] for one in runs]
    assert told[0] == told[1]
    for one, other in itertools.pairwise(runs[1]):
        assert one["by"]["author"] != other["by"]["author"]
    for run in runs[1]:
        assert run["by"]["time"] >= max(by(history.came[char])["time"] for char in run["text"])


def test_names_are_filled_in() -> None:
    """An author has the name that is given, who has none an empty one."""
    records = noted(bytes(range(200))).records
    found = json.loads(blame(None, None, records, len(records), names={"ben": "Ben B."}))
    shown = {run["by"]["author"]: run["by"]["name"] for run in found["roots"]["text"]["runs"]}
    assert {"ada", "ben", "eve"} >= shown.keys()
    assert all(name == ("Ben B." if each == "ben" else "") for each, name in shown.items())
    assert "ben" in shown


def test_a_root_that_is_not_there() -> None:
    """A root is asked for by its name, or it is an error."""
    records = noted(bytes(range(200))).records
    last = len(records)
    assert list(json.loads(blame(None, None, records, last, "text"))["roots"]) == ["text"]
    with pytest.raises(UnknownRoot):
        blame(None, None, records, last, "nothing")
    with pytest.raises(UnknownRoot):
        compare(None, None, records, 1, last, "nothing")


def typed(*minutes: tuple[int, str]) -> tuple[Record, ...]:
    """Return a log in which authors type three letters each at some minutes, and delete one."""
    docs = {author: pycrdt.Doc[Any](client_id=n) for n, author in enumerate(AUTHORS, 1)}
    records: list[Record] = []
    for number, (minute, author) in enumerate(minutes, 1):
        doc = docs[author]
        before = doc.get_state()
        text = doc.get("text", type=pycrdt.Text)
        with doc.transaction():
            text.insert(0, "abc")
        with doc.transaction():
            del text[0:1]
        update = doc.get_update(before)
        records.append(Record("doc", number, START_MS + minute * 60_000, author, update))
    return tuple(records)


def test_activity_is_told_in_sessions() -> None:
    """A longer pause ends a session; those of several authors overlap; the newest come first."""
    records = typed((0, "ada"), (1, "ben"), (4, "ada"), (10, "ada"), (11, "ben"), (12, "ada"))
    found = json.loads(activity(None, None, records, names={"ben": "Ben"}))
    assert found["next"] is None
    told = [
        (each["author"], each["name"], each["first_sequence"], each["last_sequence"])
        for each in found["sessions"]
    ]
    assert told == [
        ("ada", "", 4, 6), ("ben", "Ben", 5, 5), ("ada", "", 1, 3), ("ben", "Ben", 2, 2),
    ]  # fmt: skip
    first = found["sessions"][0]
    assert (first["inserted"], first["deleted"]) == (6, 2)
    assert first["from"] == rfc3339(START_MS + 600_000)
    assert first["to"] == rfc3339(START_MS + 720_000)
    one = json.loads(activity(None, None, records, gap_ms=3_600_000))
    assert [each["author"] for each in one["sessions"]] == ["ada", "ben"]


def test_activity_has_pages() -> None:
    """Page by page the sessions are all there, each once, in the same order."""
    records = typed(*((minute * 10, AUTHORS[minute % 3]) for minute in range(20)))
    whole = json.loads(activity(None, None, records))["sessions"]
    assert len(whole) == 20
    paged: list[Json] = []
    before: int | None = None
    while True:
        page = json.loads(activity(None, None, records, before, 3))
        paged += page["sessions"]
        if page["next"] is None:
            break
        before = int(page["next"].removeprefix("s"))
    assert paged == whole


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_the_same_question_has_the_same_answer(seed: str) -> None:
    """In another process, with another order of hashes, each answer is the same bytes."""
    asked = (
        "import sys\n"
        "from tests.history.test_authors import noted\n"
        "from tests.properties.authors import play\n"
        "from tests.history.kit import logged\n"
        "from crdtsync.history import activity, blame, compare, content\n"
        "for records in (noted(bytes(range(7, 250))).records,\n"
        "                logged(play(bytes(range(3, 250, 2)) * 2).updates)):\n"
        "    last = len(records)\n"
        "    for each in ('rich', 'json', 'update', 'snapshot'):\n"
        "        sys.stdout.buffer.write(content.read(None, None, records, last, each))\n"
        "    sys.stdout.buffer.write(blame.blame(None, None, records, last))\n"
        "    sys.stdout.buffer.write(compare.compare(None, None, records, 1, last))\n"
        "    sys.stdout.buffer.write(activity.activity(None, None, records))\n"
    )
    answers = [
        subprocess.run(
            [sys.executable, "-c", asked],
            env=os.environ | {"PYTHONHASHSEED": each, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for each in (seed, "77")
    ]
    assert len(answers[0]) > 2_000
    assert answers[0] == answers[1]
