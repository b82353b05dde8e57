"""Who may say what in one document's chat and presence: the rules of docs/chat.md.

Owns the decision on what an update does in the roots that are channels, beyond what roles say.
Everybody speaks for himself alone; a message's author, time, type and what it answers stay; what
was deleted stays so. Two things are put right instead of refused, because honest people do them
without knowing: an edit of a message that was deleted meanwhile, and a deletion of one that was
edited meanwhile. Either way the message is deleted in the same commit. What is written late to a
message that may be in an archive by then is let in where its author might write it: whether he is
the message's, the archive knows, and whoever takes it there asks.
"""

from typing import Final

from crdtsync.channels.book import Book, Draft, Slot
from crdtsync.channels.changes import (
    GONE,
    Change,
    Changes,
    Drop,
    Gone,
    Reacted,
    Said,
    Wrong,
)
from crdtsync.channels.model import MAX_NAME, Message, message_time
from crdtsync.channels.names import Channel, Root, archive_of, is_guest, is_message_id, read_root
from crdtsync.channels.rates import Brought, Rates, guest_at
from crdtsync.channels.rules import ChannelRules
from crdtsync.clock import Clock
from crdtsync.gate import Deny, Principal
from crdtsync.limits import Limits
from crdtsync.places import PlaceIndex

__all__ = ["OWN_MESSAGES", "SEALED", "TOO_FAST", "ChannelJudge", "too_late", "too_long"]

SEALED: Final = Deny("this is an archive: nobody writes to it")
OWN_MESSAGES: Final = Deny("you may only write, edit and delete messages of your own")
OWN_KEY: Final = Deny("you may only write your own key here")
TOO_MUCH: Final = Deny("that is too much at once for a document's chat and presence")
TOO_FAST: Final = Deny("you say more than this chat takes: wait a moment")
MAX_ROOTS: Final = 1_000
"""Names of roots that are remembered."""
MAX_VALUES: Final = 2_000
"""Values that one update may write into channels, or ``chat_burst`` where that is more: to decide
on each takes up to 0.1 ms, in which nobody else has a turn."""


def too_long(limits: Limits) -> Deny:
    """Say how long a message may be."""
    return Deny(f"a message may have {limits.max_chat_text_bytes} bytes")


def too_late(limits: Limits) -> Deny:
    """Say for how long a message may be edited."""
    return Deny(f"a message may be edited for {round(limits.chat_edit_window_s / 60)} minutes")


def too_many(limits: Limits) -> Deny:
    """Say how much somebody may bring who was offline."""
    at_once, per_minute = limits.chat_burst, limits.chat_messages_per_minute
    # Short: a close frame has room for little more.
    return Deny(f"a chat takes {at_once} things at once, and {per_minute} a minute of their time")


class ChannelJudge:
    """Decides on what happens in the channels of one document."""

    __slots__ = ("_clock", "_kept", "_limits", "_roots", "rates", "sealed")

    def __init__(
        self,
        rules: ChannelRules,
        document: str,
        limits: Limits,
        clock: Clock,
        brought: Brought | None = None,
    ) -> None:
        chats = rules.chats(document)
        self._kept: set[Channel] = {
            each for each in Channel if chats and each is not Channel.PRESENCE
        }
        if rules.present(document):
            self._kept.add(Channel.PRESENCE)
        self._limits = limits
        self._clock = clock
        self._roots: dict[str, Root | None] = {}
        self.sealed = chats and archive_of(document) is not None
        """Whether nobody but the server writes anything to this document."""
        self.rates = Rates(
            per_minute=limits.chat_messages_per_minute,
            burst=limits.chat_burst,
            past_s=limits.chat_past_s,
            brought=brought,
            document=document,
        )

    def channel(self, root: str) -> Root | None:
        """Return which channel a root of this document is."""
        if root in self._roots:
            return self._roots[root]
        found = read_root(root)
        if found is not None and found.channel not in self._kept:
            found = None
        if len(self._roots) < MAX_ROOTS:
            self._roots[root] = found
        return found

    def fences(self, root: str) -> bool:
        """Return whether an edit of a root takes a closer look, whoever it comes from."""
        return self.sealed or self.channel(root) is not None

    def look(self, update: bytes, index: PlaceIndex, book: Book, *, known: bool = False) -> Changes:
        """Return what is to be shown an update's items; all of them, where it is let in already."""
        most = 0 if known else max(MAX_VALUES, self._limits.chat_burst)
        return Changes(update, index, self.channel, book.strange, most=most)

    def judge(
        self, changes: Changes, principal: Principal, book: Book, *, address: str = ""
    ) -> Draft | Deny:
        """Decide on what somebody's update does; return what the book takes when it is let in."""
        if changes.more:
            return TOO_MUCH
        draft = book.draft()
        draft.strange = changes.strange
        draft.who = principal.id or guest_at(address)
        now_ms = self._clock.time_ms()
        asked = _Case(principal, draft, self._limits, now_ms)
        # Messages first: reactions and threads may be about them. The server's own come last.
        sets = sorted(changes.sets, key=_rank)
        for change in sets:
            denial = asked.put(change)
            if denial is not None:
                return denial
        for drop in changes.drops:
            denial = asked.drop(drop)
            if denial is not None:
                return denial
        times_ms = draft.times_ms
        if not self.rates.allows(draft.who, times_ms, self._clock.monotonic_s(), now_ms):
            return TOO_FAST if len(times_ms) <= self._limits.chat_burst else too_many(self._limits)
        return draft

    def said(self, draft: Draft) -> None:
        """Take note that what was decided on is let in."""
        clock = self._clock
        self.rates.take(draft.who, draft.times_ms, clock.monotonic_s(), clock.time_ms())


def _rank(change: Change) -> tuple[bool, bool]:
    return change.root.channel is not Channel.CHAT, bool(change.root.thread)


class _Case:
    """One update of one principal, at one moment."""

    def __init__(self, principal: Principal, draft: Draft, limits: Limits, now_ms: int) -> None:
        self._principal = principal
        self._draft = draft
        self._limits = limits
        self._now_ms = now_ms
        role = principal.role
        self._moderates = role is not None and role.moderate
        self._under: dict[tuple[str, str], Message] = {}
        """Messages under items of this update that come deleted: another may follow on those."""

    def put(self, change: Change) -> Deny | None:
        """Decide on a key's new item, and take it."""
        root, key, said = change.root, change.key, change.said
        if isinstance(said, Wrong) or key is None:
            return Deny(said.reason if isinstance(said, Wrong) else "only keys are written here")
        if root.thread and not self._draft.was_said(root.thread, ""):
            return Deny("a thread begins with a message of this chat")
        match root.channel:
            case Channel.CHAT:
                return self._message(change, key)
            case Channel.REACTIONS:
                denial = self._reaction(root, key, said)
            case Channel.RECEIPTS | Channel.PRESENCE:
                denial = None if self._is(key) else OWN_KEY
            case Channel.ARCHIVES:
                denial = Deny("only the server writes here")
        if denial is None:
            self._draft.put(change)
        return denial

    def drop(self, drop: Drop) -> Deny | None:
        """Decide on a deletion, and take it. What a key shows no more anybody may delete."""
        before = self._draft.drop(drop)
        key = drop.key
        if before is None or key is None or isinstance(before.said, Wrong):
            return None
        match drop.root.channel:
            case Channel.CHAT:
                return self._may_delete(before.said)
            case Channel.REACTIONS:
                return None if self._is(key.rpartition(" ")[2]) else OWN_KEY
            case Channel.RECEIPTS | Channel.PRESENCE:
                return None if self._is(key) else OWN_KEY
            case Channel.ARCHIVES:
                return Deny("only the server writes here")

    def _is(self, id: str) -> bool:
        """Return whether somebody's id is the principal's; a guest is any guest."""
        own = self._principal.id
        return id == own if own else is_guest(id)

    # Messages

    def _message(self, change: Change, key: str) -> Deny | None:
        draft, said = self._draft, change.said
        before = draft.slot(change.name, key)
        name = change.name
        if before is not None and before.is_gone and (name, key) not in self._under:
            return self._late(change, key)
        if isinstance(said, Gone):
            return self._deleted(change, key, before)
        assert isinstance(said, Message)
        there = None if before is None else before.said
        knew = before is not None and there is not GONE and before.last == change.origin
        if there is GONE:
            there = self._under.get((name, key))
        if isinstance(there, Message):
            denial = self._changed(there, said, knew=knew)
        elif before is not None and before.owner not in (None, self._principal.id):
            denial = OWN_MESSAGES
        else:
            denial = self._new(said)
        if denial is not None:
            return denial
        self._count(said)
        wins = draft.put(change)
        if isinstance(there, Message) and there.deleted_ms and not said.deleted_ms:
            if wins:
                self._amend(change, key)
        elif said.deleted_ms and not wins:
            self._amend(change, key)
        return None

    def _count(self, said: Message) -> None:
        if not said.deleted_ms:
            self._draft.times_ms.append(said.edited_ms or said.time_ms)

    def _late(self, change: Change, key: str) -> Deny | None:
        """Decide on what is written to a message that isn't here any more.

        It was deleted, and then it is deleted again; or it may be in an archive.
        """
        draft, said = self._draft, change.said
        # What is older may have been shed, and nothing may come to stand there.
        old = is_message_id(key) and message_time(key) < self._earliest_ms
        if old or not draft.may_be_archived(key, change.root.thread):
            if said is not GONE:
                draft.times_ms.append(0)
                draft.amends.append((change.client, change.start, change.end))
            return None
        if isinstance(said, Gone):
            draft.put(change)  # another may follow on it
            return None
        assert isinstance(said, Message)
        self._count(said)
        brought_back = not said.deleted_ms and not said.edited_ms
        if brought_back or change.origin is None:  # newcomers don't know that something was there
            draft.amends.append((change.client, change.start, change.end))
            return None
        own = self._is(said.author) and said.type != "system"
        if said.deleted_ms:
            denial, when_ms, what = self._may_tombstone(said, own=own), said.deleted_ms, "deleted"
        else:
            denial, when_ms, what = None if own else OWN_MESSAGES, said.edited_ms, "edited"
        denial = denial or self._sound(said, named=said.name) or self._on_time(when_ms, what)
        if denial is None and not draft.put(change) and said.deleted_ms:
            draft.restated.append((change.name, key, said))
        return denial

    def _amend(self, change: Change, key: str) -> None:
        """See to it that what a key shows is deleted: somebody has deleted the message."""
        slot = self._draft.slot(change.name, key)
        assert slot is not None
        if isinstance(slot.said, Gone):
            return
        client, clock = slot.last
        self._draft.drop(Drop(change.root, change.name, key, client, clock, clock + 1))
        self._draft.amends.append((client, clock, clock + 1))

    def _deleted(self, change: Change, key: str, before: Slot | None) -> Deny | None:
        """Decide on an item that comes deleted: what it was is not to be known."""
        if not is_message_id(key):
            return Deny("a message's key is a UUID of version 7 in small letters")
        if before is not None and before.said is not GONE:
            denial = self._may_delete(before.said)
            if denial is not None:
                return denial
            if isinstance(before.said, Message):
                self._under[change.name, key] = before.said
        first = before is None or before.said is GONE  # the item that counts is yet to come
        self._draft.put(change, self._principal.id if first else None)
        return None

    def _may_delete(self, there: Said) -> Deny | None:
        if not isinstance(there, Message) or self._moderates:
            return None
        return None if self._is(there.author) and there.type != "system" else OWN_MESSAGES

    def _new(self, said: Message) -> Deny | None:
        if not self._is(said.author):
            return OWN_MESSAGES
        if said.deleted_by:
            return Deny("deletedBy is for who deletes the message of somebody else")
        denial = self._sound(said) or self._on_time(said.time_ms, "a message's time")
        for later, what in ((said.edited_ms, "edited"), (said.deleted_ms, "deleted")):
            denial = denial or (self._on_time(later, what) if later else None)
        return denial

    def _changed(self, there: Message, said: Message, *, knew: bool) -> Deny | None:
        if said == there:
            return None
        if (said.author, said.type) != (there.author, there.type):
            return Deny("a message keeps its author, its time and its type")
        own = self._is(there.author) and there.type != "system"
        if said.deleted_ms:
            return self._tombstone(there, said, own=own, knew=knew)
        if not own:
            return OWN_MESSAGES
        if there.deleted_ms and knew:
            return Deny("a deleted message stays deleted")
        if said.reply_to != there.reply_to:
            return Deny("a message goes on answering the same one")
        if not said.edited_ms:
            return Deny("an edited message says when, as edited")
        return self._sound(said, named=there.name) or self._on_time(said.edited_ms, "edited")

    def _tombstone(self, there: Message, said: Message, *, own: bool, knew: bool) -> Deny | None:
        if knew and there.deleted_ms and said.deleted_by != there.deleted_by:
            return Deny("a deleted message keeps saying who deleted it")
        same = bool(there.deleted_ms) and said.deleted_by == there.deleted_by
        denial = self._may_tombstone(said, own=own, same=same)
        if denial is not None:
            return denial
        return self._sound(said, named=there.name) or self._on_time(said.deleted_ms, "deleted")

    def _may_tombstone(self, said: Message, *, own: bool, same: bool = False) -> Deny | None:
        """Decide whether somebody may say that a message is deleted, by whom it says it is."""
        if not own and not self._moderates:
            return OWN_MESSAGES
        by = said.deleted_by
        if not same and not (self._is(by) if by else own):
            return Deny("who deletes the message of somebody else says so, as deletedBy")
        return None

    def _sound(self, said: Message, *, named: str = "") -> Deny | None:
        """Check what holds for a new message as for a changed one."""
        limits, name = self._limits, self._principal.name
        if said.type == "system" and not said.deleted_ms:
            return Deny("only the server writes messages of type system")
        if len(said.text.encode()) > limits.max_chat_text_bytes:
            return too_long(limits)
        if said.name and said.name != named and name and said.name != name[:MAX_NAME]:
            return Deny("name is another one than yours")
        # By the clocks of two devices, of which the one that wrote it may have been ahead.
        earliest_ms = said.time_ms - limits.chat_future_s * 1000
        if said.edited_ms and not earliest_ms <= said.edited_ms <= said.time_ms + self._window_ms:
            return too_late(limits)
        if said.deleted_ms and said.deleted_ms < earliest_ms:
            return Deny("a message is deleted after it was written")
        return None

    @property
    def _window_ms(self) -> int:
        return round(self._limits.chat_edit_window_s * 1000)

    @property
    def _earliest_ms(self) -> float:
        return self._now_ms - self._limits.chat_past_s * 1000

    def _on_time(self, time_ms: int, what: str) -> Deny | None:
        limits = self._limits
        if time_ms > self._now_ms + limits.chat_future_s * 1000:
            return Deny(f"{what} lies in the future: is your clock right?")
        if time_ms < self._earliest_ms:
            return Deny(f"{what} lies too far in the past")
        return None

    # The rest

    def _reaction(self, root: Root, key: str, said: object) -> Deny | None:
        if isinstance(said, Gone):
            return None if self._is(key.rpartition(" ")[2]) else OWN_KEY
        assert isinstance(said, Reacted)
        if not self._is(said.reaction.user):
            return Deny("you may only react for yourself")
        if not self._draft.was_said(said.reaction.message, root.thread):
            return Deny("there is no such message to react to")
        self._draft.times_ms.append(said.time_ms)
        return self._on_time(said.time_ms, "a reaction's time")
