"""One document: what it lets in, what it holds back, what it answers."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pycrdt
import pytest

from crdtsync.clock import ManualClock
from crdtsync.document import Document, Verdict
from crdtsync.errors import InvalidUpdate
from crdtsync.joining import join_updates
from crdtsync.limits import Limits
from crdtsync.slicing import struct_at
from crdtsync.state_vector import encode_state_vector, read_state_vector
from crdtsync.structs import EMPTY_UPDATE, Id, Range, Struct
from crdtsync.update import scan

from .documents import content, history, replay
from .wire import any_, block, deleted, doc, gc, item, one, skip, string, type_, update

LIMITS = Limits()
NEW, KNOWN, AHEAD = Verdict.NEW, Verdict.KNOWN, Verdict.AHEAD
SEEDS = range(8)


def opened(limits: Limits = LIMITS, *, state: bytes = EMPTY_UPDATE) -> Document:
    """Return a document that clients may write to."""
    document = Document(limits, state=state)
    document.loaded()
    return document


class Counted(tuple[Range, ...]):
    """Ranges that count how often they are walked through."""

    walks = 0

    def __iter__(self) -> Iterator[Range]:
        Counted.walks += 1
        return super().__iter__()


def test_what_many_have_deleted_takes_one_look_at_what_comes() -> None:
    """A whole document of many people is let in in linear time, whatever they have deleted."""
    people = range(1, 200)
    data = update(
        *(block(each, 0, item(string("ab"), parent="text")) for each in people),
        deletes=[(each, 0, 1) for each in people],
    )
    found = scan(data, LIMITS)
    found.ranges = Counted(found.ranges)
    document = opened()
    assert document.admit(data, found) is NEW
    assert Counted.walks < 20
    assert scan(update(deletes=[(1, 1, 3)]), LIMITS).deletes == ((1, 1, 3),)
    assert (
        admit(opened(), update(block(1, 0, item(string("ab"), parent="text")), deletes=[(1, 1, 3)]))
        is AHEAD
    )


def admit(document: Document, data: bytes, source: object = None) -> Verdict:
    return document.admit(data, scan(data, LIMITS), source)


def put(document: Document, *updates: bytes) -> list[Verdict]:
    """Admit updates and commit all that they let in; return the verdicts."""
    verdicts = []
    for data in updates:
        verdict = admit(document, data)
        if verdict is NEW:
            document.commit(data, scan(data, LIMITS))
        for piece, found, _ in document.take_ready():
            document.commit(piece, found)
        verdicts.append(verdict)
    return verdicts


def ready(document: Document) -> list[tuple[bytes, object]]:
    return [(data, source) for data, _, source in document.take_ready()]


def shown(updates: Iterable[bytes]) -> object:
    return content(replay(*updates))


# Admission


def test_what_fits_is_new_once() -> None:
    """An update that follows what is known is let in; the same again brings nothing."""
    document = opened()
    data = one(1, 0, "hello")
    assert admit(document, data) is NEW
    assert admit(document, data) is KNOWN
    assert document.clocks == {1: 5}
    assert document.take_ready() == []


@pytest.mark.parametrize("seed", SEEDS)
def test_a_history_is_new_in_order_and_known_again(seed: int) -> None:
    """Each update of several clients is let in once, and none of them twice."""
    document = opened()
    made = history(seed)
    assert AHEAD not in put(document, *made)
    assert set(put(document, *made, *reversed(made))) == {KNOWN}
    whole = replay(*made)
    assert admit(document, whole.get_update()) in (KNOWN, NEW)  # NEW: deletions no one sent
    assert read_state_vector(document.state_vector(), LIMITS) == read_state_vector(
        whole.get_state(), LIMITS
    )


def test_deletions_count_as_news() -> None:
    """A deletion of something known is new, and known once it is there, in whatever cut."""
    document = opened()
    put(document, one(1, 0, "hello"))
    assert admit(document, update(deletes=[(1, 1, 3)])) is NEW
    assert admit(document, update(deletes=[(1, 2, 3)])) is KNOWN
    assert admit(document, update(deletes=[(1, 2, 4)])) is NEW
    assert admit(document, update(deletes=[(1, 1, 4)])) is KNOWN


def test_what_is_ahead_is_held_and_released() -> None:
    """An update behind a gap is held back, and let in when the gap has closed."""
    document = opened()
    first, second, third = (one(1, 0, "a"), one(1, 1, "b", origin=(1, 0)), one(2, 0, "c"))
    assert admit(document, second, "sender") is AHEAD
    assert len(document.waiting) == 1
    assert ready(document) == []
    assert admit(document, third) is NEW
    assert ready(document) == []
    assert admit(document, first) is NEW
    assert ready(document) == [(second, "sender")]
    assert len(document.waiting) == 0
    assert document.clocks == {1: 2, 2: 1}


@pytest.mark.parametrize(
    "place", [{"origin": (9, 0)}, {"right": (9, 0)}, {"parent": (9, 0)}], ids=str
)
def test_a_reference_to_something_unknown_holds_an_update(place: dict[str, object]) -> None:
    """Whichever reference of an item is unknown, the item waits for it."""
    document = opened()
    data = one(1, 0, "x", **place)
    assert admit(document, data) is AHEAD
    assert admit(document, one(9, 0, type_(1), parent="t")) is NEW
    assert ready(document) == [(data, None)]


def test_a_deletion_ahead_waits_for_what_it_deletes() -> None:
    """A deletion of something unknown is held, and of a range the known part counts at once."""
    document = opened()
    put(document, one(1, 0, "ab"))
    assert admit(document, update(deletes=[(1, 1, 4)])) is AHEAD
    assert [scan(data, LIMITS).deletes for data, _ in ready(document)] == [((1, 1, 2),)]
    assert admit(document, one(1, 2, "cd", origin=(1, 1))) is NEW
    assert [scan(data, LIMITS).deletes for data, _ in ready(document)] == [((1, 2, 4),)]
    assert set(document.deleted) == {(1, 1, 4)}


def test_what_fits_of_an_update_is_let_in_at_once() -> None:
    """Of an update that is ahead in part the other part is let in, under its sender."""
    document = opened()
    data = update(
        block(2, 0, item("b", parent="t")),
        block(1, 0, item("a", origin=(2, 0)), item("x", origin=(9, 0))),
    )
    assert admit(document, data, "sender") is AHEAD
    ((piece, source),) = ready(document)
    assert source == "sender"
    assert scan(piece, LIMITS).ranges == ((2, 0, 1), (1, 0, 1))
    assert document.clocks == {1: 1, 2: 1}


def test_a_chain_is_released_as_a_whole() -> None:
    """A thousand updates that came in the worst order are all let in by the one that lacked."""
    document = opened()
    chain = [one(1, clock, "x", origin=(1, clock - 1)) for clock in range(1, 1_001)]
    for data in reversed(chain):
        assert admit(document, data) is AHEAD
    assert admit(document, one(1, 0, "x")) is NEW
    assert [data for data, _ in ready(document)] == chain
    assert len(document.waiting) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_any_order_ends_the_same(seed: int) -> None:
    """Updates in any order, some of them twice, make the same document as in the right one."""
    made = history(seed, steps=30)
    shuffled = made * 2
    Random(seed).shuffle(shuffled)
    document = opened()
    put(document, *shuffled)
    assert len(document.waiting) == 0
    assert shown([document.state()]) == shown(made)


def test_updates_of_clients_that_need_each_other_are_one() -> None:
    """An update whose clients refer to one another, without a cycle, is sound as it is."""
    document = opened()
    data = update(
        block(2, 0, item("b", origin=(1, 0)), item("d", origin=(1, 1))),
        block(1, 0, item("a", parent="t"), item("c", origin=(2, 0))),
    )
    assert admit(document, data) is NEW
    assert document.clocks == {1: 2, 2: 2}
    assert document.take_ready() == []


def test_a_cycle_never_gets_in() -> None:
    """Items that each refer to the other fit nowhere: they are held, and pycrdt never sees them."""
    document = opened()
    data = update(block(2, 0, item("b", origin=(1, 0))), block(1, 0, item("a", origin=(2, 0))))
    assert admit(document, data) is AHEAD
    assert ready(document) == []
    assert document.clocks == {}


def test_an_overlap_counts_for_its_new_part() -> None:
    """Of an update that repeats known clocks and adds to them, only what it adds is let in."""
    document = opened()
    put(document, one(1, 0, "ab"))
    admit(document, one(1, 0, "abcd"), source="ann")
    admit(document, one(1, 1, "bcdef", origin=(1, 0)))
    first, second = document.take_ready()
    assert (first[1].ranges, first[2]) == (((1, 2, 4),), "ann")
    assert second[1].ranges == ((1, 4, 6),)
    assert document.clocks == {1: 6}
    assert str(replay(one(1, 0, "ab"), first[0], second[0])["text"]) == "abcdef"


def test_what_is_known_brings_no_reference_to_nowhere() -> None:
    """Found by fuzzing: clocks that are known, with a reference to what never comes, beside
    something new. Yjs would wait for it for ever."""
    document = opened()
    put(document, one(1, 0, "abc"))
    again = item("xyz", right=(9, 0))
    admit(document, update(block(1, 0, again), deletes=[(1, 1, 2)]))
    ((_piece, found, _source),) = document.take_ready()
    assert (found.ranges, found.needs, found.deletes) == ((), {}, ((1, 1, 2),))


def test_nothing_is_cut_by_who_applies_it() -> None:
    """Found by fuzzing: a run that overlaps collected clocks makes Yjs throw, and goes where it
    likes in pycrdt. What is let in of it stands behind what was collected."""
    document = opened()
    put(document, update(block(1, 0, item("ab"), gc(2))))
    put(document, one(1, 2, "cdef", origin=(1, 1)))
    assert document.clocks == {1: 6}
    (last,) = scan(document.state(), LIMITS, structs=True).structs[-1:]  # type: ignore[index]
    assert (last.clock, last.kind) == (2, 0)
    assert str(replay(document.state())["text"]) == "ab"


def test_conflicting_content_for_a_known_id_is_ignored() -> None:
    """PYCRDT: other content for clocks that are known brings nothing."""
    document = opened()
    put(document, one(1, 0, "ab"))
    assert put(document, one(1, 0, "XY")) == [KNOWN]
    assert str(replay(document.state())["text"]) == "ab"


def test_skips_never_get_in() -> None:
    """PYCRDT, gaps: of an update with a hole the part before it is let in, the rest is held."""
    document = opened()
    data = update(block(1, 0, item("a"), skip(1), item("c", origin=(1, 1))))
    assert admit(document, data) is AHEAD
    ((piece, _),) = ready(document)
    assert not scan(piece, LIMITS).skips
    assert document.clocks == {1: 1}
    assert admit(document, one(1, 1, "b", origin=(1, 0))) is NEW
    ((piece, _),) = ready(document)
    assert scan(piece, LIMITS).ranges == ((1, 2, 3),)


def test_a_hole_that_is_known_is_no_hole() -> None:
    """An update with a Skip over what is here is let in without the Skip."""
    document = opened()
    put(document, one(1, 0, "ab"))
    data = update(block(1, 0, item("a"), skip(1), item("c", origin=(1, 1))))
    verdict = admit(document, data)
    assert verdict is not AHEAD
    ((piece, _),) = ready(document)
    assert scan(piece, LIMITS).ranges == ((1, 2, 3),)


def test_the_gap_that_crashes_pycrdt_is_held() -> None:
    """PYCRDT, SIGSEGV from 16 bytes: a GC struct behind a gap waits outside the CRDT."""
    document = opened()
    assert admit(document, bytes.fromhex("01010101000100")) is AHEAD
    assert document.state() == EMPTY_UPDATE
    assert document.diff(b"\x00") == []


# What is held is bounded


def test_max_held_updates() -> None:
    """Beyond the limit nothing more is held; what is held still gets in."""
    document = opened(Limits(max_held_updates=3))
    ahead = [one(client, 1, "x", origin=(client, 0)) for client in range(1, 6)]
    assert [admit(document, data) for data in ahead] == [AHEAD] * 5
    assert len(document.waiting) == 3
    for client in range(1, 6):
        admit(document, one(client, 0, "x"))
    assert [data for data, _ in ready(document)] == ahead[:3]


def test_max_held_bytes() -> None:
    """The same in bytes, and what is let in makes room again."""
    ahead = [one(client, 1, "x" * 50, origin=(client, 0)) for client in range(1, 6)]
    document = opened(Limits(max_held_bytes=2 * len(ahead[0])))
    for data in ahead:
        admit(document, data)
    assert len(document.waiting) == 2
    admit(document, one(1, 0, "x"))
    assert len(document.waiting) == 1
    admit(document, ahead[4])
    assert len(document.waiting) == 2


def test_the_same_update_is_held_once() -> None:
    """A client that repeats what is held takes no more room."""
    document = opened()
    data = one(1, 1, "x", origin=(1, 0))
    for _ in range(10):
        admit(document, data)
    assert len(document.waiting) == 1


def test_what_is_held_costs_others_nothing() -> None:
    """However much is held, it is looked at only when what it waits for comes."""
    document = opened()
    for client in range(1, 1_001):
        admit(document, one(client, 5, "z" * 10_000, origin=(client, 4)))
    assert len(document.waiting) == 1_000
    with reads_of_held() as read:
        for clock in range(100):
            admit(document, one(7_000, clock, "k", origin=(7_000, clock - 1) if clock else None))
        assert read == []
        admit(document, one(1, 0, "abcde"))
        assert len(read) == 1


@contextmanager
def reads_of_held() -> Iterator[list[bytes]]:
    """Collect what is read again of held updates."""
    read: list[bytes] = []

    def reading(data: bytes, *where: int) -> tuple[bytes, Struct]:
        one, struct = struct_at(data, *where)
        read.append(one)
        return one, struct

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crdtsync.held.struct_at", reading)
        yield read


def test_a_large_held_update_goes_on_where_it_stopped() -> None:
    """What lets in one struct of thousands costs one struct; nothing is read from its beginning."""
    document = opened()
    items = [item("a", origin=(5, clock)) for clock in range(5_000)]
    assert admit(document, update(block(9, 0, *items))) is AHEAD
    with reads_of_held() as read:
        for clock in range(100):
            admit(document, one(5, clock, "x", origin=(5, clock - 1) if clock else None))
            assert document.clocks == {5: clock + 1, 9: clock + 1}
        assert sum(map(len, read)) < 100 * 100
    admit(document, one(5, 100, "x" * 4_900, origin=(5, 99)))
    assert document.clocks == {5: 5_000, 9: 5_000}
    assert not document.waiting


def test_each_client_s_part_of_a_held_update_waits_for_itself() -> None:
    """One that may never go on holds up no other."""
    document = opened()
    held = update(
        block(8, 0, item("a", origin=(1, 0)), item("b", origin=(8, 0))),
        block(9, 0, item("c", origin=(2, 0)), gc(2), item("d", origin=(3, 0))),
        deletes=[(8, 1, 2), (3, 0, 1), (4, 2, 9)],
    )
    assert admit(document, held) is AHEAD
    put(document, one(2, 0, "y"))
    assert document.clocks == {2: 1, 9: 3}
    put(document, one(4, 0, "12345"))
    assert document.deleted.covers([(4, 2, 5)])
    put(document, one(1, 0, "x"))
    assert document.clocks == {1: 1, 2: 1, 4: 5, 8: 2, 9: 3}
    assert document.deleted.covers([(8, 1, 2)])
    put(document, one(3, 0, "z"), one(4, 5, "6789", origin=(4, 4)))
    assert document.clocks == {1: 1, 2: 1, 3: 1, 4: 9, 8: 2, 9: 4}
    assert document.deleted.covers([(3, 0, 1), (4, 2, 9)])
    assert not document.waiting


def test_what_is_held_and_comes_in_part_from_elsewhere_is_cut() -> None:
    """Another update may bring the beginning of a struct that waits: the rest goes in behind it."""
    document = opened()
    assert admit(document, one(9, 2, "cdef", origin=(9, 1))) is AHEAD
    assert admit(document, one(9, 0, "abcd")) is NEW
    assert document.clocks == {9: 6}
    assert [data for data, _ in ready(document)] == [one(9, 4, "ef", origin=(9, 3))]
    assert not document.waiting


def test_no_more_parts_are_held_than_some_for_each_update() -> None:
    """An update of very many clients that all wait for something is dropped, and asked for."""
    document = opened(Limits(max_held_updates=2))
    blocks = [block(client, 0, item("x", origin=(1, 0))) for client in range(2, 140)]
    assert admit(document, update(*blocks)) is AHEAD
    assert not document.waiting
    assert document.held.dropped


# Types and keys


def nest(depth: int, *, client: int = 1, clock: int = 0, inside: object = "root") -> list[bytes]:
    """Return updates of one type each, each inside the one before."""
    made = []
    for level in range(depth):
        parent = inside if level == 0 else (client, clock + level - 1)
        made.append(one(client, clock + level, type_(1), parent=parent, key="k"))
    return made


def test_max_type_depth() -> None:
    """PYCRDT, SIGSEGV from nested types: small updates nest to the limit and no deeper."""
    document = opened(Limits(max_type_depth=10))
    assert set(put(document, *nest(9))) == {NEW}
    deeper = one(2, 0, type_(1), parent=(1, 8), key="k")
    with pytest.raises(InvalidUpdate) as caught:
        admit(document, deeper)
    assert caught.value.kind == "update-type-depth"
    assert document.clocks == {1: 9}
    assert admit(document, one(2, 0, any_(b"\x7e"), parent=(1, 8), key="k")) is NEW


def test_max_type_depth_within_one_update() -> None:
    """Types of one update count alike, over several clients and by origin too."""
    chain = [item(type_(0), parent="root")] + [
        item(type_(0), parent=(1, level)) for level in range(20)
    ]
    with pytest.raises(InvalidUpdate):
        admit(opened(Limits(max_type_depth=10)), update(block(1, 0, *chain)))
    document = opened(Limits(max_type_depth=3))
    put(document, *nest(2, inside="root"))
    put(document, one(1, 2, any_(b"\x7e"), parent=(1, 1)))
    with pytest.raises(InvalidUpdate):
        admit(document, one(1, 3, type_(0), origin=(1, 2)))


def test_a_refusal_for_depth_changes_nothing() -> None:
    """After a refusal the same clocks are let in with something flatter."""
    document = opened(Limits(max_type_depth=3))
    put(document, *nest(2))
    with pytest.raises(InvalidUpdate):
        admit(
            document, update(block(1, 2, item(type_(0), parent="a"), item(type_(0), parent=(1, 1))))
        )
    assert document.clocks == {1: 2}
    assert admit(document, one(1, 2, "x", parent="root2")) is NEW
    assert admit(document, one(1, 3, type_(0), parent=(1, 0))) is NEW


def test_depth_is_known_after_a_reload() -> None:
    """The nesting of a stored document counts for what clients add to it."""
    document = opened()
    put(document, *nest(5))
    again = opened(Limits(max_type_depth=6), state=document.checkpoint())
    with pytest.raises(InvalidUpdate):
        put(again, *nest(2, client=2, inside=(1, 4)))


def test_a_lower_limit_leaves_what_is_stored_readable() -> None:
    """What was let in under other limits loads, from a state and from a log."""
    made = nest(20)
    made.append(one(2, 0, any_(b"\x75\x01" * 20 + b"\x7e")))
    document = opened()
    put(document, *made)
    strict = Limits(
        max_type_depth=3, max_any_depth=3, max_conflicts=1, max_update_clients=1,
        max_update_structs=1,
    )  # fmt: skip
    assert Document(strict, state=document.checkpoint()).clocks == document.clocks
    replayed = Document(strict)
    for data in made:
        replayed.replay(data)
    assert replayed.clocks == document.clocks


@pytest.mark.parametrize(
    "parent", [item("text", parent="t"), item(any_(b"\x7e"), parent="t")], ids=["string", "value"]
)
def test_an_item_lies_in_a_shared_type(parent: bytes) -> None:
    """An item inside something that is no shared type, which pycrdt gives up on, is refused."""
    document = opened()
    put(document, update(block(1, 0, parent)))
    with pytest.raises(InvalidUpdate) as caught:
        admit(document, one(2, 0, "x", parent=(1, 0)))
    assert caught.value.kind == "update-bad-parent"
    assert document.clocks.get(2) is None


@pytest.mark.parametrize("committed", [True, False])
def test_an_item_in_a_deleted_value_is_refused(committed: bool) -> None:
    """Deleting a value makes no type of it: no Yjs client writes into one, and Yjs drops it."""
    document = opened()
    for data in ("010107000801056172726179017d0500", "000107010001"):
        value = bytes.fromhex(data)
        assert admit(document, value) is NEW
        if committed:
            document.commit(value, scan(value, LIMITS))
    for late in ("0101070104000700027a7a00", "0101090004000700027a7a00"):
        with pytest.raises(InvalidUpdate) as caught:
            admit(document, bytes.fromhex(late))
        assert caught.value.kind == "update-bad-parent"
    assert document.clocks == {7: 1}
    assert not document.verbatim


def test_an_item_in_what_came_collected_is_let_in() -> None:
    """Of a collected item nobody knows whether it was a type: a late writer is believed."""
    for struct in (item(deleted(2), parent="t"), gc(2), item(deleted(2), origin=(3, 0))):
        document = opened()
        put(document, one(3, 0, "x"), update(block(1, 0, struct), deletes=[(1, 0, 2)]))
        late = one(2, 0, "x", parent=(1, 1))
        assert put(document, late) == [NEW]
        together = opened()
        put(together, one(3, 0, "x"))
        blocks = (block(1, 0, struct), block(2, 0, item("x", parent=(1, 1))))
        assert put(together, update(*blocks, deletes=[(1, 0, 2)])) == [NEW]


def test_an_item_in_a_deleted_type_is_let_in() -> None:
    """A client that did not hear of a deletion yet may write into what is gone, reload or not."""
    document = opened()
    put(document, one(1, 0, type_(1), parent="m", key="k"), update(deletes=[(1, 0, 1)]))
    late = one(2, 0, any_(b"\x7e"), parent=(1, 0), key="x")
    assert admit(opened(state=document.checkpoint()), late) is NEW
    assert put(document, late) == [NEW]
    reloaded = opened(state=document.checkpoint())
    assert reloaded.clocks == document.clocks


VALUE = any_(b"\x7e")


@pytest.mark.parametrize(
    "bad",
    [
        one(2, 0, VALUE, right=(1, 0)),
        one(2, 0, VALUE, origin=(1, 0), right=(1, 0)),
        one(2, 0, VALUE, origin=(1, 1), right=(1, 0)),
        one(2, 0, VALUE, origin=(1, 0), right=(1, 1)),
        one(2, 0, any_(b"\x7e", b"\x7e"), origin=(1, 0)),
        one(2, 0, any_(b"\x7e", b"\x7e"), parent="m", key="k"),
        one(2, 0, "two", parent="m", key="k"),
        one(2, 0, any_(b"\x7e", b"\x7e"), parent="m", key="k", deletes=[(2, 0, 1)]),
    ],
    ids=lambda data: data.hex(),
)
def test_items_under_keys_are_as_yjs_makes_them(bad: bytes) -> None:
    """Under a key there is one value behind another, before nothing: pycrdt survives no other."""
    document = opened()
    put(document, one(1, 0, VALUE, parent="m", key="k"), one(1, 1, "x", parent="t"))
    with pytest.raises(InvalidUpdate) as caught:
        admit(document, bad)
    assert caught.value.kind == "update-bad-key"
    assert document.clocks == {1: 2}


def test_what_stands_beside_something_is_no_key_of_anything() -> None:
    """An item that says it has a key, but stands in a text, lies there: others write before it."""
    document = opened()
    put(document, one(1, 0, "x", parent="t"), one(2, 0, "y", origin=(1, 0), key="k"))
    put(document, one(3, 0, "z", origin=(1, 0), right=(2, 0)), one(3, 1, "w", right=(1, 0)))
    assert document.clocks == {1: 1, 2: 1, 3: 2}
    replica: pycrdt.Doc[Any] = pycrdt.Doc()
    replica.apply_update(document.state())
    assert str(replica.get("t", type=pycrdt.Text)) == "wxzy"


def test_what_yjs_writes_under_keys_is_let_in() -> None:
    """A value, one behind it, a deleted run, and values that are deleted at once are sound."""
    document = opened()
    made = [
        one(1, 0, VALUE, parent="m", key="k"),
        one(1, 1, type_(1), origin=(1, 0), key="k"),
        one(1, 2, deleted(3), origin=(1, 1)),
        one(1, 5, any_(b"\x7e", b"\x7e"), origin=(1, 4), deletes=[(1, 5, 7)]),
        one(1, 7, VALUE, origin=(1, 6)),
    ]
    assert set(put(document, *made)) == {NEW}
    assert opened(state=document.checkpoint()).clocks == {1: 8}


def test_keys_are_known_after_a_reload() -> None:
    """What lies under a key in a stored document still can't be stood before."""
    document = opened()
    put(document, one(1, 0, VALUE, parent="m", key="k"))
    again = opened(state=document.checkpoint())
    with pytest.raises(InvalidUpdate):
        admit(again, one(2, 0, "x", right=(1, 0)))


def test_a_repetition_cannot_redefine_what_is_known() -> None:
    """Known clocks that come again under a key do not make honest neighbours refused."""
    document = opened()
    put(document, one(1, 0, "text"), one(3, 0, type_(0), parent="other"))
    forged = update(block(1, 0, item(VALUE, parent="m", key="k"), item("ext!", parent="text")))
    try:
        put(document, forged)
    except InvalidUpdate:
        pass
    assert put(document, one(2, 0, "before", right=(1, 0))) == [NEW]


def test_a_refused_update_leaves_nothing_behind() -> None:
    """What a refused update claimed of its items is not held against the next one."""
    document = opened()
    put(document, one(1, 0, type_(0), parent="list"))
    keyed = [item(VALUE, parent="m", key="k"), item("x", parent=(1, 0), key="k")]
    refused = update(block(2, 0, *keyed, item("y", origin=(2, 1), right=(2, 1))))
    with pytest.raises(InvalidUpdate):
        admit(document, refused)
    assert put(document, one(2, 0, "ok")) == [NEW]
    assert put(document, one(3, 0, "before", right=(2, 0))) == [NEW]


# Answers


@pytest.mark.parametrize("seed", SEEDS)
def test_a_newcomer_gets_everything(seed: int) -> None:
    """The answer to an empty state vector is the document, integrated or not."""
    made = history(seed)
    document = opened()
    for index, data in enumerate(made):
        put(document, data)
        if index % 17 == 5:
            document.integrate()
        if index % 13 == 7:
            document.rest()
    assert shown(document.diff(b"\x00")) == shown(made)
    assert shown([document.state()]) == shown(made)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_returning_reader_gets_what_it_lacks(seed: int) -> None:
    """The answer to any earlier state vector brings that reader up to date, and no more."""
    made = history(seed)
    document = opened()
    put(document, *made)
    whole = replay(*made)
    for index in range(0, len(made), 5):
        reader = replay(*made[:index])
        answer = document.diff(reader.get_state())
        lacking = scan(whole.get_update(reader.get_state()), LIMITS).ranges
        got = [each for data in answer for each in scan(data, LIMITS).ranges]
        if index:
            assert sorted(got) == sorted(lacking)
        for data in answer:
            reader.apply_update(data)
        assert content(reader) == content(whole)


def test_only_what_is_committed_is_told() -> None:
    """An update that is let in shows in no answer before its commit; its clocks do."""
    document = opened()
    data = one(1, 0, "x")
    admit(document, data)
    assert document.state() == EMPTY_UPDATE
    assert document.diff(b"\x00") == []
    assert document.diff(b"\x01\x05\x01") in ([], [EMPTY_UPDATE])
    assert read_state_vector(document.state_vector(), LIMITS) == {1: 1}
    document.commit(data, scan(data, LIMITS))
    assert document.diff(b"\x00") == [data]


def test_a_newcomer_is_answered_without_integrating(monkeypatch: pytest.MonkeyPatch) -> None:
    """Joining costs no CRDT work: the answer is the cached state and the log's tail."""
    made = history(3)
    document = opened(state=replay(*made[:10]).get_update())
    put(document, *made[10:])

    def never(*_: object) -> None:
        raise AssertionError("integrated")

    monkeypatch.setattr("crdtsync.crdt.Replica.apply", never)
    assert shown(document.diff(b"\x00")) == shown(made)
    assert document.tail_updates == len(made) - 10


def test_the_tail_is_joined_for_the_next_newcomer() -> None:
    """What one newcomer needed joined stays joined, and commits come behind it."""
    document = opened()
    made = history(5)
    put(document, *made)
    first = document.diff(b"\x00")
    assert len(first) < len(made)
    assert document.diff(b"\x00") == first
    more = one(99, 0, "more")
    put(document, more)
    assert shown(document.diff(b"\x00")) == shown([*made, more])


def test_equal_questions_are_answered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred readers at one state vector cost one difference, until something changes."""
    made = history(4)
    document = opened()
    put(document, *made)
    vector = replay(*made[:10]).get_state()
    answer = document.diff(vector)
    asked: list[bytes] = []
    real = pycrdt.Doc.get_update

    def counting(self: object, state: object = None) -> bytes:
        asked.append(b"")
        return real(self, state)  # type: ignore[arg-type]

    monkeypatch.setattr(pycrdt.Doc, "get_update", counting)
    assert document.diff(vector) == answer
    assert asked == []
    more = one(99, 0, "more")
    put(document, more)
    assert shown([replay(*made[:10]).get_update(), *document.diff(vector)]) == shown([*made, more])
    assert asked


def test_max_frame_bytes() -> None:
    """Above the limit a state and a difference come in pieces, each sound by itself."""
    document = opened(Limits(max_frame_bytes=500))
    made = history(6, steps=120)
    put(document, *made)
    document.integrate()
    pieces = document.diff(b"\x00")
    assert len(pieces) > 2
    reader = opened()
    assert all(verdict is not AHEAD for verdict in put(reader, *pieces))
    assert shown([reader.state()]) == shown(made)
    half = replay(*made[:60])
    pieces = document.diff(half.get_state())
    assert len(pieces) > 1
    reader = opened(state=half.get_update())
    assert all(verdict is not AHEAD for verdict in put(reader, *pieces))
    assert shown([reader.state()]) == shown(made)


# Checkpoints


@pytest.mark.parametrize("seed", SEEDS)
def test_a_checkpoint_reloads_to_the_same_document(seed: int) -> None:
    """A document made from a checkpoint shows, knows and answers the same."""
    made = history(seed)
    document = opened()
    put(document, *made)
    again = opened(state=document.checkpoint())
    assert again.clocks == document.clocks
    assert shown([again.state()]) == shown(made)
    assert set(put(again, *made)) == {KNOWN}
    assert not document.verbatim


def test_many_clients_make_a_checkpoint() -> None:
    """A document that hundreds of clients wrote to is proven like any other."""
    random = Random(1)
    document = opened()
    for _ in range(300):
        put(document, one(random.getrandbits(32), 0, "x"))
        if random.random() < 0.1:
            document.integrate()
    state = document.checkpoint()
    assert not document.verbatim
    assert opened(state=state).clocks == document.clocks


def test_a_log_replays_to_the_same_document() -> None:
    """A stored log makes the document again; one that does not follow is refused."""
    made = history(7)
    document = Document(LIMITS)
    for data in made:
        document.replay(data)
    document.loaded()
    assert shown([document.state()]) == shown(made)
    with pytest.raises(InvalidUpdate):
        Document(LIMITS).replay(one(1, 5, "x", origin=(1, 4)))
    with pytest.raises(InvalidUpdate):
        Document(LIMITS).replay(b"\x01")


def test_a_state_that_is_not_sound_is_refused() -> None:
    """A stored state is read as strictly as anything else."""
    with pytest.raises(InvalidUpdate):
        Document(LIMITS, state=b"\x01\x01")


def test_a_document_at_rest_keeps_its_answers() -> None:
    """Letting go of the replica changes no answer and no clock."""
    made = history(2)
    document = opened()
    put(document, *made)
    vector = replay(*made[:15]).get_state()
    before = (document.state_vector(), document.state(), document.diff(vector))
    document.rest()
    assert (document.state_vector(), document.state(), document.diff(vector)) == before
    put(document, one(99, 0, "more"))
    assert shown([document.state()]) == shown([*made, one(99, 0, "more")])


# What pycrdt can't carry


def test_a_document_that_pycrdt_refuses_is_kept_by_its_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where integration fails nothing is lost: every answer is made from the updates' bytes."""
    from crdtsync.crdt import IntegrationError, Replica

    made = history(9)
    document = opened()
    put(document, *made[:20])
    document.integrate()
    real = Replica.apply

    def refusing(self: Replica, updates: Iterable[bytes]) -> None:
        updates = list(updates)
        if made[25] in updates:
            raise IntegrationError("no")
        real(self, updates)

    monkeypatch.setattr(Replica, "apply", refusing)
    put(document, *made[20:])
    state = document.state()
    assert document.verbatim
    monkeypatch.undo()
    assert shown([state]) == shown(made)
    assert shown(document.diff(b"\x00")) == shown(made)
    reader = replay(*made[:15])
    for data in document.diff(reader.get_state()):
        reader.apply_update(data)
    assert content(reader) == content(replay(*made))
    assert opened(state=document.checkpoint()).clocks == document.clocks


def test_a_state_that_does_not_prove_is_not_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pycrdt's state reloads to something else the checkpoint is made from the bytes."""
    made = history(10)
    document = opened()
    put(document, *made)
    short = replay(*made[:-1]).get_update()
    monkeypatch.setattr("crdtsync.crdt.Replica.state", lambda self: short)
    state = document.checkpoint()
    monkeypatch.undo()
    assert document.verbatim
    assert shown([state]) == shown(made)


@pytest.mark.parametrize(
    "data",
    [
        one(2, 0, any_(b"\x7a" + bytes(7) + b"\x01"), parent="list"),
        one(2, 0, type_(5, "hook"), parent="xml"),
        one(2, 0, "b", origin=(1, 1), right=(1, 2)),
        update(deletes=[(1, 1, 2)]),
    ],
    ids=["big integer", "XML hook", "between halves", "half deleted"],
)
def test_what_pycrdt_would_change_stays_as_it_came(data: bytes) -> None:
    """Big integers, XML hooks and split surrogate pairs keep every clock through a reload."""
    document = opened()
    put(document, one(1, 0, string("a😀")), data)
    assert document.verbatim
    clocks = dict(document.clocks)
    again = opened(state=document.checkpoint())
    assert again.clocks == clocks
    further = one(1, clocks[1], "z", origin=(1, clocks[1] - 1))
    assert put(again, further) == [NEW]
    assert opened(state=again.checkpoint()).clocks[1] == clocks[1] + 1


def test_a_state_vector_may_cut_a_pair() -> None:
    """Found by fuzzing: who says to have half a surrogate pair gets an update all the same, with
    U+FFFD for the other half, as Yjs cuts it; pycrdt would write one that nobody reads."""
    document = opened()
    put(document, one(1, 0, "a😀b"))
    (answer,) = document.diff(encode_state_vector({1: 2}))
    assert scan(answer, LIMITS).ranges == ((1, 2, 4),)
    assert "\ufffdb".encode() in answer
    assert not document.verbatim
    assert opened(state=document.checkpoint()).diff(encode_state_vector({1: 2})) == [answer]


def test_an_overlap_may_not_cut_its_own_pair() -> None:
    """An update whose new part begins within its own surrogate pair costs no clock."""
    document = opened()
    put(document, one(1, 0, "ab"), one(1, 1, "😀c", origin=(1, 0)))
    assert document.clocks == {1: 4}
    assert opened(state=document.checkpoint()).clocks == {1: 4}


def test_ordinary_pairs_are_ordinary() -> None:
    """Text beyond the BMP that nobody splits goes through pycrdt like any other."""
    document = opened()
    put(document, one(1, 0, "a😀b"), one(1, 4, "c", origin=(1, 2)), update(deletes=[(1, 1, 3)]))
    document.checkpoint()
    assert not document.verbatim
    assert str(replay(document.state())["text"]) == "acb"


def test_gc_structs_are_carried() -> None:
    """Collected content of a client that forgets is let in and kept."""
    document = opened()
    data = update(block(1, 0, gc(3), item("x", parent="text")), deletes=[(1, 0, 3)])
    assert put(document, data) == [NEW]
    assert opened(state=document.checkpoint()).clocks == {1: 4}


def test_state_vectors_are_cached_until_something_comes() -> None:
    """The encoded clocks are made anew only after an admission."""
    document = opened()
    put(document, one(1, 0, "x"))
    first = document.state_vector()
    assert document.state_vector() is first
    assert first == encode_state_vector({1: 1})
    put(document, one(2, 0, "x"))
    assert read_state_vector(document.state_vector(), LIMITS) == {1: 1, 2: 1}


def elsewhere() -> list[bytes]:
    """Two roots and a shared type, each with some text."""
    return [
        one(1, 0, "ab", parent="a"),
        one(1, 2, "cd", parent="b"),
        update(block(1, 4, item(type_(0), parent="a"), item("ef", parent=(1, 4)))),
    ]


@pytest.mark.parametrize(
    ("origin", "right"), [((1, 0), (1, 2)), ((1, 3), (1, 1)), ((1, 0), (1, 5)), ((1, 6), (1, 3))]
)
def test_an_item_stands_between_two_of_one_place(origin: Id, right: Id) -> None:
    """Found by fuzzing: an item between two of different places lies in one of them, or nowhere."""
    document = opened()
    put(document, *elsewhere())
    with pytest.raises(InvalidUpdate) as caught:
        admit(document, one(2, 0, "x", origin=origin, right=right))
    assert caught.value.kind == "update-bad-neighbours"
    assert put(document, one(2, 0, "x", origin=(1, 0), right=(1, 1))) == [NEW]
    assert put(document, one(2, 1, "x", origin=(1, 2), right=(1, 3))) == [NEW]
    assert put(document, one(2, 2, "x", origin=(1, 5), right=(1, 6))) == [NEW]


def test_places_are_known_again_after_a_reload() -> None:
    """What tells the places of items apart does not end with the process."""
    document = opened()
    put(document, *elsewhere())
    again = opened(state=document.checkpoint())
    with pytest.raises(InvalidUpdate, match="different places"):
        admit(again, one(2, 0, "x", origin=(1, 0), right=(1, 2)))


def test_a_refused_update_leaves_no_place_behind() -> None:
    """The place of a refused item's children is forgotten with it."""
    document = opened()
    put(document, *elsewhere())
    bad = [
        item(type_(0), parent="c"),
        item("x", parent=(2, 0)),
        item("y", origin=(1, 0), right=(2, 1)),
    ]
    with pytest.raises(InvalidUpdate, match="different places"):
        admit(document, update(block(2, 0, *bad)))
    deep = [item(type_(0), parent=(1, 4)), item(type_(0), parent=(2, 0)), item("z", parent=(2, 1))]
    assert put(document, update(block(2, 0, *deep))) == [NEW]
    assert put(document, one(2, 3, "y", origin=(2, 2))) == [NEW]


def test_of_a_deleted_type_some_may_be_collected() -> None:
    """Who inserts into a type that somebody else deletes stands beside what is collected."""
    document = opened()
    put(document, *elsewhere(), update(deletes=[(1, 4, 7)]))
    put(document, update(block(3, 0, gc(1))))
    assert put(document, one(2, 0, "x", origin=(3, 0), right=(1, 6))) == [NEW]
    with pytest.raises(InvalidUpdate, match="different places"):
        admit(document, one(2, 1, "x", origin=(3, 0), right=(1, 1)))


def test_what_pycrdt_can_t_integrate_is_served_after_a_reload() -> None:
    """Found by fuzzing: an item in something deleted that is no type raises in pycrdt where both
    come in one transaction. None is let in; a document that was stored with one is served by its
    bytes, from a checkpoint too."""
    document = Document(LIMITS)
    made = [
        one(1, 0, doc("guid"), parent="a"),
        update(deletes=[(1, 0, 1)]),
        one(1, 1, "x", parent=(1, 0)),
    ]
    for data in made:
        document.replay(data)
    document.loaded()
    state = document.checkpoint()
    assert document.verbatim
    again = opened(state=state)
    assert again.clocks == {1: 2}
    assert again.diff(encode_state_vector({1: 1})) != []
    assert again.verbatim
    put(again, one(1, 2, "y", parent="t"))
    third = opened(state=again.checkpoint())
    assert third.snapshot().state_vector == b""
    assert third.clocks == {1: 3}


class Slow(ManualClock):
    """A clock by which everything takes a second."""

    def monotonic_s(self) -> float:
        """Return the time, a second later."""
        self.advance(1.0)
        return super().monotonic_s()


def crowd(first: int, items: int) -> bytes:
    """Write an update of items that compete for one place, each of another client."""
    return update(*[block(first + n, 0, item("x")) for n in range(items)])


def test_what_takes_too_long_to_integrate_is_kept_by_its_bytes() -> None:
    """Many updates that compete for one place stop at the first that takes too long, exact."""
    document = Document(LIMITS, clock=Slow())
    parts = [crowd(1_000_000 + n * 1_500, 1_500) for n in range(4)]
    for part in parts:
        found = scan(part, LIMITS)
        assert document.admit(part, found) is Verdict.NEW
        document.commit(part, found)
    document.integrate()
    assert "too long" in document.verbatim
    joined = join_updates([(part, scan(part, LIMITS)) for part in parts])
    assert joined is not None
    assert document.state() == joined[0]
    patient = Document(LIMITS)
    for part in parts[:2]:
        patient.replay(part)
    patient.integrate()
    assert not patient.verbatim


def test_a_crowded_state_is_kept_from_pycrdt_when_it_is_loaded() -> None:
    """A stored state with more competing items than one update may bring is verbatim at once."""
    joined = join_updates(
        [(part, scan(part, LIMITS)) for part in (crowd(1, 1_500), crowd(2_000, 3_000))]
    )
    assert joined is not None
    document = Document(LIMITS, state=joined[0])
    assert "compete" in document.verbatim
    assert document.state() == joined[0]
    assert not Document(LIMITS, state=crowd(1, 1_500)).verbatim


def test_many_small_crowds_are_one_large_one() -> None:
    """What counts is the work of an update, in one place or in many."""
    limits = Limits(max_conflicts=100)

    def crowds(places: int, items: int) -> bytes:
        return update(
            *[
                block(1_000 + place * items + n, 0, item("x", parent=f"root{place}"))
                for place in range(places)
                for n in range(items)
            ]
        )

    scan(crowds(100, 5), limits)
    scan(crowds(1, 100), limits)
    with pytest.raises(InvalidUpdate) as refused:
        scan(crowds(10, 90), limits)
    assert refused.value.kind == "update-conflicts"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_large_tail_is_sent_as_it_is(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that lacks some is answered without integrating much: what is known, and the rest
    behind it; before and after the rest is integrated, and while more comes."""
    monkeypatch.setattr("crdtsync.state.INTEGRATE_HERE_BYTES", 200)
    dice, document, readers = Random(seed), opened(), [pycrdt.Doc[Any]() for _ in range(4)]
    heavy = 0
    for data in history(seed, steps=60):
        put(document, data)
        reader = dice.choice(readers)
        for _ in range(2 * (dice.random() < 0.2)):
            heavy += document.committed.heavy
            for each in document.diff(reader.get_state()):
                reader.apply_update(each)
            assert read_state_vector(reader.get_state(), LIMITS) == document.clocks
        if dice.random() < 0.1:
            document.integrate()
    assert heavy
    for reader in readers:
        for each in document.diff(reader.get_state()):
            reader.apply_update(each)
        assert content(reader) == shown([document.state()])
