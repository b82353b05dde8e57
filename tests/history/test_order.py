"""The order of everything ever inserted is Yjs's own, deleted items included."""

from pathlib import Path
from random import Random

import pycrdt
import pytest

from crdtsync.history.model import HistoryUnavailable
from crdtsync.history.weave import weave
from crdtsync.structs import STRING
from tests.corpus.corpus import NAMES, load
from tests.history.kit import ask, order_of, structs_of
from tests.properties.authors import History, doc_of, histories, play
from tests.properties.profile import checked
from tests.unit.documents import history
from tests.unit.wire import block, deleted, gc, item, type_, update

ORDER_MJS = Path(__file__).with_name("order.mjs")


def assert_yjs_agrees(structs: list[bytes], folder: Path) -> None:
    """Compare the order of each list and key with what Yjs says."""
    for number, (data, said) in enumerate(
        zip(structs, ask(ORDER_MJS, structs, folder), strict=True)
    ):
        assert order_of(weave(data)) == said, number


def test_recorded_documents(tmp_path: Path) -> None:
    """Of every recorded history, and of its collected state, Yjs has the same order."""
    cases = [load(name) for name in NAMES if name != "holes"]
    everything = [structs_of(each.data for each in case.updates) for case in cases]
    states = [structs_of([case.state.data]) for case in cases]
    assert_yjs_agrees(everything + states, tmp_path)


def test_random_documents(tmp_path: Path) -> None:
    """Of concurrent edits of every kind, Yjs has the same order."""
    made = [structs_of(play(Random(seed).randbytes(300)).updates) for seed in range(300)]
    made += [structs_of(history(seed, clients=5, meet=0.15)) for seed in range(60)]
    assert_yjs_agrees(made, tmp_path)


def crowd(random: Random) -> bytes:
    """Return what six clients insert at the same few places of a text, mostly apart."""
    docs = [pycrdt.Doc[pycrdt.Text](client_id=each) for each in random.sample(range(1, 99), 6)]
    sent: list[bytes] = []
    for _ in range(40):
        doc = random.choice(docs)
        before = doc.get_state()
        text = doc.get("t", type=pycrdt.Text)
        size = len(str(text))
        with doc.transaction():
            at = random.choice([0, 0, size, size // 2, size // 2, random.randint(0, size)])
            text.insert(at, random.choice(["a", "bc", "def"]))
            if size > 4 and random.random() < 0.3:
                del text[1:3]
        sent.append(doc.get_update(before))
        if random.random() < 0.4:
            doc.apply_update(random.choice(docs).get_update(doc.get_state()))
    return structs_of(sent)


def test_many_writers_at_one_place(tmp_path: Path) -> None:
    """Where several compete for one place, Yjs has the same order."""
    assert_yjs_agrees([crowd(Random(seed)) for seed in range(150)], tmp_path)


@checked(200, history=histories)
def test_the_library_has_the_same_text(history: History) -> None:
    """With nothing deleted, the characters in order are the text that pycrdt shows."""
    structs = structs_of(history.updates)
    woven = weave(structs)
    shown = str(doc_of(structs).get("text", type=pycrdt.Text))
    if woven.roots.get("text") is None:
        assert shown == ""
        return
    units = "".join(
        woven.text(each, each.clock, each.clock + each.length)
        for each in woven.roots["text"].items
        if each.struct.kind == STRING
    )
    assert units.encode("utf-16-le", "surrogatepass").decode("utf-16-le") == shown


def test_what_lies_in_something_collected_is_nowhere() -> None:
    """Beside and below collected structs, and in what is no shared type, there is no place."""
    structs = update(
        block(
            7,
            0,
            gc(3),
            item("beside", origin=(7, 1)),
            item("below", parent=(7, 0)),
            item("before", right=(7, 2)),
            item("here"),
            item(deleted(1), parent="gone"),
            item("in it", parent=(7, 24)),
        )
    )
    assert order_of(weave(structs)) == {"text": [[7, 20, 24]], "gone": [[7, 24, 25]]}


def test_types_in_types() -> None:
    """A list in a list, and a key's values one behind the other, have their own orders."""
    structs = update(
        block(
            7,
            0,
            item(type_(1), parent="root"),
            item(type_(0), parent=(7, 0), key="k"),
            item("ab", parent=(7, 1)),
            item(deleted(1), origin=(7, 1), key="k"),
        )
    )
    assert order_of(weave(structs)) == {
        "root": [[7, 0, 1]],
        "7,0 k": [[7, 1, 2], [7, 4, 5]],
        "7,1": [[7, 2, 4]],
    }


def test_patience_ends() -> None:
    """Items that compete for one place are put in order within so many steps, or not at all."""
    rivals = [block(client, 0, item("x")) for client in range(1, 101)]
    structs = update(*rivals)
    assert len(order_of(weave(structs))["text"]) == 100
    with pytest.raises(HistoryUnavailable):
        weave(structs, max_steps=2_000)


def test_only_what_a_moment_has() -> None:
    """With clocks, what begins behind them is left out, and nothing else."""
    structs = update(block(1, 0, item("abc"), item("d", origin=(1, 2))), block(2, 0, item("x")))
    assert order_of(weave(structs, clocks={1: 2})) == {"text": [[1, 0, 3]]}
