"""Who may say what in one document's chat and presence, beyond what roles say.

Owns which roots are channels, how much may be said, and what the book takes of what is let in. The
decision itself is a ``Case``.
"""

from typing import Final

from crdtsync.channels.book import Book, Draft
from crdtsync.channels.case import Case
from crdtsync.channels.changes import (
    Change,
    Changes,
)
from crdtsync.channels.denials import (
    TOO_FAST,
    TOO_MUCH,
    too_many,
)
from crdtsync.channels.names import Channel, Root, archive_of, read_root
from crdtsync.channels.rates import Brought, Rates, guest_at
from crdtsync.channels.rules import ChannelRules
from crdtsync.clock import Clock
from crdtsync.gate import Deny, Principal
from crdtsync.limits import Limits
from crdtsync.places import PlaceIndex

__all__ = ["ChannelJudge"]

MAX_ROOTS: Final = 1_000
"""Names of roots that are remembered."""
MAX_VALUES: Final = 2_000
"""Values that one update may write into channels, or ``chat_burst`` where that is more: to decide
on each takes up to 0.1 ms, in which nobody else has a turn."""


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
        self,
        changes: Changes,
        principal: Principal,
        book: Book,
        *,
        address: str = "",
        parted: bool = False,
    ) -> Draft | Deny:
        """Decide on what somebody's update does; return what the book takes when it is let in.

        ``parted`` says that it is but a part of one.
        """
        if changes.more:
            return TOO_MUCH
        draft = book.draft()
        draft.strange = changes.strange
        draft.who = principal.id or guest_at(address)
        now_ms = self._clock.time_ms()
        asked = Case(principal, draft, self._limits, now_ms, parted=parted)
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
