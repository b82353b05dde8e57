"""Refused updates on a store without a server: looking into them, joining and applying them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from crdtsync.clock import Clock, SystemClock
from crdtsync.document import Verdict
from crdtsync.documents.loading import damaged, open_loaded, whole_state
from crdtsync.documents.model import DocumentError
from crdtsync.documents.quarantine import refuse_quarantined
from crdtsync.documents.writing import version_before
from crdtsync.encoding import read_var_string
from crdtsync.errors import InvalidUpdate
from crdtsync.guard import NO_GUARD, Guard
from crdtsync.history.base import HistoryStore
from crdtsync.idset import IdSet
from crdtsync.limits import Limits, trusting
from crdtsync.refused.base import Entry
from crdtsync.slicing import content_offset, weave_updates
from crdtsync.store.base import Record, Store
from crdtsync.structs import STRING, Range
from crdtsync.update import scan

__all__ = [
    "BEFORE",
    "MISSING",
    "Applied",
    "RefusedContent",
    "apply_refused",
    "join_refused",
    "refused_content",
]

MISSING: Final = "it builds on edits that the document lacks"
"""Why an entry can't be applied, mostly."""
BEFORE: Final = "Before applying refused edits"
"""What the version of the moment before is called."""
MAX_EXCERPT: Final = 200
"""Characters of an entry's text that are shown."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of entries that were to be applied."""

    applied: tuple[Entry, ...]
    """The document has them now, or had them before."""
    left: tuple[tuple[Entry, str], ...]
    """Those that could not be, and why."""


@dataclass(frozen=True, slots=True)
class RefusedContent:
    """What an entry's update says."""

    ranges: tuple[Range, ...]
    """``(client, first clock, end clock)`` of what it brings."""
    deleted: int
    """How many clocks it deletes."""
    roots: tuple[str, ...]
    """The roots that it names; most edits name the character before, and no root."""
    text: str
    """The beginning of the text that it brings."""


def refused_content(entry: Entry, limits: Limits | None = None) -> RefusedContent:
    """Look into an entry. Raises ``InvalidUpdate`` where it is none that was kept."""
    found = scan(entry.update, trusting(limits or Limits()), structs=True)
    text = ""
    for struct in found.structs or ():
        if struct.kind == STRING and len(text) <= MAX_EXCERPT:
            text += read_var_string(entry.update, content_offset(entry.update, struct))[0]
    return RefusedContent(
        ranges=found.ranges,
        deleted=sum(end - start for _, start, end in found.deletes),
        roots=tuple(sorted(found.roots)),
        text=text if len(text) <= MAX_EXCERPT else f"{text[:MAX_EXCERPT]}...",
    )


def join_refused(entries: Sequence[Entry], limits: Limits | None = None) -> bytes:
    """Return entries as one update. Raises ``DocumentError`` where one between them is missing."""
    reading = trusting(limits or Limits())
    scans = [(each.update, scan(each.update, reading)) for each in entries]
    # Each client's clocks have to come in their order, whichever connection brought them first.
    scans.sort(key=lambda each: each[1].ranges[0][1] if each[1].ranges else 0)
    hint = "Export them one by one, with --separate"
    try:
        update, layout = weave_updates((each for each, _ in scans), reading)
    except InvalidUpdate:
        raise DocumentError("an update between these is missing", hint=hint) from None
    brought = IdSet()
    brought.add(layout.ranges)
    if not all(brought.covers(found.ranges) for _, found in scans):
        raise DocumentError("these updates can't be brought into one order", hint=hint)
    return update


async def apply_refused(
    store: Store,
    name: str,
    entries: Sequence[Entry],
    *,
    limits: Limits | None = None,
    clock: Clock | None = None,
    guard: Guard = NO_GUARD,
    history: HistoryStore | None = None,
) -> Applied:
    """Commit entries of one document as their authors' edits, in an order in which they fit.

    In ``history`` a document that changes has a version of the moment before.

    An entry enters whole or not at all, and what could be applied is one commit. The limits on
    updates hold, the one on a document's size does not. Raises ``DocumentError`` where the
    document is damaged or quarantined.
    """
    limits = limits or Limits()
    refuse_quarantined(guard, name, "Release it first")
    info = await store.info(name)
    document, damage = open_loaded(name, await store.load(name), limits)
    if damage is not None:
        raise damaged(name, damage)
    applied: list[Entry] = []
    left = list(entries)
    news: list[tuple[str, bytes]] = []
    reasons: dict[int, str] = {}
    progress = True
    while left and progress:
        progress = False
        for entry in list(left):
            try:
                found = scan(entry.update, limits, structs=document.detailed)
                if document.lacks(entry.update, found):
                    continue
                left.remove(entry)
                verdict = document.admit(entry.update, found)
            except InvalidUpdate as error:
                reasons[entry.id] = str(error)
                if entry in left:
                    left.remove(entry)
                continue
            progress = True
            parts = [(part, layout) for part, layout, _ in document.take_ready()]
            if verdict is Verdict.NEW:
                parts.insert(0, (entry.update, found))
            for part, layout in parts:
                document.commit(part, layout)
                news.append((entry.author, part))
            applied.append(entry)
    whole_state(name, document)  # what can't be put together is not stored
    time_ms = (clock or SystemClock()).time_ms()
    last = 0 if info is None else info.sequence
    records = [
        Record(name, last + n, time_ms, author, part) for n, (author, part) in enumerate(news, 1)
    ]
    if records:
        if history is not None and info is not None:
            await history.add_versions([version_before(info, BEFORE)])
        await store.append(records)
    done = {entry.id for entry in applied}
    remaining = [entry for entry in entries if entry.id not in done]
    return Applied(
        tuple(applied), tuple((each, reasons.get(each.id, MISSING)) for each in remaining)
    )
