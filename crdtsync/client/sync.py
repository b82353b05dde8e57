"""``connect_sync``: the client for scripts without an event loop.

Owns a thread with an event loop in which the client lives, and the lock that keeps that thread
and the program's from touching the document at once. pycrdt knows one transaction at a time,
whichever thread asks; so the document is touched inside ``transaction()``, by any thread.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import anyio
import pycrdt
from anyio.from_thread import BlockingPortal, start_blocking_portal

from crdtsync.client.chat import Chat
from crdtsync.client.connecting import connect
from crdtsync.client.document import Document
from crdtsync.client.errors import ClientError
from crdtsync.client.people import Presence
from crdtsync.client.status import Status

__all__ = ["SyncDocument", "connect_sync"]

T = TypeVar("T")


class SyncDocument:
    """A shared document for programs that await nothing. Any thread may use it."""

    def __init__(self, document: Document, portal: BlockingPortal, lock: "threading.RLock") -> None:
        self._document = document
        self._portal = portal
        self._lock = lock
        self._inside = threading.local()

    @contextmanager
    def transaction(self) -> Iterator["pycrdt.Doc[Any]"]:
        """Hand out the pycrdt document, to be read and written until the end of ``with``.

        Nothing comes in meanwhile, and what is edited goes out as one update behind it. Keep it
        short: nothing else is done in this time, not even an answer to the server's pings.
        """
        with self._lock:
            self._inside.depth = getattr(self._inside, "depth", 0) + 1
            try:
                doc = self._document.doc
                with doc.transaction():
                    yield doc
            finally:
                self._inside.depth -= 1

    @property
    def name(self) -> str:
        """The document's name on the server."""
        return self._document.name

    @property
    def chat(self) -> Chat:
        """The messages beside the document."""
        return self._document.chat

    @property
    def presence(self) -> Presence:
        """The people of the document, where the server keeps presence."""
        return self._document.presence

    @property
    def status(self) -> Status:
        """What state the client is in."""
        return self._document.status

    @property
    def error(self) -> ClientError | None:
        """Why nothing more is tried; ``None`` while it is."""
        return self._document.error

    @property
    def durable(self) -> bool | None:
        """What ``saved()`` means here; see ``Document.durable``."""
        return self._document.durable

    @property
    def unsaved(self) -> bool:
        """Whether there are edits that the server has not confirmed."""
        return self._document.unsaved

    def synced(self, timeout_s: float | None = None) -> None:
        """Wait until the server has answered. Raises ``TimeoutError``, and what the other does."""
        self._wait(self._document.synced, timeout_s)

    def saved(self, timeout_s: float | None = None) -> None:
        """Wait until all own edits so far are confirmed. Raises ``TimeoutError``, and so on."""
        self._wait(self._document.saved, timeout_s)

    def kept(self, timeout_s: float | None = None) -> None:
        """Wait until the local store has everything. Raises ``TimeoutError``, and so on."""
        self._wait(self._document.kept, timeout_s)

    def renew(self, token: str) -> int:
        """Hand in a fresh token; return the seconds that it lasts, 0: for ever."""
        self._check()
        return self._portal.call(self._document.renew, token)

    def reconnect(self) -> None:
        """Don't wait any longer before the next try."""
        self._call(self._document.reconnect)

    def retry(self) -> None:
        """Try once more after a refusal."""
        self._call(self._document.retry)

    def discard(self) -> "pycrdt.Doc[Any]":
        """Give up what is not saved and start anew; return the document so far."""
        self._check()
        return self._portal.call(self._document.discard)

    @property
    def states(self) -> dict[int, Any]:
        """The awareness states of all who are there, by client id, with the own one."""
        return self._call(lambda: self._document.awareness.states)

    def present(self, state: Mapping[str, Any] | None) -> None:
        """Say what this client is; ``None``: that it is not there."""

        def say() -> None:
            self._document.awareness.local_state = None if state is None else dict(state)

        self._call(say)

    def on_status(self, callback: Callable[[Status], None]) -> Callable[[], None]:
        """Call back, in the client's own thread, at each change of ``status``."""
        return self._call(lambda: self._document.on_status(callback))

    def _call(self, call: Callable[[], T]) -> T:
        self._check()
        return self._portal.call(call)

    def _wait(self, call: Callable[[], Awaitable[None]], timeout_s: float | None) -> None:
        self._check()

        async def wait() -> None:
            with anyio.fail_after(timeout_s):
                await call()

        self._portal.call(wait)

    def _check(self) -> None:
        if getattr(self._inside, "depth", 0):
            raise RuntimeError("nothing is waited for inside transaction(): leave it before")


@contextmanager
def connect_sync(
    url: str, *, doc: "pycrdt.Doc[Any] | None" = None, **options: Any
) -> Iterator[SyncDocument]:
    """Open a document of a server, for ``with``. All options are those of ``connect``.

    A ``doc`` that is handed in has to be one with ``allow_multithreading=True``. The client
    works in a thread of its own, which ends with ``with``.
    """
    if doc is None:
        doc = pycrdt.Doc(allow_multithreading=True)
    elif not doc._allow_multithreading:
        raise ClientError("the document has to be made with allow_multithreading=True")
    lock = threading.RLock()
    connecting = connect(url, doc=doc, **options)
    with start_blocking_portal("asyncio", name="crdtsync client") as portal:
        loop = portal.call(asyncio.get_running_loop)

        def soon(call: Callable[[], None]) -> None:
            loop.call_soon_threadsafe(call)

        connecting.lock, connecting.soon = lock, soon
        with portal.wrap_async_context_manager(connecting) as document:
            yield SyncDocument(document, portal, lock)
