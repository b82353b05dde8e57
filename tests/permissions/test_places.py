"""The index of places against a walk through the document, and against Yjs."""

import base64
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import pycrdt
import pytest

from crdtsync.edit import index_update
from crdtsync.places import COLLECTED, UNKNOWN, Place, PlaceIndex
from crdtsync.roles import Rule
from crdtsync.update import scan
from tests.corpus.corpus import NAMES, load
from tests.interop.conftest import require
from tests.interop.harness import NODE_MODULES, run_node
from tests.permissions.kit import LIMITS, Server, merged, restricted
from tests.permissions.oracle import places_of
from tests.properties.authors import History, histories
from tests.properties.profile import checked
from tests.unit.wire import block, gc, item, one, type_, update

PLACES_MJS = Path(__file__).with_name("places.mjs")


def indexed(updates: Iterable[bytes], *, values: bool = False) -> PlaceIndex:
    """Return the index of updates that follow one another."""
    index = PlaceIndex(values=values)
    for each in updates:
        assert index_update(scan(each, LIMITS, structs=True), index)
    return index


@checked(300, history=histories)
def test_the_index_says_what_a_walk_says(history: History) -> None:
    """Update by update, every item is where a walk through its parents finds it."""
    for values in (False, True):
        index = indexed(history.updates, values=values)
        for (client, clock), place in places_of(history.updates).items():
            assert index.name(index.at(client, clock)) == place


@checked(200, history=histories)
def test_the_index_of_a_state_says_the_same(history: History) -> None:
    """Made from the collected state, it says the same of all that is not collected."""
    doc: pycrdt.Doc[object] = pycrdt.Doc()
    for each in history.updates:
        doc.apply_update(each)
    index = indexed([doc.get_update()])
    for (client, clock), place in places_of(history.updates).items():
        assert index.name(index.at(client, clock)) in (place, None)
    for (client, clock), place in places_of([doc.get_update()]).items():
        assert index.name(index.at(client, clock)) == place


@checked(100, history=histories)
def test_the_index_follows_all_that_is_let_in(history: History) -> None:
    """In a room it knows each item, whoever sent it, in whichever pieces it came."""
    server = Server()
    writer, other = server.join(), server.join(restricted(Rule(root="here")))
    dice = history.dice
    order = sorted(history.updates, key=lambda _: dice.roll(256))
    for number, each in enumerate(order):
        if number == len(order) // 2:
            other.says(one(99, 0, "x", parent="here"))
            assert server.room.judge.index is not None
        writer.says(each)
    writer.answers(merged(*history.updates))
    index = server.room.judge.index
    assert index is not None
    for (client, clock), place in places_of(history.updates).items():
        assert index.name(index.at(client, clock)) == place


@pytest.mark.parametrize("name", NAMES)
def test_the_index_of_recorded_documents(name: str) -> None:
    """Of what Yjs clients wrote every item is where a walk finds it."""
    state = load(name).state.data
    index = indexed([state])
    for (client, clock), place in places_of([state]).items():
        assert index.name(index.at(client, clock)) == place


def test_yjs_has_its_items_in_the_same_places(tmp_path: Path) -> None:
    """In Yjs, an item's parents lead to the root and the key that the index names."""
    require(shutil.which("node") is not None, "Node.js is not installed")
    require(NODE_MODULES.is_dir(), "run 'npm ci' in tests/interop")
    states = {name: load(name).state.data for name in NAMES}
    asked = {name: base64.b64encode(state).decode() for name, state in states.items()}
    question = tmp_path / "states.json"
    question.write_text(json.dumps(asked), "utf-8")
    said = json.loads(run_node(PLACES_MJS, str(question)))
    runs = 0
    for name, state in states.items():
        index = indexed([state])
        for client, clock, length, root, key in said[name]:
            for each in (clock, clock + length - 1):
                assert index.name(index.at(client, each)) == Place(root, key), name
                runs += 1
    assert runs > 4_000


def test_what_is_unknown_has_no_place() -> None:
    """An id behind the last one, or of nobody, is in no place, nor is a range to there."""
    index = indexed([one(7, 0, "abc")])
    assert index.at(7, 2) != UNKNOWN
    assert index.at(7, 3) == index.at(8, 0) == UNKNOWN
    assert index.over(7, 1, 4) == index.over(8, 0, 1) == UNKNOWN
    assert [each[1:] for each in index.within(7, 1, 5)] == [(1, 3, 1), (3, 5, UNKNOWN)]


def test_a_range_over_several_places() -> None:
    """A range of clocks comes apart at the borders of places."""
    index = indexed(
        [
            update(
                block(7, 0, item("ab"), item("cd", parent="m", key="k"), item("ef", origin=(7, 1)))
            )
        ]
    )
    found = [(each.start, each.end, index.name(each.number)) for each in index.within(7, 1, 6)]
    assert found == [(1, 2, ("text", None)), (2, 4, ("m", "k")), (4, 6, ("text", None))]
    assert index.over(7, 1, 6) == UNKNOWN


def test_what_lies_in_something_collected_is_collected() -> None:
    """Beside and below collected items there is no place."""
    index = indexed(
        [
            update(block(7, 0, gc(3))),
            one(8, 0, "x", origin=(7, 1)),
            one(9, 0, type_(1), parent=(7, 0), key="k"),
            one(9, 1, "y", parent=(9, 0), key="l"),
        ]
    )
    assert index.at(8, 0) == index.at(9, 0) == index.at(9, 1) == COLLECTED


def test_typing_takes_no_memory() -> None:
    """A hundred thousand keystrokes in one place are one entry of eight bytes."""
    index = PlaceIndex()
    index_update(scan(one(7, 0, "a"), LIMITS, structs=True), index)
    before = index.size_bytes
    for clock in range(1, 100_000):
        found = scan(one(7, clock, "a", origin=(7, clock - 1)), LIMITS)
        placement = index.place_item(one(7, clock, "a", origin=(7, clock - 1)), found)
        assert placement is not None
        assert index.put(placement)
    assert index.size_bytes == before
    assert index.runs == 1


def test_names_of_what_was_refused_are_forgotten() -> None:
    """Who is refused again and again, for ever new names, takes no memory."""
    server = Server()
    guest = server.join(restricted(Rule(root="here")))
    guest.says(one(1, 0, "x", parent="here"))
    index = server.room.judge.index
    assert index is not None
    before = index.size_bytes
    for number in range(3):
        again = server.join(restricted(Rule(root="here")))
        again.says(one(2, 0, "x", parent=f"root {number}", key="k"))
        assert len(again.denials) == 1
    assert server.stats.rejected["denied"] == 3
    assert index.size_bytes == before
