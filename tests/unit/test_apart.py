"""Whose turn it is where large messages are read."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from crdtsync import apart
from crdtsync.connection import READ_HERE_BYTES, Connection
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.protocol import update_frame
from crdtsync.store.memory import MemoryStore

from .engine import Client, join, quick, settle, until
from .wire import one

pytestmark = pytest.mark.anyio

LARGE = READ_HERE_BYTES + 1


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Reading:
    """Large messages that are being read, each until it is told to end; whose, in order."""

    def __init__(self) -> None:
        self.begun: list[Connection] = []
        self._ends: list[threading.Event] = []

    def read(self, connection: Connection, frame: bytes) -> Any:
        """Read one, on a thread."""
        end = threading.Event()
        self._ends.append(end)
        self.begun.append(connection)
        assert end.wait(20)
        return connection.read(frame)

    def end(self, place: int) -> None:
        """End one, by its place in the order in which they began."""
        self._ends[place].set()

    def release(self) -> None:
        """End all, those to come as well."""
        self.read = lambda connection, frame: connection.read(frame)  # type: ignore[method-assign]
        for each in self._ends:
            each.set()


@contextmanager
def watched() -> Iterator[Reading]:
    reading = Reading()
    with patch.object(apart, "_read", lambda *each: reading.read(*each)):
        try:
            yield reading
        finally:
            reading.release()


def paste(client: Client, number: int, size: int = LARGE) -> None:
    client.say(update_frame(one(number, 0, "x" * size)))


async def test_everybody_has_a_turn() -> None:
    """Of whoever has many large messages one is read before each other's."""
    async with Hub(MemoryStore(), limits=quick()) as hub:
        many = [await join(hub, f"d{n}", principal=Principal(id="ann")) for n in range(3)]
        other = await join(hub, "other", principal=Principal(id="ben"))
        with watched() as reading:
            for number, client in enumerate(many):
                paste(client, number)
                await settle()
            await until(lambda: reading.begun)
            paste(other, 7)
            await settle()
            assert reading.begun == [many[0].connection]
            for place in range(3):
                reading.end(place)
                await until(lambda place=place: len(reading.begun) == place + 2)
            asked = [many[0], many[1], other, many[2]]
            assert reading.begun == [client.connection for client in asked]
            await until(lambda: hub.rooms["other"].document.clocks == {7: LARGE})
        await until(lambda: hub.rooms["d2"].document.clocks)


async def test_what_takes_long_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """A very large message is read beside the others."""
    monkeypatch.setattr(apart, "LARGE_BYTES", 2 * LARGE)
    async with Hub(MemoryStore(), limits=quick()) as hub:
        huge, large = await join(hub, "huge"), await join(hub, "large")
        with watched() as reading:
            paste(huge, 1, 3 * LARGE)
            await until(lambda: reading.begun)
            paste(large, 2)
            await until(lambda: len(reading.begun) == 2)
            reading.end(1)
            await until(lambda: hub.rooms["large"].document.clocks)
            assert not hub.rooms["huge"].document.clocks
        await until(lambda: hub.rooms["huge"].document.clocks)


async def test_nothing_is_read_of_who_is_gone() -> None:
    """Its message is let go of at once, not when its turn comes."""
    async with Hub(MemoryStore(), limits=quick()) as hub:
        first, gone = await join(hub, "first"), await join(hub, "gone")
        with watched() as reading:
            paste(first, 1)
            await until(lambda: reading.begun)
            paste(gone, 2)
            await settle()
            assert gone.connection.large
            gone.connection.lost(1001)
            assert gone.connection.large is None
            reading.end(0)
            await until(lambda: hub.rooms["first"].document.clocks)
            await settle()
            assert reading.begun == [first.connection]
        assert not hub.rooms["gone"].document.clocks
