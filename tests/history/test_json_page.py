"""docs/history-json.md shows what the answers really are."""

import json
from typing import Any

import pycrdt
import pytest

from crdtsync.history.activity import activity
from crdtsync.history.blame import blame
from crdtsync.history.compare import compare
from crdtsync.history.content import read
from crdtsync.history.patch import patch
from crdtsync.store.base import Record
from tests.docs.kit import blocks, page

PAGE = page("docs/history-json.md")
START_MS = 1_795_341_600_000
NAMES = {"u1": "Ada", "u2": "Ben"}


def story() -> tuple[Record, ...]:
    """Return the log of the page's example."""
    ada, ben = (pycrdt.Doc[Any](client_id=number) for number in (1, 2))
    updates: list[bytes] = []

    def sent(doc: "pycrdt.Doc[Any]", before: bytes) -> None:
        updates.append(doc.get_update(before))
        for other in (ada, ben):
            other.apply_update(updates[-1])

    before = ada.get_state()
    with ada.transaction():
        ada.get("body", type=pycrdt.Text).insert(0, "Hello wrld")
        ada.get("meta", type=pycrdt.Map)["title"] = "Draft"
        ada.get("tags", type=pycrdt.Array).extend(["old", "kept"])
    sent(ada, before)
    before = ben.get_state()
    with ben.transaction():
        body = ben.get("body", type=pycrdt.Text)
        body.insert(7, "o")
        body.format(6, 11, {"bold": True})
        ben.get("meta", type=pycrdt.Map)["title"] = "Notes"
    sent(ben, before)
    before = ada.get_state()
    with ada.transaction():
        del ada.get("body", type=pycrdt.Text)[0:6]
        tags = ada.get("tags", type=pycrdt.Array)
        del tags[0]
        tags.append(pycrdt.Map({"colour": "red"}))
        part = pycrdt.XmlElement("p", {"class": "x"})
        ada.get("page", type=pycrdt.XmlFragment).children.append(part)
        part.children.append(pycrdt.XmlText("Hi"))
    sent(ada, before)
    return tuple(
        Record("notes", number, START_MS + 60_000 * number, author, update)
        for number, (author, update) in enumerate(zip(("u1", "u2", "u1"), updates, strict=True), 1)
    )


def answers() -> dict[str, Any]:
    """Return each answer that the page shows, by the heading above it."""
    log = story()
    return {
        "Content": json.loads(read(None, None, log, 3)),
        "Delta": json.loads(read(None, None, log, 3, "delta")),
        "Rich content": json.loads(read(None, None, log, 3, "rich")),
        "Diff": json.loads(compare(None, None, log, 1, 3, None, NAMES)),
        "Blame": json.loads(blame(None, None, log, 3, None, NAMES)),
        "Activity": json.loads(activity(None, None, log, None, 50, NAMES)),
    }


def section(heading: str) -> str:
    """Return what stands below a heading."""
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("heading", answers())
def test_the_page_shows_the_answer(heading: str) -> None:
    """The first block below each heading is the answer to the example's question."""
    shown = json.loads(blocks(section(heading), "json")[0])
    assert shown == answers()[heading]


def test_the_diff_of_the_page_applies() -> None:
    """As the page says, the diff makes the later moment of the earlier one."""
    diff = json.loads(blocks(section("Diff"), "json")[0])
    before = json.loads(read(None, None, story(), 1, "rich"))
    assert patch(before, diff) == json.loads(blocks(section("Rich content"), "json")[0])
