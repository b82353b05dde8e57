"""What goes between a server and its workers: messages, one after another."""

import os
from collections.abc import Iterator
from io import BytesIO
from typing import IO

import pytest

from crdtsync.history.working import Mail
from crdtsync.yielding import nameless

LARGE = bytes(300_000)


@pytest.fixture
def file() -> Iterator[int]:
    """An open file."""
    file = nameless()
    yield file
    os.close(file)


@pytest.fixture
def bell() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Both ends of a pipe."""
    ears, hand = os.pipe()
    with open(ears, "rb") as source, open(hand, "wb") as target:
        yield source, target


def test_messages_follow_one_another(file: int, bell: tuple[IO[bytes], IO[bytes]]) -> None:
    """Each is read as it was written, however large, and behind the last one there is an end."""
    source, target = bell
    there, here = Mail(file, target), Mail(file, source)
    for each in [(len, LARGE, [LARGE, "small"]), (True, None), (False, "why")]:
        there.send(each)
        assert here.receive() == each
        assert os.fstat(file).st_size == 0, "it takes no memory any more"
    target.close()
    with pytest.raises(EOFError):
        here.receive()


def test_a_message_that_breaks_off(file: int) -> None:
    """As long as nobody says that it is there, there is none: the other side is gone."""
    os.write(file, b"half of a message")
    with pytest.raises(EOFError):
        Mail(file, BytesIO()).receive()


def test_what_can_t_be_pickled(file: int, bell: tuple[IO[bytes], IO[bytes]]) -> None:
    """Nobody hears of it, and another message can take its place."""
    source, target = bell
    there, here = Mail(file, target), Mail(file, source)
    with pytest.raises((AttributeError, TypeError)):
        there.send((True, LARGE, lambda: None))
    there.send((True, "small"))
    assert here.receive() == (True, "small")
