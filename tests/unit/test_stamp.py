"""Presence is stamped with who it really is, and nothing else of it changes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtsync.awareness import Entry, encode_entries, read_entries
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.protocol import awareness_frame
from crdtsync.stamp import MAX_STAMP_CHARACTERS, stamp
from crdtsync.store.memory import MemoryStore

from .engine import Client, join, quick, until

pytestmark = pytest.mark.anyio

ADA = {"id": "u-1", "name": "Ada"}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("{}", '{"user":{"id":"u-1","name":"Ada"}}'),
        (" { } ", '{"user":{"id":"u-1","name":"Ada"}}'),
        ('{"user":{"name":"Bob","id":"u-2"}}', '{"user":{"id":"u-1","name":"Ada"}}'),
        (
            '{"user":{"color":"#fff","colorLight":"#fff8","x":1}}',
            '{"user":{"id":"u-1","name":"Ada","color":"#fff","colorLight":"#fff8"}}',
        ),
        ('{"user":{"color":{"id":"u-2"}}}', '{"user":{"id":"u-1","name":"Ada"}}'),
        ('{"user":[1]}', '{"user":{"id":"u-1","name":"Ada"}}'),
        ('{"user":{"name":"a"},"user":{"name":"b"}}', '{"user":{"id":"u-1","name":"Ada"}}'),
        ('{"\\u0075ser":{"name":"b"}}', '{"user":{"id":"u-1","name":"Ada"}}'),
        (
            '{"a":{"user":{"name":"b"}},"User":1}',
            '{"a":{"user":{"name":"b"}},"User":1,"user":{"id":"u-1","name":"Ada"}}',
        ),
        # Numbers and strings keep their own form.
        (
            '{ "n" : 1e999 , "z" : -0 , "big" : 12345678901234567890.10 }',
            '{"n" : 1e999,"z" : -0,"big" : 12345678901234567890.10,'
            '"user":{"id":"u-1","name":"Ada"}}',
        ),
        ('{"s":"\\ud800 }{,"}', '{"s":"\\ud800 }{,","user":{"id":"u-1","name":"Ada"}}'),
        ("[1]", "[1]"),
        ('"user"', '"user"'),
        ("7", "7"),
    ],
)
def test_stamped(state: str, expected: str) -> None:
    """The principal's id and name are what ``user`` says; the rest is the client's own text."""
    assert stamp(state, **ADA) == expected


def test_without_an_id() -> None:
    """Somebody anonymous may call itself something, and has no id; a share's visitor its name."""
    state = '{"user":{"id":"u-1","name":"Ada","color":"red"}}'
    assert stamp(state, id="", name="") == '{"user":{"name":"Ada","color":"red"}}'
    assert stamp(state, id="", name="Visitor") == '{"user":{"name":"Visitor","color":"red"}}'
    assert stamp(state, id="u-2", name="") == '{"user":{"id":"u-2","name":"u-2","color":"red"}}'
    assert stamp('{"user":{"name":7}}', id="", name="") == '{"user":{}}'


@given(st.dictionaries(st.text(), VALUES), st.text(), st.text(max_size=300))
def test_any_state(state: dict[str, object], id: str, name: str) -> None:
    """Whatever a state holds, it stays JSON, the rest stays the same, and it grows little."""
    for ascii_only in (True, False):
        text = json.dumps(state, ensure_ascii=ascii_only)
        stamped = stamp(text, id=id, name=name)
        found = json.loads(stamped)
        user = found.pop("user")
        assert found == {key: value for key, value in state.items() if key != "user"}
        assert user.get("id", "") == id[:MAX_STAMP_CHARACTERS]
        assert set(user) <= {"id", "name", "color", "colorLight"}
        assert len(stamped) <= len(text) + 14 * 1024


def states(client: Client) -> dict[int, object]:
    """Return the newest state of each id that a client heard of."""
    entries = [e for payload in client.awareness for e in read_entries(payload, Limits())]
    return {entry.client: json.loads(entry.state) for entry in entries}


def say(client: Client, number: int, clock: int, state: object) -> None:
    client.say(awareness_frame(encode_entries([Entry(number, clock, json.dumps(state))])))


async def test_a_room_that_asks_for_it() -> None:
    """In a room that stamps, nobody can call itself another; elsewhere states are left alone."""
    async with Hub(MemoryStore(), limits=quick(), stamp_user=lambda name: name == "doc") as hub:
        for name, shown in (("doc", "Bob"), ("free", "Ada")):
            watcher = await join(hub, name)
            bob = await join(hub, name, principal=Principal(id="u-2", name="Bob"))
            say(bob, 7, 1, {"user": {"name": "Ada", "color": "red"}, "cursor": 3})
            await until(lambda w=watcher: 7 in states(w))  # type: ignore[misc]
            state = states(watcher)[7]
            assert isinstance(state, dict)
            assert state["cursor"] == 3
            assert state["user"]["name"] == shown
            assert state["user"]["color"] == "red"
            assert state["user"].get("id") == ("u-2" if name == "doc" else None)
            say(bob, 7, 2, None)
            await until(lambda w=watcher: states(w)[7] is None)  # type: ignore[misc]


async def test_every_room() -> None:
    """``stamp_user=True`` means every document."""
    async with Hub(MemoryStore(), limits=quick(), stamp_user=True) as hub:
        client = await join(hub, principal=Principal(id="u-1", name="Ada"))
        say(client, 7, 1, {})
        await until(lambda: states(client).get(7) == {"user": ADA})
