"""Where values come from: command line, variables, TOML file, defaults, in this order.

Everything is read and checked whichever source wins, so that a mistake shows at once and not
on the day another source goes away.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from crdtsync.config.model import Config
from crdtsync.config.options import OPTIONS, Option
from crdtsync.config.roles import read_roles, role_line
from crdtsync.config.values import Value, nearest
from crdtsync.errors import ConfigError
from crdtsync.limits import Limits
from crdtsync.roles import BUILT_IN, Role

__all__ = [
    "CONFIG_VARIABLE",
    "DEFAULT_FILE",
    "Resolved",
    "RoleSetting",
    "Setting",
    "Source",
    "load",
]

CONFIG_VARIABLE: Final = "CRDTSYNC_CONFIG"
DEFAULT_FILE: Final = "crdtsync.toml"

Source = Literal["command line", "variable", "file", "default"]

_PREFIX: Final = "CRDTSYNC_"
_BY_NAME: Final = {option.name: option for option in OPTIONS}
_BY_VARIABLE: Final = {option.variable: option for option in OPTIONS}
# Kubernetes and Docker links describe a service called "crdtsync" (or "crdtsync-...") by such
# variables in every container beside it, CRDTSYNC_PORT=tcp://10.0.0.7:1234 among them.
_SERVICE_LINK: Final = re.compile(
    r"CRDTSYNC_(\w+_)?"
    r"(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_LINKED_PORT: Final = re.compile(r"(tcp|udp|sctp)://.*")


@dataclass(frozen=True, slots=True)
class Setting:
    """One option's value, and who set it."""

    option: Option
    value: Value
    source: Source
    where: str
    """``--port``, ``CRDTSYNC_PORT``, ``crdtsync.toml:3``; empty for a default."""


@dataclass(frozen=True, slots=True)
class RoleSetting:
    """One role, and where it is defined."""

    role: Role
    source: Source
    where: str
    """``crdtsync.toml:12``; empty for a built-in one."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The configuration, with the source of each value."""

    config: Config
    settings: tuple[Setting, ...]
    """One per option, in the table's order."""
    roles: tuple[RoleSetting, ...]
    """The built-in ones, and those of the file."""
    file: Path | None
    """The TOML file that was read."""


def load(
    *,
    cli: Mapping[str, object] | None = None,
    env: Mapping[str, str] | None = None,
    config_file: Path | None = None,
) -> Resolved:
    """Join all sources. ``cli`` maps option names to what was given; ``None`` is "not given".

    Without ``config_file`` the file is the one that ``CRDTSYNC_CONFIG`` names, else
    ``crdtsync.toml`` in the working directory if there is one. Raises ``ConfigError``.
    """
    env = {} if env is None else env
    path = _find_file(env, config_file)
    found: dict[str, Setting] = {}
    roles, where = BUILT_IN, dict[str, str]()
    if path is not None:
        text, tables = _read_file(path)
        own_roles = tables.pop("roles", None)
        if own_roles is not None:
            roles = read_roles(own_roles, str(path))
            where = {name: f"{path}{role_line(text, name)}" for name in own_roles}
        found.update((each.option.name, each) for each in _from_file(path, text, tables))
    found.update((setting.option.name, setting) for setting in _from_variables(env))
    found.update((setting.option.name, setting) for setting in _from_cli(cli or {}))
    settings = tuple(
        found.get(option.name) or Setting(option, option.default, "default", "")
        for option in OPTIONS
    )
    own: dict[str, Any] = {s.option.field: s.value for s in settings if not s.option.limit}
    limits: dict[str, Any] = {s.option.field: s.value for s in settings if s.option.limit}
    return Resolved(
        Config(**own, limits=Limits(**limits), roles=roles),
        settings,
        tuple(
            RoleSetting(role, "file" if name in where else "default", where.get(name, ""))
            for name, role in roles.items()
        ),
        path,
    )


def _from_cli(given: Mapping[str, object]) -> Iterator[Setting]:
    for name, value in given.items():
        if value is None:
            continue
        option = _BY_NAME.get(name)
        if option is None:
            raise ConfigError(f"there is no option {name}{nearest(name, list(_BY_NAME))}")
        yield Setting(option, _text(option, str(value), option.flag), "command line", option.flag)


def _from_variables(env: Mapping[str, str]) -> Iterator[Setting]:
    for name, text in env.items():
        if not name.startswith(_PREFIX) or name == CONFIG_VARIABLE or not text:
            continue
        if _SERVICE_LINK.fullmatch(name):
            continue
        if name.endswith("_PORT") and _LINKED_PORT.fullmatch(text):
            continue
        option = _BY_VARIABLE.get(name)
        if option is None:
            raise ConfigError(
                f"variable {name} is set, but there is no such option"
                f"{nearest(name, [*_BY_VARIABLE, CONFIG_VARIABLE])}",
                hint="Unset it, or see docs/configuration.md for the names",
            )
        yield Setting(option, _text(option, text, name), "variable", name)


def _text(option: Option, text: str, where: str) -> Value:
    try:
        return option.kind.from_text(text)
    except ValueError as error:
        raise ConfigError(f"{where}: {text!r} {error}") from None


def _find_file(env: Mapping[str, str], given: Path | None) -> Path | None:
    if given is not None:
        return given
    named = env.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    default = Path(DEFAULT_FILE)
    return default if default.is_file() else None


def _read_file(path: Path) -> tuple[str, dict[str, Any]]:
    """Return a file's text, and what it says."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return text, tomllib.loads(text)
    except OSError as error:
        raise ConfigError(
            f"can't read the configuration file {path}: {error.strerror}",
            hint=f"Check --config and {CONFIG_VARIABLE}",
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8", hint="Save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        last = f"at line {len(text.splitlines())}, the last"
        problem = str(error).replace("at end of document", last)
        raise ConfigError(f"{path}: not valid TOML: {problem}") from None


def _from_file(path: Path, text: str, tables: dict[str, Any]) -> Iterator[Setting]:
    limits = tables.pop("limits", {})
    if not isinstance(limits, dict):
        raise ConfigError(f"{path}: limits has to be a table", hint="Write [limits] above them")
    for key, value in tables.items():
        if key in limits:
            raise ConfigError(
                f"{path}: {key} stands in [limits] and above it", hint="Remove one of the two"
            )
        yield _from_toml(path, _line(text, key), key, value, in_limits=False)
    for key, value in limits.items():
        yield _from_toml(path, _line(text, key), key, value, in_limits=True)


def _from_toml(path: Path, line: str, key: str, value: object, *, in_limits: bool) -> Setting:
    where = f"{path}{line}"
    option = _BY_NAME.get(key)
    if option is None:
        raise ConfigError(f"{where}: there is no option {key}{_nearest_key(key, value)}")
    if in_limits and not option.limit:
        raise ConfigError(
            f"{where}: {key} is not a limit, but stands in [limits]",
            hint="Move it above the line [limits]",
        )
    try:
        return Setting(option, option.kind.from_toml(value), "file", where)
    except ValueError as error:
        raise ConfigError(f"{where}: {key} = {_toml(value)} {error}") from None


def _nearest_key(key: str, value: object) -> str:
    if isinstance(value, dict):
        return "; the only tables are [limits] and [roles.NAME]"
    for option in OPTIONS:
        if key in (option.field, option.flag, option.flag[2:], option.variable):
            return f"; did you mean {option.name}?"
    close = difflib.get_close_matches(key, [*_BY_NAME, "limits"], n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _line(text: str, key: str) -> str:
    """Return ``":3"`` where the key is set in line 3; empty where no line starts with it."""
    pattern = re.compile(rf"\s*\[*[\"']?{re.escape(key)}[\"']?\s*[=.\]]")
    for number, line in enumerate(text.splitlines(), 1):
        if pattern.match(line):
            return f":{number}"
    return ""


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return "{...}" if isinstance(value, dict) else str(value)
