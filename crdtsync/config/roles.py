"""The roles that a configuration file defines: its ``[roles.NAME]`` tables.

Owns what may stand in such a table. Every mistake is one line that names the table and the key.
What ``show_role`` writes is read as the same role.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from crdtsync.config.values import nearest
from crdtsync.errors import ConfigError
from crdtsync.roles import BUILT_IN, Role, Rule

__all__ = ["read_roles", "role_key", "role_line", "role_table", "show_role"]

FIXED: Final = ("read", "write", "admin")
"""Built-in roles that mean the same everywhere; ``comment`` may be defined anew."""
_SWITCHES: Final = tuple(
    field.name for field in fields(Role) if field.name not in ("name", "write")
)
_RULE_KEYS: Final = tuple(field.name for field in fields(Rule))
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")


def read_roles(tables: object, where: str) -> dict[str, Role]:
    """Return all roles by name: the built-in ones, and those of ``tables``.

    ``where`` is the file, for errors. Raises ``ConfigError``.
    """
    if not isinstance(tables, dict):
        raise ConfigError(f"{where}: roles has to hold tables", hint="Write [roles.NAME]")
    roles = dict(BUILT_IN)
    for name, table in tables.items():
        roles[name] = _role(name, table, f"{where}: [roles.{name}]")
    return roles


def _role(name: str, table: object, where: str) -> Role:
    if name in FIXED:
        raise ConfigError(
            f"{where}: {name} is a role that every server has", hint="Give it another name"
        )
    if not name.isprintable() or not name.strip():
        raise ConfigError(f"{where}: a role's name has to be printable")
    if not isinstance(table, dict):
        raise ConfigError(f"{where} has to be a table", hint=f"Write [roles.{name}]")
    known = ("write", *_SWITCHES)
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}: there is no {key}{nearest(key, known)}")
    switches: dict[str, bool] = {}
    for key in _SWITCHES:
        value = table.get(key)
        if value is not None:
            if not isinstance(value, bool):
                raise ConfigError(f"{where}: {key} has to be true or false")
            switches[key] = value
    write = table.get("write", [])
    if not isinstance(write, list):
        raise ConfigError(
            f"{where}: write has to be a list of roots or rules",
            hint='For example write = ["chat", { root = "votes", own_key = true }]',
        )
    rules = tuple(_rule(each, f"{where}: write[{number}]") for number, each in enumerate(write))
    return Role(name=name, write=rules, **switches)


def _rule(rule: object, where: str) -> Rule:
    if isinstance(rule, str):
        rule = {"root": rule}
    if not isinstance(rule, Mapping):
        raise ConfigError(f"{where} has to be a root's name or a rule")
    for key in rule:
        if key not in _RULE_KEYS:
            raise ConfigError(f"{where}: there is no {key}{nearest(key, _RULE_KEYS)}")
    root, keys, most = rule.get("root"), rule.get("keys"), rule.get("max_update_bytes")
    if not isinstance(root, str):
        raise ConfigError(f"{where}: root has to be a root's name, or * for all others")
    if keys is not None and not (
        isinstance(keys, list) and keys and all(isinstance(key, str) for key in keys)
    ):
        raise ConfigError(f"{where}: keys has to be a list of at least one key")
    for key in ("own_key", "append_only"):
        if not isinstance(rule.get(key, False), bool):
            raise ConfigError(f"{where}: {key} has to be true or false")
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise ConfigError(f"{where}: max_update_bytes has to be a whole number above 0")
    return Rule(
        root=root,
        keys=None if keys is None else frozenset(keys),
        own_key=rule.get("own_key", False),
        append_only=rule.get("append_only", False),
        max_update_bytes=most,
    )


def role_table(role: Role) -> dict[str, Any]:
    """Return everything that a role says, as its table has it."""
    table: dict[str, Any] = {"write": [_rule_value(rule) for rule in role.write]}
    return table | {name: getattr(role, name) for name in _SWITCHES}


def show_role(role: Role) -> str:
    """Write a role as an inline table, without what is so by default."""
    default = role_table(Role(name=""))
    table = {
        key: value
        for key, value in role_table(role).items()
        if key == "write" or value != default[key]
    }
    return _toml(table)


def role_key(name: str) -> str:
    """Return the key of a role's table: ``roles.NAME``."""
    return f"roles.{name if _BARE_KEY.fullmatch(name) else _toml(name)}"


def role_line(text: str, name: str) -> str:
    """Return ``":3"`` where the role's table begins in line 3; empty where no line shows it."""
    key = rf"(?:{re.escape(name)}|\"{re.escape(name)}\"|'{re.escape(name)}')"
    pattern = re.compile(rf"\s*\[*\s*[\"']?roles[\"']?\s*\.\s*{key}\s*[=.\]]")
    for number, line in enumerate(text.splitlines(), 1):
        if pattern.match(line):
            return f":{number}"
    return ""


def _rule_value(rule: Rule) -> object:
    if rule == Rule(root=rule.root):
        return rule.root
    value: dict[str, object] = {"root": rule.root}
    if rule.keys is not None:
        value["keys"] = sorted(rule.keys)
    if rule.own_key:
        value["own_key"] = True
    if rule.append_only:
        value["append_only"] = True
    if rule.max_update_bytes is not None:
        value["max_update_bytes"] = rule.max_update_bytes
    return value


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    # JSON is TOML here, but for one character that JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
