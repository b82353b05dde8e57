"""What goes between a server and its workers: messages, one after another."""

from io import BufferedReader, BytesIO

import pytest

from crdtsync.history.working import read_message, write_message

LARGE = bytes(300_000)


class Target(BytesIO):
    """Keeps what was written as it came."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[object] = []

    def write(self, data: object, /) -> int:
        self.parts.append(data)
        return super().write(data)  # type: ignore[arg-type]


def test_messages_follow_one_another() -> None:
    """Each is read as it was written, however large, and behind the last one there is an end."""
    stream = BytesIO()
    messages = [(len, LARGE, [LARGE, "small"]), (True, None), (False, "why")]
    for each in messages:
        write_message(stream, each)
    source = BufferedReader(BytesIO(stream.getvalue()))
    assert [read_message(source) for _ in messages] == messages
    with pytest.raises(EOFError):
        read_message(source)


@pytest.mark.parametrize("length", [1, 20, 100_000])
def test_a_message_that_breaks_off(length: int) -> None:
    """It ends as if there were none: the other side is gone."""
    stream = BytesIO()
    write_message(stream, (len, LARGE))
    with pytest.raises(EOFError):
        read_message(BufferedReader(BytesIO(stream.getvalue()[:length])))


def test_what_is_large_is_not_copied() -> None:
    """It is written itself: others would wait for a copy."""
    target = Target()
    write_message(target, (len, LARGE))
    assert any(part is LARGE for part in target.parts)


def test_what_can_t_be_pickled() -> None:
    """Nothing of it is written, so that another message can take its place."""
    target = Target()
    with pytest.raises((AttributeError, TypeError)):
        write_message(target, (True, LARGE, lambda: None))
    assert not target.parts
