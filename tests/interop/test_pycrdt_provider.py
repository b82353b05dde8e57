"""pycrdt's own provider, from Python, against the real server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from pycrdt import Doc, Map, Provider, Text
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from .harness import Clients, Server

pytestmark = pytest.mark.anyio

TIMEOUT_S = 15.0


@pytest.fixture
def anyio_backend() -> str:
    """The websockets package is for asyncio."""
    return "asyncio"


class WebsocketChannel:
    """Makes a WebSocket what pycrdt calls a channel."""

    def __init__(self, socket: ClientConnection, path: str) -> None:
        self._socket = socket
        self.path = path

    def __aiter__(self) -> "WebsocketChannel":
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self.recv()
        except ConnectionClosed:
            raise StopAsyncIteration from None

    async def send(self, message: bytes) -> None:
        await self._socket.send(message)

    async def recv(self) -> bytes:
        message = await self._socket.recv()
        assert isinstance(message, bytes)
        return message


@asynccontextmanager
async def provided(
    server: Server, room: str, doc: Doc[Any] | None = None
) -> AsyncIterator[Doc[Any]]:
    """Yield a document that pycrdt's provider keeps in sync, once it is synced."""
    doc = Doc() if doc is None else doc
    async with (
        connect(f"{server.url}/{room}", max_size=None, proxy=None) as socket,
        Provider(doc, WebsocketChannel(socket, room)) as provider,
    ):
        with anyio.fail_after(TIMEOUT_S):
            await provider.synced.wait()
        yield doc


async def until_text(doc: Doc[Any], wanted: str) -> None:
    """Return as soon as the document's text is this."""
    text = doc.get("text", type=Text)
    changed = anyio.Event()

    def look(_: object) -> None:
        if str(text) == wanted:
            changed.set()

    subscription = text.observe(look)
    look(None)
    try:
        with anyio.fail_after(TIMEOUT_S):
            await changed.wait()
    finally:
        text.unobserve(subscription)
    assert str(text) == wanted


async def test_two_python_clients_exchange_edits(shared_server: Server, room: str) -> None:
    """Edits travel both ways between two providers, and a third one gets the sum."""
    async with provided(shared_server, room) as ann, provided(shared_server, room) as bob:
        ann_text = ann.get("text", type=Text)
        ann_text += "héllo 👋"
        await until_text(bob, "héllo 👋")
        bob_text = bob.get("text", type=Text)
        bob_text += " wörld"
        await until_text(ann, "héllo 👋 wörld")
        async with provided(shared_server, room) as carol:
            await until_text(carol, "héllo 👋 wörld")


async def test_what_a_python_client_holds_is_uploaded(shared_server: Server, room: str) -> None:
    """Content made before the connection reaches the server, and from there another client."""
    doc: Doc[Any] = Doc()
    doc["text"] = Text("made before")
    async with provided(shared_server, room, doc), provided(shared_server, room) as other:
        await until_text(other, "made before")


async def test_content_outlives_its_writer(server: Server, room: str) -> None:
    """What one provider wrote is there for the next one, after a restart of the server too."""
    async with provided(server, room) as ann, provided(server, room) as bob:
        ann_text = ann.get("text", type=Text)
        ann_text += "for tomorrow"
        await until_text(bob, "for tomorrow")
    await anyio.to_thread.run_sync(server.restart)
    async with provided(server, room) as carol:
        await until_text(carol, "for tomorrow")


@pytest.mark.node
async def test_python_and_javascript_share_a_document(
    clients: Clients, shared_server: Server, room: str
) -> None:
    """A y-websocket client and a pycrdt provider see each other's text and map values."""
    ann = clients.open("3.1", shared_server.url, room)
    ann.insert("from JavaScript 👋")
    async with provided(shared_server, room) as bob:
        await until_text(bob, "from JavaScript 👋")
        bob_text = bob.get("text", type=Text)
        bob_text += ", from Python ü"
        bob.get("map", type=Map)["n"] = [1, 2.5, None, "ü"]
        await anyio.to_thread.run_sync(
            lambda: ann.wait(
                text="from JavaScript 👋, from Python ü", map={"n": [1, 2.5, None, "ü"]}
            )
        )
