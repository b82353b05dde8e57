"""Single scenes: what a user expects to see, and when."""

import pytest

from crdtsync.awareness import Entry, encode_entries
from crdtsync.housekeeping import DOUBT_S
from crdtsync.protocol import awareness_frame
from tests.simulation.client import Client
from tests.simulation.hostile import FORGED, Hostile
from tests.simulation.story import play_scene


def shown_to(client: Client, other: Client) -> bool:
    """Return whether one client sees the other's present state."""
    return client.presence.others.get(other.number) == other.presence.states[other.number]


@pytest.mark.parametrize("silent_s", [0.0, 7.0, 16.0])
def test_who_comes_back_is_seen_again(silent_s: float) -> None:
    """A client whose old socket hangs is seen on its new one before the pings would miss it."""
    with play_scene(seed=1, clients=2) as world:
        one, other = world.clients
        assert shown_to(other, one)
        assert one.wire is not None
        one.wire.cut()
        world.run(silent_s)
        one.leave()
        one.connect()
        world.run(1.0)
        one.move()
        world.run(DOUBT_S + 3.0)
        assert shown_to(other, one)
        assert world.server.hub is not None
        assert world.server.hub.connections == 2


@pytest.mark.parametrize("clock", [1, 5_000])
def test_a_forged_presence_ends_with_its_forger(clock: int) -> None:
    """Whoever spoke in the name of a client that was away, the client is seen when it is back."""
    with play_scene(seed=1, clients=2) as world:
        one, other = world.clients
        hub = world.server.hub
        assert one.wire is not None
        assert hub is not None
        one.online = False
        one.leave()
        world.run(1.0)
        mallory = Hostile(world, "mallory", 1 << 40, one.room)
        wire = world.dial(mallory)
        assert wire is not None
        wire.up(awareness_frame(encode_entries([Entry(one.number, clock, FORGED)])))
        world.run(1.0)
        wire.drop()
        world.run(1.0)
        one.online = True
        one.connect()
        world.run(2.0)
        assert shown_to(other, one)


def test_a_large_update_is_asked_for_again() -> None:
    """What is ahead, and too much to be held, is asked for until it comes."""
    with play_scene(seed=1, clients=2, max_held_updates=0) as world:
        one, other = world.clients
        wire = one.wire
        assert wire is not None
        for _ in range(2):
            for late_s in (0.4, 0.001):
                wire.latency_s, wire._last_up_s = late_s, 0.0
                one.edit()
            wire._last_up_s = 0.0
            world.run(0.1)  # the second question has to wait
        world.run(5.0)
        assert one.clocks == other.clocks
