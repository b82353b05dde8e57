"""``connect``: a document of a server as a pycrdt document, for as long as ``async with`` lasts.

Owns the tasks of one client and their end: coming back after each lost connection, tokens that
are renewed, the local store's writer. What a program sees is ``Document``.
"""

import logging
import random
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, nullcontext
from os import PathLike
from ssl import SSLContext
from types import TracebackType
from typing import Any, Final

import anyio
import pycrdt
from anyio.abc import TaskGroup

from crdtsync.client.core import Core, Soon
from crdtsync.client.document import Document
from crdtsync.client.errors import (
    ClientError,
    ConnectionLost,
    EditsRefused,
    NotSaved,
    Refused,
    TokenRefused,
    Unusable,
)
from crdtsync.client.offline import Keeper, LocalStore, store_at
from crdtsync.client.options import Options
from crdtsync.client.session import Session
from crdtsync.client.socket import open_socket, upgrade
from crdtsync.client.status import Status
from crdtsync.client.target import Headers, Target, TokenPlace
from crdtsync.client.tokens import Token, TokenSource, next_token
from crdtsync.errors import CloseCode, InvalidUpdate
from crdtsync.store.base import Store

__all__ = ["Connecting", "connect"]

log = logging.getLogger("crdtsync.client")

COLOURS: Final = ("#30bced", "#6eeb83", "#ffbc42", "#ee6352", "#9ac2c9", "#8acb88", "#1be7ff")
_QUICK: Final = (CloseCode.SERVICE_RESTART, CloseCode.TRY_AGAIN_LATER)


class Connecting:
    """What ``connect`` returns: entered by ``async with``."""

    def __init__(
        self,
        target: Target,
        *,
        token: TokenSource | None,
        store: LocalStore | None,
        store_name: str | None,
        user: Mapping[str, Any] | None,
        doc: "pycrdt.Doc[Any] | None",
        wait: bool,
        options: Options,
    ) -> None:
        self._target = target
        self._token = token
        self._store = store
        self._store_name = store_name or target.document
        self._user = user
        self._doc = doc
        self._wait = wait
        self._options = options
        self._stack = AsyncExitStack()
        self._tasks: TaskGroup
        self._document: Document
        self._core: Core
        self.lock: Any = nullcontext()
        self.soon: Soon = lambda call: call()

    async def __aenter__(self) -> Document:
        """Load the local store, begin to connect, and return: the network isn't waited for.

        Raises ``StoreError`` where the local store can't be opened or read.
        """
        doc = pycrdt.Doc[Any]() if self._doc is None else self._doc
        core = Core(doc, self._options, lock=self.lock, soon=self.soon)
        self._core = core
        self._document = Document(core, self._target.document)
        if self._user is not None:
            core.user = dict(self._user)
            core.awareness.set_field("user", {"color": random.choice(COLOURS), **self._user})
        async with AsyncExitStack() as stack:
            if self._store is not None:
                await self._load(core, await self._opened(stack, self._store))
            stack.callback(lambda: core.replica.detach())  # the document may outlive the client
            core.attach()
            self._tasks = await stack.enter_async_context(_Tasks())
            if core.keeper is not None:
                core.keeper.wake()
                self._tasks.start_soon(self._keep, core, core.keeper)
            self._tasks.start_soon(core.watches.run)
            self._tasks.start_soon(self._come_back, core)
            if self._wait:
                await self._document.synced()
            self._stack = stack.pop_all()
        return self._document

    async def _opened(self, stack: AsyncExitStack, store: LocalStore) -> Store:
        if isinstance(store, str | PathLike):
            return await stack.enter_async_context(store_at(store))
        return store

    async def _load(self, core: Core, store: Store) -> None:
        core.keeper = Keeper(store, self._store_name, self._options)
        core.keeper.changed = core.ring
        try:
            refused = await core.keeper.load(core.replica, core.ledger)
        except InvalidUpdate as error:
            raise Unusable(f"the local copy can't be read: {error}") from None
        if refused is not None:
            core.fail(refused)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait a moment for what is not saved yet, say good-bye, end.

        Raises ``NotSaved`` where edits would be lost, and the refusal that nobody was told of,
        unless the body has raised something itself.
        """
        core = self._core
        told = core.told
        try:
            with anyio.CancelScope(shield=True), anyio.move_on_after(self._options.close_timeout_s):
                await self._flush(core, hurry=error is not None)
        finally:
            with core.lock:
                unsaved = not core.ledger.clean
            kept = core.keeper is not None and core.keeper.kept(core.keeper.position)
            core.replica.detach()
            core.enter(Status.CLOSED)
            await self._stack.__aexit__(kind, error, traceback)
        if error is not None or told:
            return
        if core.error is not None:
            raise core.error
        if unsaved and not kept:
            why = f": {core.denial}" if core.denial else ""
            raise NotSaved(f"some edits are neither on the server nor in a local store{why}")

    async def _flush(self, core: Core, *, hurry: bool) -> None:
        # Without a local store a connection may still come in time.
        hopeful = core.session is not None or core.keeper is None
        if hopeful and not hurry and core.error is None:
            try:
                await core.until_saved()
            except ClientError as error:
                log.info("leaving: %s", error)
        if core.keeper is not None:
            while not core.keeper.kept(core.keeper.position) and core.keeper.error is None:
                await core.wait()
        session = core.session
        if session is not None:
            try:
                await session.farewell()
            except ConnectionLost:
                pass

    # Tasks

    async def _keep(self, core: Core, keeper: Keeper) -> None:
        while True:
            try:
                await keeper.run(core)
            except ClientError as error:  # of this document; the next one may be a better one
                core.fail(error)

    async def _come_back(self, core: Core) -> None:
        """Connect, again and again."""
        backoff = self._options.backoff
        failures = 0
        forgiven = False
        while True:
            while core.error is not None:
                await core.again.wait()
                core.again = anyio.Event()
            core.again = anyio.Event()
            core.enter(Status.CONNECTING)
            stable, quick = False, False
            try:
                await self._talk_of(core)
            except Refused as error:
                worked = core.session is not None and core.session.synced_at_s is not None
                ended = error.code == CloseCode.UNAUTHENTICATED and callable(self._token)
                if not ended or (forgiven and not worked):
                    log.warning("%s", error)
                    if core.keeper is not None and isinstance(error, EditsRefused):
                        core.keeper.note(error)  # the next start would bring the same edits
                    core.fail(error)
                    continue
                forgiven = quick = True  # the next token gets its chance
            except ConnectionLost as error:
                log.info("%s: %s", self._target.authority, error)
                forgiven = False
                quick = error.code in _QUICK
            except ClientError as error:
                log.error("%s", error)
                core.fail(error)
                continue
            finally:
                core.talking = None
                session, core.session = core.session, None
                core.denial = ""
                core.awareness.leave()
            if session is not None and session.synced_at_s is not None:
                lasted_s = anyio.current_time() - session.synced_at_s
                stable = lasted_s >= backoff.stable_s
            failures = 1 if stable else failures + 1
            core.enter(Status.OFFLINE)
            with anyio.move_on_after(backoff.wait_s(failures, quick=quick)):
                await core.again.wait()

    async def _talk_of(self, core: Core) -> None:
        """Have one connection; of a document that was discarded meanwhile its end is no news."""
        replica = core.replica
        try:
            with anyio.CancelScope() as core.talking:
                await self._talk(core)
        except ClientError as error:
            if core.replica is replica:
                raise
            log.info("of a discarded document: %s", error)

    async def _talk(self, core: Core) -> None:
        """Have one connection, from its beginning to its end."""
        try:
            token = await next_token(self._token)
            value = None if token is None else token.value
            request = upgrade(self._target, value)
        except ClientError:
            raise
        except Exception as error:  # the program's own source of tokens, or headers
            log.exception("there is no token, or no headers")
            raise ConnectionLost(f"there is no token, or no headers: {error}") from error
        async with open_socket(self._target, request, self._options) as socket:
            core.session = session = Session(socket, core, self._options)
            core.enter(Status.CONNECTED)
            async with _Tasks() as tasks:
                if token is not None and token.lasts_s and callable(self._token):
                    tasks.start_soon(self._renew, session, token.lasts_s)
                await session.run()

    async def _renew(self, session: Session, lasts_s: float) -> None:
        """Hand in the next token before the last one ends, for as long as the connection lasts."""
        while lasts_s:
            await anyio.sleep(max(lasts_s - self._options.renew_before_s, lasts_s / 2))
            if not session.durable:
                return
            try:
                token = await next_token(self._token)
                if token is None:
                    return
                lasts_s = await self._document.renew(token.value)
            except (TokenRefused, ConnectionLost) as error:
                log.warning("a fresh token: %s", error)
                lasts_s = 0
            except Exception:  # the program's own
                log.exception("there is no fresh token")
                lasts_s = self._options.renew_before_s / 2


class _Tasks:
    """A task group that ends with its body: what it has is cancelled, nobody is waited for."""

    def __init__(self) -> None:
        self._group = anyio.create_task_group()

    async def __aenter__(self) -> TaskGroup:
        return await self._group.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._group.cancel_scope.cancel()
        if isinstance(error, anyio.get_cancelled_exc_class()):
            return await self._group.__aexit__(kind, error, traceback)
        await self._group.__aexit__(None, None, None)
        return None  # an error goes on as it is, not in a group


def connect(
    url: str,
    *,
    token: TokenSource | None = None,
    token_in: TokenPlace = "header",
    store: LocalStore | None = None,
    store_name: str | None = None,
    user: Mapping[str, Any] | None = None,
    doc: "pycrdt.Doc[Any] | None" = None,
    wait: bool = False,
    params: Mapping[str, str] | None = None,
    headers: Headers | None = None,
    subprotocols: Sequence[str] = (),
    ssl_context: SSLContext | None = None,
    options: Options | None = None,
) -> Connecting:
    """Return a document of a server, for ``async with``.

    ``url`` is ``ws://HOST:PORT/NAME`` or ``wss://``. ``token`` may be a callable, which is asked
    for one with each connection. ``store`` is where the document is kept on this machine: a
    SQLite file's path, a store's URL, or an entered store that several documents share. ``user``
    is shown to others. ``doc`` is used in place of a new document. With ``wait``, ``async with``
    begins with the document in sync. Raises ``ClientError`` where the URL is none, or the token
    or a header would not go out.
    """
    target = Target.of(
        url,
        params=params or {},
        subprotocols=subprotocols,
        headers=headers or {},
        ssl_context=ssl_context,
        token_in=token_in,
        has_token=token is not None,
    )
    if not (callable(token) or callable(target.headers)):
        try:
            upgrade(target, token.value if isinstance(token, Token) else token)
        except ValueError as error:
            raise ClientError(str(error)) from None
    return Connecting(
        target,
        token=token,
        store=store,
        store_name=store_name,
        user=user,
        doc=doc,
        wait=wait,
        options=options or Options(),
    )
