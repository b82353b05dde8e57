"""What clients do when the server says no."""

from collections.abc import Iterator

import pytest

from .harness import HERE, VERSIONS, Clients, Server

pytestmark = pytest.mark.node

every_version = pytest.mark.parametrize("version", VERSIONS)
final_versions = pytest.mark.parametrize("version", ["3.1"])
"""Clients that take a close code from 4400 to 4499 as final."""


@pytest.fixture(scope="module")
def guarded(javascript: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with tokens (guarded_server.py)."""
    folder = tmp_path_factory.mktemp("guarded")
    with Server(folder, script=HERE / "guarded_server.py") as server:
        yield server


@every_version
def test_a_stranger_is_told_why(version: str, clients: Clients, guarded: Server, room: str) -> None:
    """Without a token the client shows the reason and gets nothing, whether it retries or not."""
    writer = clients.open(version, guarded.url, room, params={"token": "ann"}, text="secret")
    writer.wait(synced=True)
    stranger = clients.open(version, guarded.url, room)
    seen = stranger.wait(warning="a token is needed", events={"connection-close": 1})
    assert seen["text"] == ""
    assert seen["close"] is None or seen["close"]["code"] == 4401
    assert not seen["synced"]


@final_versions
def test_a_refusal_is_final(version: str, clients: Clients, guarded: Server, room: str) -> None:
    """The client emits `closed` with code and reason, and does not come back."""
    stranger = clients.open(version, guarded.url, room)
    seen = stranger.wait(events={"closed": 1})
    assert seen["closed"] == {"code": 4401, "reason": "a token is needed"}
    banned = clients.open(version, guarded.url, f"closed/{room}", params={"token": "ann"})
    seen = banned.wait(events={"closed": 1})
    assert seen["closed"] == {"code": 4403, "reason": "this document is closed to you"}
    assert seen["events"]["connecting"] == 1


@final_versions
def test_a_name_that_is_too_long_is_refused(
    version: str, clients: Clients, shared_server: Server
) -> None:
    """A document name over the limit is told and final."""
    client = clients.open(version, shared_server.url, "x" * 600)
    seen = client.wait(events={"closed": 1})
    assert seen["closed"]["code"] == 4414
    assert seen["warnings"]


@every_version
def test_a_reader_follows_but_does_not_edit(
    version: str, clients: Clients, guarded: Server, room: str
) -> None:
    """A read-only client sees edits and presence; its own edit is refused, told, and not shown."""
    writer = clients.open(
        version, guarded.url, room, params={"token": "ann"}, state={"name": "ann"}
    )
    reader = clients.open(
        version, guarded.url, room, params={"token": "reader"}, state={"name": "reader"}
    )
    writer.wait(synced=True, peers=["reader"])
    reader.wait(synced=True, peers=["ann"])
    writer.insert("for all to read")
    reader.wait(text="for all to read")
    assert reader.read()["warnings"] == []
    reader.insert("scribble")
    reader.wait(warning="read-only")
    writer.insert(". The end")
    another = clients.open(version, guarded.url, room, params={"token": "bob"})
    another.wait(synced=True, text="for all to read. The end")
    assert writer.read()["text"] == "for all to read. The end"


@every_version
def test_a_token_that_changes_lets_the_client_in(
    version: str, clients: Clients, guarded: Server, room: str
) -> None:
    """A client with a token gets in where the one without did not: refusals leave no trace."""
    stranger = clients.open(version, guarded.url, room, text="mine")
    stranger.wait(events={"connection-close": 1})
    stranger.destroy()
    friend = clients.open(version, guarded.url, room, params={"token": "ann"})
    friend.wait(synced=True, text="")
