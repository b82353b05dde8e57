"""The past that is kept from question to question is the one that is asked about."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pycrdt
import pytest

from crdtsync.history import lately
from crdtsync.history.cutting import encode_snapshot
from crdtsync.history.forward import restore_update
from crdtsync.history.lately import Memory, open_past
from crdtsync.history.log import LogCheckpoint, LogRecord
from crdtsync.history.model import HistoryDamaged
from crdtsync.history.past import Past
from crdtsync.history.view import View
from crdtsync.history.weave import Weave
from crdtsync.structs import STRING, Id
from tests.history.kit import order_of
from tests.properties.authors import play
from tests.properties.edits import Dice, edit
from tests.unit.wire import any_, block, item, one, update


def records_of(updates: Sequence[bytes]) -> tuple[LogRecord, ...]:
    return tuple(LogRecord(n, 1000 * n, "ada", update) for n, update in enumerate(updates, 1))


def by_newcomer(updates: Sequence[bytes], number: int, random: Random) -> list[bytes]:
    """Return what somebody new edits, who knows the first of some updates or all of them."""
    doc = pycrdt.Doc[Any](client_id=number)
    for each in updates[: random.choice([len(updates), random.randrange(len(updates) + 1)])]:
        doc.apply_update(each)
    before = doc.get_state()
    with doc.transaction():
        for _ in range(1 + random.randrange(4)):
            edit(doc, Dice(random.randbytes(40)))
    made = doc.get_update(before)
    return [] if made == b"\x00\x00" else [made]


def ends_of(woven: Weave) -> dict[Id, Id]:
    """Return the last item of each list and key, by the first one."""
    lines = {id(each.line): each.line for each in woven.items.values() if each.line is not None}
    return {
        (line.first.client, line.first.clock): (line.last.client, line.last.clock)
        for line in lines.values()
        if line.first is not None and line.last is not None
    }


def assert_same(past: Past, fresh: Past, random: Random) -> None:
    assert order_of(past.woven) == order_of(fresh.woven)
    assert ends_of(past.woven) == ends_of(fresh.woven)
    divided, expected = (
        {key: (item.length, item.shared is None) for key, item in each.woven.items.items()}
        for each in (past, fresh)
    )
    assert divided == expected
    assert past.timeline.sequence == fresh.timeline.sequence
    for sequence in {0, fresh.timeline.sequence, random.randrange(fresh.timeline.sequence + 1)}:
        assert past.update_at(sequence) == fresh.update_at(sequence)
        snapshot = fresh.timeline.snapshot(sequence)
        assert past.snapshot_at(sequence) == encode_snapshot(snapshot)
        roots = (View(each.woven, snapshot).roots() for each in (past, fresh))
        assert next(roots) == next(roots)


@pytest.fixture
def grown(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many structs were put into a weave that was there."""
    found: list[int] = []
    real = Weave.grow

    def grow(self: Weave, data: bytes, scan: Any, structs: Any, **options: int) -> None:
        found.append(len(structs))
        real(self, data, scan, structs, **options)

    monkeypatch.setattr(Weave, "grow", grow)
    return found


def test_what_is_logged_meanwhile(grown: list[int]) -> None:
    """Whoever edits or restores, it is what it would be if it were opened anew."""
    for seed in range(250):
        random = Random(seed)
        updates = play(random.randbytes(300)).updates
        memory, newcomer, kept = Memory(), 1000, None
        for _ in range(6):
            past = memory.open(None, None, records_of(updates))
            assert kept is None or past is kept
            kept, fresh = past, Past.open(None, None, records_of(updates))
            assert_same(past, fresh, random)
            newcomer += 1
            if updates and random.random() < 0.4:
                moment = random.randrange(len(updates) + 1)
                back = restore_update(past, moment, client=newcomer)
                if back != b"\x00\x00":
                    updates = [*updates, back]
            else:
                new = (by_newcomer(updates, newcomer + n, random) for n in (0, 100))
                updates = [*updates, *(each for one in new for each in one)]
        records = records_of(updates)
        assert memory.open(None, None, records).stored() == Past.open(None, None, records).stored()
    assert len(grown) > 500


@pytest.mark.parametrize(
    "newer",
    [
        one(5, 0, "x", origin=(1, 1), right=(1, 2)),
        one(5, 0, "x", origin=(1, 2), right=(1, 3)),
        one(5, 0, any_(b"\x7d\x01"), key="k"),
        update(block(300, 0, item("x", origin=(1, 0), right=(1, 1))), block(4, 0, item("y"))),
    ],
    ids=["within a pair", "behind a pair", "another kind of root", "two"],
)
def test_odd_edits(newer: bytes, grown: list[int]) -> None:
    """They divide a character, or change what the first thing in a root is."""
    records = records_of([one(1, 0, "a\U0001f600b"), newer])
    memory = Memory()
    assert memory.open(None, None, records[:1]).woven
    past, fresh = memory.open(None, None, records), Past.open(None, None, records)
    assert_same(past, fresh, Random(1))
    assert grown
    now = fresh.timeline.end
    shown = [
        View(each.woven, now).text(found, found.clock, found.clock + found.length)
        for each in (past, fresh)
        for _, found in sorted(each.woven.items.items())
        if found.struct.kind == STRING
    ]
    assert shown[: len(shown) // 2] == shown[len(shown) // 2 :]


def test_another_past_is_not_taken_for_it() -> None:
    """What it is made of has to be there again, each byte."""
    updates = play(Random(5).randbytes(300)).updates
    assert len(updates) > 3
    records = records_of(updates)
    memory = Memory()
    past = memory.open(None, None, records[:-1])
    assert memory.open(None, None, records[:-1]) is past
    assert memory.open(None, None, records) is past
    for other in (
        (None, None, records[:-1]),  # a store that was put back
        (None, None, (records[0]._replace(author="bob"), *records[1:])),
        (Past.open(None, None, records[:2]).stored(), None, records[2:]),
        (
            None,
            LogCheckpoint(2, 2000, Past.open(None, None, records[:2]).update_at(2)),
            records[2:],
        ),
    ):
        assert memory.open(*other) is not past
        past = memory.open(*other)
        assert memory.open(*other) is past


def test_what_fails_is_not_kept() -> None:
    """A log with a hole is damaged, and what it was put into is let go."""
    records = records_of(play(Random(5).randbytes(300)).updates)
    memory = Memory()
    past = memory.open(None, None, records[:1])
    with pytest.raises(HistoryDamaged, match="record 2 is missing"):
        memory.open(None, None, (records[0], *records[2:]))
    assert memory.open(None, None, records[:1]) is not past


def test_large_ones_are_not_kept() -> None:
    """The limit is what was ever inserted, not what is left of it."""
    records = records_of(play(Random(5).randbytes(300)).updates)
    size = Past.open(None, None, records).size
    small, large = Memory(size - 1), Memory(size)
    assert small.open(None, None, records) is not small.open(None, None, records)
    assert large.open(None, None, records) is large.open(None, None, records)


def test_only_where_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept in a process that is not a worker's."""
    records = records_of(play(Random(5).randbytes(300)).updates)
    assert open_past(None, None, records) is not open_past(None, None, records)
    monkeypatch.setattr(lately, "_memory", Memory())
    assert open_past(None, None, records) is open_past(None, None, records)
