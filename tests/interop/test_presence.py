"""Every y-websocket client version sees who else is there."""

import pytest

from .harness import VERSIONS, Clients, Server, running_driver

pytestmark = pytest.mark.node

every_version = pytest.mark.parametrize("version", VERSIONS)


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
