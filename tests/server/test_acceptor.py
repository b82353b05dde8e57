"""Taking connections, as long as there are descriptors for them."""

import asyncio
import errno
import logging
import os
import select
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import anyio.lowlevel
import httpx
import pytest

from crdtsync.server import acceptor, descriptors
from crdtsync.server.acceptor import Acceptor, accepting
from crdtsync.stats import Stats
from tests.cli.running import server
from tests.processes import environment

UPGRADE = (
    b"GET /document HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
OPENED = b"HTTP/1.1 101 "
TEXT = {"roots": {"text": {"kind": "text", "delta": [{"insert": "here"}]}}}


@pytest.fixture(params=["asyncio", pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Return whose connections are taken: accepting is for asyncio's loops."""
    return request.param


class Greeter(asyncio.Protocol):
    """Says hello, and keeps the connection."""

    made = 0
    expected = 0
    all_came: asyncio.Event

    def connection_made(self, transport: Any) -> None:
        transport.write(b"hello")
        Greeter.made += 1
        if Greeter.made == Greeter.expected:
            Greeter.all_came.set()


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=200) as bound:
        bound.setblocking(False)
        yield bound


@pytest.fixture(autouse=True)
def nobody_came() -> None:
    Greeter.made = Greeter.expected = 0


def dial(address: tuple[str, int], first: bytes = b"") -> socket.socket:
    made = socket.create_connection(address, timeout=10)
    if first:
        made.sendall(first)
    return made


def test_reserved_descriptors(tmp_path: Path) -> None:
    """Who comes when clients have all of theirs is told so; the store goes on working."""
    args = ("--port", "0", "--reserved-descriptors", "80")
    with ExitStack() as stack:
        running = stack.enter_context(server(tmp_path, *args, files=170))
        port = int(running.wait_for(r"127\.0\.0\.1:(\d+)")[1])
        note = running.wait_for(r"^note: the limit of open files has room for some (\d+) clients")
        assert note[1] == "90"
        http = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}"))
        assert http.get("/health/ready").status_code == 200
        clients: list[socket.socket] = []
        answer = OPENED
        while answer.startswith(OPENED):
            clients.append(stack.enter_context(dial(("127.0.0.1", port), UPGRADE)))
            answer = clients[-1].recv(4096)
            assert len(clients) <= 90
        assert len(clients) > 10
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: " in answer
        assert answer.endswith(b"the server has too many connections\n")
        written = http.put("/api/v1/documents/kept", json=TEXT)
        assert written.status_code == 201, written.text
        assert http.get("/health/ready").status_code == 200
        metrics = http.get("/metrics").text
        assert 'crdtsync_rejected_total{reason="out-of-descriptors"} 1.0' in metrics
        clients[0].close()
        deadline = time.monotonic() + 10
        answer = b""
        while not answer.startswith(OPENED):
            assert time.monotonic() < deadline, answer
            answer = stack.enter_context(dial(("127.0.0.1", port), UPGRADE)).recv(4096)
        _, _, err = running.stop()
    assert err.count("descriptors for clients are taken: no more are let in") == 1, err


def test_without_any_descriptor_clients_wait_until_there_is_one(tmp_path: Path) -> None:
    """What the system can't give now is asked for again, and everybody gets in at last."""
    args = ("--port", "0", "--reserved-descriptors", "0")
    with server(tmp_path, *args, files=80) as running, ExitStack() as stack:
        port = int(running.wait_for(r"127\.0\.0\.1:(\d+)")[1])
        waiting = [stack.enter_context(dial(("127.0.0.1", port), UPGRADE)) for _ in range(100)]
        deadline = time.monotonic() + 20
        while waiting:
            assert time.monotonic() < deadline, f"{len(waiting)} clients wait still"
            answered, _, _ = select.select(waiting, [], [], 1)
            for client in answered:
                assert client.recv(4096).startswith(OPENED)
                client.close()
                waiting.remove(client)
        _, _, err = running.stop()
    assert err.count("new clients have to wait: Too many open files") == 1, err


def limits_after(*calls: str) -> str:
    """Return what calls print in a process of its own."""
    lines = ["import resource", "from crdtsync.server.descriptors import *"]
    program = "\n".join([*lines, *calls])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout


def test_a_process_gets_as_many_descriptors_as_it_wants_and_may_have() -> None:
    limit = "resource.RLIMIT_NOFILE"
    show = f"print(resource.getrlimit({limit})[0])"
    found = limits_after(
        f"resource.setrlimit({limit}, (100, 300))",
        *("raise_descriptor_limit(50)", show),
        *("raise_descriptor_limit(200)", show),
        *("raise_descriptor_limit(1000)", show),
        "print(client_descriptors(0), client_descriptors(100), client_descriptors(280))",
    )
    assert found.split() == ["100", "200", "300", "300", "200", "150"]


def test_a_limit_that_the_system_does_not_tell_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS, where a process may not have what it is said that it may."""
    tried: list[int] = []

    def at_most_300(_kind: int, limits: tuple[int, int]) -> None:
        tried.append(limits[0])
        if limits[0] > 300:
            raise ValueError("not allowed to raise maximum limit")

    infinite = descriptors.resource.RLIM_INFINITY
    monkeypatch.setattr(descriptors.resource, "getrlimit", lambda _: (100, infinite))
    monkeypatch.setattr(descriptors.resource, "setrlimit", at_most_300)
    descriptors.raise_descriptor_limit(1000)
    assert tried == [1000, 500, 250]
    monkeypatch.setattr(descriptors.resource, "getrlimit", lambda _: (600, infinite))
    tried.clear()
    descriptors.raise_descriptor_limit(1000)
    assert tried == [1000]  # what there is already is not made less


def test_no_limit_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    infinite = descriptors.resource.RLIM_INFINITY
    monkeypatch.setattr(descriptors.resource, "getrlimit", lambda _: (infinite, infinite))
    assert descriptors.client_descriptors(128) == descriptors.UNLIMITED
    descriptors.raise_descriptor_limit(1_000_000)


@pytest.mark.anyio
async def test_a_turn_takes_some_of_those_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many have come, others have their turn in between; in the end all are taken."""
    taken: list[int] = []

    class Counting(Acceptor):
        def _ready(self, listening: socket.socket) -> None:
            before = len(self._tasks)
            super()._ready(listening)
            taken.append(len(self._tasks) - before)

    monkeypatch.setattr(acceptor, "Acceptor", Counting)
    monkeypatch.setattr(acceptor, "ACCEPTS_PER_TURN", 64)
    with listening() as bound, ExitStack() as stack:
        clients = [stack.enter_context(dial(bound.getsockname())) for _ in range(150)]
        Greeter.expected, Greeter.all_came = len(clients), asyncio.Event()
        (made,) = await accepting([bound], Greeter, tls=None, reserved=0, stats=Stats())
        async with asyncio.timeout(10):
            await Greeter.all_came.wait()
        made.close()
    assert max(taken) == 64
    assert sum(taken) == 150


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.anyio
async def test_who_is_turned_away_costs_nothing_more(
    tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TLS nothing can be said ahead of a handshake: the connection is closed."""
    monkeypatch.setattr(acceptor, "client_descriptors", lambda _: 0)
    stats = Stats()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
    with listening() as bound:
        (made,) = await accepting([bound], Greeter, tls=context, reserved=0, stats=stats)
        reader, writer = await asyncio.open_connection(*bound.getsockname())
        async with asyncio.timeout(10):
            said = await reader.read()
        writer.close()
        made.close()
    assert said.startswith(b"HTTP/1.1 503 ") if not tls else said == b""
    assert stats.rejected == {"out-of-descriptors": 1}
    assert Greeter.made == 0


@pytest.mark.anyio
async def test_a_limit_that_is_raised_meanwhile_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is looked up again before anybody is turned away."""
    found = iter([0])
    monkeypatch.setattr(acceptor, "client_descriptors", lambda _: next(found, 1 << 20))
    stats = Stats()
    with listening() as bound:
        (made,) = await accepting([bound], Greeter, tls=None, reserved=0, stats=stats)
        reader, writer = await asyncio.open_connection(*bound.getsockname())
        async with asyncio.timeout(10):
            assert await reader.readexactly(5) == b"hello"
        writer.close()
        made.close()
    assert not stats.rejected


@pytest.mark.anyio
async def test_a_handshake_that_fails_is_its_clients_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # without a certificate: none succeeds
    with listening() as bound:
        (made,) = await accepting([bound], Greeter, tls=context, reserved=0, stats=Stats())
        for _ in range(2):
            reader, writer = await asyncio.open_connection(*bound.getsockname())
            writer.write(b"this is no handshake\r\n\r\n")
            async with asyncio.timeout(10):
                await reader.read()
            writer.close()
        made.close()
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert Greeter.made == 0


@pytest.mark.anyio
async def test_a_listening_socket_that_fails_is_not_asked_without_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = 0

    class Counting(Acceptor):
        def _ready(self, listening: socket.socket) -> None:
            nonlocal asked
            asked += 1
            super()._ready(listening)

    with listening() as bound:
        made = Counting([bound], Greeter, tls=None, reserved=0, stats=Stats())
        bound.shutdown(socket.SHUT_RDWR)  # accept() says EINVAL from now on, without waiting
        async with asyncio.timeout(10):
            while not caplog.records:
                await anyio.lowlevel.checkpoint()
        for _ in range(1000):
            await anyio.lowlevel.checkpoint()
        made.close()
    assert asked == 1
    (told,) = caplog.messages
    assert told.startswith("new clients have to wait: Invalid argument")
    assert "its listening socket is broken" in told


@pytest.mark.parametrize(
    "number",
    [
        *(errno.EPERM, errno.EPROTO, errno.ETIMEDOUT, errno.ENOPROTOOPT, errno.EOPNOTSUPP),
        *(errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH),
        *(errno.ECONNABORTED, errno.ECONNRESET),
    ],
)
@pytest.mark.anyio
async def test_a_connection_that_came_to_nothing_holds_up_nobody(
    caplog: pytest.LogCaptureFixture, number: int
) -> None:
    """Where accept tells of one connection's end, the next one is taken in the same turn."""

    class Listening(socket.socket):
        accepts = 0

        def accept(self) -> Any:
            Listening.accepts += 1
            if Listening.accepts == 1:
                raise OSError(number, "this one is gone")
            return super().accept()

    with listening() as bound, Listening(fileno=os.dup(bound.fileno())) as failing:
        failing.setblocking(False)
        Greeter.expected, Greeter.all_came = 1, asyncio.Event()
        made = Acceptor([failing], Greeter, tls=None, reserved=0, stats=Stats())
        with dial(bound.getsockname()):
            async with asyncio.timeout(10):
                await Greeter.all_came.wait()
        made.close()
    assert Greeter.made == 1
    assert not caplog.records


@pytest.mark.anyio
async def test_a_handshake_ends_with_the_server() -> None:
    """Nobody is left who may still come in when all others are gone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with listening() as bound:
        (made,) = await accepting([bound], Greeter, tls=context, reserved=0, stats=Stats())
        assert isinstance(made, Acceptor)
        reader, writer = await asyncio.open_connection(*bound.getsockname())
        async with asyncio.timeout(10):
            while not made._tasks:  # it has been accepted when there is one
                await anyio.lowlevel.checkpoint()
            made.close()
            assert await reader.read() == b""
        writer.close()
        assert not made._tasks


@pytest.mark.anyio
async def test_a_loop_that_waits_for_no_sockets_accepts_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such as Windows' own."""

    def refuse(*_: object, **_named: object) -> None:
        raise NotImplementedError

    with listening() as bound, monkeypatch.context() as patched:
        patched.setattr(acceptor.Acceptor, "__init__", refuse)
        (made,) = await accepting([bound], Greeter, tls=None, reserved=0, stats=Stats())
        assert not isinstance(made, Acceptor)
        reader, writer = await asyncio.open_connection(*bound.getsockname())
        async with asyncio.timeout(10):
            assert await reader.readexactly(5) == b"hello"
        writer.close()
        made.close()
