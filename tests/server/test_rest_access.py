"""Who may read over HTTP: the authenticator decides, and its refusals are problem documents."""

import pytest

from crdtsync.audit import NO_AUDIT, Event, What
from crdtsync.auth import ConnectRequest
from crdtsync.errors import Forbidden, Unauthenticated, Unavailable
from crdtsync.gate import Principal
from crdtsync.guard import MAX_DEATHS, Work
from crdtsync.hub import Hub
from crdtsync.roles import ADMIN, READ
from crdtsync.server.asgi import create_app

from .conftest import asgi_client, is_problem, sample

pytestmark = pytest.mark.anyio

DOCUMENTS = "/api/v1/documents"


class Doorkeeper:
    """Lets the token ``good`` in, and fails for some others in its own ways."""

    def __init__(self) -> None:
        self.requests: list[ConnectRequest] = []

    async def authenticate(self, request: ConnectRequest) -> Principal:
        self.requests.append(request)
        match request.token:
            case "good":
                return Principal(id="someone")
            case "other":
                raise Forbidden("this is not yours")
            case "later":
                raise Unavailable("the directory does not answer")
            case "bug":
                raise KeyError("secret detail")
        raise Unauthenticated("sign in first")


@pytest.mark.parametrize("path", [DOCUMENTS, f"{DOCUMENTS}/a%20b"])
@pytest.mark.parametrize(
    ("token", "status", "code"),
    [
        ("good", 200, ""),
        ("", 401, "unauthenticated"),
        ("other", 403, "forbidden"),
        ("later", 503, "unavailable"),
        ("bug", 503, "unavailable"),
    ],
)
async def test_authentication(hub: Hub, path: str, token: str, status: int, code: str) -> None:
    """Every document route asks the authenticator, with the token wherever it came from."""
    await hub.edit("a b", sample().get_update(), Principal())
    doorkeeper = Doorkeeper()
    app = create_app(hub, authenticator=doorkeeper, lifespan=False)
    async with asgi_client(app) as client:
        for options in (
            {"headers": {"Authorization": f"Bearer {token}"}},
            {"params": {"token": token}},
        ):
            response = await client.get(path, **options)  # type: ignore[arg-type]
            if status == 200:
                assert response.status_code == 200
            else:
                is_problem(response, status, code)
                assert "secret" not in response.text
    assert "www-authenticate" in response.headers or status != 401
    names = {request.document for request in doorkeeper.requests}
    assert names == {"" if path == DOCUMENTS else "a b"}


@pytest.mark.parametrize(
    "path",
    [
        f"{DOCUMENTS}/a%00b",
        f"{DOCUMENTS}/",
        "/api/v1/quarantined/a%00b",
        "/api/v1/quarantine?document=a%00b",
        f"{DOCUMENTS}?limit=0",
        f"{DOCUMENTS}?cursor=none",
        f"{DOCUMENTS}/a?format=none",
    ],
)
async def test_who_asks_comes_before_what_is_wrong(hub: Hub, path: str) -> None:
    """Who is not let in is told that, and not what is wrong with the request."""
    app = create_app(hub, authenticator=Doorkeeper(), lifespan=False)
    async with asgi_client(app) as client:
        is_problem(await client.get(path), 401, "unauthenticated")
        response = await client.get(path, headers={"Authorization": "Bearer good"})
        assert response.status_code in (400, 404, 406)


async def test_probes_and_metrics_want_no_token(hub: Hub) -> None:
    """Probes, metrics, the description and the page are for everybody."""
    app = create_app(hub, authenticator=Doorkeeper(), lifespan=False)
    async with asgi_client(app) as client:
        for path in ("/health/live", "/health/ready", "/metrics", "/api/v1/openapi.json", "/"):
            assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/quarantined", "/api/v1/quarantined/d"])
async def test_quarantined_documents_are_asked_for(hub: Hub, path: str) -> None:
    """The routes of quarantined documents want a token like all others."""
    app = create_app(hub, authenticator=Doorkeeper(), lifespan=False)
    async with asgi_client(app) as client:
        is_problem(await client.get(path), 401, "unauthenticated")
        is_problem(await client.delete(f"{path}/d"), 401, "unauthenticated")


async def test_who_may_only_read_releases_nothing(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Releasing is for who administers, and is in the audit log."""

    class Viewers:
        async def authenticate(self, request: ConnectRequest) -> Principal:
            return Principal(id="viewer", role=ADMIN if request.token == "admin" else READ)

    for _ in range(MAX_DEATHS):
        hub.guard.suspect("d", Work.INTEGRATING, 11)
    events: list[Event] = []
    monkeypatch.setattr(NO_AUDIT, "record", events.append)
    app = create_app(hub, authenticator=Viewers(), lifespan=False)
    async with asgi_client(app) as client:
        is_problem(await client.delete("/api/v1/quarantined/d"), 403, "forbidden")
        assert hub.guard.quarantined("d") is not None
        answer = await client.delete("/api/v1/quarantined/d", params={"token": "admin"})
        assert answer.status_code == 204
    (event,) = [each for each in events if each.what is What.ADMIN]
    assert (event.document, event.principal, event.detail) == ("d", "viewer", {"action": "release"})
    assert event.caller.address == "127.0.0.1"
    assert hub.guard.quarantined("d") is None
