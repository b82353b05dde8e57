"""What clients do when the server says no."""

import time
from typing import Any

import httpx
import pytest

from .harness import VERSIONS, Clients, Server

pytestmark = pytest.mark.node

every_version = pytest.mark.parametrize("version", VERSIONS)
final_versions = pytest.mark.parametrize("version", ["3.1"])
"""Clients that take a close code from 4400 to 4499 as final."""


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
def test_a_reader_that_types_on_stays(
    version: str, clients: Clients, guarded: Server, room: str
) -> None:
    """A read-only client is told once, not listened to, and stays connected and present."""
    writer = clients.open(version, guarded.url, room, params={"token": "ann"})
    reader = clients.open(
        version, guarded.url, room, params={"token": "reader"}, state={"name": "reader"}
    )
    writer.wait(synced=True)
    reader.wait(synced=True)
    for _ in range(20):
        reader.insert("x")
    writer.insert("news")
    seen = reader.wait(contains=["news"])
    assert seen["frames"]["auth"] == 1
    assert seen["connected"]
    assert seen["events"]["connecting"] == 1
    writer.wait(peers=["reader"])
    assert "x" not in writer.read()["text"]
    kept = refused_updates(guarded, room)
    assert [(each["author"], each["kind"]) for each in kept] == [("reader", "read-only")]
    assert sum(each["updates"] for each in kept) == 20


COMING_BACK = [version for version in VERSIONS if version != "3.1"]
"""Clients that come back after any close code, with all that they have."""


@every_version
def test_a_refused_writer_is_told_and_sent_away(
    version: str, clients: Clients, guarded: Server, room: str
) -> None:
    """Every version shows the reason; those that know final codes stop, with code and reason."""
    writer = clients.open(version, guarded.url, room, params={"token": "ann"}, text="fine")
    reader = clients.open(version, guarded.url, room, params={"token": "reader"})
    writer.wait(synced=True)
    reader.wait(synced=True, text="fine")
    writer.set("key", "mine")
    seen = writer.wait(warning="the map is not yours", events={"connection-close": 1})
    if version not in COMING_BACK:
        seen = writer.wait(events={"closed": 1})
        reason = "start from a fresh document: the map is not yours"
        assert seen["closed"] == {"code": 4409, "reason": reason}
        assert seen["events"]["connecting"] == 1
    (kept,) = refused_updates(guarded, room)
    assert (kept["author"], kept["reason"]) == ("ann", "the map is not yours")
    assert reader.read()["map"] == {}
    writer.destroy()

    # The recipe: a fresh document, and a fresh provider on it.
    again = clients.open(version, guarded.url, room, params={"token": "ann"})
    again.wait(synced=True, text="fine", map={})
    again.insert(" again")
    reader.wait(text="fine again")


@pytest.mark.parametrize("version", COMING_BACK)
def test_who_comes_back_with_refused_edits_is_no_storm(
    version: str, clients: Clients, guarded: Server, room: str
) -> None:
    """Older clients return after any code: each time they wait longer, and leave one entry."""
    writer = clients.open(version, guarded.url, room, params={"token": "ann"})
    writer.wait(synced=True)
    started = time.monotonic()
    writer.set("key", "mine")
    seen = writer.wait(events={"connection-close": 4}, timeout_s=30)
    waited = time.monotonic() - started
    assert seen["close"]["code"] == 4409
    assert waited > 0.25 + 0.5 + 1 + 2
    assert seen["frames"]["auth"] == 4
    kept = refused_updates(guarded, room)
    assert [each["updates"] for each in kept] == [1]


def refused_updates(server: Server, room: str) -> list[dict[str, Any]]:
    """Return what the quarantine has of a document."""
    url = f"{server.http}/api/v1/quarantine"
    parameters = {"document": room, "token": "root"}
    response = httpx.get(url, params=parameters, trust_env=False)
    return list(response.raise_for_status().json()["entries"])


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


def deleted(server: Server, room: str) -> None:
    """Delete a document over HTTP."""
    url = f"{server.http}/api/v1/documents/{room}?token=root"
    assert httpx.delete(url, trust_env=False).status_code == 204


@every_version
def test_who_is_in_a_deleted_document_is_told(
    version: str, clients: Clients, guarded: Server, room: str
) -> None:
    """Each client that is there hears why, with 4403."""
    client = clients.open(version, guarded.url, room, params={"token": "ann"}, text="old")
    client.wait(synced=True)
    deleted(guarded, room)
    seen = client.wait(events={"connection-close": 1})
    assert seen["close"] is None or seen["close"]["code"] == 4403


@final_versions
def test_a_deleted_document_stays_deleted(
    version: str, clients: Clients, guarded: Server, room: str
) -> None:
    """A client that takes 44xx for final doesn't come back, whatever is typed into it."""
    several = [
        clients.open(version, guarded.url, room, params={"token": "ann"}, text="old")
        for _ in range(3)
    ]
    for client in several:
        client.wait(synced=True)
    deleted(guarded, room)
    for client in several:
        seen = client.wait(events={"closed": 1})
        assert seen["closed"] == {"code": 4403, "reason": "the document was deleted"}
        client.insert("late")
    time.sleep(0.5)  # a client that comes back does within 0.2 s
    for client in several:
        assert client.read()["events"]["connecting"] == 1
    answer = httpx.get(f"{guarded.http}/api/v1/documents/{room}?token=root", trust_env=False)
    assert answer.status_code == 404
