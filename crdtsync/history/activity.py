"""The activity of a document: who worked on it, from when to when, and how much.

Owns sessions, which are told by the timeline alone, without what was written. A *session* is
one author's changes without a longer pause; those of several authors may overlap.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crdtsync.history.model import LoggedCheckpoint, LoggedRecord, Stored
from crdtsync.history.reading import Names, Reading, answer, rfc3339
from crdtsync.history.spans import Amount

__all__ = ["GAP_MS", "activity"]

GAP_MS: Final = 5 * 60_000
"""A longer pause ends a session, unless asked otherwise."""


@dataclass(slots=True)
class _Session:
    author: str
    from_ms: int
    to_ms: int
    first: int
    last: int
    inserted: int = 0
    deleted: int = 0


def activity(
    stored: Stored | None,
    checkpoint: LoggedCheckpoint | None,
    records: Sequence[LoggedRecord],
    before: int | None = None,
    limit: int = 50,
    names: Names | None = None,
    gap_ms: int = GAP_MS,
) -> bytes:
    """Return, as JSON, about ``limit`` sessions, the last to end first.

    ``before`` is a sequence: the sessions that ended before it. Sessions that end with the same
    record stay together, so there may be a few more. Raises ``HistoryDamaged``.
    """

    def question() -> dict[str, Any]:
        reading = Reading(stored, checkpoint, records, names)
        found = _sessions(reading.past.timeline.amounts(), gap_ms)
        if before is not None:
            found = [each for each in found if each.last < before]
        found.sort(key=lambda each: (-each.last, each.author))
        count = min(max(limit, 1), len(found))
        while 0 < count < len(found) and found[count].last == found[count - 1].last:
            count += 1
        shown = [_told(each, names or {}) for each in found[:count]]
        more = f"s{found[count - 1].last}" if count < len(found) else None
        return {"sessions": shown, "next": more}

    return answer(question)


def _sessions(amounts: Iterable[Amount], gap_ms: int) -> list[_Session]:
    sessions: list[_Session] = []
    running: dict[str, _Session] = {}
    for sequence, time_ms, author, inserted, deleted in amounts:
        session = running.get(author)
        if session is None or time_ms - session.to_ms > gap_ms:
            session = running[author] = _Session(author, time_ms, time_ms, sequence, sequence)
            sessions.append(session)
        session.last = sequence
        if time_ms > session.to_ms:
            session.to_ms = time_ms
        elif time_ms < session.from_ms:
            session.from_ms = time_ms  # the clock was set back
        session.inserted += inserted
        session.deleted += deleted
    return sessions


def _told(session: _Session, names: Names) -> dict[str, Any]:
    return {
        "author": session.author,
        "name": names.get(session.author, ""),
        "from": rfc3339(session.from_ms),
        "to": rfc3339(session.to_ms),
        "first_sequence": session.first,
        "last_sequence": session.last,
        "inserted": session.inserted,
        "deleted": session.deleted,
    }
