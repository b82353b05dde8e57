"""Chat and presence from Python: messages, reactions, receipts, typing, people."""

from itertools import count
from pathlib import Path

import anyio
import pytest

from crdtsync.auth import ConnectRequest
from crdtsync.client import ClientError, EditsRefused, connect, connect_sync
from crdtsync.client.chat import now_ms
from crdtsync.gate import Principal
from tests.native.kit import Server

from .kit import OPTIONS, TIMEOUT_S, address, until

pytestmark = pytest.mark.anyio

ANN = {"id": "guest-ann", "name": "Ann", "color": "#112233"}
BOB = {"id": "guest-bob", "name": "Bob"}


async def test_people_talk(server: Server) -> None:
    """Messages, answers, edits, deletions, reactions and receipts are seen by the other one."""
    async with (
        connect(address(server), user=ANN, options=OPTIONS) as ann,
        connect(address(server), user=BOB, options=OPTIONS) as bob,
    ):
        heard: list[str] = []
        bob.chat.observe(heard.extend)
        first = ann.chat.send("Hello")
        await until(lambda: heard == [first.id])
        assert bob.chat.messages() == [first]
        assert (first.author, first.name) == ("guest-ann", "Ann")
        answer = bob.chat.send("Hi!", reply_to=first.id)
        bob.chat.react(first.id, "👋")
        bob.chat.read(first.id)
        await until(lambda: ann.chat.receipts() == {"guest-bob": first.id})
        assert [each.text for each in ann.chat.messages()] == ["Hello", "Hi!"]
        assert ann.chat.message(answer.id).reply_to == first.id
        assert ann.chat.reactions(first.id) == {"👋": ["guest-bob"]}
        bob.chat.react(first.id, "👋", on=False)
        ann.chat.edit(first.id, "Hello, Bob")
        bob.chat.delete(answer.id)
        await until(lambda: bob.chat.message(first.id).text == "Hello, Bob")
        await until(lambda: ann.chat.message(answer.id).deleted_ms > 0)
        assert bob.chat.message(first.id).edited_ms
        assert not ann.chat.reactions(first.id)
        assert ann.chat.message(answer.id).text == ""
        with pytest.raises(ClientError):
            ann.chat.edit(answer.id, "mine now")
        with pytest.raises(ClientError):
            bob.chat.edit(first.id, "mine now")
        with pytest.raises(ClientError):
            ann.chat.send("")
        with pytest.raises(ClientError):
            ann.chat.send_file("x", "javascript:alert(1)")
        with pytest.raises(ClientError):
            ann.chat.react(first.id, "a b")
        ann.chat.send_file("plan.pdf", "/files/plan.pdf", size=9, media_type="application/pdf")
        with anyio.fail_after(TIMEOUT_S):
            await ann.saved()
            await bob.saved()


async def test_observers_read_and_write(server: Server) -> None:
    """Who is called back of messages or people, others' and own ones, may read and write there."""
    async with (
        connect(address(server), user=ANN, options=OPTIONS) as ann,
        connect(address(server), user=BOB, options=OPTIONS) as bob,
    ):
        seen: list[str] = []
        states: list[str] = []

        def answer(ids: list[str]) -> None:
            for id in ids:
                seen.append(bob.chat.message(id).text)
                if seen[-1] == "ping":
                    bob.chat.send("pong")
                    bob.presence.set("busy")

        def look(_ids: list[str]) -> None:
            states[:] = [f"{each.id} {each.status}" for each in bob.presence.people()]

        bob.chat.observe(answer)
        bob.presence.observe(look)
        ann.chat.send("ping")
        await until(lambda: [each.text for each in ann.chat.messages()] == ["ping", "pong"])
        await until(lambda: seen == ["ping", "pong"])
        await until(lambda: states == ["guest-bob busy"])


async def test_observers_are_contained(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """One that raises is logged, hears of the next change, and keeps nobody from writing."""
    async with connect(address(server), user=ANN, options=OPTIONS) as ann:
        tried: list[str] = []
        heard: list[str] = []

        def fail(ids: list[str]) -> None:
            tried.extend(ids)
            raise RuntimeError("the bot is broken")

        ann.chat.observe(fail)
        end = ann.chat.observe(heard.extend)
        first = ann.chat.send("one")
        await until(lambda: tried == heard == [first.id])
        end()
        second = ann.chat.send("two")
        await until(lambda: tried == [first.id, second.id])
        assert heard == [first.id]
        assert [each.text for each in ann.chat.messages()] == ["one", "two"]
    assert caplog.text.count("an observer failed") == 2
    ann.chat.send("nobody is called any more")
    assert len(tried) == 2


async def test_observers_and_discarded_documents(server: Server) -> None:
    """After ``discard()`` they hear of the new document, and of the one before no more."""
    async with connect(address(server), user=ANN, options=OPTIONS, wait=True) as ann:
        heard: list[str] = []
        ann.chat.observe(heard.extend)
        ann.chat.send("given up")
        await ann.discard()
        await ann.synced()
        kept = ann.chat.send("kept")
        await until(lambda: heard == [kept.id])


async def test_messages_stand_in_the_order_of_writing(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of one millisecond, in threads too, and of a clock that is set back."""
    async with connect(address(server), user=ANN, options=OPTIONS) as ann:
        moment_ms = now_ms()
        monkeypatch.setattr("crdtsync.client.chat.now_ms", lambda: moment_ms)
        sent = [ann.chat.send(f"{number}") for number in range(50)]
        assert [each.text for each in ann.chat.messages()] == [each.text for each in sent]
        aside = ann.chat.thread(sent[0].id).send("aside")
        assert sent[-1].id < aside.id < ann.chat.send("and on").id
        moment_ms -= 20_000
        late = ann.chat.send("a moment back")
        assert ann.chat.messages()[-1] == late
        moment_ms -= 3_600_000
        assert ann.chat.send("an hour back").time_ms == moment_ms


async def test_threads_and_pages(server: Server) -> None:
    """A thread has messages of its own, and a chat is read page by page, oldest first."""
    async with connect(address(server), user=ANN, options=OPTIONS) as ann:
        sent = [ann.chat.send(f"{number}") for number in range(5)]
        in_order = sorted(sent, key=lambda message: message.id)
        assert ann.chat.messages(limit=2) == in_order[3:]
        assert ann.chat.messages(before=in_order[3].id, limit=2) == in_order[1:3]
        thread = ann.chat.thread(sent[0].id)
        said = thread.send("aside")
        assert thread.messages() == [said]
        assert said not in ann.chat.messages()
        ann.doc.get("chat", type=type(ann._core.map("chat")))["rubbish"] = 5
        assert len(ann.chat.messages()) == 5


async def test_half_a_surrogate_pair_is_no_text(server: Server) -> None:
    """It is told as what it is, an error of the client, and leaves nothing behind."""
    half = "\ud83d"
    guest = {"id": "guest-ann", "name": half}
    async with (
        connect(address(server), user=ANN, options=OPTIONS) as ann,
        connect(address(server), user=guest, options=OPTIONS) as named,
    ):
        message = ann.chat.send("Hello")
        with pytest.raises(ClientError):
            ann.chat.send(half)
        with pytest.raises(ClientError):
            ann.chat.send_file("x", "/x", media_type=half)
        with pytest.raises(ClientError):
            ann.chat.edit(message.id, half)
        with pytest.raises(ClientError):
            ann.chat.read(half)
        with pytest.raises(ClientError):
            ann.chat.react(message.id, half)
        with pytest.raises(ClientError):
            ann.presence.set("busy", name=half)
        with pytest.raises(ClientError):
            named.chat.send("Hello")
        with pytest.raises(ClientError):
            named.presence.set("busy")
        assert ann.chat.messages() == [message]
        assert (ann.chat.receipts(), ann.presence.people()) == ({}, [])
        with anyio.fail_after(TIMEOUT_S):
            await ann.saved()


async def test_typing(server: Server) -> None:
    """Who types is seen, where they type, until they stop."""
    async with (
        connect(address(server), user=ANN, options=OPTIONS) as ann,
        connect(address(server), user=BOB, options=OPTIONS) as bob,
    ):
        ann.chat.typing()
        await until(lambda: [user["name"] for user in bob.chat.typists()] == ["Ann"])
        assert ann.chat.typists() == []
        ann.chat.typing(False)
        await until(lambda: bob.chat.typists() == [])


async def test_people_say_how_they_are(server: Server) -> None:
    """A status set by one is read by the other, with name and colour."""
    async with (
        connect(address(server), user=ANN, options=OPTIONS) as ann,
        connect(address(server), options=OPTIONS) as somebody,
    ):
        changed: list[str] = []
        somebody.presence.observe(changed.extend)
        ann.presence.set("away")
        await until(lambda: changed == ["guest-ann"])
        (person,) = somebody.presence.people()
        assert (person.id, person.status, person.name, person.color) == (
            "guest-ann",
            "away",
            "Ann",
            "#112233",
        )
        assert somebody.presence.me.startswith("guest-")
        with pytest.raises(ClientError):
            ann.presence.set("online", color="red")


class Named:
    """The token is the name, which the server knows."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        return Principal(id=request.token or "", name="Somebody")


async def test_the_rules_of_a_chat_let_the_helpers_through() -> None:
    """Where the server holds to its rules, all that the helpers write is taken, guests' too."""
    with Server(chat=("*",), presence=("*",)) as server:
        async with connect(address(server), user={"name": "Guest"}, options=OPTIONS) as guest:
            message = guest.chat.send("Hello")
            assert message.name == "Guest"
            guest.chat.react(message.id, "👍🏽")
            guest.chat.edit(message.id, "Hello, all")
            guest.chat.read(message.id)
            guest.chat.thread(message.id).send("aside")
            guest.presence.set("away")
            with anyio.fail_after(TIMEOUT_S):
                await guest.saved()
                guest.chat.react(message.id, "👍🏽", on=False)
                guest.chat.delete(message.id)
                await guest.saved()


async def test_the_clock_of_another_device_may_be_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody wrote on a device that is ahead is edited and deleted on one that is not."""
    with Server(chat=("*",)) as server:
        async with (
            connect(address(server), user=ANN, options=OPTIONS) as phone,
            connect(address(server), user=ANN, options=OPTIONS) as laptop,
        ):
            ahead_ms = now_ms() + 30_000
            with monkeypatch.context() as patched:
                patched.setattr("crdtsync.client.chat.now_ms", lambda: ahead_ms)
                messages = [phone.chat.send("one"), phone.chat.send("two")]
            await until(lambda: len(laptop.chat.messages()) == 2)
            edited = laptop.chat.edit(messages[0].id, "changed")
            laptop.chat.delete(messages[1].id)
            with anyio.fail_after(TIMEOUT_S):
                await laptop.saved()
            assert edited.edited_ms == messages[0].time_ms
            assert laptop.chat.message(messages[1].id).deleted_ms == messages[1].time_ms


async def test_a_long_time_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """More messages than chat_burst that were written over time come with the first connection."""
    moments_ms = count(now_ms() - 300_000, 1_001)
    nowhere = "ws://127.0.0.1:9/doc"
    store = str(tmp_path / "offline.db")
    async with connect(nowhere, user=ANN, store=store, options=OPTIONS) as ann:
        with monkeypatch.context() as patched:
            patched.setattr("crdtsync.client.chat.now_ms", lambda: next(moments_ms))
            for number in range(200):
                ann.chat.send(f"{number}")
        await ann.kept()
    with Server(chat=("*",)) as server:
        async with connect(address(server), user=ANN, store=store, options=OPTIONS) as ann:
            with anyio.fail_after(TIMEOUT_S):
                await ann.saved()
            ann.chat.send("I am back")
            with anyio.fail_after(TIMEOUT_S):
                await ann.saved()


async def test_the_rules_of_a_chat_hold_for_programs() -> None:
    """Who is known writes as himself, and as nobody else."""
    with Server(authenticator=Named(), chat=("*",), presence=("*",)) as server:
        user = {"id": "ann", "name": "What I call myself"}
        async with (
            connect(address(server), token="ann", user=user, options=OPTIONS) as ann,
            connect(address(server), token="eve", user=user, options=OPTIONS) as eve,
        ):
            with anyio.fail_after(TIMEOUT_S):
                message = ann.chat.send("Hello")
                assert message.name == ""
                ann.presence.set("busy")
                await ann.saved()
                await eve.synced()
                eve.chat.send("As Ann")
                with pytest.raises(EditsRefused):
                    await eve.saved()
            assert [each.text for each in ann.chat.messages()] == ["Hello"]


def test_scripts_talk_too(server: Server) -> None:
    """The same from a program without an event loop."""
    with (
        connect_sync(address(server), user=ANN, options=OPTIONS) as ann,
        connect_sync(address(server), user=BOB, wait=True, options=OPTIONS) as bob,
    ):
        seen: list[str] = []
        bob.chat.observe(lambda ids: seen.extend(bob.chat.message(id).text for id in ids))
        sent = ann.chat.send("from a script")
        ann.chat.typing()
        ann.presence.set("busy")
        ann.saved(TIMEOUT_S)
        assert bob.synced(TIMEOUT_S) is None
        for _ in range(1000):
            if seen:
                break
            bob._portal.call(anyio.sleep, 0.01)
        assert bob.chat.messages() == [sent]
        assert seen == ["from a script"]
