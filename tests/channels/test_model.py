"""What channels hold: messages, reactions and people, read strictly."""

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtsync.channels.model import (
    Message,
    Person,
    Reaction,
    message_id,
    message_time,
    read_message,
    read_person,
    read_reaction,
)

TIME = 1_800_000_000_123
ID = "01a3185c-507b-7000-8000-000000000001"  # of that time
OTHER = "01a3185c-5076-7000-8000-000000000002"
PLAIN: dict[str, Any] = {"author": "ada", "text": "hi", "time": TIME, "type": "text"}


@given(st.integers(0, (1 << 48) - 1))
def test_ids_are_uuids_of_version_7(time_ms: int) -> None:
    """The standard library reads them as such, and they hold the time."""
    id = message_id(time_ms)
    found = uuid.UUID(id)
    assert (found.version, found.variant, str(found)) == (7, uuid.RFC_4122, id)
    assert message_time(id) == time_ms


def test_ids_are_ordered_by_time() -> None:
    """Sorted as text, messages are in the order of their times; no two ids are alike."""
    ids = [message_id(TIME + n) for n in range(100)]
    assert ids == sorted(ids)
    assert len({message_id(TIME) for _ in range(1000)}) == 1000
    with pytest.raises(ValueError, match="range"):
        message_id(1 << 48)


MESSAGES = [
    Message(id=ID, author="ada", text="hi", time_ms=TIME),
    Message(id=ID, author="guest-7", text="hi", time_ms=TIME, name="Ada", reply_to=OTHER,
            edited_ms=TIME + 9),
    Message(id=ID, author="ada", text="plan.pdf", time_ms=TIME, type="file", url="/files/1",
            size=1000, media_type="application/pdf"),
    Message(id=ID, author="ada", text="", time_ms=TIME, deleted_ms=TIME + 1, deleted_by="mod"),
    Message(id=ID, author="ada", text="joined", time_ms=TIME, type="system"),
]  # fmt: skip


@pytest.mark.parametrize("message", MESSAGES)
def test_messages(message: Message) -> None:
    """A message is what its value says, and the other way round."""
    assert read_message(message.id, message.value()) == message


def test_numbers_of_javascript() -> None:
    """A time may come as a float: JavaScript has nothing else."""
    assert read_message(ID, PLAIN | {"time": float(TIME)}).time_ms == TIME


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"author": 7}, "author is a text"),
        ({"author": ""}, "author is no person"),
        ({"author": "a b"}, "author is no person"),
        ({"text": None}, "text is a text"),
        ({"text": ""}, "has a text"),
        ({"time": TIME + 1}, "time is the one in its key"),
        ({"time": -1}, "time is a whole number"),
        ({"time": True}, "time is a whole number"),
        ({"time": float("nan")}, "time is a whole number"),
        ({"type": "video"}, "type is one of text, file, system"),
        ({"type": "file"}, "url begins with"),
        ({"type": "file", "url": "javascript:alert(1)"}, "url begins with"),
        ({"type": "file", "url": "//evil.example/x"}, "url begins with"),
        ({"type": "file", "url": "/a\\b"}, "url is no address"),
        ({"type": "file", "url": "https://"}, "url begins with"),
        ({"type": "file", "url": "http://[x"}, "url is no address"),
        ({"url": "https://example.com"}, "only a message of type file"),
        ({"replyTo": "x"}, "replyTo is a message's key"),
        ({"name": "x" * 101}, "name has at most 100"),
        ({"edited": "now"}, "edited is a whole number"),
        ({"deleted": TIME}, "a deleted message has no text"),
        ({"html": "<b>"}, "members that it may not have"),
    ],
)
def test_what_is_no_message(change: dict[str, Any], words: str) -> None:
    """Each mistake has words for whoever made it."""
    with pytest.raises(ValueError, match=words):
        read_message(ID, PLAIN | change)


@pytest.mark.parametrize("value", [None, "hi", [], 3])
def test_a_message_is_an_object(value: Any) -> None:
    """Nothing else stands under a message's key."""
    with pytest.raises(ValueError, match="a message is a plain object"):
        read_message(ID, value)


@pytest.mark.parametrize(
    "key", ["1", "x" * 36, ID.upper(), "4b0c05bf-a40f-4d09-a200-552887b7d9aa", ID + " "]
)
def test_a_messages_key(key: str) -> None:
    """A key that is no time-ordered id is refused."""
    with pytest.raises(ValueError, match="UUID of version 7"):
        read_message(key, PLAIN)


@pytest.mark.parametrize("emoji", ["👍", "👩‍👩‍👧‍👦", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", ":+1:", "é"])
def test_reactions(emoji: str) -> None:
    """A reaction's key says to what, which, and whose it is."""
    reaction = Reaction(ID, emoji, "ada")
    assert read_reaction(reaction.key, TIME) == reaction


@pytest.mark.parametrize(
    ("key", "value"),
    [("x", TIME), (f"{ID} 👍", TIME), ("x 👍 ada", TIME), (f"{ID}  ada", TIME),
     (f"{ID} 👍 ", TIME), (f"{ID} 👍 a b", TIME), (f"{ID} {'x' * 33} ada", TIME),
     (f"{ID} \n ada", TIME), (f"{ID} 👍 ada", "yes"), (f"{ID} 👍 ada", {})],
)  # fmt: skip
def test_what_is_no_reaction(key: str, value: Any) -> None:
    """Keys of other shapes, and values that are no time."""
    with pytest.raises(ValueError, match=r"reaction|emoji|time"):
        read_reaction(key, value)


def test_people() -> None:
    """A person is what the value says, and the other way round; a status alone is enough."""
    ada = Person(id="ada", status="busy", name="Ada", color="#3366cc", last_seen_ms=TIME,
                 connections=2)  # fmt: skip
    assert read_person("ada", ada.value()) == ada
    assert read_person("ada", {"status": "away"}) == Person(id="ada", status="away")


@pytest.mark.parametrize(
    ("id", "value", "words"),
    [
        ("ada", {}, "status is a text"),
        ("ada", {"status": "asleep"}, "status is one of online, away, busy, offline"),
        ("ada", {"status": "away", "name": 1}, "name is a text"),
        ("ada", {"status": "away", "color": "red"}, "a color is #rrggbb"),
        ("ada", {"status": "away", "color": "#12345"}, "a color is #rrggbb"),
        ("ada", {"status": "away", "connections": -1}, "connections is a whole number"),
        ("ada", {"status": "away", "mood": "fine"}, "members that it may not have"),
        ("ada", "away", "a person is a plain object"),
        ("a b", {"status": "away"}, "keys are people's ids"),
        ("", {"status": "away"}, "keys are people's ids"),
    ],
)
def test_what_is_no_person(id: str, value: Any, words: str) -> None:
    """Each mistake has words for whoever made it."""
    with pytest.raises(ValueError, match=words):
        read_person(id, value)
