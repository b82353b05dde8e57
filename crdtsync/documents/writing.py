"""Importing and deleting documents: for whoever has the store for themselves."""

from dataclasses import replace

from crdtsync.clock import Clock, SystemClock
from crdtsync.document import Verdict
from crdtsync.documents.loading import damaged, not_found, open_loaded, whole_state
from crdtsync.documents.model import MAX_IMPORT_BYTES, DocumentError, DocumentExists, Imported
from crdtsync.documents.quarantine import refuse_quarantined
from crdtsync.errors import InvalidUpdate
from crdtsync.guard import NO_GUARD, Guard
from crdtsync.history.base import HistoryStore, NewVersion
from crdtsync.limits import Limits
from crdtsync.protocol import check_document_name
from crdtsync.store.base import DocumentInfo, Record, Store
from crdtsync.structs import Scan
from crdtsync.update import scan

__all__ = ["delete_document", "import_document", "version_before"]


async def import_document(
    store: Store,
    name: str,
    update: bytes,
    *,
    merge: bool = False,
    author: str = "",
    limits: Limits | None = None,
    clock: Clock | None = None,
    guard: Guard = NO_GUARD,
    history: HistoryStore | None = None,
) -> Imported:
    """Commit an update to a new document, or with ``merge`` to one that is there.

    In ``history`` a document that changes has a version of the moment before.

    The sizes that a client's update is held to don't apply, so that every export can come back.
    Raises ``InvalidUpdate`` where the update is not a sound v1 update, or brings nothing to a new
    document; ``InvalidDocumentName``; ``DocumentExists`` without ``merge``; and
    ``DocumentError`` where the update depends on edits that are not there, or the document is
    quarantined.
    """
    limits = limits or Limits()
    check_document_name(name, max_bytes=limits.max_document_name_bytes)
    refuse_quarantined(guard, name, "Release it first")
    if len(update) > MAX_IMPORT_BYTES:
        raise InvalidUpdate(f"the update is over {MAX_IMPORT_BYTES} bytes")
    most = 1 << 62
    trusting = replace(limits, max_conflicts=most, max_update_clients=most, max_update_structs=most)
    found = _scan_import(update, trusting)
    info = await store.info(name)
    if info is not None and not merge:
        raise DocumentExists(
            f"document {name!r} exists",
            hint="Add to it with --merge, or delete it first",
        )
    document, damage = open_loaded(name, await store.load(name), trusting)
    if damage is not None:
        raise damaged(name, damage)
    verdict = document.admit(update, found)
    if verdict is Verdict.AHEAD:
        raise DocumentError(
            "the update builds on edits that are neither in it nor in the document",
            hint="Import the whole document (Y.encodeStateAsUpdate(doc)), not a difference",
        )
    news = [(part, layout) for part, layout, _ in document.take_ready()]
    if verdict is Verdict.NEW:
        news.insert(0, (update, found))
    if not news and info is None:
        raise InvalidUpdate("the update is empty")
    for part, layout in news:
        document.commit(part, layout)
    whole_state(name, document)  # what can't be put together is not stored
    time_ms = (clock or SystemClock()).time_ms()
    last = 0 if info is None else info.sequence
    records = [Record(name, last + n, time_ms, author, part) for n, (part, _) in enumerate(news, 1)]
    if records:
        if history is not None and info is not None:
            await history.add_versions([version_before(info)])
        await store.append(records)
    return Imported(created=info is None, sequence=last + len(records), changed=bool(records))


def _scan_import(update: bytes, limits: Limits) -> Scan:
    try:
        return scan(update, limits)
    except InvalidUpdate as error:
        # A V2 update begins with a zero byte; a v1 update that does only deletes.
        if len(update) > 2 and update[0] == 0:
            raise InvalidUpdate(
                f"{error}; this looks like a V2 update: take Y.encodeStateAsUpdate instead"
            ) from None
        raise


def version_before(info: DocumentInfo, label: str = "") -> NewVersion:
    """Return the version of a document as it is before an import."""
    return NewVersion(
        document=info.name,
        incarnation=info.created_ms,
        sequence=info.sequence,
        time_ms=info.updated_ms,
        kind="import",
        label=label,
    )


async def delete_document(store: Store, name: str, *, history: HistoryStore | None = None) -> None:
    """Remove a document with its whole log, its history first. Raises ``DocumentNotFound``."""
    if history is not None and await history.forget(name):
        await history.shrink()
    if not await store.delete(name):
        raise not_found(name)
