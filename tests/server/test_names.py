"""Hostile document names over WebSocket, over REST and from the library: the same on all ways in.

Nothing is created outside of the store's folder, no two names share a document, and each name
is read back as itself or refused.
"""

import asyncio
import json
import re
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import cycle
from pathlib import Path
from socket import create_connection
from typing import Any
from urllib.parse import unquote

import pytest

from crdtsync.auth import ConnectRequest
from crdtsync.errors import CloseCode, InvalidDocumentName
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.roles import ADMIN
from tests.names import NAMES, REFUSED, UNREADABLE, WRITTEN
from tests.native import kit as native
from tests.native.kit import Peer, Replica, typed
from tests.store.kit import Maker

from .harness import SERVERS, TIMEOUT_S, running

LIMITS = Limits(refusal_delay_s=0, commit_interval_s=0)
DOCUMENTS = "/api/v1/documents"


class Trusting:
    """Takes everybody for an administrator."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        return Principal(role=ADMIN)


@dataclass(frozen=True, slots=True)
class Running:
    """A running server: its port, its hub, and a way to call that."""

    port: int
    hub: Hub
    call: Callable[..., Any]
    http: HTTPConnection

    def over_websocket(self, path: str, text: str = "") -> str:
        """Type into the document at an encoded path, or read it; return its text."""
        with Peer(create_connection(("127.0.0.1", self.port), TIMEOUT_S)) as peer:
            peer.upgrade(f"/{path}?ack=1")
            peer.sync()
            if text:
                peer.send(typed(1, 0, text))
                peer.read_until(lambda: peer.replica.text == text)  # it is stored
            peer.send_close()
            return peer.replica.text

    def refused_over_websocket(self, path: str) -> tuple[int, str]:
        """Return with which code and reason a path is refused."""
        with Peer(create_connection(("127.0.0.1", self.port), TIMEOUT_S)) as peer:
            peer.upgrade(f"/{path}")
            frame = peer.close_frame()
            assert peer.auth_reason() == frame.reason
            peer.send_close(frame.code)
            return frame.code, frame.reason

    def over_rest(self, path: str, method: str = "GET") -> tuple[int, Any]:
        """Request an encoded path below the documents; return the status and what was said."""
        self.http.close()  # it may have idled for too long: the next request connects anew
        self.http.request(method, f"{DOCUMENTS}{path}")
        response = self.http.getresponse()
        body = response.read()
        return response.status, json.loads(body) if body else None

    def by_library(self, name: str, text: str = "") -> str:
        """Type into a document, or read it, with the library; return its text."""

        async def work() -> str:
            if text:
                await self.hub.edit(name, typed(1, 0, text)[3:])
            async with self.hub.open(name) as room:
                replica = Replica()
                replica.apply(room.state())
                return replica.text

        return str(self.call(work))

    def listed(self) -> list[str]:
        """Walk the list over REST; each document's own URL has to lead to it."""
        found: list[str] = []
        following: str | None = f"{DOCUMENTS}?limit=200"
        while following is not None:
            status, body = self.over_rest(following.removeprefix(DOCUMENTS))
            assert status == 200
            for entry in body["documents"]:
                status, own = self.over_rest(entry["url"].removeprefix(DOCUMENTS))
                assert (status, own["name"]) == (200, entry["name"])
            found += [entry["name"] for entry in body["documents"]]
            following = body["next"]
        return found


@contextmanager
def natively(make: Maker) -> Iterator[Running]:
    """``crdtsync serve`` on a store."""
    with native.Server(store=make(), authenticator=Trusting(), limits=LIMITS) as server:

        def call(function: Callable[[], Coroutine[Any, Any, object]]) -> object:
            return asyncio.run_coroutine_threadsafe(function(), server._loop).result(TIMEOUT_S)

        with closing(HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S)) as http:
            yield Running(server.port, server.hub, call, http)


@contextmanager
def by_asgi(kind: str) -> Iterator[Running]:
    """The ASGI application on one of the servers that it runs on."""
    with (
        running(kind, authenticator=Trusting(), limits=LIMITS) as server,
        closing(HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S)) as http,
    ):
        yield Running(server.port, server.hub, server.call, http)


def ways_to_write() -> Iterator[Callable[[str], str]]:
    """Yield each way to write a name into a URL, in turn."""
    return cycle(WRITTEN.values())


def prove_names(server: Running, names: Sequence[str] = NAMES) -> None:
    """Write every document on one way, read it on all; delete every other one."""
    written = ways_to_write()
    for number, name in enumerate(names):
        if number % 2:
            assert server.by_library(name, str(number)) == str(number)
        else:
            assert server.over_websocket(next(written)(name), str(number)) == str(number)
        next(written)  # so that each way meets names of each kind
    for number, name in enumerate(names):
        assert server.by_library(name) == str(number), repr(name)
        assert server.over_websocket(next(written)(name)) == str(number), repr(name)
        path = f"/{next(written)(name)}?format=json"
        assert server.over_rest(path) == (200, {"text": str(number)}), repr(name)
        next(written)
    assert server.listed() == sorted(names)
    for name in names[::2]:
        assert server.over_rest(f"/{next(written)(name)}", "DELETE") == (204, None), repr(name)
    assert server.listed() == sorted(names[1::2])
    for number, name in enumerate(names):
        assert server.by_library(name) == (str(number) if number % 2 else ""), repr(name)


def prove_refusals(server: Running) -> None:
    """Ask for each name that none can have, on all ways; nothing comes of it."""
    for name in REFUSED:
        with pytest.raises(InvalidDocumentName) as refused:
            server.by_library(name, "x")
        for write in WRITTEN.values():
            path = write(name)
            assert server.refused_over_websocket(path) == (
                CloseCode.INVALID_DOCUMENT_NAME,
                str(refused.value),
            )
            for method in ("GET", "DELETE"):
                status, body = server.over_rest(f"/{path}", method)
                assert (status, body["code"]) == (400, "invalid-document-name"), repr(name)
                assert body["detail"] == str(refused.value) or not name  # REST has its own words
    for path in UNREADABLE:
        code, reason = server.refused_over_websocket(path)
        assert (code, reason) == (4414, "the document's name is not UTF-8")
        for method in ("GET", "DELETE"):
            status, body = server.over_rest(f"/{path}", method)
            assert (status, body["code"]) == (400, "invalid-document-name")
            assert body["detail"] == reason
        name = unquote(path, errors="surrogateescape")
        with pytest.raises(InvalidDocumentName, match=reason):
            server.by_library(name, "x")
    assert server.listed() == []


def test_there_are_enough_of_them() -> None:
    """Names of every kind, each once, all within the limit."""
    assert len(NAMES) == len(set(NAMES)) > 400
    assert all(len(name.encode()) <= LIMITS.max_document_name_bytes for name in NAMES)


@pytest.mark.parametrize("kind", ["memory", "sqlite", "file"])
def test_names_on_every_store(tmp_path: Path, kind: str) -> None:
    """Each name is a document of its own on all three ways in, also after a restart."""
    inside = tmp_path / "inside" / "of"
    inside.mkdir(parents=True)
    make = Maker(kind, inside)
    with natively(make) as server:
        prove_refusals(server)
        prove_names(server)
    if kind != "memory":
        with natively(make) as server:
            assert server.listed() == sorted(NAMES[1::2])
            for number, name in list(enumerate(NAMES))[1::2]:
                assert server.by_library(name) == str(number)
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]
    assert [path.name for path in inside.parent.iterdir()] == ["of"]
    assert all(path.name.startswith("store") for path in inside.iterdir())
    for path in inside.rglob("*"):
        assert re.fullmatch(r"[a-z0-9_.%~-]+", path.name), path


@pytest.mark.parametrize("kind", SERVERS)
def test_names_on_every_transport(kind: str) -> None:
    """It is the same on the servers that run the ASGI application."""
    with by_asgi(kind) as server:
        prove_refusals(server)
        prove_names(server, NAMES[::25])
