"""A chat of 100,000 messages: joining it, and from sending to seeing with a hundred people there.

Run it with ``python -m benchmarks.channels chat``. The server is a process of its own, on SQLite
with fsync, with chat and presence; it has one core and everybody else the other.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from benchmarks import proc
from benchmarks.chats import ROOM, Past, prepared
from benchmarks.crowd import saying
from benchmarks.edits import CACHE
from benchmarks.servers import PEERS, node
from benchmarks.serving import Serving, serving
from crdtsync.channels.archiving import SLACK
from crdtsync.client import connect

__all__ = ["main"]

PASTS: Final = (
    Past("months", 100_000, 180),
    Past("week", 100_000, 6.9, lasting=False),
)
LIVE: Final = 1_000
"""Messages that stay; half as many more may wait for their roll."""
JOINS: Final = 20
SERVER_CORE, LOAD_CORE = 0, 1


class Joins(NamedTuple):
    """What one kind of client's joins took, one after another."""

    took_ms: list[float]
    received_bytes: float
    server_ms: float
    """CPU of the server for one."""

    def show(self, name: str) -> str:
        """Return a row of the page's table."""
        first, *others = self.took_ms
        return (
            f"| {name} | {first:.0f} | {statistics.median(others):.0f} | {max(others):.0f} "
            f"| {self.server_ms:.1f} | {self.received_bytes / 1000:.0f} |"
        )


@contextmanager
def _server(past: Past) -> Iterator[Serving]:
    """Run a server that has just been started on a chat."""
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        folder = Path(name)
        prepared(past, folder)
        with serving(folder, core=SERVER_CORE, chat=["*"], presence=["*"]) as server:
            yield server


def _yjs(address: str) -> tuple[list[float], float]:
    """Join with Yjs and y-websocket in Node.js; return milliseconds of each, and bytes of one."""
    options = json.dumps({"url": f"ws://{address}", "room": ROOM, "joins": JOINS + 1, "live": LIVE})
    done = subprocess.run(
        [node(), "join.mjs", options], cwd=PEERS, check=True, stdout=subprocess.PIPE, text=True
    )
    found = json.loads(done.stdout)
    _check(found["live"])
    return found["took"], found["bytes"]


async def _python(address: str) -> list[float]:
    """Join with this project's client; return milliseconds of each."""
    took: list[float] = []
    for number in range(JOINS + 1):
        start_s = time.perf_counter()
        url = f"ws://{address}/{quote(ROOM)}"
        async with connect(url, token=f"python-{number}") as document:
            await document.synced()
            messages = document.chat.messages(limit=2 * LIVE)
            took.append(1000 * (time.perf_counter() - start_s))
            _check(len(messages))
    return took


def _check(messages: int) -> None:
    if not LIVE <= messages <= LIVE * SLACK:
        raise RuntimeError(f"{messages} messages can be read")


def _joins(past: Past) -> Iterator[tuple[str, Joins]]:
    with _server(past) as server:
        before_s = proc.cpu_s(server.pid)
        took, received = _yjs(server.address)
        cpu_ms = 1000 * (proc.cpu_s(server.pid) - before_s) / len(took)
        yield "Yjs, y-websocket, Node.js", Joins(took, received, cpu_ms)
    with _server(past) as server:
        before_s = proc.cpu_s(server.pid)
        took = asyncio.run(_python(server.address))
        cpu_ms = 1000 * (proc.cpu_s(server.pid) - before_s) / len(took)
        yield "`crdtsync.client`, pycrdt", Joins(took, received, cpu_ms)


def join() -> None:
    """Print what joining takes."""
    head = "| messages | client | first ms | p50 ms | most ms | server CPU ms | kB |"
    print(f"{head}\n| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for past in PASTS:
        when = f"{past.messages:,} in {past.days:g} days"
        for name, joins in _joins(past):
            print(f"| {when} {joins.show(name)}", flush=True)


def see() -> None:
    """Print how long messages take to everybody in the room."""
    past = PASTS[0]
    with _server(past) as server:
        waits = asyncio.run(saying(server, ROOM))
    print("| said | messages | p50 ms | p99 ms | most ms | server CPU % |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for way, wait in waits.items():
        print(f"| {way} | {wait.show()} |")


def main() -> None:
    """Print the tables of docs/benchmarks.md."""
    os.sched_setaffinity(0, {LOAD_CORE})
    for part in sys.argv[2:] or ["join", "see"]:
        {"join": join, "see": see}[part]()
