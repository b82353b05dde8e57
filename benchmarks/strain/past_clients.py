"""Clients that ask for a document's past over HTTP, in a process of their own.

Says what an offender says (see ``benchmarks.strain.offender``). Run as
``python -m benchmarks.strain.past_clients '{"port": ..., "document": ..., "work": ...}'``.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode

from benchmarks.strain.offender import line, say

_TIMEOUT_S = 60.0
_API = "/api/v1"


class _Client(HTTPConnection):
    """One connection; who asks waits for the answer."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port, timeout=_TIMEOUT_S)

    def get(self, path: str, **query: object) -> bytes:
        """Return an answer's body."""
        return self._ask("GET", f"{_API}{path}?{urlencode(query)}", None)

    def post(self, path: str, **fields: object) -> bytes:
        """Return an answer's body."""
        return self._ask("POST", f"{_API}{path}", json.dumps(fields))

    def _ask(self, method: str, path: str, body: str | None) -> bytes:
        self.request(method, path, body, {"Content-Type": "application/json"})
        answer = self.getresponse()
        found = answer.read()
        if answer.status != 200:
            raise ConnectionError(f"{path}: {answer.status} {found[:200]!r}")
        return found


class _Work:
    """What clients do until they are told to stop, and how long each thing took them."""

    def __init__(self, port: int, document: str) -> None:
        self._port = port
        self._document = document
        self.stop = threading.Event()
        self._took: defaultdict[str, list[float]] = defaultdict(list)
        found = json.loads(_Client(port).get("/versions", document=document, limit=1_000))
        self._versions = [f"v{each['id']}" for each in found["versions"]]

    def read(self, number: int) -> None:
        """Open, compare and blame random versions, one after another."""
        client, dice = _Client(self._port), random.Random(number)
        name = self._document
        for kind in itertools.cycle(("content", "diff", "blame")):
            if self.stop.is_set():
                return
            one, other = dice.choice(self._versions), dice.choice(self._versions)
            query = {"from": one, "to": other} if kind == "diff" else {"at": one}
            with self._timed(kind):
                client.get(f"/history/{kind}", document=name, **query)

    def restore(self, number: int) -> None:
        """Restore random versions, one after another."""
        client, dice = _Client(self._port), random.Random(number)
        while not self.stop.is_set():
            with self._timed("restore"):
                client.post(
                    "/history/restore", document=self._document, at=dice.choice(self._versions)
                )

    def facts(self) -> dict[str, Any]:
        """Return how often and how fast each thing was done."""
        return {
            kind: {"count": len(took), "median_ms": statistics.median(took) * 1000}
            for kind, took in self._took.items()
        }

    @contextlib.contextmanager
    def _timed(self, kind: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._took[kind].append(time.perf_counter() - start)


async def _main(port: int, document: str, work: str, clients: int) -> None:
    done = _Work(port, document)
    call = {"read": done.read, "restore": done.restore}[work]
    say(ready=True)
    await line()
    working = [asyncio.create_task(asyncio.to_thread(call, each)) for each in range(clients)]
    await line()
    done.stop.set()
    await asyncio.gather(*working)
    say(**done.facts())


if __name__ == "__main__":
    os.nice(5)  # the innocents' clocks are read on the same core
    asyncio.run(_main(**json.loads(sys.argv[1])))
