"""What goes over to a worker: all of it once, and then what is new."""

import pickle
from random import Random
from typing import Any

import pytest

from crdtsync.history import saying
from crdtsync.history.log import LogCheckpoint, LogRecord, Records
from crdtsync.history.model import Stored
from crdtsync.history.saying import Said

STORED = Stored(7, b"head", bytes(50_000), (bytes(30_000), b"block"))
CHECKPOINT = LogCheckpoint(9, 1000, bytes(40_000))


def records(*updates: bytes, sifted: bool = False) -> Records:
    found = Records(LogRecord(n, 1000 * n, "ann", each) for n, each in enumerate(updates, 10))
    found.sifted = sifted
    return found


class Line:
    """Both sides, and what goes over between them."""

    def __init__(self) -> None:
        self._here, self._there = Said(), Said()

    @property
    def kept(self) -> int:
        """Parts that both sides keep."""
        return len(self._here._last) + len(self._there._last)

    def say(self, *parts: Any) -> int:
        """Have a message go over, see that it comes as it was, and return its size."""
        data = pickle.dumps(self._here.shorten(parts))
        heard = self._there.lengthen(pickle.loads(data))
        assert heard == parts
        assert [type(each) for each in heard] == [type(each) for each in parts]
        for sent, came in zip(parts, heard, strict=True):
            if isinstance(sent, Records):
                assert came.sifted == sent.sifted
        return len(data)


def test_what_was_said_is_not_said_again() -> None:
    """Who asks again about a document's past says what came since."""
    line = Line()
    long, short = bytes(60_000), b"short"
    whole = line.say(len, STORED, CHECKPOINT, records(long), "moment")
    assert whole > 170_000
    assert line.say(max, STORED, CHECKPOINT, records(long, short), 5, None) < 1000
    assert line.say(len, STORED, CHECKPOINT, records(long, short)) < 1000
    assert line.say(len, STORED, CHECKPOINT, records(long, short, sifted=True)) < 1000
    assert 60_000 < line.say(len, STORED, CHECKPOINT, records(long, short, long[:-1])) < 61_000


def test_other_pasts() -> None:
    """What is like nothing in the last message goes over, wherever it is."""
    line = Line()
    line.say(len, STORED, CHECKPOINT, records(bytes(20_000)))
    assert line.say(len, None, CHECKPOINT, records(b"other")) < 1000
    assert line.say(len, STORED, None, records(b"other", bytes(20_000))) > 100_000
    assert line.say(len) < 1000
    assert line.say(len, STORED, CHECKPOINT) > 120_000


def test_what_is_too_large_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides would hold it for as long as nobody asks for another."""
    line = Line()
    monkeypatch.setattr(saying, "KEPT_BYTES", 130_000)
    for _ in range(2):
        assert line.say(len, STORED, CHECKPOINT, records(bytes(20_000))) > 140_000
        assert not line.kept
    monkeypatch.setattr(saying, "KEPT_BYTES", 150_000)
    assert line.say(len, STORED, CHECKPOINT, records(bytes(20_000))) > 140_000
    assert line.say(len, STORED, CHECKPOINT, records(bytes(20_000))) < 1000


@pytest.mark.parametrize("seed", range(40))
def test_any_messages(seed: int) -> None:
    """Whatever follows whatever, it comes as it was sent."""
    random = Random(seed)
    line = Line()
    pieces = [bytes([n]) * random.randrange(1, 30) for n in range(3)]
    for _ in range(60):
        parts: list[Any] = [random.choice([len, max])]
        for _ in range(random.randrange(4)):
            updates = random.choices(pieces, k=random.randrange(4))
            stored = Stored(random.randrange(3), random.choice(pieces))
            checkpoint = LogCheckpoint(random.randrange(3), 0, random.choice(pieces))
            found = records(*updates, sifted=random.random() < 0.3)
            parts.append(random.choice([stored, checkpoint, found, None, "text", 5]))
        line.say(*parts)
