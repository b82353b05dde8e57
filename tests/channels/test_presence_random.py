"""Whatever people do, and however often the server dies: presence is what a model says."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

import anyio
import pytest

from crdtsync.clock import ManualClock
from crdtsync.hub import Hub
from tests.channels.people import GRACE_S, Somebody, come, here, presence_hub, settled
from tests.unit.engine import TestStore

PEOPLE = ["ada", "ben", "cora", "guest-1", "guest-2"]
STATUSES = ["online", "away", "busy", "offline"]
LIES: list[Any] = [{"status": "online", "connections": 9}, {"status": "offline"}, "junk", {}, None]


@dataclass
class Expected:
    """What the model knows of somebody."""

    tabs: list[Somebody] = field(default_factory=list)
    status: str = "online"
    shown: int = 0
    seen_ms: int = 0
    gone_s: float | None = None
    left_ms: int = 0
    there: bool = False
    known: bool = False

    @property
    def value(self) -> tuple[str, int, int]:
        if not self.there:
            return "offline", 0, self.seen_ms
        if self.status == "offline":
            return "offline", 0, self.seen_ms
        return self.status, self.shown, self.seen_ms


class World:
    """A server that comes and goes, its people, and what should be said of them."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.gated = bool(seed % 2)
        self.clock = ManualClock()
        self.store = TestStore()
        self.people = {id: Expected() for id in PEOPLE}
        self.hub: Hub

    async def join(self) -> None:
        id = self.dice.choice(PEOPLE)
        one = self.people[id]
        if id.startswith("guest-"):
            client = await come(self.hub)
            status = one.status if one.there else "online"
            client.own(id, {"status": status})
        else:
            client = await come(self.hub, id)
        if not one.there:
            one.status, one.seen_ms = "online", self.clock.time_ms()
        one.there = one.known = True
        one.gone_s = None
        one.tabs.append(client)
        one.shown = len(one.tabs)

    async def leave(self) -> None:
        there = [each for each in self.people.values() if each.tabs]
        if not there:
            return
        one = self.dice.choice(there)
        one.tabs.pop(self.dice.randrange(len(one.tabs))).connection.lost()
        if one.tabs:
            one.shown = len(one.tabs)
        else:
            one.gone_s, one.left_ms = self.clock.monotonic_s(), self.clock.time_ms()

    async def say(self) -> None:
        there = [id for id, each in self.people.items() if each.tabs]
        if not there:
            return
        id = self.dice.choice(there)
        one, status = self.people[id], self.dice.choice(STATUSES)
        self.dice.choice(one.tabs).own(id, {"status": status, "connections": 77})
        if status != one.status and "offline" in (status, one.status):
            one.seen_ms = self.clock.time_ms()
        one.status = status

    async def lie(self) -> None:
        """Write of others, as somebody who has signed in."""
        liars = [id for id in PEOPLE[:3] if self.people[id].tabs]
        if not liars:
            return
        liar = self.dice.choice(liars)
        about = self.dice.choice([id for id in PEOPLE if id != liar])
        lie = self.dice.choice(LIES)
        if self.gated or not self.people[about].there:
            return  # of who is gone nothing better is known than what stands there
        client = self.people[liar].tabs[0]
        if lie is not None or about in client.sees:
            client.own(about, lie)

    async def pause(self) -> None:
        self.clock.advance(self.dice.choice([0.5, 2.0, GRACE_S, 60.0]))
        self.expire()

    def expire(self) -> None:
        now_s = self.clock.monotonic_s()
        for each in self.people.values():
            if each.there and each.gone_s is not None and now_s - each.gone_s >= GRACE_S:
                self.gone(each)

    @staticmethod
    def gone(one: Expected) -> None:
        one.there, one.gone_s = False, None
        if one.status != "offline":
            one.seen_ms = one.left_ms

    async def check(self) -> None:
        found = await settled(self.hub)
        said = {
            id: (each["status"], each["connections"], each["lastSeen"])
            for id, each in found.items()
        }
        assert said == {id: each.value for id, each in self.people.items() if each.known}
        count = self.hub.stats.updates_committed
        await settled(self.hub)
        assert self.hub.stats.updates_committed == count, "it comes to rest"

    async def live(self, steps: int, *, crash: bool) -> None:
        """Run one life of the server."""
        with anyio.CancelScope() as scope:
            hub = presence_hub(self.store, clock=self.clock, gated=self.gated)
            async with hub as self.hub, self.hub.open("doc"):
                await settled(self.hub)
                for _ in range(steps):
                    moves = [self.join, self.leave, self.say, self.lie, self.pause, self.check]
                    weights = [4, 3, 3, 1, 3, 2]
                    await self.dice.choices(moves, weights)[0]()
                await self.check()
                updated_ms = 0
                if crash:
                    (await come(self.hub)).type()  # the last that is known of this life
                    await settled(self.hub)
                    updated_ms = self.clock.time_ms()
                    self.hub.draining = True
                    scope.cancel()
        pause_s = self.dice.choice([1.0, 100.0])
        self.clock.advance(pause_s)
        for each in self.people.values():
            each.tabs.clear()
            if not each.there:
                continue
            if not crash:
                if each.gone_s is None:
                    each.left_ms = self.clock.time_ms() - int(1000 * pause_s)
                self.gone(each)
            elif each.status == "offline":  # so it stands in the map: they are gone
                each.there, each.gone_s = False, None
            else:
                each.gone_s = self.clock.monotonic_s()
                each.left_ms = max(each.seen_ms, updated_ms)


@pytest.mark.parametrize("seed", range(60))
def test_presence_is_the_model_s(seed: int) -> None:
    """Joins, leaves, statuses, lies (or rules), pauses, kills and restarts, in any order."""

    async def main() -> None:
        world = World(seed)
        for _ in range(4):
            await world.live(world.dice.randint(5, 30), crash=world.dice.random() < 0.6)
        hub = presence_hub(world.store, clock=world.clock, gated=world.gated)
        async with hub as world.hub, world.hub.open("doc"):
            world.clock.advance(GRACE_S)
            world.expire()
            await world.check()
            assert {each["status"] for each in here(world.hub).values()} <= {"offline"}

    anyio.run(main)
