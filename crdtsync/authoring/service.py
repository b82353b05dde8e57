"""Documents for programs that hold no Y.Doc: read, made, edited by operations, and deleted.

Owns where it is worked out: what takes long in a process of its own, so that typing goes on
meanwhile. The order of an edit is the runner's.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields, is_dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, TypeVarTuple

import anyio.to_thread

from crdtsync.audit import NOBODY, Caller
from crdtsync.authoring.answers import MAX_KEY, Answers, Scope
from crdtsync.authoring.applying import apply_operations, create_roots
from crdtsync.authoring.model import Edited, InvalidOperation, NotEditable, Operation
from crdtsync.authoring.parsing import NewRoots, parse_content, parse_operations
from crdtsync.authoring.reading import ReadFormat, read_content
from crdtsync.authoring.running import Request, Runner, known_of, mark_of, not_found
from crdtsync.content import RootExport, written
from crdtsync.errors import Unavailable
from crdtsync.gate import Principal
from crdtsync.history.model import HistoryUnavailable
from crdtsync.history.worker import Workers
from crdtsync.limits import trusting
from crdtsync.recursion import deep_recursion
from crdtsync.room import Room
from crdtsync.state_vector import read_state_vector

if TYPE_CHECKING:
    from crdtsync.hub import Hub

__all__ = ["Content", "Documents"]

HERE_BYTES: Final = 32 * 1024
"""A larger document is read, and edits of it are worked out, in a process of its own."""
HERE_OPERATIONS: Final = 100
"""So it is where there are more operations, or roots."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class Content:
    """What a document held."""

    value: Any
    """In the form that was asked for."""
    sequence: int
    state_vector: bytes
    mark: str
    """Names this state of the document, as ``if_match`` takes it."""


class Documents:
    """The documents of one hub: ``hub.documents``."""

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self._workers = Workers(hub.limits)
        self._runner = Runner(hub)
        self._stack = AsyncExitStack()

    def remember_in(self, answers: Answers) -> None:
        """Keep the answers to requests that may come twice here; before the hub is entered."""
        self._runner.answers = answers

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._workers)
            await stack.enter_async_context(self._runner.answers)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    # Reading

    async def read(
        self, document: str, *, format: ReadFormat = "json", root: str | None = None
    ) -> Content:
        """Return what is committed of a document.

        ``json`` is plain values by root, ``rich`` and ``delta`` those of ``history-json`` by
        root, ``text`` and ``xml`` the one root that is named, or the only one of the kind;
        ``update`` one v1 update. Raises ``DocumentNotFound``, ``UnknownRoot``, ``WrongKind``, and
        what ``Hub.open`` raises.
        """
        async with self._hub.open(document) as room:
            info = await self._hub.store.info(document)
            if info is None:
                raise not_found(document)
            info = await known_of(self._hub, room, info)
            parts, sequence, mark = (
                room.document.parts(),
                room.committed_sequence,
                mark_of(info, room),
            )
            size = sum(map(len, parts))
            shown = await self._call(size > HERE_BYTES, read_content, parts, format, root)
            return Content(shown.value, sequence, shown.state_vector, mark)

    async def export(self, room: Room, *, text: bool) -> Mapping[str, RootExport]:
        """Return what is committed in an open room as ``content.written`` writes it.

        Raises ``Unavailable`` where that can't be worked out.
        """
        parts = room.document.parts()
        if sum(map(len, parts)) <= HERE_BYTES:
            return written([room.state()], text, room.watch)
        return await self._call(True, written, parts, text)

    async def whole(self, room: Room) -> bytes:
        """Return what is committed in an open room as one update. Raises as ``export``."""
        if not room.document.committed.heavy:
            return room.state()
        shown = await self._call(True, read_content, room.document.parts(), "update", None)
        found: bytes = shown.value
        return found

    # Writing

    async def create(
        self,
        document: str,
        content: Mapping[str, Any] | Sequence[Any] | str | bytes,
        principal: Principal | None = None,
        *,
        root: str | None = None,
        idempotency_key: str | None = None,
        caller: Caller = NOBODY,
    ) -> Edited:
        """Make a document of roots in their rich form, or of one update.

        With ``root``: of this one text, given as characters or as a Quill delta. Raises
        ``DocumentExists``, ``InvalidOperation``, ``NothingToCreate``, and as ``edit`` does.
        """
        made: NewRoots | bytes
        if isinstance(content, bytes):
            made = content
        else:
            if root is not None:
                member = "value" if isinstance(content, str) else "delta"
                content = {root: {"kind": "text", member: content}}
            made = parse_content(content, self._hub.limits)

        async def work(room: Room) -> bytes:
            if isinstance(made, bytes):
                return made
            client = self._runner.client(room)
            apart = len(made) > HERE_OPERATIONS or _large(made)
            if apart:
                return await self._call(True, create_roots, made, client)
            return create_roots(made, client, room.watch)

        digest = await _digest(idempotency_key, "create", made)
        request = self._request(document, principal, caller, idempotency_key, digest, work)
        return await self._runner.run(replace(request, creates=True))

    async def edit(
        self,
        document: str,
        operations: Sequence[Operation | Mapping[str, Any]],
        principal: Principal | None = None,
        *,
        if_state_vector: bytes | None = None,
        if_match: Sequence[str] | None = None,
        idempotency_key: str | None = None,
        caller: Caller = NOBODY,
    ) -> Edited:
        """Do operations, all or none, as an edit of this principal; return when it is committed.

        The principal is held to its role and the gate, as a client is. ``if_state_vector``: only
        where the document has this one; ``if_match``: only where it is one of these ``mark``s.
        With an idempotency key the same request is done once, however often it comes.

        Raises ``InvalidOperation``, ``DocumentNotFound``, ``ConditionFailed``, ``EditRefused``,
        ``NotEditable``, ``KeyBusy``, ``KeyReused``, ``InvalidUpdate``, ``MessageTooLarge``,
        ``StoreDamaged``, ``StoreError``, ``Unavailable``, ``TooManyRequests``.
        """
        made = parse_operations(operations, self._hub.limits)

        async def work(room: Room) -> bytes:
            known = room.document
            if known.verbatim:
                raise NotEditable(f"the document can be edited by updates only: {known.verbatim}")
            parts, client = known.parts(), self._runner.client(room)
            if sum(map(len, parts)) > HERE_BYTES or len(made) > HERE_OPERATIONS or _large(made):
                return await self._call(True, apply_operations, parts, client, made)
            return apply_operations(parts, client, made, room.watch)

        digest = await _digest(idempotency_key, "edit", made, if_state_vector, if_match)
        request = self._request(document, principal, caller, idempotency_key, digest, work)
        request = self._only_if(request, if_state_vector, if_match)
        return await self._runner.run(request)

    async def apply(
        self,
        document: str,
        update: bytes,
        principal: Principal | None = None,
        *,
        if_state_vector: bytes | None = None,
        if_match: Sequence[str] | None = None,
        idempotency_key: str | None = None,
        caller: Caller = NOBODY,
    ) -> Edited:
        """Do the same with a v1 update, in any document."""

        async def work(room: Room) -> bytes:
            return update

        digest = await _digest(idempotency_key, "apply", update, if_state_vector, if_match)
        request = self._request(document, principal, caller, idempotency_key, digest, work)
        request = self._only_if(request, if_state_vector, if_match)
        return await self._runner.run(request)

    async def delete(
        self, document: str, principal: Principal | None = None, *, caller: Caller = NOBODY
    ) -> bool:
        """Delete a document; return whether there was one. Whoever is in it is sent away."""
        deleted = await self._hub.delete(document, principal=principal, caller=caller)
        self._runner.forget(document)
        await self._runner.answers.forget(document)
        return deleted

    def _request(
        self,
        document: str,
        principal: Principal | None,
        caller: Caller,
        key: str | None,
        digest: bytes,
        work: Callable[[Room], Awaitable[bytes]],
    ) -> Request:
        principal = principal or Principal()
        scope = None
        if key is not None:
            if not (0 < len(key) <= MAX_KEY and key.isprintable()):
                raise InvalidOperation(f"an idempotency key has 1 to {MAX_KEY} characters")
            scope = Scope(document, principal.id, key)
        return Request(
            document=document,
            principal=principal,
            caller=caller,
            creates=False,
            work=work,
            scope=scope,
            digest=digest,
        )

    def _only_if(
        self, request: Request, state_vector: bytes | None, marks: Sequence[str] | None
    ) -> Request:
        known = None
        if state_vector is not None:
            known = read_state_vector(state_vector, trusting(self._hub.limits))
        return replace(request, if_state_vector=known, if_match=marks)

    # Elsewhere

    async def _call(self, apart: bool, function: Callable[[*Ts], T], *args: *Ts) -> T:
        if not apart:
            return function(*args)
        try:
            with deep_recursion():  # on the way there and back
                return await self._workers.run(function, *args)
        except HistoryUnavailable as error:
            raise Unavailable(f"this can't be worked out now: {error}") from error


async def _digest(key: str | None, *request: object) -> bytes:
    """Return what tells a request with an idempotency key from another; nothing without one."""
    if key is None:
        return b""
    if _large(request):
        return await anyio.to_thread.run_sync(_digest_of, request)
    return _digest_of(request)


def _digest_of(request: tuple[object, ...]) -> bytes:
    with deep_recursion():
        return sha256(repr(request).encode()).digest()


def _large(made: object) -> bool:
    """Return whether it takes a while to write something."""
    left, stack = HERE_BYTES, [made]
    while stack and left >= 0:
        each = stack.pop()
        if isinstance(each, str | bytes):
            left -= len(each)
        elif isinstance(each, Mapping):
            left -= len(each)
            stack += (*each.keys(), *each.values())
        elif isinstance(each, Sequence):
            left -= len(each)
            stack += each
        elif is_dataclass(each):
            left -= 8
            stack += (getattr(each, field.name) for field in fields(each))
        else:
            left -= 8
    return left < 0
