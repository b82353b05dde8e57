"""A stored document, put together as a server would, and the errors on the way."""

from crdtsync.crdt import IntegrationError
from crdtsync.document import Document
from crdtsync.documents.model import DocumentError, DocumentNotFound
from crdtsync.errors import InvalidUpdate
from crdtsync.limits import Limits
from crdtsync.store.base import Damage, DocumentInfo, Loaded, Store

__all__ = ["damaged", "not_found", "open_loaded", "stored_info", "whole_state"]


def open_loaded(name: str, loaded: Loaded, limits: Limits) -> tuple[Document, Damage | None]:
    """Rebuild a document from its checkpoint and log.

    What is damaged, or no sound update, ends it early and is returned beside it.
    """
    damage = loaded.damage
    document = Document(limits)
    sequence = 0
    try:
        if loaded.checkpoint is not None:
            sequence = loaded.checkpoint.sequence
            document = Document(limits, state=loaded.checkpoint.state)
        for record in loaded.records:
            sequence = record.sequence
            document.replay(record.update)
    except InvalidUpdate as error:
        damage = Damage(name, sequence, str(error))
    document.loaded()
    return document, damage


def whole_state(name: str, document: Document) -> bytes:
    """Return a document as one update. Raises ``DocumentError`` where it can't be put together."""
    try:
        return document.state()
    except (InvalidUpdate, IntegrationError) as error:
        raise DocumentError(
            f"document {name!r} can't be put together: {error}",
            hint="Run crdtsync check to find the update",
        ) from error


async def stored_info(store: Store, name: str) -> DocumentInfo:
    """Return a document's metadata. Raises ``DocumentNotFound``."""
    info = await store.info(name)
    if info is None:
        raise not_found(name)
    return info


def not_found(name: str) -> DocumentNotFound:
    """Say that there is no such document."""
    return DocumentNotFound(f"there is no document {name!r}", hint="List them to see the names")


def damaged(name: str, damage: Damage) -> DocumentError:
    """Say that a document is damaged, and where."""
    return DocumentError(
        f"document {name!r} is damaged from sequence {damage.sequence} on: {damage.problem}",
        hint="Run crdtsync check --repair first",
    )
