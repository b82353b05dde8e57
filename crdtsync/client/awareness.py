"""Who else is there, and what this client says of itself: y-protocols' awareness.

Owns the states, their clocks and when they end. A state is JSON; others' states are theirs, and
bounded in size and number. Reads no clock: ``tick`` is told the time.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from crdtsync.awareness import REMOVED, Entry
from crdtsync.client.errors import ClientError
from crdtsync.client.observers import Observers
from crdtsync.client.options import Options
from crdtsync.limits import Limits

__all__ = ["Awareness", "AwarenessChange"]

_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class AwarenessChange:
    """Whose state has changed, by client id."""

    added: tuple[int, ...] = ()
    updated: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.updated or self.removed)


class _Other:
    __slots__ = ("clock", "seen_s", "state", "text")

    def __init__(self) -> None:
        self.clock = -1
        self.seen_s = 0.0
        self.text = REMOVED
        self.state: Any = None


class Awareness:
    """The awareness of one document, as this client sees it."""

    def __init__(self, client_id: int, options: Options, changed: Callable[[], None]) -> None:
        self._options = options
        self._changed = changed  # the own state has to go out
        self._observers: Observers[AwarenessChange] = Observers()
        self._others: dict[int, _Other] = {}
        self._client_id = client_id
        self._clock = 0
        self._local: str = "{}"
        self._said_s = float("-inf")
        self.due = True
        """Whether the own state has to go out."""

    @property
    def client_id(self) -> int:
        """This client's own id: the document's."""
        return self._client_id

    # The own state

    @property
    def local_state(self) -> dict[str, Any] | None:
        """What this client says of itself; ``None``: that it is not there."""
        state: dict[str, Any] | None = json.loads(self._local)
        return state

    @local_state.setter
    def local_state(self, state: Mapping[str, Any] | None) -> None:
        text = json.dumps(None if state is None else dict(state), allow_nan=False)
        if len(text.encode()) > _LIMITS.max_awareness_bytes:
            raise ClientError(f"an awareness state has at most {_LIMITS.max_awareness_bytes} bytes")
        known = self._local != REMOVED
        self._local = text
        self._say()
        own = (self._client_id,)
        if text == REMOVED:
            change = AwarenessChange(removed=own) if known else AwarenessChange()
        else:
            change = AwarenessChange(updated=own) if known else AwarenessChange(added=own)
        self._observers.tell(change)

    def set_field(self, name: str, value: Any) -> None:
        """Change one field of the own state; ``None`` takes it out."""
        state = self.local_state or {}
        if value is None:
            state.pop(name, None)
        else:
            state[name] = value
        self.local_state = state

    def _say(self) -> None:
        self._clock += 1
        self.due = True
        self._changed()

    # Everybody

    @property
    def states(self) -> dict[int, Any]:
        """The states of all who are there, by client id, with the own one."""
        states = {client: row.state for client, row in self._others.items() if row.text != REMOVED}
        if self._local != REMOVED:
            states[self._client_id] = self.local_state
        return states

    def on_change(self, callback: Callable[[AwarenessChange], None]) -> Callable[[], None]:
        """Call back at each change; returns what ends that."""
        return self._observers.add(callback)

    # The protocol's side

    def own_entry(self, now_s: float) -> Entry:
        """Return the own state as it goes out now."""
        self.due = False
        self._said_s = now_s
        return Entry(self._client_id, self._clock, self._local)

    def farewell(self) -> Entry:
        """Return the entry that says that this client goes."""
        self._clock += 1
        return Entry(self._client_id, self._clock, REMOVED)

    def receive(self, entries: Iterable[Entry], now_s: float) -> None:
        """Take over what is newer."""
        added: list[int] = []
        updated: list[int] = []
        removed: list[int] = []
        for entry in entries:
            if entry.client == self._client_id:
                if entry.clock > self._clock or (
                    entry.clock == self._clock and entry.state == REMOVED != self._local
                ):
                    self._clock = entry.clock
                    self._say()
                continue
            row = self._others.get(entry.client)
            if row is None:
                if len(self._others) >= _LIMITS.max_awareness_clients and not self._forget():
                    continue
                row = self._others[entry.client] = _Other()
            gone = entry.state == REMOVED
            if entry.clock < row.clock or (entry.clock == row.clock and not gone):
                continue
            was = row.text != REMOVED
            same = row.text == entry.state
            row.clock, row.text, row.seen_s = entry.clock, entry.state, now_s
            row.state = None if gone else json.loads(entry.state)
            if gone and was:
                removed.append(entry.client)
            elif not gone and not same:
                (updated if was else added).append(entry.client)
        self._observers.tell(AwarenessChange(tuple(added), tuple(updated), tuple(removed)))

    def _forget(self) -> bool:
        """Make room by forgetting somebody who has gone; return whether there was one."""
        for client, row in self._others.items():
            if row.text == REMOVED:
                del self._others[client]
                return True
        return False

    def tick(self, now_s: float) -> None:
        """Say anew what this client is, and let go of those who don't, when it is time."""
        if self._local != REMOVED and now_s - self._said_s >= self._options.awareness_renew_s:
            self._say()
        limit_s = now_s - self._options.awareness_timeout_s
        self._remove([c for c, row in self._others.items() if row.seen_s <= limit_s])

    def leave(self) -> None:
        """Nobody else is known to be there: the connection has gone."""
        self._remove(list(self._others))

    def restart(self, client_id: int) -> None:
        """Go on under another id: the document is another one."""
        self.leave()
        self._others.clear()
        self._client_id = client_id
        self._clock = 0
        self.due = True

    def _remove(self, clients: list[int]) -> None:
        gone = [client for client in clients if self._others[client].text != REMOVED]
        for client in gone:
            self._others[client].text, self._others[client].state = REMOVED, None
        self._observers.tell(AwarenessChange(removed=tuple(gone)))
