"""Playing a conversation against a server, and what is left of it for the judges.

Owns the invariant as far as one process can see it: after each message nothing but a typed
refusal, less than a second, no growth; after the last one the state, the log and what a reader
was told are one document.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Final

from crdtsync.content import RootExport, export, root_kinds
from crdtsync.crdt import IntegrationError
from crdtsync.errors import InvalidUpdate
from crdtsync.limits import Limits, trusting
from crdtsync.state_vector import encode_state_vector
from crdtsync.update import scan
from fuzz.conversation import Conversation
from fuzz.recorder import Recorder
from fuzz.script import Action
from fuzz.server import READER, Broken, Server

__all__ = ["LIMITS", "Played", "play", "play_seed"]

LIMITS: Final = Limits()
SLOWEST_S: Final = 1.0
"""CPU time of this thread for one message."""
_UNLIMITED: Final = trusting(LIMITS)


@dataclass(slots=True)
class Played:
    """What came of a conversation."""

    messages: int = 0
    committed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    held: int = 0
    duplicates: int = 0
    verbatim: str = ""
    """Why pycrdt does not get the document."""
    verbatim_again: str = ""
    """The same, of the document that was made of its stored state."""
    integration_errors: int = 0
    broken: str = ""
    """What is wrong; empty where nothing is."""
    log: list[bytes] = field(default_factory=list)
    answer: list[bytes] = field(default_factory=list)
    """What a newcomer is told."""
    reader: list[bytes] = field(default_factory=list)
    """What one was told who was there all the time."""
    reloaded: bytes = b""
    clocks: dict[int, int] = field(default_factory=dict)
    kinds: dict[str, str] | None = None
    """The roots' kinds; ``None`` where the document can't be exported."""
    exported: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it in JSON's kinds; bytes are hex."""
        written: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        for name in ("log", "answer", "reader"):
            written[name] = [update.hex() for update in written[name]]
        written["reloaded"] = self.reloaded.hex()
        written["clocks"] = {str(client): clock for client, clock in self.clocks.items()}
        return written


def play_seed(seed: int, recorder: Recorder | None = None) -> Played:
    """Make up a conversation and play it."""
    server = Server(LIMITS)
    if recorder is not None:
        recorder.begin(seed)
    return _play(server, Conversation(seed).actions(server), recorder)


def play(actions: Iterable[Action], recorder: Recorder | None = None) -> Played:
    """Play a conversation."""
    if recorder is not None:
        recorder.begin(0)
    return _play(Server(LIMITS), iter(actions), recorder)


def _play(server: Server, actions: Iterator[Action], recorder: Recorder | None) -> Played:
    played = Played()
    try:
        for action in actions:
            if recorder is not None:
                recorder.note(action)
            played.messages += action.kind == "frame"
            start_s = time.thread_time()
            server.perform(action)
            took_s = time.thread_time() - start_s
            if took_s > SLOWEST_S:
                raise Broken(f"{action.kind} took {took_s:.1f} s")
        start_s = time.thread_time()
        _finish(server, played)
        took_s = time.thread_time() - start_s
        if took_s > SLOWEST_S:
            raise Broken(f"the answers took {took_s:.1f} s")
    except Broken as error:
        played.broken = str(error)
    except Exception as error:
        logging.getLogger("fuzz").debug("broken", exc_info=True)
        played.broken = f"{type(error).__name__}: {error}"
    stats = server.stats
    played.committed = stats.updates_committed
    played.refused = stats.rejected
    played.held = stats.updates_held
    played.duplicates = stats.updates_duplicate
    played.integration_errors = stats.integration_errors
    return played


def _finish(server: Server, played: Played) -> None:
    """Take what the judges compare; the room is reloaded on the way."""
    server.perform(Action("drain", READER))
    server.commit()
    document = server.room.document
    played.clocks = dict(document.clocks)
    played.log = server.history
    played.reader = server.read_updates()
    played.answer = document.diff(b"\x00")
    state = document.state()
    for each in (state, *played.answer, *played.reader):
        _check_readable(each)
    half = {client: clock for client, clock in document.clocks.items() if client % 2}
    for each in document.diff(encode_state_vector(half)):
        _check_readable(each)
    played.verbatim = document.verbatim
    try:
        played.kinds = dict(root_kinds(state))
        if not played.verbatim:
            played.exported = _plain(export(state))
    except IntegrationError:
        played.kinds = None
    server.reload()
    played.reloaded = server.room.state()
    server.checkpoint()
    server.reload()
    played.verbatim_again = server.room.document.verbatim


def _plain(roots: dict[str, RootExport]) -> dict[str, Any]:
    return {name: root.value for name, root in roots.items()}


def _check_readable(update: bytes) -> None:
    try:
        scan(update, _UNLIMITED)
    except InvalidUpdate as error:
        raise Broken(f"an answer is no update: {error}") from None
