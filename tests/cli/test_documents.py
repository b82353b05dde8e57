"""The library behind ``crdtsync documents`` and ``check``, on stores in memory."""

import json
from collections.abc import AsyncIterator

import anyio
import pycrdt
import pytest

from crdtsync.clock import ManualClock
from crdtsync.documents import (
    DocumentError,
    DocumentExists,
    DocumentNotFound,
    Imported,
    check_store,
    delete_document,
    document_info,
    export_document,
    import_document,
    list_documents,
)
from crdtsync.errors import InvalidDocumentName, InvalidUpdate
from crdtsync.limits import Limits
from crdtsync.store.base import Record
from crdtsync.store.memory import MemoryStore

from .making import text, update

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    async with MemoryStore() as opened:
        yield opened


def mixed() -> bytes:
    def fill(doc: pycrdt.Doc) -> None:
        doc.get("t", type=pycrdt.Text).insert(0, "hëllo")
        doc.get("m", type=pycrdt.Map)["k"] = 1
        doc.get("a", type=pycrdt.Array).append("x")

    return update(fill)


async def test_import_creates(store: MemoryStore) -> None:
    """An import makes a document with one record of the clock's time and the author."""
    clock = ManualClock(time_ms=1234)
    done = await import_document(store, "d", text("hi"), author="me", clock=clock)
    assert done == Imported(created=True, sequence=1, changed=True)
    assert (await store.load("d")).records == (Record("d", 1, 1234, "me", text("hi")),)


async def test_import_over_an_existing_document(store: MemoryStore) -> None:
    """Without ``merge`` a document that is there stays as it is."""
    await import_document(store, "d", text("hi"))
    with pytest.raises(DocumentExists):
        await import_document(store, "d", text("other", client=2))
    assert len((await store.load("d")).records) == 1


async def test_merge(store: MemoryStore) -> None:
    """With ``merge`` the update is added; what is there already is not stored again."""
    await import_document(store, "d", text("hi"))
    done = await import_document(store, "d", text("yo", client=2), merge=True)
    assert done == Imported(created=False, sequence=2, changed=True)
    again = await import_document(store, "d", text("yo", client=2), merge=True)
    assert again == Imported(created=False, sequence=2, changed=False)
    content = await export_document(store, "d", format="text")
    assert sorted(content.data.decode()) == sorted("hiyo")


async def test_merge_into_nothing(store: MemoryStore) -> None:
    """``merge`` into a document that is not there creates it."""
    assert (await import_document(store, "d", text("hi"), merge=True)).created


V2_UPDATE = bytes.fromhex("0000010100000104060374686901020101000001010000")
"""What Yjs 13.6.33 writes with encodeStateAsUpdateV2 for getText('t').insert(0, 'hi')."""


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\x00", b"\x01", b"hello", text("hi")[:-1], text("hi") + b"\x00", V2_UPDATE],
    ids=["empty", "one byte", "truncated", "text", "cut", "trailing", "v2"],
)
async def test_garbage(store: MemoryStore, garbage: bytes) -> None:
    """What is no v1 update is refused, and no document appears."""
    with pytest.raises(InvalidUpdate):
        await import_document(store, "d", garbage)
    assert await store.info("d") is None


async def test_v2_update(store: MemoryStore) -> None:
    """A V2 update is recognised, and the error names the function to use instead."""
    with pytest.raises(InvalidUpdate, match=r"V2 update: take Y\.encodeStateAsUpdate"):
        await import_document(store, "d", V2_UPDATE)


async def test_empty_update(store: MemoryStore) -> None:
    """An update that brings nothing makes no document, and changes none."""
    with pytest.raises(InvalidUpdate, match="empty"):
        await import_document(store, "d", b"\0\0")
    await import_document(store, "d", text("hi"))
    assert not (await import_document(store, "d", b"\0\0", merge=True)).changed


async def test_half_an_update(store: MemoryStore) -> None:
    """A difference whose other half is missing is refused and changes nothing."""
    doc: pycrdt.Doc = pycrdt.Doc(client_id=1)
    doc.get("t", type=pycrdt.Text).insert(0, "first")
    before, whole = doc.get_state(), doc.get_update()
    doc.get("t", type=pycrdt.Text).insert(0, "second")
    half = doc.get_update(before)
    with pytest.raises(DocumentError, match="builds on edits"):
        await import_document(store, "d", half)
    assert await store.info("d") is None
    await import_document(store, "d", whole)
    await import_document(store, "d", half, merge=True)
    assert (await export_document(store, "d", format="text")).data == b"secondfirst"


@pytest.mark.parametrize("name", ["", "x" * 513, "\ud800"])
async def test_bad_names(store: MemoryStore, name: str) -> None:
    """A name that no client could ask for is refused."""
    with pytest.raises(InvalidDocumentName):
        await import_document(store, name, text("hi"))


async def test_oversized(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """An update over the import's limit is refused."""
    monkeypatch.setattr("crdtsync.documents.writing.MAX_IMPORT_BYTES", 5)
    with pytest.raises(InvalidUpdate, match="over 5 bytes"):
        await import_document(store, "d", text("hello"))


async def test_export_can_be_imported(store: MemoryStore) -> None:
    """An exported update makes the same document, also where it outgrew a client's limits."""
    limits = Limits(max_conflicts=10, max_update_clients=10, max_update_structs=10)
    for client in range(1, 201):
        await import_document(store, "d", text("x", client=client), merge=True, limits=limits)
    exported = await export_document(store, "d", limits=limits)
    await import_document(store, "copy", exported.data, limits=limits)
    assert (await export_document(store, "copy", limits=limits)).data == exported.data
    assert [f.level async for f in check_store(store, limits=limits)] == ["ok", "ok"]


async def test_json(store: MemoryStore) -> None:
    """JSON holds every root by name, or the one that is asked for."""
    await import_document(store, "d", mixed())
    every = await export_document(store, "d", format="json")
    assert json.loads(every.data) == {"t": "hëllo", "m": {"k": 1}, "a": ["x"]}
    one = await export_document(store, "d", format="json", root="m")
    assert json.loads(one.data) == {"m": {"k": 1}}


async def test_text(store: MemoryStore) -> None:
    """Text is that of the only text root, or of the one that is asked for, in UTF-8."""
    await import_document(store, "d", mixed())
    assert (await export_document(store, "d", format="text")).data == "hëllo".encode()
    assert (await export_document(store, "d", format="text", root="t")).data == "hëllo".encode()


async def test_which_text(store: MemoryStore) -> None:
    """Where there are several texts, none, or another kind, the error says what to choose."""
    await import_document(store, "two", text("a", root="x"))
    await import_document(store, "two", text("b", root="y", client=2), merge=True)
    with pytest.raises(DocumentError, match="has 2 texts") as caught:
        await export_document(store, "two", format="text")
    assert "'x', 'y'" in caught.value.hint
    await import_document(
        store, "m", update(lambda doc: doc.get("m", type=pycrdt.Map).update({"k": 1}))
    )
    with pytest.raises(DocumentError, match="has no text"):
        await export_document(store, "m", format="text")
    with pytest.raises(DocumentError, match="is no text but map"):
        await export_document(store, "m", format="text", root="m")
    with pytest.raises(DocumentNotFound, match="no root 'gone'") as missing:
        await export_document(store, "m", format="json", root="gone")
    assert "'m'" in missing.value.hint


async def test_details(store: MemoryStore) -> None:
    """A document's details are its metadata, state size, clients, and roots with their sizes."""
    await import_document(store, "d", mixed(), clock=ManualClock(time_ms=5))
    details = await document_info(store, "d")
    assert details.info == await store.info("d")
    assert details.state_bytes == len((await export_document(store, "d")).data)
    assert details.clients == 1
    assert details.damage is None
    assert {(r.name, r.kind, r.size) for r in details.roots} == {
        ("t", "text", 5),
        ("m", "map", len('{"k": 1}')),
        ("a", "array", len('["x"]')),
    }


async def test_missing_document(store: MemoryStore) -> None:
    """Whatever is asked of a document that is not there says so."""
    for call in (document_info, export_document, delete_document):
        with pytest.raises(DocumentNotFound, match="there is no document 'gone'"):
            await call(store, "gone")


async def test_list_and_delete(store: MemoryStore) -> None:
    """The list is by name, by prefix and in pages; a deleted document leaves it."""
    for name in ("b/2", "a", "b/1", "b/3"):
        await import_document(store, name, text("hi"))
    assert [d.name for d in await list_documents(store)] == ["a", "b/1", "b/2", "b/3"]
    page = await list_documents(store, prefix="b/", after="b/1", limit=1)
    assert [d.name for d in page] == ["b/2"]
    await delete_document(store, "b/2")
    assert [d.name for d in await list_documents(store, prefix="b/")] == ["b/1", "b/3"]


def test_usable_without_a_server() -> None:
    """The functions need nothing but a store and an event loop, trio's included."""

    async def work() -> bytes:
        async with MemoryStore() as store:
            await import_document(store, "d", text("hi"))
            return (await export_document(store, "d", format="text")).data

    assert anyio.run(work, backend="trio") == b"hi"
