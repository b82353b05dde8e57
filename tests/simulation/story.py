"""What befalls a world: its users' days, the weather, and the end, where all is well again."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from crdtsync.limits import Limits
from tests.simulation.archivist import Archivist
from tests.simulation.attendance import settled
from tests.simulation.checks import (
    bounded,
    converged,
    everybody_sees_everybody,
    nothing_is_held,
    nothing_is_left,
    the_store_is_sound,
)
from tests.simulation.client import Client
from tests.simulation.seams import seamless
from tests.simulation.talk import Talk
from tests.simulation.world import Failure, World

__all__ = ["play", "told"]

PATIENCE_S = 240.0
"""After this long without trouble everybody has everything."""
EVENTS = (
    "restart",
    "kill",
    "kill in the store",
    "disk",
    "clock",
    "proxies",
    "drop",
    "half-open",
    "stall",
    "offline",
)


class Story:
    """One run."""

    def __init__(self, world: World, always: Sequence[str] = ()) -> None:
        self.world = world
        self.kernel = world.kernel
        self.chance = world.kernel.stream("story")
        self.always = always
        self.length_s = self.chance.choice([5.0, 20.0, 60.0])
        # Not everything happens in every story: what is rare beside much else happens alone.
        self.events = [each for each in EVENTS if self.chance.random() < 0.5 or each in always]
        world.faulty_proxies = "proxies" in self.events
        self.over = False

    def play(self) -> None:
        world = self.world
        world.start()
        for client in world.clients:
            self.kernel.after(self.chance.random(), client.connect)
            self._later(self.length_s / 12, self._user, client)
        for hostile in world.hostiles:
            self._later(self.length_s / 10, self._hostile, hostile)
        for event in self.events:
            self._later(self.length_s / 3, self._event, event)
        if world.archive is not None:
            Archivist(self, world.archive, self.always).begin()
        for each in (world.talk, world.programs):
            if each is not None:
                each.begin(self)
        for _ in range(int(self.length_s / 5)):
            world.run(5.0)
            bounded(world)
        self._heal()
        self._end()

    def _later(self, mean_s: float, call: object, *args: object) -> None:
        self.kernel.after(self.chance.expovariate(1 / mean_s), call, *args)  # type: ignore[arg-type]

    def often(self, who: str, times: float, act: Callable[[str], None]) -> None:
        """Have somebody do something about so many times, until all is well."""
        chance = self.kernel.stream(f"often/{who}")

        def again() -> None:
            if not self.over:
                act(who)
                self.kernel.after(chance.expovariate(times / self.length_s), again)

        self.kernel.after(chance.random(), again)

    def _user(self, client: Client) -> None:
        if self.over:
            return
        match self.chance.randrange(20):
            case 0:
                client.ask()
            case 1:
                client.repeat()
            case 2 | 3 | 4:
                client.move()
            case _:
                for _ in range(self.chance.choice([1, 1, 1, 5])):
                    client.edit()
        self._later(self.length_s / 12, self._user, client)

    def _hostile(self, hostile: object) -> None:
        if not self.over:
            hostile.act()  # type: ignore[attr-defined]
            self._later(self.length_s / 10, self._hostile, hostile)

    def _event(self, event: str) -> None:
        if self.over:
            return
        self._befall(event)
        self._later(self.length_s / 3, self._event, event)

    def _befall(self, event: str) -> None:
        world, chance, tell = self.world, self.chance, self.kernel.tell
        client = chance.choice(world.clients)
        wire = client.wire
        match event:
            case "restart":
                world.restart()
            case "kill" if world.server.loop is not None:
                world.server.kill_at_step = world.server.loop.steps + chance.randint(1, 80)
            case "kill in the store":
                world.faults.steps_left = chance.randrange(8)
            case "disk":
                faults = world.faults
                faults.mode = chance.choice(["well", "full", "failing", "fsync", "slow"])
                faults.slow_s = chance.choice([0.05, 0.5, 3.0])
                tell("disk", f"is {faults.mode} from now on")
            case "clock":
                hours = chance.choice([-1, 1])
                world.server.clock.offset_ms += hours * 3_600_000
                tell("clock", f"jumps by {hours} h")
            case "drop" if wire is not None:
                tell(client.name, "loses the connection")
                wire.drop()
            case "half-open" if wire is not None:
                wire.cut()
                if chance.random() < 0.6:
                    tell(client.name, "changes the network; its old socket hangs")
                    client.leave()
                    client.connect()
                else:
                    tell(client.name, "hears nothing any more, and nobody knows")
            case "stall" if wire is not None:
                tell(client.name, "stops reading")
                wire.stall()
                self._later(self.length_s / 5, wire.unstall)
            case "offline":
                tell(client.name, "goes offline")
                client.online = False
                client.leave()
                self._later(self.length_s / 3, self._online, client)

    def _online(self, client: Client) -> None:
        if not self.over:
            client.online = True
            client.connect()

    # The end

    def _heal(self) -> None:
        """Let everything be well from here on."""
        world = self.world
        self.kernel.tell("world", "all is well from here on")
        self.over = True
        for faults in world.all_faults():
            faults.calm = True
            faults.mode = "well"
            faults.steps_left = -1
        world.server.kill_at_step = None
        for hostile in world.hostiles:
            hostile.end()
        for wire in world.server.wires:
            wire.faulty = False
            wire.bytes_per_s = 0
            wire.unstall()
        for client in world.clients:
            client.online = True
            client.connect()

    def _end(self) -> None:
        world = self.world
        self._until(converged)
        self._until(everybody_sees_everybody)
        if world.talk is not None:
            self._hear_them_out(world.talk)
        problem = converged(world)
        if problem:
            world.fail(f"and then no more: {problem}")
            raise Failure(world.failure)
        bounded(world)
        nothing_is_held(world)
        self.kernel.tell("world", "everybody leaves")
        for client in world.clients:
            client.online = False
            client.leave()
        world.run(world.limits.idle_room_s + 2 * world.limits.ping_interval_s + 15.0)
        nothing_is_left(world)
        self.kernel.tell("world", "the end")
        world.last_life = True
        world.restart()
        while world.server.loop is not None:
            world.run(0.5)
        the_store_is_sound(world)

    def _hear_them_out(self, talk: Talk) -> None:
        """See who is there, stop while they are, and see and list everything again."""
        world = self.world
        self._until(lambda each: settled(each, talk))
        world.restart()
        life = world.server.lives
        while world.server.lives == life:
            world.run(0.5)
        self._until(converged)
        self._until(lambda each: settled(each, talk))
        self._until(converged)
        hub = world.server.hub
        assert hub is not None
        world.asking.ask("world", "lists all messages", talk.listed, lambda _: None, self._failed)
        while world.asking.waits():
            world.run(0.1)
        self._until(converged)

    def _failed(self, error: object) -> None:
        self.world.fail(f"the messages can't be listed: {error!r}")

    def _until(self, check: object) -> None:
        """Wait until a check has nothing to say, for as long as one may have to wait."""
        deadline_s = self.kernel.now_s + PATIENCE_S
        pause_s = 1.0
        while problem := check(self.world):  # type: ignore[operator]
            if self.kernel.now_s > deadline_s:
                self.world.fail(problem)
                raise Failure(self.world.failure)
            self.world.run(pause_s)
            pause_s = min(pause_s + 1.0, 5.0)


@contextmanager
def play_scene(seed: int, *, clients: int, **limits: Any) -> Iterator[World]:
    """Have a world with some clients in one room, all connected, where nothing goes wrong."""
    world = World(seed, store="memory", limits=Limits(**limits), people=clients, history=False)
    world.faults.calm = True
    try:
        with _overheard(world):
            world.start()
            for client in world.clients:
                client.connect()
            world.run(2.0)
            yield world
    finally:
        world.close()


def play(
    seed: int,
    *,
    store: str | None = None,
    always: Sequence[str] = (),
    limits: Limits | None = None,
    history: bool | None = None,
    talk: bool | None = None,
    programs: bool | None = None,
) -> World:
    """Play a seed's story to its end, in which some events are ``always`` among what happens.

    Raises ``Failure``, with the story as its note.
    """
    world = World(seed, store=store, limits=limits, history=history, talk=talk, programs=programs)
    try:
        with _overheard(world), seamless(world.kernel):
            Story(world, always).play()
    except Failure as failure:
        failure.add_note("\n".join(told(world)))
        raise
    finally:
        world.close()
    return world


@contextmanager
def _overheard(world: World) -> Iterator[None]:
    """Let the story have what the server logs, instead of the terminal."""
    logger = logging.getLogger("crdtsync")
    handler = _Teller(world)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


class _Teller(logging.Handler):
    def __init__(self, world: World) -> None:
        super().__init__(logging.WARNING)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        # A database is in a folder of its own each time.
        told = re.sub(r"/\S*/simulation-\w+", "", record.getMessage())
        self._world.kernel.tell("log", told)


def told(world: World) -> list[str]:
    """Return the story's lines."""
    usual = Limits()
    names = list(Limits.__dataclass_fields__)
    changed = {
        name: getattr(world.limits, name)
        for name in names
        if getattr(world.limits, name) != getattr(usual, name)
    }
    lines = [f"seed {world.kernel.seed}, store {world.medium.kind}, limits {changed}"]
    lines += [f"{time_s:10.4f}  {who:<10} {what}" for time_s, who, what in world.kernel.story]
    return lines
