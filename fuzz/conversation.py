"""Whole conversations: who connects, what they send, and what happens to the server meanwhile.

Owns the choice of what comes next. It looks at the server between two messages, as a client that
follows the document would, so most of what it sends fits; all else comes from the seed.
"""

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Final

from crdtsync.awareness import Entry, encode_entries
from crdtsync.encoding import write_var_bytes, write_var_string, write_var_uint
from crdtsync.protocol import (
    QUERY_AWARENESS,
    awareness_frame,
    permission_denied_frame,
    step_1_frame,
    step_2_frame,
    update_frame,
)
from crdtsync.state_vector import encode_state_vector
from fuzz.grammar import Grammar, Profile
from fuzz.mutate import mutate
from fuzz.recorded import histories
from fuzz.script import Action
from fuzz.server import READER, Server

__all__ = ["PROFILES", "Conversation"]

PROFILES: Final = (
    Profile("typing", 0.002, ("text",), nest=0.0),
    Profile("text", 0.01, ("text", "é", "")),
    Profile("pairs", 0.01, ("text",), pairs=True, nest=0.0),
    Profile("map", 0.01, ("map",), nest=0.3),
    Profile("xml", 0.01, ("xml",), nest=0.5),
    Profile("array", 0.01, ("array",), nest=0.3),
    Profile("sound", 0.0, ("text", "array", "map", "xml")),
    Profile("all", 0.03, clients=4),
    Profile("evil", 0.15, clients=4),
)
_JSON_STATES: Final = ("null", "{}", '{"user":{"name":"x"}}', '"x"', " null ", "1", "[1]", "")
LONGEST: Final = 90


class Conversation:
    """One document's clients, from a seed."""

    def __init__(self, seed: int) -> None:
        self._dice = Random(seed)
        dice = self._dice
        self.profile = dice.choice(PROFILES)
        self.recorded: Sequence[bytes] = ()
        if dice.random() < 0.15:
            self.recorded = dice.choice(histories())
            self.profile = Profile("recorded", 0.02)
        self._grammar = Grammar(dice, self.profile)
        self._sent: list[bytes] = []
        self._history: list[bytes] = []
        self._late: list[bytes] = []
        self._clients = dice.randint(1, 3)
        self._open: set[int] = set()
        self._clock = 0

    def actions(self, server: Server) -> Iterator[Action]:
        """Yield what happens next; perform each on ``server`` before asking for another."""
        dice = self._dice
        for frame in self._frames(server):
            client = dice.randrange(self._clients)
            link = server.links.get(client)
            if link is None or link.code:
                yield Action("open", client)
            yield Action("frame", client, frame)
            self._grammar.settle(server.room.document.clocks)
            if dice.random() < 0.3:
                yield Action("commit")
            if dice.random() < 0.06:
                yield self._event(client)
        yield Action("drain", READER)

    def _event(self, client: int) -> Action:
        dice = self._dice
        kind = dice.choice(
            ("checkpoint", "reload", "rest", "rest", "block", "drain", "drop", "block", "drain")
        )
        if kind in ("block", "drain") and dice.random() < 0.4:
            client = READER
        return Action(kind, client)

    def _frames(self, server: Server) -> Iterator[bytes]:
        dice = self._dice
        count = dice.choice((8, 20, 40, LONGEST))
        if self.recorded:
            for update in self.recorded[: 2 * count]:
                yield from self._around(update)
            return
        for _ in range(count):
            what = dice.random()
            if what < 0.80:
                update = self._grammar.update()
                yield from self._around(update)
            elif what < 0.86:
                yield step_1_frame(self._state_vector(server.room.document.clocks))
            elif what < 0.92:
                yield awareness_frame(self._awareness())
            else:
                yield self._odd(server)

    def _around(self, update: bytes) -> Iterator[bytes]:
        """Send an update, or something in its place, or more than it."""
        dice = self._dice
        self._history.append(update)
        rough = 4 * self.profile.evil if self.profile.evil < 0.1 else 0.3
        what = dice.random()
        if what < rough * 0.4:
            update = mutate(dice, update, self._history)
        elif what < rough * 0.6:
            yield self._wrapped(dice.choice(self._history))  # once more
        elif what < rough * 0.8:
            self._late.append(update)
            return
        if self._late and dice.random() < 0.2:
            yield self._wrapped(self._late.pop(dice.randrange(len(self._late))))
        yield self._wrapped(update)

    def _wrapped(self, update: bytes) -> bytes:
        dice = self._dice
        frame = step_2_frame(update) if dice.random() < 0.1 else update_frame(update)
        what = dice.random()
        rough = self.profile.evil
        if what < rough:
            frame = mutate(dice, frame, self._sent)
        elif what < 2 * rough and self._sent:
            frame += dice.choice(self._sent)
        elif what < 2.2 * rough:
            frame = frame[: dice.randrange(len(frame))]
        self._sent.append(frame)
        return frame

    def _state_vector(self, clocks: Mapping[int, int]) -> bytes:
        """Write a state vector: of before, of any moment, of none that ever was."""
        dice = self._dice
        what = dice.random()
        if what < 0.3:
            return b"\x00"
        if what < 0.4:
            return mutate(dice, encode_state_vector(clocks), self._history)
        named = {client: clock for client, clock in clocks.items() if dice.random() < 0.8}
        for client, clock in named.items():
            if dice.random() < 0.6:
                named[client] = dice.randint(0, clock)
        if dice.random() < 0.1:
            named[dice.choice((5, 1 << 50))] = dice.choice((0, 1, 1 << 31))
        return encode_state_vector(named)

    def _awareness(self) -> bytes:
        dice = self._dice
        self._clock += dice.randrange(3)
        entries = [
            Entry(
                dice.choice((1, 2, 7, 1 << 40)),
                max(0, self._clock - dice.choice((0, 0, 1, 5))),
                dice.choice(_JSON_STATES),
            )
            for _ in range(dice.choice((0, 1, 1, 2, 5)))
        ]
        payload = encode_entries(entries)
        return mutate(dice, payload, self._sent) if dice.random() < 0.15 else payload

    def _odd(self, server: Server) -> bytes:
        dice = self._dice
        what = dice.randrange(8)
        if what == 0:
            return QUERY_AWARENESS
        if what == 1:
            return permission_denied_frame("x")
        if what == 2:
            return write_var_uint(dice.choice((4, 5, 100, 1 << 40))) + dice.randbytes(3)
        if what == 3:
            return dice.randbytes(dice.randrange(12))
        if what == 4 and self._sent:
            return b"".join(dice.choices(self._sent, k=dice.choice((2, 3, 3, 70))))
        if what == 5:
            return b"\x00" + write_var_uint(dice.choice((3, 9))) + write_var_bytes(b"\x00")
        if what == 6:
            return b"\x02" + write_var_uint(dice.choice((0, 1))) + write_var_string("no")
        # What a client that has everything brings when it is asked: all of it.
        return step_2_frame(server.room.document.state())
