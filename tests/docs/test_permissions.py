"""``docs/permissions.md``: its tables are the code's, its examples work."""

import tomllib
from dataclasses import fields
from pathlib import Path

from crdtsync.config import load
from crdtsync.config.roles import read_roles
from crdtsync.edit import Touch
from crdtsync.gate import ContentGate, Principal
from crdtsync.roles import BUILT_IN, Role, Rule
from tests.permissions.kit import Server
from tests.unit.wire import any_, one, string, update

from .checking import complaints
from .kit import blocks, code, page, table

PAGE = page("docs/permissions.md")


def test_the_built_in_roles() -> None:
    """The table of roles says of each what the code says."""
    words = {"yes": True, "no": False}
    rows = table(PAGE, "Role")
    assert [code(row[0])[0] for row in rows] == list(BUILT_IN)
    for row in rows:
        role = BUILT_IN[code(row[0])[0]]
        assert [words[cell] for cell in row[2:]] == [
            role.awareness, role.history, role.restore, role.shares, role.moderate, role.admin
        ]  # fmt: skip
        assert (row[1] == "nothing") == role.reads_only
        assert (row[1] == "everything") == role.writes_all
    assert code(table(PAGE, "Role")[1][1]) == [rule.root for rule in BUILT_IN["comment"].write]


def test_the_keys_of_roles_and_rules() -> None:
    """Each key of the file is explained, with its default."""
    rows = table(PAGE, "Key of a role")
    defaults = {each.name: each.default for each in fields(Role) if each.name != "name"}
    assert {code(row[0])[0] for row in rows} == set(defaults)
    for row in rows[1:]:
        assert code(row[1])[0] == str(defaults[code(row[0])[0]]).lower()
    rules = [code(row[0])[0] for row in table(PAGE, "Key of a rule")]
    assert rules == [each.name for each in fields(Rule)]


def test_the_fields_of_a_touch() -> None:
    """Each field of a touch is explained."""
    found = [code(row[0])[0] for row in table(PAGE, "Field of a touch")]
    assert found == [each.name for each in fields(Touch)]


def test_the_file(tmp_path: Path) -> None:
    """The example of the configuration file defines two roles."""
    (text,) = blocks(PAGE, "toml")
    roles = read_roles(tomllib.loads(text)["roles"], "example")
    assert set(roles) - set(BUILT_IN) == {"reviewer", "kiosk"}
    path = tmp_path / "crdtsync.toml"
    path.write_text(text, "utf-8")
    assert load(config_file=path).config.roles == roles


def test_the_gate(tmp_path: Path) -> None:
    """The example of a gate passes ``mypy --strict``, and decides as it says."""
    (program,) = blocks(PAGE, "python")
    (tmp_path / "example.py").write_text(program, "utf-8")
    assert complaints(tmp_path) == ""
    found: dict[str, ContentGate] = {}
    exec(program, found)
    server = Server(gate=found["gate"])
    user = server.join()
    moderator = server.join(Principal(attributes={"moderator": True}))
    user.says(
        one(1, 0, any_(b"\x7e"), parent="remarks"),
        update(deletes=[(1, 0, 1)]),
        one(1, 1, string("x" * 5_001), parent="remarks"),
        one(1, 1, string("x" * 5_001), parent="text"),
    )
    assert user.denials == ["only moderators delete remarks", "a remark may have 5000 characters"]
    moderator.says(update(deletes=[(1, 0, 1)]))
    assert not moderator.denials
