"""Quarantined documents: seeing and releasing them."""

from crdtsync.documents.model import DocumentError
from crdtsync.guard import Guard, Quarantined

__all__ = ["quarantined_documents", "refuse_quarantined", "release_document"]


def quarantined_documents(guard: Guard) -> list[Quarantined]:
    """List what nobody gets, by name."""
    return guard.listed()


def release_document(guard: Guard, name: str) -> None:
    """Let a document be served again, also by a server that runs; deaths count from none on.

    Raises ``DocumentError`` where it is not quarantined.
    """
    if not guard.release(name):
        raise DocumentError(f"document {name!r} is not quarantined")


def refuse_quarantined(guard: Guard, name: str, hint: str) -> None:
    """Raise ``DocumentError`` where a document's bytes are not to be touched."""
    record = guard.quarantined(name)
    if record is not None:
        raise DocumentError(f"document {name!r}: {record.reason}", hint=hint)
