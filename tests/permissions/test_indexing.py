"""The index that is made while a room goes on: who waits for it, and what is decided then."""

import logging
import threading
from collections.abc import Iterator
from unittest.mock import patch

import anyio
import pytest

from crdtsync.awareness import Entry, encode_entries
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.indexing import Making
from crdtsync.judge import WAIT
from crdtsync.limits import Limits
from crdtsync.protocol import awareness_frame, update_frame
from crdtsync.roles import WRITE, Rule
from crdtsync.store.memory import MemoryStore
from tests.permissions.kit import LIMITS, Server, restricted
from tests.permissions.test_random import ROLES
from tests.properties.authors import History, histories
from tests.properties.edits import edit
from tests.properties.profile import checked
from tests.unit.wire import one, update

CHAT = Rule(root="chat")
TEXT = Rule(root="text")
BAD = 'you may not write to "text"'


@pytest.fixture(autouse=True)
def _nothing_is_small() -> Iterator[None]:
    """Have every index made apart."""
    with patch("crdtsync.judge.INDEX_HERE_BYTES", -1), patch("crdtsync.apart.INDEX_HERE_BYTES", 0):
        yield


def written() -> Server:
    """Return a room with a text in it that is indexed on demand."""
    server = Server(apart=True)
    server.join().says(one(1, 0, "abc"))
    server.commit()
    return server


# Who waits


def test_an_edit_by_rules_waits_and_what_is_behind_it() -> None:
    """Nothing of it is in before it was decided on, nor what its author sends then."""
    server = written()
    guest = server.join(restricted(CHAT))
    guest.says(one(2, 0, "x", parent="chat"), one(2, 1, "y", origin=(2, 0)))
    guest.says(one(2, 2, "z", origin=(1, 0)))
    assert server.room.document.clocks == {1: 3}
    assert not guest.denials
    server.indexed()
    assert server.room.document.clocks == {1: 3, 2: 2}
    assert guest.denials == [BAD]


def test_free_writers_go_on_and_are_in_the_index() -> None:
    """What they write meanwhile, before and while it is read, is there to be decided on."""
    server = written()
    writer, guest = server.join(), server.join(restricted(CHAT))
    guest.says(one(2, 0, "x", origin=(1, 4)))
    writer.says(one(1, 3, "d", origin=(1, 2)))
    ((_, making),) = server.making
    making.put(making.take())
    writer.says(one(1, 4, "e", origin=(1, 3)), one(3, 0, "hi", parent="chat"))
    assert server.room.document.clocks == {1: 5, 3: 2}
    server.indexed()
    assert guest.denials == [BAD]
    other = server.join(restricted(CHAT))
    other.says(one(4, 0, "x", origin=(3, 0), right=(3, 1)))
    assert server.room.document.clocks == {1: 5, 3: 2, 4: 1}


@pytest.mark.parametrize("late", [False, True])
def test_somebody_else_writes_while_a_thread_has_it_all(late: bool) -> None:
    """What the thread has taken is not in hand: who comes then waits, or has it made anew."""
    server = written()
    guest, other = server.join(restricted(CHAT)), server.join(restricted(CHAT))
    if late:
        other.says(one(3, 1, "z", origin=(3, 0)))
        server.indexed()
        server.room.judge.keeper.drop()
    guest.says(one(2, 0, "x", parent="chat"))
    ((_, making),) = server.making
    taken = making.take()
    with patch("crdtsync.judge.INDEX_HERE_BYTES", 1 << 60):
        if late:  # what fits only now can't wait
            server.join().says(one(3, 0, "y", parent="chat"))
        else:
            other.says(one(3, 0, "y", parent="chat"))
        assert server.room.document.clocks == ({1: 3, 3: 2} if late else {1: 3})
        making.put(taken)
        server.indexed()
    assert not guest.denials
    assert not other.denials
    assert server.room.document.clocks == {1: 3, 2: 1, 3: 2 if late else 1}


def test_who_waits_is_read_no_further_than_a_limit() -> None:
    """What comes behind is kept up to the backlog's limit; then its socket is left alone."""
    limits = Limits(refusal_delay_s=0.0, max_backlog_bytes=500)
    server = Server(apart=True, limits=limits)
    server.join().says(one(1, 0, "abc"))
    guest = server.join(restricted(CHAT))
    guest.says(one(2, 0, "x", parent="chat"))
    for clock in range(1, 5):
        guest.says(one(2, clock, "x", origin=(2, clock - 1)))
        guest.is_here(b"\x00")
    assert guest.paused
    server.indexed()
    assert not guest.paused
    assert server.room.document.clocks[2] == 5


def test_what_brings_nothing_new_does_not_wait() -> None:
    """Nor does what is refused without a look at places, nor who types in an only root."""
    server = written()
    guest, typist = server.join(restricted(CHAT)), server.join(restricted(TEXT))
    reader = server.join(restricted())
    guest.answers(one(1, 0, "abc"))
    reader.says(one(3, 0, "x"))
    typist.says(update(deletes=[(9, 0, 1)]))
    assert server.making
    server.indexed()
    server = written()
    typist = server.join(restricted(TEXT))
    typist.connection.clearance = None
    typist.says(one(1, 2, "c"), one(1, 0, "abc"))
    assert not server.making


def test_a_frame_with_several_messages_stops_where_one_waits() -> None:
    """What is behind it in the same frame comes after it."""
    server = written()
    guest = server.join(restricted(CHAT))
    first, second = one(2, 0, "x", parent="chat"), one(2, 1, "y", origin=(2, 0))
    guest.connection.receive(update_frame(first) + update_frame(second))
    assert not server.room.document.waiting
    server.indexed()
    assert server.room.document.clocks == {1: 3, 2: 2}
    assert not guest.denials


def test_presence_in_the_same_frame_comes_after() -> None:
    """Whatever is behind it waits, not only edits."""
    server = written()
    guest = server.join(restricted(CHAT))
    here = awareness_frame(encode_entries([Entry(2, 1, '{"name":"y"}')]))
    guest.connection.receive(update_frame(one(2, 0, "x", parent="chat")) + here)
    assert not server.room.fanout.awareness.present()
    server.indexed()
    assert len(server.room.fanout.awareness.present()) == 1


def test_who_waits_twice_keeps_what_is_behind() -> None:
    """Where another index takes the place of the one that was waited for, all that waits does."""
    server = written()
    guest, adder = server.join(restricted(CHAT)), server.join(restricted(Rule(append_only=True)))
    guest.says(one(2, 0, "x", parent="chat"))
    guest.is_here(encode_entries([Entry(2, 1, '{"name":"y"}')]))
    adder.says(update(deletes=[(1, 0, 1)]))
    server.indexed(1)
    assert server.room.document.clocks == {1: 3}
    assert not server.room.fanout.awareness.present()
    server.indexed()
    assert server.room.document.clocks == {1: 3, 2: 1}
    assert len(server.room.fanout.awareness.present()) == 1


# What may happen meanwhile


def test_who_goes_while_it_waits() -> None:
    """Nothing of it is taken, and the index is for nobody."""
    server = written()
    guest, writer = server.join(restricted(CHAT)), server.join()
    guest.says(one(2, 0, "x", parent="chat"))
    guest.connection.lost()
    ((_, making),) = server.making
    assert making.over
    assert writer.connection.free
    server.indexed()
    assert server.room.judge.index is None
    assert server.room.document.clocks == {1: 3}


def test_a_role_that_changes_while_it_waits() -> None:
    """Who may write everywhere by then is let in; who may not there is refused."""
    server = written()
    up, down = server.join(restricted(CHAT)), server.join(restricted(CHAT))
    up.says(one(2, 0, "x", origin=(1, 0)))
    down.says(one(3, 0, "y", parent="chat"))
    up.connection.become(Principal(role=WRITE))
    down.connection.become(restricted(Rule(root="else")))
    server.indexed()
    assert server.room.document.clocks == {1: 3, 2: 1}
    assert not up.denials
    assert down.denials == ['you may not write to "chat"']


def test_nobody_by_rules_is_left() -> None:
    """Who waited and is free now goes on when the thread is done, without an index."""
    server = written()
    guest = server.join(restricted(CHAT))
    guest.says(one(2, 0, "x", origin=(1, 0)))
    guest.connection.become(Principal(role=WRITE))
    assert guest.connection.free
    assert server.room.document.clocks == {1: 3}
    server.indexed()
    assert server.room.document.clocks == {1: 3, 2: 1}
    assert server.room.judge.index is None


def test_one_who_asks_for_values_waits_alone() -> None:
    """Rules that ask whether a key has a value need another index; others go by the old one."""
    server = written()
    guest, adder = server.join(restricted(CHAT)), server.join(restricted(Rule(append_only=True)))
    guest.says(one(2, 0, "x", parent="chat"))
    server.indexed()
    adder.says(update(deletes=[(1, 0, 1)]))
    assert server.making
    guest.says(one(2, 1, "y", origin=(2, 0)), one(2, 2, "z", origin=(1, 0)))
    assert guest.denials == [BAD]
    server.indexed()
    assert adder.denials == ['you may add to "text", but not delete or replace']
    index = server.room.judge.index
    assert index is not None
    assert index.values
    assert index.end(2) == 2


def test_two_who_need_different_indexes() -> None:
    """Where the second needs more than the first, one index serves both."""
    server = written()
    guest, adder = server.join(restricted(CHAT)), server.join(restricted(Rule(append_only=True)))
    guest.says(one(2, 0, "x", origin=(1, 0)))
    adder.says(update(deletes=[(1, 0, 1)]))
    server.indexed()
    assert guest.denials == [BAD]
    assert len(adder.denials) == 1
    assert server.shows()["text", None] == [("abc", None)]


def test_what_was_held_is_decided_on_all_the_same() -> None:
    """A part that fits now can't wait: its author may write less by now, and it is refused."""
    server = written()
    writer, late = server.join(), server.join()
    late.says(one(5, 1, "b", origin=(5, 0)))
    late.connection.become(restricted(CHAT))
    late.says(one(6, 0, "c", parent="chat"))
    assert len(server.making) == 1
    writer.says(one(5, 0, "a"))
    assert late.denials == [BAD]
    assert server.room.document.clocks == {1: 3, 5: 1}
    server.indexed()
    assert server.room.document.clocks == {1: 3, 5: 1, 6: 1}


def test_an_index_that_can_not_be_made(caplog: pytest.LogCaptureFixture) -> None:
    """Then nothing enters that needs it; what others write does."""
    server = written()
    writer, guest = server.join(), server.join(restricted(CHAT))
    guest.says(one(2, 0, "x", parent="chat"))
    with caplog.at_level(logging.ERROR, "crdtsync"), patch.object(Making, "put"):
        server.indexed()
    assert guest.denials == ["the server can't decide on this edit"]
    guest.says(one(2, 0, "x", parent="chat"))
    writer.says(one(1, 3, "d", origin=(1, 2)))
    assert len(guest.denials) == 2
    assert not server.making
    assert server.room.document.clocks == {1: 4}
    assert "can't be told" in caplog.text
    server.room.detach(guest.connection)
    again = server.join(restricted(CHAT))
    again.says(one(2, 0, "x", parent="chat"))
    server.indexed()
    assert server.room.document.clocks == {1: 4, 2: 1}


def test_to_wait_is_no_decision() -> None:
    """Nobody is told the reason that stands for it."""
    server = written()
    guest = server.join(restricted(CHAT))
    guest.says(one(2, 0, "x", origin=(1, 0)))
    assert WAIT.reason not in guest.denials


# The same as at once


@checked(250, history=histories)
def test_the_same_as_an_index_made_at_once(history: History) -> None:
    """However it is made in slices while edits come in, the decisions are those of one made then.

    The one room gets the restricted writer's edits when its index is begun, the other when that
    is done; all others write the same in both.
    """
    dice = history.dice
    who = Principal(id="a", role=ROLES[dice.roll(len(ROLES))])
    updates = list(history.updates)
    here, before = Server(apart=True), Server()
    writers = [here.join(), before.join()]
    cut = dice.roll(len(updates) + 1)
    for each in updates[:cut]:
        for writer in writers:
            writer.says(each)
    guest, other = here.join(who).sync(), before.join(who)
    sent = [guest.edits(lambda doc: edit(doc, dice), send=False) for _ in range(4)]
    guest.says(*sent)
    for each in updates[cut:]:
        if here.making and dice.roll(3) == 0:
            making = here.making[0][1]
            making.put(making.take())
        for writer in writers:
            writer.says(each)
    here.commit()
    before.commit()
    here.indexed()
    with patch("crdtsync.judge.INDEX_HERE_BYTES", 1 << 60):
        other.says(*sent)
    # Of several places where one may not write any one may be named.
    assert len(guest.denials) == len(other.denials)
    assert here.room.document.clocks == before.room.document.clocks
    assert here.shows() == before.shows()
    one_index, other_index = here.room.judge.index, before.room.judge.index
    if one_index is not None and other_index is not None:
        for client, end in here.room.document.clocks.items():
            for clock in range(end):
                one_place = one_index.name(one_index.at(client, clock))
                assert one_place == other_index.name(other_index.at(client, clock))


# In a hub


class _Link:
    """A socket that takes everything."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.news = anyio.Event()

    def send(self, frame: bytes) -> None:
        self.frames.append(frame)
        self.news.set()

    async def until(self, part: bytes) -> None:
        with anyio.fail_after(10):
            while not any(part in frame for frame in self.frames):
                self.news = anyio.Event()
                await self.news.wait()

    def close(self, code: int, reason: str) -> None: ...

    def abort(self) -> None: ...

    def ping(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


@pytest.mark.anyio
async def test_others_type_while_a_thread_makes_it() -> None:
    """The thread is held up until another's keystroke is committed: so nobody waits for it."""
    committed = threading.Event()
    put = Making.put

    def slowly(self: Making, parts: list[bytes]) -> None:
        assert committed.wait(10), "a keystroke waited for an index"
        put(self, parts)

    async with Hub(MemoryStore(), limits=LIMITS) as hub:
        await hub.edit("doc", one(1, 0, "abc"))
        link = _Link()
        writer = hub.connect(_Link(), "doc", Principal())
        hub.connect(link, "doc", Principal())
        guest = hub.connect(_Link(), "doc", restricted(CHAT))
        async with hub.open("doc") as room:
            with patch.object(Making, "put", slowly):
                guest.receive(update_frame(one(2, 0, "guests", parent="chat")))
                guest.receive(awareness_frame(b"\x00"))
                writer.receive(update_frame(one(1, 3, "writers", origin=(1, 2))))
                await link.until(b"writers")
                assert room.document.clocks == {1: 10}
                committed.set()
                await link.until(b"guests")
            assert room.judge.index is not None
            assert room.judge.index.end(1) == 10
