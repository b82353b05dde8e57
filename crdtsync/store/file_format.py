"""The bytes of the file store: document files, journals, and the records in both.

Sans I/O. All numbers are little-endian. docs/storage.md has the tables.

A record has two checksums: one over its header, so that a record whose end is missing (its
writer was interrupted) can be told from one that was changed, and one over its body. The
header's starts from the document's name, so that a record in another document's file is damage.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from zlib import crc32

from crdtsync.store.base import Checkpoint, Damage, Loaded, Record

__all__ = [
    "JOURNAL_HEADER",
    "Contents",
    "Header",
    "encode_checkpoint",
    "encode_entry",
    "encode_frame",
    "encode_header",
    "encode_record",
    "name_seed",
    "read_contents",
    "read_entries",
    "read_frames",
    "read_header",
    "read_records",
]

VERSION = 1
DOCUMENT_MAGIC = b"CRDTSYNC"
JOURNAL_MAGIC = b"CRDTJRNL"
FRAME_MAGIC = b"CMIT"

_HEADER = struct.Struct("<8sHHIqq")
_CHECKED = struct.Struct("<8sHH")
_RECORD = struct.Struct("<IHBBIQq")
_CHECKSUM = struct.Struct("<I")
_FRAME = struct.Struct("<4sII")
_NAME_LENGTH = struct.Struct("<H")
_JOURNAL = struct.Struct("<8sHH")

RECORD_BYTES = _CHECKSUM.size + _RECORD.size
FRAME_BYTES = _FRAME.size + _CHECKSUM.size
MAX_TEXT_BYTES = 0xFFFF
"""What a document's name and an author take at most: their lengths have two bytes."""

_UPDATE = 1
_CHECKPOINT = 2


def _sealed(head: bytes) -> bytes:
    return head + _CHECKSUM.pack(crc32(head))


JOURNAL_HEADER = _sealed(_JOURNAL.pack(JOURNAL_MAGIC, VERSION, 0))
"""What every journal begins with."""
