"""What takes long is done on a thread: all others go on meanwhile.

Owns what follows then, on the event loop: whoever waited for it goes on, and what goes wrong
there ends that one's connection alone.
"""

import logging
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import replace
from itertools import chain
from typing import Final

import anyio
import anyio.lowlevel
import anyio.to_thread

from crdtsync.connection import Connection
from crdtsync.dividing import divided, is_long
from crdtsync.errors import CloseCode, RemoteError
from crdtsync.examining import examined
from crdtsync.indexing import INDEX_HERE_BYTES, Making
from crdtsync.judge import Judge
from crdtsync.limits import trusting
from crdtsync.session import Event, PartsMissing, Portion, SoFar, UpdateReceived
from crdtsync.structs import Scan
from crdtsync.turns import Turns
from crdtsync.update import scan

__all__ = ["Threads", "divide_here", "make_index", "read_here"]

log = logging.getLogger("crdtsync")

LARGE_BYTES: Final = 4 * 1024 * 1024
"""A larger message waits for others of its kind, and no smaller one for it."""


def _read(connection: Connection, frame: bytes) -> list[Event] | RemoteError:
    found = connection.read(frame)
    if not isinstance(found, list):
        return found
    return [
        replace(event, scan=_examined(connection, event))
        if isinstance(event, UpdateReceived) and not _divisible(connection, event)
        else event
        for event in found
    ]


def _examined(connection: Connection, event: UpdateReceived) -> Scan:
    room = connection.room
    found = examined(event.update, event.scan, room.document, room.limits)
    if found.structs is None and room.detailed and not connection.free:  # its judge will want them
        found = scan(event.update, trusting(room.limits), structs=True)
    return found


def _divisible(connection: Connection, event: UpdateReceived) -> bool:
    """Return whether an update is not held if it lacks something, but divided, and asked for."""
    return is_long(event.scan) or (connection.free and len(event.scan.bodies) <= 1)


class Threads:
    """Where large messages are read: one at a time, and one beside it of those that take long."""

    def __init__(self) -> None:
        self._large, self._huge = Turns(1), Turns(1)

    async def read(self, connection: Connection) -> None:
        """Read a large frame of a connection; what came behind it is taken then."""
        with _lets_go(connection):
            async with self._turn(connection, len(connection.large or b"")):
                frame, connection.large = connection.large, None
                if frame is None:
                    return
                found = await anyio.to_thread.run_sync(_read, connection, frame)
            connection.was_read(found, frame)
        await _go_on(connection)

    async def divide(self, connection: Connection, event: UpdateReceived) -> None:
        """Cut a long update, for which its connection waits; let its portions in, and the rest."""
        with _lets_go(connection):
            async with self._turn(connection, len(event.update)):
                if connection.closed:
                    return
                events = await anyio.to_thread.run_sync(_divided, connection, event)
            _replace(connection, events)
        await _go_on(connection)

    def _turn(self, connection: Connection, size: int) -> AbstractAsyncContextManager[None]:
        turns = self._large if size <= LARGE_BYTES else self._huge
        return turns.turn(connection.principal.id or connection.caller.address)


def read_here(connection: Connection) -> None:
    """Read a large frame of a connection without a thread."""
    frame, connection.large = connection.large, None
    if frame is not None:
        connection.was_read(connection.read(frame), frame)


def divide_here(connection: Connection, event: UpdateReceived) -> None:
    """Do the same without a thread, and without turns for others."""
    _replace(connection, _divided(connection, event))
    while connection.gives_way:
        connection.was_read(connection.events)


def _replace(connection: Connection, events: Iterator[Event]) -> None:
    """Let a connection take these in place of the event that it waits with."""
    if not connection.closed:  # else what waited is dealt with
        next(connection.events)
        connection.was_read(chain(events, connection.events))


def _divided(connection: Connection, event: UpdateReceived) -> Iterator[Event]:
    document, limits = connection.room.document, connection.room.limits
    return _Portions(event, divided(event.update, event.scan, document, limits))


class _Portions:
    """A long update, as events."""

    def __init__(
        self, event: UpdateReceived, portions: Iterator[tuple[bytes, Scan] | None]
    ) -> None:
        self._event = event
        self._portions = portions
        self._so_far = SoFar()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        each = next(self._portions)
        if each is None:
            return PartsMissing()
        return Portion(*each, self._event.step_2, self._whole, self._so_far)

    def _whole(self) -> UpdateReceived:
        self._portions = iter(())
        return self._event


async def _go_on(connection: Connection) -> None:
    """Let the portions of a connection in, with turns for all others between them."""
    while connection.gives_way:
        await anyio.lowlevel.checkpoint()
        with _lets_go(connection):
            connection.was_read(connection.events)


async def make_index(judge: Judge, making: Making, limiter: anyio.CapacityLimiter) -> None:
    """Make a room's index of places; those who waited for it go on then."""
    try:
        while making.gathered_bytes > INDEX_HERE_BYTES and not making.over:
            await anyio.to_thread.run_sync(making.put, making.take(), limiter=limiter)
        judge.made(making)
    except Exception:
        log.exception("the places of a document can't be told")
        judge.failed(making)
    for connection in making.waiting:
        with _lets_go(connection):
            connection.was_read(connection.events)
        await anyio.lowlevel.checkpoint()
        await _go_on(connection)


@contextmanager
def _lets_go(connection: Connection) -> Iterator[None]:
    """Close a connection over whose messages something unforeseen happens."""
    try:
        yield
    except Exception:
        log.exception("a message could not be handled")
        connection.close(CloseCode.INTERNAL_ERROR, "the server failed to handle a message")
