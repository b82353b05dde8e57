"""HTTP/1.1 and HTTP/2 by Hypercorn, on sockets that somebody else accepted.

Owns what Hypercorn leaves open: a client may hold no socket for nothing, by being silent or by not
reading its answer; and its WebSockets hold no more than their limit.
"""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, Final

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config as HypercornConfig
from hypercorn.events import Event, RawData, Updated
from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import WebsocketBuffer, WSStream
from hypercorn.typing import AppWrapper, Scope
from priority.priority import DeadlockError, MissingStreamError
from wsproto.events import Message

with contextlib.suppress(ImportError):  # Windows
    import fcntl
    import termios

__all__ = ["HttpServer"]

READ_BYTES: Final = 8 * 1024
"""Of one connection's bytes so many are worked on in a turn: they may be 600 frames of HTTP/2."""
MAX_TURNS: Final = 8
"""Requests of one HTTP/2 connection that are worked on at a time; the others wait."""


class _Context(WorkerContext):
    """Hypercorn's, but what sleeps there (it sends pings) does not hold up the end."""

    async def sleep(self, wait: float) -> None:  # type: ignore[override] # static there
        """Wait; end the task that waits where the server ends."""
        try:
            await asyncio.wait_for(self.terminated.wait(), wait)
        except TimeoutError:
            return
        raise asyncio.CancelledError


class _Buffer(WebsocketBuffer):
    """Hypercorn's, but what is over the limit is dropped, and left to the application to refuse.

    Hypercorn's own keeps what comes after it has said 1009 (which clients take for "retry"), and
    grows for as long as the peer sends.
    """

    def extend(self, event: Message[Any]) -> None:
        """Take a piece of a message, up to the limit: the rest makes no difference."""
        room = max(0, self.max_length - self.length)
        if len(event.data) > room:
            event = replace(event, data=event.data[:room])
        super().extend(event)


class _BoundedApp:
    """The application, whose WebSockets hold no more than their limit, and whose answers end with
    their streams."""

    def __init__(self, app: AppWrapper) -> None:
        self._app = app

    async def __call__(
        self, scope: Scope, receive: Any, send: Any, sync_spawn: Any, call_soon: Any
    ) -> None:
        """Run the application on one request or WebSocket."""
        stream: WSStream | HTTPStream = send.__self__
        queue: asyncio.Queue[Any] = receive.__self__
        if isinstance(stream, WSStream):
            stream.buffer = _Buffer(stream.buffer.max_length)
            # Sixty kilobytes of compressed zeros take a fifth of a second to be let out.
            stream.handshake.extensions = None
            stream._send_error_response = _telling(  # type: ignore[method-assign, assignment]
                stream._send_error_response, queue
            )
        sender = getattr(stream.send, "__self__", None)
        http2 = sender if isinstance(sender, H2Protocol) else None
        turns: AbstractAsyncContextManager[Any] = contextlib.nullcontext()
        if http2 is not None and isinstance(stream, HTTPStream):
            turns = _streams_of(http2).turns
        stream.app_put = _freeing(stream, http2, queue)
        try:
            async with turns:
                if not stream.closed:  # taken back before its turn has come
                    await self._app(scope, receive, send, sync_spawn, call_soon)
        finally:
            stream.app_put = _dropped
            _unbound(queue)
            if isinstance(stream, WSStream) and stream.closed:
                await stream.send(StreamClosed(stream_id=stream.stream_id))


def _telling(
    refuse: Callable[[int], Awaitable[None]], queue: "asyncio.Queue[Any]"
) -> Callable[[int], Coroutine[Any, Any, None]]:
    """Return what refuses a handshake that is broken off; the application hears of it, too."""

    async def refused(status: int) -> None:
        await refuse(status)
        _unbound(queue)
        queue.put_nowait({"type": "websocket.disconnect", "code": 1006})

    return refused


async def _dropped(message: object) -> None:
    """Take what comes for an application that has ended."""


def _unbound(queue: "asyncio.Queue[Any]") -> None:
    """Let in whoever waits to put something where nobody may ever take it.

    It may be the task that reads the socket, which would wait for ever, and hold it.
    """
    queue._maxsize = 0  # type: ignore[attr-defined]
    for putter in queue._putters:  # type: ignore[attr-defined]
        if not putter.done():
            putter.set_result(None)


def _freeing(
    stream: WSStream | HTTPStream, http2: H2Protocol | None, queue: "asyncio.Queue[Any]"
) -> Callable[[Any], Awaitable[None]]:
    """Return what tells the application of events, and lets go of an answer that nobody takes.

    Where a stream or its connection is gone, Hypercorn keeps what was to be sent, and the
    application waits for ever for it to be taken.
    """
    put = stream.app_put

    async def told(message: Any) -> None:
        if stream.closed:
            _unbound(queue)
            buffer = None if http2 is None else http2.stream_buffers.get(stream.stream_id)
            if buffer is not None:
                await buffer.close()
        if put is not None:
            await put(message)

    return told


def _unacknowledged(sock: Any) -> int:
    """Return the bytes in a socket's own buffer, megabytes for some; 0 where that isn't known."""
    try:
        size = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, NameError, ValueError):  # ValueError: it is closed
        return 0
    return int.from_bytes(size, sys.byteorder)


class _Gone:
    """A stream that was answered before its body had come: the rest of that is for nobody."""

    idle = True

    async def handle(self, event: object) -> None:
        """Drop it."""


class _Streams(dict[int, Any]):
    """HTTP/2's streams: data of one that is gone doesn't end all others of the connection."""

    def __init__(self, streams: Mapping[int, Any]) -> None:
        super().__init__(streams)
        self.turns = asyncio.Semaphore(MAX_TURNS)

    def __missing__(self, stream_id: int) -> _Gone:
        return _Gone()


def _streams_of(http2: H2Protocol) -> _Streams:
    """Return a connection's streams; from the first time on they are as here."""
    if not isinstance(http2.streams, _Streams):
        http2.streams = _Streams(http2.streams)
        http2.priority = _Order(http2.streams)  # type: ignore[assignment]
    return http2.streams


class _Order:
    """The HTTP/2 streams that have something to send, in turns.

    What clients say of priorities is not heard: that was given up (RFC 9113, 5.3), and the tree of
    them takes a step of each stream for each fourteen bytes.
    """

    def __init__(self, streams: Iterable[int]) -> None:
        self._ready: dict[int, None] = {}
        self._known = set(streams)

    def __next__(self) -> int:
        for stream_id in self._ready:
            del self._ready[stream_id]
            self._ready[stream_id] = None
            return stream_id
        raise DeadlockError

    def insert_stream(self, stream_id: int, **_: Any) -> None:
        """Take up a stream."""
        self._known.add(stream_id)
        self._ready[stream_id] = None

    def reprioritize(self, stream_id: int, **_: Any) -> None:
        """Do nothing."""

    def block(self, stream_id: int) -> None:
        """Leave a stream out until it has something to send."""
        self._ready.pop(stream_id, None)

    def unblock(self, stream_id: int) -> None:
        """Let a stream take its turns again."""
        if stream_id not in self._known:
            raise MissingStreamError(stream_id)
        self._ready[stream_id] = None

    def remove_stream(self, stream_id: int) -> None:
        """Forget a stream."""
        self._known.discard(stream_id)
        self._ready.pop(stream_id, None)


class _Connection(TCPServer):
    """Hypercorn's, but a socket is held only by what goes on on it."""

    def __init__(self, *args: Any, stall_s: float) -> None:
        super().__init__(*args)
        self._stall_s = stall_s
        self._idle = True  # its timer runs
        self._sent = 0
        self._taken = 0
        self._watch = self.loop.call_later(stall_s, self._look)

    async def run(self) -> None:
        """Serve the socket until its end."""
        try:
            await super().run()
        finally:
            self._watch.cancel()

    async def protocol_send(self, event: Event) -> None:
        """Send what the protocol says; where it is idle, begin to wait for its end."""
        if isinstance(event, RawData):
            self._sent += len(event.data)
        elif isinstance(event, Updated):
            self._idle = event.idle
        await super().protocol_send(event)
        http2 = self.protocol.protocol
        if isinstance(http2, H2Protocol):
            _streams_of(http2)
        if isinstance(http2, H2Protocol) and http2.idle and not self._idle:
            self._idle = True  # it was HTTP/1.1 until now, and whoever asked for more never did
            await super().protocol_send(Updated(idle=True))

    def _look(self) -> None:
        """Hang up where something waits to be sent, and nothing has been since the last look."""
        transport = self.writer.transport
        waiting = transport.get_write_buffer_size()
        waiting += _unacknowledged(transport.get_extra_info("socket"))
        taken, before = self._sent - waiting, self._taken
        if taken == before and (waiting or self._holds_something()):
            transport.abort()
            return
        self._taken = taken
        self._watch = self.loop.call_later(self._stall_s, self._look)

    def _holds_something(self) -> bool:
        """Return whether HTTP/2 keeps something that its client lets no window for."""
        http2 = self.protocol.protocol
        return isinstance(http2, H2Protocol) and any(
            each.buffer for each in http2.stream_buffers.values()
        )


class _Reader(asyncio.StreamReader):
    """What comes, in small pieces: everybody else has a turn behind each."""

    async def read(self, n: int = -1) -> bytes:
        """Read up to ``READ_BYTES``."""
        data = await super().read(min(n, READ_BYTES) if n >= 0 else READ_BYTES)
        await asyncio.sleep(0)
        return data


class HttpServer:
    """Hypercorn's server, without its listening.

    A WebSocket message of ``websocket_max_message_size`` bytes may be the beginning of a longer
    one: the application has to have a smaller limit of its own. Who takes nothing of what waits
    for it for ``stall_s`` is hung up on.
    """

    def __init__(self, app: AppWrapper, config: HypercornConfig, *, stall_s: float) -> None:
        self._app = _BoundedApp(app)
        self._stall_s = stall_s
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._context = _Context(None)
        self._tasks: set[asyncio.Task[Any]] = set()

    def protocol(self) -> asyncio.StreamReaderProtocol:
        """Return a protocol for one socket, for ``transport.set_protocol``."""
        reader = _Reader(loop=self._loop)
        return asyncio.StreamReaderProtocol(reader, self._connected, loop=self._loop)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            made: tuple[Any, ...] = self._app, self._loop, self._config, self._context, {}
            await _Connection(*made, reader, writer, stall_s=self._stall_s)
        except asyncio.CancelledError:  # asyncio's streams would log it as a failure
            if not self._context.terminated.is_set():
                raise

    async def aclose(self, *, timeout_s: float) -> None:
        """Let requests that are being answered end, then end the rest."""
        await self._context.terminated.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
