"""Names, sizes and shapes of documents, with every y-websocket client version."""

import pytest

from .harness import VERSIONS, Clients, Server

pytestmark = pytest.mark.node

every_version = pytest.mark.parametrize("version", VERSIONS)


@pytest.mark.parametrize(
    ("written", "same_as"),
    [
        ("a b", "a%20b"),
        ("document/7/7", "document%2F7%2F7"),
        ("ü/日本/👋", "%C3%BC/%E6%97%A5%E6%9C%AC/%F0%9F%91%8B"),
        ("100%25 sure", "100%25%20sure"),
        ("why%3F %23 1", "why%3f%20%23%201"),
    ],
)
def test_one_document_has_one_name(
    written: str, same_as: str, clients: Clients, shared_server: Server, room: str
) -> None:
    """Spaces, slashes, letters and emoji in a name work, encoded or not: it is decoded once."""
    first = clients.open("3.1", shared_server.url, f"{room}/{written}", text="here")
    second = clients.open("2.1", shared_server.url, f"{room}/{same_as}")
    first.wait(synced=True)
    second.wait(synced=True, text="here")


def test_names_that_differ_are_different_documents(
    clients: Clients, shared_server: Server, room: str
) -> None:
    """Case, a trailing slash, a doubled slash and a second encoding each make another name."""
    names = ["a/b", "A/b", "a/b/", "a//b", "a%252Fb", "a", "b"]
    opened = [clients.open("3.1", shared_server.url, f"{room}/{name}", text=name) for name in names]
    for client in opened:
        client.wait(synced=True)
    for name in names:
        clients.open("3.1", shared_server.url, f"{room}/{name}").wait(synced=True, text=name)


@every_version
def test_query_parameters_do_not_disturb(
    version: str, clients: Clients, shared_server: Server, room: str
) -> None:
    """`params` are not part of the document's name."""
    params = {"yauth": "a b&c=ü/?", "empty": ""}
    first = clients.open(version, shared_server.url, room, text="here", params=params)
    second = clients.open(version, shared_server.url, room)
    first.wait(synced=True)
    second.wait(synced=True, text="here")


@every_version
def test_resync_interval_is_answered_every_time(
    version: str, clients: Clients, shared_server: Server, room: str
) -> None:
    """A client that repeats its step 1 gets a step 2 each time and stays connected."""
    client = clients.open(version, shared_server.url, room, resyncInterval=30)
    seen = client.wait(frames={"step2": 5})
    assert seen["events"].get("connection-close") is None
    assert seen["events"]["synced"] == 1


@every_version
def test_a_large_document_goes_up_and_down(
    version: str, clients: Clients, shared_server: Server, room: str
) -> None:
    """Five megabytes written offline reach the server, and from there another client."""
    text = "".join(f"line {n:07d} of a large document\n" for n in range(150_000))
    ann = clients.open(version, shared_server.url, room, text=text)
    ann.wait(synced=True)
    bob = clients.open(version, shared_server.url, room)
    seen = bob.wait(synced=True, length=len(text), timeout_s=30)
    assert seen["text"] == text
    bob.insert("the end")
    ann.wait(length=len(text) + 7)
    assert ann.read()["events"].get("connection-close") is None


def test_a_large_document_comes_in_several_frames(
    clients: Clients, shared_server: Server, room: str
) -> None:
    """A client on a slow line hears something now and then, instead of one giant step 2."""
    ann = clients.open("3.1", shared_server.url, room)
    ann.wait(synced=True)
    for n in range(40):
        ann.insert(f"{n:04d} " * 20_000, at=0)
    bob = clients.open("3.1", shared_server.url, room)
    bob.wait(synced=True, length=4_000_000)
    carol = clients.open("3.1", shared_server.url, room)
    seen = carol.wait(synced=True, length=4_000_000)
    assert seen["frames"]["update"] >= 3
    assert seen["largest"] < 2_000_000


@every_version
def test_continuation_frames_are_put_together(
    version: str, clients: Clients, shared_server: Server, room: str
) -> None:
    """A message in many WebSocket fragments counts as one."""
    text = "fragment " * 5_000
    ann = clients.open(version, shared_server.url, room, fragment=100, text=text)
    ann.wait(synced=True)
    bob = clients.open(version, shared_server.url, room)
    bob.wait(synced=True, text=text)
    ann.insert("more " * 1_000)
    bob.wait(text=text + "more " * 1_000)
    assert ann.read()["events"].get("connection-close") is None
