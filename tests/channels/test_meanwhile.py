"""Chat where things happen at the same time, come twice, too early, or before there is a book."""

from dataclasses import replace

import pycrdt
import pytest

from crdtsync.channels.model import message_id
from crdtsync.gate import Principal
from tests.channels.kit import ANN, BOB, MOD, NOW_MS, Talk, message, says, setting
from tests.permissions.kit import merged
from tests.unit.wire import one


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize(("out", "edit_first"), [(True, False), (False, True), (False, False)])
def test_a_deletion_wins_over_an_edit(last: bool, out: bool, edit_first: bool) -> None:
    """Whichever comes first, and whoever's item would win: the message shows nothing any more."""
    talk = Talk()
    people = [ANN, MOD] if last else [MOD, ANN]  # whose item is the last goes by that
    peers = {each.id: talk.join(each) for each in people}
    ann, mod = peers["ann"], peers["mod"]
    said = message("ann")
    says(ann, said)
    mod.sync()
    edited = replace(said, text="x", edited_ms=NOW_MS).value()
    gone = replace(said, text="", deleted_ms=NOW_MS, deleted_by="mod").value()
    edit = ann.edits(setting("chat", {said.id: edited}), send=False)
    deletion = mod.edits(setting("chat", {said.id: None if out else gone}), send=False)
    if edit_first:
        ann.says(edit)
    mod.says(deletion)
    if not edit_first:
        ann.says(edit)
    assert ann.denials == mod.denials == []
    assert not any(each["text"] for each in talk.root().values())
    assert not any(each.text for each in talk.book.messages())
    for peer in (ann, mod):
        shown = peer.read().doc.get("chat", type=pycrdt.Map).to_py()
        assert shown is not None
        assert not any(each["text"] for each in shown.values())


def test_two_tabs_edit_one_message() -> None:
    """Both are let in, one of them shows, and the book says which."""
    talk = Talk()
    tabs = [talk.join(ANN).sync(), talk.join(ANN)]
    said = message("ann")
    says(tabs[0], said)
    tabs[1].sync()
    for number, tab in enumerate(tabs):
        says(tab, replace(said, text=f"tab {number}", edited_ms=NOW_MS))
    shown = talk.root()[said.id]["text"]
    assert [each.text for each in talk.book.messages()] == [shown]
    assert tabs[0].denials == tabs[1].denials == []
    other = talk.join(BOB).sync()
    other.answers(other.doc.get_update())  # the loser's deletion among it
    assert other.denials == []


def test_what_is_known_is_never_refused() -> None:
    """Who brings again what others wrote, wholly or beside something of his own, does no wrong."""
    talk = Talk()
    ann, bob = talk.join(ANN), talk.join(BOB)
    update = says(ann, message("ann"))
    bob.says(update)
    bob.answers(update)
    bob.says(merged(update, one(7, 0, "hi", parent="comments")))
    assert bob.denials == []
    talk.clock.advance(30 * 86400)  # too late by now
    ann.says(update)
    assert ann.denials == []


def test_what_waits_is_judged_when_it_fits() -> None:
    """A forged message that comes before what it follows on is refused when that has come."""
    talk = Talk()
    eve, other = talk.join(Principal(id="eve")), talk.join(Principal(id="eve"))
    first = eve.edits(setting("body", {"a": 1}), send=False)
    forged = eve.edits(setting("chat", {message_id(NOW_MS): message("ann").value()}), send=False)
    eve.says(forged)
    assert eve.denials == []
    other.says(first)
    assert len(eve.denials) == 1
    assert talk.root() == {}


def test_a_large_documents_book_is_made_apart() -> None:
    """Who says something waits for it; those who type don't, and what they all do is in it."""
    talk = Talk(apart=True)
    talk.edits(one(9, 0, "x" * 40_000, parent="body"))
    talk.commit()
    ann, bob, typist = talk.join(ANN), talk.join(Principal(id="bob")), talk.join()
    says(ann, message("ann"))
    says(bob, message("ann"))
    typist.says(one(9, 40_000, "y", origin=(9, 39_999)))
    called: list[int] = []
    talk.room.judge.keeper.keep_book(lambda: called.append(1))
    assert (talk.room.judge.keeper.book, called) == (None, [])
    says(talk.join(ANN), message("ann", "and another"))
    talk.edits(one(8, 0, "z", parent="m"))
    talk.indexed()
    assert called == [1]
    assert (ann.denials, len(bob.denials)) == ([], 1)
    book = talk.room.judge.keeper.book
    assert book is not None
    assert list(book.ids()) == sorted(talk.root())
    assert book.count() == 2


def test_the_book_goes_with_the_last_and_comes_back() -> None:
    """It is made anew from what is stored, and says the same."""
    talk = Talk()
    ann = talk.join(ANN)
    says(ann, message("ann"))
    before = talk.book.messages()
    talk.room.detach(ann.connection)
    assert talk.room.judge.keeper.book is None
    assert talk.room.document.judge is None
    assert talk.book.messages() == before
    version = talk.book.version
    says(talk.join(ANN).sync(), message("ann", at_ms=NOW_MS + 1))
    assert talk.book.version > version
    assert talk.book.messages(before=talk.book.ids()[1]) == before
    assert talk.book.messages(limit=1) == talk.book.messages()[1:]


def test_what_the_server_writes_is_in_the_book() -> None:
    """Nobody judges it, and whoever comes next is judged by it."""
    talk = Talk()
    said = message("ann")
    talk.edits(talk.join(ANN).edits(setting("chat", {said.id: said.value()}), send=False))
    assert talk.book.message(said.id) == said
    bob = talk.join(BOB).sync()
    says(bob, replace(said, text="x", edited_ms=NOW_MS))
    assert len(bob.denials) == 1


def test_an_edit_that_waits_for_something_deletes_nothing_before() -> None:
    """Who is back and edits a message at once, ahead of what they wrote offline, keeps it."""
    talk = Talk()
    ann, bob = talk.join(ANN).sync(), talk.join(BOB).sync()
    said = message("ann")
    says(ann, said)
    offline = ann.edits(setting("chat-receipts", {"ann": said.id}), send=False)
    edited = replace(said, text="better", edited_ms=NOW_MS)
    edit = ann.edits(setting("chat", {said.id: edited.value()}), send=False)
    ann.says(edit)
    assert [each["text"] for each in talk.root().values()] == [said.text]
    ann.says(offline)
    assert ann.denials == []
    assert [each["text"] for each in talk.root().values()] == ["better"]
    shown = bob.read().doc.get("chat", type=pycrdt.Map).to_py()
    assert shown is not None
    assert [each["text"] for each in shown.values()] == ["better"]
