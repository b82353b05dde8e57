"""What the server writes to channels' maps is what Yjs would write, whoever writes beside it."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pycrdt
import pytest

from crdtsync.channels.entries import NO_VALUE, Entries
from crdtsync.channels.writing import MapWriter, entries_of, write_any
from crdtsync.document import Document, Verdict
from crdtsync.errors import InvalidUpdate
from crdtsync.history.values import read_any
from crdtsync.limits import Limits
from crdtsync.structs import EMPTY_UPDATE
from crdtsync.update import scan
from tests.history.kit import ask

MAPS_MJS = Path(__file__).with_name("maps.mjs")
ROOTS = ["presence", "chat"]
LIMITS = Limits()


def opened(state: bytes = EMPTY_UPDATE, *, follows: bool = True) -> Document:
    """Return a loaded document whose channels are followed from its beginning."""
    follower = Entries() if follows else None
    document = Document(LIMITS, state=state, follower=follower)
    document.loaded()
    return document


def feed(document: Document, update: bytes, source: object = None) -> None:
    """Let an update in and commit it, as a room does."""
    found = scan(update, LIMITS, structs=document.detailed)
    if document.admit(update, found, source) is Verdict.NEW:
        document.commit(update, found)
    for piece, described, _ in document.take_ready():
        document.commit(piece, described)


def plain(value: Any) -> Any:
    """Return a pycrdt value as JSON's kinds."""
    return json.loads(json.dumps(value, default=lambda each: each.to_py()))


def held(doc: "pycrdt.Doc[Any]", root: str) -> Any:
    """Return what pycrdt says is in a root map."""
    return plain(doc.get(root, type=pycrdt.Map).to_py())


VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    63,
    64,
    -64,
    8191,
    8192,
    (1 << 31) - 1,
    1 << 31,
    -(1 << 31),
    1_700_000_000_123,
    (1 << 53) - 1,
    0.5,
    0.1,
    1e300,
    "",
    "a\U0001f600\u00e9",
    [],
    [1, "b", None],
    {},
    {"status": "online", "lastSeen": 1_700_000_000_000, "more": {"a": [True]}},
]


def test_values_are_read_back() -> None:
    """Each of JSON's kinds is written as the library reads it, and as pycrdt does."""
    for value in VALUES:
        assert read_any(write_any(value), 0) == (value, len(write_any(value)))
        document = opened()
        feed(document, MapWriter(document, 5).update([("presence", "k", value)]))
        doc = pycrdt.Doc[Any]()
        doc.apply_update(document.state())
        assert held(doc, "presence") == {"k": value}
    with pytest.raises(TypeError, match="none of JSON's kinds"):
        write_any(object())


def test_small_numbers_and_times_are_written_as_yjs_does(tmp_path: Path) -> None:
    """Of a value Yjs makes the same bytes."""
    doc = pycrdt.Doc[Any](client_id=5)
    doc.get("presence", type=pycrdt.Map)["k"] = {"a": "b"}
    document = opened()
    assert MapWriter(document, 5).update([("presence", "k", {"a": "b"})]) == doc.get_update()
    lists = []
    for value in VALUES:
        document = opened()
        lists.append([MapWriter(document, 5).update([("presence", "k", value)])])
    for value, said in zip(VALUES, ask_yjs(lists, tmp_path), strict=True):
        assert said[0]["presence"] == said[1]["presence"] == {"k": value}


def ask_yjs(lists: list[list[bytes]], folder: Path) -> list[list[dict[str, Any]]]:
    """Return what Yjs makes of each list of updates."""
    question = {"roots": ROOTS, "updates": lists}
    said: list[list[dict[str, Any]]] = ask(MAPS_MJS, question, folder)
    return said


def story(seed: int) -> tuple[Document, list[bytes], Callable[[], dict[str, Any]]]:
    """Let clients and the server write the same keys, meeting now and then.

    What the server writes is checked at once: it is the value of its key.
    """
    dice = Random(seed)
    document = opened()
    log: list[bytes] = []
    server = MapWriter(document, dice.choice([1, 100, 1 << 31]))
    clients = [
        pycrdt.Doc[Any](client_id=each)
        for each in dice.sample([*range(2, 99), *range(200, 300)], 4)
    ]
    sent = {id(each): 0 for each in clients}  # how much of the log each one has
    late: list[tuple[Any, bytes]] = []

    def enter(update: bytes) -> None:
        feed(document, update)
        log.append(update)

    for step in range(60):
        doc = dice.choice(clients)
        if dice.random() < 0.4:
            for update in log[sent[id(doc)] :]:
                doc.apply_update(update)
            sent[id(doc)] = len(log)
        elif dice.random() < 0.6:
            before = doc.get_state()
            root = doc.get(dice.choice(ROOTS), type=pycrdt.Map)
            with doc.transaction():
                for _ in range(dice.randint(1, 3)):
                    key = dice.choice("abc")
                    if dice.random() < 0.25 and key in root:
                        del root[key]
                    elif dice.random() < 0.1:
                        root[key] = pycrdt.Map({"nested": step})
                    else:
                        root[key] = step
                if dice.random() < 0.3:
                    doc.get("text", type=pycrdt.Text).insert(0, "typed")
            late.append((doc, doc.get_update(before)))
        else:
            sets = [(dice.choice(ROOTS), dice.choice("abcd"), {"server": step})]
            deletes = [(dice.choice(ROOTS), dice.choice("abcd"))]
            enter(server.update(sets, deletes))
            for root, key, value in sets:
                assert server.value(root, key) == value
            if (*deletes[0],) != sets[0][:2]:
                assert server.value(*deletes[0]) is None
        while late and dice.random() < 0.5:
            index = next(
                i for i, (doc, _) in enumerate(late) if all(doc is not d for d, _ in late[:i])
            )
            enter(late.pop(index)[1])
    for _, update in late:
        enter(update)

    def read() -> dict[str, Any]:
        return {root: server.values(root) for root in ROOTS}

    return document, log, read


def nestless(said: dict[str, Any]) -> dict[str, Any]:
    """Leave out shared types, which are no plain values."""
    return {
        root: {k: v for k, v in held.items() if not (isinstance(v, dict) and "nested" in v)}
        for root, held in said.items()
    }


def test_beside_others_it_reads_what_pycrdt_reads() -> None:
    """After any meeting of writers the account of the keys says what pycrdt says."""
    for seed in range(150):
        document, log, read = story(seed)
        doc = pycrdt.Doc[Any]()
        for update in log:
            doc.apply_update(update)
        said = nestless({root: held(doc, root) for root in ROOTS})
        assert read() == said, seed
        again = MapWriter(opened(document.state()), 7)
        assert {root: again.values(root) for root in ROOTS} == said, seed
        woven = MapWriter(opened(follows=False), 7)
        assert woven.values("chat") == {}
        unfollowed = opened(document.state(), follows=False)
        other = MapWriter(unfollowed, 7)
        assert {root: other.values(root) for root in ROOTS} == said, seed
        feed(unfollowed, other.update([("chat", "a", 1)]))
        assert other.value("chat", "a") == 1


def test_beside_others_it_reads_what_yjs_reads(tmp_path: Path) -> None:
    """After any meeting of writers the account of the keys says what Yjs says."""
    made = [story(seed) for seed in range(1000, 1060)]
    for (_, _, read), said in zip(
        made, ask_yjs([log for _, log, _ in made], tmp_path), strict=True
    ):
        assert read() == nestless(said[0]) == nestless(said[1])


def test_one_update_for_many_keys() -> None:
    """Of two values for a key the last one counts; deleting what isn't there does nothing."""
    document = opened()
    writer = MapWriter(document, 9)
    assert writer.update() == writer.update([], [("chat", "gone")]) == EMPTY_UPDATE
    update = writer.update(
        [("presence", "a", 1), ("presence", "b", 2), ("presence", "a", 3)], [("presence", "b")]
    )
    feed(document, update)
    assert writer.values("presence") == {"a": 3, "b": 2}
    feed(document, writer.update([], [("presence", "a"), ("presence", "a")]))
    assert list(writer.keys("presence")) == ["b"]
    assert document.deleted.has(9, 0)
    feed(document, writer.update([("presence", "a", 4)]))
    assert writer.values("presence") == {"a": 4, "b": 2}


def test_what_is_no_plain_value() -> None:
    """A shared type and what has no key are no values, and are replaced like others."""
    doc = pycrdt.Doc[Any](client_id=3)
    doc.get("presence", type=pycrdt.Map)["t"] = pycrdt.Text("junk")
    doc.get("presence", type=pycrdt.Map)["x"] = b"bytes"
    other = pycrdt.Doc[Any](client_id=4)
    other.get("chat", type=pycrdt.Array).extend([1, 2])
    document = opened()
    for each in (doc, other):
        feed(document, each.get_update())
    writer = MapWriter(document, 9)
    assert sorted(writer.keys("presence")) == ["t", "x"]
    assert writer.value("presence", "t") is NO_VALUE
    assert writer.values("presence") == {"x": "Ynl0ZXM="}  # as in a document's export
    assert writer.values("chat") == {}
    feed(document, writer.update([("presence", "t", 1)], [("presence", "x")]))
    doc.apply_update(document.state())
    assert held(doc, "presence") == {"t": 1}


def test_listeners_hear_who_wrote_what() -> None:
    """Each value is told with its sender, also where another one is the key's value."""
    document = opened()
    entries = entries_of(document)
    heard: list[tuple[str, str, Any, object]] = []
    entries.listeners.append(
        lambda each: heard.append((each.root, each.key, each.entry.value(), each.source))
    )
    one, two = pycrdt.Doc[Any](client_id=1), pycrdt.Doc[Any](client_id=2)
    for doc in (two, one):
        doc.get("presence", type=pycrdt.Map)["me"] = doc.client_id
        doc.get("other", type=pycrdt.Map)["me"] = 0
        feed(document, doc.get_update(), source=f"connection {doc.client_id}")
    assert heard == [
        ("presence", "me", 2, "connection 2"),
        ("presence", "me", 1, "connection 1"),
    ]
    assert MapWriter(document, 3).value("presence", "me") == 2


def test_what_is_refused_leaves_no_trace() -> None:
    """An update that the document does not let in is no entry."""
    document = opened()
    writer = MapWriter(document, 9)
    feed(document, writer.update([("chat", "a", 1)]))
    # Two values in one item under a key: nobody's client writes that.
    bad = bytes((1, 1, 8, 0, 0xA8, 9, 0, 2, 0x7D, 5, 0x7D, 6, 0))
    with pytest.raises(InvalidUpdate):
        feed(document, bad)
    assert writer.values("chat") == {"a": 1}


def test_what_comes_again_in_part() -> None:
    """Of an update that is known in part only what is new counts."""
    doc = pycrdt.Doc[Any](client_id=3)
    document = opened()
    writer = MapWriter(document, 9)
    for value in range(4):
        doc.get("chat", type=pycrdt.Map)["a"] = value
        feed(document, doc.get_update())  # everything from the beginning
        feed(document, doc.get_update())
        assert writer.value("chat", "a") == value
    assert writer.values("chat") == {"a": 3}


def test_a_stored_log_that_overlaps() -> None:
    """A document that is read again from its log has the same entries."""
    doc = pycrdt.Doc[Any](client_id=3)
    document = opened()
    document = Document(LIMITS, follower=Entries())
    for value in range(5):
        doc.get("chat", type=pycrdt.Map)["a"] = value
        doc.get("chat", type=pycrdt.Map)["b"] = -value
        document.replay(doc.get_update())
    document.loaded()
    writer = MapWriter(document, 1)
    assert writer.values("chat") == {"a": 4, "b": -4}
    feed(document, writer.update([("chat", "a", "server")]))
    doc.apply_update(document.state())
    assert held(doc, "chat") == {"a": "server", "b": -4}


def test_a_spent_client() -> None:
    """A writer says when its client's clock has run far."""
    document = opened()
    writer = MapWriter(document, 9)
    assert not writer.spent
    document.clocks[9] = (1 << 30) + 1
    assert writer.spent
