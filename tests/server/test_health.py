"""Probes: alive where the loop turns, ready where store and loop work and no shutdown runs."""

import time

import anyio
import anyio.lowlevel
import httpx
import pytest

from crdtsync.errors import StoreFull
from crdtsync.hub import Hub
from crdtsync.server import health
from crdtsync.server.asgi import create_app

from .conftest import asgi_client

pytestmark = pytest.mark.anyio


async def test_live(http: httpx.AsyncClient) -> None:
    """A process whose loop turns is alive."""
    response = await http.get("/health/live")
    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


async def test_ready(http: httpx.AsyncClient) -> None:
    """A hub with nothing wrong is ready, and says what was looked at."""
    response = await http.get("/health/ready")
    assert response.status_code == 200
    assert response.json() == {
        "status": "ok",
        "checks": {"store": "ok", "loop": "ok", "draining": "ok"},
        "restarts": 0,
    }
    assert response.headers["cache-control"] == "no-store"


async def test_not_ready_without_a_store(
    hub: Hub, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that can't be written to makes the server unready, without its details."""

    async def probe() -> None:
        raise StoreFull("no room on /dev/secret", hint="Make room.")

    monkeypatch.setattr(hub.store, "probe", probe)
    response = await http.get("/health/ready")
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["code"] == "not-ready"
    assert body["checks"] == {"store": "it can't be written to", "loop": "ok", "draining": "ok"}
    assert "store" in body["detail"]
    assert "secret" not in response.text


async def test_not_ready_with_a_stuck_store(
    hub: Hub, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that does not answer in time is as good as none."""
    monkeypatch.setattr(health, "PROBE_TIMEOUT_S", 0.01)
    monkeypatch.setattr(hub.store, "probe", anyio.sleep_forever)
    response = await http.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["checks"]["store"] == "no answer within 0.01 s"


async def test_a_probe_is_reused(
    hub: Hub, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many ask at once, the store is probed once."""
    probes = 0

    async def probe() -> None:
        nonlocal probes
        probes += 1
        await anyio.sleep(0.01)

    monkeypatch.setattr(hub.store, "probe", probe)
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(http.get, "/health/ready")
    assert probes == 1


async def test_not_ready_while_draining(hub: Hub, http: httpx.AsyncClient) -> None:
    """A server that shuts down wants no new clients, and is still alive."""
    await hub.drain()
    response = await http.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["checks"]["draining"] == "the server is shutting down"
    assert (await http.get("/health/live")).status_code == 200


async def test_not_ready_with_a_late_loop(hub: Hub) -> None:
    """A loop that something blocks is seen to be late."""
    app = create_app(hub, lifespan=False, max_loop_lag_s=0.02)
    async with asgi_client(app) as client, anyio.create_task_group() as tasks:

        async def hog() -> None:
            while True:
                time.sleep(0.05)  # noqa: ASYNC251 - blocking the loop is the point
                await anyio.lowlevel.checkpoint()

        tasks.start_soon(hog)
        response = await client.get("/health/ready")
        tasks.cancel_scope.cancel()
    assert response.status_code == 503
    assert "late" in response.json()["checks"]["loop"]
