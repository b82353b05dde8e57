"""What programs say is judged like what clients say: by roles, custom gates, rules and rates."""

from typing import Any

import anyio
import httpx
import pycrdt
import pytest

from crdtsync.channels import chat as chat_module
from crdtsync.channels.saying import InvalidMessage
from crdtsync.edit import Edit
from crdtsync.errors import Forbidden, TooManyRequests
from crdtsync.gate import ALLOW, Decision, Deny, Principal
from crdtsync.hub import Hub
from crdtsync.roles import ADMIN, WRITE, Role, Rule
from crdtsync.server.asgi import create_app
from crdtsync.structs import Scan
from tests.channels.rooms import ANN, BOB, NOON_MS, ROOM, Speaker, chat_hub, live, rested
from tests.channels.test_rest_chat import MESSAGES, REACTIONS, People, as_, say
from tests.server.conftest import asgi_client, is_problem
from tests.unit.engine import settle, until

pytestmark = pytest.mark.anyio
QUIET = "quiet, please"


class Plain:
    """A gate that can be closed, by what an update is."""

    closed = False

    def check(self, principal: Principal, document: str, update: bytes, scan: Scan) -> Decision:
        return Deny(QUIET) if self.closed and document == ROOM and principal.id == "ann" else ALLOW


class ByContent:
    """A gate that can be closed, by what an edit does where."""

    closed = False

    def check_edit(self, principal: Principal, document: str, edit: Edit) -> Decision:
        roots = {each.root for each in edit.touches}
        closed = self.closed and document == ROOM and principal.id == "ann"
        return Deny(QUIET) if closed and roots & {"chat", "chat-reactions"} else ALLOW


@pytest.mark.parametrize("kind", [Plain, ByContent])
async def test_a_custom_gate(kind: type[Plain | ByContent]) -> None:
    """What it forbids is forbidden over HTTP, in the chat and in archives; the rest goes on."""
    gate = kind()
    async with (
        chat_hub(gate=gate) as hub,
        asgi_client(create_app(hub, authenticator=People(), lifespan=False)) as http,
    ):
        http.params = httpx.QueryParams({"document": ROOM})
        sent = [(await say(http, "ann", f"{n}")).json()["id"] for n in range(16)]
        await rested(hub)
        about = {"document": ROOM, "message": sent[15], "emoji": "x"}
        assert (await http.put(REACTIONS, params=about, headers=as_("ann"))).status_code == 204
        gate.closed = True
        one = f"{MESSAGES}/{sent[15]}"
        for answer in (
            await say(http, "ann", "hi"),
            await http.patch(one, json={"text": "x"}, headers=as_("ann")),
            await http.delete(one, headers=as_("ann")),
            await http.delete(f"{MESSAGES}/{sent[0]}", headers=as_("ann")),
            await http.put(REACTIONS, params=about | {"emoji": "y"}, headers=as_("ann")),
            await http.delete(REACTIONS, params=about, headers=as_("ann")),
        ):
            is_problem(answer, 403, "forbidden")
            assert QUIET in answer.text
        assert hub.stats.updates_refused["gate"] == 5  # the archive's is no update of ann's
        assert (await say(http, "bob", "hi")).status_code == 201
        gate.closed = False
        done = await http.delete(f"{MESSAGES}/{sent[0]}", headers=as_("ann"))
        assert done.status_code == 204


async def test_roles() -> None:
    """A role says which roots and how, as for a client."""
    chats = Role(name="chats", write=(Rule(root="chat", append_only=True),))
    cy = Principal(id="cy", role=chats)
    async with chat_hub() as hub:
        chat = hub.channels.chat(ROOM)
        said = await chat.send("hi", cy)
        for refused in (
            chat.edit(said.id, "x", cy),
            chat.delete(said.id, cy),
            chat.react(said.id, "x", cy),
            chat.send("x", Principal(id="dee", role=Role(name="none", write=()))),
            chat.edit(said.id, "x", ANN),
            chat.delete(said.id, BOB),
        ):
            with pytest.raises(Forbidden):
                await refused
        assert (await chat.messages())[0] == said
        mod = Principal(id="mod", role=ADMIN)
        assert (await chat.delete(said.id, mod)).deleted_by == "mod"


async def test_chat_edit_window_s_and_max_chat_text_bytes() -> None:
    """What a program gets to know is what kind of mistake it was."""
    async with chat_hub(chat_edit_window_s=60, max_chat_text_bytes=5) as hub:
        chat = hub.channels.chat(ROOM)
        with pytest.raises(InvalidMessage):
            await chat.send("123456", ANN)
        said = await chat.send("12345", ANN)
        await chat.edit(said.id, "1", ANN)
        hub.clock.advance(61)  # type: ignore[attr-defined]
        with pytest.raises(Forbidden) as late:
            await chat.edit(said.id, "2", ANN)
        assert late.value.kind == "edit-too-late"


async def test_guests_count_by_their_address() -> None:
    """Whatever they call themselves, over HTTP and in an editor together with it."""
    async with chat_hub(chat_messages_per_minute=6, chat_burst=3) as hub:
        app = create_app(hub, authenticator=People(), lifespan=False)
        for address in ("192.0.2.1", "192.0.2.2"):
            transport = httpx.ASGITransport(app, client=(address, 5))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                http.params = httpx.QueryParams({"document": ROOM})
                for n in range(3):
                    assert (await say(http, "", "hi", author=f"guest-{n}")).status_code == 201
                is_problem(await say(http, "", "hi", author="guest-9"), 429, "too-many-requests")


async def test_an_editor_and_a_program_count_together() -> None:
    """One person has one rate in one document, while somebody is there."""
    async with chat_hub(chat_messages_per_minute=6, chat_burst=3) as hub:
        ann = Speaker(hub, "ann")
        await settle()
        ann.say("1")
        ann.say("2")
        await settle()
        chat = hub.channels.chat(ROOM)
        await chat.send("3", ANN)
        with pytest.raises(TooManyRequests):
            await chat.send("4", ANN)
        await chat.send("4", ANN, type="system")


async def large(hub: Hub) -> None:
    """Make the document so large that who writes has to wait for its index."""
    doc: pycrdt.Doc[pycrdt.Text] = pycrdt.Doc()
    doc["body"] = pycrdt.Text("x" * 100_000)
    await hub.edit(ROOM, doc.get_update())


async def test_many_at_once() -> None:
    """Programs that all wait for an index lose nothing and double nothing; one is made for all."""
    async with chat_hub(chat_live_messages=1000) as hub, hub.open(ROOM) as room:
        await large(hub)
        chat = hub.channels.chat(ROOM)
        first = await chat.send("first", ANN)

        async def talk(n: int) -> None:
            said.append((await chat.send(f"{n}", ANN if n % 2 else BOB)).id)
            await chat.edit(first.id, f"changed {n}", ANN)
            await chat.react(first.id, "x", BOB)

        said: list[str] = []
        async with anyio.create_task_group() as tasks:
            for n in range(30):
                tasks.start_soon(talk, n)
        assert [each.id for each in await chat.messages(limit=100)] == sorted([first.id, *said])
        assert len(await live(hub)) == 31
        assert set(await live(hub, "chat-reactions")) == {f"{first.id} x bob"}
        assert room.judge.keeper.users == 1


@pytest.mark.parametrize("gone", [False, True])
async def test_what_changes_while_a_program_waits(
    gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it writes follows on what is there then, and not on what it has seen before."""
    async with chat_hub() as hub, hub.open(ROOM) as room:
        await large(hub)
        chat = hub.channels.chat(ROOM)
        monkeypatch.setattr(chat_module, "KEEP_S", 0)
        said = await chat.send("first", ANN)
        await until(lambda: not room.judge.keeper.users)
        doc: pycrdt.Doc[pycrdt.Map[Any]] = pycrdt.Doc(client_id=(1 << 32) - 1)  # wins all conflicts
        doc.apply_update(room.state())
        before, there = doc.get_state(), doc.get("chat", type=pycrdt.Map)
        there[said.id] = (
            said.value() | {"text": "", "deleted": NOON_MS + 1000}
            if gone
            else {**said.value(), "text": "meanwhile", "edited": NOON_MS + 1000}
        )
        told: list[str] = []

        async def change() -> None:
            try:
                told.append((await chat.edit(said.id, "mine", ANN)).text)
            except Forbidden as error:
                told.append(str(error))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(change)
            await until(lambda: room.judge.keeper.making)
            await hub.edit(ROOM, doc.get_update(before))
            assert not told
        now = (await chat.messages())[0]
        assert (told, now.text) == (
            (["a deleted message stays deleted"], "") if gone else (["mine"], "mine")
        )


async def test_where_only_programs_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """One index does for what they say one after the other, and is let go of soon."""
    async with chat_hub() as hub, hub.open(ROOM) as room:
        chat, keeper = hub.channels.chat(ROOM), room.judge.keeper
        monkeypatch.setattr(chat_module, "KEEP_S", 0.05)
        await chat.send("1", ANN)
        index = room.judge.index
        assert index is not None
        for text in "234":
            await chat.send(text, ANN)
            assert room.judge.index is index
        await until(lambda: keeper.index is None)
        assert (keeper.users, keeper.lingers, keeper.book) == (0, False, None)
        await chat.send("5", ANN)
        assert len(await chat.messages()) == 5


async def test_the_applications_own_words() -> None:
    """Who said them in its name doesn't change them later; a moderator deletes them."""
    async with chat_hub() as hub:
        chat = hub.channels.chat(ROOM)
        root = Principal(id="root", name="R" * 150, role=ADMIN)
        said = await chat.send("be nice", root, type="system")
        with pytest.raises(Forbidden):
            await chat.edit(said.id, "x", root)
        with pytest.raises(Forbidden):
            await chat.delete(said.id, Principal(id="root", role=WRITE))
        assert (await chat.delete(said.id, root)).deleted_by == "root"
        assert (await chat.send("a long name", root)).name == "R" * 100


async def test_deleting_takes_everybodys_reactions() -> None:
    """What was said about a message goes with it."""
    async with chat_hub() as hub:
        chat = hub.channels.chat(ROOM)
        said = await chat.send("hi", ANN)
        await chat.react(said.id, "x", BOB)
        await chat.delete(said.id, ANN)
        assert await live(hub, "chat-reactions") == {}
