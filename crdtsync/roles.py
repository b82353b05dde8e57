"""What a role lets its holders do, and which role somebody has in a document.

Owns the built-in roles, the rules about roots and keys that a role is made of, and the patterns
of document names that grants are written with. Decides on no update: the gate does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = [
    "ADMIN",
    "BUILT_IN",
    "COMMENT",
    "EVERYTHING",
    "READ",
    "WRITE",
    "Grants",
    "Role",
    "Rule",
    "fits",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What may be written to one root of a document."""

    root: str = "*"
    """The root's name; ``NAME/*`` is all roots whose names begin so, up to their first slash, and
    ``*`` every root that has no rule of its own."""
    keys: frozenset[str] | None = None
    """Of a map: the only keys that may be set or deleted. ``None``: all."""
    own_key: bool = False
    """Of a map: only the key that is the principal's id (what lies below it included)."""
    append_only: bool = False
    """Items may be added, none deleted or replaced."""
    max_update_bytes: int | None = None
    """The longest update that may touch the root."""

    @property
    def open(self) -> bool:
        """Whether it lets everything through."""
        return not (
            self.keys is not None or self.own_key or self.append_only or self.max_update_bytes
        )


EVERYTHING: Final = (Rule(),)
"""The rules of somebody who may write everywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What the holders of a role may do in a document. The default reads, and is present."""

    name: str
    write: tuple[Rule, ...] = ()
    """What may be written; what no rule names may not."""
    awareness: bool = True
    """May set awareness."""
    history: bool = True
    """May read the history."""
    restore: bool = False
    """May restore an older state."""
    shares: bool = False
    """May make and revoke share links."""
    moderate: bool = False
    """May delete what others said in a chat."""
    admin: bool = False
    """May do everything that concerns the whole server."""

    @property
    def writes_all(self) -> bool:
        """Whether updates of its holders need no look."""
        return all(rule.open for rule in self.write) and any(r.root == "*" for r in self.write)

    @property
    def reads_only(self) -> bool:
        """Whether its holders may write nothing at all."""
        return not self.write


READ: Final = Role(name="read")
COMMENT: Final = Role(
    name="comment",
    write=(
        Rule(root="chat"),
        Rule(root="chat/*"),
        Rule(root="chat-reactions"),
        Rule(root="chat-reactions/*"),
        Rule(root="chat-receipts", own_key=True),
        Rule(root="chat-receipts/*", own_key=True),
        Rule(root="comments"),
        Rule(root="presence", own_key=True),
    ),
)
WRITE: Final = Role(name="write", write=EVERYTHING, restore=True)
ADMIN: Final = Role(
    name="admin", write=EVERYTHING, restore=True, shares=True, moderate=True, admin=True
)
BUILT_IN: Final[Mapping[str, Role]] = {role.name: role for role in (READ, COMMENT, WRITE, ADMIN)}
"""The roles that every server knows, by name."""


@dataclass(frozen=True, slots=True)
class Grants:
    """Which role somebody has in which documents: patterns of names, default deny.

    ``*`` stands for any run of characters, slashes included; everything else for itself. The
    most specific pattern that fits wins: a name without ``*`` first, then the pattern with the
    most other characters.
    """

    patterns: Mapping[str, str] = field(default_factory=dict)
    """By pattern, a role's name."""

    def role_name(self, document: str) -> str | None:
        """Return the name of the role in a document; ``None``: no access."""
        exact = self.patterns.get(document)
        if exact is not None and "*" not in document:
            return exact
        fitting = [pattern for pattern in self.patterns if fits(pattern, document)]
        if not fitting:
            return None
        return self.patterns[max(fitting, key=_specificity)]

    def role(self, document: str, roles: Mapping[str, Role]) -> Role | None:
        """Return the role in a document; ``None``: no access, or a role that nobody defined."""
        name = self.role_name(document)
        return None if name is None else roles.get(name)


def _specificity(pattern: str) -> tuple[bool, int, int, str]:
    stars = pattern.count("*")
    return not stars, len(pattern) - stars, -stars, pattern


def fits(pattern: str, name: str) -> bool:
    """Return whether a pattern of document names fits one.

    Matched without a regular expression: linear for each star, whatever somebody grants.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == name
    if not name.startswith(first):
        return False
    return _fits_behind(rest, name, len(first))


def _fits_behind(pieces: Iterable[str], name: str, position: int) -> bool:
    *middle, last = pieces
    for piece in middle:
        found = name.find(piece, position)
        if found < 0:
            return False
        position = found + len(piece)
    return len(name) - position >= len(last) and name.endswith(last)
