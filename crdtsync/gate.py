"""Who may do what: the decision on each update, before it is stored or relayed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from crdtsync.edit import Act, Edit, Touch
from crdtsync.places import Place, PlaceIndex
from crdtsync.roles import EVERYTHING, Grants, Role, Rule
from crdtsync.structs import Scan

__all__ = [
    "ALLOW",
    "READ_ONLY",
    "Allow",
    "Clearance",
    "ContentGate",
    "Decision",
    "Deny",
    "Gate",
    "Principal",
    "RoleGate",
]

READ_ONLY: Final = "this document is read-only for you"
ANY_SIZE: Final = 1 << 62
Reach = tuple[int, int]
"""How long an update may be whose touches of a place are surely allowed: of any kind; and such
that only add, and set no key."""
NO_REACH: Final[Reach] = (0, 0)
MAX_NAMED: Final = 40
"""Characters of a root's or key's name in a reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who a connection speaks for. The default is an anonymous writer."""

    id: str = ""
    """Stable and unique; recorded as the author. Empty for anonymous."""
    name: str = ""
    """For people to read."""
    read_only: bool = False
    """May follow, may be present, may not edit."""
    role: Role | None = None
    """What it may do in the document that it connects to; ``None``: write everywhere, unless it
    is read-only."""
    expires_s: float | None = None
    """When the proof of who it is ends, in seconds since 1970; ``None``: never."""
    grants: Grants | None = None
    """Which role it has in which documents: for requests that concern none. ``None``: it may
    see all of them."""
    issued_s: float | None = None
    """When that proof was made, in seconds since 1970; ``None``: it doesn't say. A revocation
    concerns what was made before it, and what doesn't say."""
    share: str = ""
    """The id of the share link that it came by; empty for any other way."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """Whatever a custom ``authenticate`` wants its gate and hooks to see."""

    @property
    def reads_only(self) -> bool:
        """Whether it is not meant to write anywhere, by itself or by its role."""
        return self.read_only or (self.role is not None and self.role.reads_only)


@dataclass(frozen=True, slots=True)
class Allow:
    """The update may enter."""


@dataclass(frozen=True, slots=True)
class Deny:
    """The update may not enter; the reason is shown to its author."""

    reason: str


Decision = Allow | Deny
ALLOW = Allow()


class Gate(Protocol):
    """Decides on updates. Called for each one, so it has to be quick, and must not await."""

    def check(self, principal: Principal, document: str, update: bytes, scan: Scan) -> Decision:
        """Return ``Allow()`` or ``Deny(reason)`` for this principal's update."""
        ...


class ContentGate(Protocol):
    """Decides on updates by what they do where. The room keeps an index of its places for it."""

    def check_edit(self, principal: Principal, document: str, edit: Edit) -> Decision:
        """Return ``Allow()`` or ``Deny(reason)`` for what is new in this principal's update."""
        ...


class Clearance:
    """What one principal's role lets it write, made ready to be asked for each update."""

    __slots__ = (
        "_fences",
        "_own",
        "_rules",
        "everything",
        "index",
        "limited",
        "nothing",
        "principal",
        "reach",
        "reached",
        "root",
        "values",
    )

    def __init__(self, principal: Principal, fences: Callable[[str], bool] | None = None) -> None:
        """Begin with nothing asked; ``fences`` tells roots of which every edit gets a look."""
        role = principal.role
        self._fences = fences
        rules = EVERYTHING if role is None else role.write
        self.principal = principal
        self._own = principal.id
        self._rules: dict[str, list[Rule]] = {}
        for rule in rules:
            self._rules.setdefault(rule.root, []).append(rule)
        self.nothing = not rules
        """Whether it may write nowhere."""
        self.everything = role is None or role.writes_all
        """Whether its updates need no look for what they do where."""
        self.limited = any(rule.max_update_bytes for rule in rules)
        """Whether it goes by how much an update inserts."""
        self.values = any(rule.append_only for rule in rules)
        """Whether it takes to know which keys have a value."""
        self.root: str | None = None
        """Of a document that is this root and nothing else: the root."""
        self.reach = NO_REACH
        """How far it may go there."""
        self.index: PlaceIndex | None = None
        """Whose places are ``reached``."""
        self.reached: dict[int, Reach] = {}
        """By number of a place, as far as they were asked for."""

    def use(self, index: PlaceIndex) -> None:
        """Go by the places of an index."""
        if self.index is not index:
            self.index = index
            self.reached = {}

    def reach_in(self, number: int) -> Reach:
        """Return how far it may go in a place of the index."""
        reach = self.reached.get(number)
        if reach is None:
            reach = self.reached[number] = self.reach_in_new(number)
        return reach

    def reach_in_new(self, number: int) -> Reach:
        """Return the same of a place that may yet be forgotten, and forget it too."""
        place = self.index.name(number) if self.index is not None else None
        return NO_REACH if place is None else self.reach_of(place)

    def reach_of(self, place: Place) -> Reach:
        """Return how far it may go in a place, whatever lies there."""
        if self._fences is not None and self._fences(place.root):
            return NO_REACH
        changing = adding = 0
        for rule in self._of(place.root):
            if not self._bars(rule, place.root, place.key):
                size = rule.max_update_bytes or ANY_SIZE
                adding = max(adding, size)
                if not rule.append_only:
                    changing = max(changing, size)
        return changing, adding

    def check(self, edit: Edit) -> Decision:
        """Decide on an edit: every place that it touches has to be allowed."""
        if self.nothing:
            return Deny(READ_ONLY)
        for touch in edit.touches:
            reasons = [self._refusal(rule, touch, edit.size_bytes) for rule in self._of(touch.root)]
            if not reasons:
                return Deny(f"you may not write to {_shown(touch.root)}")
            if all(reasons):  # several rules for one root: one that allows is enough
                return Deny(reasons[0])
        return ALLOW

    def _of(self, root: str) -> list[Rule]:
        found = self._rules.get(root)
        if found is None and "/" in root:
            found = self._rules.get(f"{root.partition('/')[0]}/*")
        return found or self._rules.get("*", [])

    def _refusal(self, rule: Rule, touch: Touch, size: int) -> str:
        barred = self._bars(rule, touch.root, touch.key)
        if barred:
            return barred
        if rule.append_only and (touch.act is Act.DELETE or touch.replaces):
            return f"you may add to {_shown(touch.root)}, but not delete or replace"
        if rule.max_update_bytes and size > rule.max_update_bytes:
            return f"an update to {_shown(touch.root)} may have {rule.max_update_bytes} bytes"
        return ""

    def _bars(self, rule: Rule, root: str, key: str | None) -> str:
        if rule.keys is None and not rule.own_key:
            return ""
        if key is None:
            return f"you may only write keys of {_shown(root)}"
        if rule.keys is not None and key not in rule.keys:
            return f"you may not write the key {_shown(key)} of {_shown(root)}"
        if rule.own_key and (not self._own or key != self._own):
            return f"you may only write your own key of {_shown(root)}, not {_shown(key)}"
        return ""


def _shown(name: str) -> str:
    """Quote a name that a client chose: short, and nothing that steers a terminal."""
    clean = "".join(char if char.isprintable() else "?" for char in name[: MAX_NAMED + 1])
    return f'"{clean}"' if len(name) <= MAX_NAMED else f'"{clean[:MAX_NAMED]}..."'


class RoleGate:
    """The default: everyone may write what their role says; a read-only principal nothing."""

    def check_edit(self, principal: Principal, document: str, edit: Edit) -> Decision:
        if principal.read_only:
            return Deny(READ_ONLY)
        return Clearance(principal).check(edit)
