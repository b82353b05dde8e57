"""One document's chat, for programs beside the server: to read it, and to write to it.

Owns the making of updates of what is said by the library and by REST, and what to say where there
is nothing to write to. Whether it may be said the document's judge decides, as for clients. What
is written is committed before a call returns, its time is the server's, and in the document it is
an edit like any other, of the principal's.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from crdtsync.audit import NOBODY, Caller
from crdtsync.authoring.entering import enter
from crdtsync.channels.hand import submit
from crdtsync.channels.listing import Listing, holding
from crdtsync.channels.model import (
    MAX_NAME,
    Message,
    MessageType,
    message_id,
    read_message,
    read_reaction,
)
from crdtsync.channels.names import archive_of
from crdtsync.channels.saying import (
    InvalidMessage,
    MessageArchived,
    NoChat,
    UnknownMessage,
    check_thread,
    deleted,
    may_delete,
    refusal,
    speaker,
)
from crdtsync.channels.shelf import Shelf, chat_root, reactions_root
from crdtsync.edit import Act, Edit, Touch
from crdtsync.errors import EditRefused, Forbidden, MessageTooLarge, StoreDamaged, Unavailable
from crdtsync.gate import Principal
from crdtsync.limits import Limits
from crdtsync.structs import EMPTY_UPDATE
from crdtsync.update import scan

if TYPE_CHECKING:
    from crdtsync.channels.service import Channels
    from crdtsync.room import Room

__all__ = ["Chat"]

MAX_TRIES: Final = 10
"""So often an update is made anew because its keys were written meanwhile."""
KEEP_S: Final = 10.0
"""For so long a document's index is kept where programs alone write: it takes 40 ms to make for
1,000 messages."""
Put = tuple[str, str, Any]


class Chat(Listing):
    """The chat of one document: ``hub.channels.chat(document)``."""

    def __init__(self, channels: "Channels", document: str) -> None:
        if not channels.rules.chats(document) or archive_of(document) is not None:
            raise NoChat("this document has no chat")
        super().__init__(channels, document)

    # Writing

    async def send(
        self,
        text: str,
        principal: Principal,
        *,
        type: MessageType = "text",
        author: str = "",
        reply_to: str = "",
        thread: str = "",
        url: str = "",
        size: int = 0,
        media_type: str = "",
        caller: Caller = NOBODY,
    ) -> Message:
        """Say something; return the message, which is committed.

        ``author`` is whom somebody anonymous calls himself, ``guest-...``; all of one ``caller``
        count together. ``type="system"`` is what the application says itself: who is allowed to
        is for who calls this to decide. Raises ``Forbidden``, ``InvalidMessage``,
        ``TooManyRequests``, ``StoreDamaged`` where the document is read-only, and ``Unavailable``.
        """
        who = speaker(principal, author, system=type == "system")
        check_thread(thread)
        now_ms = self._channels.moment_ms(self._now_ms())
        message = Message(
            id=message_id(now_ms),
            author=who,
            text=text,
            time_ms=now_ms,
            type=type,
            name=principal.name[:MAX_NAME],
            reply_to=reply_to,
            url=url,
            size=size,
            media_type=media_type,
        )
        self._check(message)
        async with self._open() as (room, shelf):
            if thread and await self.message(thread) is None:
                raise UnknownMessage("a thread begins with a message of this chat")
            sets = [(chat_root(thread), message.id, message.value())]
            if type == "system":
                await self._say_itself(room, shelf, principal, sets)
            else:
                await self._enter(room, shelf, principal, caller, sets)
        return message

    async def edit(
        self,
        id: str,
        text: str,
        principal: Principal,
        *,
        author: str = "",
        thread: str = "",
        caller: Caller = NOBODY,
    ) -> Message:
        """Give one's own message another text, as long as it may be edited.

        Raises as ``send``, and ``UnknownMessage``, ``MessageArchived``.
        """
        speaker(principal, author)
        async with self._open() as (room, shelf):
            message = await self._there(shelf, thread, id)
            if message.deleted_ms:
                raise UnknownMessage("the message was deleted")
            changed = replace(message, text=text, edited_ms=max(self._now_ms(), message.time_ms))
            self._check(changed)
            sets = [(chat_root(thread), id, changed.value())]
            await self._enter(room, shelf, principal, caller, sets)
        return changed

    async def delete(
        self,
        id: str,
        principal: Principal,
        *,
        author: str = "",
        thread: str = "",
        caller: Caller = NOBODY,
    ) -> Message:
        """Delete one's own message, or as a moderator anybody's; from an archive as well.

        What is left says whose it was, when, and who deleted it. Raises as ``edit``.
        """
        who = speaker(principal, author)
        async with self._open() as (room, shelf):
            message = shelf.message(thread, id)
            if message is None:
                return await self._delete_archived(room, shelf, thread, id, who, principal)
            gone = deleted(message, who, max(self._now_ms(), message.time_ms))
            if gone is not message:
                sets = [(chat_root(thread), id, gone.value())]
                await self._enter(room, shelf, principal, caller, sets)
                await self._drop_reactions(room, shelf, thread, id)
        return gone

    async def react(
        self,
        id: str,
        emoji: str,
        principal: Principal,
        *,
        author: str = "",
        thread: str = "",
        caller: Caller = NOBODY,
    ) -> None:
        """Put one's reaction under a message; where it is there already, nothing happens.

        Raises as ``edit``.
        """
        await self._react(id, emoji, principal, author, thread, caller, there=True)

    async def unreact(
        self,
        id: str,
        emoji: str,
        principal: Principal,
        *,
        author: str = "",
        thread: str = "",
        caller: Caller = NOBODY,
    ) -> None:
        """Take one's reaction back; where there is none, nothing happens. Raises as ``edit``."""
        await self._react(id, emoji, principal, author, thread, caller, there=False)

    async def _react(
        self,
        id: str,
        emoji: str,
        principal: Principal,
        author: str,
        thread: str,
        caller: Caller,
        *,
        there: bool,
    ) -> None:
        who = speaker(principal, author)
        key = f"{id} {emoji} {who}"
        try:
            read_reaction(key, 0)
        except ValueError as error:
            raise InvalidMessage(str(error)) from None
        async with self._open() as (room, shelf):
            message = await self._there(shelf, thread, id)
            if message.deleted_ms and there:
                raise UnknownMessage("the message was deleted")
            if (key in shelf.reactions(thread, id)) is there:
                return
            root = reactions_root(thread)
            sets = [(root, key, self._now_ms())] if there else []
            deletes = [] if there else [(root, key)]
            await self._enter(room, shelf, principal, caller, sets, deletes)

    # What it takes

    @property
    def _limits(self) -> Limits:
        return self._channels.open_hub.limits

    def _now_ms(self) -> int:
        return self._channels.open_hub.clock.time_ms()

    async def _there(self, shelf: Shelf, thread: str, id: str) -> Message:
        """Return a message of the document itself."""
        message = shelf.message(thread, id)
        if message is None:
            if await self.message(id, thread=thread) is not None:
                raise MessageArchived("the message is in an archive")
            raise UnknownMessage("there is no message of this id")
        return message

    def _check(self, message: Message) -> None:
        """Raise where something is no message, whoever says it."""
        try:
            message.text.encode()
            read_message(message.id, message.value())
        except ValueError as error:
            told = "the text is no text of Unicode" if isinstance(error, UnicodeError) else error
            raise InvalidMessage(str(told)) from None

    async def _enter(
        self,
        room: "Room",
        shelf: Shelf,
        principal: Principal,
        caller: Caller,
        sets: Sequence[Put],
        deletes: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Write as a principal: what a document's judge lets in, and commit it."""
        hub, judge = self._channels.open_hub, room.judge
        judge.keeper.users += 1
        try:
            for _ in range(MAX_TRIES):
                update = shelf.writer.update(sets, deletes)
                if update == EMPTY_UPDATE or await self._try(
                    room, shelf, update, principal, caller, sets, deletes
                ):
                    await hub.committed(room)
                    return
        finally:
            self._leave(room)
        raise Unavailable("the document's chat is changing too fast")

    def _leave(self, room: "Room") -> None:
        """Let go of what deciding takes, a while later: whoever says something goes on to."""
        keeper = room.judge.keeper

        def leave() -> None:
            keeper.lingers = False
            keeper.users -= 1
            room.judge.left()

        if keeper.index is not None and not keeper.lingers:
            keeper.lingers = True
            self._channels.open_hub.later(KEEP_S, leave)
        else:
            keeper.users -= 1
            room.judge.left()

    async def _try(
        self,
        room: "Room",
        shelf: Shelf,
        update: bytes,
        principal: Principal,
        caller: Caller,
        sets: Sequence[Put],
        deletes: Sequence[tuple[str, str]],
    ) -> bool:
        """Let an update in; return whether it still is what was meant when that was decided."""
        hub = self._channels.open_hub

        def insist() -> None:
            if shelf.writer.update(sets, deletes) != update:
                raise _Outdated

        try:
            return await enter(hub, room, update, principal, caller=caller, insist=insist)
        except _Outdated:
            return False
        except EditRefused as error:
            if shelf.writer.update(sets, deletes) != update:
                return False
            raise refusal(str(error), hub.limits) from None
        except MessageTooLarge:
            raise Forbidden("the document is full", kind="document-full") from None

    async def _say_itself(
        self, room: "Room", shelf: Shelf, principal: Principal, sets: Sequence[Put]
    ) -> None:
        """Write as the application, whom no rule holds."""
        if room.damage:
            raise StoreDamaged(room.damage, document=room.name)
        if room.fill.full:
            raise Forbidden("the document is full", kind="document-full")
        submit(room, shelf.writer.update(sets), principal)
        await self._channels.open_hub.committed(room)

    async def _drop_reactions(self, room: "Room", shelf: Shelf, thread: str, id: str) -> None:
        """Take out what was said by everybody about a message that is deleted."""
        root = reactions_root(thread)
        submit(room, shelf.writer.update((), [(root, key) for key in shelf.reactions(thread, id)]))
        await self._channels.open_hub.committed(room)

    async def _delete_archived(
        self, room: "Room", shelf: Shelf, thread: str, id: str, who: str, principal: Principal
    ) -> Message:
        """Delete what only the server writes to, for who might delete it in the chat."""
        hub = self._channels.open_hub
        for filed in holding(shelf, thread, id):
            async with hub.open(filed.archive.name) as archive:
                there = self._channels.shelf(archive)
                message = None if there is None else there.message(thread, id)
                if there is None or message is None:
                    continue
                may_delete(message, who, principal)
                gone = deleted(message, who, max(self._now_ms(), message.time_ms))
                if gone is message:
                    return gone
                if archive.damage:
                    raise StoreDamaged(archive.damage, document=archive.name)
                root = chat_root(thread)
                update = there.writer.update([(root, id, gone.value())])
                touch = Touch(root, id, Act.INSERT, 1, len(update), True)
                edit = Edit((touch,), len(update), False, update, scan(update, room.limits))
                denial = room.judge.objection(principal, edit)
                if denial is not None:
                    raise refusal(denial.reason, hub.limits)
                submit(archive, update, principal)
                await self._drop_reactions(archive, there, thread, id)
                return gone
        raise UnknownMessage("there is no message of this id")


class _Outdated(Exception):
    """An update was made of what isn't so any more."""
