"""The short ways through rules: what they let pass is what the closer look would, to the byte."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from hypothesis import strategies as st

from crdtsync.gate import Principal
from crdtsync.judge import Judge
from crdtsync.roles import COMMENT, Role, Rule
from tests.permissions.kit import Peer, Server, restricted, role
from tests.permissions.test_random import ROLES, Forger
from tests.properties.edits import Dice, edit
from tests.properties.profile import checked
from tests.unit.wire import any_, block, gc, item, one, type_, update

MORE = [
    *ROLES,
    COMMENT,
    role(Rule(root="text", append_only=True), Rule(root="map", own_key=True)),
    role(Rule(max_update_bytes=60)),
    role(Rule(root="text", max_update_bytes=40), Rule(root="text", append_only=True), Rule()),
]


@contextmanager
def only_the_closer_look() -> Iterator[None]:
    """Judge without short ways."""
    with (
        patch.object(Judge, "passes", lambda *_: False),
        patch("crdtsync.judge.plain_places", lambda *_: None),
    ):
        yield


class Twins:
    """Two rooms that get the same, one of which judges everything closely."""

    def __init__(self) -> None:
        self.short, self.close = Server(), Server()

    def join(self, principal: Principal | None = None) -> "tuple[Peer, Peer]":
        """Connect somebody to both."""
        return self.short.join(principal), self.close.join(principal)

    def says(self, who: tuple[Peer, Peer], *updates: bytes) -> None:
        """Send the same to both, and compare what came of it."""
        one, other = who
        for each in updates:
            one.says(each)
            with only_the_closer_look():
                other.says(each)
        assert one.denials == other.denials
        assert self.short.room.document.clocks == self.close.room.document.clocks
        assert [*self.short.room.document.deleted] == [*self.close.room.document.deleted]

    def compare(self) -> None:
        """Compare states and indexes."""
        for server in (self.short, self.close):
            server.commit()
        assert self.short.room.state() == self.close.room.state()
        one, other = self.short.room.judge.index, self.close.room.judge.index
        if one is None or other is None:
            return
        for client, end in self.short.room.document.clocks.items():
            assert one.end(client) == other.end(client) == end
            for clock in range(end):
                assert one.name(one.at(client, clock)) == other.name(other.at(client, clock))


@checked(300, data=st.binary(min_size=80, max_size=400), who=st.sampled_from(MORE))
def test_edits_of_a_library(data: bytes, who: Role) -> None:
    """What pycrdt writes is decided on alike, edit by edit, and put into the same places."""
    dice = Dice(data)
    twins = Twins()
    writers = twins.join()
    for _ in range(dice.roll(6)):
        twins.says(writers, writers[0].edits(lambda doc: edit(doc, dice), send=False))
    peers = twins.join(Principal(id="a", role=who))
    peers[0].sync()
    peers[1].frames.clear()
    for _ in range(8):
        editor = writers if dice.roll(3) == 0 else peers
        twins.says(editor, editor[0].edits(lambda doc: edit(doc, dice), send=False))
    twins.compare()


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("seed", range(60))
def test_forged_edits(seed: int, plain: bool) -> None:
    """So is what nobody's library writes, in a document of one root and in others."""
    dice = Dice(random.Random(seed).randbytes(300))
    who = MORE[seed % len(MORE)]
    twins = Twins()
    writers = twins.join()
    if plain:
        twins.says(writers, one(5, 0, "some text"), update(deletes=[(5, 1, 3)]))
        twins.says(writers, update(block(6, 0, gc(3), item("x", origin=(5, 4)))))
    else:
        for _ in range(6):
            twins.says(writers, writers[0].edits(lambda doc: edit(doc, dice), send=False))
    clocks = twins.short.room.document.clocks
    forger = Forger(seed, [(client, n) for client, end in clocks.items() for n in range(end)])
    for _ in range(60):
        peers = twins.join(Principal(id="a", role=who))
        twins.says(peers, forger.update())
        if peers[0].denials or peers[0].closed:
            forger.clocks = {client: clocks.get(client, 0) for client in forger.clocks}
    twins.compare()


TYPED: list[tuple[str, Callable[[], list[bytes]]]] = [
    ("letters", lambda: [one(1, n, "x", origin=(1, n - 1)) for n in range(9, 20)]),
    ("before", lambda: [one(1, n, "x", origin=(1, n - 1), right=(1, 2)) for n in range(9, 20)]),
    ("words", lambda: [one(1, n, "abc", origin=(1, 4), right=(1, 5)) for n in range(9, 20, 3)]),
    ("deleting", lambda: [update(deletes=[(1, n, n + 1)]) for n in range(9)]),
    ("other", lambda: [one(2, n, "y", origin=(1, n)) for n in range(9)]),
    ("gap", lambda: [one(1, n, "x", origin=(1, n - 1)) for n in (9, 10, 12, 13, 11, 14)]),
    ("ahead", lambda: [one(2, 0, "x", origin=(3, 0)), one(2, 1, "x", origin=(1, 0))]),
    ("twice", lambda: [one(1, n, "x", origin=(1, n - 1)) for n in (9, 10, 11, 10, 11, 12)]),
    ("key", lambda: [one(1, 9, any_(b"\x7e"), parent="text", key="k")]),
    ("type", lambda: [one(1, 9, type_(1), origin=(1, 8)), one(1, 10, "x", parent=(1, 9))]),
    ("elsewhere", lambda: [one(1, 9, "x", parent="chat"), one(1, 10, "y", origin=(1, 9))]),
    ("both", lambda: [update(block(1, 9, item("x", origin=(1, 8))), deletes=[(1, 2, 4)])]),
    ("own", lambda: [update(block(1, 9, item("xy", origin=(1, 8))), deletes=[(1, 9, 10)])]),
    ("long", lambda: [one(1, 9, "x" * 100, origin=(1, 8))]),
]


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("rule", [Rule(root="text"), Rule(root="chat"), *MORE[-1].write])
@pytest.mark.parametrize("name", dict(TYPED))
def test_what_people_do_in_one_text(name: str, rule: Rule, indexed: bool) -> None:
    """Typing, pasting and deleting in a document of one root, with an index and without."""
    twins = Twins()
    writers = twins.join()
    twins.says(writers, one(1, 0, "some text"))
    if indexed:  # somebody has asked for one
        twins.says(twins.join(restricted(Rule(root="else"))), one(8, 0, "x"))
        assert twins.short.room.judge.index is not None
    twins.says(twins.join(restricted(rule)), *dict(TYPED)[name]())
    twins.says(writers, one(9, 0, "end", origin=(1, 3)))
    twins.says(twins.join(restricted(Rule(root="chat"))), one(8, 0, "x", origin=(9, 0)))
    twins.compare()


def test_a_keystroke_in_one_text_takes_no_index() -> None:
    """Where all is one root that is open to its writer there is nothing to look up."""
    server = Server()
    writer, guest = server.join(), server.join(restricted(Rule(root="text")))
    writer.says(one(1, 0, "some text"))
    guest.says(*(one(1, n, "x", origin=(1, n - 1)) for n in range(9, 20)))
    guest.says(update(deletes=[(1, 2, 4)]))
    assert server.room.document.clocks == {1: 20}
    assert server.room.judge.index is None
    assert writer.connection.free


def test_a_number_is_not_remembered_for_a_forgotten_name() -> None:
    """A place that was allowed, and then not made, lends nothing to the next of its number."""
    server = Server()
    writer = server.join()
    writer.says(one(1, 0, any_(b"\x7e"), parent="map", key="z"))
    keys = frozenset({"a"})
    guest = server.join(restricted(Rule(root="map", keys=keys)))
    guest.says(one(3, 0, "x"))
    guest.frames.clear()
    server.commit()  # from here on updates are read in detail
    own = item(any_(b"\x7e"), parent="map", key="a")
    foreign = item(any_(b"\x7e"), parent="map", key="b")
    guest.says(update(block(2, 0, own, foreign)))
    guest.says(update(block(2, 0, foreign)))
    assert guest.denials == ['you may not write the key "b" of "map"'] * 2


def test_what_stands_before_something_unknown_gets_a_closer_look() -> None:
    """It waits, and is refused where that turns out to lie in another root."""
    server = Server()
    writer, guest = server.join(), server.join(restricted(Rule(root="text")))
    writer.says(one(1, 0, "some text"))
    guest.says(one(1, 9, "x", right=(3, 0)))
    writer.says(one(3, 0, "y", parent="chat"))
    assert guest.denials == ['you may not write to "chat"']
    assert server.room.document.clocks == {1: 9, 3: 1}


def test_a_keystroke_that_others_waited_for() -> None:
    """What it sets free is decided on at once, and its author is told if it is refused."""
    server = Server()
    writer, typist = server.join(), server.join(restricted(Rule(root="text")))
    guest = server.join(restricted(Rule(root="text")))
    writer.says(one(1, 0, "some text"))
    guest.says(one(2, 0, "z", origin=(1, 12)))
    guest.connection.become(restricted(Rule(root="chat")))
    typist.says(*(one(1, n, "x", origin=(1, n - 1)) for n in range(9, 14)))
    assert guest.denials == ['you may not write to "text"']
    assert server.room.document.clocks == {1: 14}
