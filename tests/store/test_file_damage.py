"""A file store whose bytes were cut or changed behind its back."""

import logging
import struct
from pathlib import Path

import pytest

from crdtsync.errors import StoreDamaged, StoreError
from crdtsync.store import Finding, Loaded
from crdtsync.store.file_format import (
    Header,
    encode_header,
    encode_record,
    read_contents,
    read_header,
    seed_of,
)
from tests.store.kit import Maker, findings, is_prefix, point, rec, recs, worse_than_ok

pytestmark = pytest.mark.anyio
only_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


async def build(make: Maker) -> None:
    """Make a store of two documents, one with a checkpoint."""
    async with make() as store:
        await store.append([*recs("a", 1, 3), *recs("b", 1, 4)])
        await store.checkpoint(point("b", 2))


def file_of(make: Maker, name: str) -> Path:
    """Return a document's file."""
    return make.path / "documents" / f"{name}.crdt"


async def repaired(make: Maker) -> list[Finding]:
    """Repair a store and return what was wrong with it."""
    async with make() as store:
        return worse_than_ok(await findings(store, repair=True))


async def test_a_torn_tail_is_cut_wherever_it_was_torn(
    make_file: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    """A last record that is missing any of its bytes is left out, with a warning, and replaced."""
    await build(make_file)
    path = file_of(make_file, "a")
    data = path.read_bytes()
    size = len(encode_record(rec("a", 3), seed_of("a")))
    for length in range(len(data) - size + 1, len(data)):
        path.write_bytes(data[:length])
        caplog.clear()
        async with make_file() as store:
            assert await store.load("a") == Loaded(None, tuple(recs("a", 1, 2)))
            assert "not written to its end" in caplog.text
            found = worse_than_ok(await findings(store))
            assert [(item.document, item.sequence, item.level) for item in found] == [
                ("a", 3, "warning")
            ]
            await store.append([rec("a", 3)])
            assert (await store.load("a")).records == tuple(recs("a", 1, 3))
        assert path.read_bytes() == data


async def test_zeros_at_the_end_are_a_torn_tail(make_file: Maker) -> None:
    """What some file systems leave of an interrupted write, zeros, is cut like a torn record."""
    await build(make_file)
    path = file_of(make_file, "a")
    data = path.read_bytes()
    path.write_bytes(data + bytes(500))
    async with make_file() as store:
        assert await store.load("a") == Loaded(None, tuple(recs("a", 1, 3)))
        await store.append([rec("a", 4)])
        assert (await store.load("a")).damage is None


async def test_repair_cuts_a_torn_tail(make_file: Maker) -> None:
    """A repair removes a torn tail and keeps the file as it was beside it."""
    await build(make_file)
    path = file_of(make_file, "a")
    torn = path.read_bytes()[:-3]
    path.write_bytes(torn)
    found = await repaired(make_file)
    assert [(item.document, item.level, item.repaired) for item in found] == [
        ("a", "warning", True)
    ]
    (aside,) = path.parent.glob("a.crdt.damaged-*")
    assert aside.read_bytes() == torn
    async with make_file() as store:
        assert await store.load("a") == Loaded(None, tuple(recs("a", 1, 2)))
        kept = worse_than_ok(await findings(store))
        assert ["kept by a repair" in item.message for item in kept] == [True]
        await store.delete("a")
    assert not aside.exists()


@only_asyncio
@pytest.mark.parametrize("name", ["a", "b"])
async def test_every_changed_byte_is_noticed(make_file: Maker, name: str) -> None:
    """Any changed byte of a document's file is damage, and what loads is what was written."""
    await build(make_file)
    path = file_of(make_file, name)
    data = path.read_bytes()
    async with make_file(read_only=True) as store:
        whole = await store.load(name)
        for place in range(len(data)):
            for bit in (1, 128):
                changed = bytes([data[place] ^ bit])
                path.write_bytes(data[:place] + changed + data[place + 1 :])
                loaded = await store.load(name)
                assert loaded.damage is not None, place
                assert is_prefix(loaded, whole)
                found = worse_than_ok(await findings(store))
                assert [item.level for item in found] == ["error"], place


@pytest.mark.parametrize("sequence", [1, 2, 3])
async def test_a_damaged_record_ends_its_document(make_file: Maker, sequence: int) -> None:
    """The intact prefix loads, the damage is named, and nothing is written before a repair."""
    await build(make_file)
    path = file_of(make_file, "a")
    data = path.read_bytes()
    place = data.index(f"a#{sequence}".encode())
    damaged = data[:place] + b"A" + data[place + 1 :]
    path.write_bytes(damaged)
    async with make_file() as store:
        with pytest.raises(StoreDamaged, match="append refused"):  # never loaded
            await store.append([rec("a", 4)])
        loaded = await store.load("a")
        assert loaded.records == tuple(recs("a", 1, sequence - 1))
        assert loaded.damage is not None
        assert (loaded.damage.document, loaded.damage.sequence) == ("a", sequence)
        with pytest.raises(StoreDamaged, match="append refused") as caught:
            await store.append([rec("b", 5), rec("a", 4)])
        assert (caught.value.document, caught.value.sequence) == ("a", sequence)
        with pytest.raises(StoreDamaged, match="checkpoint refused"):
            await store.checkpoint(point("a", 1))
        await store.append([rec("b", 5)])
    assert path.read_bytes() == damaged
    found = await repaired(make_file)
    assert [(item.document, item.sequence, item.repaired) for item in found] == [
        ("a", sequence, True)
    ]
    (aside,) = path.parent.glob("a.crdt.damaged-*")
    assert aside.read_bytes() == damaged
    async with make_file() as store:
        assert await store.load("a") == Loaded(None, tuple(recs("a", 1, sequence - 1)))
        await store.append([rec("a", sequence)])
        assert (await store.info("b")) is not None


async def test_a_damaged_header_is_written_anew(make_file: Maker) -> None:
    """Where only a file's header is damaged, a repair finds the records all the same."""
    await build(make_file)
    for name in ("a", "b"):
        path = file_of(make_file, name)
        data = path.read_bytes()
        path.write_bytes(b"X" + data[1:])
    async with make_file() as store:
        loaded = await store.load("a")
        assert (loaded.checkpoint, loaded.records) == (None, ())
        assert loaded.damage is not None
        assert sorted(info.name for info in await store.documents()) == ["a", "b"]
    assert len(await repaired(make_file)) == 2
    async with make_file() as store:
        assert await store.load("a") == Loaded(None, tuple(recs("a", 1, 3)))
        assert await store.load("b") == Loaded(point("b", 2), tuple(recs("b", 3, 4)))
        info = await store.info("a")
        assert info is not None
        assert info.created_ms == rec("a", 1).time_ms


async def test_without_its_checkpoint_a_log_is_nothing(make_file: Maker) -> None:
    """A damaged checkpoint leaves nothing to load; a repair keeps the file and begins anew."""
    await build(make_file)
    path = file_of(make_file, "b")
    data = path.read_bytes()
    place = data.index(b"state of b")
    path.write_bytes(data[:place] + b"S" + data[place + 1 :])
    async with make_file() as store:
        loaded = await store.load("b")
        assert (loaded.checkpoint, loaded.records) == (None, ())
        assert loaded.damage is not None
    assert [item.repaired for item in await repaired(make_file)] == [True]
    assert not path.exists()
    async with make_file() as store:
        assert await store.load("b") == Loaded(None, ())
        await store.append([rec("b", 1)])


async def test_a_file_cut_inside_its_first_record_is_damaged(make_file: Maker) -> None:
    """No write of ours leaves a file without a whole record: one that has none was cut."""
    await build(make_file)
    path = file_of(make_file, "b")
    data = path.read_bytes()
    start = read_header(data)
    assert start is not None
    path.write_bytes(data[: start.size + 40])
    async with make_file() as store:
        loaded = await store.load("b")
        assert loaded.damage is not None
        assert "first record" in loaded.damage.problem


async def test_another_documents_file_is_damage(make_file: Maker) -> None:
    """A file that was renamed to another document's is not taken for that document."""
    await build(make_file)
    file_of(make_file, "a").rename(file_of(make_file, "c"))
    async with make_file() as store:
        loaded = await store.load("c")
        assert loaded.damage is not None
        assert "another document's: 'a'" in loaded.damage.problem
        assert loaded.records == ()


async def test_another_documents_records_are_damage(make_file: Maker) -> None:
    """A record that was copied from another document's file is not taken for this one's."""
    await build(make_file)
    path = file_of(make_file, "a")
    path.write_bytes(path.read_bytes() + encode_record(rec("b", 4), seed_of("b")))
    async with make_file() as store:
        loaded = await store.load("a")
        assert loaded.records == tuple(recs("a", 1, 3))
        assert loaded.damage is not None


async def test_strange_files_are_named(make_file: Maker) -> None:
    """Files that are no document's are reported, and only those with documents set aside."""
    await build(make_file)
    folder = make_file.path / "documents"
    (folder / "notes.txt").write_text("mine")
    (folder / ("x" * 80 + "~" + "0" * 40 + ".crdt")).write_bytes(
        encode_header(Header("elsewhere", 1, 0))
    )
    async with make_file() as store:
        levels = sorted(item.level for item in worse_than_ok(await findings(store)))
        assert levels == ["error", "warning"]
    found = {item.level: item for item in await repaired(make_file)}
    assert found["error"].repaired
    assert "elsewhere" in found["error"].message
    assert not found["warning"].repaired
    assert (folder / "notes.txt").read_text() == "mine"


async def test_newer_formats_are_refused(make_file: Maker) -> None:
    """A document's file of a newer crdtsync is not taken for damage."""
    await build(make_file)
    path = file_of(make_file, "a")
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, 8, 2)
    from zlib import crc32

    size = 32 + len("a")
    struct.pack_into("<I", data, 12, crc32(data[16:size], crc32(data[:12])))
    path.write_bytes(data)
    async with make_file() as store:
        with pytest.raises(StoreError, match="format 2") as caught:
            await store.load("a")
        assert "newer" in caught.value.hint
        found = worse_than_ok(await findings(store))
        assert [item.document for item in found] == ["a"]


async def crashed(make: Maker) -> tuple[Maker, Path]:
    """Return a store with four commits in its journal, and the journal."""
    async with make() as store:
        for sequence in range(1, 5):
            await store.append([rec("a", sequence), rec("b", sequence)])
        copy = make.crashed(make.folder / "crashed")
    (journal,) = copy.path.glob("journal-*")
    return copy, journal


async def test_an_interrupted_commit_is_left_out_whole(
    make_file: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    """A journal that is cut anywhere in its last commit has all commits before, and none of it."""
    make, journal = await crashed(make_file)
    data = journal.read_bytes()
    frame = 16 + sum(3 + len(encode_record(rec(name, 4), 0)) for name in "ab")
    for length in range(len(data) - frame, len(data) + 1):
        for path in make.path.glob("documents/*"):
            path.unlink()
        journal.write_bytes(data[:length])
        caplog.clear()
        async with make(durability="none") as store:
            last = 3 if length < len(data) else 4
            for name in "ab":
                assert await store.load(name) == Loaded(None, tuple(recs(name, 1, last)))
            assert ("was interrupted" in caplog.text) is (len(data) - frame < length < len(data))
            await store.append([rec("a", last + 1)])


@only_asyncio
async def test_every_changed_byte_of_a_journal_is_noticed(
    make_file: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    """A changed byte in a journal costs its own commit only, is logged, and the journal kept."""
    make, journal = await crashed(make_file)
    data = journal.read_bytes()
    for place in range(len(data)):
        for path in make.path.rglob("*.*"):
            path.unlink()
        journal.write_bytes(data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :])
        caplog.clear()
        async with make(read_only=True) as store:
            found = worse_than_ok(await findings(store))
            assert found, place
        with caplog.at_level(logging.WARNING):
            async with make(durability="none") as store:
                assert "damaged" in caplog.text or "interrupted" in caplog.text, place
                for name in "ab":
                    loaded = await store.load(name)
                    assert loaded.records == tuple(recs(name, 1, len(loaded.records)))
                    whole = len(loaded.records) == 4
                    last = len(loaded.records) == 3
                    assert whole or last or loaded.damage is not None, place
        assert list(make.path.glob("journal-*.damaged-*")) or "interrupted" in caplog.text


async def test_a_hole_in_a_journal_stays_visible(make_file: Maker) -> None:
    """A commit lost from a journal is damage of its documents, at this start and all later ones."""
    make, journal = await crashed(make_file)
    data = bytearray(journal.read_bytes())
    place = data.index(b"a#2")
    data[place] ^= 1
    journal.write_bytes(data)
    for _ in range(2):
        async with make() as store:
            loaded = await store.load("a")
            assert loaded.records == (rec("a", 1),)
            assert loaded.damage is not None
            assert loaded.damage.sequence == 2
            assert "missing; the next one is 3" in loaded.damage.problem
    assert {item.document for item in await repaired(make)} >= {"a", "b"}
    async with make() as store:
        await store.append([rec("a", 2), rec("b", 2)])


async def test_a_journal_mends_what_it_still_has(make_file: Maker) -> None:
    """Damage in a document's file is no loss while the journal has the record."""
    async with make_file() as store:
        await store.append(recs("a", 1, 2))
    async with make_file() as store:
        await store.append(recs("a", 3, 5))
        copy = make_file.crashed(make_file.folder / "crashed")
    path = copy.path / "documents" / "a.crdt"
    data = path.read_bytes()
    for tail in (
        encode_record(rec("a", 3), seed_of("a"))[:-1],
        encode_record(rec("a", 3), seed_of("a"))[:-1] + b"?",
        b"garbage " * 20,
    ):
        path.write_bytes(data + tail)
        again = copy.crashed(copy.folder / f"again{len(tail)}")
        async with again(read_only=True) as store:
            assert await store.load("a") == Loaded(None, tuple(recs("a", 1, 5)))
        async with again() as store:
            assert await store.load("a") == Loaded(None, tuple(recs("a", 1, 5)))
            assert worse_than_ok(await findings(store)) == []


async def test_what_a_client_sent_is_no_commit(make_file: Maker) -> None:
    """A whole journal inside an update is never replayed, even where the journal is damaged."""
    _, journal = await crashed(make_file)
    stolen = journal.read_bytes()
    async with make_file() as store:
        await store.append([rec("z", 1, update=stolen)])
        await store.append([rec("z", 2)])
        copy = make_file.crashed(make_file.folder / "victim")
    (victim,) = copy.path.glob("journal-*")
    data = bytearray(victim.read_bytes())
    data[data.index(stolen) - 5] ^= 1
    victim.write_bytes(data)
    async with copy() as store:
        assert sorted(info.name for info in await store.documents()) == ["a", "b", "z"]
        assert (await store.load("a")).records == tuple(recs("a", 1, 4))
        assert (await store.load("z")).damage is not None


def test_contents_are_read_without_a_file() -> None:
    """The format is bytes in, records out: an empty log is a header and nothing else."""
    header = Header("d", 5, 0)
    data = encode_header(header)
    assert read_header(data) == header
    contents = read_contents(data, header)
    assert (contents.last, contents.torn, contents.damage) == (0, False, None)
