"""Awareness as a Yjs client keeps it: its own state, the others', and who hears of a change.

Owns the rules of y-protocols: clocks, the renewal every 15 s, the removal after 30 s. Like
y-websocket, it hands on every change that it hears of, its own or not.
"""

from collections.abc import Callable, Iterable

from crdtsync.awareness import Entry, encode_entries
from crdtsync.protocol import awareness_frame

__all__ = ["Presence"]

RENEW_S = 15.0
OUTDATED_S = 30.0
GONE = "null"


class Presence:
    """One client's view of who is there."""

    def __init__(
        self, number: int, state: str, now_s: float, send: Callable[[bytes], None]
    ) -> None:
        self.number = number
        self._send = send
        self.states: dict[int, str] = {number: state}
        self._meta: dict[int, tuple[int, float]] = {number: (0, now_s)}

    @property
    def clock(self) -> int:
        return self._meta[self.number][0]

    def set(self, state: str, now_s: float) -> None:
        """Change the client's own state."""
        self._meta[self.number] = (self.clock + 1, now_s)
        self.states[self.number] = state
        self.announce([self.number])

    def announce(self, clients: Iterable[int]) -> None:
        """Send what is known of some clients."""
        entries = [
            Entry(each, self._meta[each][0], self.states.get(each, GONE)) for each in clients
        ]
        if entries:
            self._send(awareness_frame(encode_entries(entries)))

    def heard(self, entries: Iterable[Entry], now_s: float) -> None:
        """Apply what somebody says, and hand it on."""
        changed: list[int] = []
        for entry in entries:
            client, clock, state = entry.client, entry.clock, entry.state
            known = self._meta.get(client)
            now = known[0] if known else 0
            newer = now < clock or not (known or clock or state == GONE)
            if not newer and not (now == clock and state == GONE and client in self.states):
                continue
            if state == GONE:
                if client == self.number:
                    clock += 1  # it is there all the same
                else:
                    self.states.pop(client, None)
            else:
                self.states[client] = state
            self._meta[client] = (clock, now_s)
            if known or state != GONE:
                changed.append(client)
        self.announce(changed)

    def look(self, now_s: float) -> None:
        """Renew, and let go of who was not heard of for long. Every three seconds."""
        if now_s - self._meta[self.number][1] >= RENEW_S:
            self.set(self.states[self.number], now_s)
        late = [
            each
            for each in self.states
            if each != self.number and now_s - self._meta[each][1] >= OUTDATED_S
        ]
        for each in late:
            del self.states[each]
        self.announce(late)

    def disconnected(self) -> None:
        """Forget the others, but not their clocks."""
        self.states = {self.number: self.states[self.number]}

    @property
    def others(self) -> dict[int, str]:
        return {each: state for each, state in self.states.items() if each != self.number}
