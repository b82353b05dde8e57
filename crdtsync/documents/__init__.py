"""What an operator does with stored documents, without a server: the library behind the CLI.

Every function takes an entered ``Store``; those that only read work on a store opened
read-only, beside a running server. Owns what ``list``, ``show``, ``export``, ``import``,
``delete`` and ``check`` mean. Knows no terminal, no file and no adapter.
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
from crdtsync.documents.reading import document_info, export_document, list_documents
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
    "list_documents",
]
