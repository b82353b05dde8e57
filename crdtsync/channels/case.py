"""The decision on one update of one principal in a document's chat and presence.

Owns the rules of docs/chat.md: everybody speaks for himself alone; a message's author, time, type
and what it answers stay; what was deleted stays so. Two things are put right instead of refused,
because honest people do them without knowing: an edit of a message that was deleted meanwhile, and
a deletion of one that was edited meanwhile. Either way the message is deleted in the same commit.
What is written late to a message that may be in an archive by then is let in where its author might
write it: whether he is the message's, the archive knows, and whoever takes it there asks.
"""

from crdtsync.channels.book import Draft, Slot
from crdtsync.channels.changes import (
    GONE,
    Change,
    Drop,
    Gone,
    Reacted,
    Said,
    Wrong,
)
from crdtsync.channels.denials import (
    OWN_KEY,
    OWN_MESSAGES,
    TOO_MUCH,
    too_late,
    too_long,
)
from crdtsync.channels.model import MAX_NAME, Message, message_time
from crdtsync.channels.names import Channel, Root, is_guest, is_message_id
from crdtsync.gate import Deny, Principal
from crdtsync.limits import Limits

__all__ = ["Case"]


class Case:
    """One update of one principal, at one moment."""

    def __init__(
        self,
        principal: Principal,
        draft: Draft,
        limits: Limits,
        now_ms: int,
        *,
        parted: bool,
    ) -> None:
        self._principal = principal
        self._draft = draft
        self._limits = limits
        self._now_ms = now_ms
        role = principal.role
        self._moderates = role is not None and role.moderate
        self._under: dict[tuple[str, str], Message] = {}
        """Messages under items of this update that come deleted: another may follow on those."""
        self._parted = parted
        """Whether there is more of the update that can't be seen."""

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
        key = drop.key
        own = (drop.name, key) in self._draft.slots
        before = self._draft.drop(drop)
        if before is None or key is None or isinstance(before.said, Wrong):
            return None
        match drop.root.channel:
            case Channel.CHAT:
                if own and self._parted:  # what replaces it may be yet to come
                    return TOO_MUCH
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
        if self._parted:  # what replaces it may be yet to come
            return TOO_MUCH
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
