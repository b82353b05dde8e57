"""Roles in the configuration file: what they become, and how each mistake is told."""

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from crdtsync.cli import cli
from crdtsync.config import load
from crdtsync.config.roles import FIXED, read_roles, role_key, show_role
from crdtsync.errors import ConfigError
from crdtsync.roles import BUILT_IN, Grants, Role, Rule


def roles(text: str, folder: Path) -> dict[str, Role]:
    """Return what a file defines."""
    path = folder / "crdtsync.toml"
    path.write_text(text, "utf-8")
    return dict(load(config_file=path).config.roles)


def test_roles_of_a_file(tmp_path: Path) -> None:
    """Tables become roles beside the built-in ones, each key with its meaning."""
    found = roles(
        """
port = 1
[roles.reviewer]
write = ["comments", { root = "votes", own_key = true }, { root = "log", append_only = true }]
awareness = false
restore = true

[[roles.clerk.write]]
root = "meta"
keys = ["title", "tags"]
max_update_bytes = 1000

[roles.comment]
write = ["threads"]

[limits]
max_connections = 7
""",
        tmp_path,
    )
    assert found == {
        **BUILT_IN,
        "reviewer": Role(
            name="reviewer",
            write=(
                Rule(root="comments"),
                Rule(root="votes", own_key=True),
                Rule(root="log", append_only=True),
            ),
            awareness=False,
            restore=True,
        ),
        "clerk": Role(
            name="clerk",
            write=(Rule(root="meta", keys=frozenset({"title", "tags"}), max_update_bytes=1000),),
        ),
        "comment": Role(name="comment", write=(Rule(root="threads"),)),
    }
    assert Grants({"team/*": "reviewer"}).role("team/a", found) is found["reviewer"]


def test_without_tables_there_are_the_built_in_roles(tmp_path: Path) -> None:
    """No table, no other role."""
    assert roles("port = 1", tmp_path) == BUILT_IN
    assert load().config.roles == BUILT_IN


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("roles = 1", "crdtsync.toml: roles has to hold tables"),
        ("[roles]\na = 1", "[roles.a] has to be a table"),
        ("[roles.write]\nwrite = []", "[roles.write]: write is a role that every server has"),
        ('[roles." "]', "[roles. ]: a role's name has to be printable"),
        ("[roles.a]\nwrites = []", "[roles.a]: there is no writes; did you mean write?"),
        ("[roles.a]\nname = 'b'", "[roles.a]: there is no name"),
        ("[roles.a]\nadmin = 1", "[roles.a]: admin has to be true or false"),
        ("[roles.a]\nwrite = 'chat'", "[roles.a]: write has to be a list of roots or rules"),
        ("[roles.a]\nwrite = [1]", "[roles.a]: write[0] has to be a root's name or a rule"),
        ("[roles.a]\nwrite = ['x', {}]", "[roles.a]: write[1]: root has to be a root's name"),
        (
            "[roles.a]\nwrite = [{root = 'x', key = 'k'}]",
            "[roles.a]: write[0]: there is no key; did you mean keys?",
        ),
        (
            "[roles.a]\nwrite = [{root = 'x', keys = []}]",
            "[roles.a]: write[0]: keys has to be a list of at least one key",
        ),
        (
            "[roles.a]\nwrite = [{root = 'x', own_key = 'me'}]",
            "[roles.a]: write[0]: own_key has to be true or false",
        ),
        (
            "[roles.a]\nwrite = [{root = 'x', max_update_bytes = 0}]",
            "[roles.a]: write[0]: max_update_bytes has to be a whole number above 0",
        ),
    ],
)
def test_mistakes(text: str, message: str, tmp_path: Path) -> None:
    """Each mistake is told in one line, with the table and the key."""
    with pytest.raises(ConfigError) as error:
        roles(text, tmp_path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


TABLES = """port = 1
[roles.reviewer]
write = ["comments", { root = "votes", own_key = true }]
awareness = false

[[roles.clerk.write]]
root = "meta"
keys = ["title", "tags"]

  [ roles."night \\u00fcshift" ]
[roles.'a.b']
shares = true
[roles.comment]
"""


def config(folder: Path, *args: str) -> str:
    """Return what ``crdtsync config`` prints of a file with these tables."""
    path = folder / "own.toml"
    path.write_text(TABLES, "utf-8")
    result = CliRunner().invoke(cli, ["config", "--config", str(path), *args])
    assert result.exit_code == 0, result.output
    return result.stdout.replace(str(path), "own.toml")


def test_the_config_command_shows_roles(tmp_path: Path) -> None:
    """Each role is shown as its table would be written, with the line that it begins in."""
    lines = [line.split("\t") for line in config(tmp_path).splitlines() if "roles." in line]
    assert lines == [
        ["roles.read", "{ write = [] }", "default"],
        ["roles.comment", "{ write = [] }", "own.toml:13"],
        ["roles.write", '{ write = ["*"], restore = true }', "default"],
        [
            "roles.admin",
            '{ write = ["*"], restore = true, shares = true, moderate = true, admin = true }',
            "default",
        ],
        [
            "roles.reviewer",
            '{ write = ["comments", { root = "votes", own_key = true }], awareness = false }',
            "own.toml:2",
        ],
        ["roles.clerk", '{ write = [{ root = "meta", keys = ["tags", "title"] }] }', "own.toml:6"],
        ['roles."night üshift"', "{ write = [] }", "own.toml"],  # its line spells it otherwise
        ['roles."a.b"', "{ write = [], shares = true }", "own.toml:11"],
    ]


def test_the_config_command_shows_roles_as_json(tmp_path: Path) -> None:
    """In JSON each role has every key, defaults as well."""
    found = json.loads(config(tmp_path, "--json"))["roles"]
    assert found["clerk"] == {
        "write": [{"root": "meta", "keys": ["tags", "title"]}],
        "awareness": True,
        "history": True,
        "restore": False,
        "shares": False,
        "moderate": False,
        "admin": False,
        "source": "file",
        "where": "own.toml:6",
    }
    assert (found["read"]["source"], found["read"]["where"]) == ("default", "")


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
rules = st.builds(
    Rule,
    root=names,
    keys=st.none() | st.frozensets(names, min_size=1, max_size=3),
    own_key=st.booleans(),
    append_only=st.booleans(),
    max_update_bytes=st.none() | st.integers(1, 1 << 40),
)


@given(
    role=st.builds(
        Role,
        name=names.filter(lambda name: name.isprintable() and name.strip() and name not in FIXED),
        write=st.lists(rules, max_size=3).map(tuple),
        awareness=st.booleans(),
        history=st.booleans(),
        restore=st.booleans(),
        shares=st.booleans(),
        moderate=st.booleans(),
        admin=st.booleans(),
    )
)
def test_a_shown_role_is_read_as_the_same(role: Role) -> None:
    """What is shown could be put into a file."""
    tables = tomllib.loads(f"{role_key(role.name)} = {show_role(role)}")
    assert read_roles(tables["roles"], "x")[role.name] == role
