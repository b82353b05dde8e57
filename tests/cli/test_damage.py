"""Damage: how ``check_store`` finds it, and what is left of a damaged document."""

import re
from collections.abc import AsyncIterator

import pytest

from crdtsync.documents import (
    DocumentError,
    check_store,
    document_info,
    export_document,
    import_document,
)
from crdtsync.store.base import Checkpoint, Damage, Finding, Loaded, Record, Store
from crdtsync.store.memory import MemoryStore

from .making import Tampered, text

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    async with MemoryStore() as opened:
        yield opened


async def test_what_pycrdt_would_change(store: MemoryStore) -> None:
    """A document that pycrdt can't carry exactly is imported, sound, and exported as it was."""
    big_integer = bytes.fromhex("0101010028 01016d 016b 01 7a0000000000000005 00")
    await import_document(store, "d", big_integer)
    assert (await export_document(store, "d")).data == big_integer
    (finding,) = [finding async for finding in check_store(store)]
    assert finding.level == "ok"
    assert "kept verbatim, because it holds big integers" in finding.message


async def findings(store: Store) -> list[Finding]:
    await store.append([Record("d", 1, 0, "", text("hi"))])
    return [finding async for finding in check_store(store)]


def record(sequence: int, data: bytes) -> Record:
    return Record("d", sequence, 0, "", data)


async def test_sound_store(store: MemoryStore) -> None:
    """A sound document is one ``ok``."""
    assert await findings(store) == [Finding("d", 1, "ok", "sound")]


@pytest.mark.parametrize(
    ("loaded", "sequence", "message"),
    [
        (Loaded(None, (record(1, text("hi")), record(2, b"junk"))), 2, "damaged|truncated"),
        (Loaded(Checkpoint("d", 7, 0, b"\x01"), (record(8, text("hi")),)), 7, "truncated"),
        (Loaded(Checkpoint("d", 7, 0, text("x")), (record(8, b""),)), 8, "truncated"),
        (
            Loaded(None, (record(1, bytes.fromhex("01010105c4010001010161 00")),)),
            1,
            "does not follow",
        ),
    ],
    ids=["garbage record", "garbage checkpoint", "empty record", "gap"],
)
async def test_semantic_check(loaded: Loaded, sequence: int, message: str) -> None:
    """Bytes that are stored soundly but are no sound document are an error with their place."""
    async with Tampered(loaded) as store:
        (finding,) = await findings(store)
    assert (finding.document, finding.sequence, finding.level) == ("d", sequence, "error")
    assert re.search(message, finding.message)


async def test_findings_of_the_store() -> None:
    """What the store finds comes first; its document is not called sound afterwards."""
    error = Finding("d", 1, "error", "checksum")
    warning = Finding("", 0, "warning", "leftover file")
    loaded = Loaded(None, ())
    async with Tampered(loaded, (error, warning)) as store:
        assert await findings(store) == [error, warning]
    async with Tampered(loaded, (warning,)) as store:
        assert await findings(store) == [warning, Finding("d", 1, "ok", "sound")]


async def test_damaged_document() -> None:
    """Of a damaged document the intact part is shown and exported, with the damage; an import
    into it is refused."""
    damage = Damage("d", 2, "checksum")
    async with Tampered(Loaded(None, (record(1, text("hi")),), damage)) as store:
        await store.append([record(1, text("hi"))])
        assert (await document_info(store, "d")).damage == damage
        exported = await export_document(store, "d", format="text")
        assert (exported.data, exported.damage) == (b"hi", damage)
        with pytest.raises(DocumentError, match="damaged from sequence 2 on: checksum"):
            await import_document(store, "d", text("yo", client=2), merge=True)


async def test_unsound_record_in_a_readable_store() -> None:
    """A record that is no sound update ends what is exported, as damage would."""
    async with Tampered(Loaded(None, (record(1, text("hi")), record(2, b"junk")))) as store:
        await store.append([record(1, text("hi"))])
        exported = await export_document(store, "d", format="text")
    assert exported.data == b"hi"
    assert exported.damage is not None
    assert exported.damage.sequence == 2
