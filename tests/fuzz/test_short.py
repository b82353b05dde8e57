"""One seeded run of made-up conversations; ``python -m fuzz run`` makes longer ones."""

from pathlib import Path

import pytest

from fuzz.run import run

pytestmark = pytest.mark.node

SEED = 1
MESSAGES = 120_000
"""About a minute."""


def test_a_run_finds_nothing(yjs: None, tmp_path: Path) -> None:
    """Whatever is sent is refused with a typed error, or Yjs and pycrdt agree on what it makes."""
    said: list[str] = []
    totals, findings = run(SEED, messages=MESSAGES, say=said.append, folder=tmp_path, shorten=False)
    assert findings == [], "\n".join(said)
    assert totals.messages >= MESSAGES
    assert totals.committed > MESSAGES / 2
    assert sum(totals.refused.values()) > MESSAGES / 50
    assert totals.documents == totals.conversations > 1_000
    assert totals.verbatim < totals.documents / 2
    assert totals.misplaced < totals.documents / 100
    assert len(totals.refused) > 12
