"""The real server, killed with SIGKILL under load: what anyone was shown is there afterwards."""

import asyncio
from pathlib import Path

import pytest

from tests.crash.edits import edits_of, expected, holding
from tests.crash.ledger import Lost
from tests.crash.life import Life, Tally, lives
from tests.crash.nursery import Nursery
from tests.crash.steps import FILE, SQLITE, Kind, Step

ROUNDS = 20

JOURNAL, TAIL = FILE[0], SQLITE[0]


def test_nothing_shown_is_lost(nursery: Nursery, kind: Kind, tmp_path: Path) -> None:
    """20 kills, at random moments and at named steps: nothing shown is lost, checks are clean."""
    tally = Tally()
    assert asyncio.run(lives(kind, ROUNDS, 2, tmp_path, nursery, tally)) == []
    assert tally.rounds == ROUNDS
    assert tally.edits > 100 * ROUNDS
    assert tally.checks > ROUNDS // 5
    assert len(tally.kills) > 4, tally.kills  # "anywhere", and steps
    assert tally.kills["anywhere"] > 2


@pytest.mark.parametrize(
    ("kind", "change", "step"),
    [
        ("sqlite", "shown_before_stored", TAIL),
        ("file", "shown_before_stored", JOURNAL),
        ("sqlite", "commits_gathered", TAIL),
        ("file", "journal_gathered", JOURNAL),
        ("sqlite", "checkpoint_of_too_much", SQLITE[5]),
    ],
)
def test_a_defect_is_found(
    nursery: Nursery, tmp_path: Path, kind: Kind, change: str, step: Step
) -> None:
    """A server that shows what it has not stored, or drops what it has, is found in a few kills."""
    life = Life(kind, tmp_path / "life", nursery, seed=3, changes=(change,), steps=(step,))
    with pytest.raises(Lost) as caught:
        asyncio.run(life.rounds(12))
    assert "seed 3, round" in str(caught.value)  # enough to do it again


def test_the_books_are_exact() -> None:
    """What a document holds is told from one edit more or less, a deletion or an insertion."""
    edits = edits_of(100)
    for count in (0, 1, 57, 1000):
        held = holding([100], edits.updates[:count])
        assert held.counts == {100: count}
        assert held == expected({100: count})
    without = [*edits.updates[:57], *edits.updates[58:100]]
    assert holding([100], without) != expected({100: 100})
    assert holding([100], edits_of(101).updates[:3]).counts[101] is None
