"""The simulator finds what it is for."""

import pytest

from tests.simulation.sabotage import SABOTAGES, ends_badly

SEEDS = 60
"""A defect of these shows in one of so many."""


@pytest.mark.parametrize("name", SABOTAGES)
def test_a_defect_is_found(name: str) -> None:
    """Each defect that is put in on purpose ends some seed's story."""
    assert ends_badly(name, SEEDS)
