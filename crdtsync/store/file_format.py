"""The bytes of the file store: document files, journals, and the records in both.

Sans I/O. All numbers are little-endian. docs/storage.md has the tables.

A record has two checksums: one over its header, so that a record whose end is missing (its
writer was interrupted) can be told from one that was changed, and one over its body. The
header's starts from the document's name, so that a record in another document's file is damage.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

from crdtsync.errors import StoreError
from crdtsync.store.base import Checkpoint, Damage, Record

__all__ = [
    "FRAME_BYTES",
    "JOURNAL_HEADER",
    "MAX_HEADER_BYTES",
    "Contents",
    "Header",
    "decode_record",
    "encode_checkpoint",
    "encode_deletion",
    "encode_header",
    "encode_record",
    "entry_prefix",
    "frame",
    "frame_at",
    "interrupted",
    "is_deletion",
    "next_frame",
    "read_contents",
    "read_entries",
    "read_header",
    "seed_of",
    "sequence_of",
    "update_length_of",
]

VERSION = 1
_DOCUMENT_MAGIC = b"CRDTSYNC"
_JOURNAL_MAGIC = b"CRDTJRNL"
_FRAME_MAGIC = b"CMIT"

_CHECKSUM = struct.Struct("<I")
_HEADER = struct.Struct("<8sHHIqq")
_RECORD = struct.Struct("<IHBBIQq")
_FRAME = struct.Struct("<4sII")
_JOURNAL = struct.Struct("<8sHH")
_NAME = struct.Struct("<H")
_SEQUENCE = struct.Struct("<16xQ")
_KIND = struct.Struct("<10xB")
_UPDATE_LENGTH = struct.Struct("<4xI")

HEADER_CHECKSUM_AT = 12
RECORD_BYTES = _CHECKSUM.size + _RECORD.size
FRAME_BYTES = _FRAME.size + _CHECKSUM.size
MAX_HEADER_BYTES = _HEADER.size + 0xFFFF
"""The length of a document's name has two bytes."""

_UPDATE = 1
_CHECKPOINT = 2
_DELETION = 3


def _journal_header() -> bytes:
    head = _JOURNAL.pack(_JOURNAL_MAGIC, VERSION, 0)
    return head + _CHECKSUM.pack(crc32(head))


JOURNAL_HEADER = _journal_header()
"""What every journal begins with."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a document's file begins with."""

    name: str
    created_ms: int
    updated_ms: int
    """The time of the last record that the checkpoint stands for; 0 without a checkpoint."""

    @property
    def size(self) -> int:
        """Its length in the file."""
        return _HEADER.size + len(self.name.encode())


@dataclass(frozen=True, slots=True)
class Contents:
    """What a document's file holds, as far as it is intact."""

    checkpoint: Checkpoint | None
    records: tuple[Record, ...]
    end: int
    """Where the intact part ends."""
    torn: bool
    """Whether what follows is a record whose writing was interrupted."""
    damage: Damage | None

    @property
    def last(self) -> int:
        """The last intact sequence."""
        if self.records:
            return self.records[-1].sequence
        return self.checkpoint.sequence if self.checkpoint is not None else 0


def seed_of(name: str) -> int:
    """Return what the checksums of a document's records start from."""
    return crc32(name.encode())


def encode_header(header: Header) -> bytes:
    """Return a document file's first bytes."""
    raw = header.name.encode()
    packed = _HEADER.pack(
        _DOCUMENT_MAGIC, VERSION, len(raw), 0, header.created_ms, header.updated_ms
    )
    data = bytearray(packed + raw)
    _CHECKSUM.pack_into(data, HEADER_CHECKSUM_AT, _header_checksum(data))
    return bytes(data)


def _header_checksum(data: bytes | bytearray) -> int:
    behind = HEADER_CHECKSUM_AT + _CHECKSUM.size
    return crc32(data[behind:], crc32(data[:HEADER_CHECKSUM_AT]))


def read_header(data: bytes) -> Header | None:
    """Return the header of a document's file, ``None`` where it is damaged.

    Raises ``StoreError`` for a format that is newer than this code.
    """
    if len(data) < _HEADER.size:
        return None
    magic, version, length, checksum, created_ms, updated_ms = _HEADER.unpack_from(data)
    raw = data[: _HEADER.size + length]
    if magic != _DOCUMENT_MAGIC or checksum != _header_checksum(raw):
        return None
    if version > VERSION:
        raise StoreError(
            f"a document's file has format {version}, and this version of crdtsync knows {VERSION}",
            hint="Use the version of crdtsync that wrote it, or a newer one.",
        )
    return Header(raw[_HEADER.size :].decode(), created_ms, updated_ms)


def encode_record(record: Record, seed: int) -> bytes:
    """Return a record's bytes. Raises ``struct.error`` where a value does not fit."""
    author, update = record.author.encode(), record.update
    head = _RECORD.pack(
        len(update),
        len(author),
        _UPDATE,
        0,
        crc32(update, crc32(author)),
        record.sequence,
        record.time_ms,
    )
    return b"".join((_CHECKSUM.pack(crc32(head, seed)), head, author, update))


def encode_checkpoint(checkpoint: Checkpoint, seed: int) -> bytes:
    """Return a checkpoint's bytes: a record of another kind, without an author."""
    return _nobodys(_CHECKPOINT, checkpoint.sequence, checkpoint.time_ms, checkpoint.state, seed)


def encode_deletion(sequence: int, time_ms: int, seed: int) -> bytes:
    """Return what says in a journal that all of a document until here is void."""
    return _nobodys(_DELETION, sequence, time_ms, b"", seed)


def _nobodys(kind: int, sequence: int, time_ms: int, content: bytes, seed: int) -> bytes:
    """Return a record of another kind than an update's: it has no author."""
    head = _RECORD.pack(len(content), 0, kind, 0, crc32(content), sequence, time_ms)
    return b"".join((_CHECKSUM.pack(crc32(head, seed)), head, content))


def is_deletion(encoded: bytes) -> bool:
    """Return whether an entry of a journal is no record, but ends its document."""
    (kind,) = _KIND.unpack_from(encoded)
    return bool(kind == _DELETION)


def sequence_of(encoded: bytes) -> int:
    """Return the sequence of an encoded record."""
    (sequence,) = _SEQUENCE.unpack_from(encoded)
    return int(sequence)


def update_length_of(encoded: bytes) -> int:
    """Return the length of an encoded record's update."""
    (length,) = _UPDATE_LENGTH.unpack_from(encoded)
    return int(length)


def decode_record(name: str, encoded: bytes) -> Record:
    """Return the record of bytes that are known to be sound."""
    _, author_length, _, _, _, sequence, time_ms = _RECORD.unpack_from(encoded, _CHECKSUM.size)
    body = RECORD_BYTES + author_length
    author = encoded[RECORD_BYTES:body].decode()
    return Record(name, sequence, time_ms, author, encoded[body:])


def read_contents(data: bytes, header: Header) -> Contents:
    """Read and verify what follows the header in a document's file."""
    name, seed = header.name, seed_of(header.name)
    position, expected = header.size, 1
    checkpoint: Checkpoint | None = None
    records: list[Record] = []
    torn, problem = False, ""
    while position < len(data):
        first = position == header.size
        if len(data) - position < RECORD_BYTES:
            torn = True
            break
        (checksum,) = _CHECKSUM.unpack_from(data, position)
        head = data[position + _CHECKSUM.size : position + RECORD_BYTES]
        if crc32(head, seed) != checksum:
            torn = not data[position:].strip(b"\0")
            problem = "" if torn else "the checksum of the record's header does not match"
            break
        length, author_length, kind, _, checksum, sequence, time_ms = _RECORD.unpack(head)
        body = position + RECORD_BYTES
        end = body + author_length + length
        if end > len(data):
            torn = True
            break
        if crc32(data[body:end]) != checksum:
            problem = "the record's checksum does not match"
            break
        if kind == _CHECKPOINT and first:
            checkpoint = Checkpoint(name, sequence, time_ms, data[body:end])
        elif kind == _UPDATE and sequence == expected:
            author = data[body : body + author_length].decode()
            update = data[body + author_length : end]
            records.append(Record(name, sequence, time_ms, author, update))
        else:
            problem = f"the record is missing; the next one is {sequence}"
            break
        position, expected = end, sequence + 1
    if torn and position == header.size:
        # A file appears under its name with its first record whole: this one was cut later.
        torn, problem = False, "the file ends inside its first record"
    damage = Damage(name, expected, problem) if problem else None
    return Contents(checkpoint, tuple(records), position, torn, damage)


def entry_prefix(name: str) -> bytes:
    """Return what precedes a document's records in a journal."""
    raw = name.encode()
    return _NAME.pack(len(raw)) + raw


def read_entries(payload: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the document and the encoded record of each entry of a sound frame."""
    position = 0
    while position < len(payload):
        (length,) = _NAME.unpack_from(payload, position)
        start = position + _NAME.size + length
        name = payload[position + _NAME.size : start].decode()
        update_length, author_length = struct.unpack_from("<IH", payload, start + _CHECKSUM.size)
        position = start + RECORD_BYTES + author_length + update_length
        yield name, payload[start:position]


def frame(payload: bytes, seed: int) -> bytes:
    """Return one commit's bytes in a journal; ``seed`` is the journal's own."""
    head = _FRAME.pack(_FRAME_MAGIC, len(payload), crc32(payload))
    return b"".join((head, _CHECKSUM.pack(crc32(head, seed)), payload))


def frame_at(data: bytes, position: int, seed: int) -> bytes | None:
    """Return the payload of the frame that begins here, ``None`` where none does or it is bad."""
    if len(data) - position < FRAME_BYTES:
        return None
    magic, length, checksum = _FRAME.unpack_from(data, position)
    head = data[position : position + _FRAME.size]
    (seal,) = _CHECKSUM.unpack_from(data, position + _FRAME.size)
    if magic != _FRAME_MAGIC or crc32(head, seed) != seal:
        return None
    start = position + FRAME_BYTES
    payload = data[start : start + length]
    return payload if len(payload) == length and crc32(payload) == checksum else None


def interrupted(data: bytes, position: int, seed: int) -> bool:
    """Return whether what is here is a frame whose writing did not get to its end.

    Some file systems leave zeros where bytes were to come.
    """
    rest = data[position:]
    if len(rest) < FRAME_BYTES or not rest.strip(b"\0"):
        return True
    magic, length, _ = _FRAME.unpack_from(rest)
    (seal,) = _CHECKSUM.unpack_from(rest, _FRAME.size)
    whole = FRAME_BYTES + length <= len(rest)
    return magic == _FRAME_MAGIC and crc32(rest[: _FRAME.size], seed) == seal and not whole


def next_frame(data: bytes, position: int, seed: int) -> int | None:
    """Return where the next sound frame begins, ``None`` where there is no more."""
    while (position := data.find(_FRAME_MAGIC, position)) >= 0:
        if frame_at(data, position, seed) is not None:
            return position
        position += 1
    return None
