"""One connection's conversation: bytes in, events out. No socket, no document, no task.

Owns the reading of frames: each becomes typed events for the room, or one typed error. It
remembers only what the protocol makes it remember.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from crdtsync.awareness import Entry, read_entries, read_single
from crdtsync.errors import InvalidUpdate, MessageTooLarge
from crdtsync.keystroke import Typist
from crdtsync.limits import Limits, naming
from crdtsync.protocol import (
    AuthMessage,
    AwarenessMessage,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    TokenMessage,
    UnknownMessage,
    decode_frame,
)
from crdtsync.state_vector import read_state_vector
from crdtsync.structs import EMPTY_UPDATE, Scan
from crdtsync.update import scan

__all__ = [
    "AwarenessReceived",
    "AwarenessRequested",
    "Event",
    "Ignored",
    "PartsMissing",
    "Portion",
    "Session",
    "SoFar",
    "StateRequested",
    "TokenReceived",
    "UpdateReceived",
]


@dataclass(frozen=True, slots=True)
class UpdateReceived:
    """The client brings an update, already read."""

    update: bytes
    scan: Scan
    step_2: bool
    """Whether it answers a step 1: then it may well bring nothing new."""


@dataclass(slots=True)
class SoFar:
    """What of a long update is let in already, as far as that counts for the rest of it."""

    size_bytes: int = 0
    """How much that inserted, where somebody asks."""


@dataclass(frozen=True, slots=True)
class Portion(UpdateReceived):
    """A part of an update that would take long by itself: others have a turn behind it."""

    whole: Callable[[], UpdateReceived]
    """Ends the portions; returns the update that they are of."""
    so_far: SoFar
    """Of all portions of one update."""


@dataclass(frozen=True, slots=True)
class PartsMissing:
    """Of an update that came by portions something lacks what it refers to, and was left out."""


@dataclass(frozen=True, slots=True)
class StateRequested:
    """The client says what it has and wants the rest."""

    state_vector: bytes
    """Encoded, checked."""


@dataclass(frozen=True, slots=True)
class AwarenessReceived:
    """The client says who is there."""

    entries: list[Entry]
    first: bool
    """Whether it is the connection's first: then a single entry is the client itself."""


@dataclass(frozen=True, slots=True)
class AwarenessRequested:
    """The client asks who is there."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A message that means nothing to a server."""

    kind: str


@dataclass(frozen=True, slots=True)
class TokenReceived:
    """The client hands in a fresh token."""

    token: str = field(repr=False)


Event = (
    UpdateReceived
    | PartsMissing
    | StateRequested
    | AwarenessReceived
    | AwarenessRequested
    | TokenReceived
    | Ignored
)


class Session:
    """The protocol state of one connection."""

    __slots__ = ("_clients", "_heard_awareness", "_limits", "_typist")

    def __init__(self, limits: Limits, clients: Callable[[], int] = lambda: 0) -> None:
        """``clients`` tells how many client ids the document has."""
        self._limits = limits
        self._clients = clients
        self._heard_awareness = False
        self._typist = Typist()  # the one that typed last

    def read_update(self, update: bytes, *, structs: bool = False) -> Scan:
        """Read the update of a short update message: what ``receive`` does, without a detour.

        Raises ``InvalidUpdate``.
        """
        if not structs:
            typed = self._typist.read(update)
            if typed is not None:
                return typed
        found = self._scan(update, structs)
        if len(found.ranges) == 1 and found.ranges[0][0] != self._typist.client:
            self._typist = Typist(found.ranges[0][0])
        return found

    def _scan(self, update: bytes, structs: bool) -> Scan:
        try:
            return scan(update, self._limits, structs=structs)
        except InvalidUpdate as error:
            limits = naming(self._limits, self._clients())
            if error.kind != "update-clients" or limits is self._limits:
                raise
            return scan(update, limits, structs=structs)

    def receive(self, frame: bytes, *, structs: bool = False) -> list[Event]:
        """Read one frame; with ``structs``, scan its updates in detail.

        Raises ``MalformedMessage``, ``InvalidUpdate`` or ``MessageTooLarge``. Nothing of a
        frame counts where any part of it is bad.
        """
        if frame[:1] == b"\x01":  # a cursor has moved: in a large room most of what there is
            entry = read_single(frame, self._limits)
            if entry is not None:
                first, self._heard_awareness = not self._heard_awareness, True
                return [AwarenessReceived([entry], first)]
        events: list[Event] = []
        for message in decode_frame(frame):
            match message:
                case SyncUpdate(update) | SyncStep2(update):
                    if update != EMPTY_UPDATE:
                        found = self._scan(update, structs)
                        events.append(UpdateReceived(update, found, isinstance(message, SyncStep2)))
                case SyncStep1(state_vector):
                    read_state_vector(state_vector, naming(self._limits, self._clients()))
                    events.append(StateRequested(state_vector))
                case AwarenessMessage(payload):
                    entries = read_entries(payload, self._limits)
                    first = not self._heard_awareness and len(entries) == 1
                    self._heard_awareness = True
                    events.append(AwarenessReceived(entries, first))
                case QueryAwareness():
                    events.append(AwarenessRequested())
                case AuthMessage():
                    events.append(Ignored("auth"))
                case TokenMessage(token):
                    if len(token) > self._limits.max_token_bytes:
                        raise MessageTooLarge(
                            f"a token is over {self._limits.max_token_bytes} bytes"
                        )
                    events.append(TokenReceived(token))
                case UnknownMessage():
                    events.append(Ignored("unknown"))
        return events
