"""A hundred people in one room: somebody says something, and how long until each of them has it.

Everybody is a raw WebSocket connection of this process, and a principal of its own. A message has
its number in its text, by which it is recognised in whatever frame it comes: one that came alone,
one that several were merged into, or the answer to a request.
"""

import asyncio
import json
import random
import re
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import pycrdt
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks import proc
from benchmarks.load import resting_collector
from benchmarks.serving import Serving
from crdtsync.channels.model import Message, message_id
from crdtsync.channels.names import CHAT
from crdtsync.protocol import step_1_frame, update_frame

__all__ = ["Wait", "saying"]

PEOPLE: Final = 100
EVERY_S: Final = 0.05
SECONDS: Final = 15.0
TIMEOUT_S: Final = 10.0
FIRST_CLIENT: Final = 3_000_000_000
Way = Callable[[int, int, str], Awaitable[None]]
"""Lets a person say a message of a number, by its text."""
_NUMBER: Final = re.compile(rb"number (\d+)\.")


class Wait(NamedTuple):
    """How long messages took to everybody, in milliseconds."""

    messages: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    server_per_cent: float

    @classmethod
    def of(cls, times: Sequence[Sequence[float]], server_per_cent: float) -> "Wait":
        """Sum up seconds, by message."""
        cuts = statistics.quantiles([each for own in times for each in own], n=100)
        most = max(map(max, times))
        return cls(len(times), 1e3 * cuts[49], 1e3 * cuts[98], 1e3 * most, server_per_cent)

    def show(self) -> str:
        """Return the cells of the page's table."""
        waits = " | ".join(f"{each:.1f}" for each in self[1:4])
        return f"{self.messages:,} | {waits} | {self.server_per_cent:.0f}"


class Numbers:
    """What has arrived: by frame, for most of them come to everybody the same."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[int, ...]] = {}

    def of(self, frame: bytes) -> tuple[int, ...]:
        """Return the numbers of the messages in a frame."""
        found = self._known.get(frame)
        if found is None:
            found = tuple(int(each) for each in _NUMBER.findall(frame))
            self._known[frame] = found
        return found


class Somebody(WSListener):
    """One of the people: takes note of when each message came."""

    transport: WSTransport

    def __init__(self, numbers: Numbers) -> None:
        self.came: dict[int, float] = {}
        self.said: set[int] = set()
        """What this one has written itself, which the server does not send back."""
        self.closed = ""
        self._numbers = numbers
        self._missing: set[int] = set()
        self._complete = asyncio.Event()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        transport.send(WSMsgType.BINARY, step_1_frame(b"\x00"))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self.closed = f"{frame.get_close_code()} {frame.get_close_message()!r}"
            transport.disconnect()
            return
        now_s = time.perf_counter()
        for number in self._numbers.of(frame.get_payload_as_bytes()):
            self.came.setdefault(number, now_s)
            self._missing.discard(number)
        if not self._missing:
            self._complete.set()

    async def has(self, numbers: range) -> None:
        """Wait until messages have come."""
        self._missing = set(numbers) - self.came.keys() - self.said
        self._complete.clear()
        if self._missing:
            await self._complete.wait()


class _Crowd:
    """Everybody in the room, and who says what when."""

    def __init__(self, server: Serving, room: str) -> None:
        self._server = server
        self._room = room
        numbers = Numbers()
        self.people = [Somebody(numbers) for _ in range(PEOPLE)]
        self._sent: dict[int, float] = {}
        self._next = 0
        self._dice = random.Random(3)

    async def come(self) -> None:
        for index, each in enumerate(self.people):
            url = f"ws://{self._server.address}/{quote(self._room)}?token=person-{index}"
            await ws_connect(lambda each=each: each, url)
        await asyncio.sleep(2.0)

    def go(self) -> None:
        for each in self.people:
            each.transport.disconnect()

    async def say(self, way: Way, seconds: float) -> Wait:
        """Let somebody say something every 50 ms; return how long it took to everybody."""
        numbers = range(self._next, self._next + int(seconds / EVERY_S))
        self._next = numbers.stop
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[None]] = []
        cpu_s, begun_s = proc.cpu_s(self._server.pid), time.perf_counter()
        due_s = loop.time()
        async with resting_collector():
            for number in numbers:
                await asyncio.sleep(due_s - loop.time())
                due_s += EVERY_S
                person = self._dice.randrange(PEOPLE)
                tasks.append(asyncio.create_task(self._one(way, person, number)))
            async with asyncio.timeout(TIMEOUT_S):
                await asyncio.gather(*tasks)
                await asyncio.gather(*(each.has(numbers) for each in self.people))
        took_s = time.perf_counter() - begun_s
        cpu_s = proc.cpu_s(self._server.pid) - cpu_s
        problems = {each.closed for each in self.people if each.closed}
        if problems:
            raise RuntimeError(f"the server closed connections: {problems}")
        times = [
            [each.came[n] - self._sent[n] for each in self.people if n not in each.said]
            for n in numbers
        ]
        return Wait.of(times, 100 * cpu_s / took_s)

    async def _one(self, way: Way, person: int, number: int) -> None:
        self._sent[number] = time.perf_counter()
        await way(person, number, f"This is message number {number}.")


class _Voice:
    """One person's editor."""

    def __init__(self, index: int) -> None:
        self._author = f"person-{index}"
        self._doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=FIRST_CLIENT + index)
        self._said = self._doc.get(CHAT, type=pycrdt.Map)
        self._subscription = self._doc.observe(self._note)
        self._update = b""

    def _note(self, event: pycrdt.TransactionEvent) -> None:
        self._update = event.update

    def frame(self, text: str) -> bytes:
        """Say something; return what goes to the server."""
        now_ms = time.time_ns() // 1_000_000
        message = Message(id=message_id(now_ms), author=self._author, text=text, time_ms=now_ms)
        self._said[message.id] = message.value()
        return update_frame(self._update)


class _Posting:
    """Says things over HTTP, on connections that are kept as long as the server keeps them."""

    def __init__(self, address: str, room: str) -> None:
        self._host, _, self._port = address.partition(":")
        self._room = quote(room, safe="")
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def say(self, person: int, _: int, text: str) -> None:
        """Say something; return when the server has answered."""
        body = json.dumps({"text": text}).encode()
        head = (
            f"POST /api/v1/chat/messages?document={self._room} HTTP/1.1\r\n"
            f"Host: {self._host}\r\nAuthorization: Bearer person-{person}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        while True:
            kept = bool(self._free)
            connection = self._free.pop() if kept else await self._open()
            try:
                answer = await _asked(*connection, head.encode() + body)
            except asyncio.IncompleteReadError:  # closed meanwhile
                connection[1].close()
                if not kept:
                    raise
                continue
            break
        self._free.append(connection)
        if not answer.startswith("HTTP/1.1 201 "):
            raise RuntimeError(f"refused: {answer}")

    def close(self) -> None:
        """Close the connections."""
        for _, writer in self._free:
            writer.close()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port)


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> str:
    """Send a request; return the answer's head when its body has come, too."""
    writer.write(data)
    answer = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = re.search(r"content-length: (\d+)", answer, re.IGNORECASE)
    await reader.readexactly(int(length[1]) if length else 0)
    return answer


async def saying(server: Serving, room: str) -> dict[str, Wait]:
    """Let people come to a room and talk, each of the ways in turn; by way, how long it took."""
    crowd = _Crowd(server, room)
    await crowd.come()
    voices = [_Voice(index) for index in range(PEOPLE)]
    posting = _Posting(server.address, room)

    async def write(person: int, number: int, text: str) -> None:
        crowd.people[person].said.add(number)
        crowd.people[person].transport.send(WSMsgType.BINARY, voices[person].frame(text))

    waits = {"the first since the start": await crowd.say(write, EVERY_S)}
    waits["in the document"] = await crowd.say(write, SECONDS)
    waits["`POST /api/v1/chat/messages`"] = await crowd.say(posting.say, SECONDS)
    posting.close()
    crowd.go()
    return waits
