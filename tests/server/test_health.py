"""Probes: alive where the loop turns, ready where store and loop work and no shutdown runs."""

import threading
import time
from collections.abc import Iterator

import anyio
import anyio.lowlevel
import httpx
import pytest

from crdtsync.access.service import Access
from crdtsync.auth import Authenticator
from crdtsync.clock import ManualClock
from crdtsync.errors import StoreFull
from crdtsync.hub import Hub
from crdtsync.identity import JWTAuthenticator
from crdtsync.identity.authenticators import UNKNOWN_KEY_PAUSE_S
from crdtsync.server import health
from crdtsync.server.asgi import create_app
from tests.identity.issuer import Issuer, issuing
from tests.identity.making import CLAIMS, ec_key, issue, jwks, public_jwk

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


async def test_a_probe_is_reused_for_a_second(
    hub: Hub, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a probe found is told for a second, good or bad, and then it is looked again."""
    now_s, probes = 1000.0, 0
    failing = False

    async def probe() -> None:
        nonlocal probes
        probes += 1
        if failing:
            raise StoreFull("no room", hint="Make room.")

    async def ready() -> bool:
        return (await http.get("/health/ready")).status_code == 200

    monkeypatch.setattr(hub.store, "probe", probe)
    monkeypatch.setattr(health.anyio, "current_time", lambda: now_s)
    assert await ready()
    failing = True
    now_s += 0.99
    assert await ready()
    assert probes == 1
    now_s += 0.02
    assert not await ready()
    failing = False
    now_s += 0.99
    assert not await ready()
    assert probes == 2
    now_s += 0.02
    assert await ready()
    assert probes == 3


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


REFRESH_S, STALE_S = 300.0, 3600.0


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as issuer:
        issuer.body = jwks(public_jwk(ec_key(), kid="old"))
        yield issuer


async def authentication(client: httpx.AsyncClient) -> tuple[int, str]:
    """Return whether a server is ready, and what it says of its keys."""
    response = await client.get("/health/ready")
    return response.status_code, response.json()["checks"]["authentication"]


@pytest.mark.parametrize("shares", [False, True])
async def test_not_ready_without_keys(hub: Hub, issuer: Issuer, shares: bool) -> None:
    """Without keys nobody gets in: no, until they are there, and nobody else has to ask."""
    clock = ManualClock()
    authenticator: Authenticator = JWTAuthenticator(jwks_url=issuer.url, clock=clock)
    access = Access(hub) if shares else None
    if access is not None:
        authenticator = access.wrap(authenticator)
    app = create_app(hub, authenticator=authenticator, access=access, lifespan=False)
    issuer.status = 503
    gone = 503, "the keys for tokens can't be had"
    async with asgi_client(app) as client:
        assert await authentication(client) == gone
        response = await client.get("/health/ready")
        assert response.json()["detail"] == f"authentication: {gone[1]}"
        assert issuer.url not in response.text
        assert len(issuer.requests) == 1
        issuer.status = 200
        assert await authentication(client) == gone
        clock.advance(UNKNOWN_KEY_PAUSE_S)
        assert await authentication(client) == (200, "ok")


async def test_ready_with_old_keys(hub: Hub, issuer: Issuer) -> None:
    """While old keys hold the server is ready, and says for how long; behind that it is not."""
    clock = ManualClock()
    authenticator = JWTAuthenticator(
        jwks_url=issuer.url, refresh_s=REFRESH_S, stale_s=STALE_S, clock=clock
    )
    await authenticator.prepare()
    app = create_app(hub, authenticator=authenticator, lifespan=False)
    async with asgi_client(app) as client:
        assert await authentication(client) == (200, "ok")
        issuer.status = 503
        clock.advance(REFRESH_S + 100)
        assert (await client.get("/api/v1/documents?token=a.b.c")).status_code == 401
        token = issue(ec_key(), "ES256", {**CLAIMS, "exp": 2_000_000_000, "aud": ...})
        assert (await client.get(f"/api/v1/documents?token={token}")).status_code == 200
        assert await authentication(client) == (
            200,
            "the keys for tokens can't be read again; the old ones hold for 3500 s",
        )
        asked = len(issuer.requests)
        clock.advance(STALE_S)
        assert (await authentication(client))[0] == 503
        assert len(issuer.requests) == asked + 1
        issuer.status = 200
        clock.advance(UNKNOWN_KEY_PAUSE_S)
        assert await authentication(client) == (200, "ok")


async def test_probes_wait_for_no_issuer(hub: Hub, issuer: Issuer) -> None:
    """While an issuer hangs only the one who asks it waits."""
    clock = ManualClock()
    authenticator = JWTAuthenticator(jwks_url=issuer.url, clock=clock)
    app = create_app(hub, authenticator=authenticator, lifespan=False)
    issuer.hold = threading.Event()
    async with asgi_client(app) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(authentication, client)
        try:
            assert await anyio.to_thread.run_sync(issuer.asked.wait, 10)
            with anyio.fail_after(3):
                assert (await authentication(client))[0] == 503
        finally:
            issuer.hold.set()
    async with asgi_client(app) as client:
        assert await authentication(client) == (200, "ok")
    assert len(issuer.requests) == 1
