"""Loose updates: as many items as characters, which one transaction would take too much for."""

import subprocess
import sys

import pytest

from crdtsync.crdt import IntegrationError, Pen, Replica, read_roots, read_shown, write
from crdtsync.document import Document, Verdict
from crdtsync.errors import InvalidUpdate
from crdtsync.limits import Limits
from crdtsync.portions import PORTION_BYTES, frames_of, is_loose, portions_of
from crdtsync.state_vector import read_state_vector
from crdtsync.update import scan

from .documents import content, fresh, history, replay
from .wire import NULL, any_, block, item, one, skip, update

LIMITS = Limits()
MANY = 80_000
MEMORY_BYTES = 1024 * 1024 * 1024
"""A third of what such an update takes in one transaction."""


def typed(count: int, *, start: int = 0, client: int = 7) -> bytes:
    """Return what ``Y.mergeUpdates`` makes of so many keystrokes."""
    items = [item("b", origin=(client, clock - 1)) for clock in range(max(start, 1), start + count)]
    return update(block(client, start, *([] if start else [item("a")]), *items))


def loose(data: bytes) -> bool:
    return is_loose(data, scan(data, LIMITS, structs=True))


def test_what_was_typed_key_by_key_is_cut_and_what_the_library_wrote_is_not() -> None:
    keys = typed(5_000)
    assert loose(keys)
    portions = portions_of(keys)
    assert len(portions) > 1
    assert all(len(each) < PORTION_BYTES + 100 for each in portions)
    replica = Replica(keys)
    assert not loose(replica.state())
    assert portions_of(replica.state()) == [replica.state()]
    assert read_roots(keys, {"text": "text"}) == {"text": "a" + "b" * 4_999}


def test_what_is_small_or_one_paste_or_has_nothing_to_join_is_left_as_it_is() -> None:
    apart = update(block(7, 0, *(item("a", key=str(key)) for key in range(20_000))))
    for each in (typed(1_000), one(7, 0, "x" * 1_000_000), apart):
        assert portions_of(each) == [each]


def test_few_large_items_and_values_are_cut_too() -> None:
    pastes = [item("a" * 20_000, origin=(7, clock * 20_000 - 1)) for clock in range(1, 200)]
    assert len(portions_of(update(block(7, 0, item("a" * 20_000), *pastes)))) == 200
    values = [item(any_(NULL), origin=(7, clock - 1)) for clock in range(1, 20_000)]
    assert len(portions_of(update(block(7, 0, item(any_(NULL)), *values)))) > 1


def test_portions_refer_to_what_is_there_already() -> None:
    replica = Replica(update(block(7, 0, item("x")), block(9, 0, item("seen", origin=(7, 0)))))
    more = [item("b", origin=(7, clock - 1)) for clock in range(2, 5_000)]
    changes = update(block(7, 1, item("y", origin=(9, 3)), *more), deletes=[(9, 1, 3), (7, 0, 1)])
    assert len(portions_of(changes)) > 1
    replica.apply([changes])
    assert read_roots(replica.state(), {"text": "text"}) == {"text": "sny" + "b" * 4_998}


def test_one_with_holes_is_never_integrated() -> None:
    items = [item("b", origin=(7, clock - 1)) for clock in range(20_001, 30_000)]
    holes = update(block(7, 0, item("a"), skip(19_999), item("b"), *items))
    with pytest.raises(InvalidUpdate, match="holes"):
        portions_of(holes)
    with pytest.raises(IntegrationError, match="holes"):
        Replica(holes)


@pytest.mark.parametrize("seed", range(8))
def test_random_histories_make_the_same_document_in_portions_and_frames(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    doc = replay(*history(seed, steps=60))
    whole = doc.get_update()
    monkeypatch.setattr("crdtsync.portions.PORTION_BYTES", 64)
    monkeypatch.setattr("crdtsync.portions.MAX_JOINING_BYTES", 0)
    cut = Replica(whole)
    in_frames = fresh()
    for frame in frames_of(whole, Limits(max_frame_bytes=64)):
        in_frames.apply_update(frame)
    assert content(in_frames) == content(doc)
    other = fresh()
    other.apply_update(cut.state())
    assert content(other) == content(doc)
    vector = read_state_vector(doc.get_state(), LIMITS)
    assert read_state_vector(cut.state_vector(), LIMITS) == vector


def uses() -> None:
    """Do with a loose update all that is ever done with one; in a process of its own."""
    keys = typed(MANY)
    kinds = {"text": "text"}
    replica = Replica(keys)
    assert read_roots(keys, kinds) == {"text": "a" + "b" * (MANY - 1)}
    assert len(read_shown([keys], kinds)) == 1

    def work(pen: Pen, _state: bytes) -> None:
        pen.insert_text(pen.root("text", "text"), 0, "c", {})

    assert write([keys], 9, work)

    live = Document(LIMITS)
    assert live.admit(keys, scan(keys, LIMITS)) is Verdict.NEW
    live.commit(keys, scan(keys, LIMITS))
    assert live.state() == replica.state()
    assert not live.verbatim
    loaded = Document(LIMITS, state=keys)
    assert loaded.diff(b"\x01\x07\x05")
    assert not loaded.verbatim
    assert loaded.checkpoint() == keys  # it is the same document: nothing came since


def test_a_loose_update_takes_no_memory_to_speak_of() -> None:
    limited = (
        f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({MEMORY_BYTES},) * 2);"
        "from tests.unit.test_portions import uses; uses()"
    )
    ended = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]


def test_the_limit_of_that_test_is_one_that_an_uncut_update_reaches() -> None:
    limited = (
        "import resource, pycrdt; from tests.unit.test_portions import MANY, typed;"
        f"keys = typed(MANY); resource.setrlimit(resource.RLIMIT_AS, ({MEMORY_BYTES},) * 2);"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); pycrdt.Doc().apply_update(keys)"
    )
    assert subprocess.run([sys.executable, "-c", limited], capture_output=True).returncode != 0
