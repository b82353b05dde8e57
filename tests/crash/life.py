"""One store and all its deaths: load, kill, look at what is left, and again on the same files.

After each death everything that any client was shown has to be there, each document has to hold
exactly the first so many edits of each of its writers, and ``crdtsync check`` has to be clean.
"""

import asyncio
import random
import re
import shutil
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.crash.clients import Client, Ended, Writing, write
from tests.crash.edits import EDITS
from tests.crash.ledger import Ledger, Lost
from tests.crash.nursery import Nursery, Victim
from tests.crash.steps import STEPS, Kind, Step, When
from tests.crash.victim import SMALL, Plan

__all__ = ["Life", "Tally", "lives"]

DOCUMENTS = 4
WRITERS = 2
ROUNDS_A_LIFE = 10
MOST_LOST = 5
"""After so many failures there is enough to look into."""
LOAD_S = 0.4
"""How long a server lives that is not killed by itself, at most."""
EDITS_A_ROUND = 390
"""What a writer sends in one round, at most: it is still at it when the server dies."""
OPTIONS = (
    *("--host", "127.0.0.1", "--port", "0"),
    *("--max-log-records", "25", "--housekeeping-interval-s", "0.05", "--idle-room-s", "0.1"),
    *("--checkpoint-rest-s", "0"),
)
"""Checkpoints after some dozen records, and of documents that nobody has open."""


UNFINISHED = re.compile(r"warning: .+ (was|are a record that was) not written to its end\b.*")
"""Of what was being written, and did not count yet, a check may tell."""


@dataclass(slots=True)
class Tally:
    """What has happened so far."""

    rounds: int = 0
    edits: int = 0
    """Edits that were shown to somebody before a kill, and looked for after it."""
    checks: int = 0
    kills: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Life:
    """One store. ``rounds`` kills the server on it again and again."""

    kind: Kind
    folder: Path
    nursery: Nursery
    seed: int
    changes: tuple[str, ...] = ()
    tally: Tally = field(default_factory=Tally)
    round: int = 0
    steps: tuple[Step, ...] = ()
    """Where servers die; ``STEPS`` where empty."""
    _ledger: Ledger = field(init=False)
    _dice: random.Random = field(default_factory=random.Random)
    _story: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self._dice.seed(f"{self.seed} {self.kind}")
        self._ledger = Ledger(
            [
                Writing(f"document/{number} ä", 100 + number * WRITERS + writer)
                for number in range(DOCUMENTS)
                for writer in range(WRITERS)
            ]
        )

    @property
    def url(self) -> str:
        """The store, as ``--store`` takes it."""
        return f"{self.kind}:{self.folder / 'store'}"

    @property
    def exhausted(self) -> bool:
        """Whether the writers have next to nothing left to write."""
        return any(each.sent + EDITS_A_ROUND > EDITS for each in self._ledger.writings)

    async def rounds(self, count: int) -> None:
        """Start, load and kill the server so many times; then look at it once more.

        Raises ``Lost``.
        """
        for _ in range(count):
            await self._one_round()
            if self.exhausted:
                break
        victim, clients = await self._reach(None), list[Client]()
        try:
            async with asyncio.timeout(60):
                await self._verify(victim, clients)
        finally:
            victim.kill()

    async def _one_round(self) -> None:
        self.round += 1
        dice = self._dice
        while dice.random() < 0.2 and not self.steps:  # killed while it recovers
            early = self._choose(1, 2)
            self._story.append(f"round {self.round}: recovery until {early}")
            victim = self._serve(early)
            if await asyncio.to_thread(victim.port) is None:
                self.tally.kills[f"{early.name}, recovering"] += 1
            victim.kill()
        if dice.random() < 0.3:
            await self._check("before the restart")
        step = self._choose(1, 0) if self.steps or dice.random() < 0.65 else None
        self._story.append(f"round {self.round}: {step or 'a random moment'}")
        victim = await self._reach(step)
        clients: list[Client] = []
        try:
            await self._verify(victim, clients)
            if dice.random() < 0.3 and not victim.ended:
                await self._check("beside the server")
            await self._load(victim, clients, by_itself=step is not None)
        except Ended:
            victim.wait()  # by itself; else it is a failure to find
        killed = victim.ended
        victim.kill()
        self.tally.kills[step.name if step and killed else "anywhere"] += 1
        self.tally.rounds += 1
        for client in clients:
            # What the system had taken over from the server still arrives.
            await client.gone.wait()
            self._ledger.shown(client)

    def _choose(self, least: int, most: int) -> Step:
        step = self._dice.choice(self.steps or STEPS[self.kind])
        whens: tuple[When, ...] = ("before", "after", "half")
        nth = self._dice.randint(least, most or step.most)
        when = self._dice.choice(whens if step.call == "write" else whens[:2])
        return replace(step, nth=nth, when=when)

    def _serve(self, step: Step | None) -> Victim:
        plan = Plan(step=step, tune=SMALL, changes=self.changes)
        return self.nursery.start("serve", "--store", self.url, *OPTIONS, plan=plan)

    async def _reach(self, step: Step | None) -> Victim:
        """Return a server that listens; one that dies at its step before is started without."""
        victim = self._serve(step)
        if await asyncio.to_thread(victim.port) is None:
            if step is None or victim.wait() >= 0:
                raise self._lost(f"the server does not start: {victim.error}")
            self.tally.kills[f"{step.name}, recovering"] += 1
            self._story.append("... which it reached while recovering")
            return await self._reach(None)
        return victim

    async def _verify(self, victim: Victim, clients: list[Client]) -> None:
        """Join every document, and compare what it holds with all that was shown of it."""
        port = victim.port()
        assert port is not None
        before = self._ledger.found
        for name in self._ledger.safe:
            reader = Client(name)
            clients.append(reader)
            await reader.join(port)
            try:
                self._ledger.compare(name, reader.updates())
            except Lost as lost:
                raise self._lost(str(lost)) from None
        self.tally.edits += self._ledger.found - before

    async def _load(self, victim: Victim, readers: list[Client], *, by_itself: bool) -> None:
        dice = random.Random(
            f"{self.seed} {self.kind} {self.round}"
        )  # timing may use up any number
        port = victim.port()
        assert port is not None
        pairs = [(each, Client(each.document, acknowledged=True)) for each in self._ledger.writings]
        readers += [client for _, client in pairs]
        for _, client in pairs:
            await client.join(port)
        lasting = LOAD_S if by_itself else dice.random() * LOAD_S
        async with asyncio.TaskGroup() as tasks:
            for each, client in pairs:
                tasks.create_task(write(each, client, dice, most=EDITS_A_ROUND))
            await asyncio.wait([tasks.create_task(pairs[0][1].gone.wait())], timeout=lasting)
            await asyncio.to_thread(victim.kill)

    async def _check(self, when: str) -> None:
        found = await asyncio.to_thread(self.nursery.run, "check", "--store", self.url)
        self.tally.checks += 1
        if self._ledger.empty and re.search("there is no store|has schema 0,", found.error):
            return  # killed before there was one
        rest = [line for line in found.out.splitlines() if not UNFINISHED.fullmatch(line)]
        if found.wait() != 0 or " 0 errors" not in found.error or rest:
            raise self._lost(f"check {when}: {found.wait()} {found.out} {found.error}")

    def _lost(self, what: str) -> Lost:
        story = "; ".join(self._story[-4:])
        return Lost(
            f"{self.kind}, seed {self.seed}, round {self.round} ({story}): {what}\n"
            f"files: {self.folder}"
        )


async def lives(
    kind: Kind, rounds: int, seed: int, folder: Path, nursery: Nursery, tally: Tally
) -> list[Lost]:
    """Kill servers so many times, on a fresh store now and then; return what was lost."""
    lost: list[Lost] = []
    while tally.rounds < rounds:
        life = Life(kind, folder / f"{kind}-{seed}", nursery, seed, tally=tally)
        try:
            await life.rounds(min(ROUNDS_A_LIFE, rounds - tally.rounds))
        except Lost as error:
            lost.append(error)
            if len(lost) == MOST_LOST:
                break
        else:
            shutil.rmtree(life.folder)
        seed += 1
    return lost
