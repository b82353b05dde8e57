"""What happens by the clock: awareness ticks, checkpoints, idle rooms, silent and stuck clients.

Owns every periodic task of the engine. Looks at each connection once a second at most, and
spreads pings and keepalives so that many connections don't have their turn at the same moment.
"""

import logging
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel

from crdtsync.connection import Connection
from crdtsync.crdt import IntegrationError
from crdtsync.elsewhere import Died, condense_elsewhere
from crdtsync.errors import CloseCode, DocumentQuarantined, StoreError
from crdtsync.guard import Work
from crdtsync.protocol import KEEPALIVE
from crdtsync.room import Room
from crdtsync.store.base import Checkpoint
from crdtsync.waiting import Alarm
from crdtsync.yielding import Yielding

if TYPE_CHECKING:
    from crdtsync.hub import Hub

__all__ = ["Housekeeping"]

log = logging.getLogger("crdtsync")

CONDENSE_HERE_BYTES: Final = 128 * 1024
"""A larger state is made and proven in a process of its own: others' keystrokes don't wait."""
BRIEF_S: Final = 0.005
"""While a checkpoint is written no edit is committed. If that takes longer than this, the next one
of the same room in use has to wait:"""
WRITING_SHARE: Final = 0.0025
"""no more than this share of the time is for it,"""
OVERLONG: Final = 8
"""but no longer than ``Limits.checkpoint_rest_s``, nor until the log is so many times as long as
it may get."""
DOUBT_S: Final = 10.0
"""A connection whose client seems to have come back on another one has so long to answer."""


class Housekeeping:
    """The engine's periodic work."""

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self._stirred: dict[Room, None] = {}
        self._wake = Alarm()
        self._checkpoints: set[Room] = set()
        self._closing: set[Room] = set()
        self._one_checkpoint = anyio.Lock()
        self._resting: dict[Room, float] = {}
        """Rooms whose next checkpoint waits, until when."""
        self._yielding = Yielding()
        self._tick = 0

    # Awareness

    def schedule_awareness(self, room: Room) -> None:
        """Flush a room's awareness: at once if the last tick is long past."""
        if not self._stirred:
            self._wake.set()
        self._stirred[room] = None

    async def run_awareness(self) -> None:
        """Flush awareness, at most once per tick; large rooms less often, see ``Limits``."""
        interval_s = self._hub.limits.awareness_interval_s
        while True:
            if not self._stirred:
                await self._wake.wait()
            stirred, self._stirred = self._stirred, {}
            now_s = self._hub.clock.monotonic_s()
            for room in stirred:
                fanout = room.fanout
                if now_s < fanout.awareness_due_s:
                    self._stirred[room] = None
                    continue
                for _ in fanout.flush_awareness():
                    await anyio.lowlevel.checkpoint()
            await anyio.sleep(interval_s)

    # Checkpoints

    def schedule_checkpoint(self, room: Room) -> None:
        """Write a checkpoint of a room in use, in the background; not too soon after the last."""
        if room not in self._checkpoints and not self._rests(room):
            self._checkpoints.add(room)
            self._hub.spawn(lambda: self._checkpoint_once(room))

    def _rests(self, room: Room) -> bool:
        until_s = self._resting.get(room)
        if until_s is None:
            return False
        limits = self._hub.limits
        overlong = (
            room.log_records > OVERLONG * limits.max_log_records
            or room.log_bytes > OVERLONG * limits.max_log_bytes
        )
        urgent = overlong or room.fill.full or room.fill.wants_checkpoint
        if not urgent and self._hub.clock.monotonic_s() < until_s:
            return True
        del self._resting[room]
        return False

    def _wrote(self, room: Room, began_s: float) -> None:
        """Take note of how long a checkpoint took to be written."""
        now_s = self._hub.clock.monotonic_s()
        longest_s = self._hub.limits.checkpoint_rest_s
        rest_s = min(longest_s, (now_s - began_s - BRIEF_S) / WRITING_SHARE)
        self._resting = {each: until for each, until in self._resting.items() if until > now_s}
        if rest_s > 0:
            self._resting[room] = now_s + rest_s

    async def _checkpoint_once(self, room: Room) -> None:
        try:
            await self.checkpoint(room)
        finally:
            self._checkpoints.discard(room)

    async def checkpoint(self, room: Room) -> bool:
        """Write a checkpoint where the log is not empty; return whether the log is empty now."""
        async with self._one_checkpoint:
            if not room.loaded or room.damage or not room.log_records:
                return room.log_records == 0
            history = self._hub.history
            if history is not None and not history.recorder.ready(room.name):
                return False
            if self._hub.channels.rules.chat:
                await self._hub.channels.shed(room)
            document = room.document
            verbatim = document.verbatim
            mark, state = room.log_mark(), None
            if not verbatim and sum(map(len, document.parts())) > CONDENSE_HERE_BYTES:
                try:
                    state = await self._condense(room)
                except IntegrationError as error:
                    if isinstance(error, Died) and self._quarantines(room, error.signum):
                        return False
                    document.keep_verbatim(f"pycrdt can't carry it: {error}")
            if state is None:
                mark, state = room.log_mark(), document.checkpoint()
            if document.verbatim and not verbatim:
                self._hub.stats.integration_errors += 1
                log.warning("document %r is kept verbatim: %s", room.name, document.verbatim)
            sequence, records, size = mark
            checkpoint = Checkpoint(room.name, sequence, self._hub.clock.time_ms(), state)
            if history is not None and not await history.recorder.fold(
                checkpoint, verbatim=bool(document.verbatim), watch=room.watch
            ):
                return False
            if self._hub.rooms.get(room.name) is not room:
                return False  # deleted meanwhile, for example: a checkpoint would bring it back
            began_s = self._hub.clock.monotonic_s()
            try:
                await self._hub.store.checkpoint(checkpoint)
            except StoreError as error:
                self._hub.stats.store_errors["checkpoint"] += 1
                log.error("no checkpoint of %r, its log is kept: %s", room.name, error)
                return False
            self._wrote(room, began_s)
            room.log_records -= records
            room.log_bytes -= size
            room.fill.state_bytes = len(state)
            room.note_size()
            return room.log_records == 0

    async def _condense(self, room: Room) -> bytes | None:
        """Have a state made and proven apart; ``None`` where that can't be."""
        draft = room.document.draft()
        frame = self._hub.limits.max_frame_bytes
        condensed = await condense_elsewhere(draft.parts, frame, self._yielding)
        if condensed is None:
            return None
        state, frames = condensed
        room.document.adopt(draft, state, frames)
        return state

    def _quarantines(self, room: Room, signum: int) -> bool:
        """Count a proof's death over a document, which the next one in this process may be."""
        record = self._hub.guard.suspect(room.name, Work.PROVING, signum)
        if record is None:
            return False
        self._hub.shut_out(room, DocumentQuarantined(record.reason))
        return True

    # Rooms and connections

    async def run(self) -> None:
        """Look after rooms and connections, about once a second."""
        limits = self._hub.limits
        while True:
            await anyio.sleep(limits.housekeeping_interval_s)
            self._tick += 1
            now_s = self._hub.clock.monotonic_s()
            if self._hub.history is not None:
                self._hub.history.automatic.look(self._hub.spawn)
            for room in list(self._hub.rooms.values()):
                for connection in list(room.connections):
                    self._look_after(connection, now_s)
                for rival in room.fanout.awareness.rivals():
                    if isinstance(rival, Connection):
                        self._doubt(rival, now_s)
                if room in self._resting and room.wants_checkpoint:
                    self.schedule_checkpoint(room)  # nobody may edit when the rest is over
                if room.fill.full and room.fill.uncertain:
                    self.schedule_checkpoint(room)  # so much may have been deleted by now
                if not room.connections and not room.pins and room.loaded:
                    if now_s - room.idle_since_s >= limits.idle_room_s:
                        self._schedule_close(room)
                elif room.loaded and now_s - room.active_s > limits.idle_room_s:
                    room.rest()
                    room.active_s = now_s

    def _look_after(self, connection: Connection, now_s: float) -> None:
        limits = self._hub.limits
        step = limits.housekeeping_interval_s
        if connection.blocked and now_s - connection.blocked_since_s > limits.max_lag_s:
            self._hub.stats.rejected["lagging"] += 1
            connection.close(CloseCode.TRY_AGAIN_LATER, "the connection takes nothing")
            return
        if connection.owes_step_1 and connection.live:
            if connection.room.document.waiting or connection.room.document.held.dropped:
                connection.room.ask(connection)
            else:
                connection.owes_step_1 = False
        # "sent" is looked at twice per keepalive time, so silence ends within that time.
        if (self._tick + connection.slot) % max(1, round(limits.keepalive_s / 2 / step)) == 0:
            if not connection.sent and not connection.blocked and connection.live:
                connection.room.fanout.direct(connection, KEEPALIVE)
            connection.sent = False
        if (self._tick + connection.slot) % max(1, round(limits.ping_interval_s / step)) == 0:
            if connection.doubted_s is not None:
                if now_s - connection.doubted_s <= DOUBT_S + step:
                    return  # pinged already
                connection.doubted_s = None
            elif not connection.alive:
                _give_up(connection)
                return
            connection.alive = False
            connection.ignored = 0
            connection.link.ping()

    def _doubt(self, connection: Connection, now_s: float) -> None:
        """Find out soon whether a connection lives: its client may be waiting on another one."""
        if connection.doubted_s is not None:
            if now_s - connection.doubted_s < DOUBT_S:
                return
            if not connection.alive:
                _give_up(connection)
                return
        connection.doubted_s = now_s
        connection.alive = False
        connection.link.ping()

    def _schedule_close(self, room: Room) -> None:
        """Close an idle room in the background: clients don't wait for a slow store or proof."""
        if room not in self._closing:
            self._closing.add(room)
            self._hub.spawn(lambda: self._close_idle(room))

    async def _close_idle(self, room: Room) -> None:
        """Write a checkpoint of an idle room and let go of it, unless somebody came meanwhile."""
        try:
            await self.checkpoint(room)
        finally:
            self._closing.discard(room)
        if room.connections or room.pins or room.uncommitted:
            return
        if self._hub.rooms.get(room.name) is room:
            del self._hub.rooms[room.name]


def _give_up(connection: Connection) -> None:
    """Let go of a connection whose peer gives no sign of life."""
    connection.closed = True
    connection.room.detach(connection)
    connection.link.abort()
