"""What the server does not take: final closes, denied edits, and the way on."""

from dataclasses import replace
from pathlib import Path

import anyio
import pycrdt
import pytest

from crdtsync.auth import ConnectRequest
from crdtsync.client import (
    ClientError,
    Denied,
    EditsRefused,
    NotSaved,
    Refused,
    Status,
    connect,
)
from crdtsync.errors import Forbidden
from crdtsync.gate import Principal
from crdtsync.roles import READ, Role, Rule
from tests.native.kit import Server

from .kit import OPTIONS, TIMEOUT_S, address, text_of, until, until_text

pytestmark = pytest.mark.anyio

TEXT_ONLY = Role(name="text-only", write=(Rule(root="text"),))


class Names:
    """Whoever has no token may not; the token says what somebody may."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        if not request.token:
            raise Forbidden("not you")
        roles = {"reader": READ, "writer": TEXT_ONLY}
        return Principal(id=request.token, role=roles.get(request.token))


def guarded() -> Server:
    """Return a server that asks for names."""
    return Server(authenticator=Names())


async def test_a_final_close_is_raised() -> None:
    """Code and reason of a final close reach everybody who waits, and nothing more is tried."""
    with guarded() as server:
        async with connect(address(server), options=OPTIONS) as document:
            with anyio.fail_after(TIMEOUT_S), pytest.raises(Refused) as raised:
                await document.synced()
            assert (raised.value.code, raised.value.reason) == (4403, "not you")
            assert document.status is Status.REFUSED
            assert document.error is raised.value
            text = text_of(document)
            text += "kept in memory"
            with pytest.raises(Refused):
                await document.saved()
            for _ in range(20):
                await anyio.sleep(0.02)
            assert server.rejected() == {"forbidden": 1}


async def test_wait_raises_a_refusal() -> None:
    """``wait=True`` raises it from ``async with`` itself, as it is."""
    with guarded() as server, anyio.fail_after(TIMEOUT_S), pytest.raises(Refused):
        async with connect(address(server), options=OPTIONS, wait=True):
            pass


async def test_a_refusal_that_nobody_saw_is_raised_at_the_end() -> None:
    """A program that never waits is told when it leaves."""
    with guarded() as server:

        async def run() -> None:
            async with connect(address(server), options=OPTIONS) as document:
                await until(lambda: document.status is Status.REFUSED)

        with pytest.raises(Refused):
            await run()


async def test_edits_of_a_reader_are_denied() -> None:
    """Who may only read is told by ``saved()``, and goes on reading."""
    with guarded() as server:
        async with (
            connect(address(server), token="ann", options=OPTIONS) as ann,
            connect(address(server), token="reader", options=OPTIONS) as reader,
        ):
            told: list[str] = []
            reader.on_denied(told.append)
            await reader.synced()
            text = text_of(reader)
            text += "mine"
            with anyio.fail_after(TIMEOUT_S), pytest.raises(Denied) as raised:
                await reader.saved()
            assert told == [raised.value.reason]
            other = text_of(ann)
            other += "theirs"
            await ann.saved()
            await until(lambda: "theirs" in str(text))
            assert reader.status is Status.SYNCED
            assert reader.unsaved
            given_up = await reader.discard()
            assert "mine" in str(given_up.get("text", type=pycrdt.Text))
            await until_text(reader, "theirs")
            assert not reader.unsaved
            await reader.saved()


async def test_refused_edits_are_not_sent_again(tmp_path: Path) -> None:
    """What was refused with 4409 stays in the local store, unsent, until somebody decides."""
    store = tmp_path / "offline.db"
    with guarded() as server:
        async with connect(address(server), token="ann", options=OPTIONS) as ann:
            text = text_of(ann)
            text += "good"
            await ann.saved()

        async with connect(
            address(server), token="writer", store=store, options=OPTIONS
        ) as document:
            await until_text(document, "good")
            text = text_of(document)
            text += " better"
            await document.saved()
            document.doc.get("map", type=pycrdt.Map)["forbidden"] = 1
            with anyio.fail_after(TIMEOUT_S), pytest.raises(EditsRefused) as raised:
                await document.saved()
            assert raised.value.code == 4409
        before = server.rejected()

        # The next start does not even connect: it would be refused again.
        async with connect(
            address(server), token="writer", store=store, options=OPTIONS
        ) as document:
            assert document.status is Status.REFUSED
            with pytest.raises(EditsRefused) as again:
                await document.synced()
            assert (again.value.code, again.value.reason) == (4409, raised.value.reason)
            assert document.doc.get("map", type=pycrdt.Map)["forbidden"] == 1
            assert server.rejected() == before
            given_up = await document.discard()
            assert given_up.get("map", type=pycrdt.Map)["forbidden"] == 1
            with anyio.fail_after(TIMEOUT_S):
                await document.synced()
                await until_text(document, "good better")
                assert "forbidden" not in document.doc.get("map", type=pycrdt.Map)
                text = text_of(document)
                text += "!"
                await document.saved()

        async with connect(
            address(server), token="writer", store=store, options=OPTIONS
        ) as document:
            assert document.error is None
            assert str(text_of(document)) == "good better!"


async def test_retry_tries_once_more(tmp_path: Path) -> None:
    """When the role has changed meanwhile, ``retry()`` brings what was refused."""
    store = tmp_path / "offline.db"
    with guarded() as server:
        token = "writer"
        async with connect(
            address(server), token=lambda: token, store=store, options=OPTIONS
        ) as document:
            document.doc.get("map", type=pycrdt.Map)["k"] = 1
            with anyio.fail_after(TIMEOUT_S):
                with pytest.raises(EditsRefused):
                    await document.saved()
                token = "ann"
                document.retry()
                await document.saved()
        async with connect(
            address(server), token=lambda: token, store=store, options=OPTIONS
        ) as document:
            assert document.error is None


@pytest.mark.parametrize("way", ["discard", "retry"])
async def test_what_is_lost_later_is_told(way: str) -> None:
    """Who was told of a refusal, and went on, is told of what is lost later, too."""
    token = "writer"

    async def run(server: Server) -> None:
        nonlocal token
        options = replace(OPTIONS, close_timeout_s=0.2)
        async with connect(address(server), token=lambda: token, options=options) as document:
            document.doc.get("map", type=pycrdt.Map)["forbidden"] = 1
            with anyio.fail_after(TIMEOUT_S):
                with pytest.raises(EditsRefused):
                    await document.saved()
                token = "ann"
                if way == "discard":
                    await document.discard()
                else:
                    document.retry()
                await document.synced()
                server.stop()
                await until(lambda: document.status is not Status.SYNCED)
            text = text_of(document)
            text += "lost"

    with guarded() as server, pytest.raises(NotSaved):
        await run(server)


async def test_who_was_not_let_in_may_be_next_time(tmp_path: Path) -> None:
    """A refusal that is not about edits isn't remembered: the next start has another token."""
    store = tmp_path / "offline.db"
    with guarded() as server, anyio.fail_after(TIMEOUT_S):
        async with connect(address(server), store=store, options=OPTIONS) as document:
            text = text_of(document)
            text += "mine"
            with pytest.raises(Refused):
                await document.saved()
        async with connect(address(server), token="ann", store=store, options=OPTIONS) as document:
            await document.saved()
            assert server.text() == "mine"


@pytest.mark.parametrize(
    "url",
    [
        "http://host/doc", "doc", "ws:///doc", "ws://u:p@host/doc", "ws://host", "ws://host/",
        "ws://host/" + "a" * 513, "ws://host/%ff", "ws://host/a%00", "ws://[::1/doc",
        "ws://host:99999/doc", "ws://host:x/doc", "ws://a..b/doc", f"ws://{'a' * 64}.example/doc",
    ],
)  # fmt: skip
async def test_urls_that_are_none(url: str) -> None:
    """What is no WebSocket URL, names no document, or has a password in it, is refused at once."""
    with pytest.raises(ClientError):
        connect(url)
