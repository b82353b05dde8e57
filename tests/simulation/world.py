"""One seed's world: a server, rooms, clients, and what befalls them.

Owns who there is, the weather, and the record of what clients were shown. What must be true of
all this is in ``checks``.
"""

import random
import traceback
from typing import Any, Protocol

from crdtsync.awareness import read_entries
from crdtsync.connection import Connection
from crdtsync.errors import CrdtsyncError
from crdtsync.gate import ALLOW, Decision, Deny, Principal
from crdtsync.limits import Limits
from crdtsync.protocol import AwarenessMessage, SyncStep2, SyncUpdate, decode_frame
from crdtsync.structs import Scan
from crdtsync.update import scan
from tests.properties.replica import READER
from tests.simulation.archive import Archive
from tests.simulation.asking import Asking
from tests.simulation.client import Client
from tests.simulation.faults import Faults
from tests.simulation.hostile import FORGED, Hostile
from tests.simulation.kernel import Kernel
from tests.simulation.media import medium
from tests.simulation.network import Wire
from tests.simulation.programs import Notes, Programs
from tests.simulation.server import Server
from tests.simulation.talk import Talk
from tests.simulation.truth import Truth

__all__ = ["Failure", "Shown", "World"]

MAX_STEPS = 1_000_000
RESTART_S = 90.0
"""A server that has not ended so long after it was told to is stuck."""


class Failure(AssertionError):
    """Something that must not be."""


class Caller(Protocol):
    """Who connects."""

    name: str
    room: str
    principal: Principal
    acknowledge: bool

    def heard(self, frame: bytes) -> None: ...

    def closed(self, wire: Wire, code: int, reason: str) -> None: ...


class SimGate:
    """Lets nobody write whose name says so, beside those who may only read."""

    def check(self, principal: Principal, document: str, update: bytes, scan: Scan) -> Decision:
        if principal.read_only or principal.id.startswith("guest"):
            return Deny("not you")
        return ALLOW


class Shown:
    """What clients of one room were shown: clocks and deletions."""

    def __init__(self) -> None:
        self.clocks: dict[int, int] = {}
        self.deletes: set[tuple[int, int]] = set()

    def add(self, update: bytes) -> None:
        found = scan(update, READER)
        for client, _, end in found.ranges:
            if self.clocks.get(client, 0) < end:
                self.clocks[client] = end
        for client, start, end in found.deletes:
            self.deletes.update((client, clock) for clock in range(start, end))


class World:
    """Everything."""

    def __init__(
        self,
        seed: int,
        *,
        store: str | None = None,
        limits: Limits | None = None,
        people: int = 0,
        history: bool | None = None,
        talk: bool | None = None,
        programs: bool | None = None,
    ) -> None:
        self.kernel = Kernel(seed)
        self.chance = self.kernel.stream("world")
        self._race = self.kernel.stream("race")
        Connection._count = 0  # periodic work is spread by it
        self.failure = ""
        self.limits = limits or _limits(
            self.kernel.stream("limits"), self.kernel.stream("talk limits")
        )
        quiet = people > 0
        talks = self.kernel.stream("talks").random() < 0.4 if talk is None else talk
        writes = self.kernel.stream("writes").random() < 0.3 if programs is None else programs
        self.faults = Faults(self.kernel)
        kind = self.kernel.stream("store").choice(["memory", "memory", "file", "file", "sqlite"])
        self.medium = medium(store or kind, self.faults, self.kernel)
        self._gated = self.chance.random() < 0.5
        gate = SimGate() if self._gated else None
        self.truth = Truth()
        self.looking = self.kernel.stream("looking")
        self.archive: Archive | None = None
        """What histories are kept on; ``None`` where there are none."""
        if self.kernel.stream("history").random() < 0.7 if history is None else history:
            self.archive = Archive(self.kernel)
            self.archive.faults.die = self._die
        self.server = Server(
            self.kernel,
            self.medium,
            limits=self.limits,
            gate=gate,
            failed=self.fail,
            archive=self.archive,
            committed=self.truth.committed,
        )
        self.faults.die = self._die
        self.shown: dict[str, Shown] = {}
        self.seen_frames: dict[tuple[str, bytes], None] = {}
        self.clients: list[Client] = []
        self.hostiles: list[Hostile] = []
        self.steps = 0
        self.faulty_proxies = False
        """Whether some clients come through a proxy that repeats and reorders."""
        self.last_life = False
        self.victims: set[int] = set()
        """Clients in whose name somebody else has spoken while they were away. Other clients
        have a clock of theirs then that the server may not know of after a restart."""
        self._populate(people)
        self.asking = Asking(self)
        self.talk: Talk | None = None
        """What is said, and who is there; ``None`` where no document has channels."""
        self.programs: Programs | None = None
        if talks and not quiet:
            self.talk = Talk(self)
            self.server.channels = self.talk.channels
        if writes and not quiet:
            self.programs = Programs(self)
            self.server.notes = Notes(self.kernel, Faults(self.kernel, "notes"))
            self.server.notes.faults.die = self._die

    def _populate(self, people: int) -> None:
        """Let there be rooms with clients, or just so many people in one room."""
        chance, numbers = self.chance, self.kernel.stream("numbers")
        for room in range(1 if people else chance.choice([1, 1, 2, 3])):
            name = f"room/{room}"
            self.shown[name] = Shown()
            for index in range(people or chance.choice([2, 2, 3, 4])):
                number = numbers.choice([numbers.randrange(1 << 20), numbers.randrange(1 << 32)])
                reader = not people and index > 1 and chance.random() < 0.4
                guest = reader and self._gated and chance.random() < 0.5
                who = f"{'guest' if guest else 'reader' if reader else 'writer'}-{room}{index}"
                self.clients.append(Client(self, who, number, name, may_write=not reader))
            if not people and chance.random() < 0.3:
                self.hostiles.append(Hostile(self, f"mallory-{room}", (1 << 40) + room, name))

    def all_faults(self) -> list[Faults]:
        """Return the weather at each disk."""
        beside = (self.archive, self.server.notes)
        return [self.faults, *(each.faults for each in beside if each is not None)]

    def talks(self, room: str) -> bool:
        """Return whether a room has a chat."""
        return self.talk is not None and self.talk.rules.chats(room)

    # Who tells what

    def fail(self, what: str) -> None:
        """Take note of what must not be; the run ends."""
        if not self.failure:
            self.failure = what
            self.kernel.tell("FAILURE", what)

    def show(self, room: str, frame: bytes) -> None:
        """Take note of what the server lets out."""
        seen = self.seen_frames
        if (room, frame) in seen:
            return
        seen[room, frame] = None
        for message in decode_frame(frame):
            if isinstance(message, SyncStep2 | SyncUpdate):
                self.shown[room].add(message.update)
            elif isinstance(message, AwarenessMessage) and FORGED.encode() in message.payload:
                entries = read_entries(message.payload, READER)
                self.victims |= {each.client for each in entries if each.state == FORGED}

    def dial(self, caller: Caller) -> Wire | None:
        """Connect somebody; ``None`` where the server takes nobody now."""
        hub = self.server.hub
        if hub is None:
            return None
        room = caller.room
        wire = Wire(self.kernel, caller, show=lambda frame: self.show(room, frame))
        wire.proxied = wire.faulty = (
            not self.faults.calm and self.faulty_proxies and self.chance.random() < 0.3
        )
        if self.faults.calm:
            wire.bytes_per_s = 0
        try:
            connection = hub.connect(wire, room, caller.principal, acknowledge=caller.acknowledge)
        except CrdtsyncError:
            return None
        wire.attach(connection)
        self.server.wires.append(wire)
        return wire

    # Time

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until_s = self.kernel.now_s + seconds
        kernel, server = self.kernel, self.server
        while True:
            loop = server.loop
            kernel_s = kernel.next_s()
            loop_s = loop.next_s() if loop is not None else float("inf")
            first_s = min(kernel_s, loop_s)
            if first_s > until_s:
                kernel.now_s = until_s
                return
            if first_s > kernel.now_s:
                kernel.now_s = first_s
            self.steps += 1
            try:
                if (
                    loop is not None
                    and loop_s <= first_s
                    and (kernel_s > first_s or self._race.random() < 0.7)
                ):
                    loop.step()
                    if server.kill_at_step is not None and loop.steps >= server.kill_at_step:
                        server.dying = f"at step {loop.steps}"
                else:
                    kernel.step()
                if server.dying:
                    self._kill()
                elif server.loop is not None and server.ended:
                    server.reap()
                    self.ended()
            except Failure:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, a real server would feel it
                self.fail(f"{error!r}\n{traceback.format_exc()}")
            if self.failure:
                raise Failure(self.failure)
            if self.steps > MAX_STEPS:
                self.fail("it goes on and on")
                raise Failure(self.failure)

    # The server's lives

    def _die(self, what: str) -> None:
        self.server.dying = what

    def _kill(self) -> None:
        power = self.chance.random() < 0.4
        silently = power and self.chance.random() < 0.5
        for faults in self.all_faults():
            faults.steps_left = -1
        self.server.kill(self.server.dying, power=power, silently=silently)
        for faults in self.all_faults():
            faults.dying = False
        self.ended()

    def ended(self) -> None:
        """A life is over: what anyone was shown has to be there, and the next one begins."""
        from tests.simulation.checks import nothing_said_is_missing, nothing_shown_is_missing
        from tests.simulation.truth import histories_are_whole

        if self.last_life:
            return  # the store is looked at as a whole then
        loaded, _ = nothing_shown_is_missing(self)
        histories_are_whole(self, loaded)
        nothing_said_is_missing(self, loaded)
        delay_s = self.chance.choice([0.05, 1.0, 8.0])
        self.kernel.after(0.2 if self.faults.calm else delay_s, self.start)

    def start(self) -> None:
        if self.server.loop is None:
            self.server.start()

    def restart(self) -> None:
        """Stop the server in order; another life follows."""
        if self.server.loop is not None:
            self.server.stop(calm=self.faults.calm)
            self.kernel.after(RESTART_S, self._stuck, self.server.lives)

    def _stuck(self, life: int) -> None:
        if self.server.loop is not None and self.server.lives == life:
            self.fail(f"the server has not stopped in {RESTART_S} s")

    def close(self) -> None:
        """Give back what the world holds."""
        for client in self.clients:
            client.end()
        if self.server.loop is not None:
            self.server.kill("at the end of the story", power=False, silently=False)
        self.medium.close()
        if self.archive is not None:
            self.archive.close()
        if self.server.notes is not None:
            self.server.notes.close()


def _limits(chance: random.Random, talks: random.Random) -> Limits:
    usual = Limits()
    unusual: dict[str, list[Any]] = {
        "max_merge": [1, 3],
        "max_frame_bytes": [60, 200],
        "max_backlog_log_bytes": [0, 300],
        "max_backlog_bytes": [100],
        "max_pending_bytes": [50],
        "max_tail_updates": [0, 5],
        "max_log_records": [1, 5, 20],
        "max_held_updates": [0, 2],
        "commit_interval_s": [0.0, 0.05],
        "commit_retry_s": [0.0, 1.0],
        "idle_room_s": [2.0],
        "max_lag_s": [5.0],
        "ping_interval_s": [5.0],
        "history_pause_s": [0.5, 5.0],
        "history_interval_s": [2.0, 20.0],
    }
    changed = {
        name: chance.choice(values) for name, values in unusual.items() if chance.random() < 0.35
    }
    return Limits(
        **{name: changed.get(name, getattr(usual, name)) for name in unusual},
        chat_messages_per_minute=0,
        chat_future_s=86_400.0,  # clocks jump
        chat_edit_window_s=86_400.0,
        chat_live_messages=talks.choice([2, 5, 10]),
        chat_archive_messages=talks.choice([3, 8]),
        presence_interval_s=talks.choice([0.02, 0.05, 0.5]),
        presence_grace_s=talks.choice([0.0, 1.0, 5.0]),
    )
