"""Content for programs that are no Yjs client: roots, their kinds, JSON's values."""

import json
from typing import Any

import pycrdt
import pytest

from crdtsync.content import export, root_kinds
from crdtsync.crdt import IntegrationError, Replica
from crdtsync.errors import InvalidUpdate
from crdtsync.structs import EMPTY_UPDATE

from .documents import Doc, history, replay
from .wire import any_, block, deleted, doc, embed, gc, item, one, string, type_, update

NULL = b"\x7e"


def exported(data: bytes) -> dict[str, Any]:
    return {name: root.value for name, root in export(data).items()}


def test_an_empty_document_has_no_roots() -> None:
    """Nothing comes of nothing."""
    assert export(EMPTY_UPDATE) == {}


def test_every_kind_of_root_is_found() -> None:
    """Text, map, array and XML are told apart by what lies in them, and read as JSON."""
    made: Doc = pycrdt.Doc()
    made["text"] = pycrdt.Text("Hello, wörld 😀")
    made["map"] = pycrdt.Map({"a": 1.0, "b": pycrdt.Array([True, None, "x"])})
    made["array"] = pycrdt.Array([1.5, {"k": [2.0]}, b"\x00\xff", pycrdt.Text("in")])
    made["xml"] = fragment = pycrdt.XmlFragment()
    fragment.children.append(pycrdt.XmlElement("p", {"class": "x"}))
    state = made.get_update()
    assert root_kinds(state) == {"array": "array", "map": "map", "text": "text", "xml": "xml"}
    assert exported(state) == {
        "array": [1.5, {"k": [2]}, "AP8=", "in"],
        "map": {"a": 1, "b": [True, None, "x"]},
        "text": "Hello, wörld 😀",
        "xml": '<p class="x"></p>',
    }


@pytest.mark.parametrize("seed", range(6))
def test_random_documents_are_json(seed: int) -> None:
    """Whatever clients made of a document, its export is JSON and shows the same."""
    made = replay(*history(seed, steps=80))
    shown = exported(made.get_update())
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown
    if "text" in shown:
        assert shown["text"] == str(made["text"])
    if "array" in shown:
        assert len(shown["array"]) == len(made["array"])
    assert set(shown.get("map", {})) == set(made["map"].keys())


def test_numbers_that_json_has_no_word_for_are_null() -> None:
    """Infinities and NaN become null, whole floats integers, large ones stay floats."""
    made: Doc = pycrdt.Doc()
    made["array"] = pycrdt.Array([float("inf"), float("nan"), 3.0, 1e300, -0.5])
    assert exported(made.get_update())["array"] == [None, None, 3, 1e300, -0.5]


def test_a_root_whose_content_is_deleted_is_an_empty_text() -> None:
    """A root that nothing is left of still has a name."""
    state = one(1, 0, deleted(3), parent="gone", deletes=[(1, 0, 3)])
    assert exported(state) == {"gone": ""}


def test_a_key_behind_a_key_is_the_same_map() -> None:
    """A value that stands behind another of its key makes no array of a map."""
    state = update(
        block(
            1,
            0,
            item(any_(NULL), parent="m", key="k"),
            item(any_(b"\x77\x01z"), origin=(1, 0), key="k"),
        ),
        deletes=[(1, 0, 1)],
    )
    assert exported(state) == {"m": {"k": "z"}}


def test_a_text_may_hold_shared_types() -> None:
    """A root with characters is a text, whatever stood in it first."""
    state = update(block(1, 0, item(type_(1), parent="t"), item("abc", origin=(1, 0))))
    assert root_kinds(state) == {"t": "text"}


def test_an_embed_makes_a_text() -> None:
    """Embeds and formats are a text's, too."""
    assert root_kinds(one(1, 0, embed('{"image": 1}'), parent="t")) == {"t": "text"}


@pytest.mark.parametrize("depth", [1, 100, 255])
def test_deep_documents_are_read(depth: int) -> None:
    """Types and values as deep as the limits allow are exported."""
    chain = [item(type_(0), parent="root")] + [item(type_(0), parent=(1, n)) for n in range(depth)]
    value = b"\x75\x01" * 500 + NULL
    chain.append(item(any_(value), parent=(1, depth)))
    assert exported(update(block(1, 0, *chain)))["root"]


def test_damage_is_named() -> None:
    """A state that is no sound update raises, and nothing else."""
    with pytest.raises(InvalidUpdate):
        export(b"\x01\x01")


@pytest.mark.parametrize("text", ["x😀y", "é", "ein wörtchen"])
def test_characters_in_an_array_are_not_read(text: str) -> None:
    """Text in a shared array, over which pycrdt loops for ever, is named and not read."""
    nested = update(block(1, 0, item(type_(0), parent="m"), item(text, parent=(1, 0))))
    in_map = update(block(1, 0, item(type_(0), parent="m", key="k"), item(text, parent=(1, 0))))
    for state in (nested, in_map):
        with pytest.raises(IntegrationError):
            export(state)


def test_hidden_characters_are_not_read() -> None:
    """Characters whose place only shows behind a collected item are named as well."""
    hidden = update(
        block(3, 0, gc(1)),
        block(2, 0, item(doc("g"), parent="u"), item("é", origin=(1, 0))),
        block(1, 0, item(deleted(1), origin=(3, 0), right=(2, 0))),
        deletes=[(1, 0, 1), (3, 0, 1)],
    )
    Replica(hidden)
    try:
        assert root_kinds(hidden)["u"] == "text"
    except IntegrationError:
        pass


def test_strings_of_values_are_no_characters() -> None:
    """Strings *inside* values of an array or a map are read like any others."""
    state = update(
        block(1, 0, item(any_(b"\x77\x02\xc3\xa9"), parent="a")),
        block(2, 0, item(any_(b"\x77\x04\xf0\x9f\x98\x80"), parent="m", key="k")),
        block(3, 0, item(string("é😀"), parent="t")),
    )
    assert exported(state) == {"a": ["é"], "m": {"k": "😀"}, "t": "é😀"}
