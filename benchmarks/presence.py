"""A thousand people join a document at once: how long until all of them are seen by all.

Run it with ``python -m benchmarks.channels presence``. The server is a process of its own, on
SQLite with fsync; the people are raw WebSocket connections of this one, each a principal of its
own, that decode nothing, but for one, who reads presence as a Yjs client does. The same people
join in the same way where presence is off: what is more than that is what presence costs.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import pycrdt
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks import proc
from benchmarks.serving import Serving, serving
from crdtsync.protocol import SyncStep2, SyncUpdate, decode_frame, step_1_frame

__all__ = ["main"]

PEOPLE: Final = 1_000
ROUNDS: Final = 7
AT_ONCE: Final = 200
"""Handshakes that this process has under way."""
TIMEOUT_S: Final = 60.0
SYNC: Final = b"\x00"
STEP_1: Final = b"\x00\x00"


class Somebody(WSListener):
    """A connection that takes note of when it was first and last sent the document's content."""

    def __init__(self) -> None:
        self.first_s = 0.0
        self.last_s = 0.0

    def on_ws_connected(self, transport: WSTransport) -> None:
        transport.send(WSMsgType.BINARY, step_1_frame(b"\x00"))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.BINARY:
            return
        start = bytes(frame.get_payload_as_memoryview()[:2])
        if start[:1] == SYNC and start != STEP_1:
            self.last_s = time.perf_counter()
            self.first_s = self.first_s or self.last_s


class Observer(Somebody):
    """One that reads what it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.doc: pycrdt.Doc[Any] = pycrdt.Doc()
        self.people = self.doc.get("presence", type=pycrdt.Map)
        self.updates = 0
        self.changed = asyncio.Event()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        super().on_ws_frame(transport, frame)
        if frame.msg_type == WSMsgType.BINARY:
            for message in decode_frame(frame.get_payload_as_bytes()):
                if isinstance(message, SyncStep2 | SyncUpdate):
                    self.doc.apply_update(message.update)
                    self.updates += 1
                    self.changed.set()

    async def sees(self, status: str, count: int) -> None:
        """Wait until so many people have a status."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                self.changed.clear()
                people = self.people.to_py() or {}
                if sum(each["status"] == status for each in people.values()) == count:
                    return
                await self.changed.wait()


async def _join(url: str, somebody: Somebody) -> WSTransport:
    transport, _ = await ws_connect(lambda: somebody, url)
    return transport


class Round(NamedTuple):
    """What one round took."""

    connected_s: float
    synced_s: float
    settled_s: float
    server_cpu_s: float
    own_cpu_s: float
    updates: int


async def _round(number: int, server: Serving, *, presence: bool) -> Round:
    """Let people join a new document."""
    url = f"ws://{server.address}/round-{number}"
    observer = Observer()
    transports = [await _join(f"{url}?token=observer", observer)]
    if presence:
        await observer.sees("online", 1)
    people = [Somebody() for _ in range(PEOPLE)]
    before, cpu_s = server.committed(), proc.cpu_s(server.pid)
    own_cpu_s = time.process_time()
    start_s = time.perf_counter()
    gate = asyncio.Semaphore(AT_ONCE)

    async def join(index: int) -> None:
        async with gate:
            transports.append(await _join(f"{url}?token=person-{index}", people[index]))

    await asyncio.gather(*map(join, range(PEOPLE)))
    joined_s = time.perf_counter() - start_s
    if presence:
        await observer.sees("online", PEOPLE + 1)
    await asyncio.sleep(1.0)
    synced_s = max(each.first_s for each in people) - start_s
    settled_s = max(each.last_s for each in (observer, *people)) - start_s
    cpu_s = proc.cpu_s(server.pid) - cpu_s
    own_cpu_s = time.process_time() - own_cpu_s
    updates = server.committed() - before
    for transport in transports[1:]:
        transport.disconnect()
    if presence:
        await observer.sees("offline", PEOPLE)
    transports[0].disconnect()
    return Round(joined_s, synced_s, settled_s, cpu_s, own_cpu_s, updates)


async def _rounds(*, presence: bool) -> list[Round]:
    patterns = ["*"] if presence else []
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), presence=patterns) as server,
    ):
        return [await _round(number, server, presence=presence) for number in range(ROUNDS)]


async def _both() -> None:
    for presence in (True, False):
        done = await _rounds(presence=presence)
        print(f"presence {'on' if presence else 'off'}:")
        _print("connected", [each.connected_s for each in done])
        _print("all have had the document", [each.synced_s for each in done])
        if presence:
            _print("settled", [each.settled_s for each in done])
            _print("settled after that", [each.settled_s - each.synced_s for each in done])
            print("  updates:", *(each.updates for each in done))
            print("  ticks:", *(f"{each.settled_s / 0.5:.1f}" for each in done))
        _print("server's CPU", [each.server_cpu_s for each in done])
        _print("this process's CPU", [each.own_cpu_s for each in done])


def _print(name: str, times: list[float]) -> None:
    print(f"  {name}: p50 {statistics.median(times):.2f} s, most {max(times):.2f} s")


def main() -> None:
    """Print what rounds of joining took."""
    asyncio.run(_both())
