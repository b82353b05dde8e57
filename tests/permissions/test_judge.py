"""One room's judge: custom gates, reasons, the life of the index, presence, roles that change."""

import logging
from dataclasses import replace
from typing import Any

import pycrdt
import pytest

from crdtsync.awareness import Entry, encode_entries
from crdtsync.edit import Act, Edit, Touch
from crdtsync.gate import Allow, Decision, Deny, Principal, RoleGate
from crdtsync.roles import READ, WRITE, Rule
from crdtsync.structs import Scan
from crdtsync.update import scan
from tests.permissions.kit import LIMITS, Server, merged, restricted
from tests.unit.wire import any_, block, gc, item, one, skip, string, type_, update

TEXT = Rule(root="text")


# The index


def test_open_rooms_have_no_index() -> None:
    """Where nobody writes by rules all are free, and nothing is kept."""
    server = Server()
    writer, reader = server.join(Principal(role=WRITE)), server.join(Principal(role=READ))
    writer.says(one(1, 0, "x"))
    reader.says(one(2, 0, "y"))
    assert writer.connection.free
    assert not reader.connection.free
    assert server.room.judge.index is None
    assert server.room.document.judge is None


def test_the_index_comes_and_goes() -> None:
    """It is made for the first edit by rules, and goes with the last who edits so."""
    server = Server()
    writer = server.join()
    writer.says(one(1, 0, "x"))
    guest, other = server.join(restricted(TEXT)), server.join(restricted(TEXT))
    assert writer.connection.free
    guest.says(one(2, 0, "y"))
    assert server.room.judge.index is not None
    assert not writer.connection.free
    late = server.join()
    assert not late.connection.free
    server.room.detach(guest.connection)
    assert server.room.judge.index is not None
    server.room.detach(other.connection)
    assert server.room.judge.index is None
    assert writer.connection.free
    assert late.connection.free


def test_the_index_knows_what_is_not_committed() -> None:
    """What is pending or on its way to the store when it is made is in it."""
    server = Server()
    writer, guest = server.join(), server.join(restricted(Rule(root="chat")))
    writer.says(one(1, 0, "abc"))
    server.room.take_batch(0)
    writer.says(one(1, 3, "def", origin=(1, 2)))
    guest.says(one(2, 0, "x", origin=(1, 1), right=(1, 2)), one(2, 0, "y", origin=(1, 4)))
    assert guest.denials == ['you may not write to "text"'] * 2
    index = server.room.judge.index
    assert index is not None
    assert index.end(1) == 6


def test_the_index_outlives_its_writers_while_something_of_theirs_waits() -> None:
    """A forbidden edit that waits for something is refused even when its author has gone."""
    server = Server()
    writer, guest = server.join(), server.join(restricted(Rule(root="chat")))
    guest.says(one(2, 0, "ok", parent="chat"))
    guest.says(one(3, 1, "bad", origin=(3, 0)))
    server.room.detach(guest.connection)
    assert not writer.connection.free
    writer.says(one(3, 0, "a"))
    assert server.shows()["text", None] == [("a", None)]
    assert server.stats.rejected["denied"] == 1


def test_what_waits_is_judged_by_what_its_sender_may_do_then() -> None:
    """A role that has changed meanwhile decides when the missing part comes."""
    server = Server()
    writer, guest = server.join(), server.join(restricted(TEXT))
    guest.says(one(2, 0, "ok"), one(3, 1, "b", origin=(3, 0)))
    guest.connection.principal = restricted(Rule(root="chat"))
    server.room.judge.reconsider(guest.connection)
    writer.says(one(3, 0, "a"))
    assert guest.denials == ['you may not write to "text"']
    assert "b" not in str(server.shows()["text", None])


def test_a_changed_role_counts_at_once() -> None:
    """``reconsider`` frees who may now write everywhere, and binds who no longer may."""
    server = Server()
    guest = server.join(restricted(TEXT))
    guest.says(one(1, 0, "x"), one(1, 1, "no", parent="chat"))
    assert len(guest.denials) == 1
    guest.connection.principal = replace(guest.connection.principal, role=WRITE)
    server.room.judge.reconsider(guest.connection)
    assert guest.connection.free
    guest.says(one(1, 1, "yes", parent="chat"))
    guest.connection.principal = replace(guest.connection.principal, role=READ)
    server.room.judge.reconsider(guest.connection)
    guest.says(one(1, 4, "no", origin=(1, 3)))
    assert guest.denials[1:] == ["this document is read-only for you"]
    assert server.room.document.clocks == {1: 4}


# Bytes of all kinds


BAD = 'you may not write to "text"'


@pytest.mark.parametrize(
    "sent",
    [
        one(2, 0, "x", origin=(1, 1)),
        one(2, 0, "x", right=(1, 1)),
        one(2, 0, "x", origin=(1, 0), right=(1, 1)),
        one(2, 0, type_(2), parent="text"),
        one(2, 0, any_(b"\x7e"), parent="text", key="k"),
        update(deletes=[(1, 0, 1)]),
        update(block(2, 0, gc(2), item("x", parent="text"))),
        update(block(2, 0, item("ok", parent="chat"), item("x", origin=(1, 0)))),
        update(block(2, 0, item("ok", parent="chat")), deletes=[(1, 1, 2)]),
        update(block(2, 0, item("ok", parent="chat"), skip(1), item("x", parent="text"))),
        update(block(3, 0, item("y", origin=(2, 1))), block(2, 0, item("ab", parent="text"))),
        update(block(2, 0, item(type_(0), parent="chat")), block(3, 0, item("x", right=(1, 0)))),
        one(1, 1, "bXX", origin=(1, 0)),
        one(1, 1, "bXX", parent="chat"),
        one(2, 0, "x", origin=(9, 0), right=(1, 1)),
    ],
)
def test_no_form_of_bytes_gets_into_a_foreign_root(sent: bytes) -> None:
    """By a left or right neighbour, by its name, by deleting, behind something known or unknown."""
    server = Server()
    writer, guest = server.join(), server.join(restricted(Rule(root="chat")))
    writer.says(one(1, 0, "abc"))
    server.commit()
    guest.says(sent)
    assert server.shows()["text", None] == [("abc", None)]
    assert guest.denials == [BAD] or len(server.room.document.waiting) == 1
    assert server.shows()["array", None] == []


@pytest.mark.parametrize("joined", [True, False])
def test_both_neighbours_count(*, joined: bool) -> None:
    """Who stands between an own item and a foreign one, where libraries disagree, is refused."""
    server = Server()
    writer, guest = server.join(), server.join(restricted(Rule(root="chat")))
    writer.says(one(1, 0, "abc"))
    between = item("x", origin=(2, 1), right=(1, 1))
    if joined:
        guest.says(update(block(2, 0, item("ok", parent="chat"), between)))
    else:
        guest.says(one(2, 0, "ok", parent="chat"), update(block(2, 2, between)))
    assert guest.denials == [BAD]
    assert server.room.document.clocks == ({1: 3} if joined else {1: 3, 2: 2})


def test_collected_items_bar_nobody() -> None:
    """Who made and deleted something offline sends collected items: they are in no place."""
    server = Server()
    guest = server.join(restricted(TEXT))
    guest.says(update(block(2, 0, gc(3), item("x")), deletes=[(2, 0, 3)]))
    assert not guest.denials
    assert server.shows()["text", None] == [("x", None)]


def test_undo_works_where_one_may_write() -> None:
    """What an undo deletes and brings back is judged like any other edit."""
    server = Server()
    guest = server.join(restricted(TEXT))
    text = guest.doc.get("text", type=pycrdt.Text)
    history = pycrdt.UndoManager(scopes=[text], capture_timeout_millis=0)
    guest.edits(lambda _: text.insert(0, "word"))
    guest.edits(lambda _: text.__delitem__(slice(0, 2)))
    for expected in ("word", "", "word"):
        before = guest.doc.get_state()
        (history.redo if expected == "word" and not str(text) else history.undo)()
        guest.answers(guest.doc.get_update(before))
        assert str(text) == expected
        assert "".join(str(run) for run, _ in server.shows()["text", None]) == expected
    assert not guest.denials


# Rules


def test_reasons_are_short_and_clean() -> None:
    """A reason names the root and key, cut and without what steers a terminal, never content."""
    server = Server()
    guest = server.join(restricted(Rule(root="m", keys=frozenset({"a"}))))
    guest.says(one(1, 0, "secret", parent="\x1b[31m\u202e" + "x" * 500))
    guest.says(one(1, 0, any_(b"\x77\x06secret"), parent="m", key="\n" + "k" * 100))
    guest.says(one(1, 0, "secret", parent="m"))
    assert guest.denials == [
        f'you may not write to "?[31m?{"x" * 34}..."',
        f'you may not write the key "?{"k" * 39}..." of "m"',
        'you may only write keys of "m"',
    ]


def test_an_anonymous_principal_has_no_key_of_its_own() -> None:
    """Without an id there is no own key, not even the empty one."""
    server = Server()
    guest = server.join(restricted(Rule(root="presence", own_key=True), who=""))
    guest.says(one(1, 0, any_(b"\x7e"), parent="presence", key=""))
    assert guest.denials == ['you may only write your own key of "presence", not ""']


def test_several_rules_of_a_root_are_alternatives() -> None:
    """One rule that allows is enough."""
    server = Server()
    mine = Rule(root="map", own_key=True)
    guest = server.join(restricted(mine, Rule(root="map", keys=frozenset({"b"}))))
    for key in ("me", "b", "c"):
        guest.edits(lambda doc, key=key: doc.get("map", type=pycrdt.Map).__setitem__(key, 1))
    assert {key for root, key in server.shows() if root == "map"} == {"me", "b"}
    assert guest.denials == ['you may only write your own key of "map", not "c"']


def test_the_longest_update() -> None:
    """What an update inserts counts, not what of it is known."""
    server = Server()
    guest = server.join(restricted(Rule(root="text", max_update_bytes=60)))
    guest.says(one(1, 0, "x" * 40))
    guest.says(one(1, 40, "y" * 40, origin=(1, 39)))
    guest.answers(one(1, 0, "x" * 40 + "y" * 40 + "z"))
    guest.says(one(1, 81, "z" * 80, origin=(1, 80)))
    assert guest.denials == ['an update to "text" may have 60 bytes']
    assert server.room.document.clocks == {1: 81}


def test_another_s_client_id_opens_no_door() -> None:
    """Under another's number one writes where one may, and the record names who sent it."""
    server = Server()
    votes = Rule(root="votes", own_key=True)
    ann, bob = (server.join(replace(restricted(votes), id=each)) for each in ("ann", "bob"))
    ann.says(one(5, 0, any_(b"\x78"), parent="votes", key="ann"))
    bob.says(one(5, 1, any_(b"\x79"), parent="votes", key="ann"))
    bob.says(one(5, 1, any_(b"\x79"), origin=(5, 0)))
    assert len(bob.denials) == 2
    bob.says(one(5, 1, any_(b"\x79"), parent="votes", key="bob"))
    assert len(bob.denials) == 2
    records = server.room.take_batch(0)
    assert [(record.author, scan(record.update, LIMITS).ranges) for record in records] == [
        ("ann", ((5, 0, 1),)),
        ("bob", ((5, 1, 2),)),
    ]


def test_a_key_may_be_set_again_after_it_was_deleted() -> None:
    """Adding only: a key that has a value keeps it, one that has none may get one."""
    server = Server()
    writer = server.join()
    writer.edits(lambda doc: doc.get("map", type=pycrdt.Map).update({"a": 1, "b": 2}))
    guest = server.join(restricted(Rule(root="map", append_only=True))).sync()
    writer.edits(lambda doc: doc.get("map", type=pycrdt.Map).__delitem__("a"))
    guest.read()
    guest.edits(lambda doc: doc.get("map", type=pycrdt.Map).__setitem__("a", 3))
    assert not guest.denials
    (forged,) = (one(2000 + number, 0, any_(b"\x7e"), parent="map", key="b") for number in (1,))
    guest.says(forged)
    assert guest.denials == ['you may add to "map", but not delete or replace']
    assert server.shows()["map", "b"] == 2
    assert server.shows()["map", "a"] == 3


# Presence


def test_a_role_without_awareness_is_not_seen() -> None:
    """Its presence counts for nothing, and is no offence."""
    server = Server()
    hidden = server.join(restricted(TEXT, awareness=False))
    seen = server.join(restricted(TEXT))
    hidden.is_here(encode_entries([Entry(1, 1, '{"name":"x"}')]))
    seen.is_here(encode_entries([Entry(2, 1, '{"name":"y"}')]))
    assert [entry.client for entry in server.room.fanout.awareness.present()] == [2]
    assert hidden.closed is None
    assert not hidden.denials


# Custom gates


class Recorder:
    """Writes down what it is asked, and says what it was told to say."""

    def __init__(self, decision: Decision | Exception | None = None) -> None:
        self.asked: list[tuple[Principal, str, Edit]] = []
        self.decision = decision or Allow()

    def check_edit(self, principal: Principal, document: str, edit: Edit) -> Decision:
        self.asked.append((principal, document, edit))
        if isinstance(self.decision, Exception):
            raise self.decision
        return self.decision


def test_a_gate_sees_what_is_done_where() -> None:
    """One touch for each place and act, with lengths; what is known is left out.

    Where only a part of an update is let in, the gate is asked about the part again.
    """
    gate = Recorder()
    server = Server(gate=gate)
    writer = server.join(Principal(id="ann"))
    writer.edits(lambda doc: doc.get("map", type=pycrdt.Map).__setitem__("a", 1))
    writer.says(one(1, 0, "hello"))
    known = one(1, 0, "hello")
    writer.says(merged(known, one(1, 5, "you", origin=(1, 4)), update(deletes=[(1, 0, 2)])))
    writer.edits(lambda doc: doc.get("map", type=pycrdt.Map).__setitem__("a", 2))
    touches = [
        [(t.root, t.key, t.act, t.length, t.replaces) for t in edit.touches]
        for _, _, edit in gate.asked
    ]
    insert, delete = Act.INSERT, Act.DELETE
    assert touches == [
        [("map", "a", insert, 1, False)],
        [("text", None, insert, 5, False)],
        [("text", None, insert, 3, False), ("text", None, delete, 2, False)],
        [("text", None, insert, 3, False), ("text", None, delete, 2, False)],  # the part of it
        [("map", "a", insert, 1, True), ("map", "a", delete, 1, False)],
    ]
    assert {(principal.id, name) for principal, name, _ in gate.asked} == {("ann", "doc")}
    assert isinstance(gate.asked[0][2].touches[0], Touch)


@pytest.mark.parametrize("by_edit", [True, False])
def test_a_gate_that_fails_denies(by_edit: bool, caplog: pytest.LogCaptureFixture) -> None:
    """What it raises is logged and counted, lets nothing in, and closes nothing."""

    class Broken:
        def check(self, principal: Principal, document: str, update: bytes, scan: Scan) -> Decision:
            raise ZeroDivisionError("broken")

    gate: Any = Recorder(ZeroDivisionError("broken")) if by_edit else Broken()
    server = Server(gate=gate)
    writer = server.join()
    with caplog.at_level(logging.ERROR, "crdtsync"):
        writer.says(one(1, 0, "x"))
    assert writer.denials == ["the server can't decide on this edit"]
    assert writer.closed is None
    assert server.stats.gate_errors == 1
    assert "the gate failed" in caplog.text
    assert not server.room.document.clocks


def test_a_gate_is_asked_for_what_the_role_allows() -> None:
    """No gate lifts what a role forbids; it may forbid more."""
    gate = Recorder()
    server = Server(gate=gate)
    guest, reader = server.join(restricted(TEXT)), server.join(Principal(role=READ))
    guest.says(one(1, 0, "no", parent="chat"))
    reader.says(one(2, 0, "no"))
    assert len(guest.denials) == len(reader.denials) == 1
    assert not gate.asked
    gate.decision = Deny("not today")
    guest.says(one(1, 0, "no"))
    assert guest.denials[1:] == ["not today"]
    assert not server.room.document.clocks


def test_a_gate_is_asked_about_held_parts_again() -> None:
    """A part that waited is decided on when it fits, also by a custom gate."""
    gate = Recorder()
    server = Server(gate=gate)
    writer, other = server.join(), server.join()
    writer.says(one(1, 1, "b", origin=(1, 0)))
    assert gate.asked[0][2].waits
    gate.decision = Deny("no")
    other.says(update(block(1, 0, item(string("a")))))
    assert other.denials == ["no"]
    gate.decision = Allow()
    other.says(one(1, 0, "a"))
    assert [edit.waits for _, _, edit in gate.asked] == [True, False, False, False]
    assert server.shows()["text", None] == [("ab", None)]


def test_the_default_gate_by_itself() -> None:
    """``RoleGate`` decides on an edit as a room does, for gates that go on from it."""
    touch = Touch("chat", None, Act.INSERT, 1, 10)
    edit = Edit((touch,), 10, False, b"", Scan((), (), (), False, {}, frozenset(), False, None, False, None, False, None))  # fmt: skip  # noqa: E501
    gate = RoleGate()
    assert gate.check_edit(Principal(), "doc", edit) == Allow()
    assert gate.check_edit(restricted(Rule(root="chat")), "doc", edit) == Allow()
    assert isinstance(gate.check_edit(restricted(TEXT), "doc", edit), Deny)
    assert isinstance(gate.check_edit(Principal(role=READ), "doc", edit), Deny)
    assert isinstance(gate.check_edit(Principal(read_only=True), "doc", edit), Deny)
