"""Whatever happens, nothing shown is lost and all clients end with the same document."""

import os
import subprocess
import sys

import pytest

from tests.portions import small_portions
from tests.simulation.story import play, told

SEEDS = 160
PER_TEST = 20


@pytest.mark.parametrize("first", range(0, SEEDS, PER_TEST))
def test_seeds(first: int) -> None:
    """Stories with crashes, full disks and bad networks end well."""
    for seed in range(first, first + PER_TEST):
        play(seed)


def test_seeds_by_portions() -> None:
    """So they do where each update of several structs is let in by portions."""
    with small_portions():
        for seed in range(SEEDS, SEEDS + PER_TEST):
            play(seed)


@pytest.mark.parametrize("store", ["memory", "file", "sqlite"])
def test_a_seed_replays(store: str) -> None:
    """A seed's story is the same each time, to the last line."""
    for seed in range(3):
        assert told(play(seed, store=store)) == told(play(seed, store=store))


def test_a_seed_replays_in_another_process() -> None:
    """Neither the order of sets nor what ran before changes a story."""
    command = [sys.executable, "-m", "tests.simulation", "--seed", "5", "--story"]
    stories = [
        subprocess.run(
            command,
            env={**os.environ, "PYTHONHASHSEED": each},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.splitlines()[:-1]
        for each in ("0", "7")
    ]
    assert len(stories[0]) > 20
    assert stories[0] == stories[1] == told(play(5))
