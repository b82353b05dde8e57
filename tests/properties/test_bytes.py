"""Cutting, joining and reading updates changes nothing of what they say."""

import pycrdt
from hypothesis import strategies as st

from crdtsync.encoding import write_var_uint
from crdtsync.joining import join_updates
from crdtsync.keystroke import Typist
from crdtsync.slicing import missing_from, slice_update, weave_updates
from crdtsync.update import scan
from tests.properties.authors import READER, History, clocks_of, doc_of, histories, same
from tests.properties.profile import checked

PIECES = [1, 5, 20, 60, 1 << 20]


@checked(300, history=histories)
def test_the_pieces_of_an_update_make_the_same_document(history: History) -> None:
    """An update cut anywhere is integrated piece by piece to the same document."""
    updates, dice = history.updates, history.dice
    known = dice.roll(len(updates))
    doc, whole = doc_of(*updates[:known]), doc_of(*updates)
    update = whole.get_update()
    found = scan(update, READER, structs=True)
    slices = slice_update(update, found, clocks_of(doc), max_bytes=dice.pick(PIECES))
    assert slices.rest is None
    for piece in slices.ready:
        before = clocks_of(doc)
        described = scan(piece, READER)
        assert not described.skips
        assert all(before.get(client, 0) >= start for client, start, _ in described.ranges)
        doc.apply_update(piece)
        for client, _, end in (*described.ranges, *described.deletes):
            assert clocks_of(doc).get(client, 0) >= end
    assert same(doc, whole)


@checked(300, history=histories)
def test_what_does_not_fit_yet_loses_nothing(history: History) -> None:
    """An update that is ahead splits into what fits and a rest that fits after what it lacks."""
    updates, dice = history.updates, history.dice
    border = dice.roll(len(updates))
    early, whole = doc_of(*updates[:border]), doc_of(*updates)
    ahead = whole.get_update(early.get_state())
    doc = doc_of(*updates[: dice.roll(border + 1)])
    size = dice.pick(PIECES)
    slices = slice_update(ahead, scan(ahead, READER, structs=True), clocks_of(doc), max_bytes=size)
    for update in (*slices.ready, early.get_update(doc.get_state())):
        doc.apply_update(update)
    if slices.rest is not None:
        found = scan(slices.rest, READER, structs=True)
        again = slice_update(slices.rest, found, clocks_of(doc), max_bytes=size)
        assert again.rest is None
        for piece in again.ready:
            doc.apply_update(piece)
    assert same(doc, whole)


@checked(300, history=histories)
def test_joined_updates_say_what_merged_ones_say(history: History) -> None:
    """Updates joined by their bytes make the document that pycrdt's merging makes."""
    joined = join_updates([(update, scan(update, READER)) for update in history.updates])
    assert joined is not None
    update, layout = joined
    again = scan(update, READER)
    assert again.ranges == layout.ranges
    assert again.bodies == layout.bodies
    assert set(again.deletes) == set(layout.deletes)
    assert same(doc_of(update), doc_of(*history.updates))
    assert same(doc_of(update), doc_of(pycrdt.merge_updates(*history.updates)))


@checked(300, history=histories)
def test_woven_updates_make_the_same_document(history: History) -> None:
    """Updates that overlap in any way are woven into one that makes the same document."""
    updates, dice = history.updates, history.dice
    doc = doc_of()
    overlapping: list[bytes] = []
    past = [doc.get_state()]
    for update in updates:
        doc.apply_update(update)
        past.append(doc.get_state())
        overlapping += [update, doc.get_update(dice.pick(past))][: 1 + dice.roll(2)]
    woven, layout = weave_updates(overlapping, READER)
    assert scan(woven, READER).ranges == layout.ranges
    assert same(doc_of(woven), doc)


@checked(300, history=histories)
def test_what_is_missing_is_enough(history: History) -> None:
    """What a document lacks of an update, cut by bytes, brings it up to date."""
    updates, dice = history.updates, history.dice
    joined = join_updates([(update, scan(update, READER)) for update in updates])
    assert joined is not None
    found = scan(joined[0], READER, structs=True)
    doc = doc_of(*updates[: dice.roll(len(updates) + 1)])
    lacks = missing_from(joined[0], found, clocks_of(doc))
    assert all(
        clocks_of(doc).get(each, 0) <= start for each, start, _ in scan(lacks, READER).ranges
    )
    doc.apply_update(lacks)
    assert same(doc, doc_of(*updates))


keystrokes = st.tuples(
    st.sampled_from([0, 1, 127, 128, 4_000_000_000]),
    st.sampled_from([1, 2, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 1 << 30]),
    st.one_of(st.none(), st.integers(1, 20)),
    st.one_of(st.none(), st.integers(1, 20)),
    st.text(st.sampled_from("aé😀z"), min_size=0, max_size=3),
)


def _keystroke(client: int, clock: int, origin: int | None, right: int | None, text: str) -> bytes:
    info = 4 | 0x80 * (origin is not None) | 0x40 * (right is not None)
    own = write_var_uint(client)
    out = b"\x01\x01" + own + write_var_uint(clock) + bytes((info,))
    for back in (origin, right):
        if back is not None:
            out += own + write_var_uint(max(0, clock - back))
    return out + write_var_uint(len(text.encode())) + text.encode() + b"\x00"


@checked(
    1500,
    parts=keystrokes,
    damage=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 255)), max_size=2),
    cut=st.integers(0, 3),
)
def test_the_quick_reader_agrees_with_the_full_one(
    parts: tuple[int, int, int | None, int | None, str], damage: list[tuple[int, int]], cut: int
) -> None:
    """What the keystroke reader reads, damaged or not, the full reader reads as the same."""
    update = bytearray(_keystroke(*parts))
    for place, byte in damage:
        update[place % len(update)] = byte
    data = bytes(update[: len(update) - max(0, cut - 1)])
    quick = Typist(parts[0]).read(data)
    if quick is None:
        return
    full = scan(data, READER)
    for name in (*full.__slots__, "ranges", "bodies", "deletes", "skips"):
        assert getattr(quick, name) == getattr(full, name), name
