"""Real clients with signed tokens: who is let in, who follows only, who is told to go."""

import time
from collections.abc import Iterator

import pytest

from tests.identity.forgeries import FORGERIES
from tests.identity.making import SECRET, issue

from .harness import VERSIONS, Clients, Server

pytestmark = pytest.mark.node

every_version = pytest.mark.parametrize("version", VERSIONS)
OPTIONS = ("--auth", "jwt", "--auth-key-file", "secret", "--auth-audience", "crdtsync")


def token(**claims: object) -> str:
    """Return a token that holds now, with some claims changed."""
    said = {"sub": "ada", "aud": "crdtsync", "exp": int(time.time()) + 600, **claims}
    return issue(SECRET, "HS256", said)


@pytest.fixture(scope="module", params=["native", "asgi"])
def guarded(
    request: pytest.FixtureRequest, javascript: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server of each transport that checks tokens."""
    folder = tmp_path_factory.mktemp("tokens")
    (folder / "secret").write_bytes(SECRET)
    with Server(folder, *OPTIONS, "--transport", request.param) as server:
        yield server


@every_version
def test_roles(version: str, clients: Clients, guarded: Server, room: str) -> None:
    """A writer's edits reach a reader; the reader's own are refused, and it is told why."""
    writes, reads = token(documents={f"{room}*": "write"}), token(documents={"*": "read"})
    writer = clients.open(version, guarded.url, room, params={"token": writes}, text="by ada")
    reader = clients.open(version, guarded.url, room, params={"token": reads})
    writer.wait(synced=True)
    reader.wait(synced=True, text="by ada")
    reader.insert("scribble")
    reader.wait(warning="read-only")
    writer.insert(", and on")
    another = clients.open(version, guarded.url, room, params={"token": reads})
    another.wait(synced=True, text="by ada, and on")


@every_version
def test_refused(version: str, clients: Clients, guarded: Server, room: str) -> None:
    """With a bad token, or none, a client shows the reason and gets nothing."""
    good = {"token": token(documents={"*": "write"})}
    writer = clients.open(version, guarded.url, room, params=good, text="secret")
    writer.wait(synced=True)
    for params, code, reason in (
        ({}, 4401, "a token is required here"),
        ({"token": token(exp=int(time.time()) - 60)}, 4401, "the token has expired"),
        ({"token": token(aud="another")}, 4401, "the token is for another audience"),
        ({"token": FORGERIES["alg 'none'"]()}, 4401, "the token is no signed JWT"),
        ({"token": FORGERIES["another secret"]()}, 4401, "not signed by a key"),
        ({"token": token(documents={"another": "write"})}, 4403, "no access"),
    ):
        stranger = clients.open(version, guarded.url, room, params=params)
        seen = stranger.wait(warning=reason, events={"connection-close": 1})
        assert seen["text"] == ""
        assert not seen["synced"]
        assert seen["close"] is None or seen["close"]["code"] == code
        stranger.destroy()
