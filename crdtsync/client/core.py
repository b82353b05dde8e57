"""What a client holds whether or not there is a connection, and who waits for what of it.

Owns document, ledger, outbox, presence and local store of one client, its status and how it
ended. Everything here happens in the event loop's thread, but for an edit: that is noticed in
the thread that makes it, under the replica's lock.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

import anyio
import pycrdt

from crdtsync.client.awareness import Awareness
from crdtsync.client.errors import ClientError, Closed, Denied, Refused
from crdtsync.client.ledger import Ledger
from crdtsync.client.observers import Observers
from crdtsync.client.offline import Keeper
from crdtsync.client.options import Options
from crdtsync.client.outbox import Outbox
from crdtsync.client.replica import Replica
from crdtsync.client.session import Session
from crdtsync.client.status import Status
from crdtsync.client.watches import Watches
from crdtsync.structs import Scan

__all__ = ["Core", "Soon"]

Soon = Callable[[Callable[[], None]], None]
"""Has something called in the event loop's thread, soon; from any thread."""

FIRST_PROBE_S: Final = 0.1
"""Where the server confirms nothing it is asked again behind so long, then behind twice that."""
DENIED_GRACE_S: Final = 1.0
"""Behind a denial a close may follow, which says more."""
MIN_WAIT_S: Final = 0.01


class Core:
    """One client's state."""

    def __init__(
        self,
        doc: "pycrdt.Doc[Any]",
        options: Options,
        *,
        lock: AbstractContextManager[Any],
        soon: Soon,
    ) -> None:
        self.options = options
        self.lock = lock
        self.soon = soon
        self.replica = Replica(doc, lock)
        self.ledger = Ledger()
        self.outbox = Outbox(options)
        self.awareness = Awareness(doc.client_id, options, lambda: soon(self._wake))
        self.user: Mapping[str, Any] = {}
        """What this client's person is called."""
        self._guest = doc.client_id
        self.said_ms = 0
        """The time of the last message that was written here."""
        self.keeper: Keeper | None = None
        self.session: Session | None = None
        self.status = Status.CONNECTING
        self.statuses: Observers[Status] = Observers()
        self.denials: Observers[str] = Observers()
        self.denial = ""
        """Why the server has not taken something, on this connection."""
        self.error: ClientError | None = None
        """Why nothing more is tried."""
        self.told = False
        """Whether somebody was told of the error."""
        self.again = anyio.Event()
        """Ends the wait before the next try."""
        self.talking: anyio.CancelScope | None = None
        """Around a connection, from its beginning to its end."""
        self._bell = anyio.Event()
        self.watches = Watches(self.map, lock, soon)

    @property
    def me(self) -> str:
        """Who this client is in channels: its user's id, or a guest's of its own."""
        return str(self.user.get("id") or f"guest-{self._guest:x}")

    def map(self, name: str) -> "pycrdt.Map[Any]":
        """Return a root of the document as a map; under the lock."""
        root: pycrdt.Map[Any] = self.replica.doc.get(name, type=pycrdt.Map)
        return root

    def watch(self, name: str, callback: Callable[[list[str]], None]) -> Callable[[], None]:
        """Call back with the keys of a root that change, in later documents, too."""
        return self.watches.add(name, callback)

    # Edits

    def attach(self) -> None:
        """Notice edits from now on."""
        self.replica.attach(edited=self._edited, arrived=self._arrived)

    def renew(self, doc: "pycrdt.Doc[Any]") -> None:
        """Go on with another document, and nothing of the one before; the lock is held."""
        self.watches.leave()
        self.replica.detach()
        self.replica = Replica(doc, self.lock)
        self.watches.go_on()
        self.ledger = Ledger()
        self.outbox = Outbox(self.options)
        self.awareness.restart(doc.client_id)
        if self.keeper is not None:
            self.keeper.begin_anew()
        self.attach()

    def _edited(self, update: bytes, found: Scan) -> None:
        self.ledger.make(found)
        self.outbox.add(update, found)
        if self.keeper is not None:
            self.keeper.put(update, own=True)
        self.soon(self._wake)

    def _arrived(self, update: bytes, _found: Scan) -> None:
        if self.keeper is not None:
            self.keeper.put(update, own=False)
            self.soon(self.keeper.wake)

    def _wake(self) -> None:
        if self.keeper is not None:
            self.keeper.wake()
        if self.session is not None:
            self.session.wake()

    # What a session says

    def synced(self) -> None:
        """The server has answered."""
        self.enter(Status.SYNCED)

    def confirmed(self) -> None:
        """The server has said something of what it has."""
        self.ring()

    def denied(self, reason: str) -> None:
        """The server did not take something."""
        self.denial = reason or "no reason given"
        self.denials.tell(self.denial)
        self.ring()

    # Status

    def enter(self, status: Status) -> None:
        """Take another status, and tell of it. Behind the last one there is none."""
        if status is not self.status and self.status is not Status.CLOSED:
            self.status = status
            self.statuses.tell(status)
        self.ring()

    def fail(self, error: ClientError) -> None:
        """Try nothing more."""
        self.error, self.told = error, False
        self.enter(Status.REFUSED if isinstance(error, Refused) else Status.FAILED)

    def forgive(self) -> None:
        """Try again after an error; a next one is told of anew."""
        self.error, self.told = None, False
        self.again.set()

    def ring(self) -> None:
        """Have everybody who waits look again."""
        bell, self._bell = self._bell, anyio.Event()
        bell.set()

    async def wait(self) -> None:
        """Wait until something has changed."""
        await self._bell.wait()

    def check(self) -> None:
        """Raise what keeps anybody from waiting on."""
        if self.replica.unsendable is not None and self.error is None:
            self.fail(self.replica.unsendable)
        if self.error is not None:
            self.told = True
            raise self.error
        if self.status is Status.CLOSED:
            raise Closed("the client was closed")

    # Waiting

    async def until_status(self, *wanted: Status) -> None:
        """Wait for one of some states."""
        while self.status not in wanted:
            self.check()
            await self.wait()

    async def until_saved(self) -> None:
        """Wait until the server has confirmed all edits so far. Raises why it won't."""
        with self.lock:
            owed, ledger = self.ledger.owed(), self.ledger
        if self.replica.unsendable is not None:
            self.check()
        pause_s = FIRST_PROBE_S
        asked_s = denied_s = anyio.current_time()
        if self.session is not None and not self.session.durable:
            self.session.ask()
        while True:
            with self.lock:
                if ledger is not self.ledger:
                    raise Closed("the edits were discarded")
                if ledger.settled(owed):
                    return
            self.check()
            now_s = anyio.current_time()
            if not self.denial:
                denied_s = now_s
            elif now_s >= denied_s + DENIED_GRACE_S:
                raise Denied(self.denial)
            session = self.session
            patience_s = pause_s
            if session is None or session.durable:
                patience_s = self.options.probe_after_s
            if session is not None and now_s >= asked_s + patience_s:
                session.ask()
                asked_s = now_s
                pause_s = min(pause_s * 2, self.options.probe_after_s)
            left_s = asked_s + patience_s - now_s
            if self.denial:
                left_s = min(left_s, denied_s + DENIED_GRACE_S - now_s)
            with anyio.move_on_after(max(left_s, MIN_WAIT_S)):
                await self.wait()

    async def until_kept(self) -> None:
        """Wait until all that happened so far is in the local store.

        Raises ``StoreError``, and ``Closed`` where nobody writes it any more.
        """
        if self.keeper is None:
            return
        position = self.keeper.position
        while not self.keeper.kept(position):
            if self.keeper.error is not None:
                raise self.keeper.error
            if self.status is Status.CLOSED:
                raise Closed("the client was closed")
            await self.wait()
