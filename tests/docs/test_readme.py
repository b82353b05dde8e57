"""What the README shows works as it stands there."""

import re
import subprocess
import tomllib
from pathlib import Path

import pycrdt
import pytest

from crdtsync.awareness import read_entries
from crdtsync.cli import cli
from crdtsync.config import Config
from crdtsync.errors import CloseCode
from crdtsync.limits import Limits
from crdtsync.protocol import AwarenessMessage, SyncUpdate
from tests.interop.pages import served
from tests.interop.webdriver import running as running_chromedriver
from tests.needs import program, require
from tests.ports import reserved_port

from .kit import REPOSITORY, Client, Process, blocks, page, serving

PAGE = page("README.md")
SERVER, PROGRAM = blocks(PAGE, "python")
MAX_LINES = 15
NODE_MODULES = REPOSITORY / "tests" / "interop" / "node_modules"


def test_the_custom_server_is_short() -> None:
    """A server with its own store, sign-in and hook takes 15 lines, empty ones included."""
    assert len(SERVER.rstrip().splitlines()) <= MAX_LINES
    assert all(len(line) <= 100 for line in SERVER.splitlines())
    for part in ("SQLiteStore(", "async def authenticate(", "on_change="):
        assert part in SERVER


def test_the_custom_server_runs(tmp_path: Path) -> None:
    """It stores what a writer sends, calls its hook, lets a reader follow and a stranger not."""
    with reserved_port() as port:
        (tmp_path / "server.py").write_text(SERVER.replace("port=1234", f"port={port}"), "utf-8")
        with Process("server.py", cwd=tmp_path) as process:
            url = f"ws://127.0.0.1:{port}/my-document"
            ada = connected(f"{url}?token=s3cret", process)
            with ada, Client(f"{url}?token=reader") as bob, Client(f"{url}?token=guess") as eve:
                close = eve.closed()
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


def test_the_python_program_runs(tmp_path: Path) -> None:
    """What it writes is committed by a server, and kept on its own machine."""
    with serving(tmp_path, "--store", "memory:") as (_, url):
        program = PROGRAM.replace("ws://localhost:1234", url)
        (tmp_path / "hello.py").write_text(program, "utf-8")
        with Process("hello.py", cwd=tmp_path) as process:
            assert process.wait() == 0, process.output
        with Client(f"{url}/my-document") as client:
            text = client.sync().doc.get("content", type=pycrdt.Text)
            assert str(text) == "Hello from Python"
    assert (tmp_path / "offline.db").is_file()


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


ALIASES = {
    "quill": "quill-2",
    "quill-cursors": "quill-cursors-4",
    "y-quill": "y-quill-1",
    "y-websocket": "y-websocket-3.1",
}
"""The names under which ``tests/interop`` has the packages."""


def build(editor: str, folder: Path) -> None:
    """Write the README's page into a folder, its script bundled."""
    program("node")
    require(
        (NODE_MODULES / "esbuild").is_dir(),
        "esbuild is not installed: run `npm ci` in tests/interop",
    )
    (html,) = blocks(PAGE, "html")
    link = '<link rel="stylesheet" href="editor.css">\n<link rel="icon" href="data:,">\n'
    (folder / "index.html").write_text(html.replace("<title>", f"{link}<title>"), "utf-8")
    (folder / "source.js").write_text(editor, "utf-8")
    (folder / "node_modules").symlink_to(NODE_MODULES)
    done = subprocess.run(
        [
            *(str(NODE_MODULES / ".bin" / "esbuild"), "source.js", "--bundle"),
            *("--outfile=editor.js", "--log-level=warning"),
            *(f"--alias:{name}={installed}" for name, installed in ALIASES.items()),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr


@pytest.mark.node
def test_the_editor_needs_what_is_installed(tmp_path: Path) -> None:
    """``npm install`` names the packages that the script imports, and it can be built of them."""
    editor = blocks(PAGE, "js")[0]
    (install,) = re.findall(r"npm install (.+)", PAGE)
    imported = {name.split("/")[0] for name in re.findall(r"(?:from|import) '([^']+)'", editor)}
    assert imported == set(install.split())
    build(editor, tmp_path)


@pytest.mark.node
@pytest.mark.browser
def test_the_editor_runs(tmp_path: Path) -> None:
    """In a browser, the page takes part in the document: what is typed, shown, and who is there."""
    pages = tmp_path / "pages"
    pages.mkdir()
    with (
        serving(tmp_path, "--store", "memory:") as (_, url),
        served(pages) as address,
        running_chromedriver() as driver,
        Client(f"{url}/my-document") as eve,
    ):
        build(blocks(PAGE, "js")[0].replace("ws://localhost:1234", url), pages)
        browser = driver.open(tmp_path / "profile")
        try:
            browser.go(f"{address}/index.html")
            content = eve.doc.get("content", type=pycrdt.Text)
            eve.sync()
            browser.click(".ql-editor")
            browser.type("Hello")
            eve.receive_until(lambda: str(content).strip() == "Hello")
            eve.receive_until(lambda: '"name":"Ada"' in presence(eve))
            eve.edit(lambda: content.insert(5, " world"))
            browser.call("POST", "/execute/async", {"script": SHOWN, "args": ["Hello world"]})
        finally:
            browser.close()


SHOWN = """
const [wanted, done] = arguments
const editor = document.querySelector('.ql-editor')
const look = () => editor.textContent.includes(wanted) && done()
new MutationObserver(look).observe(editor, { subtree: true, childList: true, characterData: true })
look()
"""
"""Calls back once the editor shows a text."""


def presence(client: Client) -> str:
    """Return all presence that a client was told of."""
    return "".join(
        entry.state
        for message in client.messages
        if isinstance(message, AwarenessMessage)
        for entry in read_entries(message.payload, Limits())
    )


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
