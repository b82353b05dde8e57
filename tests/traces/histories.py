"""Recorded editing histories as updates: what the authors' clients would have sent."""

import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pycrdt

from tests.needs import require

__all__ = ["NAME", "Author", "Sent", "friends", "history", "paper"]

NAME = "text"
VARIABLE = "TRACES_DIR"
DEFAULT = Path(__file__).parents[3] / "shared" / "traces"


def history(name: str) -> dict[str, Any]:
    """Read a history, from the folder that ``TRACES_DIR`` names."""
    path = Path(os.environ.get(VARIABLE, DEFAULT)) / f"{name}.json.gz"
    require(path.exists(), f"{path} is missing; {VARIABLE} says where the recorded traces are")
    with gzip.open(path) as file:
        return dict(json.load(file))


class Author:
    """One client that types: a document, and the update of its last transaction."""

    def __init__(self, number: int) -> None:
        self.doc: pycrdt.Doc[pycrdt.Text] = pycrdt.Doc(client_id=number)
        self.text = self.doc.get(NAME, type=pycrdt.Text)
        self.last = b""
        self.doc.observe(self._changed)

    def _changed(self, event: pycrdt.TransactionEvent) -> None:
        self.last = event.update

    def edit(self, patches: list[tuple[int, int, str]]) -> bytes:
        """Make one transaction; return its update."""
        with self.doc.transaction():
            for position, deleted, inserted in patches:
                if deleted:
                    del self.text[position : position + deleted]
                if inserted:
                    self.text.insert(position, inserted)
        return self.last


@dataclass(frozen=True, slots=True)
class Sent:
    """One update, by whom."""

    agent: int
    update: bytes


def paper(trace: dict[str, Any], author: Author) -> Iterator[bytes]:
    """Replay a sequential history: one update per edit."""
    for transaction in trace["txns"]:
        for patch in transaction["patches"]:
            yield author.edit([patch])


def friends(trace: dict[str, Any], authors: list[Author]) -> Iterator[Sent]:
    """Replay a concurrent history, each transaction on what its author had seen then.

    Positions count in the merge of the transaction's parents. No agent forks from itself, so
    its own document, given what is behind the parents and not in it yet, is that merge.
    """
    transactions = trace["txns"]
    updates: list[bytes] = []
    seen: list[set[int]] = [set() for _ in authors]
    for number, transaction in enumerate(transactions):
        agent = transaction["agent"]
        missing: list[int] = []
        ahead = list(transaction["parents"])
        while ahead:
            parent = ahead.pop()
            if parent not in seen[agent]:
                seen[agent].add(parent)
                missing.append(parent)
                ahead += transactions[parent]["parents"]
        for parent in sorted(missing):
            authors[agent].doc.apply_update(updates[parent])
        update = authors[agent].edit(transaction["patches"])
        updates.append(update)
        seen[agent].add(number)
        yield Sent(agent, update)
