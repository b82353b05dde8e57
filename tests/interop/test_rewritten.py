"""Yjs opens what crdtsync wrote: merged, cut, held back and integrated updates alike."""

import base64
import json
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus.corpus import NAMES, Case, load

from crdtsync.crdt import merge
from crdtsync.document import Document, Verdict
from crdtsync.limits import Limits
from crdtsync.slicing import slice_update
from crdtsync.update import scan

from .harness import HERE

pytestmark = pytest.mark.node


def committed(updates: Iterable[bytes]) -> Document:
    """Let a document admit and commit updates in this order, as a room does."""
    document = Document(Limits())
    for update in updates:
        if document.admit(update, scan(update, Limits())) is Verdict.NEW:
            document.commit(update)
        for piece, _, _ in document.take_ready():
            document.commit(piece)
    return document


def complete(case: Case) -> list[bytes]:
    """Return the case's updates followed by its state, after which nothing is missing."""
    return [recorded.data for recorded in case.all]


def ways(case: Case) -> Iterator[tuple[str, list[bytes]]]:
    """Yield each way in which crdtsync writes updates, and what it wrote."""
    updates = complete(case)
    document = committed(updates)
    yield "joined before integration", document.diff(b"\x00")
    yield "state", [document.state()]
    yield "joined after integration", document.diff(b"\x00")
    yield "reloaded state", [Document(Limits(), state=document.state()).state()]

    shuffled = updates.copy()
    random.Random(case.name).shuffle(shuffled)
    yield "shuffled", [committed(shuffled).state()]

    state = document.state()
    pieces = slice_update(state, scan(state, Limits(), structs=True), {}, max_bytes=64)
    assert pieces.rest is None
    yield "cut", pieces.ready

    half = committed(updates[: len(updates) // 2])
    yield "half and the difference", [half.state(), *document.diff(half.state_vector())]

    if not any(scan(update, Limits()).skips for update in updates):
        yield "merged", [merge(updates[n : n + 16]) for n in range(0, len(updates), 16)]


def encoded(updates: Iterable[bytes]) -> list[str]:
    """Return updates for JSON."""
    return [base64.b64encode(update).decode() for update in updates]


UNREADABLE = {"xml-hook"}
"""Cases that the CRDT library can't read, so that only their own updates can be handed on."""


def test_yjs_opens_every_rewritten_update(node: Callable[..., str], tmp_path: Path) -> None:
    """For every case, each way gives Yjs the content, clocks and deletions of the originals."""
    cases: dict[str, Any] = {}
    for name in sorted(set(NAMES) - UNREADABLE):
        case = load(name)
        cases[name] = {
            "roots": {
                root: next(
                    kind
                    for kind in ("map", "array", "xml", "text")
                    if kind in content or kind == "text"
                )
                for root, content in case.content.items()
            },
            "original": encoded(complete(case)),
            "ways": {way: encoded(updates) for way, updates in ways(case)},
        }
    path = tmp_path / "rewritten.json"
    path.write_text(json.dumps(cases))
    assert node(HERE / "reopen.mjs", str(path)) == ""
