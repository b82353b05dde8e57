"""Connections that cost little: writers that send real update frames, and everything kept.

What a client was shown is the list of the messages it got, looked into after the kill.
"""

import asyncio
import random
from dataclasses import dataclass, field
from urllib.parse import quote

import pycrdt
from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from crdtsync.protocol import (
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    decode_frame,
    step_1_frame,
    step_2_frame,
    update_frame,
)
from tests.crash.edits import EDITS, edits_of

__all__ = ["Client", "Ended", "Writing", "write"]

EMPTY_UPDATE = b"\x00\x00"
JOIN_S = 30.0
MAX_FRAME_BYTES = 64 * 1024 * 1024


class Ended(Exception):
    """The server is not there, or goes away while a client joins."""


@dataclass(slots=True)
class Writing:
    """What one writer of a document sends next."""

    document: str
    client: int
    sent: int = 0
    """Edits sent to the server that is running."""
    client_of: "Client | None" = field(default=None, repr=False)


class Client(WSListener):
    """One connection to one document: asks for everything, and keeps what it is shown."""

    def __init__(self, document: str, *, acknowledged: bool = False) -> None:
        self.document = document
        self.code: int | None = None
        """The close code, once the server has closed the connection with one."""
        self.gone = asyncio.Event()
        self.shown = 0
        """Updates that came since the connection was made."""
        self._query = "?ack=1" if acknowledged else ""
        self._synced = asyncio.Event()
        self._frames: list[bytes] = []
        self._news = asyncio.Event()
        self._part = b""
        self._transport: WSTransport | None = None

    async def join(self, port: int) -> None:
        """Connect, and return when the server has answered with all it has. Raises ``Ended``."""
        url = f"ws://127.0.0.1:{port}/{quote(self.document)}{self._query}"
        try:
            async with asyncio.timeout(JOIN_S):
                await ws_connect(
                    lambda: self, url, max_frame_size=MAX_FRAME_BYTES, use_aiofastnet=False
                )
                self.send(step_1_frame(b"\x00"))
                await self._synced.wait()
        except (OSError, WSError) as error:
            if self._transport is None:  # it was never there: nothing will say that it is gone
                self.gone.set()
            raise Ended(str(error)) from None
        if self.gone.is_set():
            raise Ended("the connection ended while joining")

    def send(self, frame: bytes) -> None:
        """Send a frame, if there is anybody to take it."""
        if self._transport is not None and not self.gone.is_set():
            self._transport.send(WSMsgType.BINARY, frame)

    async def until_shown(self, count: int) -> None:
        """Wait until so many messages with updates have come, or the connection is gone."""
        while self.shown < count and not self.gone.is_set():
            self._news.clear()
            await self._news.wait()

    def leave(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.disconnect()

    def updates(self) -> list[bytes]:
        """Return every update that was shown, in order."""
        found: list[bytes] = []
        for frame in self._frames:
            for message in decode_frame(frame):
                match message:
                    case SyncStep2(update) | SyncUpdate(update):
                        found.append(update)
                    case SyncStep1() | _:
                        pass
        return found

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self.code = frame.get_close_code().value
            transport.disconnect()
            return
        if frame.msg_type not in (WSMsgType.BINARY, WSMsgType.CONTINUATION):
            return
        self._part += frame.get_payload_as_bytes()
        if not frame.fin:
            return
        payload, self._part = self._part, b""
        kind = payload[:2]
        if kind == b"\x00\x00":
            self.send(step_2_frame(EMPTY_UPDATE))
        elif kind == b"\x00\x01":
            self._frames.append(payload)
            self._synced.set()
        elif kind == b"\x00\x02":
            self._frames.append(payload)
            self.shown += 1
            self._news.set()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.gone.set()
        self._synced.set()
        self._news.set()


async def write(writing: Writing, client: Client, dice: random.Random, *, most: int) -> None:
    """Send up to ``most`` edits in bursts, the first ones as a client that was offline does."""
    updates = edits_of(writing.client).updates
    end = min(writing.sent + most, EDITS)
    offline = min(dice.randint(0, 30), end - writing.sent)
    if offline:
        missed = updates[writing.sent : writing.sent + offline]
        writing.sent += offline
        client.send(step_2_frame(pycrdt.merge_updates(*missed)))
    while writing.sent < end and not client.gone.is_set():
        for update in updates[writing.sent : min(writing.sent + dice.randint(1, 5), end)]:
            client.send(update_frame(update))
            writing.sent += 1
        await asyncio.sleep(dice.random() * 0.008)
