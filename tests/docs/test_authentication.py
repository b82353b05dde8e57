"""``docs/authentication.md``: its recipes make tokens that a server takes, its tables are true."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest

from crdtsync import CloseCode, ConnectRequest, JWTAuthenticator
from crdtsync.config import OPTIONS
from crdtsync.errors import Forbidden, Unauthenticated, Unavailable
from crdtsync.identity.authenticators import FILE_REFRESH_S, UNKNOWN_KEY_PAUSE_S
from crdtsync.identity.fetching import FETCH_TIMEOUT_S, MAX_SET_BYTES
from crdtsync.identity.issuing import make_key
from crdtsync.identity.tokens import MAX_DEPTH
from tests.cli.running import command
from tests.identity.making import SECRET, issue
from tests.interop.conftest import require

from .checking import complaints
from .kit import blocks, code, environment, page, prose, table

PAGE = page("docs/authentication.md")
ISSUING, PROGRAM, FUNCTION = blocks(PAGE, "python")
(NODE,) = [block for block in blocks(PAGE, "js") if "node:crypto" in block]
(CLAIMS,) = blocks(PAGE, "json")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Make the page's keys in a folder."""
    private, public = make_key("ES256")
    assert public is not None
    (tmp_path / "dev.pem").write_bytes(private)
    (tmp_path / "dev.pem.pub").write_bytes(public)
    return tmp_path


def taken(folder: Path, token: str) -> str:
    """Have a token checked as the page's server does; return the role in ``team/plan``."""
    authenticator = JWTAuthenticator(key_file=folder / "dev.pem.pub", audience=["crdtsync"])
    request = ConnectRequest(document="team/plan", token=token)
    role = anyio.run(authenticator.authenticate, request).role
    assert role is not None
    return role.name


def test_issuing_with_python(keys: Path) -> None:
    """The recipe for Python makes a token that the server takes."""
    program = f"{ISSUING}\nprint(token_for('ada', {{'team/*': 'write'}}))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=keys, capture_output=True, text=True, check=True, env=environment(),
    )  # fmt: skip
    assert taken(keys, done.stdout.strip()) == "write"


def test_issuing_with_node(keys: Path) -> None:
    """The recipe for Node makes a token that the server takes."""
    node = shutil.which("node")
    require(node is not None, "Node.js is not installed")
    assert node is not None
    (keys / "issue.mjs").write_text(f"{NODE}\nconsole.log(tokenFor('ada', {{ '*': 'read' }}))")
    done = subprocess.run([node, "issue.mjs"], cwd=keys, capture_output=True, text=True, check=True)
    assert taken(keys, done.stdout.strip()) == "read"


def test_the_example_of_claims(tmp_path: Path) -> None:
    """Ada may write, read and not touch what the page says."""
    (tmp_path / "s").write_bytes(SECRET)
    claims = json.loads(CLAIMS) | {"exp": int(time.time()) + 60}
    token = issue(SECRET, "HS256", claims)
    authenticator = JWTAuthenticator(
        key_file=tmp_path / "s", audience=["crdtsync"], issuer=[claims["iss"]]
    )
    for document, role in (("team/plan", "write"), ("team/minutes", "read"), ("home", None)):
        request = ConnectRequest(document=document, token=token)
        if role is None:
            with pytest.raises(Forbidden):
                anyio.run(authenticator.authenticate, request)
        else:
            found = anyio.run(authenticator.authenticate, request).role
            assert found is not None
            assert found.name == role


def test_programs(tmp_path: Path) -> None:
    """The programs are typed, and the function lets in whom it knows."""
    for number, program in enumerate((ISSUING, PROGRAM, FUNCTION)):
        (tmp_path / f"example_{number}.py").write_text(program, "utf-8")
    assert complaints(tmp_path) == ""
    names: dict[str, object] = {}
    exec(FUNCTION, names)
    who = names["authenticator"]
    found = anyio.run(who.authenticate, ConnectRequest(document="team/x", token="3c59dc04"))  # type: ignore[attr-defined]
    assert (found.id, found.role.name) == ("ada", "write")
    exec(PROGRAM, {"__name__": "imported"})


def test_codes() -> None:
    """The table of codes has those of the errors."""
    for code_, status, error in zip(
        *zip(*[row[:2] for row in table(PAGE, "Code", "HTTP")], strict=True),
        (Unauthenticated, Forbidden, Unavailable), strict=True,
    ):  # fmt: skip
        assert (CloseCode(int(code_)), int(status)) == (error.close_code, error.http_status)


def test_figures() -> None:
    """The figures in the text are those of the code, and each option that it names is one."""
    for text in (
        f"every {FILE_REFRESH_S:.0f} s",
        f"once in {UNKNOWN_KEY_PAUSE_S:.0f} s",
        f"{FETCH_TIMEOUT_S:.0f} s to connect",
        f"{MAX_SET_BYTES // 1024} KiB",
        f"over {MAX_DEPTH} levels",
    ):
        assert text in PAGE.replace("\n", " ")
    options = {option.name for option in OPTIONS}
    named = {name for name in code(prose(PAGE)) if name.startswith("auth_")}
    assert named <= options
    assert named


def test_the_refusal(tmp_path: Path) -> None:
    """What the page shows of a server that refuses is what it prints."""
    (shown,) = blocks(PAGE, "text")
    done = subprocess.run(
        command("serve", "--host", "0.0.0.0", "--port", "0"),
        cwd=tmp_path, capture_output=True, text=True, check=False, env=environment(),
    )  # fmt: skip
    assert done.stderr == shown
