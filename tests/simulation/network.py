"""One connection's way there and back: delays, full buffers, half-open sockets, lost frames.

Owns what is under way. Like TCP it keeps the order of frames and loses none while it lives; what
is under way when it breaks is lost. A faulty proxy in front of the server may repeat a client's
frames or let one overtake another.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from crdtsync.connection import Connection
from tests.simulation.kernel import Kernel

__all__ = ["Peer", "Wire"]

SLOWEST_S = 10.0
"""A frame takes so long at most: who hears nothing for half a minute would be right to go."""
HIGH_BYTES = (60, 300, 2_000)
"""Above one of these a socket's buffer is full; it has drained below a quarter."""


class Peer(Protocol):
    """A client's side."""

    name: str

    def heard(self, frame: bytes) -> None: ...

    def closed(self, wire: "Wire", code: int, reason: str) -> None: ...


class Wire:
    """A link, the network behind it and its other end."""

    def __init__(self, kernel: Kernel, peer: Peer, *, show: Callable[[bytes], None]) -> None:
        self._kernel = kernel
        self._chance = kernel.stream(f"wire/{peer.name}/{kernel.now_s}")
        self.peer: Peer | None = peer
        self.name = peer.name
        self._show = show
        self.connection: Connection | None = None
        self.latency_s = self._chance.choice([0.001, 0.02, 0.3])
        self._high_bytes = self._chance.choice(HIGH_BYTES)
        self.bytes_per_s = self._chance.choice([0, 0, 0, 200, 2_000])
        """How fast the client's line is; 0 for no bound."""
        self._flowing = False
        self.faulty = False
        """A proxy that repeats and reorders what the client sends."""
        self.proxied = False
        """Whether it ever did."""
        self.half_open = False
        """Nothing arrives any more, in either direction, and nobody is told."""
        self.dead = False
        """The server's side is gone."""
        self.code = 0
        self.reason = ""
        self.stalled = False
        """The client reads nothing."""
        self.awake_s = float("-inf")
        """When it last began to read again."""
        self._reading = True
        self._inbox: deque[bytes] = deque()
        self._last_up_s = self._last_down_s = 0.0
        self._buffer: deque[bytes] = deque()
        self._buffer_bytes = 0
        self._full = False

    def attach(self, connection: Connection) -> None:
        """Take the connection that the server made for this link."""
        self.connection = connection
        if self._full:  # by its greeting
            connection.pause_writing()

    # The server's side: a Link

    def send(self, frame: bytes) -> None:
        if self.dead:
            return
        if self.code:
            raise AssertionError(f"a frame to {self.name} behind the close")
        self._show(frame)
        self._buffer.append(frame)
        self._buffer_bytes += len(frame)
        if not self.stalled and not self.half_open:
            self._flow()
        if self._buffer_bytes > self._high_bytes and not self._full:
            self._full = True
            if self.connection is not None:
                self.connection.pause_writing()

    def close(self, code: int, reason: str) -> None:
        if self.dead or self.code:
            return
        self.code, self.reason = int(code), reason
        if not self.stalled and not self.half_open:
            self._flow()
        # A transport waits for the other side's close only so long.
        self._kernel.after(10.0, self._gone)

    def abort(self) -> None:
        self.code = self.code or 1006
        self._gone()

    def ping(self) -> None:
        if not self.dead and not self.half_open and not self.stalled:
            self._kernel.after(2 * self.latency_s, self._pong)

    def _pong(self) -> None:
        if not self.dead and not self.half_open and self.connection is not None:
            self.connection.heard()

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._kernel.after(0.0, self._read)

    # The way down

    def _flow(self) -> None:
        """Put what is in the server's buffer under way, as fast as the line is."""
        if not self._flowing:
            self._flowing = True
            self._pump()

    def _pump(self) -> None:
        while self._buffer and not (self.stalled or self.half_open or self.dead):
            frame = self._buffer.popleft()
            self._buffer_bytes -= len(frame)
            self._down(self._deliver, frame)
            if self._full and self._buffer_bytes <= self._high_bytes // 4:
                self._kernel.after(0.0, self._drained)
            if self.bytes_per_s:
                self._kernel.after(min(len(frame) / self.bytes_per_s, SLOWEST_S), self._pump)
                return
        self._flowing = False
        if self.code and not self._buffer and not self.half_open:
            self._down(self._closed)

    def _down(self, call: Callable[..., None], *args: bytes) -> None:
        self._last_down_s = max(self._last_down_s, self._kernel.now_s + self._latency())
        self._kernel.at(self._last_down_s, call, *args)

    def _latency(self) -> float:
        return self.latency_s * (0.5 + self._chance.random())

    def _drained(self) -> None:
        if self._full and not self.dead:
            self._full = False
            if self.connection is not None:
                self.connection.resume_writing()

    def _deliver(self, frame: bytes) -> None:
        if self.peer is not None and not self.half_open:
            self.peer.heard(frame)

    def _closed(self) -> None:
        if self.peer is not None and not self.half_open:
            peer, self.peer = self.peer, None
            peer.closed(self, self.code, self.reason)
            self._kernel.after(self._latency(), self._gone)

    # The way up

    def up(self, frame: bytes) -> None:
        """Send a frame from the client."""
        if self.half_open or self.dead:
            return
        time_s = max(self._last_up_s, self._kernel.now_s + self._latency())
        if self.faulty and self._chance.random() < 0.3:
            # It is overtaken by what follows, or comes twice.
            self._kernel.at(time_s + self._chance.random(), self._arrive, frame)
            if self._chance.random() < 0.5:
                return
        self._last_up_s = time_s
        self._kernel.at(time_s, self._arrive, frame)

    def _arrive(self, frame: bytes) -> None:
        if not self.dead and not self.half_open:
            self._inbox.append(frame)
            self._read()

    def _read(self) -> None:
        while self._inbox and self._reading and not self.dead:
            assert self.connection is not None
            self.connection.receive(self._inbox.popleft())

    # Its end

    def stall(self) -> None:
        """Let the client read nothing for now."""
        self.stalled = True

    def unstall(self) -> None:
        """Let the client read again."""
        if self.stalled:
            self.stalled = False
            self.awake_s = self._kernel.now_s
            if not self.half_open:
                self._flow()

    def cut(self) -> None:
        """Lose the network between the two; nobody is told."""
        self.half_open = True

    def leave(self) -> None:
        """Close from the client's side; what was under way arrives, unless it is cut."""
        self.peer = None
        if not self.half_open:
            self._kernel.at(max(self._last_up_s, self._kernel.now_s + self._latency()), self._gone)

    def drop(self) -> None:
        """Break it now: what is under way is lost, both sides are told, one after the other."""
        peer, self.peer = self.peer, None
        self._inbox.clear()
        if peer is not None:
            self._kernel.after(self._latency(), peer.closed, self, 1006, "")
        self._kernel.after(self._latency(), self._gone)
        self.half_open = True

    def _gone(self) -> None:
        """Tell the server that the socket is gone."""
        if not self.dead:
            self.dead = True
            self._buffer.clear()
            self._inbox.clear()
            if self.connection is not None:
                self.connection.lost()
            self._hang_up()

    def server_died(self, *, silently: bool) -> None:
        """The process is gone; the client is told by its kernel, or by nobody."""
        self.dead = True
        self._buffer.clear()
        self._inbox.clear()
        self.connection = None
        if not silently:
            self._hang_up()

    def _hang_up(self) -> None:
        peer, self.peer = self.peer, None
        if peer is not None and not self.half_open:
            self._kernel.after(self._latency(), peer.closed, self, self.code or 1006, self.reason)

    @property
    def idle(self) -> bool:
        """Whether nothing waits here."""
        return not self._buffer and not self._inbox
