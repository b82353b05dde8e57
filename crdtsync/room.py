"""A document that is open on this server, with its connections.

Owns an update's way through it: gate, admission, pending batch, and, once the store has it,
document and fan-out. Synchronous throughout: the hub awaits, the room never does.
"""

from collections.abc import Callable, Sequence

from crdtsync.batch import Editor, Pending, Source, make_batch
from crdtsync.clock import Clock
from crdtsync.connection import Connection
from crdtsync.content import RootExport, export
from crdtsync.dividing import takes_long
from crdtsync.document import Document, Verdict
from crdtsync.engine import Engine
from crdtsync.errors import CloseCode
from crdtsync.fanout import Committed, Fanout
from crdtsync.fill import Fill
from crdtsync.gate import ContentGate, Deny, Gate
from crdtsync.guard import NO_WATCH, Watch
from crdtsync.judge import Judge
from crdtsync.limits import Limits
from crdtsync.progress import Progress
from crdtsync.protocol import step_1_frame
from crdtsync.session import (
    AwarenessReceived,
    AwarenessRequested,
    Event,
    Ignored,
    PartsMissing,
    StateRequested,
    UpdateReceived,
)
from crdtsync.stats import Stats
from crdtsync.store.base import Record
from crdtsync.structs import EMPTY_UPDATE, Scan

__all__ = ["Room"]

MAX_ASKS = 7
"""A client that lacks what it is asked for is asked once a minute in the end: in 64 seconds."""


class Room:
    """An open document. Made by ``Hub``; read it, and edit through ``Hub.edit``."""

    __slots__ = (
        "_document", "_in_flight", "_pending", "_pressure", "_progress", "active_s", "clock",
        "committed_ms", "committed_sequence", "damage", "degraded", "detailed", "dirty", "engine",
        "fanout", "fill", "idle_since_s", "judge", "limits", "log_bytes", "log_records", "name",
        "pins", "sequence", "stalled", "stats", "watch",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        engine: Engine,
        gate: Gate | ContentGate | None,
        limits: Limits,
        stats: Stats,
        clock: Clock,
        watch: Watch = NO_WATCH,
        stamps: bool = False,
    ) -> None:
        self.name = name
        self.watch = watch
        self.engine = engine
        self.limits = limits
        self.stats = stats
        self.clock = clock
        self.judge = Judge(self, gate)
        self._pressure = engine.pressure
        self._document: Document | None = None
        self.detailed = False
        """Whether updates are best scanned with structs."""
        self.sequence = 0
        """Of the last record handed to the store."""
        self._pending: list[Pending] = []
        self._in_flight: list[Committed] = []
        self._progress = Progress()
        self.committed_sequence = self.committed_ms = 0
        """Of the last record that the store has; the time is 0 until one is committed here."""
        self.active_s = clock.monotonic_s()
        self.fanout = Fanout(limits, stats, clock, lambda: self.document.diff(b"\x00"), stamps)
        self.fill = Fill(limits)
        self.dirty = False
        """Whether a commit is scheduled."""
        self.log_records = 0
        """Records in the store behind its newest checkpoint."""
        self.log_bytes = 0
        self.pins = 0
        """Users other than connections that keep the room open."""
        self.idle_since_s = clock.monotonic_s()
        self.damage = ""
        """Why the document is read-only; empty where it is sound."""
        self.stalled = False
        """Whether the store refuses its last batch: nothing more goes out before that. Or it was
        let go of: whoever is still in it writes nothing any more."""
        self.degraded = ""
        """What is wrong right now; empty where all is well."""

    @property
    def document(self) -> Document:
        """The loaded document."""
        assert self._document is not None, "the room is still loading"
        return self._document

    @property
    def loaded(self) -> bool:
        """Whether the document is there."""
        return self._document is not None

    @property
    def connections(self) -> Sequence[Connection]:
        """The connections, in the order in which they came."""
        return self.fanout.connections

    @property
    def uncommitted(self) -> bool:
        """Whether updates wait for, or are in, a commit."""
        return bool(self._pending or self._in_flight)

    def uncommitted_updates(self) -> list[bytes]:
        """Return what is admitted and not yet committed, in order."""
        waiting = [each[0] for each in (*self._pending, *self.document.ready)]
        return [entry.update for entry in self._in_flight] + waiting

    def state(self) -> bytes:
        """Return everything committed as one v1 update."""
        return self.document.state()

    def state_vector(self) -> bytes:
        """Return the encoded state vector."""
        return self.document.state_vector()

    def export(self) -> dict[str, RootExport]:
        """Return the document's roots as JSON and text."""
        return export(self.state(), self.watch)

    # Opening

    def attach(self, connection: Connection) -> None:
        """Let a connection in; while the document loads it only waits."""
        self.fanout.connections.append(connection)
        if self._document is not None:
            self._greet(connection)

    def opened(self, document: Document, sequence: int) -> None:
        """Take over the loaded document and greet everyone who waits."""
        document.loaded()
        self._document = document
        self.sequence = self.committed_sequence = sequence
        self.detailed = document.detailed
        for connection in list(self.fanout.connections):
            self._greet(connection)

    def _greet(self, connection: Connection) -> None:
        fanout = self.fanout
        fanout.direct(connection, step_1_frame(self.document.state_vector()))
        fanout.greet_awareness(connection, always=False)
        connection.go_live()

    def detach(self, connection: Connection) -> None:
        """Forget a connection and the awareness states that it brought."""
        fanout = self.fanout
        if connection not in fanout.connections:
            return
        fanout.remove(connection)
        self.stats.connections_closed += 1
        self.judge.left()
        self.engine.left(connection)
        if fanout.awareness.leave(connection):
            self.engine.schedule_awareness(self)
        if not fanout.connections:
            self.idle_since_s = self.clock.monotonic_s()

    # From a connection

    def drained(self, connection: Connection) -> None:
        """Bring a connection that takes data again up to date, then answer what it asked."""
        self.fanout.catch_up(connection)
        if connection.owes_step_1:
            self.ask(connection)
        owed, connection.owed = connection.owed, {}
        for event in owed.values():
            self.handle(connection, event)

    def ask(self, connection: Connection) -> None:
        """Ask a client for what is missing; once a second, or what it sends would multiply.

        One that answers without it waits for it itself, and is asked less and less often.
        """
        now_s = self.clock.monotonic_s()
        pauses = max(1, 2 ** min(connection.asks, MAX_ASKS) // 2)
        wait_s = self.limits.housekeeping_interval_s * pauses
        connection.owes_step_1 = connection.blocked or now_s - connection.asked_s < wait_s
        if not connection.owes_step_1:
            connection.asked_s = now_s
            connection.asks += 1
            self.fanout.direct(connection, step_1_frame(self.document.state_vector()))

    def handle(self, connection: Connection, event: Event) -> None:
        """Do what an event asks for; the newest question of each kind waits for a full socket."""
        match event:
            case StateRequested() | AwarenessRequested() if connection.blocked:
                connection.owed[type(event)] = event
            case UpdateReceived(update, found, step_2):
                whole = type(event) is UpdateReceived
                if whole and connection.free and self.fill.limit:  # a keystroke's is, once full
                    self.fill.check(update, found, self.document.knows)
                if whole and connection.free and takes_long(found, self.document):
                    connection.wait(event)
                    self.engine.divide_apart(connection, event)
                else:
                    self.receive_update(connection, update, found, step_2=step_2)
            case PartsMissing():
                self.document.held.dropped = True
                self.ask(connection)
            case StateRequested(state_vector):
                self._answer(connection, state_vector)
            case AwarenessReceived(entries, first):
                if connection.hidden:
                    self.stats.awareness_in += 1
                elif self.fanout.receive_awareness(connection, entries, first=first):
                    self.engine.schedule_awareness(self)
            case AwarenessRequested():
                self.fanout.greet_awareness(connection, always=True)
            case Ignored(kind):
                connection.note_ignored(kind)

    def receive_update(
        self, connection: Connection, update: bytes, found: Scan, *, step_2: bool = False
    ) -> None:
        """Let a connection's update in, or say why not. Raises ``InvalidUpdate``."""
        # The hot path: what ``submit`` does is written out here, which saves three calls.
        if not connection.free and not self.judge.passes(connection, update, found):
            if self.judge.refuses(connection, update, found, step_2=step_2):
                return
            if self.fill.limit:
                self.fill.check(update, found, self.document.knows)
            if self.document.judge is not None:
                self.judge.admit(update, found, connection)
                return
        document = self._document
        assert document is not None
        verdict = document.admit(update, found, connection)
        if verdict is Verdict.NEW and not document.ready:
            self._pending.append((update, found, connection))
            pressure = self._pressure
            pressure.pending_bytes += len(update)
            if not self.dirty:
                self.engine.schedule_commit(self)
            if pressure.pending_bytes > pressure.limit_bytes:
                self.engine.throttle(connection)
        elif self.settle(verdict, update, found, connection) is Verdict.AHEAD:
            self.ask(connection)
            return
        if step_2:
            connection.asks = 0

    def deny(
        self,
        connection: Connection,
        denial: Deny,
        update: bytes,
        found: Scan,
        *,
        step_2: bool = False,
    ) -> None:
        """Refuse a connection's update: its author is told, and it is kept aside."""
        self.engine.refusals.deny(self, connection, denial, update, found, step_2=step_2)

    def submit(self, update: bytes, found: Scan, source: Source) -> Verdict:
        """Admit an update and queue it for the next commit.

        Raises ``InvalidUpdate`` where it may not enter.
        """
        document = self.document
        if document.judge is not None:
            return self.judge.admit(update, found, source)
        return self.settle(document.admit(update, found, source), update, found, source)

    def settle(self, verdict: Verdict, update: bytes, found: Scan, source: Source) -> Verdict:
        """Queue what an admission let in, count what it did not."""
        if verdict is Verdict.NEW:
            self._queue(update, found, source)
        elif verdict is Verdict.AHEAD:
            self.stats.updates_in += 1
            self.stats.updates_held += 1
        for piece, described, author in self.document.take_ready():
            assert isinstance(author, Connection | Editor)
            self._queue(piece, described, author)
            verdict = verdict if verdict is Verdict.AHEAD else Verdict.NEW
        if verdict is Verdict.KNOWN:
            self.stats.updates_in += 1
            self.stats.updates_duplicate += 1
        return verdict

    def _queue(self, update: bytes, found: Scan, source: Source) -> None:
        self._pending.append((update, found, source))
        pressure = self._pressure
        pressure.pending_bytes += len(update)
        if not self.dirty:
            self.engine.schedule_commit(self)
        if pressure.pending_bytes > pressure.limit_bytes and isinstance(source, Connection):
            self.engine.throttle(source)

    def _answer(self, connection: Connection, state_vector: bytes) -> None:
        """Answer a step 1."""
        updates = self.document.diff(state_vector)
        self.active_s = self.clock.monotonic_s()
        self.fanout.answer(connection, updates or [EMPTY_UPDATE])

    # Commit

    def take_batch(self, time_ms: int) -> list[Record]:
        """Hand the pending updates over for a commit."""
        pending, self._pending = self._pending, []
        self.dirty = False
        self._progress.taken += len(pending)
        self.stats.updates_in += len(pending)
        batch = make_batch(
            pending, self.limits, document=self.name, sequence=self.sequence, time_ms=time_ms
        )
        self.sequence += len(batch.records)
        self._in_flight += batch.entries
        return batch.records

    def committed(self) -> None:
        """Take over what the store now has: into the document, and out to everyone."""
        # The hot path: what ``document.commit`` does is written out here.
        entries, self._in_flight = self._in_flight, []
        document, progress = self.document, self._progress
        state, updates = document.committed, 0
        for update, layout, count, _ in entries:
            state.append(update, layout, count)
            updates += count
            self.log_bytes += len(update)
        self.stats.updates_committed += updates
        progress.done += updates
        self.log_records += self.sequence - self.committed_sequence
        self.committed_sequence = self.sequence
        self.detailed = document.detailed
        if self.fill.limit:
            self.note_size()
        self.fanout.publish(entries)
        if state.tail_updates > self.limits.max_tail_updates and not state.heavy:
            self.integrate()
        if progress.waiters:
            progress.wake()

    def note_size(self) -> None:
        """Find out anew how large the document is, and whether anything may be added to it."""
        if self.fill.note(self.log_bytes, sum(len(each[0]) for each in self._pending)):
            self.judge.regard_all()

    def integrate(self) -> None:
        """Put the log's tail into the document in memory, and count what that takes."""
        document = self.document
        start = self.clock.monotonic_s()
        verbatim = document.verbatim
        document.integrate()
        self.stats.integration_seconds += self.clock.monotonic_s() - start
        if document.verbatim != verbatim:
            self.stats.integration_errors += 1

    def when_committed(self, call: Callable[[], None]) -> None:
        """Call something once everything queued so far is committed."""
        self._progress.when(len(self._pending), call)

    def abandoned(self) -> None:
        """Give up what could not be committed: the clients have it, and bring it back."""
        self._in_flight.clear()
        self._progress.give_up(len(self._pending))
        self._pending.clear()
        self._progress.wake()

    # Closing

    def log_mark(self) -> tuple[int, int, int]:
        """Return the last committed sequence, and the records and bytes of the log up to it."""
        return self.committed_sequence, self.log_records, self.log_bytes

    def rest(self) -> None:
        """Let go of what can be made again, after a while without edits."""
        self.document.rest()

    @property
    def wants_checkpoint(self) -> bool:
        """Whether the log is long enough for a checkpoint while the room is in use."""
        limits = self.limits
        long = self.log_records > limits.max_log_records or self.log_bytes > limits.max_log_bytes
        return long or (self.fill.limit > 0 and self.fill.wants_checkpoint)

    def close_connections(self, code: CloseCode, reason: str) -> None:
        """Send every client away."""
        for connection in list(self.fanout.connections):
            connection.close(code, reason)
