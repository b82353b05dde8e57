"""Frames of every size reach a reader intact, however slowly it reads."""

import random
import socket
from typing import Any

import anyio
import pytest
from pycrdt import Doc, Map, create_sync_message, handle_sync_message
from websockets.asyncio.client import ClientConnection, connect

from crdtsync.protocol import SyncStep2, SyncUpdate, decode_frame, update_frame

from .harness import Server

pytestmark = pytest.mark.anyio

TIMEOUT_S = 30.0
SIZES = (1, 100, 8_000, 9_000, 70_000, 400_000)
"""Around what transports and WebSocket headers treat differently: 125, 8192, 65535 bytes."""


@pytest.fixture
def anyio_backend() -> str:
    """The websockets package is for asyncio."""
    return "asyncio"


def narrow(server: Server) -> socket.socket:
    """Return a socket that holds little, so that what is not read stays with the server."""
    connected = socket.socket()
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    connected.connect((server.host, server.port))
    connected.setblocking(False)
    return connected


def values(seed: int, count: int) -> dict[str, str]:
    """Return values of mixed sizes, no two alike."""
    mixed = random.Random(seed)
    return {f"{seed}-{n}": f"{n:03d} " * (mixed.choice(SIZES) // 4 + n) for n in range(count)}


async def write(socket: ClientConnection, doc: Doc[Any], wanted: dict[str, str]) -> None:
    """Set each value in an update of its own."""
    for key, value in wanted.items():
        before = doc.get_state()
        doc.get("map", type=Map)[key] = value
        await socket.send(update_frame(doc.get_update(before)))


async def read_until(socket: ClientConnection, doc: Doc[Any], wanted: dict[str, str]) -> None:
    """Apply what comes until the document holds all values; every frame has to be sound."""
    got: Map[Any] = doc.get("map", type=Map)
    with anyio.fail_after(TIMEOUT_S):
        while len(got) < len(wanted):
            frame = await socket.recv()
            assert isinstance(frame, bytes)
            for message in decode_frame(frame):
                if isinstance(message, SyncUpdate | SyncStep2):
                    doc.apply_update(message.update)
    assert dict(got) == wanted


async def test_readers_that_pause_get_every_frame_intact(shared_server: Server, room: str) -> None:
    """Megabytes of mixed frames queue up for one who follows and for one who has just joined."""
    url = f"{shared_server.url}/{room}"
    first, more = values(1, 60), values(2, 40)
    source: Doc[Any] = Doc()
    async with (
        connect(url, max_size=None, proxy=None) as writer,
        connect(url, max_size=None, max_queue=1, sock=narrow(shared_server)) as follower,
    ):
        await follower.send(create_sync_message(Doc()))
        await write(writer, source, first)
        async with connect(url, max_size=None, proxy=None) as probe:
            await probe.send(create_sync_message(Doc()))
            await read_until(probe, Doc(), first)
        async with connect(url, max_size=None, max_queue=1, sock=narrow(shared_server)) as late:
            await late.send(create_sync_message(Doc()))
            await write(writer, source, more)
            await read_until(late, Doc(), first | more)
        await read_until(follower, Doc(), first | more)


async def test_frames_that_queue_up_stay_apart(shared_server: Server, room: str) -> None:
    """One large frame after the other goes to a reader that does not read; none loses its head."""
    url = f"{shared_server.url}/{room}"
    wanted = {str(n): f"{n:02d}" * (30_000 + 500 * n) for n in range(80)}
    source: Doc[Any] = Doc()
    seen: Doc[Any] = Doc()
    async with (
        connect(url, max_size=None, proxy=None) as writer,
        connect(url, max_size=None, proxy=None) as probe,
        connect(url, max_size=None, max_queue=1, sock=narrow(shared_server)) as reader,
    ):
        for socket_ in (probe, reader):
            await socket_.send(create_sync_message(Doc()))
        shown: dict[str, str] = {}
        for key, value in wanted.items():
            shown[key] = value
            await write(writer, source, {key: value})
            await read_until(probe, seen, shown)
        await read_until(reader, Doc(), wanted)


async def test_a_large_document_is_uploaded_by_its_answer_to_step_1(
    shared_server: Server, room: str
) -> None:
    """A client's one step 2 of some megabytes reaches those who join at the same moment."""
    url = f"{shared_server.url}/{room}"
    wanted = values(3, 40)
    source: Doc[Any] = Doc()
    for key, value in wanted.items():
        source.get("map", type=Map)[key] = value
    async with (
        connect(url, max_size=None, proxy=None) as writer,
        connect(url, max_size=None, proxy=None) as reader,
    ):
        await reader.send(create_sync_message(Doc()))
        with anyio.fail_after(TIMEOUT_S):
            while (frame := await writer.recv())[0] != 0 or frame[1] != 0:
                pass
        assert isinstance(frame, bytes)
        answer = handle_sync_message(frame[1:], source)
        assert answer is not None
        await writer.send(answer)
        await read_until(reader, Doc(), wanted)
