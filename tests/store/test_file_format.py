"""The bytes of the file store, read by the tables in docs/storage.md and not by our own code."""

import struct
from zlib import crc32

import pytest

from tests.store.kit import NOW, Maker, point, rec

pytestmark = pytest.mark.anyio


def read_header(data: bytes) -> tuple[str, int, int, int]:
    """Return a document file's name, creation and update time, and the header's length."""
    magic, version, length, checksum, created, updated = struct.unpack_from("<8sHHIqq", data)
    assert (magic, version) == (b"CRDTSYNC", 1)
    size = 32 + length
    assert checksum == crc32(data[16:size], crc32(data[0:12]))
    return data[32:size].decode(), created, updated, size


def read_record(data: bytes, at: int, name: str) -> tuple[int, int, int, str, bytes, int]:
    """Return a record's kind, sequence, time, author and update, and where the next one begins."""
    checksum, length, author_length, kind, zero, body_checksum, sequence, time_ms = (
        struct.unpack_from("<IIHBBIQq", data, at)
    )
    assert zero == 0
    assert checksum == crc32(data[at + 4 : at + 32], crc32(name.encode()))
    body = at + 32
    end = body + author_length + length
    assert body_checksum == crc32(data[body:end])
    author = data[body : body + author_length].decode()
    return kind, sequence, time_ms, author, data[body + author_length : end], end


async def test_a_documents_file_is_as_documented(make_file: Maker) -> None:
    """A document's file is a header, perhaps a checkpoint, and records, at the offsets told."""
    async with make_file() as store:
        await store.append([rec("a\u00fc", 1), rec("a\u00fc", 2), rec("a\u00fc", 3, author="")])
        await store.checkpoint(point("a\u00fc", 2))
    data = (make_file.path / "documents" / "a%c3%bc.crdt").read_bytes()
    name, created, updated, at = read_header(data)
    assert (name, created, updated) == ("a\u00fc", NOW + 1, NOW + 2)
    *checkpoint, at = read_record(data, at, name)
    assert checkpoint == [2, 2, NOW + 1002, "", point("a\u00fc", 2).state]
    *record, at = read_record(data, at, name)
    assert record == [1, 3, NOW + 3, "", rec("a\u00fc", 3).update]
    assert at == len(data)


async def test_a_journal_is_as_documented(make_file: Maker) -> None:
    """A journal is a header and a frame for each commit, at the offsets told."""
    async with make_file() as store:
        await store.append([rec("a", 1), rec("bb", 1)])
        await store.append([rec("a", 2)])
        (journal,) = make_file.path.glob("journal-*")
        data = journal.read_bytes()
    magic, version, zero, checksum = struct.unpack_from("<8sHHI", data)
    assert (magic, version, zero) == (b"CRDTJRNL", 1, 0)
    assert checksum == crc32(data[0:12])
    at = 16
    commits = []
    while at < len(data):
        magic, length, payload_checksum, checksum = struct.unpack_from("<4sIII", data, at)
        assert magic == b"CMIT"
        assert checksum == crc32(data[at : at + 12], crc32(journal.name.encode()))
        at += 16
        end = at + length
        assert payload_checksum == crc32(data[at:end])
        commit = []
        while at < end:
            (length,) = struct.unpack_from("<H", data, at)
            name = data[at + 2 : at + 2 + length].decode()
            kind, sequence, _, author, update, at = read_record(data, at + 2 + length, name)
            commit.append((kind, name, sequence, author, update))
        commits.append(commit)
    assert commits == [
        [(1, "a", 1, "ann", b"a#1"), (1, "bb", 1, "ann", b"bb#1")],
        [(1, "a", 2, "ann", b"a#2")],
    ]
