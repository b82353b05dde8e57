"""What an operator does with stored documents, without a server: the library behind the CLI.

Every function takes an entered ``Store``; those that only read work on a store opened
read-only, beside a running server. Owns what ``list``, ``show``, ``export``, ``import``,
``delete``, ``check`` and ``release`` mean. Knows no terminal, no file and no adapter.
"""

from crdtsync.documents.checking import check_store
from crdtsync.documents.model import (
    MAX_IMPORT_BYTES,
    DocumentDetails,
    DocumentError,
    DocumentExists,
    DocumentNotFound,
    Exported,
    ExportFormat,
    Imported,
    RootDetails,
)
from crdtsync.documents.quarantine import quarantined_documents, release_document
from crdtsync.documents.reading import document_info, export_document, join_stored, list_documents
from crdtsync.documents.writing import delete_document, import_document

__all__ = [
    "MAX_IMPORT_BYTES",
    "DocumentDetails",
    "DocumentError",
    "DocumentExists",
    "DocumentNotFound",
    "ExportFormat",
    "Exported",
    "Imported",
    "RootDetails",
    "check_store",
    "delete_document",
    "document_info",
    "export_document",
    "import_document",
    "join_stored",
    "list_documents",
    "quarantined_documents",
    "release_document",
]
