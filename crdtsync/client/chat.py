"""The chat beside a document, for programs: the maps of docs/chat.md, by name.

Owns no state: everything is in the document, and what is done here is an edit like any other,
offline too. The server has the last word on who may do what.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from crdtsync.channels.model import Message, Reaction, message_id, read_message, read_reaction
from crdtsync.channels.names import CHAT, REACTIONS, RECEIPTS, is_guest
from crdtsync.client.core import Core
from crdtsync.client.errors import ClientError

__all__ = ["Chat"]

SET_BACK_MS: Final = 30_000
"""A last message so far ahead was written before the clock was set back: servers refuse what lies
a minute ahead."""


def now_ms() -> int:
    """Return the wall clock."""
    return time.time_ns() // 1_000_000


def check_texts(values: Iterable[Any]) -> None:
    """Raise ``ClientError`` where a text can't be encoded: pycrdt would panic."""
    for value in values:
        try:
            str(value).encode()
        except UnicodeError:
            raise ClientError("that is no text of Unicode: it has half a surrogate pair") from None


class Chat:
    """The messages beside one document, or those of one of its threads."""

    def __init__(self, core: Core, thread: str = "") -> None:
        self._core = core
        self._thread = thread

    def thread(self, id: str) -> "Chat":
        """Return the thread that a message has begun."""
        return Chat(self._core, id)

    @property
    def me(self) -> str:
        """Who writes: ``user["id"]`` of ``connect``, or a guest's name of this client's own.

        It has to be the id that the server knows this client by; it refuses any other author.
        """
        return self._core.me

    @contextmanager
    def _root(self, kind: str) -> Iterator[Any]:
        with self._core.lock:
            yield self._core.map(self._name(kind))

    def _name(self, kind: str) -> str:
        return f"{kind}/{self._thread}" if self._thread else kind

    # Messages

    def send(self, text: str, *, reply_to: str = "", name: str = "") -> Message:
        """Write a message, and return it."""
        return self._put(self._new(text, reply_to, name))

    def send_file(
        self, name: str, url: str, *, size: int = 0, media_type: str = "", reply_to: str = ""
    ) -> Message:
        """Write a message that leads to a file, which is somewhere else: ``https:`` or ``/...``."""
        message = self._new(name, reply_to, "")
        return self._put(replace(message, type="file", url=url, size=size, media_type=media_type))

    def _new(self, text: str, reply_to: str, name: str) -> Message:
        time_ms = self._moment_ms()
        if not name and is_guest(self.me):  # everybody else's is the server's to say
            name = str(self._core.user.get("name", ""))
        return Message(
            id=message_id(time_ms),
            author=self.me,
            text=text,
            time_ms=time_ms,
            name=name,
            reply_to=reply_to,
        )

    def _moment_ms(self) -> int:
        """Return a message's time: no two have the same, or they would stand in any order."""
        core, present_ms = self._core, now_ms()
        with core.lock:
            set_back = core.said_ms > present_ms + SET_BACK_MS
            core.said_ms = present_ms if set_back else max(present_ms, core.said_ms + 1)
            return core.said_ms

    def _put(self, message: Message) -> Message:
        value = message.value()
        check_texts(value.values())
        try:
            read_message(message.id, value)
        except ValueError as error:
            raise ClientError(f"that is no message: {error}") from None
        with self._root(CHAT) as messages:
            messages[message.id] = value
        return message

    def messages(self, *, before: str = "", limit: int = 50) -> list[Message]:
        """Return the newest messages, oldest first; with ``before``, those before a message.

        Older ones are in the archives that the server makes, which are documents of their own.
        """
        # One transaction for all: each one looks at every client of the document.
        with self._root(CHAT) as messages, messages.doc.transaction():
            values = dict(messages)
        ids = sorted(id for id in values if not before or id < before)
        found = [_read(id, values[id]) for id in reversed(ids)]
        return [message for message in found if message is not None][:limit][::-1]

    def message(self, id: str) -> Message:
        """Return one message. Raises ``ClientError`` where there is none."""
        with self._root(CHAT) as messages:
            found = _read(id, messages.get(id))
        if found is None:
            raise ClientError("there is no such message")
        return found

    def edit(self, id: str, text: str) -> Message:
        """Change the text of an own message."""
        message = self.message(id)
        if message.author != self.me or message.deleted_ms:
            raise ClientError("only own messages can be edited, while they are there")
        return self._put(replace(message, text=text, edited_ms=_behind(message)))

    def delete(self, id: str) -> None:
        """Take the content out of a message: an own one, or anybody's for who moderates."""
        message = self.message(id)
        by = "" if message.author == self.me else self.me
        gone = Message(
            id=id,
            author=message.author,
            text="",
            time_ms=message.time_ms,
            type=message.type,
            deleted_ms=_behind(message),
            deleted_by=by,
        )
        self._put(gone)

    # Around them

    def react(self, id: str, emoji: str, on: bool = True) -> None:
        """React to a message with an emoji, or take that back."""
        key = Reaction(id, emoji, self.me).key
        try:
            read_reaction(key, 0)
        except ValueError as error:
            raise ClientError(f"that is no reaction: {error}") from None
        with self._root(REACTIONS) as reactions:
            if on:
                reactions[key] = now_ms()
            elif key in reactions:
                del reactions[key]

    def reactions(self, id: str) -> dict[str, list[str]]:
        """Return who has reacted to a message, by emoji."""
        found: dict[str, list[str]] = {}
        with self._root(REACTIONS) as reactions:
            for key in sorted(key for key in reactions if key.startswith(f"{id} ")):
                try:
                    reaction = read_reaction(key, reactions[key])
                except ValueError:
                    continue
                found.setdefault(reaction.emoji, []).append(reaction.user)
        return found

    def read(self, id: str) -> None:
        """Say that everything up to a message has been read."""
        check_texts([id])
        with self._root(RECEIPTS) as receipts:
            if receipts.get(self.me, "") < id:
                receipts[self.me] = id

    def receipts(self) -> Mapping[str, str]:
        """Return the last message that each person has read."""
        with self._root(RECEIPTS) as receipts:
            return {user: id for user, id in dict(receipts).items() if isinstance(id, str)}

    def typing(self, on: bool = True) -> None:
        """Say that somebody types here, or does not any more."""
        says: bool | str = self._thread or True
        self._core.soon(lambda: self._core.awareness.set_field("typing", says if on else None))

    def typists(self) -> list[dict[str, Any]]:
        """Return the ``user`` of everybody else who types here."""
        says: bool | str = self._thread or True
        own = self._core.awareness.client_id
        return [
            state.get("user") or {}
            for client, state in self._core.awareness.states.items()
            if client != own and isinstance(state, dict) and state.get("typing") == says
        ]

    def observe(self, callback: Callable[[list[str]], None]) -> Callable[[], None]:
        """Call back with the ids of messages that are new or changed; returns what ends that.

        The client's event loop does so soon behind each change: it may read and write here.
        """
        return self._core.watch(self._name(CHAT), callback)


def _behind(message: Message) -> int:
    """Return when a message is changed: its author's clock may be ahead of this one."""
    return max(now_ms(), message.time_ms)


def _read(id: str, value: Any) -> Message | None:
    """Read a message; what is none (where the server enforces nothing) is passed over."""
    try:
        return read_message(id, value)
    except ValueError:
        return None
