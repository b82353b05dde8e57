"""Proving that histories can be read, and that they are of the documents in the store.

A history that goes on where its document doesn't, or otherwise than that did, is a warning: a
backup was restored, and the history is cut back when the document is next opened.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Final

import anyio.to_thread

from crdtsync.history.base import HistoryStore, Outline
from crdtsync.history.divergence import Common, Dated, common, cut_back
from crdtsync.history.log import plain_checkpoint, plain_records
from crdtsync.history.model import HistoryError, Stored
from crdtsync.history.past import Past
from crdtsync.history.proving import sample
from crdtsync.store.base import Finding, Loaded, Store

__all__ = ["check_histories"]

ALL: Final = 1 << 62
_BEHIND: Final = "a backup was restored? What is not the document's is set aside at its next use"


async def check_histories(store: Store, history: HistoryStore) -> AsyncIterator[Finding]:
    """Read every history and yield what is wrong: bytes first, then what they say.

    A history without its document is a warning: deleting it was cut short, or it is of another
    store. Nothing is repaired: what is damaged is set aside when history goes on.
    """
    unsound: set[str] = set()
    for finding in await history.check():
        unsound.add(finding.document)
        yield finding
    after = ""
    while page := await history.outlines(after=after):
        after = page[-1].document
        for outline in page:
            name = outline.document
            if name in unsound:
                continue
            try:
                for finding in await _check_one(store, history, outline):
                    yield finding
            except HistoryError as error:
                yield Finding(name, outline.sequence, "error", str(error))


async def _check_one(store: Store, history: HistoryStore, outline: Outline) -> list[Finding]:
    """Read one history, then its document: beside a server both may grow meanwhile."""
    name = outline.document
    kept = await history.load(name)
    versions = await history.versions(name, limit=ALL)
    info = await store.info(name)
    if info is None or info.created_ms != outline.incarnation:
        text = "there is a history of it, and no such document"
        return [Finding(name, outline.sequence, "warning", text)]
    loaded = await store.load(name)
    if kept is None or loaded.damage is not None:
        return []
    marks = Dated.of(versions)
    last = loaded.records[-1].sequence if loaded.records else info.sequence
    found = await anyio.to_thread.run_sync(_read, kept.stored, marks, loaded, last)
    return [
        Finding(name, kept.stored.sequence, "warning", text)
        for text in _said(kept.stored.sequence, last, found)
    ]


def _read(stored: Stored, versions: list[Dated], loaded: Loaded, last: int) -> Common:
    base, records = plain_checkpoint(loaded.checkpoint, 0), plain_records(loaded.records, 0)
    found = common(stored, versions, base, records, last)
    if found.sequence != stored.sequence:
        stored = cut_back(stored, found.sequence)
    after = stored.sequence
    past = Past.open(stored, plain_checkpoint(base, after), plain_records(records, after))
    for sequence in sample(past):
        past.update_at(sequence)
    return found


def _said(end: int, last: int, found: Common) -> Iterator[str]:
    """Say what is of another future."""
    if end > last:
        yield f"the history ends at {end}, the document at {last}: {_BEHIND}"
    elif found.sequence != end:
        yield f"the document went on otherwise than its history behind {found.sequence}: {_BEHIND}"
    if found.strangers:
        count = len(found.strangers)
        yield f"{count} of its versions are of a state that the document does not have: {_BEHIND}"
