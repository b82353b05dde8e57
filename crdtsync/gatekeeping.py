"""What roles and custom gates say to an update, wherever it writes, and to what it does where.

Owns the asking of custom gates: one that fails lets nothing in, and disturbs nobody else.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from crdtsync.edit import Edit
from crdtsync.gate import READ_ONLY, Clearance, ContentGate, Decision, Deny, Gate
from crdtsync.structs import Scan

if TYPE_CHECKING:
    from crdtsync.room import Room

__all__ = ["FAILED", "Gatekeeper"]

log = logging.getLogger("crdtsync")

FAILED: Final = Deny("the server can't decide on this edit")


class Gatekeeper:
    """Asks for one room."""

    __slots__ = ("_room", "by_default", "check", "content")

    def __init__(self, room: "Room", gate: Gate | ContentGate | None) -> None:
        self._room = room
        self.by_default = gate is None
        """Whether there is no custom gate."""
        self.check: Gate | None = None
        """The one for whole updates."""
        self.content: ContentGate | None = None
        """The one for what they do where."""
        if hasattr(gate, "check_edit"):
            self.content = cast(ContentGate, gate)
        else:
            self.check = gate

    def outright(
        self, clearance: Clearance, update: bytes, found: Scan, *, asked: bool = False
    ) -> Deny | None:
        """Return why an update may not enter, wherever it writes.

        ``asked`` says whether the custom gate for whole updates has let it in already.
        """
        room, principal = self._room, clearance.principal
        if room.damage:
            return Deny(room.damage)
        if clearance.nothing or (principal.read_only and self.by_default):
            return Deny(READ_ONLY)
        if self.check is None or asked:
            return None
        decision = self._ask(self.check.check, principal, room.name, update, found)
        return decision if isinstance(decision, Deny) else None

    def on_edit(self, clearance: Clearance, edit: Edit) -> Decision:
        """Decide on what an update does where: by the role, then by a custom gate for content."""
        decision = clearance.check(edit)
        if self.content is not None and not isinstance(decision, Deny):
            name = self._room.name
            decision = self._ask(self.content.check_edit, clearance.principal, name, edit)
        return decision

    def objection(self, clearance: Clearance, edit: Edit) -> Deny | None:
        """Return what a role or a custom gate has against an edit; channels' rules aside."""
        principal = clearance.principal
        if principal.read_only and self.by_default:
            return Deny(READ_ONLY)
        decision = self.on_edit(clearance, edit)
        if self.check is not None and not isinstance(decision, Deny):
            name = self._room.name
            decision = self._ask(self.check.check, principal, name, edit.update, edit.scan)
        return decision if isinstance(decision, Deny) else None

    def _ask(self, decide: Callable[..., Decision], *question: object) -> Decision:
        try:
            return decide(*question)
        except Exception:
            self._room.stats.gate_errors += 1
            log.exception("the gate failed to decide on an edit of document %r", self._room.name)
            return FAILED
