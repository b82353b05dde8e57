"""One client of one room, seen from the engine.

Owns a connection's state: where its cursor is, whether its socket takes more, whether it is
alive. The transport calls the methods, on the event loop, and none of them ever awaits.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Final

from crdtsync.audit import NOBODY, Caller
from crdtsync.brake import Brake
from crdtsync.crdt import IntegrationError
from crdtsync.errors import (
    CloseCode,
    DocumentQuarantined,
    RemoteError,
    TooManyRequests,
    UnsupportedData,
    close_reason,
)
from crdtsync.gate import Clearance, Principal
from crdtsync.link import Link
from crdtsync.pace import GRANT_BYTES
from crdtsync.parting import part
from crdtsync.protocol import permission_denied_frame, short_update, token_refused_frame
from crdtsync.refused.base import Run
from crdtsync.seats import Seat
from crdtsync.session import Event, Ignored, Portion, Session, TokenReceived

if TYPE_CHECKING:
    from crdtsync.refusing import Overhearing
    from crdtsync.room import Room

__all__ = ["Connection", "Link"]

log = logging.getLogger("crdtsync")

FRAME_OVERHEAD_BYTES: Final = 64
"""What a waiting frame costs beside its bytes."""
READ_HERE_BYTES: Final = 128 * 1024
"""A larger frame is read on a thread: its update may take 20 ms a megabyte, or much more."""
BROKEN: Final = 1006
"""The close code of a connection that ended without one (RFC 6455, 7.4.1)."""


class Connection:
    """One client of one room. Made by ``Hub.connect``."""

    __slots__ = (
        "__weakref__", "_backlog", "_backlog_bytes", "_waiting", "acknowledge", "alive", "asked_s",
        "asks", "awareness_version", "blocked", "blocked_since_s", "brake", "caller",
        "clearance", "closed", "code", "credit", "cursor", "denials", "doubted_s", "events", "free",
        "gives_way", "hidden", "ignored", "large", "link", "live", "overhear", "owed",
        "owes_step_1", "parts", "portion", "principal", "reading_paused", "refused", "renew",
        "room", "seat", "send", "send_short", "sent", "session", "slot",
    )  # fmt: skip

    _count = 0

    def __init__(
        self,
        link: Link,
        room: "Room",
        principal: Principal,
        *,
        acknowledge: bool,
        caller: Caller = NOBODY,
    ) -> None:
        self.link = link
        self.room = room
        self.principal = principal
        self.caller = caller
        self.session = Session(room.limits, lambda: len(room.document.clocks))
        self.acknowledge = acknowledge
        """Whether its own updates come back to it once they are committed."""
        self.send: Callable[[bytes], None] = link.send
        self.send_short: Callable[[bytes], None] = link.send  # for small frames: may be shorter
        self.live = False
        """Whether the room is loaded and this connection is part of its fan-out."""
        self.closed = False
        """Nothing more is taken from it or sent to it."""
        self.blocked = False
        """Its socket takes nothing now."""
        self.blocked_since_s = 0.0
        self.cursor = 0
        """While blocked: the first entry of the room's log that it lacks."""
        self.awareness_version = 0
        """While blocked: the awareness version that it has."""
        self.alive = True
        """Something came from it since the last ping."""
        self.doubted_s: float | None = None
        """When it was pinged because its client seems to have come back on another one."""
        self.sent = True
        """Something was sent to it since the last look."""
        self.owed: dict[type, Event] = {}
        """While blocked: what it asked for, the newest of each kind; answered when it drains."""
        self.parts: list[tuple[bytes, bool]] = []
        """While blocked: what is left of a large answer, the last first; updates, which are the
        document's own for all that ask, and whether it is the step 2."""
        self.owes_step_1 = False
        """Whether the room has something to ask it for, but not now."""
        self.asked_s = float("-inf")
        """When it was last asked for what an update of its lacked."""
        self.asks = 0
        """How often it was, since it last sent an answer that lacked nothing."""
        self.denials = 0
        """Denials that it was told of."""
        self.refused: Run | None = None
        """What it was refused so far, where that was something."""
        self.overhear: Overhearing | None = None
        """What still takes its frames, where it was refused and waits for its end."""
        self.ignored = 0
        """Messages since the last ping that mean nothing to a server."""
        self.free = False
        """Whether it may write, whatever it writes."""
        self.hidden = False
        """Whether its awareness counts for nothing."""
        self.clearance: Clearance | None = None
        """What its role lets it write: for the room's judge."""
        self.renew: Callable[[str], None] | None = None
        """What takes a fresh token; ``None``: it can't have one."""
        self.code = BROKEN
        """What it ends with; for the audit log."""
        self.seat: Seat | None = None
        """Its place in its principal's count."""
        self.credit = GRANT_BYTES
        """Bytes that may come before the clock is looked at; ``settle`` accounts for the rest."""
        self.brake = Brake(self)
        self.reading_paused = False
        """Whether its bytes are left in the socket because of what waits behind it."""
        self._backlog: list[bytes] = []
        self._backlog_bytes = 0
        self.events: Iterator[Event] = iter(())
        """What is left of a frame."""
        self._waiting = True  # for the room to load, a large frame to be read, or its judge
        self.large: bytes | None = None
        """A large frame that waits to be read; nobody reads one of who is gone."""
        self.portion: Portion | None = None
        """Of a long update what is let in, or refused, at this moment."""
        self.gives_way = False
        """Whether it waits for others to have a turn: ``was_read(events)`` goes on."""
        Connection._count += 1
        self.slot = Connection._count & 0xFFFF
        """Spreads periodic work over time."""

    # From the transport

    def receive(self, frame: bytes) -> None:
        """Take one whole binary message."""
        self.alive = True
        if self.closed:
            if self.overhear is not None:
                self.overhear.frame(frame)
            return
        if self._waiting:
            self._keep(frame)
            return
        self.credit = credit = self.credit - len(frame)
        room = self.room
        try:
            if credit < 0 and not self.settle():
                return
            update = short_update(frame)
            if update is not None:  # the path of a keystroke
                found = self.session.read_update(update, structs=room.detailed)
                room.receive_update(self, update, found)
            elif len(frame) > READ_HERE_BYTES:
                self._waiting = True
                self.large = frame
                room.engine.read_apart(self)
            else:
                self._take(self.session.receive(frame, structs=room.detailed))
        except RemoteError as error:
            room.engine.refusals.turn_away(self, error, frame)
        except IntegrationError as error:
            self._unreadable(error)

    @property
    def unsettled_bytes(self) -> int:
        """What came since ``settle``."""
        return GRANT_BYTES - self.credit

    def settle(self) -> bool:
        """Account for what came, brake who sends too fast; return whether it is still open."""
        used, self.credit = GRANT_BYTES - self.credit, GRANT_BYTES
        self.room.stats.bytes_in += used
        if not self.closed:
            try:
                self.brake.bytes_came(used)
            except TooManyRequests as error:
                self.refuse(error)
        return not self.closed

    def _take(self, events: Iterable[Event]) -> None:
        self.events = iter(events)
        event: Event | None = None
        try:
            for event in self.events:
                self.portion = event if type(event) is Portion else None
                if type(event) is TokenReceived:
                    self._take_token(event.token)
                else:
                    self.room.handle(self, event)
                if self.portion is not None and not (self.closed or self._waiting):
                    self._waiting = self.gives_way = True
                if self.closed or self._waiting:  # by what it just did
                    break
        except RemoteError as error:
            left = self.events if event is None else chain((event,), self.events)
            self.room.engine.refusals.turn_away(self, error, left)
        except IntegrationError as error:
            self._unreadable(error)
        self.portion = None

    def wait(self, event: Event) -> None:
        """Keep an event, and what comes behind it, until ``was_read(events)``."""
        self._waiting = True
        self.events = chain((event,), self.events)

    def _take_token(self, token: str) -> None:
        if self.renew is not None:
            self.renew(token)
            return
        if not self.blocked:
            self.send(token_refused_frame("this connection has no token to renew"))
        self.room.handle(self, Ignored("token"))

    def read(self, frame: bytes) -> list[Event] | RemoteError:
        """Read a large frame, on any thread; ``was_read`` takes it, and what this returns."""
        try:
            # Of a long one ``dividing`` describes a portion at a time: 600 bytes a struct.
            return self.session.receive(frame, structs=False)
        except RemoteError as error:
            return error

    def was_read(self, found: Iterable[Event] | RemoteError, frame: bytes = b"") -> None:
        """Take what a large frame was, or what waited, then what came behind it."""
        self.gives_way = False
        if self.closed:
            if self.overhear is not None:
                if isinstance(found, RemoteError):
                    self.overhear.frame(frame)
                else:
                    self.overhear.events(found)
            return
        self._waiting = False
        if isinstance(found, RemoteError):
            self.room.engine.refusals.turn_away(self, found, frame)
        else:
            self._take(found)
        if not self._waiting:
            self._take_backlog()

    def _unreadable(self, error: IntegrationError) -> None:
        self.room.stats.integration_errors += 1
        log.error("document %r can't be read: %s", self.room.name, error)
        self.close(CloseCode.INTERNAL_ERROR, "the document can't be read")

    def note_ignored(self, kind: str) -> None:
        """Count a message that means nothing to a server. Raises ``TooManyRequests``."""
        self.room.stats.messages_ignored[kind] += 1
        self.ignored += 1
        if self.ignored > self.room.limits.max_ignored_messages:
            raise TooManyRequests("too many messages that mean nothing to a server")

    def receive_text(self) -> None:
        """Take note of a text message: there are none in this protocol."""
        self.refuse(UnsupportedData("text messages are not part of the protocol"))

    def heard(self, size: int = 0) -> None:
        """Take note of any sign of life, such as a pong, of so many bytes."""
        self.alive = True
        self.credit -= size
        if self.credit < 0:
            self.settle()

    def pause_writing(self) -> None:
        """Stop sending: the socket's buffer is full."""
        if not self.blocked:
            self.blocked = True
            self.room.fanout.blocked(self)

    def resume_writing(self) -> None:
        """Go on sending: the socket's buffer has drained."""
        if self.blocked:
            self.blocked = False
            if not self.closed:
                self.room.drained(self)

    def lost(self, code: int | None = None) -> None:
        """Take note that the socket is gone, and of the peer's close code; idempotent."""
        if not self.closed and code is not None:
            self.code = code
        self.closed = True
        self.overhear = self.large = None
        self._backlog.clear()
        self.room.detach(self)

    # From the engine and the transport

    def refuse(
        self,
        error: RemoteError | DocumentQuarantined,
        *,
        delay_s: float | None = None,
        overhear: "Overhearing | None" = None,
        when_done: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        """Count the error, tell the client, and close this connection with the error's code.

        ``delay_s`` is how long the close waits, if not a moment; ``overhear`` gets what is left
        and what comes until then, and ``when_done`` what closes.
        """
        if self.closed:
            return
        backlog, self._backlog = self._backlog, []
        part(self, error, delay_s, when_done)
        if overhear is not None:
            self.overhear = overhear
            overhear.events(self.events)
            for frame in backlog:
                overhear.frame(frame)

    def close(self, code: CloseCode, reason: str) -> None:
        """Close from the server's side, behind what was sent."""
        if self.closed:
            return
        self.closed = True
        self.code = int(code)
        self.large = None
        self._backlog.clear()
        self.room.detach(self)
        self.link.close(code, close_reason(reason))

    def pause_reading(self) -> None:
        """Stop reading from this client until ``resume_reading``."""
        if not self.reading_paused:
            self.reading_paused = True
            if not self.brake.on:
                self.link.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading."""
        if self.reading_paused:
            self.reading_paused = False
            if not self.closed and not self.brake.on:
                self.link.resume_reading()

    def deny(self, reason: str) -> None:
        """Tell the client that its edit was not taken, and go on."""
        if not self.blocked:
            self.denials += 1
            self.send(permission_denied_frame(reason))

    def _keep(self, frame: bytes) -> None:
        self._backlog.append(frame)
        self._backlog_bytes += len(frame) + FRAME_OVERHEAD_BYTES
        if self._backlog_bytes > self.room.limits.max_backlog_bytes:
            self.pause_reading()

    def go_live(self) -> None:
        """Handle what came while the room was loading."""
        self.live = True
        self.room.judge.regard(self)
        self._take_backlog()

    def become(self, principal: Principal) -> None:
        """Speak for a principal from now on: the same one, in another role or for longer."""
        self.principal = principal
        if self.live:
            self.room.judge.reconsider(self)
        self.room.engine.channels.became(self)

    def _take_backlog(self) -> None:
        self._waiting = False
        backlog, self._backlog = self._backlog, []
        self._backlog_bytes = 0
        self.resume_reading()
        for frame in backlog:
            self.receive(frame)
