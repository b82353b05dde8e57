"""``hub.documents``: live edits, conditions, permissions, requests that come twice."""

from random import Random
from typing import Any
from unittest.mock import patch

import anyio
import pycrdt
import pytest

from crdtsync.audit import Event, What
from crdtsync.authoring.answers import Kept, MemoryAnswers, Scope
from crdtsync.authoring.model import (
    ConditionFailed,
    InvalidOperation,
    KeyBusy,
    KeyReused,
    NotEditable,
    NothingToCreate,
)
from crdtsync.authoring.running import MAX_TRIES, MAX_WAITING
from crdtsync.batch import Editor
from crdtsync.clock import ManualClock
from crdtsync.documents.model import DocumentExists, DocumentNotFound
from crdtsync.edit import Edit
from crdtsync.errors import (
    CloseCode,
    DocumentQuarantined,
    EditRefused,
    InvalidDocumentName,
    InvalidUpdate,
    MessageTooLarge,
    StoreDamaged,
    TooManyRequests,
    Unavailable,
)
from crdtsync.gate import ALLOW, READ_ONLY, Decision, Deny, Principal
from crdtsync.guard import Work
from crdtsync.guarding import DocumentGuard
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.model import UnknownRoot, WrongKind
from crdtsync.history.service import Histories
from crdtsync.history.worker import Workers
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.protocol import update_frame
from crdtsync.roles import COMMENT, READ, Role, Rule
from crdtsync.room import Room
from crdtsync.state_vector import read_state_vector
from crdtsync.store.base import Damage, Loaded, Record
from crdtsync.store.memory import MemoryStore
from crdtsync.update import scan
from tests.unit.engine import Client, TestStore, join, until
from tests.unit.wire import one
from tests.unit.wire import update as wire_update

from .model import Author, Model

pytestmark = pytest.mark.anyio

ADA = Principal(id="ada", name="Ada")
BODY: Any = {"text": {"kind": "text", "value": "Hello"}}


def typed(text: str, index: int | None = None, root: str = "text") -> dict[str, Any]:
    return {"op": "insert", "path": [root], "index": index, "text": text}


async def content(hub: Hub, name: str = "doc") -> Any:
    return (await hub.documents.read(name)).value


def write(client: Client, text: str, index: int = 0, root: str = "text") -> None:
    """Type something, and send it."""
    before = client.doc.get_state()
    client.doc.get(root, type=pycrdt.Text).insert(index, text)
    client.say(update_frame(client.doc.get_update(before)))


def vector(encoded: bytes) -> dict[int, int]:
    return read_state_vector(encoded, Limits())


async def ends(client: Client) -> None:
    """Wait until a client has seen the last edit."""

    def seen() -> bool:
        client.read()
        return str(client.doc.get("seen", type=pycrdt.Text)).endswith("end")

    await until(seen)


# Reading and making


@pytest.mark.parametrize(
    ("given", "root", "shown"),
    [
        ("Hi 😀", "t", {"kind": "text", "delta": [{"insert": "Hi 😀"}]}),
        ([{"insert": "Hi"}], "t", {"kind": "text", "delta": [{"insert": "Hi"}]}),
        ({"t": {"kind": "map", "value": {"a": [1]}}}, None, {"kind": "map", "value": {"a": [1]}}),
        (
            {"t": {"kind": "xml", "children": [{"name": "p"}]}},
            None,
            {"kind": "xml", "children": [{"name": "p", "attributes": {}, "children": []}]},
        ),
        (one(1, 0, "raw", parent="t"), None, {"kind": "text", "delta": [{"insert": "raw"}]}),
    ],
)
async def test_create(hub: Hub, given: Any, root: str | None, shown: Any) -> None:
    """A document is made of rich roots, of a text as characters or delta, or of an update."""
    made = await hub.documents.create("doc", given, ADA, root=root)
    assert (made.created, made.changed, made.sequence) == (True, True, 1)
    read = await hub.documents.read("doc", format="rich")
    assert read.value == {"t": shown}
    assert (read.sequence, read.state_vector, read.mark) == (1, made.state_vector, made.mark)
    with pytest.raises(DocumentExists):
        await hub.documents.create("doc", given, ADA, root=root)
    records = (await hub.store.load("doc")).records
    assert [(each.author, each.sequence) for each in records] == [("ada", 1)]


@pytest.mark.parametrize(
    "given",
    [{}, {"t": {"kind": "text", "value": ""}}, {"t": {"kind": "map", "value": {}}}, b"\0\0"],
)
async def test_nothing_to_create(hub: Hub, given: Any) -> None:
    """A document is what is in it: of nothing there is none."""
    with pytest.raises(NothingToCreate):
        await hub.documents.create("doc", given)
    assert await hub.store.info("doc") is None


async def test_formats(hub: Hub) -> None:
    """Content is had in each form that history has, and as an update."""
    await hub.documents.create("doc", BODY | {"page": {"kind": "xml", "children": [{"name": "P"}]}})
    read = hub.documents.read
    assert (await read("doc")).value == {"text": "Hello", "page": "<P></P>"}
    assert (await read("doc", root="text")).value == {"text": "Hello"}
    assert (await read("doc", format="text")).value == "Hello"
    assert (await read("doc", format="xml")).value == "<P></P>"
    delta = {"kind": "text", "delta": [{"insert": "Hello"}]}
    assert (await read("doc", format="delta")).value == {"text": delta}
    update = (await read("doc", format="update")).value
    copy: pycrdt.Doc[Any] = pycrdt.Doc()
    copy.apply_update(update)
    assert str(copy.get("text", type=pycrdt.Text)) == "Hello"
    with pytest.raises(UnknownRoot):
        await read("doc", root="none")
    with pytest.raises(WrongKind):
        await read("doc", format="delta", root="page")
    with pytest.raises(DocumentNotFound):
        await read("none")
    with pytest.raises(InvalidDocumentName):
        await read("")


async def test_what_a_state_vector_is_of(hub: Hub) -> None:
    """A state vector is that of the content, whatever is on its way into the store."""
    store = TestStore()
    async with Hub(store) as hub:
        await hub.edit("doc", one(1, 0, "abc", parent="text"))
        store.gate = anyio.Event()
        client = await join(hub)
        write(client, "x")
        read = await hub.documents.read("doc")
        assert read.value == {"text": "abc"}
        copy: pycrdt.Doc[Any] = pycrdt.Doc()
        copy.apply_update((await hub.documents.read("doc", format="update")).value)
        assert read.state_vector == copy.get_state()
        store.gate.set()


# Editing


async def test_an_edit_is_live_attributed_and_stored(hub: Hub) -> None:
    """An edit is committed when the answer comes, its author's, and shown to who is there."""
    await hub.documents.create("doc", BODY)
    client = await join(hub)
    edited = await hub.documents.edit("doc", [typed(", you", 5)], ADA)
    assert (edited.sequence, edited.changed, edited.created) == (2, True, False)
    await client.shows("Hello, you")
    assert (await hub.store.load("doc")).records[-1].author == "ada"
    assert edited.state_vector == client.doc.get_state()


async def test_all_or_nothing(hub: Hub) -> None:
    """Where one operation is wrong, none is done, nothing is stored, and it is named."""
    await hub.documents.create("doc", BODY)
    with pytest.raises(InvalidOperation, match="operation 1: the position is beyond"):
        await hub.documents.edit("doc", [typed("x"), typed("y", 99)])
    assert await content(hub) == {"text": "Hello"}
    assert [each.sequence for each in (await hub.store.load("doc")).records] == [1]


async def test_what_changes_nothing(hub: Hub) -> None:
    """An edit without any effect is no record."""
    await hub.documents.create("doc", BODY)
    edited = await hub.documents.edit("doc", [])
    assert (edited.changed, edited.sequence, edited.mark) == (False, 1, "")
    edited = await hub.documents.edit("doc", [typed("", 2)])
    assert (edited.changed, edited.sequence) == (False, 1)


async def test_one_client_id_for_many_edits(hub: Hub) -> None:
    """A document's state vector doesn't grow with each edit, nor is a clock given twice."""
    await hub.documents.create("doc", BODY)
    for number in range(5):
        await hub.documents.edit("doc", [typed(str(number))])
    assert await content(hub) == {"text": "Hello01234"}
    assert len(hub.rooms["doc"].document.clocks) == 1
    refused = Principal(read_only=True)
    with pytest.raises(EditRefused):
        await hub.documents.edit("doc", [typed("lost")], refused)
    await hub.documents.edit("doc", [typed("!")])
    assert await content(hub) == {"text": "Hello01234!"}
    assert await hub.documents.delete("doc")
    await hub.documents.create("doc", BODY)
    before = scan((await hub.documents.read("doc", format="update")).value, Limits())
    assert len(before.ranges) == 1


async def test_a_client_id_is_never_a_deleted_document_s(hub: Hub) -> None:
    """Who deletes by another way, too, finds a new document with another client id in it."""
    await hub.documents.create("doc", BODY)
    (before,) = hub.rooms["doc"].document.clocks
    await hub.delete("doc")
    await hub.documents.create("doc", BODY)
    (after,) = hub.rooms["doc"].document.clocks
    assert before != after


async def test_edits_at_once(hub: Hub) -> None:
    """Many edits at the same time are all done, one after the other."""
    await hub.documents.create("doc", BODY)
    async with anyio.create_task_group() as tasks:
        for number in range(40):
            tasks.start_soon(hub.documents.edit, "doc", [typed(f"<{number}>")])
    text = (await content(hub))["text"]
    assert sorted(text[5:].strip("<>").split("><"), key=int) == [str(n) for n in range(40)]
    assert len(hub.rooms["doc"].document.clocks) == 1


async def test_too_many_at_once(hub: Hub) -> None:
    """So many edits of one document wait for one another, and no more."""
    await hub.documents.create("doc", BODY)
    refused = 0

    async def edit() -> None:
        nonlocal refused
        try:
            await hub.documents.edit("doc", [typed("x")])
        except TooManyRequests:
            refused += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(MAX_WAITING + 3):
            tasks.start_soon(edit)
    assert refused == 3
    assert await content(hub) == {"text": "Hello" + "x" * MAX_WAITING}


async def test_who_is_not_there(hub: Hub) -> None:
    """What doesn't exist can't be edited, and isn't made by trying."""
    for call in (
        hub.documents.edit("doc", [typed("x")]),
        hub.documents.apply("doc", one(1, 0, "x")),
    ):
        with pytest.raises(DocumentNotFound):
            await call
    assert await hub.store.info("doc") is None
    assert not await hub.documents.delete("doc")


async def test_a_raw_update(hub: Hub) -> None:
    """An update is let in whole or not at all; what is known already changes nothing."""
    await hub.documents.create("doc", BODY)
    update = one(9, 0, "raw", parent="more")
    assert (await hub.documents.apply("doc", update, ADA)).changed
    assert not (await hub.documents.apply("doc", update, ADA)).changed
    assert (await content(hub))["more"] == "raw"
    for bad in (b"", b"\1\2\3", one(9, 7, "gap", origin=(9, 6)), one(5, 0, "x", origin=(77, 0))):
        with pytest.raises(InvalidUpdate):
            await hub.documents.apply("doc", bad, ADA)
    with pytest.raises(InvalidUpdate):
        await hub.documents.create("new", one(5, 0, "x", origin=(77, 0)), ADA)
    assert await hub.store.info("new") is None


async def test_what_the_library_cannot_carry(hub: Hub) -> None:
    """A document that is kept by its bytes is read, and edited by updates alone."""
    await hub.documents.create("doc", {"m": {"kind": "map", "value": {"a": 1}}})
    big = bytes.fromhex("01 01 09 00 28 01 01 6d 01 62 01 7a 7f ff ff ff ff ff ff ff 00")
    await hub.documents.apply("doc", big)
    with pytest.raises(NotEditable, match="big integers"):
        await hub.documents.edit("doc", [{"op": "remove", "path": ["m"], "key": "a"}])
    assert (await content(hub))["m"] == {"a": 1, "b": 2**63 - 1}


async def test_types_nested_too_deeply(hub: Hub) -> None:
    """What the document's own limit refuses is refused here, too."""
    deep: Any = {"kind": "array", "value": []}
    for _ in range(hub.limits.max_type_depth + 1):
        deep = {"kind": "array", "value": [deep]}
    with pytest.raises(InvalidUpdate, match="nested"):
        await hub.documents.create("doc", {"a": deep})
    assert await hub.store.info("doc") is None


async def test_max_edit_parts() -> None:
    """So many parts one request has, and no more: of all kinds together."""
    async with Hub(MemoryStore(), limits=Limits(max_edit_parts=10)) as hub:
        await hub.documents.create("doc", {"a": {"kind": "array", "value": [[1, 2, 3], 4, 5]}})
        operation = {"op": "insert", "path": ["a"], "values": [0] * 9}
        await hub.documents.edit("doc", [operation])
        with pytest.raises(InvalidOperation, match="over 10 parts"):
            await hub.documents.edit("doc", [operation, typed("x", root="t")])
        with pytest.raises(InvalidOperation, match="over 10 parts"):
            await hub.documents.create("b", {"a": {"kind": "array", "value": [[0] * 10]}})


async def test_large_documents_are_worked_on_elsewhere(hub: Hub) -> None:
    """Where a document is large, another process works on it; mistakes are told all the same."""
    await hub.documents.create("doc", "é😀" * 30_000, root="text")
    called: list[str] = []
    run = Workers.run

    async def noted(self: Workers, function: Any, *args: Any) -> Any:
        called.append(function.__name__)
        return await run(self, function, *args)

    with patch.object(Workers, "run", noted):
        await _large(hub)
    assert called == ["apply_operations", "apply_operations", "read_content"]


@pytest.mark.parametrize(
    ("value", "apart"),
    [
        ("x" * 1000, False),
        ([[[1]]] * 100, False),
        ("x" * 40_000, True),
        ({"k" * 20_000: {"k" * 20_000: 1}}, True),
        ([0.5] * 9_000, True),
        ([{"a": "bcdefghij"}] * 3_000, True),
    ],
    ids=["text", "little", "long text", "long keys", "many", "many objects"],
)
async def test_large_values_are_worked_on_elsewhere(hub: Hub, value: Any, apart: bool) -> None:
    """Where an edit brings much, another process makes it; what is small is made here."""
    await hub.documents.create("doc", BODY)
    called: list[str] = []
    run = Workers.run

    async def noted(self: Workers, function: Any, *args: Any) -> Any:
        called.append(function.__name__)
        return await run(self, function, *args)

    with patch.object(Workers, "run", noted):
        await hub.documents.edit(
            "doc", [{"op": "insert", "path": ["list"], "index": 0, "values": [value]}]
        )
    assert called == ["apply_operations"] * apart
    assert (await content(hub))["list"] == [value]


async def _large(hub: Hub) -> None:
    edited = await hub.documents.edit("doc", [typed("x", 3), typed("y", 90_001)])
    assert edited.changed
    with pytest.raises(InvalidOperation, match="operation 0: the position divides"):
        await hub.documents.edit("doc", [typed("x", 2)])
    text = (await hub.documents.read("doc", format="text")).value
    assert (text[:4], text[-1], len(text)) == ("é😀xé", "y", 60_002)


# Together with people who type


@pytest.mark.parametrize("seed", range(6))
async def test_with_people_who_type(hub: Hub, seed: int) -> None:
    """Random operations beside live typing: everybody sees the same, and nothing is lost."""
    random = Random(seed)
    model = Model()
    author = Author(random, model)
    await hub.documents.create("doc", {"seen": {"kind": "text", "value": "s"}})
    clients = [await join(hub) for _ in range(3)]
    written = ["s"]
    for number in range(12):
        operations = author.operations(3)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.documents.edit, "doc", operations)
            for client in clients:
                seen = client.doc.get("seen", type=pycrdt.Text)
                written.append(f"{number}")
                write(client, f"{number}", random.randint(0, len(str(seen))), "seen")
    meant = model.shown()
    await hub.documents.edit("doc", [typed("end", root="seen")])
    state = (await hub.documents.read("doc", format="rich")).value
    for client in clients:
        await ends(client)
        assert vector(client.doc.get_state()) == vector(
            (await hub.documents.read("doc")).state_vector
        )
    text = state.pop("seen")["delta"][0]["insert"]
    assert sorted(text.removesuffix("end")) == sorted("".join(written))
    shown = {name: root for name, root in state.items() if name in meant}
    assert {name: each.get("kind") for name, each in shown.items()}.keys() == meant.keys()
    for name, root in shown.items():
        if root["kind"] == meant[name]["kind"]:
            assert root == meant[name]


# Conditions


async def test_conditions(hub: Hub) -> None:
    """An edit with a condition is done where the document is as the caller saw it."""
    made = await hub.documents.create("doc", BODY)
    edit = hub.documents.edit
    second = await edit("doc", [typed("1")], if_state_vector=made.state_vector)
    with pytest.raises(ConditionFailed) as caught:
        await edit("doc", [typed("2")], if_state_vector=made.state_vector)
    assert caught.value.state_vector == second.state_vector
    assert caught.value.sequence == 2
    third = await edit("doc", [typed("3")], if_match=["other", second.mark])
    for mark in (made.mark, second.mark, "", "x"):
        with pytest.raises(ConditionFailed):
            await edit("doc", [typed("4")], if_match=[mark])
    await edit("doc", [typed("5")], if_match=["*"])
    assert third.mark
    assert await content(hub) == {"text": "Hello135"}


async def test_deletions_show_in_the_mark(hub: Hub) -> None:
    """A deletion changes no state vector; the mark it does change."""
    made = await hub.documents.create("doc", BODY)
    cut = {"op": "delete", "path": ["text"], "index": 0, "length": 2}
    edited = await hub.documents.edit("doc", [cut])
    assert edited.state_vector == made.state_vector
    assert edited.mark != made.mark
    with pytest.raises(ConditionFailed):
        await hub.documents.edit("doc", [typed("x", 5)], if_match=[made.mark])


async def test_a_condition_holds_when_the_edit_enters() -> None:
    """What comes in while an edit is worked out, or waits for the store, fails its condition."""
    store = TestStore()
    async with Hub(store) as hub:
        made = await hub.documents.create("doc", BODY)
        client = await join(hub)
        for condition in ({"if_state_vector": made.state_vector}, {"if_match": [made.mark]}):
            store.gate = anyio.Event()
            write(client, "x")
            with pytest.raises(ConditionFailed):
                await hub.documents.edit("doc", [typed("y", 5)], **condition)
            store.gate.set()
            made = await hub.documents.edit("doc", [typed("z")])


async def test_a_condition_fails_late(hub: Hub) -> None:
    """So does what comes in between the last look and the working out of it."""
    made = await hub.documents.create("doc", BODY)
    keep = MemoryAnswers.keep

    async def and_then(self: Any, scope: Scope, request: bytes, update: bytes) -> None:
        await keep(self, scope, request, update)
        await hub.edit("doc", one(9, 0, "late", parent="more"))

    with patch.object(MemoryAnswers, "keep", and_then), pytest.raises(ConditionFailed):
        await hub.documents.edit("doc", [typed("y")], if_match=[made.mark], idempotency_key="k")
    assert await content(hub) == {"text": "Hello", "more": "late"}
    # Nothing was done, so the key is free.
    assert (await hub.documents.edit("doc", [typed("z")], idempotency_key="k")).changed


async def test_any_state_will_do(hub: Hub) -> None:
    """With ``*`` a document only has to be there, however much others write."""
    await hub.documents.create("doc", BODY)
    keep, written = MemoryAnswers.keep, 0

    async def and_then(self: Any, scope: Scope, request: bytes, update: bytes) -> None:
        nonlocal written
        await keep(self, scope, request, update)
        written += 1
        await hub.edit("doc", one(8 + written, 0, "late", parent="more"))

    with patch.object(MemoryAnswers, "keep", and_then):
        await hub.documents.edit("doc", [typed("y")], if_match=["*"], idempotency_key="k")
    assert written == 1
    assert await content(hub) == {"text": "Helloy", "more": "late"}


async def test_a_document_that_changes_all_the_time(hub: Hub) -> None:
    """An edit for one state is given up then; its key is free for another."""
    await hub.edit("doc", one(9, 0, "abcdefgh"))
    state = (await hub.documents.read("doc")).state_vector
    keep, deleted = MemoryAnswers.keep, 0

    async def and_then(self: Any, scope: Scope, request: bytes, update: bytes) -> None:
        nonlocal deleted
        await keep(self, scope, request, update)
        await hub.edit("doc", wire_update(deletes=[(9, deleted, deleted + 1)]))
        deleted += 1

    edit = hub.documents.edit
    with (
        patch.object(MemoryAnswers, "keep", and_then),
        pytest.raises(ConditionFailed, match="all the time"),
    ):
        await edit("doc", [typed("y")], if_state_vector=state, idempotency_key="k")
    assert deleted == MAX_TRIES
    assert not (await edit("doc", [typed("z")], idempotency_key="k")).replayed


async def test_others_in_between_leave_no_mark(hub: Hub) -> None:
    """Where others wrote meanwhile, the answer names no state that the caller would not know."""
    await hub.documents.create("doc", BODY)
    keep = MemoryAnswers.keep

    async def and_then(self: Any, scope: Scope, request: bytes, update: bytes) -> None:
        await keep(self, scope, request, update)
        await hub.edit("doc", one(9, 0, "late", parent="more"))

    with patch.object(MemoryAnswers, "keep", and_then):
        edited = await hub.documents.edit("doc", [typed("y")], idempotency_key="k")
    assert (edited.mark, edited.sequence) == ("", 3)


# Who may


async def test_a_commenter_writes_comments_alone(hub: Hub) -> None:
    """A role's rules hold for operations and updates: by root, and by key."""
    await hub.documents.create("doc", BODY | {"comments": {"kind": "array", "value": [1]}})
    eve = Principal(id="eve", role=COMMENT)
    comment = {"op": "insert", "path": ["comments"], "values": ["mine"]}
    await hub.documents.edit("doc", [comment], eve)
    with pytest.raises(EditRefused, match='you may not write to "text"'):
        await hub.documents.edit("doc", [comment, typed("x")], eve)
    with pytest.raises(EditRefused):
        await hub.documents.apply("doc", one(5, 0, "x", parent="text"), eve)
    with pytest.raises(EditRefused):
        await hub.documents.create("new", BODY, eve)
    assert await content(hub) == {"text": "Hello", "comments": [1, "mine"]}
    room = hub.rooms["doc"]
    assert room.document.judge is None, "the index is dropped when nobody needs it"
    own = Principal(id="me", role=Role(name="own", write=(Rule(root="m", own_key=True),)))
    await hub.documents.edit("doc", [{"op": "set", "path": ["m"], "key": "me", "value": 1}], own)
    with pytest.raises(EditRefused, match="your own key"):
        await hub.documents.edit("doc", [{"op": "set", "path": ["m"], "key": "x", "value": 1}], own)


async def test_typing_and_deleting_at_once_by_rules(hub: Hub) -> None:
    """What one request inserts and deletes again is judged by its place like all else."""
    await hub.documents.create("doc", BODY | {"comments": {"kind": "text", "value": "c"}})
    eve = Principal(id="eve", role=COMMENT)
    cut = {"op": "delete", "path": ["comments"], "index": 1, "length": 2}
    await hub.documents.edit("doc", [typed("abc", 1, "comments"), cut], eve)
    assert (await content(hub))["comments"] == "cc"
    shared = {"kind": "map", "value": {"a": {"kind": "text", "value": "within"}}}
    put = {"op": "insert", "path": ["comments"], "index": 0, "embed": shared}
    await hub.documents.edit("doc", [put, cut | {"index": 0}], eve)
    assert (await content(hub))["comments"] == "c"


async def test_an_index_that_is_made_apart(hub: Hub) -> None:
    """An edit by rules waits for the index of a large document, and is decided then."""
    await hub.documents.create("doc", BODY | {"comments": {"kind": "array", "value": [1]}})
    eve = Principal(id="eve", role=COMMENT)
    comment = {"op": "insert", "path": ["comments"], "values": ["mine"]}
    with patch("crdtsync.judge.INDEX_HERE_BYTES", -1), patch("crdtsync.apart.INDEX_HERE_BYTES", 0):
        await hub.documents.edit("doc", [comment], eve)
        with pytest.raises(EditRefused):
            await hub.documents.edit("doc", [typed("x")], eve)
    assert (await content(hub))["comments"] == [1, "mine"]


@pytest.mark.parametrize("who", [Principal(id="r", read_only=True), Principal(id="r", role=READ)])
async def test_readers(hub: Hub, who: Principal) -> None:
    """Who may only read writes nothing, and is told so; it is counted."""
    await hub.documents.create("doc", BODY)
    with pytest.raises(EditRefused, match=READ_ONLY):
        await hub.documents.edit("doc", [typed("x")], who)
    assert hub.stats.updates_refused["read-only"] == 1


async def test_a_custom_gate() -> None:
    """A gate of one's own is asked for programs' edits as for clients'."""

    class NoShouting:
        def check_edit(self, principal: Principal, document: str, edit: Edit) -> Decision:
            return Deny("don't shout") if b"HEY!" in edit.update else ALLOW

    class Recorder:
        def __init__(self) -> None:
            self.events: list[Event] = []

        def open(self) -> None: ...
        def close(self) -> None: ...
        def record(self, event: Event) -> None:
            self.events.append(event)

    audit = Recorder()
    async with Hub(MemoryStore(), gate=NoShouting(), audit=audit) as hub:  # type: ignore[arg-type]
        await hub.documents.create("doc", BODY)
        with pytest.raises(EditRefused, match="don't shout"):
            await hub.documents.edit("doc", [typed("HEY!")], ADA)
        assert await content(hub) == {"text": "Hello"}
    denied = [each for each in audit.events if each.what is What.DENIED]
    assert [(each.principal, each.reason) for each in denied] == [("ada", "don't shout")]


async def test_a_full_document() -> None:
    """Nothing is added to a document of ``max_document_bytes``; deleting goes on."""
    async with Hub(MemoryStore(), limits=Limits(max_document_bytes=2000)) as hub:
        await hub.documents.create("doc", BODY)
        with pytest.raises(MessageTooLarge):
            await hub.documents.edit("doc", [typed("x" * 5000)])
        with pytest.raises(MessageTooLarge):
            await hub.documents.create("new", "x" * 5000, root="t")
        cut = {"op": "delete", "path": ["text"], "index": 0}
        assert (await hub.documents.edit("doc", [cut])).changed


async def test_a_damaged_document() -> None:
    """A document whose store is damaged is read-only for programs, too."""
    store = TestStore()
    good = Record("doc", 1, 1_700_000_000_000, "", one(1, 0, "kept"))
    store.damaged = Loaded(None, (good,), Damage("doc", 2, "the checksum is wrong"))
    async with Hub(store) as hub:
        async with hub.open("doc"):
            pass
        await store.append([good])
        for call in (
            hub.documents.edit("doc", [typed("x")]),
            hub.documents.apply("doc", one(2, 0, "x")),
        ):
            with pytest.raises(StoreDamaged):
                await call
        assert (await content(hub))["text"] == "kept"


async def test_a_quarantined_document(hub: Hub, tmp_path: Any) -> None:
    """Nobody reads or writes what the server died over."""
    guard = DocumentGuard(tmp_path)
    async with Hub(MemoryStore(), guard=guard) as hub:
        await hub.documents.create("doc", BODY)
        while guard.quarantined("doc") is None:
            guard.suspect("doc", Work.INTEGRATING, 11)
        for call in (hub.documents.read("doc"), hub.documents.edit("doc", [typed("x")])):
            with pytest.raises(DocumentQuarantined):
                await call


async def test_history_knows_the_author() -> None:
    """What a program edits stands in the history with its principal's name."""
    store = MemoryStore()
    history = Histories(store, HistoryDatabase(None))
    limits = Limits(housekeeping_interval_s=0.01)
    async with Hub(store, history=history, limits=limits) as hub:
        await hub.documents.create("doc", BODY, ADA)
        await until(lambda: "ada" in history.automatic._known)
        blame = await history.blame("doc")
    (run,) = blame["roots"]["text"]["runs"]
    assert (run["by"]["author"], run["by"]["name"]) == ("ada", "Ada")


# Requests that come twice


async def test_a_key_does_it_once(hub: Hub) -> None:
    """The same request with the same key has one effect and one answer."""
    first = await hub.documents.create("doc", BODY, ADA, idempotency_key="c")
    again = await hub.documents.create("doc", BODY, ADA, idempotency_key="c")
    assert again.replayed
    assert (again.sequence, again.mark, again.created) == (first.sequence, first.mark, True)
    for _ in range(3):
        edited = await hub.documents.edit("doc", [typed("x")], ADA, idempotency_key="e")
        assert edited.sequence == 2
    raw = one(9, 0, "r", parent="more")
    for _ in range(2):
        assert (await hub.documents.apply("doc", raw, ADA, idempotency_key="a")).sequence == 3
    assert await content(hub) == {"text": "Hellox", "more": "r"}


async def test_whose_key_it_is(hub: Hub) -> None:
    """Two people, two documents: the same key is another one."""
    await hub.documents.create("doc", BODY)
    await hub.documents.create("other", BODY)
    for who in (ADA, Principal(id="bob")):
        for name in ("doc", "other"):
            edited = await hub.documents.edit(name, [typed("x")], who, idempotency_key="k")
            assert not edited.replayed
    assert await content(hub) == await content(hub, "other") == {"text": "Helloxx"}


async def test_a_key_with_another_request(hub: Hub) -> None:
    """A key that came with another request is refused: by body, by condition, by kind."""
    made = await hub.documents.create("doc", BODY)
    await hub.documents.edit("doc", [typed("x")], idempotency_key="k")
    edit = hub.documents.edit
    for call in (
        edit("doc", [typed("y")], idempotency_key="k"),
        edit("doc", [typed("x")], idempotency_key="k", if_match=[made.mark]),
        edit("doc", [typed("x")], idempotency_key="k", if_state_vector=b"\0"),
        hub.documents.apply("doc", one(9, 0, "r"), idempotency_key="k"),
    ):
        with pytest.raises(KeyReused):
            await call
    assert await content(hub) == {"text": "Hellox"}


async def test_a_key_under_way() -> None:
    """While the first request is worked on, the second one is told so."""
    store = TestStore()
    async with Hub(store) as hub:
        await hub.documents.create("doc", BODY)
        store.gate = anyio.Event()
        async with anyio.create_task_group() as tasks:

            async def first() -> None:
                await hub.documents.edit("doc", [typed("x")], idempotency_key="k")

            tasks.start_soon(first)
            await until(lambda: store.waiting)
            with pytest.raises(KeyBusy):
                await hub.documents.edit("doc", [typed("x")], idempotency_key="k")
            store.gate.set()
        edited = await hub.documents.edit("doc", [typed("x")], idempotency_key="k")
        assert (edited.replayed, edited.sequence) == (True, 2)


async def test_what_failed_may_come_again(hub: Hub) -> None:
    """A request that was refused is not remembered: it is looked at anew."""
    await hub.documents.create("doc", BODY)
    who = Principal(id="x", read_only=True)
    with pytest.raises(EditRefused):
        await hub.documents.edit("doc", [typed("x")], who, idempotency_key="k")
    edited = await hub.documents.edit("doc", [typed("y")], Principal(id="x"), idempotency_key="k")
    assert edited.changed


async def test_a_store_that_fails() -> None:
    """Where the store fails the edit is not done; with the same key it is done then, once."""
    store = TestStore()
    async with Hub(store, limits=Limits(commit_retry_s=0.01)) as hub:
        await hub.documents.create("doc", BODY)
        store.failing = lambda name: name == "doc"
        with pytest.raises(Unavailable):
            await hub.documents.edit("doc", [typed("x")], idempotency_key="k")
        store.failing = lambda name: False
        for _ in range(2):
            edited = await hub.documents.edit("doc", [typed("x")], idempotency_key="k")
            assert edited.sequence == 2
        assert await content(hub) == {"text": "Hellox"}


@pytest.mark.parametrize("committed", [False, True])
async def test_a_crash_in_between(committed: bool) -> None:
    """Killed behind the keeping of the update, before or behind its commit: it is done once."""
    clock = ManualClock()
    answers = MemoryAnswers(Limits(), clock)
    store = MemoryStore()
    caught: list[tuple[Scope, bytes, bytes]] = []

    class Killed(Exception):
        pass

    class Dying(MemoryAnswers):
        async def keep(self, scope: Scope, request: bytes, update: bytes) -> None:
            await answers.keep(scope, request, update)
            caught.append((scope, request, update))
            if not committed:
                raise Killed

        async def done(self, scope: Scope, answer: bytes) -> None:
            raise Killed

    hub = Hub(store)
    hub.documents.remember_in(Dying(Limits(), clock))
    async with hub:
        await hub.documents.create("doc", BODY)
        with pytest.raises(Killed):
            await hub.documents.edit("doc", [typed("x")], ADA, idempotency_key="k")
        records = (await store.load("doc")).records
    kept = await answers.find(caught[0][0])
    assert kept is not None
    assert kept.answer is None
    assert len(records) == (2 if committed else 1)

    again = MemoryStore()
    hub = Hub(again)

    class Lasting(MemoryAnswers):
        async def find(self, scope: Scope) -> Kept | None:
            return await answers.find(scope)

        async def keep(self, scope: Scope, request: bytes, update: bytes) -> None:
            await answers.keep(scope, request, update)

        async def done(self, scope: Scope, answer: bytes) -> None:
            await answers.done(scope, answer)

    hub.documents.remember_in(Lasting(Limits(), clock))
    async with hub:
        await again.append(list(records))
        for _ in range(2):
            edited = await hub.documents.edit("doc", [typed("x")], ADA, idempotency_key="k")
            assert (edited.sequence, edited.changed) == (2, True)
        assert await content(hub) == {"text": "Hellox"}


async def test_a_deleted_documents_keys_are_forgotten(hub: Hub) -> None:
    """A new document of the name is another one: what was done to the old one is nothing to it."""
    await hub.documents.create("doc", BODY, idempotency_key="k")
    await hub.documents.delete("doc")
    assert not (await hub.documents.create("doc", BODY, idempotency_key="k")).replayed


async def test_a_key_whose_edit_is_gone(hub: Hub) -> None:
    """What a backup that was put back lacks is done again; what it has is not."""
    await hub.documents.create("doc", BODY, ADA, idempotency_key="c")
    backup = hub.rooms["doc"].state()
    edit = hub.documents.edit
    assert not (await edit("doc", [typed("x")], ADA, idempotency_key="e")).replayed
    hub.abandon(hub.rooms["doc"], "the server ends")
    await hub.store.delete("doc")
    await hub.edit("doc", backup)
    assert (await hub.documents.create("doc", BODY, ADA, idempotency_key="c")).replayed
    assert not (await edit("doc", [typed("x")], ADA, idempotency_key="e")).replayed
    assert (await edit("doc", [typed("x")], ADA, idempotency_key="e")).replayed
    assert await content(hub) == {"text": "Hellox"}


async def test_a_key_of_a_document_that_was_made_anew(hub: Hub) -> None:
    """However far that has come: it holds nothing of the other one."""
    await hub.documents.create("doc", BODY, ADA, idempotency_key="c")
    hub.abandon(hub.rooms["doc"], "the server ends")
    await hub.store.delete("doc")
    for clock in range(3):
        await hub.edit("doc", one(9, clock, "o", origin=(9, clock - 1) if clock else None))
    with pytest.raises(DocumentExists):
        await hub.documents.create("doc", BODY, ADA, idempotency_key="c")
    await hub.documents.delete("doc")
    assert not (await hub.documents.create("doc", BODY, ADA, idempotency_key="c")).replayed


class LastingAnswers(MemoryAnswers):
    """Answers that outlive their hub."""

    async def __aexit__(self, *error: object) -> None:
        pass


async def test_a_key_that_was_answered_beside_edits_that_were_lost() -> None:
    """What others had sent and a crash took is nothing to an edit that was committed."""
    answers, store = LastingAnswers(Limits(), ManualClock()), TestStore()
    hub = Hub(store)
    hub.documents.remember_in(answers)
    committed = hub.committed

    async def and_then(room: Room) -> int:
        sequence = await committed(room)
        store.failing = lambda name: True
        other = one(99, 0, "lost", parent="more")
        room.submit(other, scan(other, hub.limits, structs=True), Editor(ADA))
        return sequence

    async with hub:
        await hub.documents.create("doc", BODY, ADA)
        with patch.object(hub, "committed", and_then):
            edited = await hub.documents.edit("doc", [typed("x")], ADA, idempotency_key="k")
        assert 99 in vector(edited.state_vector)
        records = (await store.load("doc")).records
        store.failing = lambda name: False
    after = MemoryStore()
    hub = Hub(after)
    hub.documents.remember_in(answers)
    async with hub:
        await after.append(records)
        assert (await hub.documents.edit("doc", [typed("x")], ADA, idempotency_key="k")).replayed
        assert await content(hub) == {"text": "Hellox"}


async def test_a_key_whose_deletion_is_gone(hub: Hub) -> None:
    """A deletion that a backup lacks is done again, also where the document has grown as far."""
    await hub.documents.create("doc", BODY)
    backup = hub.rooms["doc"].state()
    cut: Any = [{"op": "delete", "path": ["text"], "index": 0, "length": 4}]
    await hub.documents.edit("doc", cut, idempotency_key="k")
    hub.abandon(hub.rooms["doc"], "the server ends")
    await hub.store.delete("doc")
    await hub.edit("doc", backup)
    await hub.edit("doc", one(9, 0, "more", parent="more"))
    await hub.edit("doc", one(8, 0, "more", parent="even"))
    for replayed in (False, True):
        edited = await hub.documents.edit("doc", cut, idempotency_key="k")
        assert edited.replayed is replayed
    assert await content(hub) == {"text": "o", "more": "more", "even": "more"}


async def test_a_key_that_changed_nothing(hub: Hub) -> None:
    """It stays so, but for a document that has not come so far."""
    await hub.documents.create("doc", BODY)
    await hub.documents.edit("doc", [typed("x")])
    nothing = [typed("", 2)]
    for replayed in (False, True):
        edited = await hub.documents.edit("doc", nothing, idempotency_key="k")
        assert (edited.replayed, edited.changed) == (replayed, False)
    hub.abandon(hub.rooms["doc"], "the server ends")
    await hub.store.delete("doc")
    await hub.documents.create("doc", BODY)
    edited = await hub.documents.edit("doc", nothing, idempotency_key="k")
    assert (edited.replayed, edited.sequence) == (False, 1)


async def test_a_key_of_a_damaged_document() -> None:
    """What can't be read now may well hold it: the answer is as it was."""
    store = TestStore()
    answers = LastingAnswers(Limits(), ManualClock())
    hub = Hub(store)
    hub.documents.remember_in(answers)
    async with hub:
        await hub.documents.create("doc", BODY)
        await hub.documents.edit("doc", [typed("x")], idempotency_key="k")
        first = (await store.load("doc")).records[:1]
    store.damaged = Loaded(None, tuple(first), Damage("doc", 2, "the checksum is wrong"))
    hub = Hub(store)
    hub.documents.remember_in(answers)
    async with hub:
        assert (await hub.documents.edit("doc", [typed("x")], idempotency_key="k")).replayed


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb"])
async def test_bad_keys(hub: Hub, key: str) -> None:
    """A key is short and printable."""
    with pytest.raises(InvalidOperation, match="idempotency key"):
        await hub.documents.create("doc", BODY, idempotency_key=key)


# Deleting


async def test_deleting_is_final(hub: Hub) -> None:
    """Who is in a document that is deleted is told so for good, and brings nothing back."""
    await hub.documents.create("doc", BODY)
    clients = [await join(hub) for _ in range(3)]
    assert await hub.documents.delete("doc", ADA)
    for client in clients:
        assert await client.gone() == (CloseCode.FORBIDDEN, "the document was deleted")
        write(client, "late")
    assert await hub.store.info("doc") is None
    assert 4400 <= CloseCode.FORBIDDEN < 4500


async def test_an_edit_while_it_is_deleted() -> None:
    """An edit that is under way when its document goes doesn't bring it back."""

    class Slow(MemoryAnswers):
        async def keep(self, scope: Scope, request: bytes, update: bytes) -> None:
            await hub.delete("doc")

    hub = Hub(MemoryStore())
    hub.documents.remember_in(Slow(Limits(), ManualClock()))
    async with hub:
        await hub.documents.create("doc", BODY)
        with pytest.raises((Unavailable, DocumentNotFound)):
            await hub.documents.edit("doc", [typed("x")], idempotency_key="k")
        assert await hub.store.info("doc") is None
