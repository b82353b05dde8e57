"""How much one person says, by the server's clock and by the times that what he says carries."""

from random import Random

import pytest

from crdtsync.channels.rates import MAX_BEHIND, MAX_REMEMBERED, Brought, Rates

PAST_S = 7 * 86_400.0
NOW_MS = 1_700_000_000_000
BURST, PER_MINUTE = 5, 6
PER_S = PER_MINUTE / 60
STEP_MS = round(1000 / PER_S)
"""One thing is said in this time, for ever."""


class Chat:
    """The rates of one document, whose room may end; with a clock."""

    def __init__(self, brought: Brought | None = None, document: str = "doc") -> None:
        self.brought, self.document = brought or Brought(), document
        self.passed_s = 0.0
        self.reopen()

    def reopen(self) -> None:
        self.rates = Rates(
            per_minute=PER_MINUTE,
            burst=BURST,
            past_s=PAST_S,
            brought=self.brought,
            document=self.document,
        )

    @property
    def now_ms(self) -> int:
        return NOW_MS + round(self.passed_s * 1000)

    def say(self, times_ms: list[int], who: str = "ann") -> bool:
        """Say things, if that is allowed."""
        allowed = self.rates.allows(who, times_ms, self.passed_s, self.now_ms)
        if allowed:
            self.rates.take(who, times_ms, self.passed_s, self.now_ms)
        return allowed

    def over(self, count: int, step_ms: int = STEP_MS) -> list[int]:
        """Return times of things that were said one after the other until now."""
        return [self.now_ms - step_ms * back for back in reversed(range(count))]


def test_a_backlog_is_let_in_once() -> None:
    """What was said over time comes at once; the same time gives room for nothing more."""
    chat = Chat()
    backlog = chat.over(200)
    assert not chat.say([chat.now_ms] * (BURST + 1))
    assert chat.say(backlog)
    assert not chat.say(backlog[:BURST])
    assert not chat.say([backlog[0] - STEP_MS] * (BURST + 1))
    chat.reopen()
    assert not chat.say(backlog)
    chat.passed_s += 5 * STEP_MS / 1000
    assert chat.say([chat.now_ms])
    assert chat.say(backlog, "bob")


def test_a_backlog_is_not_denser_than_the_rate() -> None:
    """One old thing makes no room for many new ones; nor do times that nobody was asked about."""
    chat = Chat()
    early = chat.now_ms - round(PAST_S * 1000)
    assert not chat.say([early] + [chat.now_ms] * (BURST + 1))
    assert not chat.say([early, *chat.over(20, STEP_MS // 2)])
    assert not chat.say([0] * (BURST + 1))
    assert not chat.say([early - number * STEP_MS for number in range(1, BURST + 2)])
    assert not chat.say([chat.now_ms + number * STEP_MS for number in range(BURST + 1)])
    assert chat.say([early] + [chat.now_ms] * BURST)


def test_talk_takes_from_what_can_be_claimed() -> None:
    """Who was there and said things can't claim to have been away in that time."""
    chat = Chat()
    for _ in range(50):
        assert chat.say([chat.now_ms])
        chat.passed_s += STEP_MS / 1000
    assert not chat.say([chat.now_ms - STEP_MS * 20] * (BURST + 1))
    assert not chat.say(chat.over(40))


def test_a_backlog_is_bounded() -> None:
    """Nobody brings more than so much beyond the server's clock, whatever he claims."""
    chat = Chat()
    times = chat.over(MAX_BEHIND + BURST + 1)
    assert not chat.say(times)
    assert chat.say(times[: MAX_BEHIND // 2])
    assert chat.say(times[MAX_BEHIND // 2 : -1])
    assert not chat.say(times[-1:])
    chat.passed_s += STEP_MS / 1000
    assert chat.say(times[-1:])


def test_who_is_forgotten_claims_nothing_of_before() -> None:
    """Where more people bring a lot than are remembered, nobody can claim a time twice."""
    brought = Brought()
    chat = Chat(brought)
    backlog = chat.over(BURST + 5)
    assert chat.say(backlog)
    for number in range(MAX_REMEMBERED):
        assert Chat(brought, f"doc {number}").say(backlog)
    chat.reopen()
    assert brought.left("doc", "ann") is None
    assert not chat.say(backlog)
    assert not Chat(brought, "another").say(backlog)
    chat.passed_s += 3600
    assert chat.say(chat.over(200))


@pytest.mark.parametrize("seed", range(20))
def test_liars_gain_the_past_once(seed: int) -> None:
    """Whatever times somebody claims, he says what fits the time, the past once, and no more."""
    random = Random(seed)
    chat, said, rooms = Chat(), 0, 1
    for _ in range(1000):
        match random.randrange(20):
            case 0:
                chat.reopen()
                rooms += 1
            case 1:
                chat.passed_s += random.choice([0.5, 20.0, 600.0])
            case _:
                first = chat.now_ms - random.randrange(-60_000, 300_000)
                step_ms = random.choice([0, STEP_MS // 2, STEP_MS, STEP_MS + 1])
                times = [first + step_ms * number for number in range(random.randrange(1, 40))]
                times = [max(each, NOW_MS - 300_000) for each in times]
                said += len(times) * chat.say(times)
    claimed = BURST + PER_S * (300 + chat.passed_s)
    talked = BURST * rooms + PER_S * chat.passed_s
    assert said <= claimed + talked
    assert said <= claimed or rooms > 1


@pytest.mark.parametrize("seed", range(20))
def test_honest_people_are_let_in(seed: int) -> None:
    """Who keeps to the rate by his own clock is let in, however long he is away in between."""
    random = Random(seed)
    chat = Chat()
    left, waiting, at_ms = float(BURST), list[int](), chat.now_ms
    for _ in range(1000):
        chat.passed_s += random.choice([0.0, 0.3, STEP_MS / 1000, 90.0])
        left = min(float(BURST), left + (chat.now_ms - at_ms) / 1000 * PER_S)
        at_ms = chat.now_ms
        while left >= 1.001 and random.random() < 0.9:
            waiting.append(chat.now_ms)
            left -= 1
        if waiting and random.random() < 0.02:
            cut = random.randrange(len(waiting)) + 1  # a long backlog comes in several updates
            for part in (waiting[:cut], waiting[cut:]):
                assert chat.say(part)
            waiting = []
            if random.random() < 0.2:
                chat.reopen()
