"""A document as a program sees it: what it is, what it waits for, what it can be told to do.

Owns nothing but this surface: ``core`` has the state, ``connecting`` the tasks.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import anyio
import pycrdt

from crdtsync.client.awareness import Awareness
from crdtsync.client.chat import Chat
from crdtsync.client.core import Core
from crdtsync.client.errors import ClientError, Closed, ConnectionLost
from crdtsync.client.people import Presence
from crdtsync.client.status import Status
from crdtsync.errors import StoreError

__all__ = ["Document"]

_MAX_STATUSES: Final = 1000


class Document:
    """A shared document, and this client's connection to the server that has it.

    Use it in the event loop's thread. ``doc`` is an ordinary pycrdt document: what is edited in
    it goes out at once, or as soon as there is a connection again.
    """

    def __init__(self, core: Core, name: str) -> None:
        self._core = core
        self._name = name
        self._renewing = anyio.Lock()

    # What it is

    @property
    def doc(self) -> "pycrdt.Doc[Any]":
        """The pycrdt document; another one after ``discard()``."""
        return self._core.replica.doc

    @property
    def name(self) -> str:
        """The document's name on the server."""
        return self._name

    @property
    def awareness(self) -> Awareness:
        """Who else is there, and what this client says of itself."""
        return self._core.awareness

    @property
    def chat(self) -> Chat:
        """The messages beside the document."""
        return Chat(self._core)

    @property
    def presence(self) -> Presence:
        """The people of the document, where the server keeps presence."""
        return Presence(self._core)

    @property
    def status(self) -> Status:
        """What state the client is in."""
        return self._core.status

    @property
    def error(self) -> ClientError | None:
        """Why nothing more is tried; ``None`` while it is."""
        return self._core.error

    @property
    def durable(self) -> bool | None:
        """What ``saved()`` means here: ``True``: the server has committed it; ``False``: it has
        it in memory, for it is one that confirms nothing; ``None``: there is no connection.
        """
        session = self._core.session
        return None if session is None else session.durable

    @property
    def unsaved(self) -> bool:
        """Whether there are edits that the server has not confirmed."""
        with self._core.lock:
            return not self._core.ledger.clean

    # Waiting

    async def synced(self) -> None:
        """Wait until the server has answered: what it had then is here.

        Raises ``Refused``, ``Unusable`` or ``Closed`` where that won't be.
        """
        await self._core.until_status(Status.SYNCED)

    async def saved(self) -> None:
        """Wait until the server has confirmed all own edits so far; see ``durable``.

        Waits through lost connections. Raises ``EditsRefused`` and ``Denied`` where the server
        does not take them, ``Refused``, ``Unusable`` or ``Closed`` where nobody can say.
        """
        await self._core.until_saved()

    async def kept(self) -> None:
        """Wait until all that happened so far is in the local store, if there is one.

        Raises ``StoreError`` while that fails; it is tried again all the same. ``Closed`` where
        the client ended before.
        """
        await self._core.until_kept()

    # Being told

    def on_status(self, callback: Callable[[Status], None]) -> Callable[[], None]:
        """Call back at each change of ``status``; returns what ends that."""
        return self._core.statuses.add(callback)

    async def statuses(self) -> AsyncIterator[Status]:
        """Iterate over the states, from the present one on, until the client is closed."""
        send, receive = anyio.create_memory_object_stream[Status](_MAX_STATUSES)

        def put(status: Status) -> None:
            try:
                send.send_nowait(status)
            except anyio.WouldBlock:  # nobody has looked for a thousand changes
                receive.receive_nowait()
                send.send_nowait(status)

        put(self.status)
        remove = self.on_status(put)
        try:
            async for status in receive:
                yield status
                if status is Status.CLOSED:
                    return
        finally:
            remove()
            send.close()
            receive.close()

    def on_denied(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call back with the reason whenever the server does not take something."""
        return self._core.denials.add(callback)

    # Doing

    async def renew(self, token: str) -> int:
        """Hand in a fresh token on the open connection; return the seconds that it lasts.

        0: for ever. Raises ``TokenRefused``, and ``ConnectionLost`` where there is none.
        """
        session = self._core.session
        if session is None:
            raise ConnectionLost("there is no connection")
        async with self._renewing:
            lasts_s = await session.hand_in(token)
        self._core.denial = ""  # the role may be another one
        return lasts_s

    def reconnect(self) -> None:
        """Don't wait any longer before the next try, such as when the network is back."""
        if self._core.error is None:
            self._core.again.set()

    def retry(self) -> None:
        """Try once more after a refusal, with the same document and all its edits."""
        if self._core.error is None:
            return
        if self._core.keeper is not None:
            self._core.keeper.note(None)
        self._core.forgive()

    async def discard(self) -> "pycrdt.Doc[Any]":
        """Give up all edits that are not saved, and start anew from what the server has.

        ``doc`` is a fresh document at once, and filled with ``synced()``. The local store forgets
        what it had; where it fails it is tried again, and ``kept()`` says so. Returns the document
        so far, for whoever wants to save something of it. Raises ``Closed`` behind the end.
        """
        core = self._core
        if core.status is Status.CLOSED:
            raise Closed("the client was closed")
        given_up = self.doc
        with core.lock:
            core.renew(pycrdt.Doc[Any](allow_multithreading=given_up._allow_multithreading))
        if core.talking is not None:
            core.talking.cancel()
        core.forgive()
        core.enter(Status.CONNECTING)
        with contextlib.suppress(StoreError, Closed):
            await core.until_kept()
        return given_up
