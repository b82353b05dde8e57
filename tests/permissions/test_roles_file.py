"""Roles in the configuration file: what they become, and how each mistake is told."""

from pathlib import Path

import pytest

from crdtsync.config import load
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
