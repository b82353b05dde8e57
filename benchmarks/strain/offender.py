"""The offenders, in a process of their own: ``python -m benchmarks.strain.offender '{...}'``.

Says ``{"ready": true}`` on standard output once it is in place, starts at a line on standard
input, and reports at the next one what it did and what it got.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.clients import masked_frame
from benchmarks.strain import wire

_UPGRADE = (
    "GET /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_HELLO = masked_frame(b"\x00\x00\x01\x00")
_CLIENT = 2_000_000_000
_PER_ADDRESS = 10_000
_BURST_S = 0.002
Options = dict[str, Any]


async def line() -> None:
    """Wait for a line on standard input."""
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


def say(**facts: object) -> None:
    """Tell the parent."""
    print(json.dumps(facts), flush=True)


def raw_socket(port: int, path: str | None, *, number: int = 0, buffer: int = 0) -> socket.socket:
    """Return a WebSocket connection as a plain socket; one that never upgrades without a path."""
    sock = socket.socket()
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.bind((f"127.0.0.{2 + number // _PER_ADDRESS}", 0))
    sock.connect(("127.0.0.1", port))
    if path is None:
        return sock
    sock.sendall(_UPGRADE.format(path=path).encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            raise ConnectionError("no upgrade")
        head += byte
    return sock


def ending(data: bytes) -> str:
    """Return the close code and reason at the end of what a server sent."""
    for at in range(max(0, len(data) - 127), len(data) - 3):
        size = data[at + 1]
        if data[at] == 0x88 and 2 <= size == len(data) - at - 2:
            code = int.from_bytes(data[at + 2 : at + 4], "big")
            return f"{code} {data[at + 4 :].decode(errors='replace')}"
    return ""


def state_of(sock: socket.socket) -> str:
    """Read a socket to where there is nothing more; return how it ended, or "open"."""
    sock.setblocking(False)
    tail = b""
    try:
        while data := sock.recv(1 << 20):
            tail = (tail + data)[-200:]
    except BlockingIOError:
        return "open"
    except OSError:
        return ending(tail) or "reset"
    return ending(tail) or "closed"


def endings(socks: list[socket.socket]) -> dict[str, int]:
    """Count how sockets ended."""
    return dict(Counter(state_of(sock) for sock in socks))


async def stopped(port: int, options: Options) -> Options:
    """Join, then read nothing: what SIGSTOP adds is that nothing answers either."""
    socks = [raw_socket(port, options["path"], buffer=4096) for _ in range(options["clients"])]
    for sock in socks:
        sock.sendall(_HELLO)
    say(ready=True)
    await line()
    await line()
    return {"ends": endings(socks)}


async def trickle(port: int, options: Options) -> Options:
    """Read a byte a second on each connection."""
    socks = [raw_socket(port, options["path"], buffer=4096) for _ in range(options["clients"])]
    for sock in socks:
        sock.sendall(_HELLO)
        sock.setblocking(False)
    say(ready=True)
    await line()
    end = asyncio.ensure_future(line())
    while not end.done():
        for sock in socks:
            with contextlib.suppress(OSError):
                sock.recv(1)
        await asyncio.wait([end], timeout=1)
    return {"ends": endings(socks)}


async def silent(port: int, options: Options) -> Options:
    """Hold connections that never say a word, every tenth of them without an upgrade."""
    count = options["clients"]
    socks = []
    for number in range(count):
        path = None if number % 10 == 9 else f"silent-{number % 500}"
        socks.append(raw_socket(port, path, number=number))
    say(ready=True)
    await line()
    await line()
    return {"ends": endings(socks)}


def _flood_frames(kind: str) -> Iterator[bytes]:
    if kind == "updates":
        yield from wire.keystrokes(_CLIENT, 1 << 30)
    clock = 0
    fixed = wire.garbage(kind)
    while True:
        clock += 1
        yield wire.cursor(_CLIENT, clock) if kind == "awareness" else fixed


def _drain(sock: socket.socket, tail: bytes) -> bytes:
    with contextlib.suppress(BlockingIOError):
        while data := sock.recv(1 << 18):
            tail = (tail + data)[-200:]
    return tail


def _flood_once(
    port: int, options: Options, frames: Iterator[bytes], stop: Callable[[], bool]
) -> tuple[int, str]:
    """Send as fast as the rate allows and the server takes it, until either side ends it."""
    sock = raw_socket(port, options["path"])
    sock.sendall(_HELLO)
    sock.setblocking(False)
    rate = options["rate"]
    start, sent, rest, tail = time.perf_counter(), 0, b"", b""
    try:
        while not stop():
            due = int((time.perf_counter() - start) * rate) - sent
            if due > 0 and not rest:
                due = min(due, int(rate * _BURST_S * 2))
                rest = b"".join(next(frames) for _ in range(due))
                sent += due
            if rest:
                with contextlib.suppress(BlockingIOError):
                    rest = rest[sock.send(rest) :]
            tail = _drain(sock, tail)
            if ending(tail):
                break
            time.sleep(_BURST_S if rest or due <= 0 else 0)
    except OSError:
        with contextlib.suppress(OSError):
            tail = _drain(sock, tail)
        return sent, ending(tail) or "reset"
    finally:
        sock.close()
    return sent, ending(tail) or "open"


async def flood(port: int, options: Options) -> Options:
    """Send small messages at a rate; come back when closed, once a tenth of a second."""
    frames = _flood_frames(options["kind"])
    say(ready=True)
    await line()
    loop = asyncio.get_running_loop()
    end = asyncio.ensure_future(line())
    start, sent, ends = time.perf_counter(), 0, Counter[str]()
    while not end.done():
        count, how = await loop.run_in_executor(None, _flood_once, port, options, frames, end.done)
        sent += count
        ends[how] += 1
        if not end.done():
            await asyncio.sleep(0.1)
    return {"sent_per_s": sent / (time.perf_counter() - start), "ends": dict(ends)}


class _Guest(WSListener):
    """One connection that counts what it gets."""

    transport: WSTransport

    def __init__(self) -> None:
        self.frames = 0
        self.size = 0
        self.synced = asyncio.Event()
        self.end = ""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.size += frame.payload_size
        if frame.msg_type == WSMsgType.CLOSE:
            code, reason = frame.get_close_code(), frame.get_close_message()
            self.end = f"{code} {reason!r}"
            transport.disconnect()
            return
        self.frames += 1
        if not self.synced.is_set() and frame.payload_size >= 2:
            payload = frame.get_payload_as_memoryview()
            if payload[0] == 0 and payload[1] == 1:
                self.synced.set()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.end = self.end or "dropped"

    async def join(self, port: int, path: str) -> None:
        """Connect and ask for the document, for as long as it takes."""
        while True:
            try:
                self.transport, _ = await ws_connect(
                    lambda: self, f"ws://127.0.0.1:{port}/{path}", max_frame_size=1 << 28
                )
            except Exception:  # noqa: BLE001 - a server that restarts refuses in many ways
                await asyncio.sleep(0.05)
            else:
                self.transport.send(WSMsgType.BINARY, b"\x00\x00\x01\x00")
                return


async def cursors(port: int, options: Options) -> Options:
    """Move every client's cursor so many times a second, in one room."""
    guests = [_Guest() for _ in range(options["clients"])]
    for guest in guests:
        await guest.join(port, options["path"])
        await guest.synced.wait()
    say(ready=True)
    await line()
    end = asyncio.ensure_future(line())
    loop = asyncio.get_running_loop()
    pause_s = 1 / options["rate"]
    before = [(guest.frames, guest.size) for guest in guests]
    start, clock, moves = loop.time(), 0, 0
    while not end.done():
        clock += 1
        for number, guest in enumerate(guests):
            if number % 25 == 0:  # spread over the time of one move
                due = start + (clock + number / len(guests)) * pause_s
                await asyncio.sleep(max(0.0, due - loop.time()))
            if not guest.end:
                guest.transport.underlying_transport.write(wire.cursor(_CLIENT + number, clock))
                moves += 1
    seconds = loop.time() - start
    frames = sum(g.frames - was[0] for g, was in zip(guests, before, strict=True))
    size = sum(g.size - was[1] for g, was in zip(guests, before, strict=True))
    return {
        "moves_per_s": moves / seconds,
        "frames_per_client_s": frames / seconds / len(guests),
        "mb_per_s": size / seconds / 1e6,
        "ends": dict(Counter(guest.end or "open" for guest in guests)),
    }


async def herd(port: int, options: Options) -> Options:
    """Come back all at once, each to a document that has to be loaded."""
    guests = [_Guest() for _ in range(options["clients"])]
    say(ready=True)
    await line()
    start, took = time.perf_counter(), []

    async def come(number: int, guest: _Guest) -> None:
        await guest.join(port, f"herd-{number % options['documents']}")
        await guest.synced.wait()
        took.append(time.perf_counter() - start)

    await asyncio.gather(*(come(number, guest) for number, guest in enumerate(guests)))
    say(done=True)
    await line()
    took.sort()
    return {
        "half_s": took[len(took) // 2],
        "all_s": took[-1],
        "ends": dict(Counter(guest.end or "open" for guest in guests)),
    }


_KINDS: dict[str, Callable[[int, Options], Awaitable[Options]]] = {
    each.__name__: each for each in (stopped, trickle, silent, flood, cursors, herd)
}


async def _main(options: Options) -> None:
    say(**await _KINDS[options["offender"]](options["port"], options))


if __name__ == "__main__":
    os.nice(5)  # the innocents' clocks are read on the same core
    uvloop.run(_main(json.loads(sys.argv[1])))
