"""Awareness: who is there, with which cursor. The codec, and the table that one room keeps.

Owns the clock rule of y-protocols and the ownership of client ids. Invariants:

- An entry counts only if its clock is newer, or if it is a removal at the same clock.
- A client id belongs to the connection that introduced it; entries for it from elsewhere are
  ignored, because clients repeat each other's states. When that connection has gone, an id that
  somebody with a name had introduced is that one's still.
- No connection takes a clock further than ``max_awareness_clock_jump`` beyond where it found it:
  a forged clock near the end of the range would leave its victim none to go on with.
- A client that has come back while its old connection seems to live claims its id. It gets it
  the moment the old connection goes, and ``rivals`` says whose life is in doubt.
- When a connection goes, its ids are removed at their last clock, and the clocks are kept: a
  late repetition brings no ghost back. The owner itself may return at that same clock.
- Every change gets a rising ``version``, so a slow reader asks for "all since", never for a queue.

Knows no socket and no JSON schema: a state is JSON text, checked to be JSON, otherwise opaque.
Source: y-protocols, ``awareness.js``.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from crdtsync.encoding import read_var_string, read_var_uint, write_var_string, write_var_uint
from crdtsync.errors import MalformedMessage, MessageTooLarge
from crdtsync.limits import Limits

__all__ = ["AwarenessTable", "Entry", "encode_entries", "read_entries", "read_single"]

REMOVED: Final = "null"
_MAX_CLOCK: Final = 1 << 32
_MAX_FIRST_CLOCK: Final = 1 << 31
"""Of an id that is not known: it leaves half of the range for whoever has to go beyond it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One client's state as it travels: JSON text, ``null`` where the client is gone."""

    client: int
    clock: int
    state: str


def _not_json(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


_decoder: Final = json.JSONDecoder(parse_constant=_not_json)
_decode_json: Final[Callable[[str], object]] = _decoder.decode
_scan_json: Final[Callable[[str, int], tuple[object, int]]] = _decoder.scan_once  # type: ignore[attr-defined]


def read_entries(payload: bytes, limits: Limits) -> list[Entry]:
    """Read an awareness payload.

    Raises ``MalformedMessage`` where it is damaged or a state is not JSON, ``MessageTooLarge``
    where a state is over ``max_awareness_bytes``.
    """
    try:
        count, position = read_var_uint(payload, 0)
        if count > limits.max_awareness_clients:
            raise MessageTooLarge("the awareness message names too many clients")
        entries: list[Entry] = []
        for _ in range(count):
            client, position = read_var_uint(payload, position)
            clock, position = read_var_uint(payload, position)
            state, position = read_var_string(payload, position)
            if clock >= _MAX_CLOCK:
                raise ValueError("the clock is above 2^32")
            if len(state.encode()) > limits.max_awareness_bytes:
                raise MessageTooLarge("the awareness state is too large")
            if _decode_json(state) is None:
                state = REMOVED  # however it was spaced
            entries.append(Entry(client, clock, state))
        if position != len(payload):
            raise ValueError("bytes behind the end")
    except (IndexError, ValueError, RecursionError):
        raise MalformedMessage("the awareness message is damaged") from None
    return entries


def read_single(frame: bytes, limits: Limits) -> Entry | None:
    """Read the whole frame of one client's state, as each move of a cursor sends it.

    Returns ``None`` for anything else, removals and damage included: ``read_entries`` says what
    it is. Where both read a frame they agree; this takes a third of the time.
    """
    try:
        position = 2 if frame[1] < 0x80 else 3
        if position == 3 and not 0 < frame[2] < 0x80:  # longer than two bytes, or than needed
            return None
        size = frame[1] if position == 2 else frame[1] & 0x7F | frame[2] << 7
        if frame[0] != 1 or frame[position] != 1 or position + size != len(frame):
            return None
        client, position = read_var_uint(frame, position + 1)
        clock, position = read_var_uint(frame, position)
        size, position = read_var_uint(frame, position)
        if position + size != len(frame) or size > limits.max_awareness_bytes:
            return None
        state = frame[position:].decode()
        value, end = _scan_json(state, 0)
    except (IndexError, ValueError, StopIteration, RecursionError):
        return None
    if value is None or end != len(state) or clock >= _MAX_CLOCK:
        return None
    return Entry(client, clock, state)


def encode_entries(entries: Iterable[Entry]) -> bytes:
    """Write an awareness payload."""
    written = [
        write_var_uint(entry.client) + write_var_uint(entry.clock) + write_var_string(entry.state)
        for entry in entries
    ]
    return write_var_uint(len(written)) + b"".join(written)


DROPPED_AT_ONCE: Final = 64
"""Rows of those who are gone that make room together, where a table is full."""


class _Row:
    __slots__ = ("clock", "departed", "freed_by", "last_clock", "owner", "state", "version", "who")

    def __init__(
        self, clock: int, state: str, owner: object, version: int, who: str, last_clock: int
    ) -> None:
        self.clock = clock
        self.last_clock = last_clock  # that its owner may take it to
        self.who = who  # the owner's principal, which outlives the owner
        self.state = state
        self.owner: object | None = owner
        self.version = version
        self.departed = False  # its connection went without saying so
        self.freed_by: object | None = None  # who had it, removed it, and is still there


class AwarenessTable:
    """The awareness states of one room."""

    __slots__ = ("_claims", "_freed", "_limits", "_owned", "_removed", "_rows", "version")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._claims: dict[object, Entry] = {}  # one per connection, by who claims
        self._rows: dict[int, _Row] = {}  # in order of version: changed rows move to the end
        self._owned: dict[object, set[int]] = {}
        self._freed: dict[object, set[int]] = {}
        self._removed = 0  # rows that only say that somebody is gone
        self.version = 0
        """Of the newest change; 0 where there never was one."""

    def __len__(self) -> int:
        return len(self._rows) - self._removed

    def apply(
        self, entries: Iterable[Entry], owner: object, *, first: bool = False, who: str = ""
    ) -> bool:
        """Take over what is new and belongs to ``owner``; return whether anything changed.

        ``first`` says that this is the connection's first awareness message: a client that
        comes back announces itself at the clock it left with, and is let in one clock later.
        ``who`` is the principal that the owner speaks for, empty for anonymous.
        Where the table is full, somebody new takes a place of who has most; where everybody has
        one place only, it is not seen.
        """
        changed = False
        for entry in entries:
            row = self._rows.get(entry.client)
            clock = entry.clock
            if row is not None:
                if row.owner is owner or row.freed_by is owner:
                    if clock > row.last_clock:
                        continue
                elif (
                    row.who not in ("", who)
                    or clock > row.clock + self._limits.max_awareness_clock_jump
                    or (row.owner is None and self._has_all(owner))
                ):
                    continue
                if row.owner is not None and row.owner is not owner:
                    claim = self._claims.get(owner)
                    if claim.client == entry.client if claim is not None else first:
                        self._claims[owner] = entry
                    continue
                if clock < row.clock:
                    if row.owner is None and entry.state != REMOVED:
                        # It is there all the same: told that it is not, a client says so at a
                        # clock that counts.
                        self._touch(entry.client)
                        changed = True
                    continue
                if clock == row.clock:
                    if entry.state == REMOVED:
                        if row.state == REMOVED:
                            continue
                    elif first and row.departed:
                        clock += 1
                    else:
                        continue
            elif (
                entry.state == REMOVED
                or clock > _MAX_FIRST_CLOCK
                or self._has_all(owner)
                or not self._make_room(owner)
            ):
                continue
            self._put(entry.client, clock, entry.state, owner, who)
            if entry.state == REMOVED:  # the id is anybody's again: its client may be elsewhere
                self._free(entry.client, owner)
            changed = True
        return changed

    def _has_all(self, owner: object) -> bool:
        count = len(self._owned.get(owner, ())) + len(self._freed.get(owner, ()))
        return count >= self._limits.max_awareness_per_connection

    def _free(self, client: int, owner: object) -> None:
        """Give up an id that its owner removed; where it comes back, its bound is as before."""
        row = self._rows[client]
        row.owner, row.freed_by = None, owner
        self._owned[owner].discard(client)
        self._freed.setdefault(owner, set()).add(client)

    def _make_room(self, owner: object) -> bool:
        """Find a place for an owner's new client; return whether there is one."""
        most = self._limits.max_awareness_clients
        if len(self._rows) < most:
            return True
        if self._removed:
            self._drop_removed()
            return self._make_room(owner)
        return not self._owned.get(owner) and self._displace()

    def _drop_removed(self) -> None:
        """Forget those who are gone for longest."""
        gone = (client for client, row in self._rows.items() if row.state == REMOVED)
        for client in list(islice(gone, DROPPED_AT_ONCE)):
            row = self._rows.pop(client)
            self._removed -= 1
            if row.owner is not None:
                self._owned[row.owner].discard(client)
            if row.freed_by is not None:
                self._freed[row.freed_by].discard(client)

    def _displace(self) -> bool:
        """Remove the oldest state of who has most; return whether somebody has several."""
        owner = max(self._owned, key=lambda each: len(self._owned[each]))
        if len(self._owned[owner]) < 2:
            return False
        client = next(client for client, row in self._rows.items() if row.owner is owner)
        self._rows[client].state = REMOVED
        self._removed += 1
        self._free(client, owner)
        self._touch(client)
        return True

    def _put(self, client: int, clock: int, state: str, owner: object, who: str) -> None:
        self.version += 1
        previous = self._rows.pop(client, None)
        self._removed += state == REMOVED
        if previous is not None:
            self._removed -= previous.state == REMOVED
        if previous is not None and previous.owner is owner:
            previous.clock, previous.state, previous.version = clock, state, self.version
            previous.departed = False
            self._rows[client] = previous
            return
        if previous is not None and previous.owner is not None and previous.owner is not owner:
            self._owned[previous.owner].discard(client)
        claim = self._claims.get(owner)
        if claim is not None and claim.client == client:
            del self._claims[owner]  # it has what it claimed
        found = clock if previous is None else previous.clock
        last_clock = found + self._limits.max_awareness_clock_jump
        if previous is not None and previous.freed_by is not None:
            self._freed[previous.freed_by].discard(client)
            if previous.freed_by is owner:
                last_clock = previous.last_clock
        self._rows[client] = _Row(clock, state, owner, self.version, who, last_clock)
        self._owned.setdefault(owner, set()).add(client)

    def leave(self, owner: object) -> bool:
        """Remove what a gone connection had introduced; return whether anything changed."""
        changed = False
        self._claims.pop(owner, None)
        for client in self._freed.pop(owner, ()):
            self._rows[client].freed_by = None
        for client in self._owned.pop(owner, ()):
            row = self._rows[client]
            row.owner = None
            if row.state != REMOVED:
                heir = self._heir(client, row.clock)
                if heir is not None:
                    claim = self._claims[heir]
                    self._put(client, claim.clock, claim.state, heir, row.who)
                    changed = True
                    continue
                row.state = REMOVED
                self._removed += 1
                row.departed = True
                self._touch(client)
                changed = True
        return changed

    def _touch(self, client: int) -> None:
        """Count a row as changed: it goes out with the next flush."""
        self.version += 1
        row = self._rows[client] = self._rows.pop(client)
        row.version = self.version

    def _heir(self, client: int, clock: int) -> object | None:
        """Return who claims an id with a newer state: who only repeats it has the same one."""
        newest, heir = clock, None
        for owner, claim in self._claims.items():
            if claim.client == client and claim.clock > newest and claim.state != REMOVED:
                newest, heir = claim.clock, owner
        return heir

    def rivals(self) -> list[object]:
        """Return the connections that have an id which another one claims."""
        rows = (self._rows.get(claim.client) for claim in self._claims.values())
        return [row.owner for row in rows if row is not None and row.owner is not None]

    def changed_since(self, version: int) -> list[Entry]:
        """Return the entries that changed after ``version``, removals included."""
        changed: list[Entry] = []
        for client in reversed(self._rows):
            row = self._rows[client]
            if row.version <= version:
                break
            changed.append(Entry(client, row.clock, row.state))
        changed.reverse()
        return changed

    def present(self) -> list[Entry]:
        """Return every client that is there."""
        return [
            Entry(client, row.clock, row.state)
            for client, row in self._rows.items()
            if row.state != REMOVED
        ]
