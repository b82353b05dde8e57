"""Long updates of those whose edits are decided on: part by part, with turns for everybody else."""

from typing import Any

import anyio.lowlevel
import pycrdt
import pytest

from crdtsync import dividing
from crdtsync.channels.rules import ChannelRules
from crdtsync.channels.service import Channels
from crdtsync.clock import ManualClock
from crdtsync.dividing import LONG_STRUCTS, LONG_TOGETHER, PORTION_DELETES
from crdtsync.edit import Act, Edit
from crdtsync.gate import ALLOW, ContentGate, Decision, Deny, Gate, Principal
from crdtsync.hub import Hub
from crdtsync.protocol import AuthMessage, update_frame
from crdtsync.refused.base import NoQuarantine, RefusedUpdate
from crdtsync.roles import READ, Rule
from crdtsync.store.memory import MemoryStore
from crdtsync.structs import Scan
from crdtsync.update import MARKED_STRUCTS
from tests.unit.engine import join, quick, until
from tests.unit.wire import any_, block, item, one, string, update

from .kit import restricted

pytestmark = pytest.mark.anyio

MANY = LONG_STRUCTS + 1
ID = "018bcfe5-6800-7000-8000-000000000001"
NOON_MS = ManualClock().time_ms()
MAP = restricted(Rule(root="map"))


class Shelf(NoQuarantine):
    """A quarantine that remembers what it is handed."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[RefusedUpdate] = []

    def keep(self, refused: RefusedUpdate, /) -> None:
        self.kept.append(refused)


class Asked:
    """A gate for whole updates that remembers what it was asked."""

    def __init__(self, decision: Decision = ALLOW) -> None:
        self.decision = decision
        self.updates: list[bytes] = []

    def check(self, principal: Principal, document: str, update: bytes, scan: Scan) -> Decision:
        self.updates.append(update)
        return self.decision


class Adding:
    """A gate for content that lets nobody delete, and remembers how much it was told of."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def check_edit(self, principal: Principal, document: str, edit: Edit) -> Decision:
        self.sizes.append(edit.size_bytes)
        acts = {each.act for each in edit.touches}
        return Deny("nobody deletes") if Act.DELETE in acts else ALLOW


def key(n: int) -> bytes:
    return item(any_(b"\x7d\x01"), parent="map", key=f"k{n}")


def keys(count: int, *more: bytes) -> bytes:
    """Return a map's keys, and more behind them."""
    return update(block(1, 0, *map(key, range(count)), *more))


def hub_for(kind: str, shelf: Shelf | None = None, **limits: Any) -> tuple[Hub, Principal]:
    """Return a hub in which somebody's edits are decided on, and that one."""
    gate: Gate | ContentGate | None = {"gate": Asked(), "content": Adding()}.get(kind)
    rules = ChannelRules(chat=("*",)) if kind == "chat" else ChannelRules()
    hub = Hub(
        MemoryStore(),
        gate=gate,
        channels=Channels(rules),
        limits=quick(**limits),
        quarantine=shelf or Shelf(),
        clock=ManualClock(),
    )
    return hub, MAP if kind == "role" else Principal(id="ann")


@pytest.mark.parametrize("kind", ["role", "gate", "content", "chat"])
async def test_others_have_their_turn(kind: str) -> None:
    """While a long update is decided on, and let in, edits of another document go on."""
    hub, ann = hub_for(kind)
    async with hub:
        writer, other = await join(hub, principal=ann), await join(hub, "other")
        document = hub.rooms["doc"].document
        assert not writer.connection.free
        writer.say(update_frame(keys(3 * MANY)))
        writer.say(update_frame(one(1, 3 * MANY, "y", parent="map", key="behind it")))
        turns: set[int] = set()
        while document.clocks.get(1, 0) <= 3 * MANY:
            other.type("x")
            turns.add(document.clocks.get(1, 0))
            await anyio.lowlevel.checkpoint()
        assert len(turns) > 3 * MANY // MARKED_STRUCTS // 2  # trio's turns come at random
        assert hub.stats.rejected == {}


async def test_many_deletions() -> None:
    """They take turns as well."""
    count = 3 * PORTION_DELETES
    hub, ann = hub_for("content")
    hub_ok, _ = hub_for("role")
    text = restricted(Rule(root="text"), Rule(root="map"))
    data = update(deletes=[(1, 2 * n, 2 * n + 1) for n in range(count)])
    for each, principal, refused in ((hub_ok, text, False), (hub, ann, True)):
        async with each:
            writer = await join(each, principal=principal)
            document = each.rooms["doc"].document
            writer.say(update_frame(keys(1)))  # two roots: no short way
            writer.say(update_frame(one(1, 1, "x" * 2 * count, parent="text")))
            writer.say(update_frame(data))
            if refused:
                assert (await writer.gone())[0] == 4409
                assert not document.deleted
            else:
                await until(lambda: document.deleted.covers([(1, 0, 1), (1, 2, 3)]))  # noqa: B023
                await until(lambda: not writer.connection.gives_way)  # noqa: B023
                assert sum(end - start for _, start, end in document.deleted) == count


async def test_what_may_not_enter_ends_it() -> None:
    """What came before it is in; it and all behind it are not; the whole is kept, once."""
    shelf = Shelf()
    hub, ann = hub_for("role", shelf)
    data = keys(2 * MANY, item(string("no"), parent="text"), *map(key, range(2 * MANY)))
    async with hub:
        writer = await join(hub, principal=ann)
        writer.say(update_frame(data))
        code, reason = await writer.gone()
        assert code == 4409
        assert 'you may not write to "text"' in reason
        let_in = hub.rooms["doc"].document.clocks[1]
        assert 2 * MANY - 2 * MARKED_STRUCTS < let_in <= 2 * MANY
        assert [(each.update, each.late) for each in shelf.kept] == [(data, False)]


@pytest.mark.parametrize("kind", ["reader", "gate"])
async def test_what_is_refused_outright_is_not_divided(kind: str) -> None:
    """Whoever may write nothing, and what a gate says no to: nothing is let in, one is kept."""
    shelf = Shelf()
    gate = Asked(Deny("no")) if kind == "gate" else None
    principal = Principal(id="ann", role=READ if kind == "reader" else None)
    data = keys(MANY)
    async with Hub(MemoryStore(), gate=gate, limits=quick(), quarantine=shelf) as hub:
        writer = await join(hub, principal=principal)
        writer.say(update_frame(data))
        if kind == "gate":
            assert (await writer.gone())[0] == 4409
        else:
            await until(lambda: [m for m in writer.read() if isinstance(m, AuthMessage)])
        assert hub.rooms["doc"].document.clocks == {}
        assert [each.update for each in shelf.kept] == [data]


async def test_a_gate_is_asked_about_the_whole() -> None:
    """One for whole updates is, once; one for content about each part, with what came before."""
    data = keys(MANY)
    asked, adding = Asked(), Adding()
    for gate in (asked, adding):
        async with Hub(MemoryStore(), gate=gate, limits=quick()) as hub:
            writer = await join(hub)
            writer.say(update_frame(data))
            document = hub.rooms["doc"].document
            await until(lambda: document.clocks == {1: MANY})  # noqa: B023
    assert asked.updates == [data]
    assert len(adding.sizes) == MANY // MARKED_STRUCTS + 1
    assert adding.sizes == sorted(adding.sizes)
    assert len(data) * 0.9 < adding.sizes[-1] < len(data)


async def test_how_much_an_update_inserts_counts_over_its_parts() -> None:
    """So ``max_update_bytes`` means the same for a long one, also where there is a short way."""
    typed = [item(string("x"), origin=(1, n)) for n in range(MANY - 1)]
    text = update(block(1, 0, item(string("x"), parent="text"), *typed))
    for root, data in (("map", keys(MANY)), ("text", text)):
        for limit, code in ((len(data), None), (len(data) // 2, 4409)):
            rule = Rule(root=root, max_update_bytes=limit)
            async with Hub(MemoryStore(), limits=quick()) as hub:
                writer = await join(hub, principal=restricted(rule))
                writer.say(update_frame(data))
                document = hub.rooms["doc"].document
                if code is None:
                    await until(lambda: document.clocks == {1: MANY})  # noqa: B023
                else:
                    assert (await writer.gone())[0] == code
                    assert document.clocks.get(1, 0) < 0.6 * MANY


async def test_a_full_document_gets_no_part() -> None:
    """A long update that would be too much is refused as a whole."""
    hub, ann = hub_for("role", max_document_bytes=20_000)
    async with hub:
        writer = await join(hub, principal=ann)
        writer.say(update_frame(keys(MANY)))
        assert (await writer.gone())[0] == 4413
        assert hub.rooms["doc"].document.clocks == {}


async def test_an_index_that_is_made_on_a_thread() -> None:
    """The first part waits for it, and the others behind that; others go on."""
    async with Hub(MemoryStore(), limits=quick()) as hub:
        free = await join(hub)
        free.say(update_frame(one(7, 0, "x" * 200_000, parent="text")))
        free.say(update_frame(one(7, 200_000, "y", parent="other")))
        writer = await join(hub, principal=MAP)
        document = hub.rooms["doc"].document
        writer.say(update_frame(keys(2 * MANY)))
        writer.say(update_frame(one(1, 2 * MANY, "z", parent="map", key="z")))
        await until(lambda: document.clocks.get(1) == 2 * MANY + 1)
        assert hub.rooms["doc"].judge.index is not None
        assert not writer.connection.gives_way
        assert hub.stats.rejected == {}


async def test_a_role_that_changes_meanwhile() -> None:
    """Each part is decided on by what its author may do then; the whole is kept."""
    shelf = Shelf()
    hub, ann = hub_for("role", shelf)
    data = keys(6 * MANY)
    async with hub:
        writer = await join(hub, principal=ann)
        document = hub.rooms["doc"].document
        writer.say(update_frame(data))
        await until(lambda: document.clocks.get(1))
        writer.connection.become(restricted(Rule(root="text")))
        assert (await writer.gone())[0] == 4409
        assert 0 < document.clocks[1] < 6 * MANY
        assert [each.update for each in shelf.kept] == [data]


def edited_twice(between: int) -> bytes:
    """Return a message's last text, the one before it deleted, with keys of a map between."""
    said = {"author": "ann", "text": "last", "time": NOON_MS, "type": "text"}
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=1)
    chat = doc.get("chat", type=pycrdt.Map)
    chat[ID] = said | {"text": "first"}
    filler = doc.get("map", type=pycrdt.Map)
    with doc.transaction():
        for n in range(between):
            filler[f"k{n}"] = n
    chat[ID] = said | {"edited": NOON_MS + 1}
    return doc.get_update()


@pytest.mark.parametrize("most", [LONG_TOGETHER, MANY])
async def test_a_message_is_not_divided(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What replaces a message that one part would delete comes with it, or neither does."""
    monkeypatch.setattr(dividing, "LONG_TOGETHER", most)
    hub, ann = hub_for("chat")
    async with hub:
        writer = await join(hub, principal=ann)
        room = hub.rooms["doc"]
        writer.say(update_frame(edited_twice(2 * MANY)))
        if most > 2 * MANY:
            await until(lambda: room.document.clocks)
            assert room.document.clocks == {1: 2 * MANY + 2}
            await hub.committed(room)
            assert room.export()["chat"].value[ID]["text"] == "last"
        else:
            code, reason = await writer.gone()
            assert code == 4409
            assert "too much at once" in reason
            assert room.document.clocks == {}
