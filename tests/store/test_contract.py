"""What every store promises, on every event loop."""

import anyio
import pytest

from crdtsync.errors import StoreError
from crdtsync.store import DocumentInfo, Loaded, Record
from tests.names import NAMES
from tests.store.kit import NOW, Maker, findings, point, rec, recs

pytestmark = pytest.mark.anyio

ALL_NAMES = [*NAMES, "nul\0byte", "nul\0other", "\0"]
"""A store takes a NUL as well; no client gets that far."""


async def test_what_is_appended_is_loaded(make: Maker) -> None:
    """Records come back as they were, in the order of their sequences."""
    async with make() as store:
        await store.append([rec("d", 1), rec("d", 2, author="")])
        await store.append([rec("d", 3, author="b\u00f6b", update=bytes(range(256)) * 300)])
        loaded = await store.load("d")
    assert loaded == Loaded(
        None,
        (
            rec("d", 1),
            rec("d", 2, author=""),
            rec("d", 3, author="b\u00f6b", update=bytes(range(256)) * 300),
        ),
    )


async def test_an_unknown_document_is_empty(make: Maker) -> None:
    """A document that nobody wrote loads as empty and has no metadata."""
    async with make() as store:
        assert await store.load("d") == Loaded(None, ())
        assert await store.info("d") is None
        assert await store.documents() == []
        assert await store.delete("d") is False
        assert await findings(store) == []


async def test_an_empty_batch_is_nothing(make: Maker) -> None:
    """Appending no records does nothing."""
    async with make() as store:
        await store.append([])
        assert await store.documents() == []


async def test_one_batch_takes_many_documents(make: Maker) -> None:
    """A batch holds records of any documents, interleaved."""
    batch = [rec(f"d{n % 7}", n // 7 + 1) for n in range(700)]
    async with make() as store:
        await store.append(batch)
        await store.append([rec(f"d{n}", 101) for n in range(7)])
    async with make() as store:
        for n in range(7):
            assert (await store.load(f"d{n}")).records == tuple(recs(f"d{n}", 1, 101))


@pytest.mark.parametrize("size", [1, 2, 127, 128, 129, 300])
async def test_batches_of_any_size(make: Maker, size: int) -> None:
    """Every size of a batch is committed whole, of new documents and of known ones."""
    async with make() as store:
        await store.append(recs("d", 1, size))
        await store.append(recs("d", size + 1, 2 * size))
        assert (await store.load("d")).records == tuple(recs("d", 1, 2 * size))


async def test_everything_is_there_when_reopened(make: Maker) -> None:
    """A store that was closed and opened again holds the same, and continues."""
    async with make() as store:
        await store.append([*recs("a", 1, 5), *recs("b", 1, 2)])
        await store.checkpoint(point("a", 3))
        before = await store.documents()
    async with make() as store:
        assert await store.load("a") == Loaded(point("a", 3), tuple(recs("a", 4, 5)))
        assert await store.documents() == before
        await store.append([rec("a", 6), rec("b", 3)])
    async with make() as store:
        assert (await store.load("a")).records == tuple(recs("a", 4, 6))
        assert (await store.load("b")).records == tuple(recs("b", 1, 3))


@pytest.mark.parametrize(
    "batch",
    [
        [rec("a", 4), rec("b", 1), rec("a", 6)],
        [rec("a", 4), rec("b", 2)],
        [rec("b", 1), rec("a", 3)],
        [rec("a", 4), rec("a", 4)],
        [rec("c", 0)],
    ],
)
async def test_a_record_out_of_order_refuses_the_batch(make: Maker, batch: list[Record]) -> None:
    """A record that does not continue its document refuses all of its batch."""
    async with make() as store:
        await store.append(recs("a", 1, 3))
        with pytest.raises(StoreError, match="does not continue"):
            await store.append(batch)
        assert [info.name for info in await store.documents()] == ["a"]
        await store.append([rec("a", 4), rec("b", 1)])
    async with make() as store:
        assert (await store.load("a")).records == tuple(recs("a", 1, 4))
        assert (await store.load("b")).records == (rec("b", 1),)


async def test_a_document_never_loaded_is_still_in_order(make_durable: Maker) -> None:
    """A store that was just opened knows where each document ends."""
    async with make_durable() as store:
        await store.append([*recs("a", 1, 3), *recs("b", 1, 3)])
        await store.checkpoint(point("b", 3))
    async with make_durable() as store:
        for name in "ab":
            with pytest.raises(StoreError):
                await store.append([rec(name, 1)])
            with pytest.raises(StoreError):
                await store.append([rec(name, 5)])
            await store.append([rec(name, 4)])


async def test_names_of_all_kinds(make: Maker) -> None:
    """Any name works, and no two share a document."""
    async with make() as store:
        await store.append([rec(name, 1, update=name.encode()) for name in ALL_NAMES])
        for name in ALL_NAMES[::10]:
            await store.checkpoint(point(name, 1, state=name.encode()))
    async with make() as store:
        for name in ALL_NAMES:
            loaded = await store.load(name)
            stored = loaded.checkpoint.state if loaded.checkpoint else loaded.records[0].update
            assert stored == name.encode()
        await store.append([rec(name, 2) for name in ALL_NAMES])
        assert [info.name for info in await store.documents()] == sorted(ALL_NAMES)
        assert {finding.level for finding in await findings(store)} == {"ok"}
        for name in ALL_NAMES[::10]:
            assert await store.delete(name)
        left = sorted(set(ALL_NAMES) - set(ALL_NAMES[::10]))
        assert [info.name for info in await store.documents()] == left


async def test_a_list_goes_on_behind_what_is_deleted_meanwhile(make_durable: Maker) -> None:
    """A name that is gone when its metadata is read makes a page no shorter."""
    async with make_durable() as store:
        await store.append([rec(name, 1) for name in "acd"])
        backend = store._backend  # type: ignore[attr-defined]
        names = backend.names

        def and_one_more(prefix: str, after: str, limit: int) -> list[str]:
            return sorted([*names(prefix, after, limit), *(["b"] if after < "b" else [])])[:limit]

        backend.names = and_one_more
        assert [info.name for info in await store.documents(limit=2)] == ["a", "c"]
        assert [info.name for info in await store.documents(limit=9)] == ["a", "c", "d"]


async def test_a_store_stays_in_its_place(make_durable: Maker) -> None:
    """No name makes a file outside of the store."""
    inside = make_durable.folder / "inside"
    inside.mkdir()
    async with Maker(make_durable.kind, inside)() as store:
        await store.append([rec(name, 1) for name in ALL_NAMES[::10]])
    assert [path.name for path in make_durable.folder.iterdir()] == ["inside"]


async def test_a_checkpoint_replaces_what_it_stands_for(make: Maker) -> None:
    """After a checkpoint, it and the records behind it are what a document is."""
    async with make() as store:
        await store.append(recs("d", 1, 10))
        await store.checkpoint(point("d", 7))
        assert await store.load("d") == Loaded(point("d", 7), tuple(recs("d", 8, 10)))
        await store.append([rec("d", 11)])
        await store.checkpoint(point("d", 11))
        assert await store.load("d") == Loaded(point("d", 11), ())
        await store.append([rec("d", 12)])
        assert await store.load("d") == Loaded(point("d", 11), (rec("d", 12),))


async def test_a_checkpoint_may_be_written_again(make: Maker) -> None:
    """A checkpoint at the same sequence takes the other's place."""
    async with make() as store:
        await store.append(recs("d", 1, 2))
        await store.checkpoint(point("d", 2, state=b"one"))
        await store.checkpoint(point("d", 2, state=b"two"))
        assert (await store.load("d")).checkpoint == point("d", 2, state=b"two")


@pytest.mark.parametrize("sequence", [0, 1, 4])
async def test_a_checkpoint_of_something_else_is_refused(make: Maker, sequence: int) -> None:
    """A checkpoint before the last one, or of records that the store has not, changes nothing."""
    async with make() as store:
        await store.append(recs("d", 1, 3))
        await store.checkpoint(point("d", 2))
        with pytest.raises(StoreError, match="checkpoint refused"):
            await store.checkpoint(point("d", sequence))
        assert await store.load("d") == Loaded(point("d", 2), (rec("d", 3),))


async def test_a_document_may_begin_with_a_checkpoint(make: Maker) -> None:
    """A checkpoint of an unknown document makes it, at any sequence."""
    async with make() as store:
        await store.checkpoint(point("d", 40))
        await store.append([rec("d", 41)])
    async with make() as store:
        assert await store.load("d") == Loaded(point("d", 40), (rec("d", 41),))
        info = await store.info("d")
    assert info is not None
    assert (info.sequence, info.created_ms) == (41, point("d", 40).time_ms)


async def test_info_counts(make: Maker) -> None:
    """A document's metadata says what the store holds of it."""
    async with make() as store:
        await store.append(recs("d", 1, 4))
        sizes = [len(record.update) for record in recs("d", 1, 5)]
        info = DocumentInfo("d", 4, NOW + 1, NOW + 4, 0, 0, 4, sum(sizes[:4]))
        assert await store.info("d") == info
        await store.checkpoint(point("d", 4))
        state = len(point("d", 4).state)
        assert await store.info("d") == DocumentInfo("d", 4, NOW + 1, NOW + 4, 4, state, 0, 0)
        await store.append([rec("d", 5)])
        info = DocumentInfo("d", 5, NOW + 1, NOW + 5, 4, state, 1, sizes[4])
        assert await store.info("d") == info
        await store.checkpoint(point("d", 4))
        assert await store.info("d") == info
    async with make() as store:
        assert await store.info("d") == info
        assert await store.documents() == [info]


async def test_documents_are_listed_in_pages(make: Maker) -> None:
    """A listing goes by code points, from behind a name, within a prefix, up to a limit."""
    names = sorted([*(f"a{n:02}" for n in range(40)), "A", "b", "\ud7ff", "\ue000", "\U00010000"])
    async with make() as store:
        await store.append([rec(name, 1) for name in names])

        async def listed(prefix: str = "", after: str = "", limit: int = 1000) -> list[str]:
            infos = await store.documents(prefix=prefix, after=after, limit=limit)
            return [info.name for info in infos]

        assert await listed() == names
        assert await listed(limit=5) == names[:5]
        assert await listed(after=names[4], limit=5) == names[5:10]
        assert await listed(after="a0") == names[1:]
        assert await listed(prefix="a") == [f"a{n:02}" for n in range(40)]
        assert await listed(prefix="a1", after="a13", limit=3) == ["a14", "a15", "a16"]
        assert await listed(prefix="b", after="a") == ["b"]
        assert await listed(prefix="a", after="b") == []
        assert await listed(prefix="\ud7ff") == ["\ud7ff"]
        assert await listed(prefix="\U00010000") == ["\U00010000"]
        assert await listed(prefix="zz") == []
        assert await listed(limit=0) == []
        await store.append([rec("a005", 1)])
        assert await listed(prefix="a00", limit=2) == ["a00", "a005"]
        await store.delete("a00")
        assert await listed(prefix="a00") == ["a005"]


async def test_a_prefix_of_the_last_character(make: Maker) -> None:
    """The prefix behind which there is nothing is a prefix like any other."""
    names = ["z", "\U0010ffff", "\U0010ffff\U0010ffff", "\U0010ffffa"]
    async with make() as store:
        await store.append([rec(name, 1) for name in names])
        infos = await store.documents(prefix="\U0010ffff")
    assert [info.name for info in infos] == ["\U0010ffff", "\U0010ffffa", "\U0010ffff\U0010ffff"]


async def test_a_deleted_document_is_gone(make: Maker) -> None:
    """Deleting removes a document, which may then begin anew."""
    async with make() as store:
        await store.append([*recs("a", 1, 3), *recs("b", 1, 3)])
        await store.checkpoint(point("a", 2))
        assert await store.delete("a") is True
        assert await store.delete("a") is False
        assert await store.load("a") == Loaded(None, ())
        assert [info.name for info in await store.documents()] == ["b"]
    async with make() as store:
        assert await store.load("a") == Loaded(None, ())
        await store.append([rec("a", 1), rec("b", 4)])
        assert (await store.load("a")).records == (rec("a", 1),)
        assert (await store.load("b")).records == tuple(recs("b", 1, 4))


async def test_a_sound_store_has_one_finding_a_document(make: Maker) -> None:
    """A check yields one ``ok`` for each document and nothing else."""
    async with make() as store:
        await store.append([*recs("a", 1, 3), *recs("b", 1, 3)])
        await store.checkpoint(point("a", 2))
        found = await findings(store)
        repaired = await findings(store, repair=True)
    assert [(item.document, item.sequence, item.level) for item in found] == [
        ("a", 3, "ok"),
        ("b", 3, "ok"),
    ]
    assert repaired == found


async def test_calls_may_overlap(make: Maker) -> None:
    """Appends, loads, checkpoints and listings of different tasks do not disturb each other."""

    async def write(name: str) -> None:
        for sequence in range(1, 11):
            await store.append([rec(name, sequence)])
            if sequence % 4 == 0:
                await store.checkpoint(point(name, sequence))
            loaded = await store.load(name)
            last = loaded.records[-1].sequence if loaded.records else sequence
            assert last == sequence
            assert len(await store.documents(limit=3)) <= 3

    async with make() as store:
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(write, f"d{number}")
        assert len(await store.documents()) == 20
        for number in range(20):
            loaded = await store.load(f"d{number}")
            assert loaded == Loaded(point(f"d{number}", 8), tuple(recs(f"d{number}", 9, 10)))


async def test_a_cancelled_append_is_all_or_nothing(make: Maker) -> None:
    """Cancelling an append leaves all of the batch or none, and the store usable."""
    async with make() as store:
        await store.append([rec("a", 1), rec("b", 1)])
        with anyio.CancelScope() as scope:
            scope.cancel()
            await store.append([rec("a", 2), rec("b", 2)])
        last = (await store.load("a")).records[-1].sequence
        assert (await store.load("b")).records[-1].sequence == last
        await store.append([rec("a", last + 1), rec("b", last + 1)])


async def test_a_store_probes_itself(make: Maker) -> None:
    """A probe of a store that works raises nothing and changes nothing."""
    async with make() as store:
        await store.append([rec("d", 1)])
        await store.probe()
        await store.append([rec("d", 2)])
    async with make() as store:
        assert (await store.load("d")).records == tuple(recs("d", 1, 2))


async def test_a_store_is_used_inside_async_with(make: Maker) -> None:
    """Before it is entered and after it is left, a store refuses with a hint."""
    store = make()
    with pytest.raises(StoreError, match="not open") as caught:
        await store.append([rec("d", 1)])
    assert "async with" in caught.value.hint
    async with store:
        with pytest.raises(StoreError, match="open already"):
            async with store:
                pass
    with pytest.raises(StoreError, match="not open"):
        await store.load("d")


async def test_one_object_may_be_entered_again(make: Maker) -> None:
    """A store object can be left and entered again."""
    store = make()
    async with store:
        await store.append([rec("d", 1)])
    async with store:
        await store.append([rec("d", 2)])
        assert (await store.load("d")).records == tuple(recs("d", 1, 2))


async def test_a_nameless_document_is_refused(make_durable: Maker) -> None:
    """The empty name, which no listing could show, is refused."""
    async with make_durable() as store:
        with pytest.raises(StoreError, match="needs a name"):
            await store.append([rec("", 1)])
        await store.append([rec("d", 1)])


async def test_a_name_that_is_no_text_is_a_store_error(make_durable: Maker) -> None:
    """What can't be stored at all raises ``StoreError`` too, and the store goes on."""
    async with make_durable() as store:
        with pytest.raises(StoreError):
            await store.append([rec("d", 1), Record("\ud800", 1, NOW, "ann", b"x")])
        with pytest.raises(StoreError):
            await store.append([rec("d", 1), Record("e", 1, 1 << 70, "ann", b"x")])
        await store.append([rec("d", 1), rec("e", 1)])
        assert len(await store.documents()) == 2
