"""A thousand people join a document at once: how long until all of them are seen by all.

Run it with ``python -m benchmarks.channels presence``. The server is a process of its own, on
SQLite with fsync; the people are raw WebSocket connections of this one, each a principal of its
own, that decode nothing, but for one, who reads presence as a Yjs client does.
"""

import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pycrdt
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks import proc
from crdtsync import CallableAuthenticator, Config, ConnectRequest, Principal, run
from crdtsync.protocol import SyncStep2, SyncUpdate, decode_frame, step_1_frame

__all__ = ["main"]

PEOPLE: Final = 1_000
ROUNDS: Final = 7
AT_ONCE: Final = 200
"""Handshakes that this process has under way."""
TIMEOUT_S: Final = 60.0
SYNC: Final = 0


async def _anybody(request: ConnectRequest) -> Principal:
    return Principal(id=request.token, name=request.token.title())


class Somebody(WSListener):
    """A connection that takes note of when it was last sent something about the document."""

    def __init__(self) -> None:
        self.last_s = 0.0

    def on_ws_connected(self, transport: WSTransport) -> None:
        transport.send(WSMsgType.BINARY, step_1_frame(b"\x00"))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.BINARY and frame.get_payload_as_memoryview()[0] == SYNC:
            self.last_s = time.perf_counter()


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


@contextmanager
def _server(folder: Path) -> Iterator[tuple[int, str]]:
    """Run a server; yield its process's id and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.presence", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
            if found:
                break
        else:
            raise RuntimeError("the server does not start")
        yield process.pid, f"127.0.0.1:{found[1]}"
    finally:
        process.terminate()
        process.wait()


def _committed(address: str) -> int:
    with urllib.request.urlopen(f"http://{address}/metrics?token=metrics") as answer:
        text = answer.read().decode()
    found = re.search(r"^crdtsync_updates_committed_total ([0-9.e+]+)$", text, re.MULTILINE)
    assert found is not None, text
    return int(float(found[1]))


async def _join(url: str, somebody: Somebody) -> WSTransport:
    transport, _ = await ws_connect(lambda: somebody, url)
    return transport


class Round(NamedTuple):
    """What one round took."""

    connected_s: float
    settled_s: float
    server_cpu_s: float
    own_cpu_s: float
    updates: int


async def _round(number: int, pid: int, address: str) -> Round:
    """Let people join a new document."""
    url = f"ws://{address}/round-{number}"
    observer = Observer()
    transports = [await _join(f"{url}?token=observer", observer)]
    await observer.sees("online", 1)
    people = [Somebody() for _ in range(PEOPLE)]
    before, cpu_s = _committed(address), proc.cpu_s(pid)
    own_cpu_s = time.process_time()
    start_s = time.perf_counter()
    gate = asyncio.Semaphore(AT_ONCE)

    async def join(index: int) -> None:
        async with gate:
            transports.append(await _join(f"{url}?token=person-{index}", people[index]))

    await asyncio.gather(*map(join, range(PEOPLE)))
    joined_s = time.perf_counter() - start_s
    await observer.sees("online", PEOPLE + 1)
    await asyncio.sleep(1.0)
    settled_s = max(each.last_s for each in (observer, *people)) - start_s
    cpu_s = proc.cpu_s(pid) - cpu_s
    own_cpu_s = time.process_time() - own_cpu_s
    updates = _committed(address) - before
    for transport in transports[1:]:
        transport.disconnect()
    await observer.sees("offline", PEOPLE)
    transports[0].disconnect()
    return Round(joined_s, settled_s, cpu_s, own_cpu_s, updates)


async def _rounds() -> None:
    with tempfile.TemporaryDirectory() as folder, _server(Path(folder)) as (pid, address):
        done = [await _round(number, pid, address) for number in range(ROUNDS)]
    _print("connected", [each.connected_s for each in done])
    _print("settled", [each.settled_s for each in done])
    _print("settled after that", [each.settled_s - each.connected_s for each in done])
    _print("server's CPU", [each.server_cpu_s for each in done])
    _print("this process's CPU", [each.own_cpu_s for each in done])
    print("updates:", *(each.updates for each in done))
    print("ticks:", *(f"{each.settled_s / 0.5:.1f}" for each in done))


def _print(name: str, times: list[float]) -> None:
    print(f"{name}: p50 {statistics.median(times):.2f} s, most {max(times):.2f} s")


def main() -> None:
    """Print what rounds of joining took."""
    asyncio.run(_rounds())


if __name__ == "__main__":
    config = Config(
        host="127.0.0.1",
        port=0,
        store=f"sqlite:{sys.argv[1]}/store.db",
        durability="fsync",
        presence=("*",),
    )
    run(config, authenticator=CallableAuthenticator(_anybody), started=print)
