"""The clients of the giant document, in a process of their own, beside the innocents'.

Goes from one phase to the next at a line on standard input, and says how long each took. Run
as ``python -m benchmarks.strain.giant_clients '{"port": ..., "phases": [...]}'``.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.dialects import YWebsocket
from benchmarks.strain.offender import line, say
from benchmarks.strain.wire import GIANT_BYTES, GIANT_JOINERS, paragraphs, pastes

_PARAGRAPH_BYTES = 200
_EDITS = 100
_WRITER = 1_700_000_000
_NAME = "giant"
_TIMEOUT_S = 240.0
_STEP_S = 0.01
_SYNC = YWebsocket()


class _Client(WSListener):
    """One connection to the large document that counts what it gets."""

    transport: WSTransport

    def __init__(self) -> None:
        self.size = 0
        self.end = ""

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        transport.send(WSMsgType.BINARY, b"\x00\x00\x01\x00")

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self.end = f"{frame.get_close_code()} {frame.get_close_message()!r}"
            transport.disconnect()
            return
        self.size += frame.payload_size

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.end = self.end or "dropped"

    async def gets(self, size: int) -> None:
        """Wait until it has had so many bytes."""
        async with asyncio.timeout(_TIMEOUT_S):
            while self.size < size:
                if self.end:
                    raise ConnectionError(f"a client of the large document was closed: {self.end}")
                await asyncio.sleep(_STEP_S)


class _Clients:
    """All of them, and what they do in each phase."""

    def __init__(self, port: int) -> None:
        self._url = f"ws://127.0.0.1:{port}/{_NAME}"
        self._writer: _Client
        self._watcher: _Client

    async def _connect(self) -> _Client:
        client = _Client()
        await ws_connect(lambda: client, self._url, max_frame_size=1 << 30)
        return client

    async def bring(self) -> None:
        """Send the whole document as one update; until a reader has it."""
        state = paragraphs(_WRITER, GIANT_BYTES, _PARAGRAPH_BYTES)
        self._watcher, self._writer = await self._connect(), await self._connect()
        self._begin()
        self._writer.transport.send(WSMsgType.BINARY, _SYNC.update(_NAME, state))
        await self._watcher.gets(len(state))

    async def edit(self) -> None:
        """Type into it."""
        self._begin()
        before = self._watcher.size
        for update in pastes(_WRITER + 1, _EDITS, 10):
            self._writer.transport.send(WSMsgType.BINARY, _SYNC.update(_NAME, update))
            await asyncio.sleep(_STEP_S)
        await self._watcher.gets(before + _EDITS * 10)

    async def join(self) -> None:
        """Ask for it, all at once."""
        self._begin()
        clients = await asyncio.gather(*(self._connect() for _ in range(GIANT_JOINERS)))
        await asyncio.gather(*(each.gets(int(GIANT_BYTES * 0.95)) for each in clients))
        for each in clients:
            each.transport.disconnect()

    def _begin(self) -> None:
        self.started = time.perf_counter()


async def _main(port: int, phases: list[str]) -> None:
    clients = _Clients(port)
    say(ready=True)
    for phase in phases:
        await line()
        await {"bring": clients.bring, "edit": clients.edit}.get(phase, clients.join)()
        say(start=clients.started, seconds=time.perf_counter() - clients.started)
    await line()
    say(done=True)


if __name__ == "__main__":
    os.nice(5)  # the innocents' clocks are read on the same core
    options = json.loads(sys.argv[1])
    uvloop.run(_main(options["port"], options["phases"]))
