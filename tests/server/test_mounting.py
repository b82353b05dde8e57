"""The application inside another one: Starlette and FastAPI, documents and API below a mount."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from crdtsync.forwarded import Proxies
from crdtsync.hub import Hub
from crdtsync.server import create_app
from crdtsync.server.doors import Doors
from crdtsync.store.memory import MemoryStore

from .harness import SERVERS, Client, running


def holding(hub: Hub) -> Callable[[Any], Any]:
    """Return a lifespan that holds a hub, as an outer application does."""

    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        async with hub:
            yield

    return lifespan


def in_starlette(hub: Hub) -> ASGIApp:
    """Mount the application in Starlette, two levels deep."""

    async def own(request: Request) -> PlainTextResponse:
        return PlainTextResponse("own")

    inner = Mount("/collab", create_app(hub, lifespan=False))
    routes = [Route("/", own), Mount("/apps", routes=[inner])]
    return Starlette(routes=routes, lifespan=holding(hub))


def in_fastapi(hub: Hub) -> ASGIApp:
    """Mount the application in FastAPI."""
    app = FastAPI(lifespan=holding(hub))

    @app.get("/")
    async def own() -> str:
        return "own"

    app.mount("/apps/collab", create_app(hub, lifespan=False))
    return app


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("make_app", [in_starlette, in_fastapi])
def test_mounted(kind: str, make_app: Callable[[Hub], ASGIApp]) -> None:
    """Below a mount, names and links are relative to it, and the outer routes stay."""
    with running(kind, make_app=make_app) as server:
        url = server.url("apps/collab/a%20b/%252F")
        with Client(url).sync() as one, Client(url).sync() as two:
            one.append("mounted")
            two.receive_until(lambda: str(two.text) == "mounted")
            assert list(server.call(lambda: list(server.hub.rooms))) == ["a b/%2F"]
        base = server.url("", "http")
        assert "own" in httpx.get(base).text
        page = httpx.get(f"{base}apps/collab/").text
        assert f'WebsocketProvider("{server.url("apps/collab")}", ' in page
        assert 'href="/apps/collab/health/ready"' in page
        listed = httpx.get(f"{base}apps/collab/api/v1/documents").json()["documents"]
        assert [entry["name"] for entry in listed] == ["a b/%2F"]
        found = httpx.get(base.rstrip("/") + listed[0]["url"] + "?format=text")
        assert found.text == "mounted"
        missing = httpx.get(f"{base}apps/collab/none")
        assert missing.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("kind", SERVERS)
def test_mounted_at_the_root(kind: str) -> None:
    """A mount at the root behind other routes leaves those alone."""

    def make_app(hub: Hub) -> ASGIApp:
        async def own(request: Request) -> PlainTextResponse:
            return PlainTextResponse("own")

        routes = [Route("/own", own), Mount("/", create_app(hub, lifespan=False))]
        return Starlette(routes=routes, lifespan=holding(hub))

    with running(kind, make_app=make_app) as server:
        assert httpx.get(server.url("own", "http")).text == "own"
        with Client(server.url("own")).sync():
            assert list(server.call(lambda: list(server.hub.rooms))) == ["own"]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_below_a_configured_root_path() -> None:
    """A server's ``root_path`` need not be part of the path that it passes on."""
    async with Hub(MemoryStore()) as hub:
        transport = httpx.ASGITransport(create_app(hub, lifespan=False), root_path="/behind")  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            assert 'href="/behind/metrics"' in (await client.get("/")).text
            response = await client.get("/api/v1/documents/none")
            assert response.json()["code"] == "unknown-document"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("root_path", ["", "/mount"])
@pytest.mark.parametrize("prefix", ["/collab", "/api", "/%C3%BCber%20uns"])
async def test_below_what_a_proxy_takes_off(prefix: str, root_path: str) -> None:
    """Every link leads where the proxy takes requests from; only a trusted one is asked."""
    headers = {"X-Forwarded-Prefix": prefix}
    async with Hub(MemoryStore()) as hub:
        doors = Doors(proxies=Proxies(("127.0.0.1",)))
        app = create_app(hub, lifespan=False, doors=doors)
        transport = httpx.ASGITransport(app, root_path=root_path)  # type: ignore[arg-type]
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test", headers=headers
        ) as client:
            base = f"{prefix}{root_path}"

            async def follow(url: str) -> httpx.Response:
                assert url.startswith(f"{base}/"), url
                return await client.get(url.removeprefix(base))

            made = await client.put(
                "/api/v1/documents/api/a%2520%2Fb",
                content="Hello",
                headers={"Content-Type": "text/plain"},
            )
            assert made.status_code == 201
            assert (await follow(made.headers["location"])).json()["name"] == "api/a%20/b"
            (listed,) = (await client.get("/api/v1/documents")).json()["documents"]
            assert (await follow(f"{listed['url']}?format=text")).text == "Hello"
            page = (await client.get("/")).text
            assert f'WebsocketProvider("ws://test{base}", ' in page
            for link in re.findall(r'href="(.*?)"', page):
                assert (await follow(link)).status_code == 200
            page = (await client.get("/documents/a/history")).text
            for link in re.findall(r'(?:src|href)="(/.*?)"', page):
                assert (await follow(link)).status_code == 200
        transport = httpx.ASGITransport(app, client=("192.0.2.1", 1))  # type: ignore[arg-type]
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test", headers=headers
        ) as client:
            assert 'href="/metrics"' in (await client.get("/")).text


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_prefix_that_the_server_knows() -> None:
    """A server that has its ``root_path`` from the same proxy doesn't say it twice."""
    async with Hub(MemoryStore()) as hub:
        doors = Doors(proxies=Proxies(("127.0.0.1",)))
        app = create_app(hub, lifespan=False, doors=doors)
        transport = httpx.ASGITransport(app, root_path="/collab")  # type: ignore[arg-type]
        headers = {"X-Forwarded-Prefix": "/collab"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test", headers=headers
        ) as client:
            assert 'href="/collab/metrics"' in (await client.get("/")).text
