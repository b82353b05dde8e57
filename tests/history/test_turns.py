"""Who comes next where few can be at work."""

import anyio
import pytest

from crdtsync.turns import ASKING, Turns
from tests.unit.engine import settle

pytestmark = pytest.mark.anyio


class Work:
    """Jobs that end when they are told to; who began, in order."""

    def __init__(self, most: int) -> None:
        self.turns = Turns(most)
        self.begun: list[str] = []
        self._ends: dict[str, list[anyio.Event]] = {}

    async def job(self, who: str) -> None:
        ASKING.set(who)
        end = anyio.Event()
        async with self.turns.turn():
            self.begun.append(who)
            self._ends.setdefault(who, []).append(end)
            await end.wait()

    async def end(self, who: str) -> None:
        self._ends[who].pop(0).set()
        await settle()


async def test_one_who_asks_for_much_waits_for_their_own() -> None:
    """Whoever comes with one job has the next turn, however many of somebody else's wait."""
    work = Work(2)
    async with anyio.create_task_group() as tasks:
        for who in "aaaaaabb":
            tasks.start_soon(work.job, who)
            await settle()
        assert "".join(work.begun) == "aa"
        await work.end("a")
        assert "".join(work.begun) == "aab"
        await work.end("a")
        assert "".join(work.begun) == "aaba"
        await work.end("b")
        assert "".join(work.begun) == "aabab"
        tasks.start_soon(work.job, "c")
        await settle()
        await work.end("b")
        assert "".join(work.begun) == "aababc"
        for who in "acaaa":
            await work.end(who)
        assert "".join(work.begun) == "aababcaaa"


async def test_everybody_s_turn_comes_round() -> None:
    """Of those with as many at work, whoever has waited longest is next."""
    work = Work(1)
    async with anyio.create_task_group() as tasks:
        for who in "abcabcab":
            tasks.start_soon(work.job, who)
            await settle()
        for who in "abcabcab":
            assert work.begun[-1] == who
            await work.end(who)
        assert "".join(work.begun) == "abcabcab"


async def test_who_gives_up_leaves_no_gap() -> None:
    """A job that is cancelled, waiting or when its turn has just come, holds nobody up."""
    work = Work(1)
    async with anyio.create_task_group() as tasks:
        scopes = {who: anyio.CancelScope() for who in "xy"}

        async def cancellable(who: str) -> None:
            with scopes[who]:
                await work.job(who)

        tasks.start_soon(work.job, "a")
        await settle()
        for who in "xy":
            tasks.start_soon(cancellable, who)
            await settle()
        tasks.start_soon(work.job, "b")
        await settle()
        scopes["x"].cancel()
        await settle()
        work._ends["a"].pop(0).set()
        await anyio.lowlevel.checkpoint()
        scopes["y"].cancel()
        await settle()
        assert work.begun[-1] == "b"
        await work.end("b")
        tasks.start_soon(work.job, "c")
        await settle()
        assert work.begun[-1] == "c"
        await work.end("c")
