"""Awareness: the codec, the clock rule, who owns a client id, and the table's bounds."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtsync.awareness import AwarenessTable, Entry, encode_entries, read_entries, read_single
from crdtsync.encoding import write_var_string, write_var_uint
from crdtsync.errors import MalformedMessage, MessageTooLarge
from crdtsync.limits import Limits
from crdtsync.protocol import AwarenessMessage, awareness_frame, decode_frame

LIMITS = Limits()
HERE = '{"cursor": 1}'
MOVED = '{"cursor": 2}'


@pytest.fixture
def table() -> AwarenessTable:
    return AwarenessTable(LIMITS)


def entry(client: int, clock: int, state: str = HERE) -> Entry:
    return Entry(client, clock, state)


def states(table: AwarenessTable) -> dict[int, tuple[int, str]]:
    return {each.client: (each.clock, each.state) for each in table.present()}


# The codec


@given(
    st.lists(
        st.builds(
            Entry,
            st.integers(0, (1 << 53) - 1),
            st.integers(0, (1 << 32) - 1),
            st.sampled_from(["null", "{}", HERE, '"é😀"', "[1, 2]"]),
        ),
        max_size=10,
    )
)
def test_entries_come_back(entries: list[Entry]) -> None:
    """What is written is read."""
    assert read_entries(encode_entries(entries), LIMITS) == entries


@pytest.mark.parametrize("state", ["", "{", "undefined", "NaN", "{'a': 1}", "[" * 60_000])
def test_a_state_is_json(state: str) -> None:
    """A state that is no JSON, which clients would throw on, is malformed."""
    with pytest.raises(MalformedMessage):
        read_entries(encode_entries([entry(1, 1, state)]), LIMITS)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x00\x00", b"\x01\x01\x01\x02\xff\xfe", encode_entries([entry(1, 1 << 32)])],
)
def test_damaged_payloads_are_malformed(payload: bytes) -> None:
    """Empty, trailing bytes, no UTF-8, a clock of 2^32: malformed, nothing else."""
    with pytest.raises(MalformedMessage):
        read_entries(payload, LIMITS)


def test_no_payload_can_be_cut() -> None:
    """Every proper beginning of a payload is malformed."""
    whole = encode_entries([entry(1, 1), entry(300, 70_000, MOVED)])
    for end in range(len(whole)):
        with pytest.raises(MalformedMessage):
            read_entries(whole[:end], LIMITS)


def test_max_awareness_bytes() -> None:
    """A state of the limit passes, a byte more is too large."""
    fits = '"' + "x" * (LIMITS.max_awareness_bytes - 2) + '"'
    read_entries(encode_entries([entry(1, 1, fits)]), LIMITS)
    with pytest.raises(MessageTooLarge):
        read_entries(encode_entries([entry(1, 1, fits[:-1] + 'x"')]), LIMITS)
    accented = '"' + "é" * 8 + '"'
    with pytest.raises(MessageTooLarge):
        read_entries(encode_entries([entry(1, 1, accented)]), Limits(max_awareness_bytes=17))


def test_max_awareness_clients_of_one_message() -> None:
    """A message of more entries than the limit is too large, whatever it really holds."""
    few = Limits(max_awareness_clients=3)
    read_entries(encode_entries([entry(n, 1) for n in range(3)]), few)
    for payload in (encode_entries([entry(n, 1) for n in range(4)]), write_var_uint(1 << 40)):
        with pytest.raises(MessageTooLarge):
            read_entries(payload, few)


def test_a_removal_is_a_null_however_it_is_spaced(table: AwarenessTable) -> None:
    """JSON's null with spaces around it removes a client, as it does for the clients."""
    spaced = write_var_uint(1) + write_var_uint(5) + write_var_uint(2) + write_var_string(" null ")
    table.apply([entry(5, 1)], "a")
    table.apply(read_entries(spaced, LIMITS), "a")
    assert len(table) == 0


# The clock rule


def test_only_a_newer_clock_counts(table: AwarenessTable) -> None:
    """A state counts if its clock is newer; the same or an older one changes nothing."""
    assert table.apply([entry(5, 3)], "a")
    assert not table.apply([entry(5, 3, MOVED)], "a")
    assert not table.apply([entry(5, 2, MOVED)], "a")
    assert states(table) == {5: (3, HERE)}
    assert table.apply([entry(5, 4, MOVED)], "a")
    assert states(table) == {5: (4, MOVED)}


def test_a_removal_counts_at_the_same_clock(table: AwarenessTable) -> None:
    """WIRE, awareness removal: a leaving client sends null at the same clock."""
    table.apply([entry(5, 3)], "a")
    assert table.apply([entry(5, 3, "null")], "a")
    assert states(table) == {}
    assert not table.apply([entry(5, 3, "null")], "a")


def test_a_removed_client_returns_at_a_newer_clock(table: AwarenessTable) -> None:
    """After a removal the same clock is a late repetition, a newer one is a return."""
    table.apply([entry(5, 3)], "a")
    table.apply([entry(5, 3, "null")], "a")
    assert not table.apply([entry(5, 3)], "a")
    assert table.apply([entry(5, 4)], "a")
    assert states(table) == {5: (4, HERE)}


def test_a_removal_of_a_stranger_is_nothing(table: AwarenessTable) -> None:
    """A null for an id that nobody knows leaves no trace."""
    assert not table.apply([entry(5, 3, "null")], "a")
    assert table.changed_since(0) == []


# Whose is it


def test_another_connections_id_is_left_alone(table: AwarenessTable) -> None:
    """WIRE, re-broadcasts: an entry for an id that another connection owns is ignored."""
    table.apply([entry(5, 3)], "a")
    assert not table.apply([entry(5, 9, MOVED)], "b")
    assert not table.apply([entry(5, 9, "null")], "b")
    assert states(table) == {5: (3, HERE)}


def test_ids_go_with_their_connection(table: AwarenessTable) -> None:
    """WIRE, awareness removal: when a socket dies, the ids that it introduced are removed."""
    table.apply([entry(5, 3), entry(6, 1)], "a")
    table.apply([entry(7, 1)], "b")
    before = table.version
    assert table.leave("a")
    assert sorted(table.changed_since(before), key=lambda each: each.client) == [
        entry(5, 3, "null"),
        entry(6, 1, "null"),
    ]
    assert states(table) == {7: (1, HERE)}
    assert not table.leave("a")


def test_a_late_repetition_brings_no_ghost_back(table: AwarenessTable) -> None:
    """WIRE, awareness removal: the clocks of the gone are kept, or ghosts return."""
    table.apply([entry(5, 3)], "a")
    table.leave("a")
    assert not table.apply([entry(5, 3)], "b")
    table.apply([entry(5, 2)], "b")
    assert states(table) == {}
    assert states(table) == {}


def test_the_owner_returns_at_the_clock_it_left_with(table: AwarenessTable) -> None:
    """A client that reconnects announces itself at its old clock, and counts one later."""
    table.apply([entry(5, 3)], "a")
    table.leave("a")
    assert table.apply([entry(5, 3, MOVED)], "b", first=True)
    assert states(table) == {5: (4, MOVED)}
    assert table.apply([entry(5, 5)], "b")


def test_one_that_said_goodbye_does_not_return_at_that_clock(table: AwarenessTable) -> None:
    """A removal by the client itself stands: only a departure without a word is undone."""
    table.apply([entry(5, 3)], "a")
    table.apply([entry(5, 3, "null")], "a")
    table.leave("a")
    assert not table.apply([entry(5, 3)], "b", first=True)


def test_an_id_of_the_gone_may_be_introduced_anew(table: AwarenessTable) -> None:
    """A newer clock from another connection takes a departed id over, and owns it."""
    table.apply([entry(5, 3)], "a")
    table.leave("a")
    assert table.apply([entry(5, 4)], "b")
    assert not table.apply([entry(5, 5)], "c")


# What a slow reader gets


def test_changes_are_asked_for_by_version(table: AwarenessTable) -> None:
    """A reader gets each client's newest state since its version, once."""
    table.apply([entry(5, 1)], "a")
    version = table.version
    for clock in range(2, 100):
        table.apply([entry(5, clock)], "a")
    table.apply([entry(6, 1)], "b")
    assert table.changed_since(version) == [entry(5, 99), entry(6, 1)]
    assert table.changed_since(table.version) == []


@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(0, 6), st.booleans(), st.sampled_from("abc")),
        max_size=40,
    ),
    st.integers(0, 20),
)
def test_versions_tell_all_that_changed(steps: list[tuple[int, int, bool, str]], seen: int) -> None:
    """Whatever happens, a reader that applies what changed since knows who is present."""
    table = AwarenessTable(LIMITS)
    reader: dict[int, Entry] = {}
    version = 0
    for number, (client, clock, gone, owner) in enumerate(steps):
        if clock == 0:
            table.leave(owner)
        else:
            table.apply([entry(client, clock, "null" if gone else HERE)], owner)
        if number == seen:
            reader = {each.client: each for each in table.changed_since(0)}
            version = table.version
    reader |= {each.client: each for each in table.changed_since(version)}
    assert {c: e for c, e in reader.items() if e.state != "null"} == {
        each.client: each for each in table.present()
    }


# Bounds


@given(
    st.lists(
        st.tuples(st.integers(1, 12), st.integers(0, 6), st.booleans(), st.sampled_from("abcdef")),
        max_size=80,
    )
)
def test_a_small_table_stays_in_bounds(steps: list[tuple[int, int, bool, str]]) -> None:
    """Whoever comes and goes, the table knows how many are there, and they are no more than its
    bound and a place for each newcomer."""
    table = AwarenessTable(Limits(max_awareness_clients=3))
    owners: dict[str, int] = {}
    for client, clock, gone, owner in steps:
        if clock == 0:
            table.leave(owner)
        else:
            table.apply([entry(client, clock, "null" if gone else HERE)], owner)
        owners = {each: len(own) for each, own in table._owned.items() if own}
        assert len(table) == len(table.present()) == sum(owners.values())
        assert len(table) <= 3 + len("abcdef")


def test_max_awareness_clients_of_one_document() -> None:
    """A full table takes no further client of who is in it, goes on taking news of the old, and
    makes room by the removed."""
    table = AwarenessTable(Limits(max_awareness_clients=3))
    table.apply([entry(n, 1) for n in range(3)], "a")
    assert not table.apply([entry(9, 1)], "a")
    assert set(states(table)) == {0, 1, 2}
    assert table.apply([entry(0, 2)], "a")
    table.apply([entry(1, 1, "null")], "a")
    assert table.apply([entry(9, 1)], "b")
    assert set(states(table)) == {0, 2, 9}


def test_somebody_new_takes_a_place_of_who_has_most() -> None:
    """Where the table is full, its oldest place is a newcomer's, and others are told so; one who
    has a single place never loses it."""
    table = AwarenessTable(Limits(max_awareness_clients=4))
    table.apply([entry(1, 1)], "a")
    table.apply([entry(n, 1) for n in (2, 3, 4)], "b")
    version = table.version
    assert table.apply([entry(9, 1)], "c")
    assert set(states(table)) == {1, 3, 4, 9}
    assert table.changed_since(version) == [entry(2, 1, "null"), entry(9, 1)]
    assert table.apply([entry(8, 1)], "d")
    assert set(states(table)) == {1, 4, 8, 9}
    assert not table.apply([entry(7, 1)], "e")
    assert set(states(table)) == {1, 4, 8, 9}
    for owner in "abcd":
        table.leave(owner)
    assert not table.present()


def test_a_row_that_made_room_is_nobodys() -> None:
    """The owner of a row that made room goes without touching who has that id now."""
    table = AwarenessTable(Limits(max_awareness_clients=2))
    table.apply([entry(1, 1), entry(2, 1)], "a")
    table.apply([entry(1, 1, "null")], "a")
    table.apply([entry(3, 1)], "b")
    table.apply([entry(3, 1, "null")], "b")
    table.apply([entry(1, 5)], "c")
    assert table.leave("a")
    assert states(table) == {1: (5, HERE)}
    table.leave("b")
    assert states(table) == {1: (5, HERE)}


# Claims: a client that is back before its old connection is missed


def test_a_claimed_id_goes_over_with_its_newest_state(table: AwarenessTable) -> None:
    """When the old connection goes, its client is there on the new one, without a gap."""
    table.apply([entry(5, 3)], "old")
    assert not table.apply([entry(5, 3)], "new", first=True)
    assert table.rivals() == ["old"]
    assert not table.apply([entry(5, 4, MOVED)], "new")
    version = table.version
    assert table.leave("old")
    assert table.changed_since(version) == [entry(5, 4, MOVED)]
    assert table.rivals() == []
    assert table.leave("new")
    assert states(table) == {}


def test_who_only_repeats_claims_nothing_that_lasts(table: AwarenessTable) -> None:
    """A state that its owner had too goes with its owner: it was heard, not made."""
    table.apply([entry(5, 3)], "owner")
    table.apply([entry(5, 3)], "parrot", first=True)
    table.leave("owner")
    assert states(table) == {}


def test_a_claim_is_made_once(table: AwarenessTable) -> None:
    """Only the first message of a connection claims, one id, and ends with the connection."""
    table.apply([entry(5, 3)], "owner")
    table.apply([entry(6, 3)], "other")
    table.apply([entry(5, 9, MOVED)], "late")
    assert table.rivals() == []
    table.apply([entry(5, 9, MOVED)], "early", first=True)
    table.apply([entry(6, 9, MOVED)], "early")
    assert table.rivals() == ["owner"]
    table.leave("early")
    assert table.rivals() == []
    assert states(table) == {5: (3, HERE), 6: (3, HERE)}


def test_an_owner_that_leaves_in_order_has_no_heir(table: AwarenessTable) -> None:
    """Who says good-bye is gone, whoever claims to be it."""
    table.apply([entry(5, 3)], "owner")
    table.apply([entry(5, 9)], "mallory", first=True)
    table.apply([entry(5, 4, "null")], "owner")
    table.leave("owner")
    assert states(table) == {}


def test_an_id_that_was_removed_is_nobodys(table: AwarenessTable) -> None:
    """Who had another's id and removed it does not keep that one out."""
    table.apply([entry(5, 1)], "owner")
    table.leave("owner")
    table.apply([entry(5, 1)], "echo", first=True)
    table.apply([entry(5, 2)], "owner again", first=True)
    assert table.apply([entry(5, 2, "null")], "echo")
    assert states(table) == {}
    assert table.apply([entry(5, 3)], "owner again")
    assert states(table) == {5: (3, HERE)}
    assert not table.leave("echo")
    assert table.leave("owner again")


def test_a_lagging_clock_is_told(table: AwarenessTable) -> None:
    """Who announces itself at a clock of the past hears of its removal, and can go beyond."""
    table.apply([entry(5, 50)], "mallory")
    table.leave("mallory")
    version = table.version
    assert table.apply([entry(5, 2)], "owner", first=True)
    assert table.changed_since(version) == [entry(5, 50, "null")]
    assert table.apply([entry(5, 51)], "owner")
    assert states(table) == {5: (51, HERE)}


# Clocks and principals: what somebody else may not do to a client that is away


def test_a_forged_clock_leaves_its_victim_room(table: AwarenessTable) -> None:
    """Nobody takes a clock to the end of its range: the victim can always go beyond."""
    table.apply([entry(5, 10)], "victim")
    table.leave("victim")
    top = 10 + LIMITS.max_awareness_clock_jump
    assert not table.apply([entry(5, top + 1)], "mallory", first=True)
    assert not table.apply([entry(5, (1 << 32) - 1)], "mallory")
    assert states(table) == {}
    assert table.apply([entry(5, top)], "mallory")
    assert not table.apply([entry(5, top + 1, MOVED)], "mallory"), "not in two steps either"
    table.leave("mallory")
    assert table.apply([entry(5, 11)], "victim", first=True), "it is told"
    assert table.changed_since(table.version - 1) == [entry(5, top, "null")]
    assert table.apply([entry(5, top + 1)], "victim")
    assert states(table) == {5: (top + 1, HERE)}


def test_max_awareness_clock_jump() -> None:
    """A connection takes a clock as far as the limit from where it found it, and no further."""
    table = AwarenessTable(Limits(max_awareness_clock_jump=3))
    assert table.apply([entry(5, 100)], "a")
    assert table.apply([entry(5, 103)], "a")
    assert not table.apply([entry(5, 104)], "a")
    assert table.apply([entry(5, 103, "null")], "a"), "it may still say good-bye"
    table.leave("a")
    assert not table.apply([entry(5, 107)], "b")
    assert table.apply([entry(5, 106)], "b"), "another connection may go on from there"


def test_an_unknown_id_begins_in_the_lower_half(table: AwarenessTable) -> None:
    """What is introduced leaves half of the clocks above it."""
    assert not table.apply([entry(5, (1 << 31) + 1)], "a")
    assert table.apply([entry(5, 1 << 31)], "a")


def test_a_claim_jumps_no_further(table: AwarenessTable) -> None:
    """A claim with a forged clock is none."""
    table.apply([entry(5, 3)], "owner")
    table.apply([entry(5, (1 << 32) - 1, MOVED)], "mallory", first=True)
    assert table.rivals() == []
    table.leave("owner")
    assert states(table) == {}


def test_an_id_stays_with_its_principal(table: AwarenessTable) -> None:
    """The id of somebody with a name is nobody else's, also while that one is away."""
    table.apply([entry(5, 3)], "a", who="ada")
    table.apply([entry(5, 4, MOVED)], "b", first=True, who="bob")
    assert table.rivals() == [], "no claim"
    table.leave("a")
    version = table.version
    for who in ("bob", ""):
        assert not table.apply([entry(5, 9, MOVED)], f"by {who}", first=True, who=who)
        assert not table.apply([entry(5, 1, MOVED)], f"by {who}", who=who)
    assert table.version == version
    assert table.apply([entry(5, 3, MOVED)], "a2", first=True, who="ada")
    assert states(table) == {5: (4, MOVED)}


def test_a_principal_comes_back_while_its_old_socket_hangs(table: AwarenessTable) -> None:
    """The half-open case works for principals: the claim is theirs, and goes over."""
    table.apply([entry(5, 3)], "old", who="ada")
    table.apply([entry(5, 3)], "new", first=True, who="ada")
    table.apply([entry(5, 4, MOVED)], "new", who="ada")
    assert table.rivals() == ["old"]
    table.leave("old")
    assert states(table) == {5: (4, MOVED)}
    table.leave("new")
    assert not table.apply([entry(5, 9)], "b", who="bob"), "it is still hers"


def test_an_anonymous_id_may_sign_in(table: AwarenessTable) -> None:
    """An id that nobody with a name had may become somebody's."""
    table.apply([entry(5, 3)], "a")
    table.leave("a")
    assert table.apply([entry(5, 4)], "b", who="bob")
    table.leave("b")
    assert not table.apply([entry(5, 5)], "c")


def test_max_awareness_per_connection() -> None:
    """What a connection brings beyond its share is ignored, and leaves room for others."""
    table = AwarenessTable(Limits(max_awareness_per_connection=3))
    table.apply([entry(n, 1) for n in range(10)], "a")
    assert set(states(table)) == {0, 1, 2}
    assert table.apply([entry(0, 2, MOVED)], "a"), "its own it may move"
    assert table.apply([entry(9, 1)], "b")
    table.leave("b")
    assert not table.apply([entry(9, 2)], "a"), "nor may it take one over"


def test_the_quick_reader_agrees() -> None:
    """What the reader of single states takes, the reader of all messages takes alike; no more."""
    dice = random.Random(11)
    states = [
        '{"a":1}',
        " null",
        "null",
        "[1]",
        '"ä𝄞"',
        "NaN",
        "{",
        "1 ",
        '{"n":"' + "x" * 200 + '"}',
    ]
    limits = Limits(max_awareness_bytes=210)
    taken = 0
    for number in range(20_000):
        entries = [
            Entry(dice.choice((5, 2**40)), dice.choice((0, 1, 300, 2**33)), dice.choice(states))
            for _ in range(dice.choice((1, 1, 1, 2)))
        ]
        frame = bytearray(awareness_frame(encode_entries(entries)))
        if number % 2:
            place = dice.randrange(len(frame))
            frame[place : place + dice.choice((0, 1))] = dice.randbytes(dice.choice((0, 1)))
        single = read_single(bytes(frame), limits)
        if single is None:
            continue
        taken += 1
        (message,) = decode_frame(bytes(frame))
        assert isinstance(message, AwarenessMessage)
        assert read_entries(message.payload, limits) == [single]
    assert taken > 3_000


def test_a_good_bye_moves_no_bound() -> None:
    """A connection that removes its own state and sets it again goes no further than otherwise."""
    table = AwarenessTable(Limits(max_awareness_clock_jump=3, max_awareness_per_connection=2))
    assert table.apply([entry(5, 100)], "a")
    assert table.apply([entry(5, 102, "null")], "a")
    assert not table.apply([entry(5, 104)], "a")
    assert table.apply([entry(5, 103)], "a")
    assert table.apply([entry(5, 103, "null")], "a")
    assert table.apply([entry(5, 106)], "b"), "its client may be elsewhere"
    table.leave("b")
    assert table.apply([entry(5, 109)], "a"), "and come back from there"
    assert table.apply([entry(5, 109, "null"), entry(6, 1)], "a")
    assert not table.apply([entry(7, 1)], "a"), "what it gave up counts"
    table.leave("a")
    assert table.apply([entry(7, 1), entry(8, 1)], "a")
