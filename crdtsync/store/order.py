"""The order of a document's records: which append and which checkpoint a store takes."""

from collections.abc import Callable, Iterable

from crdtsync.errors import StoreError
from crdtsync.store.base import Checkpoint, Record
from crdtsync.store.failures import out_of_order

__all__ = ["admit_checkpoint", "extend"]


def extend(batch: Iterable[Record], last_of: Callable[[str], int]) -> dict[str, int]:
    """Return each document's last sequence with the batch appended.

    ``last_of`` gives a document's last sequence before it, 0 for a new one. Raises
    ``StoreError`` where a record does not continue its document.
    """
    lasts: dict[str, int] = {}
    for record in batch:
        document = record.document
        last = lasts.get(document)
        if last is None:
            last = last_of(document)
        if record.sequence != last + 1:
            raise out_of_order(document, last, record.sequence)
        lasts[document] = record.sequence
    return lasts


def admit_checkpoint(checkpoint: Checkpoint, *, last: int, older: int) -> None:
    """Raise ``StoreError`` where a checkpoint does not stand for what the store has.

    ``last`` is the document's last sequence and ``older`` its checkpoint's, 0 where it has
    none. A document that the store has never seen may begin with a checkpoint at any sequence.
    """
    document, sequence = checkpoint.document, checkpoint.sequence
    if sequence < 1 or (last and not older <= sequence <= last):
        raise StoreError(
            f"checkpoint refused: {sequence} of document {document!r} "
            f"is not within {max(older, 1)} to {last}",
            hint="Load the document again; a store serves one process.",
        )
