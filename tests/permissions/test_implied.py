"""Values that lost against others: who has integrated them says they are deleted, and is honest."""

from collections.abc import Callable
from typing import Any

import pycrdt
import pytest

from crdtsync.clock import ManualClock
from crdtsync.roles import Rule
from tests.permissions.kit import Peer, Server, restricted
from tests.unit.wire import update


def setting(value: int) -> Callable[["pycrdt.Doc[Any]"], None]:
    """Return a change of the key that all are at."""
    return lambda doc: doc.get("meta", type=pycrdt.Map).__setitem__("k", value)


def at_once(server: Server) -> tuple[Peer, Peer]:
    """Let two people set one key without seeing each other."""
    one, other = server.join().sync(), server.join().sync()
    updates = [one.edits(setting(2), send=False), other.edits(setting(3), send=False)]
    one.says(updates[0])
    other.says(updates[1])
    return one, other


@pytest.mark.parametrize(
    "rule", [Rule(root="text"), Rule(root="meta", own_key=True), Rule(append_only=True)]
)
def test_a_loser_is_deleted_by_nobody(rule: Rule) -> None:
    """A client that comes back with what it integrated is let in, whatever it may write."""
    server = Server()
    server.join().edits(setting(1))
    at_once(server)
    guest = server.join(restricted(rule)).sync().read()
    guest.answers(guest.doc.get_update(server.room.state_vector()))
    assert guest.denials == []
    at_once(server)  # and again
    guest.read()
    guest.answers(guest.doc.get_update(server.room.state_vector()))
    assert guest.denials == []


def test_a_winner_is_deleted_by_somebody() -> None:
    """What is still shown may not be deleted, beside losers or alone."""
    server = Server()
    people = at_once(server)
    server.commit()
    for peer in people:
        guest = server.join(restricted(Rule(root="text"))).sync().read()
        client = peer.doc.client_id
        guest.says(update(deletes=[(client, 0, server.room.document.clocks[client])]))
    denied = server.stats.rejected["denied"]
    assert denied == 1
    assert server.doc.get("meta", type=pycrdt.Map).to_py() == {"k": 3}


def test_the_document_is_seldom_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is refused again and again has it read once, and then not for a while."""

    class Slow(ManualClock):
        def monotonic_s(self) -> float:
            self.advance(0.5)
            return super().monotonic_s()

    server = Server()
    slow = server.room.clock = Slow()
    writer = server.join()
    writer.edits(setting(1))
    server.commit()
    asked: list[int] = []
    state = type(server.room).state
    monkeypatch.setattr(
        type(server.room), "state", lambda room: asked.append(room.sequence) or state(room)
    )
    client = writer.doc.client_id
    for clock in range(3):
        guest = server.join(restricted(Rule(root="text")))
        guest.says(update(deletes=[(client, clock, clock + 1)]))
        assert len(guest.denials) == 1
        writer.edits(setting(2))
        server.commit()
    assert len(asked) == 1
    slow.advance(60)
    guest = server.join(restricted(Rule(root="text")))
    guest.says(update(deletes=[(client, 3, 4)]))
    assert len(asked) == 2
