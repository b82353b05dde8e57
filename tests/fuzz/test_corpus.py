"""Every conversation of the corpus: bytes that killed, stalled or misled something once."""

from pathlib import Path

import pytest

from crdtsync.protocol import update_frame
from fuzz.examine import Examiner
from fuzz.script import Action, load
from fuzz.values import deep_any
from tests.unit.wire import any_ as any_content
from tests.unit.wire import block, item, one, type_, update

pytestmark = pytest.mark.node

CORPUS = Path(__file__).parent.parent.parent / "fuzz" / "corpus"
FILES = sorted(CORPUS.glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_corpus(path: Path, examiner: Examiner) -> None:
    """What was found once is well now, and says in its first line what it is."""
    assert path.read_text(encoding="utf-8").startswith("# ")
    assert examiner.examine(load(path)) == ""


def nested_types(depth: int) -> list[bytes]:
    """Y.Maps in one another, a hundred in an update; then the root goes."""
    made = []
    for start in range(0, depth, 100):
        structs = [
            item(type_(1), parent=(1, clock - 1) if clock else "m", key="k")
            for clock in range(start, min(depth, start + 100))
        ]
        made.append(update(block(1, start, *structs)))
    return [*made, update(deletes=[(1, 0, 1)])]


LARGE = {
    "a value 26,000 deep": [one(1, 0, any_content(deep_any(26_000)), parent="array")],
    "33,000 types in one another": nested_types(33_000),
    "20,000 values of one key": [
        update(
            *(
                block(client, 0, item(any_content(b"\x7e"), parent="m", key="k"))
                for client in range(1, 20_001)
            )
        )
    ],
    "20,000 items in one place": [
        update(*(block(client, 0, item("x")) for client in range(1, 20_001)))
    ],
}


@pytest.mark.parametrize("name", LARGE)
def test_what_is_too_large_for_a_file(name: str, examiner: Examiner) -> None:
    """Depth and competition that end or stall a process are refused within a second."""
    actions = [Action("open"), *(Action("frame", 0, update_frame(data)) for data in LARGE[name])]
    assert examiner.examine(actions) == ""
