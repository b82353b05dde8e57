"""What is written to a message while the server takes it to an archive: by the ordinary rules."""

from typing import Any

import pytest

from crdtsync.channels.book import MAX_ARCHIVED
from crdtsync.channels.hand import take_out
from crdtsync.channels.model import message_id
from crdtsync.channels.names import CHAT
from crdtsync.channels.writing import MapWriter
from crdtsync.gate import Principal
from crdtsync.limits import Limits
from tests.channels.kit import ANN, BOB, MOD, NOW_MS, Talk, setting
from tests.channels.test_random import contents, fresh_book
from tests.permissions.kit import LIMITS, Peer
from tests.unit.wire import block, deleted, item, update

ID = "018bcfe5-6800-7000-8000-000000000001"
OWN_MESSAGES = "you may only write, edit and delete messages of your own"
SAID = {"author": "ann", "text": "hello", "time": NOW_MS, "type": "text"}
CHANGED = SAID | {"text": "changed", "edited": NOW_MS + 1}


def archive(talk: Talk, *ids: str) -> None:
    """Take messages out, as a roll does."""
    talk.commit()
    assert talk.book is talk.room.judge.keeper.book
    writer = MapWriter(talk.room.document, 1)
    take_out(talk.room, "", ids, writer.update((), [(CHAT, id) for id in ids]))
    talk.commit()


def said(limits: Limits = LIMITS) -> tuple[Talk, Peer]:
    """Return a room whose one message was archived, and its author, who has not heard of it."""
    talk = Talk(limits=limits)
    ann = talk.join(ANN).sync()
    ann.edits(setting("chat", {ID: SAID}))
    archive(talk, ID)
    assert (talk.root(), talk.book.count(), talk.book.is_gone(ID)) == ({}, 0, True)
    return talk, ann


@pytest.mark.parametrize("knows", [False, True])
def test_its_author_edits_it(knows: bool) -> None:
    """An edit is let in, whether its author has heard of the archive or not."""
    talk, ann = said()
    if knows:
        ann.read()
    ann.edits(setting("chat", {ID: CHANGED}))
    assert (ann.denials, talk.root()) == ([], {ID: CHANGED})
    assert [each.text for each in talk.book.messages()] == ["changed"]
    archive(talk, ID)
    ann.edits(setting("chat", {ID: CHANGED | {"text": "again"}}))
    assert (ann.denials, talk.root()[ID]["text"]) == ([], "again")
    assert contents(talk.book) == contents(fresh_book(talk))


@pytest.mark.parametrize(
    "wrong",
    [
        SAID,
        CHANGED | {"edited": NOW_MS + 16 * 60_000},
        CHANGED | {"replyTo": ID},
        CHANGED | {"type": "file", "url": "/x"},
        CHANGED | {"author": "bob"},
    ],
)
def test_the_rules_hold(wrong: dict[str, Any]) -> None:
    """An edit that would be refused is refused here, too."""
    talk, ann = said()
    talk.clock.advance(3600)
    ann.edits(setting("chat", {ID: wrong}))
    assert len(ann.denials) == 1
    assert talk.root() == {}


def test_chat_edit_window_s() -> None:
    """The window counts from the message's time, as ever."""
    for window_s, refused in ((1, False), (0.0005, True)):
        talk, ann = said(Limits(refusal_delay_s=0, chat_edit_window_s=window_s))
        ann.edits(setting("chat", {ID: CHANGED}))
        assert bool(ann.denials) is refused
        assert bool(talk.root()) is not refused


@pytest.mark.parametrize("who", [BOB, MOD, Principal(), Principal(id="eve")])
def test_nobody_else_edits_it(who: Principal) -> None:
    """Whoever it is not is refused, under whatever name."""
    talk, _ = said()
    own = who.id or "guest-1"
    for value in (CHANGED, CHANGED | {"author": own}, SAID | {"author": own}):
        peer = talk.join(who).sync()
        peer.edits(setting("chat", {ID: value}))
        assert len(peer.denials) == 1
    peer = talk.join(who)
    gone = item(deleted(1), parent="chat", key=ID)
    peer.says(update(block(7, 0, gone)))
    assert bool(peer.denials) is (who is not MOD)
    assert talk.root() == {}


@pytest.mark.parametrize("who", [ANN, MOD, BOB])
def test_deleting_it(who: Principal) -> None:
    """Its author and moderators delete it by a value that says so; then it stays deleted."""
    talk, ann = said()
    gone = SAID | {"text": "", "deleted": NOW_MS} | ({} if who is ANN else {"deletedBy": who.id})
    peer = ann if who is ANN else talk.join(who).sync()
    peer.edits(setting("chat", {ID: gone}))
    if who is BOB:
        assert (peer.denials, talk.root()) == ([OWN_MESSAGES], {})
        return
    assert (peer.denials, talk.root()) == ([], {ID: gone})
    archive(talk, ID)
    other = talk.join(ANN).sync()
    other.edits(setting("chat", {ID: CHANGED}))
    assert (other.denials, talk.root()) == ([], {})
    assert contents(talk.book) == contents(fresh_book(talk))


def test_several_edits_at_once() -> None:
    """Of edits made offline all but the last come deleted; the last one counts."""
    talk, ann = said()
    for text in ("a", "b"):
        ann.edits(setting("chat", {ID: CHANGED | {"text": text}}), send=False)
    ann.says(ann.doc.get_update(talk.room.state_vector()))
    assert (ann.denials, talk.root()[ID]["text"]) == ([], "b")
    talk, ann = said()
    ann.edits(setting("chat", {ID: CHANGED}), send=False)
    ann.edits(setting("chat", {ID: None}), send=False)
    ann.says(ann.doc.get_update(talk.room.state_vector()))
    assert (ann.denials, talk.root()) == ([], {})
    other = talk.join(BOB).sync()
    other.edits(setting("chat", {ID: CHANGED | {"author": "bob"}}))
    assert other.denials, "whose it was is still known"


@pytest.mark.parametrize("first", [0, 1])
def test_two_tabs_of_its_author(first: int) -> None:
    """Of two late edits the one counts that all clients show, whichever comes first."""
    talk, ann = said()
    tabs = [ann, talk.join(ANN)]
    tabs[1].doc.apply_update(ann.doc.get_update())
    for text, tab in enumerate(tabs):
        tab.edits(setting("chat", {ID: CHANGED | {"text": f"{text}"}}), send=False)
    for tab in (tabs[first], tabs[1 - first]):
        tab.says(tab.doc.get_update(talk.room.state_vector()))
        assert tab.denials == []
    winner = max((0, 1), key=lambda each: tabs[each].doc.client_id)
    assert talk.root()[ID]["text"] == f"{winner}"
    assert [each.text for each in talk.book.messages()] == [f"{winner}"]


def test_a_book_that_is_made_anew_knows_no_more() -> None:
    """Then a late edit is deleted again in the same commit, and nobody is sent away for it."""
    talk, ann = said()
    late = ann.edits(setting("chat", {ID: CHANGED}), send=False)
    other = Talk(state=talk.room.state())
    back = other.join(ANN).sync()
    back.says(late)
    assert (back.denials, back.closed, other.root(), other.book.count()) == ([], None, {}, 0)


def test_chat_past_s() -> None:
    """What is so old may have been shed by now: nothing is let in behind it, no deletion either."""
    talk, ann = said()
    talk.clock.advance(LIMITS.chat_past_s + 1)
    gone = SAID | {"text": "", "deleted": talk.clock.time_ms()}
    for peer in (ann, talk.join(ANN)):
        peer.edits(setting("chat", {ID: gone}))
        assert (peer.denials, talk.root(), talk.book.count()) == ([], {}, 0)


def test_max_archived() -> None:
    """Of the latest that went so many are known; what went before is gone."""
    talk, _ = said()
    ids = [message_id(NOW_MS) for _ in range(MAX_ARCHIVED)]
    writer = MapWriter(talk.room.document, 2)
    talk.edits(writer.update([("chat", id, SAID) for id in ids]))
    archive(talk, *ids[1:])
    archive(talk, ids[0])
    known = talk.room.judge.keeper.book
    assert known is not None
    assert len(known._archived) == MAX_ARCHIVED
    assert known.slot("chat", ID) is None
    assert all(known.slot("chat", id) for id in ids)
    known.forget("chat", ids[0])
    assert (known.slot("chat", ids[0]), known.is_gone(ids[0])) == (None, True)
