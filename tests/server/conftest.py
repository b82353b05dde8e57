"""Fixtures: both event loops, a hub with a store in memory, an HTTP client of its application."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pycrdt
import pytest

from crdtsync.guarding import DocumentGuard
from crdtsync.hub import Hub
from crdtsync.identity import JWTAuthenticator
from crdtsync.identity.desk import TokenDesk
from crdtsync.server.asgi import create_app
from crdtsync.store.memory import MemoryStore
from tests.identity.making import SECRET


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both event loops."""
    return str(request.param)


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    """An open hub."""
    async with Hub(MemoryStore(), guard=DocumentGuard(tmp_path / "guard")) as hub:
        yield hub


@pytest.fixture
async def http(hub: Hub) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the hub's application, without sockets."""
    async with asgi_client(create_app(hub, lifespan=False)) as client:
        yield client


def asgi_client(app: object, base_url: str = "http://test") -> httpx.AsyncClient:
    """Return a client that calls the application and gets its 500s as responses."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url=base_url)


def sample() -> pycrdt.Doc[object]:
    """Return a document with a root of every kind."""
    doc: pycrdt.Doc[object] = pycrdt.Doc()
    doc["text"] = pycrdt.Text("Hello, wörld")
    doc["map"] = pycrdt.Map({"a": 1.0})
    doc["array"] = pycrdt.Array(["x", True, None])
    return doc


def is_problem(response: httpx.Response, status: int, code: str) -> None:
    """Check that a response is a problem document, complete and consistent."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert set(body) >= {"type", "title", "status", "detail", "code"}
    assert (body["status"], body["code"]) == (status, code)
    assert "Traceback" not in response.text


def make_desk(folder: Path, *, signs: bool = True) -> TokenDesk:
    """Return what explains tokens and, with a key, issues them; its secret is in the folder."""
    path = folder / "secret"
    path.write_bytes(SECRET)
    return TokenDesk(JWTAuthenticator(key_file=path), key_file=path if signs else None)
