"""Long updates: which are let in by portions, and that these make the same document."""

from itertools import islice
from random import Random

import anyio.lowlevel
import pycrdt
import pytest

from crdtsync.dividing import LONG_DELETES, LONG_STRUCTS, divided, takes_long
from crdtsync.document import Document, Verdict
from crdtsync.errors import InvalidUpdate
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.protocol import SyncStep1, step_2_frame, update_frame
from crdtsync.store.memory import MemoryStore
from crdtsync.structs import Scan
from crdtsync.update import MARKED_STRUCTS, scan
from tests.portions import small_portions

from .documents import content, history, replay
from .engine import join, quick, until
from .wire import any_, block, item, one, skip, string, type_, update

LIMITS = Limits()
MANY = LONG_STRUCTS + 1


def opened(*updates: bytes) -> Document:
    document = Document(LIMITS)
    document.loaded()
    for each in updates:
        assert document.admit(each, scan(each, LIMITS)) is Verdict.NEW
    return document


def typed(count: int, *, root: str = "text", client: int = 1, first: int = 0) -> bytes:
    """Return characters that came one by one."""
    structs = [
        item(string("x"), origin=(client, n - 1)) if n else item(string("x"), parent=root)
        for n in range(first, first + count)
    ]
    return update(block(client, first, *structs))


def keys(count: int, *, client: int = 1) -> bytes:
    """Return a map's keys."""
    structs = (item(any_(b"\x7d\x01"), parent="map", key=f"k{n}") for n in range(count))
    return update(block(client, 0, *structs))


def deletions(count: int) -> bytes:
    """Return that each second character was deleted."""
    return update(deletes=[(1, 2 * n, 2 * n + 1) for n in range(count)])


@pytest.mark.parametrize(
    ("data", "there", "long"),
    [
        (typed(MANY), [], False),
        (typed(MANY), [one(9, 0, "x")], False),
        (typed(MANY, root="another"), [one(9, 0, "x")], True),
        (keys(LONG_STRUCTS), [], False),
        (keys(MANY), [], True),
        (keys(MANY), [keys(MANY)], False),
        (typed(MANY), [keys(1, client=9)], True),
        (typed(MANY), [typed(3)], True),
        (typed(MANY, first=3), [], True),
        (typed(MANY, first=3), [typed(3)], False),
        (update(block(1, 0, *[item(string("😀"), parent="text")] * MANY)), [], True),
        (update(block(1, 0, *[item(type_(1), parent="text")] * MANY)), [], True),
        (deletions(LONG_DELETES), [one(1, 0, "x" * 3 * LONG_DELETES)], False),
        (deletions(LONG_DELETES + 1), [one(1, 0, "x" * 3 * LONG_DELETES)], True),
    ],
    ids=[
        "text", "more text", "another root", "few keys", "keys", "known keys", "text beside keys",
        "known in part", "a gap", "no gap", "pairs", "types", "few deletions", "deletions",
    ],
)  # fmt: skip
def test_what_takes_long(data: bytes, there: list[bytes], long: bool) -> None:
    """Whatever is looked into struct by struct does, if it is much and not known."""
    wide = Limits(max_conflicts=1 << 20)
    document = Document(wide)
    for each in there:
        document.admit(each, scan(each, wide))
    assert takes_long(scan(data, wide), document) is long


@pytest.mark.parametrize("seed", range(40))
def test_portions_make_the_same_document(seed: int) -> None:
    """Of one client or several, known in part, out of order or with gaps."""
    random = Random(seed)
    updates = history(seed, clients=random.randint(1, 3))
    whole = replay(*updates)
    known = updates[: random.randint(0, len(updates))]
    base = opened()
    for each in known:
        base.admit(each, scan(each, LIMITS))
    with small_portions(random.randint(1, 4)):
        data = whole.get_update()
        count = 0
        for each in divided(data, scan(data, LIMITS), base, LIMITS):
            assert each is not None
            portion, found = each
            assert len(found.structs or ()) <= 4
            verdict = base.admit(portion, found)
            assert verdict is not Verdict.AHEAD
            if verdict is Verdict.NEW:
                base.commit(portion, found)
            for piece, described, _ in base.take_ready():
                base.commit(piece, described)
            count += 1
    assert count > 1
    assert base.clocks == opened(data).clocks
    shown = content(replay(*known, *[data]))
    assert shown == content(whole)
    for each in known:  # those were never committed here
        base.commit(each, scan(each, LIMITS))


@pytest.mark.parametrize(
    ("data", "clocks"),
    [
        (
            update(
                block(2, 0, item("a"), item("b", origin=(9, 0))),
                block(1, 0, item("c")),
            ),
            {1: 1, 2: 1},
        ),
        (update(block(2, 0, item("a"), item("b"), item("c", origin=(9, 0)), item("d"))), {2: 2}),
        (update(block(2, 0, item("a"), skip(1), item("c"))), {2: 1}),
        (update(block(2, 1, item("a"), item("b"))), {}),
        (update(block(2, 0, item("a"), item("b")), deletes=[(9, 0, 1)]), {2: 2}),
    ],
    ids=["two clients", "another's", "a hole", "its own", "deletions"],
)
def test_what_lacks_something_is_left_out(data: bytes, clocks: dict[int, int]) -> None:
    """What fits before it is let in; nothing is held."""
    document = opened()
    with small_portions(1):
        *portions, last = divided(data, scan(data, LIMITS), document, LIMITS)
        document = opened()
        for each in divided(data, scan(data, LIMITS), document, LIMITS):
            if each is not None:
                assert document.admit(*each) is Verdict.NEW
    assert last is None
    assert None not in portions
    assert document.clocks == clocks
    assert not document.waiting


def test_deletions_are_let_in_where_something_is_left_out() -> None:
    """What is known is deleted; of keys nothing, for their next values may be left out."""

    def deleted(*structs: bytes) -> list[tuple[int, int, int]]:
        document = opened(one(1, 0, "abcdef"))
        data = update(block(2, 0, *structs), deletes=[(1, 0, 2), (1, 4, 9)])
        with small_portions(1):
            *portions, last = divided(data, scan(data, LIMITS), document, LIMITS)
        assert last is None
        return [each for portion in portions if portion for each in portion[1].deletes]

    lacking = item("b", origin=(9, 0))
    assert deleted(item("a"), lacking) == [(1, 0, 2), (1, 4, 6)]
    assert deleted(item("a"), skip(1), lacking) == [(1, 0, 2), (1, 4, 6)]
    assert deleted(item("a", parent="map", key="k"), lacking) == []


VALUES = item(any_(b"\x7d\x01", b"\x7d\x02", b"\x7d\x03"), parent="map", key="k")
"""What one that collects nothing writes of a key that was set three times."""
PLAIN = tuple(item(any_(b"\x7d\x03"), parent="map", key=f"a{n}") for n in range(4))


def let_in(
    data: bytes, document: Document, count: int = 1000, size: int = 2
) -> list[tuple[bytes, Scan]]:
    """Let the first portions in; return what was let in."""
    done: list[tuple[bytes, Scan]] = []
    with small_portions(size):
        for each in islice(divided(data, scan(data, LIMITS), document, LIMITS), count):
            if each is not None:
                if document.admit(*each) is Verdict.NEW and not document.ready:
                    done.append(each)
                done += [ready[:2] for ready in document.take_ready()]
    return done


def test_each_portion_brings_what_of_itself_is_deleted() -> None:
    """Several values under a key are let in where they are deleted, and are nowhere shown."""
    data = update(block(1, 0, *PLAIN, VALUES, *PLAIN), deletes=[(1, 1, 2), (1, 4, 7)])
    portions = let_in(data, opened())
    assert len(portions) > 3
    for _, found in portions:
        ((_, start, end),) = found.ranges  # no portion of deletions alone is left
        inside = [each for each in ((1, 1, 2), (1, 4, 7)) if start <= each[1] < end]
        assert found.deletes == tuple(inside)
    assert [scan(each, LIMITS).deletes for each, _ in portions] == [
        found.deletes for _, found in portions
    ]
    with pytest.raises(InvalidUpdate, match="several values"):
        let_in(update(block(1, 0, VALUES, *PLAIN)), opened())


@pytest.mark.parametrize("known", range(4))
def test_several_values_behind_many_deletions(known: int) -> None:
    """Not all of a portion's deletions come with it where they are many; these do."""
    text = item(string("x" * 10), parent="text")
    holes = [(1, 2 * n, 2 * n + 1) for n in range(5)]
    data = update(block(1, 0, text, VALUES, *PLAIN), deletes=[*holes, (1, 10, 13)])
    document = opened()
    let_in(data, document, known, size=1)
    more = update(block(1, 0, text, VALUES, *PLAIN, *PLAIN), deletes=[*holes, (1, 10, 13)])
    portions = let_in(more, document)
    assert document.clocks == {1: 21}
    assert sorted(document.deleted) == [*holes, (1, 10, 13)]
    assert all(scan(each, LIMITS).deletes == found.deletes for each, found in portions)


def test_a_deletion_that_would_come_later_allows_nothing() -> None:
    """What is left out leaves the deletion of all values out; what needs it has it."""
    lacking = item(any_(b"\x7d\x03"), origin=(99, 7), key="k")
    document = opened(one(7, 0, "text"))
    data = update(block(1, 0, VALUES, *PLAIN, lacking), deletes=[(1, 0, 3), (7, 0, 1)])
    portions = let_in(data, document)
    assert document.clocks == {1: 6, 7: 4}  # as far as whole portions fit
    assert list(document.deleted) == [(1, 0, 3)]
    assert "k" not in content(replay(*[each for each, _ in portions]))["map"]


@pytest.mark.parametrize("size", [3, 4, 5])
@pytest.mark.parametrize("count", range(6))
def test_what_is_known_in_part_comes_by_portions(count: int, size: int) -> None:
    """Another tab brings the same and more; where the portions of the first ended it can't know."""
    document = opened()
    data = update(block(1, 0, *PLAIN, VALUES, *PLAIN), deletes=[(1, 4, 7)])
    let_in(data, document, count)
    more = update(block(1, 0, *PLAIN, VALUES, *PLAIN, *PLAIN), deletes=[(1, 4, 7)])
    let_in(more, document, size=size)
    assert document.clocks == {1: 15}
    assert list(document.deleted) == [(1, 4, 7)]


def test_several_values_whose_next_one_waits() -> None:
    """They come deleted also where the next value lacks something: nothing honest is refused."""
    waits = item(any_(b"\x7d\x01"), origin=(1, 2), key="k")
    data = update(
        block(2, 0, item("a", origin=(9, 9)), waits), block(1, 0, VALUES), deletes=[(1, 0, 3)]
    )
    document = opened()
    assert document.admit(data, scan(data, LIMITS)) is Verdict.AHEAD
    assert document.clocks == {1: 3}
    assert list(document.deleted) == [(1, 0, 3)]


def test_several_values_that_wait_themselves() -> None:
    """They come deleted, whenever what they lacked comes: nothing honest is dropped."""
    two = item(any_(b"\x7d\x01", b"\x7d\x02"), origin=(1, 3), key="k")
    data = update(
        block(2, 0, item("a", origin=(8, 0)), two),
        block(1, 0, item("a", origin=(9, 0)), VALUES),
        deletes=[(1, 1, 4), (2, 1, 3)],
    )
    document = opened()
    assert document.admit(data, scan(data, LIMITS)) is Verdict.AHEAD
    for client in (9, 8):
        late = one(client, 0, "late")
        assert document.admit(late, scan(late, LIMITS)) is Verdict.NEW
    assert document.clocks == {1: 4, 2: 3, 8: 4, 9: 4}
    assert list(document.deleted) == [(1, 1, 4), (2, 1, 3)]
    assert not document.waiting


# On a connection


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.anyio
async def test_others_have_their_turn_between_portions() -> None:
    """What comes behind a long update waits for all of it; others don't."""
    async with Hub(MemoryStore(), limits=quick()) as hub:
        writer, reader, other = await join(hub), await join(hub), await join(hub, "other")
        document = hub.rooms["doc"].document
        writer.say(update_frame(keys(3 * MANY)))
        writer.say(update_frame(one(1, 3 * MANY, "y", parent="text")))
        others: list[int] = []
        while document.clocks.get(1, 0) <= 3 * MANY:
            other.type("x")
            if document.clocks.get(1):
                others.append(document.clocks[1])
            await anyio.lowlevel.checkpoint()
        assert len(set(others)) > 3 * MANY // MARKED_STRUCTS // 2  # trio's turns come at random
        assert len(str(other.text)) >= len(others)
        await reader.shows("y")
        assert len(reader.doc.get("map", type=pycrdt.Map)) == 3 * MANY
        assert hub.stats.rejected == {}


@pytest.mark.anyio
async def test_what_is_left_out_is_asked_for() -> None:
    """The client brings it again, with what it lacked, and nothing was held meanwhile."""
    async with Hub(MemoryStore(), limits=quick()) as hub:
        client, reader = await join(hub), await join(hub)
        document = hub.rooms["doc"].document
        client.say(update_frame(typed(MANY, first=3)))
        await until(lambda: [m for m in client.read() if isinstance(m, SyncStep1)])
        assert not document.waiting
        assert document.clocks == {}
        client.say(step_2_frame(typed(MANY + 3)))
        await until(lambda: document.clocks == {1: MANY + 3})
        await reader.shows("x" * (MANY + 3))


@pytest.mark.anyio
async def test_nothing_of_several_clients_is_held() -> None:
    """Of a long update what fits is let in, in its order, and the rest is asked for."""
    data = update(
        block(3, 0, item("x", origin=(1, MANY)), item("y", origin=(2, 0))),
        block(2, 0, item("z", origin=(9, 0))),
        block(1, 0, *[item(any_(b"\x7d\x01"), parent="map", key=f"k{n}") for n in range(MANY)]),
        block(0, 0, item("text")),
    )
    async with Hub(MemoryStore(), limits=quick()) as hub:
        client = await join(hub)
        client.say(update_frame(one(1, MANY, "behind")))
        document = hub.rooms["doc"].document
        assert document.waiting
        client.read()
        client.say(step_2_frame(data))
        await until(lambda: document.clocks == {0: 4, 1: MANY + 6})
        await until(lambda: [m for m in client.read() if isinstance(m, SyncStep1)])
        client.say(step_2_frame(data))
        await until(lambda: document.clocks == {0: 4, 1: MANY + 6, 3: 1})
        assert not document.waiting


@pytest.mark.anyio
async def test_a_portion_that_may_not_enter() -> None:
    """What is before it has entered, and stays; its author is sent away with the reason."""
    async with Hub(MemoryStore(), limits=quick()) as hub:
        client = await join(hub)
        bad = item(any_(b"\x7d\x01", b"\x7d\x02"), parent="map", key="k")
        plain = [item(any_(b"\x7d\x03"), parent="map", key=f"a{n}") for n in range(MANY)]
        client.say(update_frame(update(block(1, 0, *plain, bad))))
        client.type("behind it")
        assert (await client.gone())[0] == 4422
        assert hub.rooms["doc"].document.clocks == {1: MANY + 1 - MARKED_STRUCTS}


@pytest.mark.anyio
async def test_a_full_document_gets_no_portion() -> None:
    """A long update that would be too much is refused as a whole."""
    async with Hub(MemoryStore(), limits=quick(max_document_bytes=20_000)) as hub:
        client = await join(hub)
        client.say(update_frame(keys(MANY)))
        assert (await client.gone())[0] == 4413
        assert hub.rooms["doc"].document.clocks == {}


@pytest.mark.anyio
async def test_who_goes_meanwhile() -> None:
    """What has entered stays, the rest comes when its author comes back."""
    async with Hub(MemoryStore(), limits=quick()) as hub:
        client, reader = await join(hub), await join(hub)
        document = hub.rooms["doc"].document
        client.say(update_frame(keys(3 * MANY)))
        await until(lambda: document.clocks.get(1))
        client.connection.lost(1006)
        await until(lambda: not client.connection.gives_way)
        assert 0 < document.clocks[1] < 3 * MANY
        again = await join(hub)
        again.say(step_2_frame(keys(3 * MANY)))
        await until(lambda: document.clocks[1] == 3 * MANY)
        await until(
            lambda: reader.read() or len(reader.doc.get("map", type=pycrdt.Map)) == 3 * MANY
        )
