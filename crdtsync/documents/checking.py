"""Proving that everything in a store can be read, and loaded by a server."""

from collections.abc import AsyncIterator
from dataclasses import replace

from crdtsync.crdt import IntegrationError
from crdtsync.documents.loading import open_loaded
from crdtsync.errors import InvalidUpdate
from crdtsync.guard import NO_GUARD, Guard
from crdtsync.limits import Limits
from crdtsync.store.base import Cutting, Damage, DocumentInfo, Finding, Loaded, Store

__all__ = ["check_store"]


async def check_store(
    store: Store,
    *,
    repair: bool = False,
    limits: Limits | None = None,
    guard: Guard = NO_GUARD,
) -> AsyncIterator[Finding]:
    """Read everything, and yield what is wrong and one ``ok`` per sound document.

    First the store's own check (checksums, sequences; with ``repair`` it cuts damaged documents
    back), then every document as a server would load it: each stored update through the update
    reader, onto the one before, and the whole reloaded from its state. With ``repair`` it is cut
    back to what can be loaded, where the store is ``Cutting``. A quarantined document is not
    loaded.
    """
    unsound: set[str] = set()
    async for finding in store.check(repair=repair):
        if finding.level == "ok":
            continue
        if finding.level == "error":
            unsound.add(finding.document)
        yield finding
    after = ""
    while page := await store.documents(after=after):
        after = page[-1].name
        for info in page:
            record = guard.quarantined(info.name)
            if record is not None:
                yield Finding(info.name, info.sequence, "warning", f"not loaded: {record.reason}")
                continue
            found, damage = _load(info, await store.load(info.name), limits or Limits())
            if damage is not None and repair and isinstance(store, Cutting):
                await store.cut(damage)
                found = replace(found, repaired=True)
            if found.level != "ok" or info.name not in unsound:
                yield found


def _load(info: DocumentInfo, loaded: Loaded, limits: Limits) -> tuple[Finding, Damage | None]:
    """Load a document as a server does; return the first thing that goes wrong.

    Beside it, where that is a stored update that can't be loaded: before it the document is sound.
    """
    name = info.name
    document, damage = open_loaded(name, loaded, limits)
    if damage is not None and damage is not loaded.damage:
        message = f"can't be loaded: {damage.problem}; the document ends before it"
        return Finding(name, damage.sequence, "error", message), damage
    try:
        document.checkpoint()
    except (InvalidUpdate, IntegrationError) as error:
        return Finding(name, info.sequence, "error", f"can't be put together: {error}"), None
    how = f"; kept verbatim, because {document.verbatim}" if document.verbatim else ""
    return Finding(name, info.sequence, "ok", f"sound{how}"), None
