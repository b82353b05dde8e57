"""From one room to its connections: cursors instead of queues.

Owns who gets which committed update and awareness state, and when. Invariants:

- Every connection gets every committed update, once and in order, except its own.
- A connection whose socket is full gets nothing and costs nothing but a cursor; when it drains
  it gets the merged difference. Entries are kept only while some cursor points at them, and
  only up to a limit: behind that, the difference is made from the document.
- Awareness is a state and no history: the newest per client id, at most once per tick.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from crdtsync.awareness import AwarenessTable, Entry, encode_entries
from crdtsync.clock import Clock
from crdtsync.connection import Connection
from crdtsync.joining import join_updates
from crdtsync.limits import Limits
from crdtsync.protocol import KEEPALIVE, awareness_frame, step_2_frame, update_frame
from crdtsync.stamp import stamped
from crdtsync.stats import Stats
from crdtsync.structs import Layout

__all__ = ["Committed", "Fanout"]

SHORT_FRAME_BYTES: Final = 1024
"""Updates in frames up to this size go out by a connection's ``send_short``."""
AWARENESS_FRAME_COST_BYTES: Final = 8 * 1024
"""What sending a frame costs beside its bytes, in bytes."""
AWARENESS_SLICE_BYTES: Final = 2 * 1024 * 1024
"""What of one flush is sent without a break: some 2 ms."""


class Committed(NamedTuple):
    """A committed update on its way out."""

    update: bytes
    layout: Layout
    updates: int
    """How many of the clients' updates are merged in it."""
    source: object
    """The connection it came from; ``None`` where several did."""


class Fanout:
    """Sends what is committed to a room's connections."""

    __slots__ = (
        "_clock",
        "_flushed",
        "_limits",
        "_log",
        "_log_bytes",
        "_log_start",
        "_stamps",
        "_state",
        "_stats",
        "awareness",
        "awareness_due_s",
        "connections",
        "position",
    )

    def __init__(
        self,
        limits: Limits,
        stats: Stats,
        clock: Clock,
        state: Callable[[], list[bytes]],
        stamps: bool = False,
    ) -> None:
        self._limits = limits
        self._stats = stats
        self._clock = clock
        self._stamps = stamps  # presence says who it is from the principal
        self._state = state  # everything committed, as updates
        self.connections: list[Connection] = []
        self.position = 0
        """The number of entries sent so far; a cursor is such a number."""
        self._log: deque[tuple[Committed, bytes]] = deque()
        self._log_start = 0
        self._log_bytes = 0
        self.awareness = AwarenessTable(limits)
        self._flushed = 0
        self.awareness_due_s = float("-inf")
        """When awareness may go out again."""

    # Updates

    def publish(self, entries: Sequence[Committed]) -> None:
        """Send committed entries to every connection but the ones they came from."""
        out: list[tuple[Committed, bytes]] = []
        sent = updates = size = 0
        index = start = self.position
        self.position += len(entries)
        lagging = False
        for entry in entries:
            update, _, count, source = entry
            frame = update_frame(update)
            out.append((entry, frame))
            index += 1
            short = len(frame) <= SHORT_FRAME_BYTES
            receivers = 0
            for connection in self.connections:
                if connection.blocked:
                    lagging = True
                    continue
                if source is connection and not connection.acknowledge:
                    continue
                if short:
                    connection.send_short(frame)
                else:
                    connection.send(frame)
                connection.sent = True
                receivers += 1
                if connection.blocked:  # by this send
                    connection.cursor = index  # type: ignore[unreachable] # it is not
                    lagging = True
            sent += receivers
            updates += receivers * count
            size += receivers * len(frame)
        self._stats.frames_out += sent
        self._stats.updates_out += updates
        self._stats.bytes_out += size
        if lagging:
            if not self._log:
                self._log_start = start
            self._log += out
            self._log_bytes += sum(len(frame) for _, frame in out)
            if self._log_bytes > self._limits.max_backlog_log_bytes:
                self._drop_log()
        elif self._log:
            self._drop_log()

    def blocked(self, connection: Connection) -> None:
        """Take note that a connection takes nothing: remember where it is."""
        connection.blocked_since_s = self._clock.monotonic_s()
        connection.cursor = self.position
        connection.awareness_version = self._flushed

    def catch_up(self, connection: Connection) -> None:
        """Bring a connection that takes data again up to date, as far as it takes it."""
        if not connection.live:
            return
        version = connection.awareness_version
        if connection.parts:  # what was committed since they began follows behind them
            cursor = connection.cursor
            self._go_on(connection)
            connection.cursor, connection.awareness_version = cursor, version
            if connection.blocked:
                return
        while connection.cursor < self.position:
            cursor = connection.cursor
            if not self._log or cursor < self._log_start:
                connection.parts = [(update, False) for update in reversed(self._state())]
                frames = []
                end = self.position
            else:
                group: list[Committed] = []
                size = 0
                for index in range(cursor - self._log_start, len(self._log)):
                    entry = self._log[index][0]
                    if group and (
                        len(group) >= self._limits.max_merge
                        or size + len(entry.update) > self._limits.max_frame_bytes
                    ):
                        break
                    group.append(entry)
                    size += len(entry.update)
                end = cursor + len(group)
                frames = [
                    update_frame(entry.update)
                    for entry in _joined(group)
                    if entry.source is not connection or connection.acknowledge
                ]
            connection.cursor = end
            for frame in frames:
                self.direct(connection, frame)
            self._go_on(connection)
            if connection.blocked:  # again: what it lacks starts behind what it just got
                connection.cursor = end
                connection.awareness_version = version
                break
        else:
            for frame in self._awareness_frames(self.awareness.changed_since(version)):
                self.direct(connection, frame)
        self._trim()

    def remove(self, connection: Connection) -> None:
        """Forget a connection, and what was kept for it."""
        self.connections.remove(connection)
        if connection.blocked:
            self._trim()

    def answer(self, connection: Connection, updates: Sequence[bytes]) -> None:
        """Send updates as an answer: the last as step 2, the others as update messages.

        What the socket does not take waits as it is, not as frames: many who ask for a large
        document at once cost one document.
        """
        parts = [(update, False) for update in updates[:-1]]
        connection.parts = [(updates[-1], True), *reversed(parts)]
        self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        while connection.parts and not connection.blocked:
            update, step_2 = connection.parts.pop()
            self.direct(connection, step_2_frame(update) if step_2 else update_frame(update))

    def _trim(self) -> None:
        """Forget what no cursor points at."""
        if not self._log:
            return
        cursors = [each.cursor for each in self.connections if each.blocked]
        if not cursors:
            self._drop_log()
            return
        oldest = min(cursors)
        while self._log and self._log_start < oldest:
            self._log_bytes -= len(self._log.popleft()[1])
            self._log_start += 1

    def _drop_log(self) -> None:
        self._log.clear()
        self._log_bytes = 0
        self._log_start = self.position

    def direct(self, connection: Connection, frame: bytes) -> None:
        """Send one frame to one connection."""
        connection.send(frame)
        connection.sent = True
        self._stats.frames_out += 1
        self._stats.bytes_out += len(frame)

    @property
    def lagging(self) -> int:
        """The number of connections that take nothing now."""
        return sum(1 for connection in self.connections if connection.blocked)

    # Awareness

    def receive_awareness(
        self, connection: Connection, entries: list[Entry], *, first: bool
    ) -> bool:
        """Take over what a connection says of who is there; return whether anything changed."""
        self._stats.awareness_in += 1
        who = connection.principal
        if self._stamps:
            entries = [stamped(entry, id=who.id, name=who.name) for entry in entries]
        return self.awareness.apply(entries, connection, first=first, who=who.id)

    def flush_awareness(self) -> Iterator[None]:
        """Send the awareness states that changed since the last call, to everybody.

        Goes on with the next slice of connections when it is asked for the next item.
        """
        version = self.awareness.version
        frames = self._awareness_frames(self.awareness.changed_since(self._flushed))
        receivers = list(self.connections)
        cost = sum(len(frame) + AWARENESS_FRAME_COST_BYTES for frame in frames)
        pause_s = cost * len(receivers) / self._limits.awareness_bytes_per_s
        self.awareness_due_s = self._clock.monotonic_s() + pause_s
        sent = 0
        for connection in receivers:
            for frame in frames:
                if not (connection.blocked or connection.closed):
                    connection.send(frame)
                    connection.sent = True
            sent += cost
            if sent >= AWARENESS_SLICE_BYTES:
                sent = 0
                yield
        # Not before: who blocked meanwhile may not have had its turn.
        self._flushed = version
        self._stats.awareness_out += len(frames) * len(receivers)

    def greet_awareness(self, connection: Connection, *, always: bool) -> None:
        """Send every present state to one connection; an empty message if ``always``."""
        frames = self._awareness_frames(self.awareness.present())
        for frame in frames or ([KEEPALIVE] if always else []):
            self.direct(connection, frame)

    def _awareness_frames(self, entries: Iterable[Entry]) -> list[bytes]:
        frames: list[bytes] = []
        group: list[Entry] = []
        size = 0
        for entry in entries:
            group.append(entry)
            size += len(entry.state)
            if size > self._limits.max_frame_bytes:
                frames.append(awareness_frame(encode_entries(group)))
                group = []
                size = 0
        if group:
            frames.append(awareness_frame(encode_entries(group)))
        return frames


def _joined(group: list[Committed]) -> list[Committed]:
    joined = join_updates([(entry.update, entry.layout) for entry in group])
    if joined is None:
        return group
    source = group[0].source
    same = all(entry.source is source for entry in group)
    return [Committed(*joined, sum(entry.updates for entry in group), source if same else None)]
