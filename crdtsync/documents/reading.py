"""Listing, describing and exporting documents."""

import json

from crdtsync.content import RootExport, export
from crdtsync.crdt import IntegrationError
from crdtsync.documents.loading import open_loaded, stored_info, whole_state
from crdtsync.documents.model import (
    DocumentDetails,
    DocumentError,
    DocumentNotFound,
    Exported,
    ExportFormat,
    RootDetails,
)
from crdtsync.documents.quarantine import refuse_quarantined
from crdtsync.errors import InvalidUpdate
from crdtsync.guard import NO_GUARD, Guard
from crdtsync.limits import Limits
from crdtsync.store.base import DocumentInfo, Loaded, Store

__all__ = ["document_info", "export_document", "join_stored", "list_documents"]


async def list_documents(
    store: Store, *, prefix: str = "", after: str = "", limit: int = 1000
) -> list[DocumentInfo]:
    """List up to ``limit`` documents by name, from the first name behind ``after``."""
    return await store.documents(prefix=prefix, after=after, limit=limit)


async def document_info(
    store: Store, name: str, *, limits: Limits | None = None, guard: Guard = NO_GUARD
) -> DocumentDetails:
    """Describe one document: metadata, size, and its roots with their kinds.

    Raises ``DocumentNotFound``, and ``DocumentError`` where it can't be read.
    """
    info = await stored_info(store, name)
    loaded = await store.load(name)
    document, damage = open_loaded(name, loaded, limits or Limits())
    record = guard.quarantined(name)
    if record is not None:
        document.keep_verbatim(record.reason)
    state = whole_state(name, document)
    clients = len(document.clocks)
    if record is not None:
        return DocumentDetails(info, len(state), clients, (), damage, record.reason)
    roots = tuple(
        RootDetails(root, content.kind, _size(name, content))
        for root, content in _roots(name, state).items()
    )
    return DocumentDetails(info, len(state), clients, roots, damage)


async def export_document(
    store: Store,
    name: str,
    *,
    format: ExportFormat = "update",
    root: str | None = None,
    limits: Limits | None = None,
    guard: Guard = NO_GUARD,
) -> Exported:
    """Return a document as a v1 update, as JSON, or as the plain text of one root.

    ``root`` chooses one root; for ``text`` it may be left out where there is one text only.
    Raises ``DocumentNotFound``, also for a root, and ``DocumentError`` where the document can't
    be read or has several texts. A quarantined document can be had as an update only, which is
    joined by its bytes.
    """
    await stored_info(store, name)
    if format != "update":
        refuse_quarantined(guard, name, "Export it as an update, which needs no reading")
    loaded = await store.load(name)
    if guard.quarantined(name) is not None:
        return join_stored(name, loaded, limits)
    document, damage = open_loaded(name, loaded, limits or Limits())
    state = whole_state(name, document)
    if format == "update":
        return Exported(state, damage)
    roots = _roots(name, state)
    if root is not None and root not in roots:
        raise DocumentNotFound(
            f"document {name!r} has no root {root!r}", hint=_known("Its roots are", list(roots))
        )
    if format == "json":
        values = {key: content.value for key, content in roots.items() if root in (None, key)}
        return Exported(_json(name, values), damage)
    return Exported(_text(name, roots, root).encode(), damage)


def join_stored(name: str, loaded: Loaded, limits: Limits | None = None) -> Exported:
    """Return a loaded document as an update, joined by its bytes: the CRDT gets nothing of it.

    Raises ``DocumentError``.
    """
    document, damage = open_loaded(name, loaded, limits or Limits())
    document.keep_verbatim("it is quarantined")
    return Exported(whole_state(name, document), damage)


def _roots(name: str, state: bytes) -> dict[str, RootExport]:
    try:
        return export(state)
    except (InvalidUpdate, IntegrationError) as error:
        raise DocumentError(
            f"the content of document {name!r} can't be read: {error}",
            hint="Export it as an update, which needs no reading",
        ) from error


def _text(name: str, roots: dict[str, RootExport], root: str | None) -> str:
    texts = {key: content for key, content in roots.items() if content.kind == "text"}
    if root is None and len(texts) == 1:
        (root,) = texts
    if root is None:
        raise DocumentError(
            f"document {name!r} has {len(texts)} texts"
            if texts
            else f"document {name!r} has no text",
            hint=_known("Name the root:", list(texts)) if texts else "Export it as json",
        )
    content = roots[root]
    if content.kind != "text":
        raise DocumentError(
            f"root {root!r} is no text but {content.kind}", hint="Export it as json"
        )
    return str(content.value)


def _known(words: str, names: list[str]) -> str:
    return f"{words} {', '.join(map(repr, names[:10]))}" if names else "It has none"


def _size(name: str, content: RootExport) -> int:
    if content.kind == "text":
        return len(str(content.value))
    return len(_json(name, content.value)) - 1


def _json(name: str, value: object) -> bytes:
    """Write JSON on one line: with line breaks it would take ten times as long."""
    try:
        return json.dumps(value, ensure_ascii=False).encode() + b"\n"
    except RecursionError:
        raise DocumentError(
            f"document {name!r} is nested too deeply for JSON", hint="Export it as an update"
        ) from None
