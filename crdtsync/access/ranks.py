"""Whether one role lets its holders do nothing that another doesn't: what a link may give.

Careful rather than clever: where it is in doubt, the one is above the other.
"""

from crdtsync.roles import Role, Rule

__all__ = ["covers"]

_FLAGS = ("awareness", "history", "restore", "shares", "admin")


def covers(own: Role, other: Role) -> bool:
    """Return whether everything that ``other`` may do, ``own`` may do as well."""
    if any(getattr(other, flag) and not getattr(own, flag) for flag in _FLAGS):
        return False
    roots = {rule.root for rule in (*own.write, *other.write)}
    return all(_covers_root(own, other, root) for root in roots)


def _covers_root(own: Role, other: Role, root: str) -> bool:
    given = _rules(other, root)
    if not given:
        return True
    held = _rules(own, root)
    return bool(held) and all(_covers_rule(one, each) for one in held for each in given)


def _rules(role: Role, root: str) -> list[Rule]:
    """Return the rules for a root: its own, or else those for every root."""
    own = [rule for rule in role.write if rule.root == root]
    return own or [rule for rule in role.write if rule.root == "*"]


def _covers_rule(held: Rule, given: Rule) -> bool:
    if held.keys is not None and (given.keys is None or not given.keys <= held.keys):
        return False
    if (held.own_key and not given.own_key) or (held.append_only and not given.append_only):
        return False
    most = held.max_update_bytes
    return most is None or (given.max_update_bytes is not None and given.max_update_bytes <= most)
