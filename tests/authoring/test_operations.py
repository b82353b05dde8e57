"""Operations, done in documents: what they do, and what each mistake is told."""

import json
from random import Random
from typing import Any

import pycrdt
import pytest

from crdtsync.authoring.applying import apply_operations, create_roots
from crdtsync.authoring.model import InvalidOperation, NotEditable
from crdtsync.authoring.parsing import MAX_PATH, parse_content, parse_operations
from crdtsync.authoring.reading import read_content
from crdtsync.document import Document, Verdict
from crdtsync.limits import Limits
from crdtsync.structs import EMPTY_UPDATE
from crdtsync.update import scan

from .model import Author, Model

LIMITS = Limits()
SEEDS = 150
CLIENT = 7
FORMATS_GONE = (1163, 1909)
"""Where the library, deleting, drops the formats of a shared type behind: they are set again."""


def done(updates: list[bytes], operations: list[Any]) -> bytes:
    """Return the update of operations that came as JSON."""
    parsed = parse_operations(json.loads(json.dumps(operations)), LIMITS)
    return apply_operations(updates, CLIENT, parsed)


def shown(updates: list[bytes]) -> dict[str, Any]:
    """Return what a document shows, without roots that hold nothing."""
    found: dict[str, Any] = read_content(updates or [EMPTY_UPDATE], "rich").value
    members = ("delta", "value", "children")
    return {name: root for name, root in found.items() if any(root.get(each) for each in members)}


def as_text(root: Any, model: Any) -> Any:
    """A text with shared types alone is shown as an array: return it as the text that it is."""
    if (root or {}).get("kind") == "array" and (model or {}).get("kind") == "text":
        assert [{"insert": each} for each in root["value"]] == [
            {"insert": op["insert"]} for op in model["delta"]
        ]
        return model
    return root


@pytest.mark.parametrize("seed", [*range(SEEDS), *FORMATS_GONE])
def test_random_operations(seed: int) -> None:
    """Whatever is done, a document shows what a plain model of text, lists and dicts does."""
    model = Model()
    author = Author(Random(seed), model)
    document = Document(LIMITS)
    replica: pycrdt.Doc[Any] = pycrdt.Doc()
    updates: list[bytes] = []
    for _ in range(6):
        update = done(updates, author.operations())
        if update != EMPTY_UPDATE:
            found = scan(update, LIMITS, structs=document.detailed)
            assert not document.lacks(update, found)
            assert document.admit(update, found) is Verdict.NEW
            assert not document.verbatim
            document.commit(update, found)
            replica.apply_update(update)
            updates.append(update)
        meant = model.shown()
        for state in (updates, [replica.get_update()]):
            seen = {name: as_text(each, meant.get(name)) for name, each in shown(state).items()}
            assert seen == meant


def test_one_change_and_no_more() -> None:
    """An update has what its operations did: not the document, nor its other deletions."""
    one = done([], [{"op": "insert", "path": ["t"], "text": "x" * 10_000}])
    other = done([one], [{"op": "delete", "path": ["t"], "index": 0, "length": 5000}])
    third = done([one, other], [{"op": "insert", "path": ["t"], "index": 3, "text": "y"}])
    assert len(third) < 40
    assert not scan(third, LIMITS).deletes


def test_positions_are_utf_16_units() -> None:
    """Beyond the first plane a character is two units, an embed one."""
    start = [
        {"op": "insert", "path": ["t"], "text": "a😀é"},
        {"op": "insert", "path": ["t"], "index": 3, "embed": {"image": "x"}},
        {"op": "insert", "path": ["t"], "index": 4, "text": "|", "attributes": {}},
        {"op": "delete", "path": ["t"], "index": 1, "length": 2},
        {"op": "format", "path": ["t"], "index": 2, "length": 2, "attributes": {"b": 1}},
    ]
    assert shown([done([], start)])["t"]["delta"] == [
        {"insert": "a"},
        {"insert": {"image": "x"}},
        {"insert": "|é", "attributes": {"b": 1}},
    ]


def test_what_is_inserted_takes_the_formats_before_it() -> None:
    """Without attributes an insertion is formatted as if somebody typed it; with some, as told."""
    operations = [
        {"op": "insert", "path": ["t"], "text": "ab", "attributes": {"bold": True}},
        {"op": "insert", "path": ["t"], "index": 1, "text": "1"},
        {"op": "insert", "path": ["t"], "index": 1, "text": "2", "attributes": {}},
        {"op": "insert", "path": ["t"], "index": 0, "text": "3"},
        {"op": "insert", "path": ["t"], "text": "4"},
    ]
    assert shown([done([], operations)])["t"]["delta"] == [
        {"insert": "3"},
        {"insert": "a", "attributes": {"bold": True}},
        {"insert": "2"},
        {"insert": "1b4", "attributes": {"bold": True}},
    ]


def test_quills_own_delta() -> None:
    """A delta may come as Quill writes it, in an object with ``ops``."""
    quill = {"ops": [{"insert": "Hi\n"}]}
    update = done([], [{"op": "delta", "path": ["t"], "delta": quill}])
    assert shown([update])["t"]["delta"] == [{"insert": "Hi\n"}]


def test_a_plain_value_is_never_a_shared_type() -> None:
    """What looks like a shared type is one in ``content``, and plain in ``value``."""
    looks = {"kind": "map", "value": {"a": 1}}
    update = done(
        [],
        [
            {"op": "set", "path": ["m"], "key": "plain", "value": looks},
            {"op": "set", "path": ["m"], "key": "shared", "content": looks},
            {"op": "set", "path": ["m", "shared"], "key": "b", "value": 2},
        ],
    )
    with pytest.raises(InvalidOperation, match="step 1"):
        done([update], [{"op": "set", "path": ["m", "plain"], "key": "b", "value": 2}])
    value = shown([update])["m"]["value"]
    assert value["shared"] == {"kind": "map", "value": {"a": 1, "b": 2}}


def test_rich_content_comes_back() -> None:
    """What a document shows in its rich form makes the same document again."""
    for seed in range(40):
        model = Model()
        author = Author(Random(seed), model)
        update = done([], [each for _ in range(4) for each in author.operations()])
        before = shown([update])
        again = create_roots(parse_content(before, LIMITS), 8)
        assert shown([again]) == before


START: list[Any] = [
    {"op": "insert", "path": ["text"], "text": "a😀"},
    {"op": "set", "path": ["map"], "key": "plain", "value": 1},
    {"op": "set", "path": ["map"], "key": "list", "content": {"kind": "array", "value": [1]}},
    {"op": "insert", "path": ["list"], "values": ["x", "y"]},
    {"op": "insert", "path": ["page"], "children": [{"name": "p"}, {"text": [{"insert": "T"}]}]},
]
DEEP: Any = 1
for _ in range(LIMITS.max_any_depth + 1):
    DEEP = [DEEP]
DEEP_TYPE: Any = {"kind": "array", "value": []}
for _ in range(LIMITS.max_any_depth + 1):
    DEEP_TYPE = {"kind": "array", "value": [DEEP_TYPE]}
MISTAKES: list[tuple[Any, str]] = [
    ("x", "no object"),
    ({}, "op is one of insert, delete, format, set, remove, delta"),
    ({"op": 1}, "op is one of"),
    ({"op": "move", "path": ["text"]}, "op is one of"),
    ({"op": ["insert"], "path": ["text"]}, "op is one of"),
    ({"op": "insert", "text": "x"}, "path is a list"),
    ({"op": "insert", "path": [], "text": "x"}, "path is a list"),
    ({"op": "insert", "path": "text", "text": "x"}, "path is a list"),
    ({"op": "insert", "path": [0], "text": "x"}, "the root's name"),
    ({"op": "insert", "path": ["t"] * (MAX_PATH + 1), "text": "x"}, "over 256 steps"),
    ({"op": "insert", "path": ["map", -1], "text": "x"}, "a position in path"),
    ({"op": "insert", "path": ["map", True], "text": "x"}, "a position in path"),
    ({"op": "insert", "path": ["map", None], "text": "x"}, "a position in path"),
    ({"op": "insert", "path": ["\ud800"], "text": "x"}, "Unicode"),
    ({"op": "insert", "path": ["text"]}, "one of text, embed"),
    ({"op": "insert", "path": ["text"], "text": "x", "values": []}, "one of text, embed"),
    ({"op": "insert", "path": ["text"], "text": 1}, "no text"),
    ({"op": "insert", "path": ["text"], "text": "\ud800"}, "Unicode"),
    ({"op": "insert", "path": ["text"], "text": "x", "more": 1}, "there are others"),
    ({"op": "insert", "path": ["list"], "values": [1], "attributes": {}}, "there are others"),
    ({"op": "insert", "path": ["text"], "text": "x", "index": -1}, "whole number"),
    ({"op": "insert", "path": ["text"], "text": "x", "index": "0"}, "whole number"),
    ({"op": "insert", "path": ["text"], "text": "x", "index": 0.5}, "whole number"),
    ({"op": "insert", "path": ["text"], "text": "x", "index": True}, "whole number"),
    ({"op": "insert", "path": ["text"], "text": "x", "index": 1 << 53}, "whole number"),
    ({"op": "insert", "path": ["text"], "text": "x", "index": 4}, "beyond the text's 3 units"),
    ({"op": "insert", "path": ["text"], "text": "x", "index": 2}, "divides a character"),
    ({"op": "insert", "path": ["text"], "text": "x", "attributes": []}, "attributes are"),
    ({"op": "insert", "path": ["text"], "embed": "x"}, "embed is an object"),
    ({"op": "insert", "path": ["text"], "embed": 5}, "a text or an object"),
    ({"op": "insert", "path": ["text"], "embed": {"kind": "xml", "children": []}}, "fragment"),
    ({"op": "insert", "path": ["text"], "values": [1]}, "can't be inserted into a text"),
    ({"op": "insert", "path": ["text"], "children": []}, "can't be inserted into a text"),
    ({"op": "insert", "path": ["map"], "text": "x"}, "it takes a text, and there is a map"),
    ({"op": "insert", "path": ["list"], "text": "x"}, "it takes a text, and there is an array"),
    ({"op": "insert", "path": ["page"], "text": "x"}, "it takes a text, and there is an XML"),
    ({"op": "insert", "path": ["list"], "children": []}, "can't be inserted into an array"),
    ({"op": "insert", "path": ["list"], "values": 1}, "values is a list"),
    ({"op": "insert", "path": ["list"], "values": [1], "index": 3}, "beyond the 2"),
    ({"op": "insert", "path": ["list"], "values": [1 << 53]}, "beyond 2^53"),
    ({"op": "insert", "path": ["list"], "values": [-(1 << 64)]}, "beyond 2^53"),
    ({"op": "insert", "path": ["list"], "values": [float("nan")]}, "not finite"),
    ({"op": "insert", "path": ["list"], "values": [{"a": float("inf")}]}, "not finite"),
    ({"op": "insert", "path": ["list"], "values": [{"\udfff": 1}]}, "Unicode"),
    ({"op": "insert", "path": ["list"], "values": [DEEP]}, "nested over 512 deep"),
    ({"op": "insert", "path": ["list"], "content": [DEEP_TYPE]}, "nested over 512 deep"),
    ({"op": "insert", "path": ["list"], "values": [0] * 10_001}, "over 10000 parts"),
    ({"op": "insert", "path": ["list"], "content": [{"kind": "map", "value": 1}]}, "an object"),
    ({"op": "insert", "path": ["list"], "content": [{"kind": "array", "value": 1}]}, "a list"),
    ({"op": "insert", "path": ["page"], "children": 1}, "a list of nodes"),
    ({"op": "insert", "path": ["page"], "children": [1]}, "a node is an object"),
    ({"op": "insert", "path": ["page"], "children": [{"hook": "x"}]}, "hooks can't be written"),
    ({"op": "insert", "path": ["page"], "children": [{"name": ""}]}, "name is empty"),
    ({"op": "insert", "path": ["page"], "children": [{"name": 1}]}, "no text"),
    ({"op": "insert", "path": ["page"], "children": [{"name": "p", "x": 1}]}, "others"),
    ({"op": "insert", "path": ["page"], "children": [{"name": "p", "attributes": 1}]}, "object"),
    ({"op": "insert", "path": ["page"], "children": [{"text": "x"}]}, "a delta is a list"),
    ({"op": "insert", "path": ["page"], "children": [{"text": [{"retain": 1}]}]}, "only inserts"),
    ({"op": "delete", "path": ["text"]}, "index is a whole number"),
    ({"op": "delete", "path": ["text"], "index": 0, "length": 0}, "length is a whole number"),
    ({"op": "delete", "path": ["text"], "index": 0, "length": 4}, "beyond the text's 3"),
    ({"op": "delete", "path": ["text"], "index": 0, "length": 2}, "divides a character"),
    ({"op": "delete", "path": ["list"], "index": 1, "length": 2}, "beyond the 2"),
    ({"op": "delete", "path": ["page"], "index": 2}, "beyond the 2"),
    ({"op": "delete", "path": ["map"], "index": 0}, "no positions in a map"),
    ({"op": "delete", "path": ["none"], "index": 0}, "beyond the text's 0"),
    ({"op": "format", "path": ["text"], "index": 0}, "takes attributes"),
    ({"op": "format", "path": ["text"], "index": 0, "attributes": {}}, "takes attributes"),
    ({"op": "format", "path": ["text"], "index": 3, "attributes": {"b": 1}}, "beyond the text's 3"),
    ({"op": "format", "path": ["list"], "index": 0, "attributes": {"b": 1}}, "takes a text"),
    ({"op": "set", "path": ["map"], "key": "x"}, "one of value and content"),
    ({"op": "set", "path": ["map"], "key": "x", "value": 1, "content": {}}, "one of value"),
    ({"op": "set", "path": ["map"], "value": 1}, "key is no text"),
    ({"op": "set", "path": ["map"], "key": 1, "value": 1}, "key is no text"),
    ({"op": "set", "path": ["map"], "key": "x", "content": 1}, "a shared type is an object"),
    ({"op": "set", "path": ["map"], "key": "x", "content": {"kind": "tree", "value": 1}}, "shared"),
    ({"op": "set", "path": ["text"], "key": "x", "value": 1}, "no keys in a text"),
    ({"op": "set", "path": ["list"], "key": "x", "value": 1}, "no keys in an array"),
    ({"op": "set", "path": ["page"], "key": "x", "value": 1}, "no keys in an XML fragment"),
    (
        {"op": "set", "path": ["page", 0], "key": "x", "content": {"kind": "map", "value": {}}},
        "an attribute can't be a shared type",
    ),
    ({"op": "set", "path": ["map", "plain"], "key": "x", "value": 1}, "no shared type at step 1"),
    ({"op": "set", "path": ["map", "none"], "key": "x", "value": 1}, "no such key"),
    ({"op": "set", "path": ["map", 0], "key": "x", "value": 1}, "a position where a map is"),
    ({"op": "set", "path": ["list", "x"], "key": "x", "value": 1}, "a key where an array is"),
    ({"op": "set", "path": ["list", 2], "key": "x", "value": 1}, "no such position"),
    ({"op": "set", "path": ["page", 7], "key": "x", "value": 1}, "no such position"),
    ({"op": "set", "path": ["text", 0], "key": "x", "value": 1}, "no shared type at that"),
    ({"op": "set", "path": ["none", 0], "key": "x", "value": 1}, "no such root"),
    ({"op": "remove", "path": ["map"], "key": "none"}, "nothing under this key"),
    ({"op": "remove", "path": ["page", 0], "key": "none"}, "nothing under this key"),
    ({"op": "remove", "path": ["map"], "key": "x", "value": 1}, "there are others"),
    ({"op": "delta", "path": ["text"]}, "a delta is a list"),
    ({"op": "delta", "path": ["text"], "delta": [{}]}, "one of insert, retain and delete"),
    ({"op": "delta", "path": ["text"], "delta": [{"insert": "a", "delete": 1}]}, "one of insert"),
    ({"op": "delta", "path": ["text"], "delta": [{"insert": 1}]}, "a text or an object"),
    ({"op": "delta", "path": ["text"], "delta": [{"retain": 0}]}, "from 1 on"),
    ({"op": "delta", "path": ["text"], "delta": [{"retain": 4}]}, "beyond the text's 3"),
    ({"op": "delta", "path": ["text"], "delta": [{"retain": 2}, {"delete": 1}]}, "divides"),
    ({"op": "delta", "path": ["text"], "delta": [{"delete": 1, "attributes": {}}]}, "others"),
    ({"op": "delta", "path": ["map"], "delta": []}, "it takes a text"),
]


@pytest.mark.parametrize(("operation", "told"), MISTAKES, ids=range(len(MISTAKES)))
def test_mistakes(operation: Any, told: str) -> None:
    """Each mistake is told with the number of its operation, and nothing is done."""
    start = done([], START)
    good = {"op": "insert", "path": ["other"], "text": "never"}
    with pytest.raises(InvalidOperation) as caught:
        apply_operations([start], CLIENT, parse_operations([good, operation, good], LIMITS))
    assert caught.value.index == 1
    assert told in caught.value.reason
    assert str(caught.value).startswith("operation 1: ")


@pytest.mark.parametrize("operations", [None, 1, "x", {}, b""])
def test_operations_are_a_list(operations: Any) -> None:
    """Anything else is refused, and no operation is named."""
    with pytest.raises(InvalidOperation, match=r"^operations are a list$") as caught:
        parse_operations(operations, LIMITS)
    assert caught.value.index is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([], "roots by name"),
        ({"a": 1}, 'root "a": a shared type'),
        ({"a": {"kind": "text", "delta": [], "attributes": {"x": 1}}}, 'root "a": a shared type'),
        ({"\ud800": {}}, "Unicode"),
        ({"a": {"kind": "text", "value": 5}}, "a shared type"),
        ({"a\n": {"kind": "map", "value": []}}, 'root "a?": a map'),
    ],
)
def test_mistakes_in_new_content(content: Any, told: str) -> None:
    """New content is told by root what is wrong with it."""
    with pytest.raises(InvalidOperation) as caught:
        parse_content(content, LIMITS)
    assert told in str(caught.value)


def test_a_bare_string_among_characters() -> None:
    """An embed that is a string can't be told from characters: its text is left alone."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    text = doc.get("t", type=pycrdt.Text)
    text.insert_embed(0, "embedded")
    text.insert(0, "abc")
    with pytest.raises(NotEditable, match="can't be told from characters"):
        done([doc.get_update()], [{"op": "insert", "path": ["t"], "text": "x"}])
    assert done([doc.get_update()], [{"op": "insert", "path": ["other"], "text": "x"}])


def test_an_emptied_root_becomes_anything() -> None:
    """What is in a root decides what it is; where nothing is, the operation does."""
    start = done([], [{"op": "insert", "path": ["r"], "values": [1, 2]}])
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update(start)
    del doc.get("r", type=pycrdt.Array)[:]
    state = doc.get_update()
    for operation, kind in [
        ({"op": "insert", "path": ["r"], "text": "x"}, "text"),
        ({"op": "insert", "path": ["r"], "values": [3]}, "array"),
        ({"op": "insert", "path": ["r"], "children": [{"name": "p"}]}, "xml"),
        ({"op": "set", "path": ["r"], "key": "k", "value": 1}, "map"),
    ]:
        assert shown([state, done([state], [operation])])["r"]["kind"] == kind
