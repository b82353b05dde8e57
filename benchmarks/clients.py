"""The load generator's connections: cheap enough that the server is always the slower side.

What makes them cheap: a message that one reader has parsed is a dictionary hit for all others; a
reader only appends to its log, everything else is worked out after the measurement; a writer
sends its edits as ready-made frames, a burst in one write; the garbage collector rests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence

from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.dialects import EMPTY_UPDATE, Dialect, Kind
from benchmarks.servers import Server
from benchmarks.updates import Range, clock_ranges

EMPTY_STATE_VECTOR = b"\x00"
_MAX_FRAME = 256 * 2**20


class Entry:
    """An update that came in one message, and the clock ranges it holds, read when first asked."""

    __slots__ = ("_ranges", "update")

    def __init__(self, update: bytes) -> None:
        self.update = update
        self._ranges: tuple[Range, ...] | None = None

    @property
    def ranges(self) -> tuple[Range, ...]:
        """Return what the update holds."""
        if self._ranges is None:
            self._ranges = clock_ranges(self.update)
        return self._ranges


class Inbox:
    """All messages with updates that any client of a run has received, each kept once."""

    __slots__ = ("known",)

    def __init__(self) -> None:
        self.known: dict[bytes, Entry] = {}


def masked_frame(payload: bytes) -> bytes:
    """Return a client's WebSocket frame, masked with zeros, which leaves the payload as it is."""
    size = len(payload)
    if size < 126:
        return bytes((0x82, 0x80 | size, 0, 0, 0, 0)) + payload
    if size < 1 << 16:
        return bytes((0x82, 0xFE)) + size.to_bytes(2, "big") + bytes(4) + payload
    return bytes((0x82, 0xFF)) + size.to_bytes(8, "big") + bytes(4) + payload


class Client(WSListener):
    """One connection to one document: joins, then lets its subclass have the frames."""

    transport: WSTransport

    def __init__(self, document: str, dialect: Dialect, inbox: Inbox) -> None:
        self.document = document
        self.dialect = dialect
        self.joined = asyncio.Event()
        self.problem = ""
        self.log: list[Entry] = []
        self._known = inbox.known
        self._fragments: list[bytes] = []
        self._leaving = False

    async def join(self, server: Server, state_vector: bytes = EMPTY_STATE_VECTOR) -> None:
        """Connect and send step 1; `joined` is set when the server's step 2 is there."""
        url = server.url(self.document)
        try:
            # uvloop's own transports: as fast here, and they survive a killed server's sockets.
            self.transport, _ = await ws_connect(
                lambda: self, url, max_frame_size=_MAX_FRAME, use_aiofastnet=False
            )
        except (OSError, WSError) as error:
            raise server.complain(f"refused a connection: {error!r}") from error
        for message in self.dialect.hello(self.document, state_vector):
            self.transport.send(WSMsgType.BINARY, message)
        if self.dialect.joins_in_silence:
            self.joined.set()

    def leave(self) -> None:
        """Close the connection."""
        self._leaving = True
        self.transport.disconnect()

    def keep_alive(self) -> None:
        """Tell the server that this client lives."""
        self.transport.send(WSMsgType.BINARY, self.dialect.keep_alive(self.document))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        entry = self._known.get(payload) or self._first(transport, frame, payload)
        if entry is not None:
            self.log.append(entry)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self._leaving:
            self.problem = self.problem or "the server dropped a connection"
            self.joined.set()

    def _first(self, transport: WSTransport, frame: WSFrame, payload: bytes) -> Entry | None:
        """Read a message that no client of this run has had before."""
        if frame.msg_type == WSMsgType.CLOSE:
            code, reason = frame.get_close_code(), frame.get_close_message()
            self.problem = f"the server closed a connection: {code} {reason!r}"
            transport.disconnect()
            return None
        if frame.msg_type not in (WSMsgType.BINARY, WSMsgType.CONTINUATION):
            return None
        if self._fragments or not frame.fin:
            self._fragments.append(payload)
            if not frame.fin:
                return None
            payload = b"".join(self._fragments)
            self._fragments.clear()
        kind, body = self.dialect.read(payload)
        if kind is Kind.STEP1:
            transport.send(WSMsgType.BINARY, self.dialect.step2(self.document, EMPTY_UPDATE))
            return None
        if kind is Kind.REFUSED:
            self.problem = f"the server refused a client: {body!r}"
            return None
        if kind is Kind.STEP2:
            self.joined.set()
        if kind is Kind.OTHER or body == EMPTY_UPDATE:
            return None
        entry = self._known[payload] = Entry(body)
        if kind is Kind.STEP2:
            del self._known[payload]  # every client must see its own step 2
        return entry


class Reader(Client):
    """Log everything that comes."""


class TimedReader(Reader):
    """Log everything that comes, and when."""

    def __init__(self, document: str, dialect: Dialect, inbox: Inbox) -> None:
        super().__init__(document, dialect, inbox)
        self.times: list[float] = []

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        before = len(self.log)
        super().on_ws_frame(transport, frame)
        if len(self.log) > before:
            self.times.append(time.perf_counter())


def _edits_at(clocks: Sequence[int]) -> Sequence[int]:
    """Return, for each clock, how many edits have been seen by a reader that has it."""
    if isinstance(clocks, range):
        return clocks
    found = [0] * (clocks[-1] + 1)
    for edits, clock in enumerate(clocks):
        found[clock] = edits
    return found


class Writer(Client):
    """Send ready-made edits, at most a window of them ahead of what its pacer has seen.

    `clocks` tells the client's clock after each number of edits, where not every edit is one
    insertion. Deletions move no clock: those behind an insertion count as seen with it.
    """

    def __init__(
        self,
        document: str,
        dialect: Dialect,
        inbox: Inbox,
        client: int,
        updates: Sequence[bytes],
        clocks: Sequence[int] | None = None,
    ) -> None:
        super().__init__(document, dialect, inbox)
        self.client = client
        self.clocks = range(len(updates) + 1) if clocks is None else clocks
        self.edits_at = _edits_at(self.clocks)
        self.updates = updates
        self.frames = [masked_frame(dialect.update(document, update)) for update in updates]
        self.limit = len(updates)
        self.spent = asyncio.Event()
        self.window = 0
        self.sent = 0
        self.acknowledged = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if not self.joined.is_set() or frame.msg_type == WSMsgType.CLOSE:
            super().on_ws_frame(transport, frame)

    def pump(self) -> None:
        """Send as many edits as the window has room for, in one write."""
        until = min(self.acknowledged + self.window, self.limit)
        if until > self.sent:
            burst = b"".join(self.frames[self.sent : until])
            self.sent = until
            if until == self.limit:
                self.spent.set()
            self.transport.underlying_transport.write(burst)

    def send_one(self) -> None:
        """Send the next edit."""
        self.transport.underlying_transport.write(self.frames[self.sent])
        self.sent += 1

    @property
    def clock(self) -> int:
        """Return the clock that a reader has when it has everything sent."""
        return self.clocks[self.sent]

    def stop(self) -> None:
        """Send no more than has been sent."""
        self.limit = self.sent


class Pacer(Reader):
    """A reader whose progress opens its document's writers' windows.

    A window is refilled when a quarter of it is free, so that a server which sends every edit in
    its own message does not make the writers send every edit in its own packet.
    """

    def __init__(self, document: str, dialect: Dialect, inbox: Inbox) -> None:
        super().__init__(document, dialect, inbox)
        self.writers: Mapping[int, Writer] = {}

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        entry = self._known.get(payload) or self._first(transport, frame, payload)
        if entry is None:
            return
        self.log.append(entry)
        for client, _, end in entry.ranges:
            writer = self.writers[client]
            seen = writer.edits_at[end]
            if seen > writer.acknowledged:
                writer.acknowledged = seen
                if writer.sent - seen <= writer.window - (writer.window >> 2):
                    writer.pump()


async def join_all(
    server: Server, clients: Iterable[Client], *, at_once: int = 10, timeout_s: float = 30
) -> None:
    """Join clients, some at a time, until the server has synced every one of them.

    The first client of a document joins before its others: pycrdt-websocket never answers clients
    that open a document together.
    """
    listed = list(clients)
    first = list({client.document: client for client in reversed(listed)}.values())
    opened = set(map(id, first))
    others = [client for client in listed if id(client) not in opened]
    done = 0
    try:
        async with asyncio.timeout(timeout_s):
            for part in (first, others):
                for start in range(0, len(part), at_once):
                    batch = part[start : start + at_once]
                    await asyncio.gather(*(client.join(server) for client in batch))
                    for client in batch:
                        await client.joined.wait()
                        if client.problem:
                            raise server.complain(client.problem)
                        done += 1
    except TimeoutError:
        problem = f"synced {done} of {len(listed)} clients in {timeout_s:.0f} s"
        raise server.complain(problem) from None


async def keep_alive(clients: Iterable[Client], every_s: float = 15) -> None:
    """Show life on every connection until cancelled: Hocuspocus drops the silent after 60 s."""
    listed = list(clients)
    while True:
        await asyncio.sleep(every_s)
        for client in listed:
            client.keep_alive()
