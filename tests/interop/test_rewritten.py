"""Yjs opens what crdtsync wrote: joined, cut, held back, integrated and reloaded updates alike."""

import base64
import json
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus.corpus import NAMES, Case, load

from crdtsync.document import Document, Verdict
from crdtsync.joining import join_updates
from crdtsync.limits import Limits
from crdtsync.slicing import missing_from, slice_update, weave_updates
from crdtsync.state_vector import read_state_vector
from crdtsync.update import scan

from .harness import HERE

pytestmark = pytest.mark.node

Log = list[bytes]


def committed(updates: Iterable[bytes], *, state: bytes | None = None) -> tuple[Document, Log]:
    """Let a document admit and commit updates in this order, as a room does; return its log too."""
    document = Document(Limits()) if state is None else Document(Limits(), state=state)
    log: Log = []
    for update in updates:
        found = scan(update, Limits())
        if document.admit(update, found) is Verdict.NEW:
            document.commit(update, found)
            log.append(update)
        for piece, part, _ in document.take_ready():
            document.commit(piece, part)
            log.append(piece)
    return document, log


def replayed(log: Log) -> Document:
    """Load a document from its log, as after a restart."""
    document = Document(Limits())
    for update in log:
        document.replay(update)
    return document


def complete(case: Case) -> list[bytes]:
    """Return the case's updates followed by its state, after which nothing is missing."""
    return [recorded.data for recorded in case.all]


def ways(case: Case) -> Iterator[tuple[str, list[bytes]]]:
    """Yield each way in which crdtsync writes updates, and what it wrote."""
    updates = complete(case)
    document, log = committed(updates)
    yield "log", log
    yield "joined before integration", document.diff(b"\x00")
    yield "state", [document.state()]
    yield "joined after integration", document.diff(b"\x00")
    yield "checkpoint", [document.checkpoint()]
    yield "replayed log", replayed(log).diff(b"\x00")
    yield "reloaded state", [Document(Limits(), state=document.checkpoint()).state()]

    shuffled = updates.copy()
    random.Random(case.name).shuffle(shuffled)
    yield "shuffled", [committed(shuffled)[0].state()]

    half, _ = committed(updates[: len(updates) // 2])
    rest, _ = committed(updates[len(updates) // 2 :], state=half.checkpoint())
    yield "checkpoint in between", [rest.state()]
    yield "half and the difference", [half.state(), *document.diff(half.state_vector())]

    woven, _ = weave_updates(log, Limits())
    yield "woven", [woven]
    found = scan(woven, Limits(), structs=True)
    pieces = slice_update(woven, found, {}, max_bytes=64)
    assert pieces.rest is None
    yield "cut", pieces.ready
    known = read_state_vector(half.state_vector(), Limits())
    yield "half and what is missing from all", [half.state(), missing_from(woven, found, known)]
    groups = [log[n : n + 16] for n in range(0, len(log), 16)]
    yield "joined in groups", [part for group in groups for part in grouped(group)]


def grouped(group: Log) -> Log:
    """Join a group where it can be joined."""
    joined = join_updates([(update, scan(update, Limits())) for update in group])
    return group if joined is None else [joined[0]]


def encoded(updates: Iterable[bytes]) -> list[str]:
    """Return updates for JSON."""
    return [base64.b64encode(update).decode() for update in updates]


def test_yjs_opens_every_rewritten_update(node: Callable[..., str], tmp_path: Path) -> None:
    """For every case, each way gives Yjs the content, clocks and deletions of the originals."""
    cases: dict[str, Any] = {}
    for name in NAMES:
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
