"""Which moments stay: by age, by document, and whatever somebody has named."""

import math

import pytest

from crdtsync.clock import ManualClock
from crdtsync.config import load
from crdtsync.config.history import history_rules
from crdtsync.errors import ConfigError, StoreError
from crdtsync.history import retaining
from crdtsync.history.base import HistoryChanged, NewVersion
from crdtsync.history.model import HistoryOff, UnknownMoment
from crdtsync.history.retention import HistoryRules, Retention, kept_moments
from tests.history.recording import ANN, BOB, checkpointed, moments, past_of, recorded, text_at
from tests.history.recording import typed as typing
from tests.unit.engine import quick, until

pytestmark = pytest.mark.anyio

SLOW = quick(housekeeping_interval_s=1e6)
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOW_MS = 20_000 * DAY_MS
DAY_S = 86_400.0
STRICT = Retention(everything_s=0.0)
"""Keeps what is named, and the newest."""


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both event loops."""
    return str(request.param)


def test_which_moments_stay() -> None:
    """All of a day, then the last of each hour, then the last of each day, then named ones."""
    retention = Retention(everything_s=DAY_S, hourly_s=3 * DAY_S, daily_s=10 * DAY_S)
    ages_ms = [20 * DAY_MS - n * HOUR_MS // 4 for n in range(20 * 24 * 4)]
    found = [(n, NOW_MS - age) for n, age in enumerate(ages_ms, 1)]
    kept = kept_moments(found, {5}, retention, NOW_MS)
    by_age = [ages_ms[n - 1] for n in sorted(kept)]
    assert min(kept) == 5
    assert sum(1 for age in by_age if age <= DAY_MS) == 24 * 4
    assert sum(1 for age in by_age if DAY_MS < age <= 3 * DAY_MS) == pytest.approx(48, abs=1)
    assert sum(1 for age in by_age if 3 * DAY_MS < age <= 10 * DAY_MS) == pytest.approx(7, abs=1)
    assert sum(1 for age in by_age if age > 10 * DAY_MS) == 1
    again = kept_moments([each for each in found if each[0] in kept], {5}, retention, NOW_MS)
    assert again == kept  # nothing more goes until it is older


def test_edges() -> None:
    """The newest moment stays however old it is; clocks that jump don't matter; nothing is kept."""
    assert kept_moments([(1, 0), (2, 0)], (), STRICT, NOW_MS) == {2}
    assert kept_moments([], (), STRICT, NOW_MS) == set()
    assert kept_moments([(1, NOW_MS + 5), (2, 0), (3, 0)], (), STRICT, NOW_MS) == {1, 3}
    assert Retention().endless
    everything = kept_moments([(1, 0), (2, 1)], (), Retention(), NOW_MS)
    assert everything == {1, 2}


def test_rules_by_document() -> None:
    """The most specific pattern holds; what none fits is kept for ever."""
    rules = history_rules([], ["*=30d/90d/730d", "drafts/*=1d", "drafts/keep=forever"])
    assert rules.retention_of("a") == Retention(
        everything_s=30 * DAY_S, hourly_s=90 * DAY_S, daily_s=730 * DAY_S
    )
    assert rules.retention_of("drafts/a") == Retention(everything_s=DAY_S)
    assert rules.retention_of("drafts/keep").everything_s == math.inf
    assert HistoryRules().retention_of("a").endless


@pytest.mark.parametrize("text", ["30d", "=30d", "*=", "*=30d/", "*=1/2/3/4", "*=-1d", "*=soon"])
def test_a_wrong_rule(text: str) -> None:
    """A rule that means nothing is refused, with what would be right."""
    with pytest.raises(ConfigError, match=r"history[_-]retention"):
        load(cli={"history_retention": text})


async def test_pruning() -> None:
    """What is too old goes, with unnamed versions of it; the rest says what it said."""
    clock = ManualClock()
    async with recorded(clock=clock, limits=SLOW) as (hub, histories):
        for number in range(10):
            await typing(hub, f"{number} ", who=ANN if number % 2 else BOB)
            if number in (2, 4):
                await histories.create("doc", label="", principal=ANN)
            if number in (3, 6):
                await histories.create("doc", label="", principal=ANN, kind="auto")
            clock.advance(60)
        texts = [await text_at(histories, n) for n in range(11)]
        with pytest.raises(UnknownMoment):
            await histories.prune("doc", STRICT)
        assert await checkpointed(hub)
        trial = await histories.prune("doc", STRICT, dry_run=True)
        assert (trial.moments_before, trial.moments, trial.versions) == (10, 3, 2)
        assert await moments(histories) == list(range(1, 11))
        done = await histories.prune("doc", STRICT)
        assert done == trial
        assert await moments(histories) == [3, 5, 10]
        for sequence in (3, 5, 10):
            assert await text_at(histories, sequence) == texts[sequence]
        with pytest.raises(UnknownMoment) as gone:
            await histories.resolve("doc", "s4")
        assert gone.value.pruned
        assert [each.kind for each in await histories.versions("doc")] == ["named", "named"]
        past = await past_of(histories)
        assert {each.author for each in past.timeline.changes()} == {"ann", "bob"}
        assert (await histories.prune("doc", STRICT)).moments == 3
        assert histories.stats.pruned == 7
        await typing(hub, "more")
        assert await checkpointed(hub)
        assert await moments(histories) == [3, 5, 10, 11]
        histories.rules = HistoryRules(excluded=("doc",))
        with pytest.raises(HistoryOff):
            await histories.prune("doc", STRICT)


async def test_a_version_made_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that is made while its moment is about to go keeps it."""
    async with recorded(limits=SLOW) as (hub, histories):
        await typing(hub, "one ", "two ")
        assert await checkpointed(hub)
        real = histories.kept.save
        tries: list[int] = []

        async def save(*args: object, **options: object) -> int:
            tries.append(1)
            if len(tries) == 1:
                await histories.kept.add_versions([new])
            return await real(*args, **options)  # type: ignore[arg-type]

        info = await hub.store.info("doc")
        assert info is not None
        new = NewVersion(
            document="doc",
            incarnation=info.created_ms,
            sequence=1,
            time_ms=info.created_ms,
            kind="named",
        )
        monkeypatch.setattr(histories.kept, "save", save)
        await histories.prune("doc", STRICT)
        assert len(tries) == 1  # the second look finds nothing to let go
        assert await moments(histories) == [1, 2]


async def test_the_hourly_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once an hour, documents that changed are looked at; others once a day; most are not."""
    clock = ManualClock()
    rules = history_rules([], ["doc=1h", "other=2d"])
    async with recorded(clock=clock, limits=SLOW, rules=rules) as (hub, histories):
        for name in ("doc", "other", "third"):
            await typing(hub, "one ", "two ", name=name)
            assert await checkpointed(hub, name)
        looked: list[str] = []
        real = histories.retaining._prune

        async def prune(document: str, *args: object) -> object:
            looked.append(document)
            return await real(document, *args)  # type: ignore[arg-type]

        monkeypatch.setattr(histories.retaining, "_prune", prune)

        async def look() -> list[str]:
            looked.clear()
            histories.automatic.look(hub.spawn)
            await until(lambda: not histories.retaining.due and not histories.retaining.sweeping)
            return sorted(looked)

        clock.advance(retaining.FIRST_SWEEP_S - 1)
        assert await look_only(histories, hub, looked) == []
        clock.advance(3601)
        assert await look() == ["doc", "other"]
        assert await moments(histories) == [2]
        assert await moments(histories, "other") == [1, 2]
        clock.advance(retaining.SWEEP_S)
        assert await look() == []
        await typing(hub, "three ")
        assert await checkpointed(hub)
        clock.advance(retaining.SWEEP_S)
        assert await look() == ["doc"]
        clock.advance(2 * DAY_S)
        assert await look() == ["doc", "other"]
        assert await moments(histories, "other") == [2]
        assert await moments(histories, "third") == [1, 2]


async def test_the_first_look() -> None:
    """It comes a minute after the start, neither at once nor in an hour."""
    clock = ManualClock()
    async with recorded(clock=clock, limits=SLOW, rules=history_rules([], ["doc=10s"])) as (
        hub,
        histories,
    ):
        await typing(hub, "one ", "two ")
        assert await checkpointed(hub)
        clock.advance(59)
        assert not histories.retaining.due
        clock.advance(1)
        assert histories.retaining.due
        histories.automatic.look(hub.spawn)
        await until(lambda: not histories.retaining.due and not histories.retaining.sweeping)
        assert await moments(histories) == [2]


async def look_only(histories: object, hub: object, looked: list[str]) -> list[str]:
    histories.automatic.look(hub.spawn)  # type: ignore[attr-defined]
    return looked


async def test_a_look_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one can't be pruned now, the others are; a failing disk ends no more than the look."""
    clock = ManualClock()
    rules = history_rules([], ["*=1m"])
    async with recorded(clock=clock, limits=SLOW, rules=rules) as (hub, histories):
        for name in ("a", "b"):
            await typing(hub, "one ", "two ", name=name)
            assert await checkpointed(hub, name)
        clock.advance(3600)
        real = histories.kept.save

        async def save(document: str, *args: object, **options: object) -> int:
            if document == "a":
                raise HistoryChanged("always")
            return await real(document, *args, **options)  # type: ignore[arg-type]

        with monkeypatch.context() as patched:
            patched.setattr(histories.kept, "save", save)
            await histories.retaining.sweep()
        assert histories.stats.errors["prune"] == 1
        assert await moments(histories, "a") == [1, 2]
        assert await moments(histories, "b") == [2]

        async def fails(*args: object, **options: object) -> list[object]:
            raise StoreError("no disk")

        with monkeypatch.context() as patched:
            patched.setattr(histories.kept, "outlines", fails)
            await histories.retaining.sweep()
        assert histories.stats.errors["prune"] == 2
        assert not histories.retaining.sweeping
