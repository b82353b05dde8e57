"""pycrdt's provider over pycrdt-websocket's own channel, beside our client, on the real server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest
from httpx_ws import aconnect_ws
from pycrdt import Array, Doc, Map, Provider, Text
from pycrdt.websocket.websocket import HttpxWebsocket

from crdtsync.client import connect

from .harness import Server
from .test_pycrdt_provider import TIMEOUT_S, until_text

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both work on either."""
    return str(request.param)


@asynccontextmanager
async def provided(
    server: Server, room: str, doc: Doc[Any] | None = None
) -> AsyncIterator[Doc[Any]]:
    """Yield a document that the provider keeps in sync, once it is synced."""
    doc = Doc() if doc is None else doc
    async with (
        aconnect_ws(f"{server.http}/{room}", max_message_size_bytes=1 << 26) as socket,
        Provider(doc, HttpxWebsocket(socket, room)) as provider,
    ):
        with anyio.fail_after(TIMEOUT_S):
            await provider.synced.wait()
        yield doc


async def test_a_provider_and_our_client_share_a_document(
    shared_server: Server, room: str, anyio_backend: str
) -> None:
    """Texts, maps and arrays travel both ways."""
    url = f"{shared_server.url}/{room}-{anyio_backend}"
    async with (
        provided(shared_server, f"{room}-{anyio_backend}") as ann,
        connect(url, wait=True) as bob,
    ):
        ann_text = ann.get("text", type=Text)
        ann_text += "from the provider 👋"
        await until_text(bob.doc, "from the provider 👋")
        with bob.doc.transaction():
            bob.doc.get("map", type=Map)["list"] = Array([1, Map({"k": "ü"})])
            bob_text = bob.doc.get("text", type=Text)
            bob_text += ", from the client"
        with anyio.fail_after(TIMEOUT_S):
            await bob.saved()
        await until_text(ann, "from the provider 👋, from the client")
        assert ann.get("map", type=Map).to_py() == {"list": [1, {"k": "ü"}]}


async def test_a_provider_comes_back_with_its_document(server: Server, room: str) -> None:
    """After a restart a provider with the same document brings what it wrote meanwhile."""
    doc: Doc[Any] = Doc()
    async with provided(server, room, doc):
        text = doc.get("text", type=Text)
        text += "before"
        async with connect(f"{server.url}/{room}", wait=True) as other:
            await until_text(other.doc, "before")
    text += ", meanwhile"
    await anyio.to_thread.run_sync(server.restart)
    async with provided(server, room, doc), connect(f"{server.url}/{room}") as other:
        await until_text(other.doc, "before, meanwhile")


async def test_a_large_document_reaches_a_provider(server: Server, room: str) -> None:
    """Some megabytes in many frames make the whole document."""
    async with connect(f"{server.url}/{room}") as writer:
        text = writer.doc.get("text", type=Text)
        for number in range(300):
            text += f"{number:05}" * 2000
        with anyio.fail_after(TIMEOUT_S):
            await writer.saved()
        async with provided(server, room) as doc:
            await until_text(doc, str(text))
