"""A client that does not read: what waits for it stays small, and it catches up or goes."""

import socket
from collections.abc import Iterator
from dataclasses import replace

import anyio
import pycrdt
import pytest
from websockets.sync.client import connect

from crdtsync.gate import Principal
from crdtsync.limits import Limits
from crdtsync.protocol import step_1_frame
from crdtsync.server import websocket
from crdtsync.server.websocket import MAX_OUTBOX_BYTES, WebSocketLink

from .harness import SERVERS, TIMEOUT_S, Client, Server, running

LIMITS = Limits(max_backlog_log_bytes=64 * 1024, max_frame_bytes=64 * 1024)
IMPATIENT = replace(LIMITS, max_lag_s=0.3, housekeeping_interval_s=0.05)
CHUNK = "x" * 30_000


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param, limits=LIMITS) as server:
        yield server


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> list[WebSocketLink]:
    """Every link that is made, in order."""
    made: list[WebSocketLink] = []

    class Recorded(WebSocketLink):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)  # type: ignore[arg-type]
            made.append(self)

    monkeypatch.setattr(websocket, "WebSocketLink", Recorded)
    return made


def deaf(server: Server, name: str) -> socket.socket:
    """Open a WebSocket by hand, with a small receive buffer, that reads no further by itself."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(TIMEOUT_S)
    raw.connect(("127.0.0.1", server.port))
    raw.sendall(
        f"GET /{name} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += raw.recv(1)
    return raw


async def flood(server: Server, name: str, links: list[WebSocketLink], chunks: int) -> int:
    """Edit the document again and again; return the most that ever waited in an outbox."""
    doc: pycrdt.Doc[object] = pycrdt.Doc()
    text = doc.get("text", type=pycrdt.Text)
    worst = 0
    for _ in range(chunks):
        before = doc.get_state()
        text += CHUNK
        await server.hub.edit(name, doc.get_update(before), Principal())
        worst = max(worst, *(link.outbox_bytes for link in links))
    return worst


@pytest.mark.parametrize("kind", SERVERS)
def test_little_waits_for_a_client_that_does_not_read(
    kind: str, links: list[WebSocketLink]
) -> None:
    """However much is written, a deaf client's outbox stays at its limit; then it is dropped."""
    with running(kind, limits=IMPATIENT) as server, deaf(server, "deaf"):
        worst = server.call(flood, server, "deaf", links, 300)
        assert MAX_OUTBOX_BYTES < worst < MAX_OUTBOX_BYTES + 2 * len(CHUNK)
        server.call(_gone, server, "deaf")
        assert server.hub.stats.rejected["lagging"] == 1


async def _gone(server: Server, name: str) -> None:
    with anyio.fail_after(TIMEOUT_S):
        while server.hub.rooms[name].connections:  # noqa: ASYNC110 - there is no event for this
            await anyio.sleep(0.01)


def test_a_slow_client_catches_up(server: Server, links: list[WebSocketLink]) -> None:
    """A client that reads again gets everything, in fewer messages than there were edits."""
    chunks = 100
    with Client(server.url("slow"), max_queue=1).sync() as client:
        worst = server.call(flood, server, "slow", links, chunks)
        assert worst < MAX_OUTBOX_BYTES + 2 * len(CHUNK)
        client.receive_until(lambda: len(client.text) == chunks * len(CHUNK))


def test_one_slow_client_holds_up_nobody(server: Server, links: list[WebSocketLink]) -> None:
    """Beside a deaf client the others get every edit as it comes."""
    with deaf(server, "beside"), Client(server.url("beside")).sync() as client:
        future = server.portal.start_task_soon(flood, server, "beside", links, 100)
        client.receive_until(lambda: len(client.text) == 100 * len(CHUNK))
        future.result(TIMEOUT_S)


def test_asking_without_reading(server: Server, links: list[WebSocketLink]) -> None:
    """A client that asks for the document over and over, and reads nothing, piles nothing up."""
    size = 200_000

    async def fill() -> None:
        doc: pycrdt.Doc[object] = pycrdt.Doc()
        doc["text"] = pycrdt.Text("x" * size)
        await server.hub.edit("asked", doc.get_update(), Principal())

    server.call(fill)
    with connect(server.url("asked"), proxy=None, max_queue=1, compression=None) as ws:
        for _ in range(300):
            ws.send(step_1_frame(b"\x00"))
        worst = server.call(_most_waiting, links)
        ws.socket.shutdown(socket.SHUT_RDWR)
    assert worst < 4 * 1024 * 1024


async def _most_waiting(links: list[WebSocketLink]) -> int:
    """Watch the outboxes until no more is asked for; return the most that waited."""
    worst = 0
    for _ in range(50):
        await anyio.sleep(0.01)
        worst = max(worst, *(link.outbox_bytes for link in links))
    return worst
