"""The rules of chat and presence, one by one, through a room: what enters, and what does not."""

from collections.abc import Mapping
from dataclasses import replace
from struct import pack
from typing import Any

import pytest
from pycrdt import Map

from crdtsync.channels.judging import MAX_VALUES
from crdtsync.channels.model import message_id
from crdtsync.channels.rules import ChannelRules
from crdtsync.gate import Principal
from crdtsync.limits import Limits
from crdtsync.roles import ADMIN, COMMENT, READ, WRITE, Role
from tests.channels.kit import ANN, BOB, GUEST, MOD, NOW_MS, Talk, message, person, says, setting
from tests.permissions.kit import merged
from tests.unit.wire import any_, binary, block, deleted, embed, item, one, string, type_, update

MINUTE_MS = 60_000
ID = "018bcfe5-6800-7000-8000-000000000001"  # of that time
OWN_MESSAGES = "you may only write, edit and delete messages of your own"
OWN_KEY = "you may only write your own key here"


def told(talk: Talk, who: Principal, root: str, values: Mapping[str, Any]) -> list[str]:
    """Return what somebody is told who sets keys of a root; nothing where that is let in."""
    peer = talk.join(who).sync()
    peer.edits(setting(root, values))
    before = peer.denials
    assert bool(before) != (_shown(talk, root, values))
    return before


def _shown(talk: Talk, root: str, values: Mapping[str, Any]) -> bool:
    now = talk.root(root)
    return all(now.get(key) == value for key, value in values.items())


def value(author: str = "ann", *, at_ms: int = NOW_MS, **more: Any) -> dict[str, Any]:
    """Return a message's value."""
    return {"author": author, "text": "hello", "time": at_ms, "type": "text"} | more


# Whose it is


@pytest.mark.parametrize("who", [ANN, BOB, MOD, Principal(id="ann"), GUEST])
def test_people_speak_for_themselves(who: Principal) -> None:
    """A message of one's own is let in; a guest is any guest, and nobody else."""
    own = who.id or "guest-7"
    assert told(Talk(), who, "chat", {ID: value(own)}) == []
    assert told(Talk(), who, "chat", {ID: value("eve")}) == [OWN_MESSAGES]
    assert told(Talk(), who, "chat", {ID: value("guest-8")}) == (
        [] if who is GUEST else [OWN_MESSAGES]
    )


def test_readers_stay_readers() -> None:
    """A role without the root is refused as ever, by the role."""
    read_only = "this document is read-only for you"
    assert told(Talk(), Principal(id="ann", role=READ), "chat", {ID: value()}) == [read_only]
    role = Role(name="none", write=())
    assert told(Talk(), Principal(id="ann", role=role), "presence", {"ann": {}}) == [read_only]
    assert told(Talk(), BOB, "body", {"a": 1}) == ['you may not write to "body"']


def test_a_forged_name() -> None:
    """Whose name is known does not write under another one; anybody else may call himself so."""
    named = replace(ANN, name="Ann")
    assert told(Talk(), named, "chat", {ID: value(name="Ann")}) == []
    assert told(Talk(), named, "chat", {ID: value()}) == []
    assert told(Talk(), named, "chat", {ID: value(name="Bob")}) == [
        "name is another one than yours"
    ]
    assert told(Talk(), ANN, "chat", {ID: value(name="<b>Ann</b>")}) == []


# What it is


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (value(text=5), "text is a text"),
        (value(text=""), "a message has a text"),
        (value(text=["hello"]), "the members of a value are texts and numbers"),
        (value(text=b"hello"), "the members of a value are texts and numbers"),
        (value(time=str(NOW_MS)), "time is a whole number, not negative"),
        (value(time=NOW_MS + 1), "a message's time is the one in its key"),
        (value(time=NOW_MS + 0.5), "time is a whole number, not negative"),
        (value(time=float("nan")), "time is a whole number, not negative"),
        (value(type="shout"), "type is one of text, file, system"),
        (value(type="system"), "only the server writes messages of type system"),
        (value(html="<b>"), "a message has members that it may not have"),
        (value(author="no body"), "author is no person's id"),
        (value(author=None), "author is a text"),
        (value(replyTo="1"), "replyTo is a message's key"),
        (value(url="https://example.org/"), "only a message of type file has a file"),
        (
            value(type="file", url="javascript:alert(1)"),
            "url begins with https://, http:// or a single /",
        ),
        (
            value(type="file", url="//example.org/"),
            "url begins with https://, http:// or a single /",
        ),
        (value(deletedBy="bob"), "deletedBy is for who deletes the message of somebody else"),
        (value(text="", deleted=NOW_MS - 60_001), "a message is deleted after it was written"),
        (value(edited=NOW_MS - 60_001), "a message may be edited for 15 minutes"),
        ([value()], "the members of a value are texts and numbers"),
        ("hello", "a message is a plain object"),
        (None, "a message is a plain object"),
        (5, "a message is a plain object"),
    ],
)
def test_mistyped_messages(wrong: Any, reason: str) -> None:
    """What is no message is refused, with words for its author."""
    talk = Talk()
    peer = talk.join(ANN)
    peer.edits(lambda doc: doc.get("chat", type=Map).__setitem__(ID, wrong))
    assert peer.denials == [reason]
    assert talk.root() == {}
    assert talk.room.document.clocks == {}


@pytest.mark.parametrize("key", ["1", "hello", ID.upper(), ID.replace("-7", "-4"), "", ID + " "])
def test_keys_are_ids(key: str) -> None:
    """A key that is no UUID of version 7 is refused."""
    assert told(Talk(), ANN, "chat", {key: value()}) == [
        "a message's key is a UUID of version 7 in small letters"
    ]


@pytest.mark.parametrize(
    "content",
    [string("hello"), type_(1), type_(2), binary(b"x"), embed("{}"), any_(b"\x7a" + b"\0" * 8)],
)
@pytest.mark.parametrize("root", ["chat", "chat-reactions", "chat-receipts", "presence"])
def test_only_plain_values(content: Any, root: str) -> None:
    """Shared types, text, bytes, embeds and big integers are no values of a channel."""
    talk = Talk()
    for place in ({"key": ID}, {}):
        peer = talk.join(ANN)
        peer.says(one(5, 0, content, parent=root, **place))
        assert len(peer.denials) == 1
    assert talk.room.document.clocks == {}


def test_nothing_lies_in_what_was_there_before() -> None:
    """What a document had in such a root stays, and can be taken out; nothing is added to it."""
    talk = Talk()
    talk.edits(
        update_of(
            one(9, 0, type_(0), parent="chat", key=ID), one(9, 1, any_(b"\x7d\x05"), parent=(9, 0))
        )
    )
    talk.edits(one(8, 0, "text", parent="presence"))
    assert talk.book.messages() == []
    for sent in (
        one(5, 0, any_(b"\x7d\x05"), parent=(9, 0)),
        one(5, 0, any_(b"\x7d\x05"), origin=(9, 1)),
        one(5, 0, "x", origin=(8, 3)),
        one(5, 0, "x", right=(8, 0)),
        one(5, 0, "x", origin=(8, 0), right=(8, 1)),
    ):
        peer = talk.join(ANN)
        peer.says(sent)
        assert "plain values under keys" in peer.denials[0]
    peer = talk.join(ANN).sync()
    says(peer, message("ann", at_ms=NOW_MS))
    peer.says(update(deletes=[(8, 0, 2)]))
    peer.edits(setting("chat", {ID: value()}))  # in its place
    assert peer.denials == []
    assert talk.book.ids() == sorted(talk.root())
    assert talk.book.count() == 2


def update_of(*updates: bytes) -> bytes:
    return merged(*updates)


@pytest.mark.parametrize("size", [99, 100, 101])
def test_max_chat_text_bytes(size: int) -> None:
    """A text over the limit is refused; what counts is UTF-8."""
    talk = Talk(limits=Limits(max_chat_text_bytes=200, refusal_delay_s=0))
    too_much = ["a message may have 200 bytes"] if size > 100 else []
    assert told(talk, ANN, "chat", {ID: value(text="é" * size)}) == too_much


# When


@pytest.mark.parametrize(
    ("at_ms", "reason"),
    [
        (NOW_MS + 60_000, ""),
        (NOW_MS + 60_001, "a message's time lies in the future: is your clock right?"),
        (NOW_MS - 3_600_000, ""),
        (NOW_MS - 3_600_001, "a message's time lies too far in the past"),
    ],
)
def test_times(at_ms: int, reason: str) -> None:
    """chat_future_s and chat_past_s: as far a message's time may be off."""
    talk = Talk(limits=Limits(chat_future_s=60, chat_past_s=3600, refusal_delay_s=0))
    said = told(talk, ANN, "chat", {message_id(at_ms): value(at_ms=at_ms)})
    assert said == ([reason] if reason else [])


@pytest.mark.parametrize("what", ["edited", "deleted"])
def test_later_times_are_checked_too(what: str) -> None:
    """Nothing was edited or deleted in the future, or before it was there."""
    talk = Talk()
    text = "" if what == "deleted" else "hi"
    ahead = NOW_MS + 2 * MINUTE_MS
    reason = f"{what} lies in the future: is your clock right?"
    assert told(talk, ANN, "chat", {ID: value(text=text, **{what: ahead})}) == [reason]
    assert told(talk, ANN, "chat", {ID: value(text=text, **{what: NOW_MS})}) == []
    other = message_id(NOW_MS)
    assert told(talk, ANN, "chat", {other: value()}) == []
    assert told(talk, ANN, "chat", {other: value(text=text, **{what: ahead})}) == [reason]


@pytest.mark.parametrize("minutes", [0, 10, 11])
def test_chat_edit_window_s(minutes: int) -> None:
    """An edit counts by when it was made: it may have been on its way for a while."""
    talk = Talk(limits=Limits(chat_edit_window_s=600, refusal_delay_s=0))
    assert told(talk, ANN, "chat", {ID: value()}) == []
    talk.clock.advance(3600)
    edited = value(text="hi", edited=NOW_MS + minutes * MINUTE_MS)
    late = ["a message may be edited for 10 minutes"] if minutes > 10 else []
    assert told(talk, ANN, "chat", {ID: edited}) == late
    talk.clock.advance(30 * 86400)
    stale = value(text="ha", edited=NOW_MS + MINUTE_MS)
    assert told(talk, ANN, "chat", {ID: stale}) == ["edited lies too far in the past"]
    gone = value(text="", deleted=talk.clock.time_ms())
    assert told(talk, ANN, "chat", {ID: gone}) == []


@pytest.mark.parametrize("earlier_ms", [60_000, 60_001])
def test_changes_by_a_clock_that_is_behind(earlier_ms: int) -> None:
    """An edit or a deletion may be as much earlier than its message as clocks may be ahead."""
    talk = Talk()
    ahead = value(time=NOW_MS)
    assert told(talk, ANN, "chat", {ID: ahead}) == []
    too_early = earlier_ms > 60_000
    edited = ahead | {"text": "hi", "edited": NOW_MS - earlier_ms}
    late = ["a message may be edited for 15 minutes"] if too_early else []
    assert told(talk, ANN, "chat", {ID: edited}) == late
    deleted = ahead | {"text": "", "deleted": NOW_MS - earlier_ms}
    late = ["a message is deleted after it was written"] if too_early else []
    assert told(talk, ANN, "chat", {ID: deleted}) == late


# Editing and deleting


@pytest.mark.parametrize("who", [BOB, GUEST, MOD, Principal(id="eve")])
def test_nobody_edits_the_messages_of_others(who: Principal) -> None:
    """Moderators neither; and whoever is no moderator does not delete them."""
    talk = Talk()
    assert told(talk, ANN, "chat", {ID: value()}) == []
    for edited in (
        value(text="ha", edited=NOW_MS),
        value(who.id or "guest-1", text="ha", edited=NOW_MS),
    ):
        assert len(told(talk, who, "chat", {ID: edited})) == 1
    gone = value(text="", deleted=NOW_MS, deletedBy=who.id or "guest-1")
    assert told(talk, who, "chat", {ID: gone}) == ([] if who is MOD else [OWN_MESSAGES])
    if who is not MOD:
        assert told(talk, who, "chat", {ID: None}) == [OWN_MESSAGES]


@pytest.mark.parametrize(
    "edited",
    [
        value(text="ha"),
        value("bob", text="ha", edited=NOW_MS),
        value(text="ha", edited=NOW_MS, type="file", url="/x"),
        value(text="ha", edited=NOW_MS, replyTo=ID),
        value(text="ha", edited=NOW_MS, type="system"),
    ],
)
def test_an_edit_keeps_what_it_edits(edited: dict[str, Any]) -> None:
    """Author, time, type and what it answers stay, and an edit says that it is one."""
    talk = Talk()
    assert told(talk, ANN, "chat", {ID: value()}) == []
    assert len(told(talk, ANN, "chat", {ID: edited})) == 1
    assert told(talk, ANN, "chat", {ID: value(text="ha", edited=NOW_MS)}) == []
    assert told(talk, ANN, "chat", {ID: value(text="ha", edited=NOW_MS)}) == []  # the same again


@pytest.mark.parametrize("out", [True, False])
@pytest.mark.parametrize("who", [ANN, MOD])
def test_deleting(who: Principal, out: bool) -> None:
    """The author and moderators delete, by a value that says so or by taking the key out."""
    talk = Talk()
    assert told(talk, ANN, "chat", {ID: value()}) == []
    talk.clock.advance(3600)
    now = talk.clock.time_ms()
    gone = value(text="", deleted=now) | ({"deletedBy": "mod"} if who is MOD else {})
    if who is MOD:
        for by in ({}, {"deletedBy": "ann"}):
            assert len(told(talk, MOD, "chat", {ID: value(text="", deleted=now) | by})) == 1
    assert told(talk, who, "chat", {ID: None if out else gone}) == []
    assert talk.book.count() == (0 if out else 1)
    assert not any(each.text for each in talk.book.messages())


@pytest.mark.parametrize("role", [WRITE, COMMENT, ADMIN, None])
def test_moderators(role: Role | None) -> None:
    """A role says who moderates; who has none does not."""
    talk = Talk()
    assert told(talk, ANN, "chat", {ID: value()}) == []
    assert bool(told(talk, Principal(id="x", role=role), "chat", {ID: None})) == (role is not ADMIN)


def test_what_was_deleted_stays_so() -> None:
    """Nobody edits a deleted message back, or hides who deleted it."""
    talk = Talk()
    assert told(talk, ANN, "chat", {ID: value()}) == []
    gone = value(text="", deleted=NOW_MS, deletedBy="mod")
    assert told(talk, MOD, "chat", {ID: gone}) == []
    back = value(text="here again", edited=NOW_MS + 1)
    assert told(talk, ANN, "chat", {ID: back}) == ["a deleted message stays deleted"]
    assert told(talk, ANN, "chat", {ID: value()})
    hidden = value(text="", deleted=NOW_MS)
    assert told(talk, ANN, "chat", {ID: hidden}) == [
        "a deleted message keeps saying who deleted it"
    ]


def test_what_was_taken_out_does_not_come_back() -> None:
    """Not by undoing, nor by another author; it is out again in the same commit."""
    talk = Talk()
    ann = talk.join(ANN).sync()
    ann.edits(setting("chat", {ID: value()}))
    ann.edits(setting("chat", {ID: None}))
    ann.edits(setting("chat", {ID: value()}))
    assert (ann.denials, talk.root(), talk.book.count()) == ([], {}, 0)
    talk.join(Principal(id="eve")).sync().edits(setting("chat", {ID: value("eve")}))
    assert (talk.root(), talk.book.count()) == ({}, 0)
    assert ann.read().doc.get("chat", type=Map).to_py() == {}
    assert talk.room.sequence == talk.room.committed_sequence


@pytest.mark.parametrize("who", [ANN, MOD])
def test_nothing_hides_behind_a_deleted_item(who: Principal) -> None:
    """What follows on an item that comes deleted changes no author, and brings nothing back.

    So come an offline time's edits, of which the last one counts.
    """
    talk = Talk()
    ann = talk.join(ANN)
    ann.edits(setting("chat", {ID: value()}))
    tail = _any(value(who.id, text="", deleted=NOW_MS) if who is MOD else value(text="x"))
    structs = [
        item(deleted(1), origin=(ann.doc.client_id, 0), key="k"),
        item(tail, origin=(7, 0), key="k"),
    ]
    peer = talk.join(who)
    peer.says(update(block(7, 0, *structs)))
    assert len(peer.denials) == 1
    assert talk.root() == {ID: value()}
    last = _any(value(text="x", edited=NOW_MS))
    structs[1] = item(last, origin=(7, 0), key="k")
    peer = talk.join(ANN)
    peer.says(update(block(7, 0, *structs)))
    assert (peer.denials, talk.root()[ID]["text"]) == ([], "x")


def test_a_deletion_nobody_saw_outlives_several_edits() -> None:
    """Edits made offline, of which all but the last come deleted, don't bring a message back."""
    talk = Talk()
    ann, mod = talk.join(ANN).sync(), talk.join(MOD)
    ann.edits(setting("chat", {ID: value()}))
    mod.sync().edits(setting("chat", {ID: value(text="", deleted=NOW_MS, deletedBy="mod")}))
    origin = (ann.doc.client_id, 0)
    for client in (5, 999_999):  # behind the moderator's, and before
        last = item(_any(value(text="x", edited=NOW_MS)), origin=(client, 0), key="k")
        ann.says(update(block(client, 0, item(deleted(1), origin=origin, key="k"), last)))
        assert ann.denials == []
        assert not any(each["text"] for each in talk.root().values())


def _any(value: dict[str, Any]) -> Any:
    def text(each: str) -> bytes:
        return bytes((len(each),)) + each.encode()

    out = bytes((118, len(value)))
    for key, each in value.items():
        out += text(key)
        out += b"w" + text(each) if isinstance(each, str) else b"\x7b" + pack(">d", each)
    return any_(out)


def test_what_the_server_wrote() -> None:
    """Its messages stay as they are; moderators delete them."""
    talk = Talk()
    server = talk.join(ANN)
    talk.edits(server.edits(setting("chat", {ID: value(type="system")}), send=False))
    assert len(told(talk, ANN, "chat", {ID: value(type="system", text="x", edited=NOW_MS)})) == 1
    assert told(talk, ANN, "chat", {ID: None}) == [OWN_MESSAGES]
    assert told(talk, MOD, "chat", {ID: None}) == []


# The other roots


def test_reactions() -> None:
    """Everybody reacts for himself, to messages that there are."""
    talk = Talk()
    assert told(talk, ANN, "chat", {ID: value()}) == []
    assert told(talk, BOB, "chat-reactions", {f"{ID} 👍 bob": NOW_MS}) == []
    assert told(talk, BOB, "chat-reactions", {f"{ID} 👍 ann": NOW_MS}) == [
        "you may only react for yourself"
    ]
    other = message_id(NOW_MS - 1)
    none = "there is no such message to react to"
    assert told(talk, BOB, "chat-reactions", {f"{other} 👍 bob": NOW_MS}) == [none]
    for wrong in (NOW_MS + 3_600_000, NOW_MS - 30 * 86_400_000, "now", True, -1, {}):
        assert len(told(talk, BOB, "chat-reactions", {f"{ID} 🎉 bob": wrong})) == 1
    for key in (f"{ID} bob", f"{ID}  bob", f"{ID} a b bob", "x 👍 bob"):
        assert len(told(talk, BOB, "chat-reactions", {key: NOW_MS})) == 1
    assert told(talk, ANN, "chat-reactions", {f"{ID} 👍 bob": None}) == [OWN_KEY]
    assert told(talk, MOD, "chat-reactions", {f"{ID} 👍 bob": None}) == [OWN_KEY]
    assert [each.reaction.user for each in talk.book.reactions()] == ["bob"]
    assert told(talk, BOB, "chat-reactions", {f"{ID} 👍 bob": None}) == []
    assert told(talk, BOB, "chat-reactions", {f"{ID} 👍 bob": NOW_MS}) == []
    assert told(talk, MOD, "chat", {ID: None}) == []
    assert told(talk, BOB, "chat-reactions", {f"{ID} 😢 bob": NOW_MS}) == []  # there was one


def test_receipts() -> None:
    """Everybody says himself what he has read."""
    talk = Talk()
    for who in (ANN, GUEST):
        own = who.id or "guest-5"
        assert told(talk, who, "chat-receipts", {own: ID}) == []
        assert told(talk, who, "chat-receipts", {"bob": ID}) == [OWN_KEY]
        for wrong in ("x", 5, {"id": ID}, ID.upper()):
            assert len(told(talk, who, "chat-receipts", {own: wrong})) == 1
        assert told(talk, BOB, "chat-receipts", {own: None})
    assert talk.book.receipts() == {"ann": ID, "guest-5": ID}
    assert told(talk, ANN, "chat-receipts", {"ann": None}) == []


def test_presence() -> None:
    """Everybody says himself how he is there; what only the server knows is let in."""
    talk = Talk()
    here = person("ann", connections=99, last_seen_ms=5, name="Bob").value()
    assert told(talk, ANN, "presence", {"ann": here}) == []
    assert told(talk, MOD, "presence", {"ann": here | {"status": "busy"}}) == [OWN_KEY]
    assert told(talk, MOD, "presence", {"ann": None}) == [OWN_KEY]
    for wrong in (
        {"status": "asleep"},
        {"status": "busy", "color": "red"},
        {"status": "busy", "mood": "x"},
        {"status": "busy", "name": "x" * 101},
        {"status": "busy", "connections": -1},
        {},
        "busy",
    ):
        assert len(told(talk, ANN, "presence", {"ann": wrong})) == 1
    assert told(talk, GUEST, "presence", {"guest-1": {"status": "away"}}) == []
    assert told(talk, GUEST, "presence", {"bob": {"status": "away"}}) == [OWN_KEY]
    assert sorted(talk.book.people()) == ["ann", "guest-1"]
    assert told(talk, ANN, "presence", {"ann": {"status": "offline"}}) == []
    assert talk.book.people()["ann"].status == "offline"


def test_archives_are_the_servers() -> None:
    """Only the server says which archives there are; a message in one can be reacted to."""
    talk = Talk()
    archive = {"first": message_id(NOW_MS - 9), "last": message_id(NOW_MS - 5), "count": 2}
    only = "only the server writes here"
    assert told(talk, MOD, "chat-archives", {"000001": archive}) == [only]
    old = f"{message_id(NOW_MS - 7)} 👍 ann"
    assert len(told(talk, ANN, "chat-reactions", {old: NOW_MS})) == 1
    talk.edits(talk.join(ANN).edits(setting("chat-archives", {"000001": archive}), send=False))
    assert talk.book.archives() == {"000001": archive}
    assert told(talk, MOD, "chat-archives", {"000001": None}) == [only]
    assert told(talk, ANN, "chat-reactions", {old: NOW_MS}) == []
    assert len(told(talk, ANN, "chat-reactions", {f"{ID} 👍 ann": NOW_MS})) == 1


def test_threads() -> None:
    """A thread begins with a message; its own messages keep the same rules."""
    talk = Talk()
    root = f"chat/{ID}"
    begins = "a thread begins with a message of this chat"
    first = message_id(NOW_MS)
    assert told(talk, ANN, root, {first: value()}) == [begins]
    assert told(talk, ANN, f"chat-receipts/{ID}", {"ann": first}) == [begins]
    assert told(talk, ANN, "chat", {ID: value()}) == []
    assert told(talk, ANN, root, {first: value()}) == []
    assert told(talk, BOB, root, {first: value(text="x", edited=NOW_MS)}) == [OWN_MESSAGES]
    assert told(talk, BOB, f"chat-reactions/{ID}", {f"{first} 👍 bob": NOW_MS}) == []
    assert len(told(talk, BOB, f"chat-reactions/{ID}", {f"{ID} 👍 bob": NOW_MS})) == 1
    assert (talk.book.threads(), talk.book.count(ID)) == ([ID], 1)
    assert told(talk, ANN, "chat/anything", {"x": [1]}) == []  # no thread


@pytest.mark.parametrize("root", ["chat", "body"])
@pytest.mark.parametrize("who", [ANN, MOD, Principal()])
def test_nobody_writes_to_archives(who: Principal, root: str) -> None:
    """A document that is a chat's archive takes nothing from anybody but the server."""
    talk = Talk(name="notes/chat-archive/000001", channels=ChannelRules(chat=("notes",)))
    sealed = ["this is an archive: nobody writes to it"]
    assert told(talk, who, root, {ID: value(who.id or "guest-1")}) == sealed
    talk.edits(talk.join(ANN).edits(setting("chat", {ID: value()}), send=False))
    assert talk.book.count() == 1


# Where


def test_other_documents_and_roots_are_free() -> None:
    """Without a pattern that fits, such roots are like any other, and nobody is looked at."""
    talk = Talk(channels=ChannelRules(chat=("rooms/*",)))
    peer = talk.join(ANN)
    assert peer.connection.free
    peer.edits(setting("chat", {"anything": ["goes"]}))
    assert peer.denials == []
    assert talk.room.judge.keeper.book is talk.room.document.judge is None
    chatless = Talk(channels=ChannelRules(presence=("*",)))
    assert told(chatless, ANN, "chat", {"anything": "goes"}) == []
    assert told(chatless, ANN, "presence", {"bob": {"status": "busy"}}) == [OWN_KEY]
    chats = Talk(channels=ChannelRules(chat=("*",)))
    assert told(chats, ANN, "presence", {"anything": "goes"}) == []


# How much


def test_chat_messages_per_minute() -> None:
    """chat_burst at once, then so many a minute; each person has his own, guests their address."""
    talk = Talk(limits=Limits(chat_messages_per_minute=6, chat_burst=3, refusal_delay_s=0))
    slow = ["you say more than this chat takes: wait a moment"]
    assert told(talk, ANN, "chat", _many(4)) == [
        "a chat takes 3 things at once, and 6 a minute of their time"
    ]
    assert told(talk, ANN, "chat", _many(2)) == []
    assert told(talk, ANN, "chat-reactions", {f"{ID} 👍 ann": NOW_MS})[0].startswith("there is no")
    assert told(talk, ANN, "chat", _many(1)) == []
    assert told(talk, ANN, "chat", _many(1)) == slow
    assert told(talk, ANN, "chat", {talk.book.ids()[0]: None}) == []  # deleting is no talk
    assert told(talk, ANN, "presence", {"ann": {"status": "busy"}}) == []
    assert told(talk, MOD, "chat", _many(3, "mod")) == []
    assert told(talk, GUEST, "chat", _many(2, "guest-1")) == []
    assert told(talk, GUEST, "chat", _many(2, "guest-2")) == slow
    talk.clock.advance(10)
    assert told(talk, ANN, "chat", _many(2)) == slow
    assert told(talk, ANN, "chat", _many(1)) == []
    free = Talk(limits=Limits(chat_messages_per_minute=0, chat_burst=1, refusal_delay_s=0))
    assert told(free, ANN, "chat", _many(500)) == []


def test_what_was_said_offline_comes_at_once() -> None:
    """More than chat_burst is let in where its times are so far apart, and once for that time."""
    talk = Talk(limits=Limits(chat_messages_per_minute=6, chat_burst=3, refusal_delay_s=0))
    assert len(told(talk, ANN, "chat", _over(30, apart_ms=9_000))) == 1
    backlog = _over(30, apart_ms=10_000)
    assert told(talk, ANN, "chat", backlog) == []
    assert len(told(talk, ANN, "chat", _over(30, apart_ms=10_000))) == 1
    assert len(told(talk, ANN, "chat", _over(3, apart_ms=10_000))) == 1
    talk.clock.advance(10)
    assert told(talk, ANN, "chat", _over(1, at_ms=NOW_MS + 10_000)) == []
    first, *others = backlog
    talk.clock.advance(600)
    edits = {
        id: value(text="hi", time=backlog[id]["time"], edited=NOW_MS + 20_000 * number)
        for number, id in enumerate(others[:10], start=1)
    }
    reactions = {
        f"{first} {emoji} ann": NOW_MS + 210_000 + 20_000 * number
        for number, emoji in enumerate("abcdef")
    }
    assert told(talk, ANN, "chat", edits) == []
    assert told(talk, ANN, "chat-reactions", reactions) == []
    more = {key.replace(" ann", "x ann"): at_ms for key, at_ms in reactions.items()}
    assert told(talk, ANN, "chat-reactions", more) == [
        "a chat takes 3 things at once, and 6 a minute of their time"
    ]


def test_too_much_at_once() -> None:
    """So much that deciding on it would hold up everybody else is refused, unread."""
    talk = Talk(limits=Limits(chat_messages_per_minute=0, chat_burst=1, refusal_delay_s=0))
    guests = {f"guest-{number}": {"status": "away"} for number in range(MAX_VALUES + 1)}
    denied = "that is too much at once for a document's chat and presence"
    assert told(talk, GUEST, "presence", guests) == [denied]
    assert talk.book.people() == {}
    guests.popitem()
    assert told(talk, GUEST, "presence", guests) == []
    assert len(talk.book.people()) == MAX_VALUES
    patient = Talk(limits=Limits(chat_burst=MAX_VALUES + 1, refusal_delay_s=0))
    assert told(patient, ANN, "chat", _many(MAX_VALUES + 1)) == []
    assert told(talk, ANN, "chat", _many(MAX_VALUES + 1)) == [denied]


def _many(count: int, author: str = "ann") -> dict[str, Any]:
    return {message_id(NOW_MS): value(author) for _ in range(count)}


def _over(count: int, *, apart_ms: int = 0, at_ms: int = NOW_MS) -> dict[str, Any]:
    times = [at_ms - apart_ms * back for back in reversed(range(count))]
    return {message_id(time_ms): value(time=time_ms) for time_ms in times}
