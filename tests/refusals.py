"""Refused updates for tests: what somebody typed, and how a quarantine gets it."""

from typing import Any

import pycrdt

from crdtsync.refused.base import RefusedUpdate, Run

__all__ = ["refused", "typed_words"]


def typed_words(words: str, *, client: int = 7, base: bytes | None = None) -> list[bytes]:
    """Return the updates of somebody who types, one for each word, behind what is there."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=client)
    if base is not None:
        doc.apply_update(base)
    text = doc.get("text", type=pycrdt.Text)
    updates = []
    for word in words.split():
        before = doc.get_state()
        text += f"{word} "
        updates.append(doc.get_update(before))
    return updates


def refused(update: bytes, run: Run | None = None, **changed: Any) -> RefusedUpdate:
    """Return an update of Ann's as it is refused, by itself or in a run of others."""
    fields: dict[str, Any] = {
        "document": "doc",
        "author": "ann",
        "name": "Ann",
        "kind": "gate",
        "reason": "no",
        "time_ms": 1_700_000_000_000,
    }
    return RefusedUpdate(**fields | changed, update=update, run=run or Run())
