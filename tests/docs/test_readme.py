"""What the README shows works as it stands there."""

import re
import shutil
import socket
import subprocess
import tomllib
from pathlib import Path

import pytest

from crdtsync.cli import cli
from crdtsync.config import Config
from crdtsync.errors import CloseCode
from crdtsync.protocol import SyncUpdate

from .kit import REPOSITORY, Client, Process, blocks, page

PAGE = page("README.md")
(SERVER,) = blocks(PAGE, "python")
MAX_LINES = 15
NODE_MODULES = REPOSITORY / "tests" / "interop" / "node_modules"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_the_custom_server_is_short() -> None:
    """A server with its own store, sign-in and hook takes 15 lines, empty ones included."""
    assert len(SERVER.rstrip().splitlines()) <= MAX_LINES
    assert all(len(line) <= 100 for line in SERVER.splitlines())
    for part in ("SQLiteStore(", "async def authenticate(", "on_change="):
        assert part in SERVER


def test_the_custom_server_runs(tmp_path: Path) -> None:
    """It stores what a writer sends, calls its hook, lets a reader follow and a stranger not."""
    port = free_port()
    (tmp_path / "server.py").write_text(SERVER.replace("port=1234", f"port={port}"), "utf-8")
    with Process("server.py", cwd=tmp_path) as process:
        url = f"ws://127.0.0.1:{port}/my-document"
        ada = connected(f"{url}?token=s3cret", process)
        with ada, Client(f"{url}?token=reader") as bob, Client(f"{url}?token=guess") as eve:
            close = eve.closed()
            assert close is not None
            assert close.code == CloseCode.UNAUTHENTICATED
            assert eve.reasons == [close.reason] == ["that token is not known here"]
            ada.sync()
            bob.sync()
            ada.append("hello")
            bob.receive_until(lambda: str(bob.text) == "hello")
            process.wait_for(r"^ada changed my-document with \d+ bytes$")
            bob.append("nonsense")
            bob.receive_until(lambda: bool(bob.reasons))
            ada.append(" world")
            bob.receive_until(lambda: any("world" in str(m) for m in bob.messages))
            assert [m for m in ada.messages if isinstance(m, SyncUpdate)] == []
        assert process.stop() == 0
    assert (tmp_path / "notes.db").is_file()


def connected(url: str, process: Process) -> Client:
    """Connect as soon as the server listens."""
    while not process.ended:
        try:
            return Client(url)
        except ConnectionRefusedError:
            continue
    raise AssertionError(f"the server ended: {process.output}")


def test_the_two_commands() -> None:
    """The commands exist, and listen and store where the README says."""
    scripts = tomllib.loads(page("pyproject.toml"))["project"]["scripts"]
    (shell,) = (block for block in blocks(PAGE, "sh") if "crdtsync serve" in block)
    assert re.findall(r"^uv run (\w+)", shell, re.MULTILINE) == ["crdtsync", "pytest"]
    assert "crdtsync" in scripts
    assert "serve" in cli.commands
    assert f"ws://{Config().host}:{Config().port}," in shell
    assert f"./{Config().store.removeprefix('sqlite:')}" in shell


def test_the_python_version_is_the_package_s() -> None:
    """The README asks for the Python that the package asks for."""
    wanted = tomllib.loads(page("pyproject.toml"))["project"]["requires-python"]
    assert f"Python {wanted.removeprefix('>=')} or later" in PAGE


@pytest.mark.node
def test_the_editor_can_be_built(tmp_path: Path) -> None:
    """Each import of the Quill example is there under the packages that ``npm install`` names."""
    node = shutil.which("node")
    if node is None or not (NODE_MODULES / "esbuild").is_dir():
        pytest.skip("Node.js or the npm packages of tests/interop are not installed")
    editor, _ = blocks(PAGE, "js")
    (install,) = re.findall(r"npm install (.+)", PAGE)
    imported = {name.split("/")[0] for name in re.findall(r"(?:from|import) '([^']+)'", editor)}
    assert imported == set(install.split())
    aliases = {
        "quill": "quill-2",
        "quill-cursors": "quill-cursors-4",
        "y-quill": "y-quill-1",
        "y-websocket": "y-websocket-3.1",
    }
    (tmp_path / "editor.js").write_text(editor, "utf-8")
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    done = subprocess.run(
        [
            str(NODE_MODULES / ".bin" / "esbuild"),
            "editor.js",
            "--bundle",
            "--outdir=out",
            "--log-level=warning",
            *(f"--alias:{name}={installed}" for name, installed in aliases.items()),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_the_page_loads_the_editor() -> None:
    """The HTML has the element that the script asks for, and loads the script."""
    (html,) = blocks(PAGE, "html")
    editor = blocks(PAGE, "js")[0]
    (selector,) = re.findall(r"new Quill\('#(\w+)'", editor)
    assert f'<div id="{selector}">' in html
    assert '<script type="module" src="editor.js">' in html
    assert editor.startswith("// editor.js\n")


def test_there_is_a_place_for_the_figures() -> None:
    """The block that ``python -m benchmarks report`` fills is there, once."""
    assert PAGE.count("<!-- benchmarks -->") == PAGE.count("<!-- /benchmarks -->") == 1
