"""Every y-websocket client version, under Node.js, against the real server."""

import json
from collections.abc import Iterator

import pytest

from .harness import VERSIONS, Client, Clients, Driver, Server, running_driver

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
def test_awareness_is_seen_and_renewed(
    version: str, clients: Clients, shared_server: Server, room: str
) -> None:
    """States and their changes are seen by the others, and a newcomer gets all at once."""
    ann = clients.open(version, shared_server.url, room, state={"name": "ann"})
    bob = clients.open(version, shared_server.url, room, state={"name": "bob"})
    ann.wait(peers=["bob"])
    bob.wait(peers=["ann"])
    ann.present({"name": "ann 👩‍💻", "cursor": 3})
    bob.wait(peers=["ann 👩‍💻"])
    carol = clients.open(version, shared_server.url, room, state={"name": "carol"})
    seen = carol.wait(peers=["ann 👩‍💻", "bob"])
    assert seen["states"][str(ann.id)] == {"name": "ann 👩‍💻", "cursor": 3}


@every_version
def test_awareness_goes_when_a_client_leaves(
    version: str, clients: Clients, shared_server: Server, room: str
) -> None:
    """A state set to null, a `disconnect()` and a `destroy()` each remove it for the others."""
    ann, bob, carol, dave = (
        clients.open(version, shared_server.url, room, state={"name": name})
        for name in ("ann", "bob", "carol", "dave")
    )
    ann.wait(peers=["bob", "carol", "dave"])
    bob.present(None)
    ann.wait(peers=["carol", "dave"])
    carol.disconnect()
    ann.wait(peers=["dave"])
    dave.destroy()
    ann.wait(peers=[])
    bob.present({"name": "bob"})
    carol.connect()
    carol.present({"name": "carol, back"})
    ann.wait(peers=["bob", "carol, back"])


@every_version
def test_a_goodbye_at_the_same_clock_counts(
    version: str, clients: Clients, shared_server: Server, room: str
) -> None:
    """A null state at an unchanged clock, which is how clients leave, is relayed; and one that
    stays connected after all is told so, and says that it is there."""
    ann = clients.open(version, shared_server.url, room, state={"name": "ann"})
    bob = clients.open(version, shared_server.url, room, state={"name": "bob"})
    ann.wait(peers=["bob"])
    bob.goodbye()
    ann.wait(events={f"left {bob.id}": 1})
    seen = ann.wait(peers=["bob"])
    assert seen["events"].get("connection-close") is None
    assert bob.read()["events"].get("connection-close") is None


@every_version
def test_awareness_goes_when_the_socket_dies(
    version: str, clients: Clients, shared_server: Server, room: str
) -> None:
    """A socket that ends without a goodbye takes its state along, also for later newcomers."""
    ann = clients.open(version, shared_server.url, room, state={"name": "ann"})
    bob = clients.open(version, shared_server.url, room, state={"name": "bob"})
    ann.wait(peers=["bob"])
    bob.wait(peers=["ann"])
    bob.cut()
    ann.wait(peers=[])
    carol = clients.open(version, shared_server.url, room, state={"name": "carol"})
    carol.wait(synced=True, peers=["ann"])
    ann.wait(peers=["carol"])


def test_awareness_goes_when_the_process_dies(
    clients: Clients, shared_server: Server, room: str
) -> None:
    """Killing a process with clients of all versions removes every one of their states."""
    ann = clients.open("3.1", shared_server.url, room, state={"name": "ann"})
    with running_driver() as doomed:
        others = Clients(doomed)
        for version in VERSIONS:
            others.open(version, shared_server.url, room, state={"name": version})
        ann.wait(peers=sorted(VERSIONS))
        doomed.kill()
    ann.wait(peers=[])


@every_version
def test_awareness_returns_after_a_server_restart(
    version: str, clients: Clients, server: Server, room: str
) -> None:
    """The server stores no presence; the first sign of a client after a restart is seen."""
    ann = clients.open(version, server.url, room, state={"name": "ann"}, maxBackoffTime=400)
    bob = clients.open(version, server.url, room, state={"name": "bob"}, maxBackoffTime=400)
    ann.wait(peers=["bob"])
    bob.wait(peers=["ann"])
    server.stop()
    ann.wait(connected=False, peers=[])
    bob.wait(connected=False, peers=[])
    server.start()
    ann.wait(synced=True)
    bob.wait(synced=True)
    ann.present({"name": "ann, back"})
    bob.present({"name": "bob, back"})
    ann.wait(peers=["bob, back"])
    bob.wait(peers=["ann, back"])


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


IDLE_S = 36.0
"""Above 30 s, after which a client that heard nothing closes, and the 3 s that it takes to look."""


@pytest.fixture(scope="module")
def idlers(javascript: None, shared_server: Server) -> Iterator[tuple[Driver, list[Client], float]]:
    """Clients of all versions that have nothing to do, with and without presence.

    They start with this module's first test and idle beside all the others, in a process of
    their own.
    """
    import time

    with running_driver() as driver:
        idle = Clients(driver)
        opened = [
            idle.open(version, shared_server.url, f"idle/{version}/{name}", state=state)
            for version in VERSIONS
            for name, state in (("present", {"name": "idler"}), ("absent", None))
        ]
        for client in opened:
            client.wait(synced=True)
        yield driver, opened, time.monotonic()


@pytest.fixture(scope="module", autouse=True)
def _idlers_first(idlers: object) -> None:
    """Start the idle clients before the first test."""


def test_idle_clients_stay_connected(idlers: tuple[Driver, list[Client], float]) -> None:
    """For 36 s nobody types, and no client gives up its connection, present or not."""
    import time

    _, opened, since = idlers
    closing = {"events": {"connection-close": 1}}
    for client in opened:
        left = max(0.1, since + IDLE_S - time.monotonic())
        try:
            seen = client.wait(**closing, timeout_s=left)
        except AssertionError:
            continue
        raise AssertionError(f"{client.name} closed its connection: {json.dumps(seen)}")
