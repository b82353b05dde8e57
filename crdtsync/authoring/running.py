"""The order of a program's edit: kept where it may come twice, judged, admitted, committed.

One at a time is worked on of each document: the next one is worked out on what this one made.
Edits of one document have one client id for as long as no other hand is seen in it: each new one
would stay in the document's state vector for ever.
"""

import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import anyio

from crdtsync.audit import Caller
from crdtsync.authoring.answers import Answers, MemoryAnswers, Scope
from crdtsync.authoring.entering import enter, read_update, refuse_reader
from crdtsync.authoring.model import (
    AuthoringError,
    ConditionFailed,
    Edited,
    KeyBusy,
    KeyReused,
    NothingToCreate,
)
from crdtsync.documents.model import DocumentExists, DocumentNotFound
from crdtsync.errors import RemoteError, TooManyRequests, Unavailable
from crdtsync.gate import Principal
from crdtsync.limits import trusting
from crdtsync.room import Room
from crdtsync.state_vector import fresh_client
from crdtsync.store.base import DocumentInfo
from crdtsync.structs import EMPTY_UPDATE, Layout

if TYPE_CHECKING:
    from crdtsync.hub import Hub

__all__ = ["MAX_WAITING", "Request", "Runner", "known_of", "mark_of", "not_found"]

MAX_WAITING: Final = 256
"""Edits of one document that wait for one another."""
MAX_CLIENTS: Final = 10_000
"""Documents whose client id is remembered."""
MAX_TRIES: Final = 5
"""So often an edit with a condition is worked out anew."""
MAX_TOLD: Final = 1_000
"""So many ranges of what an edit brought, and of what it deleted, are kept with its answer."""
_PARTS: Final = ("ranges", "deletes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An edit that is asked for."""

    document: str
    principal: Principal
    caller: Caller
    creates: bool
    work: Callable[[Room], Awaitable[bytes]]
    """Returns the update."""
    if_state_vector: Mapping[int, int] | None = None
    if_match: Sequence[str] | None = None
    scope: Scope | None = None
    digest: bytes = b""

    @property
    def conditional(self) -> bool:
        """Whether the document has to be as the caller saw it; any one is good enough for ``*``."""
        marks = self.if_match
        return self.if_state_vector is not None or (marks is not None and "*" not in marks)


_FINAL: Final = (RemoteError, AuthoringError, DocumentExists, DocumentNotFound)
"""What will be so again: nothing needs to be remembered of the request."""


class _Moved(Exception):
    """The document is as the caller saw it, but not as the edit was worked out on."""


class Runner:
    """Runs the edits of one hub."""

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self.answers: Answers = MemoryAnswers(hub.limits, hub.clock)
        self._running: set[Scope] = set()
        self._alone: dict[str, tuple[anyio.Lock, list[None]]] = {}
        self._clients: OrderedDict[str, tuple[int, int]] = OrderedDict()

    async def run(self, request: Request) -> Edited:
        """Return what became of an edit; it is committed."""
        refuse_reader(self._hub, request.document, request.principal, request.caller)
        scope = request.scope
        if scope in self._running:
            raise KeyBusy("a request with this idempotency key is being worked on")
        if scope is not None:
            self._running.add(scope)
        try:
            async with self._one(request.document), self._hub.open(request.document) as room:
                kept = None if scope is None else await self._kept(request, scope, room)
                return kept or await self._attempt(request, room)
        finally:
            if scope is not None:
                self._running.discard(scope)

    @asynccontextmanager
    async def _one(self, document: str) -> AsyncIterator[None]:
        """Have a document to oneself, among those who write by this."""
        lock, waiting = self._alone.setdefault(document, (anyio.Lock(), []))
        if len(waiting) >= MAX_WAITING:
            raise TooManyRequests("too many edits of this document wait")
        waiting.append(None)
        try:
            async with lock:
                yield
        finally:
            waiting.pop()
            if not waiting:
                self._alone.pop(document, None)

    async def _kept(self, request: Request, scope: Scope, room: Room) -> Edited | None:
        """Return the answer to a request that was done before, where what it did is still there.

        It is not in a document that was deleted, or comes out of a backup, beside the server.
        """
        kept = await self.answers.find(scope)
        if kept is None:
            return None
        if kept.request != request.digest:
            raise KeyReused("this idempotency key came with another request before")
        if kept.answer is not None:
            told = json.loads(kept.answer)
            entered = told.pop("entered", None)
            edited = Edited(
                **told | {"state_vector": bytes.fromhex(told["state_vector"])}, replayed=True
            )
            return edited if await self._holds(room, entered, edited) else None
        assert kept.update is not None
        if not room.document.knows(await read_update(kept.update, trusting(self._hub.limits))):
            return None  # it was never committed, or is gone
        await self._hub.committed(room)
        edited = await self._edited(request, room, None, changed=kept.update != EMPTY_UPDATE)
        await self._answer(scope, edited, kept.update)
        return replace(edited, replayed=True)

    async def _holds(self, room: Room, entered: Any, edited: Edited) -> bool:
        """Return whether a document still has what a request did that was answered.

        The answer's state vector tells nothing of it: others' edits in it may never have been
        committed, and it shows no deletions.
        """
        if room.damage or entered is None:  # what can't be read, or an older release didn't keep
            return True
        ranges, deletes = (tuple(tuple(each) for each in entered[part]) for part in _PARTS)
        if not (ranges or deletes):  # nothing was done
            return room.committed_sequence >= edited.sequence
        if not room.document.knows(Layout(ranges, (), deletes)):
            return False
        if room.committed_sequence < edited.sequence:  # a client has just brought it back
            await self._hub.committed(room)
        return True

    async def _attempt(self, request: Request, room: Room) -> Edited:
        try:
            for _ in range(MAX_TRIES):
                info = await self._check(request, room)
                try:
                    return await self._write(request, room, info)
                except _Moved:
                    continue
                except BaseException:
                    self._clients.pop(request.document, None)
                    raise
            raise ConditionFailed("the document changes all the time", *_now(room))
        except _FINAL:
            if request.scope is not None:
                await self.answers.drop(request.scope)
            raise

    async def _check(self, request: Request, room: Room) -> DocumentInfo | None:
        """Look whether an edit makes sense at all; return what is known of the document."""
        info = await self._hub.store.info(request.document)
        if request.creates:
            if info is not None or not _empty(room):
                raise _exists(request.document)
            return None
        if info is None:
            raise not_found(request.document)
        if request.conditional:
            self._insist(request, room, info)
            if room.uncommitted:  # deletions, which no state vector shows
                await self._hub.committed(room)
        return info

    def _insist(self, request: Request, room: Room, info: DocumentInfo | None) -> None:
        """Raise where the document is not, or no more, what the caller wants it to be."""
        if self._hub.rooms.get(request.document) is not room:
            raise Unavailable("the document was closed meanwhile")
        if request.creates and not _empty(room):
            raise _exists(request.document)
        vector = request.if_state_vector
        if vector is not None and vector != room.document.clocks:
            raise ConditionFailed("the document has another state vector", *_now(room))
        marks = request.if_match
        if marks is None or "*" in marks:
            return
        if room.uncommitted or info is None or mark_of(info, room) not in marks:
            raise ConditionFailed("the document has changed", *_now(room))

    async def _write(self, request: Request, room: Room, info: DocumentInfo | None) -> Edited:
        worked_on = room.committed_sequence
        update = await request.work(room)
        if request.creates and update == EMPTY_UPDATE:
            raise NothingToCreate("there is nothing in it, and a document is what is in it")
        if request.scope is not None:
            await self.answers.keep(request.scope, request.digest, update)
        clean = False

        def insist() -> None:
            nonlocal clean
            self._insist(request, room, info)
            clean = not room.uncommitted and room.committed_sequence == worked_on
            if request.conditional and not clean:
                raise _Moved

        hub = self._hub
        changed = await enter(
            hub, room, update, request.principal, caller=request.caller, insist=insist
        )
        if changed:
            await hub.committed(room)
            self._remember_client(room)
        clean = clean and room.committed_sequence == worked_on + 1 and not room.uncommitted
        edited = await self._edited(
            request, room, worked_on + 1 if clean else None, changed=changed
        )
        if request.scope is not None:
            await self._answer(request.scope, edited, update)
        return edited

    async def _edited(
        self, request: Request, room: Room, alone: int | None, *, changed: bool
    ) -> Edited:
        """Return what became of it; ``alone``: the sequence, where nobody else wrote meanwhile."""
        sequence, vector = _now(room)
        mark = ""
        if alone == sequence:
            info = await self._hub.store.info(request.document)
            if info is not None and room.committed_sequence == sequence:
                mark = mark_of(info, room)
        return Edited(
            sequence=sequence,
            state_vector=vector,
            mark=mark,
            changed=changed,
            created=request.creates,
        )

    async def _answer(self, scope: Scope, edited: Edited, update: bytes) -> None:
        found = await read_update(update, trusting(self._hub.limits))
        told = {
            # Enough to find it again: an update enters whole.
            "entered": {part: getattr(found, part)[-MAX_TOLD:] for part in _PARTS},
            "sequence": edited.sequence,
            "state_vector": edited.state_vector.hex(),
            "mark": edited.mark,
            "changed": edited.changed,
            "created": edited.created,
        }
        await self.answers.done(scope, json.dumps(told).encode())

    def forget(self, document: str) -> None:
        """Take note that a document is gone."""
        self._clients.pop(document, None)

    # Client ids

    def client(self, room: Room) -> int:
        """Return the client id to write with: the one of before, if it is still nobody else's."""
        clocks = room.document.clocks
        client, clock = self._clients.get(room.name, (0, 0))
        if not clock or clocks.get(client) != clock:
            client = fresh_client(clocks)
        self._clients[room.name] = client, 0
        self._clients.move_to_end(room.name)
        while len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)
        return client

    def _remember_client(self, room: Room) -> None:
        """Take note how far a committed edit has come; only behind it the next one follows."""
        client, _ = self._clients.get(room.name, (0, 0))
        if client:
            self._clients[room.name] = client, room.document.clocks.get(client, 0)


async def known_of(hub: "Hub", room: Room, info: DocumentInfo) -> DocumentInfo:
    """Return what the store knows of an open document, for ``mark_of`` the room as it is now.

    Where nothing was committed since the room was opened, only the store knows the last record's
    time, and it is a moment ahead of the room, or ``info`` is of before the room was opened.
    """
    if not room.committed_ms and info.sequence != room.committed_sequence:
        info = await hub.store.info(room.name) or info
        if room.uncommitted and info.sequence > room.committed_sequence:
            await hub.committed(room)
    return info


def mark_of(info: DocumentInfo, room: Room) -> str:
    """Return the name of a document's present state: when it began, how far it has come, and when.

    The last is for a document that comes out of a backup and grows to the same length again.
    """
    updated_ms = room.committed_ms or info.updated_ms
    return f"{info.created_ms:x}-{room.committed_sequence:x}-{updated_ms:x}"


def _now(room: Room) -> tuple[int, bytes]:
    return room.committed_sequence, room.state_vector()


def _empty(room: Room) -> bool:
    return not (room.sequence or room.uncommitted or room.document.clocks)


def _exists(document: str) -> DocumentExists:
    return DocumentExists(f"document {document!r} exists", hint="Edit it, or delete it first")


def not_found(document: str) -> DocumentNotFound:
    """Return the error."""
    return DocumentNotFound(f"there is no document {document!r}", hint="Create it first")
