"""Who is there in one document, and what presence has to say of everybody.

Owns the rules of docs/presence.md: several connections are one person, who comes back within the
grace was never gone, what people say of themselves is kept while they are there, and what only
the server knows is what it knows. Is told who comes and goes, and compares that with what the
map holds, whatever that is. Knows no connection, no document and no clock.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from crdtsync.channels.model import MAX_NAME, STATUSES, Person, Status, read_person
from crdtsync.channels.names import is_guest

__all__ = ["GUESTS_KEPT_MS", "Attendance", "read_record"]

GUESTS_KEPT_MS: Final = 7 * 86_400_000
"""Who nobody vouches for is forgotten so long after the last visit."""
_VISITOR: Final = "share:"


class _There:
    """Somebody who is there, or was a moment ago."""

    __slots__ = (
        "color",
        "connections",
        "gone_s",
        "known_as",
        "left_ms",
        "name",
        "over",
        "seen_ms",
        "shown",
        "status",
    )

    def __init__(self, record: Person, now_ms: int) -> None:
        self.connections = 0
        self.shown = 0
        """Connections, as presence shows them: within the grace those that there were."""
        self.name = record.name
        self.known_as = ""
        """What their principal is called, which counts more."""
        self.status: Status = "online"
        self.color = record.color
        self.seen_ms = now_ms
        self.gone_s: float | None = None
        """When the last connection went, by the clock that doesn't jump."""
        self.left_ms = now_ms
        """The same, for people."""
        self.over = False
        """Whether the grace is over."""

    def person(self, id: str) -> Person:
        gone = self.over or self.status == "offline"
        hidden = self.status == "offline"  # who hides has left when they hid
        return Person(
            id=id,
            status="offline" if gone else self.status,
            name=(self.known_as or self.name)[:MAX_NAME],
            color=self.color,
            last_seen_ms=self.left_ms if self.over and not hidden else self.seen_ms,
            connections=0 if gone else self.shown,
        )


class Attendance:
    """Who is there in one document."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._there: dict[str, _There] = {}
        self._forgotten: set[str] = set()

    @property
    def pending(self) -> bool:
        """Whether somebody's grace runs, or is over and not yet written down."""
        return any(each.gone_s is not None for each in self._there.values())

    @property
    def online(self) -> int:
        """How many people are shown as connected."""
        return sum(not each.over and each.status != "offline" for each in self._there.values())

    @property
    def concerned(self) -> set[str]:
        """The ids of those of whom something may have to be written."""
        return self._there.keys() | self._forgotten

    def people(self) -> Iterator[Person]:
        """Iterate over those who are there, the invisible among them as such."""
        for id, each in self._there.items():
            if not each.over:
                yield each.person(id)

    def person(self, id: str) -> Person | None:
        """Return somebody who is there, or ``None``."""
        there = self._there.get(id)
        return None if there is None or there.over else there.person(id)

    # What happens

    def remember(
        self, values: Mapping[str, Any], now_s: float, now_ms: int, updated_ms: int
    ) -> None:
        """Begin with what a map says that nobody has kept true since ``updated_ms``.

        Who seems to be connected has as long to come back as anybody.
        """
        for id, value in values.items():
            record = read_record(id, value)
            if record is None:
                continue
            if not _is_true(value):
                there = self._there[id] = _There(record, record.last_seen_ms)
                there.status = "online" if record.status == "offline" else record.status
                there.shown = record.connections
                there.gone_s = now_s
                there.left_ms = min(now_ms, max(record.last_seen_ms, updated_ms))
            elif now_ms - record.last_seen_ms > GUESTS_KEPT_MS and _passing(id):
                self._forgotten.add(id)

    def arrive(self, id: str, name: str, value: Any, now_s: float, now_ms: int) -> None:
        """Take note of a connection of somebody; ``value`` is what the map says of them."""
        self._forgotten.discard(id)
        there = self._there.get(id)
        if there is None or self._is_over(there, now_s):
            record = read_record(id, value) or Person(id=id)
            there = self._there[id] = _There(record, now_ms)
        there.known_as = name or there.known_as
        there.connections += 1
        there.shown = there.connections
        there.gone_s = None

    def leave(self, id: str, now_s: float, now_ms: int) -> None:
        """Take note that a connection of somebody is gone."""
        there = self._there.get(id)
        if there is None or not there.connections:
            return
        there.connections -= 1
        if there.connections:
            there.shown = there.connections
        else:
            there.gone_s, there.left_ms = now_s, now_ms

    def drop(self, id: str, now_s: float, now_ms: int) -> None:
        """Take note of the same where nobody comes back: without a grace."""
        self.leave(id, now_s, now_ms)
        there = self._there.get(id)
        if there is not None and not there.connections:
            there.over = True

    def rename(self, id: str, name: str) -> None:
        """Take note of what somebody's principal is called now."""
        there = self._there.get(id)
        if there is not None:
            there.known_as = name

    def said(self, id: str, value: Any, now_ms: int) -> None:
        """Take note of what somebody wrote of himself; of what can't be read, nothing."""
        there = self._there.get(id)
        record = read_record(id, value)
        if there is None or there.over or record is None:
            return
        status = record.status if value.get("status") in STATUSES else there.status
        if status != there.status and "offline" in (status, there.status):
            there.seen_ms = now_ms
        there.status, there.name, there.color = status, record.name, record.color

    def expire(self, now_s: float) -> None:
        """Let go of those whose grace is over."""
        for each in self._there.values():
            each.over = self._is_over(each, now_s)

    def _is_over(self, there: _There, now_s: float) -> bool:
        gone_s = there.gone_s
        return there.over or (gone_s is not None and now_s - gone_s >= self._grace_s)

    def end(self, now_ms: int) -> None:
        """Take note that nobody is there any more."""
        for each in self._there.values():
            if each.gone_s is None:
                each.gone_s, each.left_ms = 0.0, now_ms
            each.connections = 0
            each.over = True

    # What follows

    def changes(
        self, values: Mapping[str, Any], now_ms: int
    ) -> tuple[list[tuple[str, dict[str, Any]]], list[str]]:
        """Return which keys of the map have to be set, and which to be deleted.

        ``values`` are those of who is ``concerned``, and of whoever was written about lately.
        """
        sets: list[tuple[str, dict[str, Any]]] = []
        for id, there in self._there.items():
            wanted = there.person(id).value()
            if not _same(values.get(id), wanted):
                sets.append((id, wanted))
        for id, value in values.items():
            if id not in self._there and not _is_true(value):
                record = read_record(id, value)
                if record is not None:
                    seen_ms = min(record.last_seen_ms or now_ms, now_ms)
                    sets.append((id, _gone(record, seen_ms)))
        return sets, [id for id in self._forgotten if id in values]

    def written(self) -> None:
        """Take note that the map is as it should be: who is gone is no more of a concern."""
        self._there = {id: each for id, each in self._there.items() if not each.over}
        self._forgotten.clear()


def read_record(id: str, value: Any) -> Person | None:
    """Return what can be made of somebody's value; ``None`` where it is no object at all."""
    if not isinstance(value, Mapping):
        return None
    try:
        return read_person(id, value)
    except ValueError:
        pass
    parts: dict[str, Any] = {}
    for field, name in _FIELDS.items():
        try:
            one = read_person("anybody", {"status": "online", field: value.get(field)})
        except ValueError:
            continue
        parts[name] = getattr(one, name)
    return Person(id=id, **parts)


_FIELDS: Final = {
    "status": "status",
    "name": "name",
    "color": "color",
    "lastSeen": "last_seen_ms",
    "connections": "connections",
}


def _gone(record: Person, seen_ms: int) -> dict[str, Any]:
    person = Person(
        id=record.id,
        status="offline",
        name=record.name,
        color=record.color,
        last_seen_ms=seen_ms,
    )
    return person.value()


def _is_true(value: Any) -> bool:
    """Return whether a value may stand for somebody who isn't there: it seems to be nobody's."""
    if not isinstance(value, Mapping):
        return True
    return value.get("status") == "offline" and not value.get("connections")


def _passing(id: str) -> bool:
    return is_guest(id) or id.startswith(_VISITOR)


def _same(value: Any, wanted: Mapping[str, Any]) -> bool:
    """Return whether a value is the one that is wanted; ``true`` is not 1 in JSON."""
    if value != wanted:
        return False
    return type(value["connections"]) is int and type(value["lastSeen"]) is int
