"""A SQLite store whose rows or pages were changed behind its back."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from crdtsync.errors import StoreDamaged, StoreError
from crdtsync.store import Loaded
from tests.store.kit import Maker, findings, is_prefix, point, rec, recs, worse_than_ok
from tests.store.test_sqlite import writer_of

pytestmark = pytest.mark.anyio


def change(make: Maker, sql: str, *arguments: object) -> None:
    """Change the database as another program would."""
    with closing(sqlite3.connect(make.path, isolation_level=None)) as db:
        db.execute(sql, arguments)


async def build(make: Maker) -> None:
    """Make a store of three documents, one with a checkpoint."""
    async with make() as store:
        await store.append([*recs("a", 1, 3), *recs("b", 1, 4), *recs("c", 1, 2)])
        await store.checkpoint(point("b", 2))


def flipped(value: Any) -> Iterator[Any]:
    """Yield a value with each of its bytes changed in turn."""
    match value:
        case int():
            for shift in range(0, 56, 8):
                yield value ^ (1 << shift)
        case str():
            for place, character in enumerate(value):
                yield value[:place] + chr(ord(character) ^ 1) + value[place + 1 :]
        case bytes():
            for place in range(len(value)):
                yield value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]


def changes(make: Maker) -> list[tuple[str, tuple[object, ...]]]:
    """Return a statement for each byte of each value in the store."""
    statements: list[tuple[str, tuple[object, ...]]] = []
    with closing(sqlite3.connect(make.path)) as db:
        for table, key in (
            ("documents", "id"),
            ("log", "id"),
            ("tail", "id"),
            ("checkpoints", "id"),
        ):
            rows = db.execute(f"SELECT * FROM {table}")
            columns = [column[0] for column in rows.description]
            for row in rows.fetchall():
                fields = dict(zip(columns, row, strict=True))
                where = fields[key]
                if table != "documents":
                    del fields["id"]  # which means nothing
                for column, value in fields.items():
                    sql = f'UPDATE {table} SET "{column}" = ? WHERE {key} = ?'
                    statements += [(sql, (other, where)) for other in flipped(value)]
    return statements


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_every_changed_byte_is_noticed(make_sqlite: Maker) -> None:
    """A check reports every change of any value, and no load takes one for what was written."""
    await build(make_sqlite)
    async with make_sqlite() as store:
        await store.append([rec("a", 4), rec("c", 3)])
        crashed = make_sqlite.crashed(make_sqlite.folder / "crashed")
    make_sqlite = crashed  # which has records in the tail
    change(make_sqlite, "PRAGMA journal_mode = DELETE")
    change(make_sqlite, "PRAGMA journal_mode = WAL")
    copy = make_sqlite.folder / "copy"
    shutil.copy(make_sqlite.path, copy)
    whole = {}
    async with make_sqlite(read_only=True) as store:
        for name in "abc":
            whole[name] = await store.load(name)
    statements = changes(make_sqlite)
    assert len(statements) > 400
    unnoticed = []
    for sql, arguments in statements:
        shutil.copy(copy, make_sqlite.path)
        try:
            change(make_sqlite, sql, *arguments)
        except sqlite3.IntegrityError:  # the schema does not let it happen
            continue
        async with make_sqlite(read_only=True) as store:
            found = await findings(store)
            if not any(finding.level == "error" for finding in found):
                unnoticed.append((sql, arguments))
            for name in "abc":
                assert is_prefix(await store.load(name), whole[name]), (sql, arguments)
    assert unnoticed == []


@pytest.mark.parametrize("sequence", [1, 2, 3])
async def test_a_damaged_record_ends_its_document(make_sqlite: Maker, sequence: int) -> None:
    """The intact prefix loads, the damage is named, and the document is not written to."""
    await build(make_sqlite)
    change(
        make_sqlite,
        "UPDATE log SET author = 'eve' WHERE sequence = ? AND document ="
        " (SELECT id FROM documents WHERE name = 'a')",
        sequence,
    )
    async with make_sqlite() as store:
        loaded = await store.load("a")
        assert loaded.records == tuple(recs("a", 1, sequence - 1))
        assert loaded.damage is not None
        assert (loaded.damage.document, loaded.damage.sequence) == ("a", sequence)
        assert "checksum" in loaded.damage.problem
        with pytest.raises(StoreDamaged, match="append refused") as caught:
            await store.append([rec("c", 3), rec("a", 4)])
        assert (caught.value.document, caught.value.sequence) == ("a", sequence)
        assert "--repair" in caught.value.hint
        with pytest.raises(StoreDamaged, match="checkpoint refused"):
            await store.checkpoint(point("a", 1))
        await store.append([rec("c", 3)])

        found = worse_than_ok(await findings(store, repair=True))
        assert [(item.document, item.sequence, item.repaired) for item in found] == [
            ("a", sequence, True)
        ]
        assert await store.load("a") == Loaded(None, tuple(recs("a", 1, sequence - 1)))
        await store.append([rec("a", sequence)])
        kept = worse_than_ok(await findings(store))
        assert [item.level for item in kept] == ["warning"]
    with closing(sqlite3.connect(make_sqlite.path)) as db:
        rows = db.execute("SELECT document, sequence, author FROM damaged").fetchall()
        assert rows[0] == ("a", sequence, "eve")
        assert len(rows) == 4 - sequence


async def test_records_can_not_change_places(make_sqlite: Maker) -> None:
    """Two records whose rows are exchanged, within a document or between two, are damage."""
    await build(make_sqlite)
    with closing(sqlite3.connect(make_sqlite.path, isolation_level=None)) as db:
        first, second = db.execute(
            'SELECT id, "update" FROM log WHERE sequence = 1 ORDER BY id LIMIT 2'
        ).fetchall()
        db.execute('UPDATE log SET "update" = ? WHERE id = ?', (second[1], first[0]))
        db.execute('UPDATE log SET "update" = ? WHERE id = ?', (first[1], second[0]))
    async with make_sqlite() as store:
        damaged = {finding.document for finding in worse_than_ok(await findings(store))}
    assert damaged == {"a", "c"}


async def test_a_missing_record_ends_its_document(make_sqlite: Maker) -> None:
    """A gap in the sequences is damage at the missing one."""
    await build(make_sqlite)
    change(make_sqlite, "DELETE FROM log WHERE sequence = 2 AND document = 1")
    async with make_sqlite() as store:
        loaded = await store.load("a")
        assert loaded.records == (rec("a", 1),)
        assert loaded.damage is not None
        assert "missing; the next one is 3" in loaded.damage.problem
        await findings(store, repair=True)
        assert await store.load("a") == Loaded(None, (rec("a", 1),))
        await store.append([rec("a", 2)])


async def test_without_its_checkpoint_a_log_is_nothing(make_sqlite: Maker) -> None:
    """A damaged checkpoint leaves nothing to load; a repair keeps all of it and begins anew."""
    await build(make_sqlite)
    change(make_sqlite, "UPDATE checkpoints SET state = x'00'")
    async with make_sqlite() as store:
        loaded = await store.load("b")
        assert (loaded.checkpoint, loaded.records) == (None, ())
        assert loaded.damage is not None
        assert loaded.damage.sequence == 2
        with pytest.raises(StoreDamaged):
            await store.append([rec("b", 5)])
        found = worse_than_ok(await findings(store, repair=True))
        assert [(item.document, item.repaired) for item in found] == [("b", True)]
        assert await store.load("b") == Loaded(None, ())
        await store.append([rec("b", 1)])
    with closing(sqlite3.connect(make_sqlite.path)) as db:
        kinds = db.execute("SELECT kind, sequence FROM damaged ORDER BY id").fetchall()
    assert kinds == [("checkpoint", 2), ("record", 3), ("record", 4)]


async def test_a_row_that_strayed_harms_nobody_for_long(make_sqlite: Maker) -> None:
    """A record that lands in another document is set aside; that document keeps all of its own."""
    await build(make_sqlite)
    change(make_sqlite, "UPDATE log SET document = 3 WHERE document = 1 AND sequence = 2")
    async with make_sqlite() as store:
        await findings(store, repair=True)
        assert await store.load("c") == Loaded(None, tuple(recs("c", 1, 2)))
        assert await store.load("a") == Loaded(None, (rec("a", 1),))
        assert [item.level for item in worse_than_ok(await findings(store))] == ["warning"]


async def test_rows_of_no_document_are_set_aside(make_sqlite: Maker) -> None:
    """Records and checkpoints whose document does not exist are found and kept."""
    await build(make_sqlite)
    change(make_sqlite, "DELETE FROM documents WHERE name = 'b'")
    async with make_sqlite() as store:
        found = worse_than_ok(await findings(store))
        assert ["belong to no document" in item.message for item in found] == [True, True]
        repaired = worse_than_ok(await findings(store, repair=True))
        assert all(item.repaired for item in repaired)
        assert [item.level for item in worse_than_ok(await findings(store))] == ["warning"]
        await store.append([rec("b", 1)])


async def test_a_stray_keeps_no_record_out(make_sqlite: Maker) -> None:
    """A record at another's sequence does not keep that one from its place when it comes."""
    await build(make_sqlite)
    change(make_sqlite, "UPDATE log SET document = 1, sequence = 4 WHERE document = 3")
    change(make_sqlite, "DELETE FROM log WHERE document = 1 AND sequence = 4 AND id > 8")
    async with make_sqlite() as store:
        with pytest.raises(StoreError):  # the stray one is in the way of none but the check
            await store.append([rec("a", 4)])
        await findings(store, repair=True)
        await store.append([rec("a", 4)])
    async with make_sqlite() as store:
        assert await store.load("a") == Loaded(None, tuple(recs("a", 1, 4)))


async def test_a_changed_name_keeps_its_records_aside(make_sqlite: Maker) -> None:
    """A document whose name was changed is reported, and its records kept by a repair."""
    await build(make_sqlite)
    change(make_sqlite, "UPDATE documents SET name = 'x' WHERE name = 'a'")
    async with make_sqlite() as store:
        found = worse_than_ok(await findings(store, repair=True))
        assert {item.document for item in found} == {"x"}
        assert await store.load("x") == Loaded(None, ())
        assert [item.level for item in worse_than_ok(await findings(store))] == ["warning"]


async def test_values_of_another_type_are_damage(make_sqlite: Maker) -> None:
    """A value whose type was changed is damage like any other."""
    for column, value in (
        ("time_ms", "yesterday"),
        ("author", b"\xff\xfe"),
        ("checksum", "none"),
        ("update", "text"),
        ("sequence", "two"),
    ):
        await build(make_sqlite)
        change(
            make_sqlite, f'UPDATE log SET "{column}" = ? WHERE sequence = 2 AND document = 1', value
        )
        async with make_sqlite() as store:
            loaded = await store.load("a")
            assert loaded.records == (rec("a", 1),)
            assert loaded.damage is not None
            await findings(store, repair=True)
            assert await store.load("a") == Loaded(None, (rec("a", 1),))
        make_sqlite.path.unlink()


async def test_damaged_pages_raise_and_are_reported(make_sqlite: Maker) -> None:
    """A page that SQLite itself can't read is a ``StoreError`` or damage, never wrong data."""
    async with make_sqlite() as store:
        await store.append([rec("a", n, update=bytes(400)) for n in range(1, 200)])
        await store.append([rec(f"d{n}", 1) for n in range(50)])
        whole = await store.load("a")
    data = make_sqlite.path.read_bytes()
    refusals: set[type] = set()
    unused = 0
    for page in range(1, len(data) // 4096):
        make_sqlite.path.write_bytes(data[: page * 4096] + bytes(4096) + data[(page + 1) * 4096 :])
        try:
            async with make_sqlite(read_only=True) as store:
                loaded = await store.load("a")
                assert is_prefix(loaded, whole)
                if not any(finding.level == "error" for finding in await findings(store)):
                    assert loaded == whole  # an unused page
                    unused += 1
        except StoreError as error:
            refusals.add(type(error))
    assert refusals <= {StoreDamaged}
    assert unused < len(data) // 4096 / 2


async def test_deleting_a_document_removes_what_was_kept(make_sqlite: Maker) -> None:
    """Nothing of a deleted document stays, not even what a repair had set aside."""
    await build(make_sqlite)
    change(make_sqlite, "UPDATE log SET author = 'eve' WHERE document = 1 AND sequence = 2")
    async with make_sqlite() as store:
        await findings(store, repair=True)
        await store.delete("a")
        db = writer_of(store).ready()
        assert db.execute("SELECT count(*) FROM damaged").fetchone() == (0,)
