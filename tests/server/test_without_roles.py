"""What people may do over HTTP whom an authenticator gives no role, as docs/http.md has it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from crdtsync.auth import ConnectRequest, OpenAuthenticator
from crdtsync.channels.rules import ChannelRules
from crdtsync.channels.service import Channels
from crdtsync.gate import Principal
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.service import Histories
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.server.asgi import create_app
from crdtsync.store.memory import MemoryStore

from .conftest import asgi_client

pytestmark = pytest.mark.anyio

A = "/api/v1/documents/a"
ASKED = {"document": "a"}
TYPED: Any = {"operations": [{"op": "insert", "path": ["text"], "text": "!"}]}
READS = [
    ("GET", "/api/v1/documents", {}),
    ("GET", f"{A}?format=text", {}),
    ("GET", "/api/v1/chat/messages", {"params": ASKED}),
    ("GET", "/api/v1/versions", {"params": ASKED}),
    ("GET", "/api/v1/history/content", {"params": ASKED | {"at": "s1"}}),
]
WRITES = [
    ("PATCH", A, {"json": TYPED}),
    ("PUT", f"{A}/b", {"content": "Hello", "headers": {"Content-Type": "text/plain"}}),
    ("POST", "/api/v1/chat/messages", {"params": ASKED, "json": {"text": "hi"}}),
    ("POST", "/api/v1/versions", {"json": {"document": "a", "label": "first"}}),
    ("POST", "/api/v1/history/restore", {"json": {"document": "a", "at": "s1"}}),
]
ADMINISTERS = [
    ("DELETE", A, {}),
    ("GET", "/api/v1/quarantine", {}),
    ("POST", "/api/v1/history/prune", {"json": {"document": "a"}}),
    ("POST", "/api/v1/history/erase", {"json": {"document": "a", "before": "s2"}}),
    ("POST", "/api/v1/chat/messages", {"params": ASKED, "json": {"text": "x", "type": "system"}}),
]


class Somebody:
    """Lets in whoever comes, by the token's name, without a role."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        return Principal(id=request.token, read_only=request.token == "reader")


@asynccontextmanager
async def served() -> AsyncIterator[Hub]:
    store = MemoryStore()
    limits = Limits()
    histories = Histories(store, HistoryDatabase(None), limits=limits)
    channels = Channels(ChannelRules(chat=("*",)))
    async with Hub(store, limits=limits, history=histories, channels=channels) as hub:
        yield hub


async def ask(http: httpx.AsyncClient, request: tuple[str, str, dict[str, Any]]) -> int:
    method, path, options = request
    return (await http.request(method, path, **options)).status_code


@pytest.mark.parametrize("token", ["writer", "reader", ""])
async def test_what_they_may(token: str) -> None:
    """They do what they may do over WebSocket, in all documents; and administer nothing."""
    authenticator = Somebody() if token else OpenAuthenticator()
    async with served() as hub:
        await hub.documents.create("a", {"text": {"kind": "text", "value": "Hello"}})
        app = create_app(hub, authenticator=authenticator, lifespan=False)
        async with asgi_client(app) as http:
            if token:
                http.headers["Authorization"] = f"Bearer {token}"
            for request in READS:
                assert await ask(http, request) == 200, request
            for request in WRITES:
                if not token and "chat" in request[1]:
                    continue  # nobody without a name says anything
                done = await ask(http, request)
                assert done == 403 if token == "reader" else done in (200, 201), request
            for request in ADMINISTERS:
                assert await ask(http, request) == 403, request
