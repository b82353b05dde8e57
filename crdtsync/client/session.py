"""One connection's life: what is said on it, in which order, and what comes back.

Owns one socket's conversation. Invariants:

- Edits go out only behind the answer to the server's step 1, in the order in which they were
  made; those of one turn go out as one.
- All that is to be said is a state ("this is due"), not a queue: a slow socket costs no memory.
- The own state vector leaves out what the server has not confirmed. So its answer says what of
  that it has after all, whichever server it is.

What goes wrong ends it with ``ConnectionLost``, ``Refused`` or ``Unusable``.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import anyio

from crdtsync.awareness import encode_entries, read_entries
from crdtsync.client.awareness import Awareness
from crdtsync.client.errors import (
    ClientError,
    ConnectionLost,
    TokenRefused,
    is_final,
    refusal,
)
from crdtsync.client.ledger import Ledger
from crdtsync.client.options import Options
from crdtsync.client.outbox import Outbox, cut
from crdtsync.client.replica import LIMITS, Replica
from crdtsync.client.socket import Socket
from crdtsync.client.tokens import read_answer
from crdtsync.errors import MalformedMessage, RemoteError
from crdtsync.protocol import (
    KEEPALIVE,
    AuthMessage,
    AwarenessMessage,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    awareness_frame,
    decode_frame,
    step_1_frame,
    step_2_frame,
    token_frame,
    update_frame,
)
from crdtsync.state_vector import encode_state_vector
from crdtsync.structs import EMPTY_UPDATE

__all__ = ["Held", "Session"]

log = logging.getLogger("crdtsync.client")
TICK_S: Final = 1.0


class Held(Protocol):
    """What outlives a connection."""

    replica: Replica
    ledger: Ledger
    outbox: Outbox
    awareness: Awareness

    def synced(self) -> None:
        """The server has answered the first step 1 of a connection."""

    def confirmed(self) -> None:
        """The server has said something about what it has."""

    def denied(self, reason: str) -> None:
        """The server did not take something."""


class Session:
    """A conversation on an open socket."""

    def __init__(self, socket: Socket, held: Held, options: Options) -> None:
        self._socket = socket
        self._held = held
        self._replica = held.replica  # what it is about; held has another one if that is discarded
        self._options = options
        self._work = anyio.Event()
        self._asked: bytes | None = None  # the server's state vector, to be answered
        self._answered = False
        self._ask = True  # a step 1 is due
        self._asking = False  # one is under way
        self._ping = False
        self._query = False
        self._token: str | None = None
        self._token_answer: int | str | None = None
        self._token_answered = anyio.Event()
        self.synced_at_s: float | None = None
        self._error: ClientError | None = None
        socket.on_control = self.wake
        held.awareness.due = True

    @property
    def durable(self) -> bool:
        """Whether the server confirms what it has committed."""
        return self._socket.ours

    @property
    def idle(self) -> bool:
        """Whether all edits so far have been handed to the socket."""
        return self._answered and not self._held.outbox

    def wake(self) -> None:
        """See what there is to be sent."""
        self._work.set()

    def ask(self) -> None:
        """Ask the server what it has of what is not confirmed."""
        if not self._asking:
            self._ask = True
            self.wake()

    async def hand_in(self, token: str) -> int:
        """Hand in a fresh token; return the seconds that it lasts, 0: for ever.

        Raises ``TokenRefused``, also where the server does not answer.
        """
        self._token, self._token_answered = token, anyio.Event()
        self.wake()
        with anyio.move_on_after(self._options.connect_timeout_s):
            await self._token_answered.wait()
        answer, self._token_answer = self._token_answer, None
        if isinstance(answer, int):
            return answer
        raise TokenRefused(answer or "the server does not answer")

    async def run(self) -> None:
        """Talk until it ends, and raise why."""
        async with anyio.create_task_group() as tasks:

            async def until_error(task: Callable[[], Awaitable[None]]) -> None:
                try:
                    await task()
                except ClientError as error:
                    self._error = self._error or error
                    tasks.cancel_scope.cancel()

            tasks.start_soon(until_error, self._send)
            tasks.start_soon(until_error, self._watch)
            tasks.start_soon(until_error, self._receive)
            self.wake()
        error = self._error or ConnectionLost("the connection has ended")
        if isinstance(error, ConnectionLost) and is_final(error.code):
            raise refusal(error.code, error.reason)
        raise error

    async def farewell(self) -> None:
        """Say that this client goes, and close."""
        entry = self._held.awareness.farewell()
        await self._socket.send(awareness_frame(encode_entries([entry])))
        await self._socket.close()

    # What comes

    async def _receive(self) -> None:
        while True:
            frame = await self._socket.receive()
            if self._held.replica is not self._replica:
                raise ConnectionLost("the document was discarded")
            answer = read_answer(frame)
            if answer is not None:
                self._token_answer = answer
                self._token_answered.set()
                continue
            try:
                messages = decode_frame(frame)
            except MalformedMessage as error:
                raise ConnectionLost(f"the server sent no message: {error}") from None
            for message in messages:
                match message:
                    case SyncStep1(vector):
                        self._asked = vector
                        self.wake()
                    case SyncStep2(update):
                        self._asking = False
                        self._take(update)
                        if self.synced_at_s is None:
                            self.synced_at_s = anyio.current_time()
                            self._held.synced()
                        self._held.confirmed()
                    case SyncUpdate(update):
                        self._take(update)
                    case AwarenessMessage(payload):
                        self._take_awareness(payload)
                    case QueryAwareness():
                        self._query = self._held.awareness.due = True
                        self.wake()
                    case AuthMessage(reason):
                        self._held.denied(reason)

    def _take(self, update: bytes) -> None:
        if update == EMPTY_UPDATE:
            return
        held = self._held
        with held.replica.lock:
            found, missing = held.replica.integrate(update)
            confirmed = held.ledger.confirm(found)
        if confirmed:
            held.confirmed()
        if missing:
            self.ask()

    def _take_awareness(self, payload: bytes) -> None:
        try:
            entries = read_entries(payload, LIMITS)
        except RemoteError as error:  # some other client's: servers hand on whatever they get
            log.debug("an awareness message can't be read: %s", error)
            return
        self._held.awareness.receive(entries, anyio.current_time())

    # What goes

    async def _send(self) -> None:
        while True:
            await self._work.wait()
            self._work = anyio.Event()
            await self._socket.flush()
            while frames := self._due():
                for frame in frames:
                    await self._socket.send(frame)
            if self._ping:
                self._ping = False
                await self._socket.ping()

    def _due(self) -> list[bytes]:
        """Return what is to be sent now, as frames, and take it as said."""
        frames: list[bytes] = []
        if self._held.replica is not self._replica:
            return frames
        if self._token is not None:
            frames.append(token_frame(self._token))
            self._token = None
        held = self._held
        with held.replica.lock:
            if self._asked is not None:
                vector, self._asked = self._asked, None
                pieces = self._pieces_behind(vector)
                held.outbox.clear()
                self._answered = True
                frames += [update_frame(piece) for piece in pieces[:-1]]
                frames.append(step_2_frame(pieces[-1]))
            elif self._answered and held.outbox:
                clocks = held.replica.clocks
                lacking = held.outbox.lacking(clocks)
                if lacking is None:
                    pieces = held.outbox.take(clocks)
                else:
                    held.outbox.clear()
                    pieces = self._pieces_behind(encode_state_vector(lacking))
                frames += [update_frame(piece) for piece in pieces]
            if self._ask:
                self._ask, self._asking = False, True
                vector = encode_state_vector(held.ledger.claimed(held.replica.clocks))
                frames.append(step_1_frame(vector))
        if held.awareness.due:
            entry = held.awareness.own_entry(anyio.current_time())
            present = held.awareness.local_state is not None
            if present or entry.clock:
                frames.append(awareness_frame(encode_entries([entry])))
            elif self._query:
                frames.append(KEEPALIVE)
            self._query = False
        return frames

    def _pieces_behind(self, vector: bytes) -> list[bytes]:
        update, clocks = self._held.replica.diff(vector)
        return cut(update, clocks, self._options)

    async def _watch(self) -> None:
        """Keep the own presence fresh, and see that the server is there."""
        pinged_s = anyio.current_time()
        while True:
            await anyio.sleep(TICK_S)
            now_s = anyio.current_time()
            if now_s - self._socket.heard_s > self._options.silence_timeout_s:
                raise ConnectionLost("the server says nothing any more")
            if now_s - pinged_s >= self._options.ping_interval_s:
                pinged_s = now_s
                self._ping = True
                self.wake()
            self._held.awareness.tick(now_s)
