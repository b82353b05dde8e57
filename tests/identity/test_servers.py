"""Signed tokens under every ASGI server, and programs that mount the application."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crdtsync.clock import ManualClock
from crdtsync.hub import Hub
from crdtsync.identity import JWTAuthenticator
from crdtsync.limits import Limits
from crdtsync.server import ConfiguredApp
from crdtsync.store import MemoryStore
from tests.server.harness import SERVERS, Client, Server, running

from .forgeries import FORGERIES, hs
from .making import SECRET


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server of each kind that checks tokens."""
    path: Path = tmp_path_factory.mktemp("keys") / "secret"
    path.write_bytes(SECRET)
    clock = ManualClock()
    authenticator = JWTAuthenticator(
        key_file=path,
        audience=["crdtsync"],
        issuer=["https://id.example.org"],
        clock=clock,
    )
    hub = Hub(MemoryStore(), limits=Limits(refusal_delay_s=0.01), clock=clock)
    with running(request.param, hub=hub, authenticator=authenticator) as server:
        yield server


def test_let_in(server: Server) -> None:
    """Who has a token for the document edits it, as whom the token names."""
    with Client(server.url(f"team/plan?token={hs()}")).sync() as client:
        client.append("by ada")
        room = server.hub.rooms["team/plan"]
        (principal,) = server.call(lambda: [each.principal for each in room.connections])
    assert principal.id == "ada"
    assert principal.role.name == "write"
    assert principal.expires_s == 1_700_000_610


@pytest.mark.parametrize(
    "name",
    [
        "alg 'none'",
        "alg 'none' with a signature",
        "HS256 with the public key, no kid",
        "kid '../../../../dev/null'",
        "expired",
        "not yet valid",
        "aud is 'another'",
        "the header is no JSON",
        "exp is NaN (3)",
        "a name is half a surrogate pair",
        "crit",
    ],
)
def test_refused(server: Server, name: str) -> None:
    """A forged token is told why and closed for good; the server goes on."""
    with Client(server.url(f"team/plan?token={FORGERIES[name]()}")) as client:
        close = client.closed()
    assert close.code == 4401
    assert close.reason


def test_no_access(server: Server) -> None:
    """A genuine token for other documents is refused as such."""
    with Client(server.url(f"home?token={hs()}")) as client:
        close = client.closed()
    assert (close.code, close.reason) == (4403, "you have no access to this document")


@pytest.mark.parametrize("kind", SERVERS)
def test_the_configured_application(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``crdtsync.server:app`` asks for tokens where the configuration says so."""
    path = tmp_path / "secret"
    path.write_bytes(SECRET)
    monkeypatch.setenv("CRDTSYNC_AUTH", "jwt")
    monkeypatch.setenv("CRDTSYNC_AUTH_KEY_FILE", str(path))
    monkeypatch.setenv("CRDTSYNC_STORE", f"sqlite:{tmp_path / 'store.db'}")
    app = ConfiguredApp()
    with running(kind, make_app=lambda _: app) as server, Client(server.url("plan")) as client:
        assert client.closed().code == 4401
