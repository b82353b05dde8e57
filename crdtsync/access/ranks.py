"""Whether one role lets its holders do nothing that another doesn't: what a link may give.

And whether some grants give nothing, in any document, that others don't: what a token may give.

Careful rather than clever: where it is in doubt, the one is above the other.
"""

from collections.abc import Mapping
from dataclasses import fields

from crdtsync.roles import Grants, Role, Rule

__all__ = ["covers", "exceeds"]

_FLAGS = tuple(each.name for each in fields(Role) if isinstance(each.default, bool))


def covers(own: Role, other: Role) -> bool:
    """Return whether everything that ``other`` may do, ``own`` may do as well."""
    if any(getattr(other, flag) and not getattr(own, flag) for flag in _FLAGS):
        return False
    roots = {rule.root for rule in (*own.write, *other.write)}
    return all(_covers_root(own, other, root) for root in roots)


def exceeds(own: Grants, given: Mapping[str, str], roles: Mapping[str, Role]) -> bool:
    """Return whether a pattern gives more in some document than somebody has there.

    ``own`` is what he has, ``roles`` has every role that ``given`` names.
    """
    return any(not _covers_pattern(own, each, roles[role], roles) for each, role in given.items())


def _covers_pattern(own: Grants, pattern: str, given: Role, roles: Mapping[str, Role]) -> bool:
    if "*" not in pattern:
        held = own.role(pattern, roles)
        return held is not None and covers(held, given)
    # Any of his that may fit a name which this fits could be the one that counts there; one that
    # fits every name has to be among them.
    if "*" not in own.patterns:
        return False
    meeting = [role for each, role in own.patterns.items() if _may_meet(each, pattern)]
    return all(role in roles and covers(roles[role], given) for role in meeting)


def _may_meet(one: str, other: str) -> bool:
    """Return whether some name may fit two patterns, going by how they begin and end."""
    if "*" not in one:
        return Grants({other: ""}).role_name(one) is not None
    (first, _, _), (second, _, _) = one.partition("*"), other.partition("*")
    (_, _, last), (_, _, final) = one.rpartition("*"), other.rpartition("*")
    return (first.startswith(second) or second.startswith(first)) and (
        last.endswith(final) or final.endswith(last)
    )


def _covers_root(own: Role, other: Role, root: str) -> bool:
    given = _rules(other, root)
    if not given:
        return True
    held = _rules(own, root)
    return bool(held) and all(_covers_rule(one, each) for one in held for each in given)


def _rules(role: Role, root: str) -> list[Rule]:
    """Return the rules for a root: its own, or else those for all that begin so, or for every."""
    for name in (root, f"{root.partition('/')[0]}/*" if "/" in root else "*", "*"):
        if found := [rule for rule in role.write if rule.root == name]:
            return found
    return []


def _covers_rule(held: Rule, given: Rule) -> bool:
    if held.keys is not None and (given.keys is None or not given.keys <= held.keys):
        return False
    if (held.own_key and not given.own_key) or (held.append_only and not given.append_only):
        return False
    most = held.max_update_bytes
    return most is None or (given.max_update_bytes is not None and given.max_update_bytes <= most)
