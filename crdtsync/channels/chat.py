"""One document's chat, for programs beside the server: to read it, and to write to it.

Owns the rules of docs/chat.md for what comes by the library and by REST; they are those that the
gate keeps for clients. What is written is committed before a call returns, its time is the
server's, and in the document it is an edit like any other, of the principal's.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crdtsync.channels.hand import submit
from crdtsync.channels.listing import Listing, holding
from crdtsync.channels.model import Message, MessageType, message_id, read_message, read_reaction
from crdtsync.channels.names import archive_of
from crdtsync.channels.rates import guest_at
from crdtsync.channels.saying import (
    InvalidMessage,
    MessageArchived,
    NoChat,
    UnknownMessage,
    check_thread,
    deleted,
    speaker,
)
from crdtsync.channels.shelf import Shelf, chat_root, reactions_root
from crdtsync.edit import Act, Edit, Touch
from crdtsync.errors import Forbidden, StoreDamaged, TooManyRequests
from crdtsync.gate import READ_ONLY, Clearance, Deny, Principal
from crdtsync.limits import Limits
from crdtsync.structs import EMPTY_UPDATE
from crdtsync.update import scan

if TYPE_CHECKING:
    from crdtsync.channels.service import Channels
    from crdtsync.room import Room

__all__ = ["Chat"]


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
        address: str | None = None,
    ) -> Message:
        """Say something; return the message, which is committed.

        ``author`` is whom somebody anonymous calls himself, ``guest-...``, and ``address`` where
        he is, by which he is counted then. ``type="system"`` is
        what the application says itself: who is allowed to is the caller's to decide. Raises
        ``Forbidden``, ``InvalidMessage``, ``TooManyRequests``, ``StoreDamaged`` where the document
        is read-only, and ``Unavailable``.
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
            name=principal.name[:100],
            reply_to=reply_to,
            url=url,
            size=size,
            media_type=media_type,
        )
        self._check(message)
        async with self._open() as (room, shelf):
            if thread and await self.message(thread) is None:
                raise UnknownMessage("a thread begins with a message of this chat")
            root = chat_root(thread)
            self._permit(room, principal, (root, message.id), system=type == "system")
            if type != "system":
                self._pace(room, principal.id or _guest(who, address))
            await self._write(room, shelf, principal, [(root, message.id, message.value())])
        return message

    async def edit(
        self,
        id: str,
        text: str,
        principal: Principal,
        *,
        author: str = "",
        thread: str = "",
        address: str | None = None,
    ) -> Message:
        """Give one's own message another text, as long as it may be edited.

        Raises as ``send``, and ``UnknownMessage``, ``MessageArchived``.
        """
        who = speaker(principal, author)
        async with self._open() as (room, shelf):
            message = await self._there(shelf, thread, id)
            if message.author != who or message.type == "system":
                raise Forbidden("only its author edits a message")
            if message.deleted_ms:
                raise UnknownMessage("the message was deleted")
            now_ms = self._now_ms()
            window_s = self._limits.chat_edit_window_s
            if now_ms - message.time_ms > window_s * 1000:
                raise Forbidden(f"a message may be edited for {window_s:g} s", kind="edit-too-late")
            changed = replace(message, text=text, edited_ms=now_ms)
            self._check(changed)
            root = chat_root(thread)
            self._permit(room, principal, (root, id), replaces=True)
            self._pace(room, principal.id or _guest(who, address))
            await self._write(room, shelf, principal, [(root, id, changed.value())])
        return changed

    async def delete(
        self, id: str, principal: Principal, *, author: str = "", thread: str = ""
    ) -> Message:
        """Delete one's own message, or as a moderator anybody's; from an archive as well.

        What is left says whose it was, when, and who deleted it. Raises as ``edit``.
        """
        who = speaker(principal, author)
        moderates = principal.role is not None and principal.role.moderate
        async with self._open() as (room, shelf):
            message = shelf.message(thread, id)
            if message is None:
                return await self._delete_archived(room, shelf, thread, id, who, principal)
            gone = deleted(message, who, moderates, self._now_ms())
            if gone is not message:
                root, reactions = chat_root(thread), reactions_root(thread)
                self._permit(room, principal, (root, id), replaces=True)
                keys = [(reactions, key) for key in shelf.reactions(thread, id)]
                await self._write(room, shelf, principal, [(root, id, gone.value())], keys)
        return gone

    async def react(
        self,
        id: str,
        emoji: str,
        principal: Principal,
        *,
        author: str = "",
        thread: str = "",
        address: str | None = None,
    ) -> None:
        """Put one's reaction under a message; where it is there already, nothing happens.

        Raises as ``edit``.
        """
        await self._react(id, emoji, principal, author, thread, address, there=True)

    async def unreact(
        self,
        id: str,
        emoji: str,
        principal: Principal,
        *,
        author: str = "",
        thread: str = "",
        address: str | None = None,
    ) -> None:
        """Take one's reaction back; where there is none, nothing happens. Raises as ``edit``."""
        await self._react(id, emoji, principal, author, thread, address, there=False)

    async def _react(
        self,
        id: str,
        emoji: str,
        principal: Principal,
        author: str,
        thread: str,
        address: str | None,
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
            self._permit(room, principal, (root, key), act=Act.INSERT if there else Act.DELETE)
            self._pace(room, principal.id or _guest(who, address))
            if there:
                await self._write(room, shelf, principal, [(root, key, self._now_ms())])
            else:
                await self._write(room, shelf, principal, [], [(root, key)])

    # What it takes

    @property
    def _limits(self) -> Limits:
        assert self._channels.hub is not None
        return self._channels.hub.limits

    def _now_ms(self) -> int:
        assert self._channels.hub is not None
        return self._channels.hub.clock.time_ms()

    async def _there(self, shelf: Shelf, thread: str, id: str) -> Message:
        """Return a message of the document itself."""
        message = shelf.message(thread, id)
        if message is None:
            if await self.message(id, thread=thread) is not None:
                raise MessageArchived("the message is in an archive")
            raise UnknownMessage("there is no message of this id")
        return message

    def _check(self, message: Message) -> None:
        most = self._limits.max_chat_text_bytes
        try:
            size = len(message.text.encode())
            read_message(message.id, message.value())
        except ValueError as error:
            told = "the text is no text of Unicode" if isinstance(error, UnicodeError) else error
            raise InvalidMessage(str(told)) from None
        if size > most:
            raise InvalidMessage(f"the text of a message has at most {most} bytes")

    def _permit(
        self,
        room: "Room",
        principal: Principal,
        place: tuple[str, str],
        *,
        act: Act = Act.INSERT,
        replaces: bool = False,
        system: bool = False,
    ) -> None:
        """Raise unless a principal's role lets it write to a key."""
        if room.damage:
            raise StoreDamaged(room.damage, document=room.name)
        if room.fill.full:
            raise Forbidden("the document is full", kind="document-full")
        if system:
            return
        if principal.read_only:
            raise Forbidden(READ_ONLY)
        touch = Touch(place[0], place[1], act, 1, 0, replaces)
        edit = Edit((touch,), 0, False, EMPTY_UPDATE, scan(EMPTY_UPDATE, room.limits))
        decision = Clearance(principal).check(edit)
        if isinstance(decision, Deny):
            raise Forbidden(decision.reason)

    def _pace(self, room: "Room", who: str) -> None:
        """Raise where somebody writes too much, by this way and his editors' together."""
        channels, now_s = room.judge.keeper.channels, room.clock.monotonic_s()
        if channels is not None:
            rates = channels.rates
            if not rates.allows(who, 1, now_s):
                raise TooManyRequests("you say more than this chat takes: wait a moment")
            rates.take(who, 1, now_s)

    async def _write(
        self,
        room: "Room",
        shelf: Shelf,
        principal: Principal,
        sets: list[tuple[str, str, Any]],
        deletes: list[tuple[str, str]] | None = None,
    ) -> None:
        hub = self._channels.hub
        assert hub is not None
        submit(room, shelf.writer.update(sets, deletes or []), principal)
        await hub.committed(room)

    async def _delete_archived(
        self, room: "Room", shelf: Shelf, thread: str, id: str, who: str, principal: Principal
    ) -> Message:
        hub = self._channels.hub
        assert hub is not None
        moderates = principal.role is not None and principal.role.moderate
        for filed in holding(shelf, thread, id):
            async with hub.open(filed.archive.name) as archive:
                there = self._channels.shelf(archive)
                message = None if there is None else there.message(thread, id)
                if there is None or message is None:
                    continue
                gone = deleted(message, who, moderates, self._now_ms())
                if gone is not message:
                    root, reactions = chat_root(thread), reactions_root(thread)
                    self._permit(room, principal, (root, id), replaces=True)
                    keys = [(reactions, key) for key in there.reactions(thread, id)]
                    await self._write(archive, there, principal, [(root, id, gone.value())], keys)
                    if (book := room.judge.keeper.book) is not None:
                        book.forget(root, id)
                return gone
        raise UnknownMessage("there is no message of this id")


def _guest(who: str, address: str | None) -> str:
    """Return what somebody anonymous is counted by: anybody may call himself anything."""
    return who if address is None else guest_at(address)
