"""The client's parts by themselves: what is confirmed, what goes out, who is there."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pycrdt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtsync.awareness import Entry
from crdtsync.client import AwarenessChange, Backoff, ClientError, Options, Status
from crdtsync.client.awareness import Awareness
from crdtsync.client.core import Core
from crdtsync.client.ledger import Ledger
from crdtsync.client.outbox import Outbox, cut
from crdtsync.client.tokens import read_answer
from crdtsync.limits import Limits
from crdtsync.protocol import token_accepted_frame, token_refused_frame
from crdtsync.structs import Layout
from crdtsync.update import scan

LIMITS = Limits()
RANGE = st.tuples(st.integers(1, 3), st.integers(0, 30), st.integers(1, 10)).map(
    lambda each: (each[0], each[1], each[1] + each[2])
)
LAYOUT = st.tuples(st.lists(RANGE, max_size=3), st.lists(RANGE, max_size=3)).map(
    lambda each: Layout(tuple(each[0]), (), tuple(each[1]))
)


def ids(ranges: Any) -> set[tuple[int, int]]:
    """Return a set of ids, one by one."""
    return {(client, clock) for client, start, end in ranges for clock in range(start, end)}


@given(st.lists(st.tuples(st.booleans(), LAYOUT), max_size=12))
def test_the_ledger_agrees_with_plain_sets(steps: list[tuple[bool, Layout]]) -> None:
    """What is owed is what was made and has not come back since, however it is cut and joined."""
    ledger = Ledger()
    made: set[tuple[int, int]] = set()
    removed: set[tuple[int, int]] = set()
    for makes, layout in steps:
        if makes:
            # An id is made once: nobody makes again what is there.
            fresh = Layout(
                tuple((c, n, n + 1) for c, n in sorted(ids(layout.ranges) - seen(ledger)[0])),
                (),
                tuple((c, n, n + 1) for c, n in sorted(ids(layout.deletes) - seen(ledger)[1])),
            )
            ledger.make(fresh)
            made |= ids(fresh.ranges)
            removed |= ids(fresh.deletes)
        else:
            ledger.confirm(layout)
            made -= ids(layout.ranges)
            removed -= ids(layout.deletes)
        owed = ledger.owed()
        assert ids(owed.inserts) == made
        assert ids(owed.deletes) == removed
        assert ledger.clean == (not made and not removed)
        assert ledger.settled(owed) == ledger.clean


def seen(ledger: Ledger) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """Return what a ledger has of inserts and deletes, confirmed or not."""
    return ids(ledger._made) | ids(ledger._confirmed), ids(ledger._removed) | ids(ledger._gone)


def test_a_moment_is_settled_though_more_is_written() -> None:
    """Who waits for what was written so far does not wait for what comes behind it."""
    ledger = Ledger()
    ledger.make(Layout(((1, 0, 5),), (), ()))
    owed = ledger.owed()
    ledger.make(Layout(((1, 5, 9),), (), ()))
    ledger.confirm(Layout(((1, 0, 5),), (), ()))
    assert ledger.settled(owed)
    assert not ledger.clean
    assert ledger.claimed({1: 9, 2: 4}) == {1: 5, 2: 4}
    ledger.confirm(Layout(((1, 5, 9),), (), ()))
    assert ledger.settled(owed)
    assert ledger.claimed({1: 9, 2: 4}) == {1: 9, 2: 4}


def edits(count: int) -> list[bytes]:
    """Return the updates of some edits, insertions and deletions."""
    doc = pycrdt.Doc[Any]()
    found: list[bytes] = []
    doc.observe(lambda event: found.append(event.update))
    text = doc.get("text", type=pycrdt.Text)
    for number in range(count):
        text.insert(number // 2, f"{number} " * (number % 7 + 1))
        if number % 3 == 2:
            del text[0:2]
    return found


def text_of(updates: list[bytes]) -> str:
    """Return the text that some updates make, each applied by itself."""
    doc = pycrdt.Doc[Any]()
    for update in updates:
        scan(update, LIMITS)
        doc.apply_update(update)
    return str(doc.get("text", type=pycrdt.Text))


@pytest.mark.parametrize("max_frame_bytes", [40, 300, 1 << 20])
def test_what_waits_goes_out_joined_and_cut(max_frame_bytes: int) -> None:
    """Few updates make the same document, and none is much longer than it may be."""
    updates = edits(60)
    outbox = Outbox(Options(max_frame_bytes=max_frame_bytes))
    clocks: dict[int, int] = {}
    for update in updates:
        found = scan(update, LIMITS)
        outbox.add(update, found)
        clocks.update({client: end for client, _, end in found.ranges})
    pieces = outbox.take(clocks)
    assert not outbox
    assert text_of(pieces) == text_of(updates)
    assert max(map(len, pieces)) <= max_frame_bytes + 100
    if max_frame_bytes == 1 << 20:
        assert len(pieces) == 1


def test_too_much_is_read_from_the_document_again() -> None:
    """Above ``max_outbox_bytes`` only the clocks are kept."""
    outbox = Outbox(Options(max_outbox_bytes=100))
    clocks: dict[int, int] = {9: 9}
    for update in edits(40):
        found = scan(update, LIMITS)
        outbox.add(update, found)
        clocks.update({client: end for client, _, end in found.ranges})
    assert outbox
    lacking = outbox.lacking(clocks)
    assert lacking is not None
    assert {client: clock for client, clock in lacking.items() if clock} == {9: 9}
    outbox.clear()
    assert not outbox


def test_a_large_update_is_cut() -> None:
    """One large update becomes pieces that can be applied one by one."""
    doc = pycrdt.Doc[Any]()
    for update in edits(60):
        doc.apply_update(update)
    state = doc.get_update()
    pieces = cut(state, {}, Options(max_frame_bytes=200))
    assert len(pieces) > 3
    assert text_of(pieces) == text_of([state])


def awareness() -> tuple[Awareness, list[AwarenessChange]]:
    """Return an awareness with id 1, and what is told of it."""
    made = Awareness(1, Options(), lambda: None)
    told: list[AwarenessChange] = []
    made.on_change(told.append)
    return made, told


def test_awareness_goes_by_clocks() -> None:
    """Newer entries count, and a removal at the same clock; others don't."""
    made, told = awareness()
    made.receive([Entry(2, 5, '{"a":1}')], 0)
    made.receive([Entry(2, 5, '{"a":2}'), Entry(2, 4, "null")], 0)
    assert made.states[2] == {"a": 1}
    made.receive([Entry(2, 6, '{"a":3}')], 0)
    made.receive([Entry(2, 6, "null")], 0)
    made.receive([Entry(2, 6, '{"a":4}')], 0)
    assert 2 not in made.states
    assert told == [
        AwarenessChange(added=(2,)),
        AwarenessChange(updated=(2,)),
        AwarenessChange(removed=(2,)),
    ]


def test_awareness_ends_and_is_renewed() -> None:
    """Who says nothing for 30 s is gone; the own state goes out again behind 15 s."""
    made, told = awareness()
    made.receive([Entry(2, 1, "{}")], 0)
    made.own_entry(0)
    made.tick(14.9)
    assert not made.due
    made.tick(15)
    assert made.due
    assert made.own_entry(15).clock == 1
    made.tick(29.9)
    assert 2 in made.states
    made.tick(30)
    assert 2 not in made.states
    assert told[-1] == AwarenessChange(removed=(2,))


def test_awareness_is_bounded() -> None:
    """No more clients than the limit, and no own state that a server refuses."""
    made, _ = awareness()
    many = LIMITS.max_awareness_clients
    made.receive([Entry(client, 1, "1") for client in range(2, many + 50)], 0)
    assert len(made.states) == many + 1
    made.receive([Entry(2, 2, "null"), Entry(1 << 40, 1, "2")], 0)
    assert made.states[1 << 40] == 2
    with pytest.raises(ClientError):
        made.local_state = {"x": "y" * LIMITS.max_awareness_bytes}
    with pytest.raises(ValueError, match="JSON"):
        made.local_state = {"x": float("nan")}


def test_answers_to_tokens() -> None:
    """Seconds, a reason, or no answer at all."""
    assert read_answer(token_accepted_frame(300)) == 300
    assert read_answer(token_refused_frame("no")) == "no"
    for frame in (b"", b"\x65", b"\x65\x00", b"\x65\x01\x09", b"\x00\x00\x01\x00"):
        assert read_answer(frame) is None


def test_options_are_values() -> None:
    """Options are compared and replaced like values."""
    assert replace(Options(), backoff=Backoff(first_s=1)) == Options(backoff=Backoff(first_s=1))


def test_nothing_follows_on_closed() -> None:
    """What ends behind the client's end, such as its connection, changes its state no more."""
    core = Core(pycrdt.Doc(), Options(), lock=nullcontext(), soon=lambda call: call())
    told: list[Status] = []
    core.statuses.add(told.append)
    for status in (Status.OFFLINE, Status.CLOSED, Status.OFFLINE, Status.CONNECTING):
        core.enter(status)
    assert told == [Status.OFFLINE, Status.CLOSED]
    assert core.status is Status.CLOSED
