"""Proving that histories can be read, and that they are of the documents in the store."""

from collections.abc import AsyncIterator

import anyio.to_thread

from crdtsync.history.base import HistoryStore
from crdtsync.history.log import plain_checkpoint, plain_records
from crdtsync.history.model import HistoryError
from crdtsync.history.past import Past
from crdtsync.history.proving import sample
from crdtsync.store.base import Finding, Loaded, Store

__all__ = ["check_histories"]


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
            info = await store.info(name)
            if info is None or info.created_ms != outline.incarnation:
                text = "there is a history of it, and no such document"
                yield Finding(name, outline.sequence, "warning", text)
                continue
            try:
                await _read(history, name, await store.load(name))
            except HistoryError as error:
                yield Finding(name, outline.sequence, "error", str(error))


async def _read(history: HistoryStore, name: str, loaded: Loaded) -> None:
    kept = await history.load(name)
    if kept is None or not kept.stored.sequence:
        return
    after = kept.stored.sequence
    base = plain_checkpoint(loaded.checkpoint, after)
    records = plain_records(loaded.records, after)

    def read() -> None:
        past = Past.open(kept.stored, base, records)
        for sequence in sample(past):
            past.update_at(sequence)

    await anyio.to_thread.run_sync(read)
