"""Every y-websocket client version syncs with the real server, whatever happens to it."""

import pytest

from .harness import VERSIONS, Clients, Server

pytestmark = pytest.mark.node

every_version = pytest.mark.parametrize("version", VERSIONS)


@every_version
def test_an_empty_document_reports_synced(
    version: str, clients: Clients, shared_server: Server, room: str
) -> None:
    """A client of an empty document gets a step 2, though it is empty, and reports `synced`."""
    client = clients.open(version, shared_server.url, room)
    seen = client.wait(synced=True)
    assert seen["events"]["synced"] == 1
    assert seen["text"] == ""
    assert client.wait(frames={"step1": 1, "step2": 1})["frames"]["step2"] == 1


@every_version
def test_two_clients_exchange_edits_and_a_late_one_gets_all(
    version: str, clients: Clients, shared_server: Server, room: str
) -> None:
    """Edits, deletions and map values travel both ways, and a late joiner gets the sum."""
    ann = clients.open(version, shared_server.url, room)
    bob = clients.open(version, shared_server.url, room)
    ann.wait(synced=True)
    bob.wait(synced=True)
    ann.insert("héllo wörld 👋")
    bob.wait(text="héllo wörld 👋")
    bob.remove(0, 6)
    bob.set("color", {"rgb": [1, 2.5, None]})
    ann.wait(text="wörld 👋", map={"color": {"rgb": [1, 2.5, None]}})
    carol = clients.open(version, shared_server.url, room)
    carol.wait(synced=True, text="wörld 👋", map={"color": {"rgb": [1, 2.5, None]}})


def test_all_versions_edit_one_document(clients: Clients, shared_server: Server, room: str) -> None:
    """Clients of every version in one room converge on one text."""
    everyone = [clients.open(version, shared_server.url, room) for version in VERSIONS]
    for client in everyone:
        client.wait(synced=True)
    for version, client in zip(VERSIONS, everyone, strict=True):
        client.insert(f"[{version}]", at=0)
    words = [f"[{version}]" for version in VERSIONS]
    texts = {client.wait(contains=words)["text"] for client in everyone}
    assert len(texts) == 1
    assert len(texts.pop()) == len("".join(words))


@every_version
def test_a_split_surrogate_pair_is_one_text_for_all(
    version: str, clients: Clients, server: Server, room: str
) -> None:
    """Half an emoji goes, another is parted: whoever joins, now or tomorrow, sees the same."""
    ann = clients.open(version, server.url, room)
    ann.insert("a😀b👋c")
    bob = clients.open(version, server.url, room)
    bob.wait(text="a😀b👋c")
    bob.remove(2, 1)
    ann.wait(text="a\ufffdb👋c")
    ann.insert("-", at=4)
    parted = "a\ufffdb\ufffd-\ufffdc"
    ann.wait(text=parted)
    bob.wait(text=parted)
    clients.open(version, server.url, room).wait(synced=True, text=parted)
    server.restart()
    clients.open(version, server.url, room).wait(synced=True, text=parted)
    ann.wait(synced=True, text=parted)


@every_version
def test_content_made_before_the_first_connection_arrives(
    version: str, clients: Clients, shared_server: Server, room: str
) -> None:
    """What a client holds when it first connects reaches the server through its step 2."""
    first = clients.open(version, shared_server.url, room, text="written offline")
    first.wait(synced=True)
    second = clients.open(version, shared_server.url, room)
    second.wait(text="written offline")


@every_version
def test_offline_edits_on_both_sides_of_a_restart_converge(
    version: str, clients: Clients, server: Server, room: str
) -> None:
    """Both clients edit while the server is down; it returns on its port and all converge."""
    ann = clients.open(version, server.url, room, maxBackoffTime=400)
    bob = clients.open(version, server.url, room, maxBackoffTime=400)
    ann.wait(synced=True)
    ann.insert("before. ")
    bob.wait(text="before. ")
    server.stop()
    ann.wait(connected=False)
    bob.wait(connected=False)
    ann.insert("ann offline. ")
    bob.insert("bob offline. ")
    server.start()
    parts = ["before. ", "ann offline. ", "bob offline. "]
    texts = {client.wait(synced=True, contains=parts)["text"] for client in (ann, bob)}
    assert len(texts) == 1
    carol = clients.open(version, server.url, room)
    assert carol.wait(synced=True, length=1)["text"] in texts


@every_version
def test_one_goes_offline_and_returns(
    version: str, clients: Clients, shared_server: Server, room: str
) -> None:
    """A client edits after `disconnect()` while the other goes on; `connect()` brings both."""
    ann = clients.open(version, shared_server.url, room)
    bob = clients.open(version, shared_server.url, room)
    ann.wait(synced=True)
    bob.wait(synced=True)
    bob.disconnect()
    bob.wait(connected=False)
    ann.insert("meanwhile ")
    bob.insert("elsewhere ")
    bob.connect()
    parts = ["meanwhile ", "elsewhere "]
    texts = {client.wait(contains=parts)["text"] for client in (ann, bob)}
    assert len(texts) == 1


@every_version
def test_what_another_client_saw_outlives_a_kill(
    version: str, clients: Clients, server: Server, room: str
) -> None:
    """The server is killed while one types; what the other had seen is there after a restart."""
    ann = clients.open(version, server.url, room)
    bob = clients.open(version, server.url, room)
    ann.wait(synced=True)
    bob.wait(synced=True)
    ann.type("word")
    bob.wait(length=400)
    server.kill()
    bob.wait(connected=False)
    saw = bob.read()["text"]
    ann.destroy()
    bob.destroy()
    server.start()
    carol = clients.open(version, server.url, room)
    carol.wait(synced=True, prefix=saw)


def test_a_storm_ends_in_one_text(clients: Clients, server: Server, room: str) -> None:
    """All versions type at once while connections drop and the server is killed and restarted:
    every word of every one is there, once, and all have the same text."""
    typists = {
        letter: clients.open(version, server.url, room, maxBackoffTime=300)
        for letter, version in zip("abcdef", VERSIONS, strict=True)
    }
    for client in typists.values():
        client.wait(synced=True)
    for letter, client in typists.items():
        client.type(letter, every_ms=3)
    typists["a"].wait(length=1_000)
    typists["b"].disconnect()
    server.kill()
    typists["a"].wait(length=2_000)
    server.start()
    typists["b"].connect()
    typists["c"].disconnect()
    typists["b"].wait(synced=True, length=4_000)
    server.restart()
    typists["c"].connect()
    typed = {letter: client.rest() for letter, client in typists.items()}
    words = {f"{letter}{n}" for letter, count in typed.items() for n in range(count)}
    lasts = [f"{letter}{count - 1} " for letter, count in typed.items()]
    texts = {
        client.wait(synced=True, contains=lasts, length=sum(map(len, words)) + len(words))["text"]
        for client in typists.values()
    }
    assert len(texts) == 1
    text = texts.pop()
    assert sorted(text.split()) == sorted(words)
    clients.open("3.1", server.url, room).wait(synced=True, text=text)


@every_version
def test_many_clients_join_at_once(
    version: str, clients: Clients, shared_server: Server, room: str
) -> None:
    """Thirty clients that open one document at the same moment all sync and all see an edit."""
    everyone = [clients.open(version, shared_server.url, room) for _ in range(30)]
    for client in everyone:
        client.wait(synced=True)
    everyone[0].insert("hello all")
    for client in everyone:
        client.wait(text="hello all")


@pytest.mark.parametrize("version", ["3.1-rc"])
def test_sync_status_turns_green(
    version: str, clients: Clients, shared_server: Server, room: str
) -> None:
    """A client that counts its unconfirmed edits, and asks with `ack`, learns they are saved."""
    client = clients.open(version, shared_server.url, room, params={"ack": "1"})
    client.wait(synced=True, syncStatus="green")
    client.insert("confirm this")
    assert client.read()["unconfirmed"] == 1
    client.wait(unconfirmed=0, syncStatus="green")
