"""``crdtsync serve`` as operators meet it: output, signals, and what stops it from starting."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from crdtsync.cli.serve import announcement, connect_lines
from crdtsync.server.serve import Listening
from tests.processes import environment

from .running import TIMEOUT_S, command, run, server

URL = r"http://(127\.0\.0\.1):(\d+)"
ON_IPV4 = ("--host", "127.0.0.1", "--port", "0", "--store", "memory:")


def listening(*urls: str, unix_socket: str | None = None, tls: bool = False) -> Listening:
    return Listening(
        urls=urls,
        unix_socket=unix_socket,
        store_url="memory:",
        durability="none",
        transport="native",
        tls=tls,
        notes=("something is missing",),
    )


def test_announcement() -> None:
    """Every address, the store, the durability, the transport and the notes are told."""
    assert announcement(listening("https://127.0.0.1:1", "https://[::1]:1", tls=True)) == [
        "listening on https://127.0.0.1:1",
        "listening on https://[::1]:1",
        "store memory:, durability none",
        "transport native, TLS",
        "note: something is missing",
    ]
    assert "listening on unix socket /run/s" in announcement(listening(unix_socket="/run/s"))


@pytest.mark.parametrize(
    ("host", "tls", "url"),
    [
        ("localhost", False, "ws://localhost:5"),
        ("0.0.0.0", False, "ws://localhost:5"),
        ("::", True, "wss://localhost:5"),
        ("::1", False, "ws://[::1]:5"),
        ("docs.example.org", True, "wss://docs.example.org:5"),
    ],
)
def test_connect_lines(host: str, tls: bool, url: str) -> None:
    """The three lines of JavaScript name the host as it was configured, and the real port."""
    lines = connect_lines(listening("http://127.0.0.1:5", tls=tls), host)
    assert len(lines) == 3
    assert lines[2] == f"new WebsocketProvider('{url}', 'my-document', new Y.Doc())"


def test_no_javascript_for_a_unix_socket() -> None:
    """A browser can't connect to a unix socket, so no line claims it."""
    assert connect_lines(listening(unix_socket="s"), "localhost") == []


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_runs_until_a_signal(tmp_path: Path, signum: signal.Signals) -> None:
    """``--port 0`` prints the port it took; SIGTERM and Ctrl-C end it with 0, without a trace."""
    with server(tmp_path, *ON_IPV4) as started:
        port = int(started.wait_for(URL)[2])
        assert port > 0
        started.wait_for(r"durability none")
        assert re.search(rf"ws://127\.0\.0\.1:{port}'", started.wait_for("new Websocket").string)
        with urlopen(f"http://127.0.0.1:{port}/health/live", timeout=TIMEOUT_S) as response:
            assert response.status == 200
        code, out, err = started.stop(signum)
    assert (code, out) == (0, "")
    assert "Traceback" not in err
    assert "WARNING" not in err


def test_panel_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal the same facts stand in a frame."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command("serve", *ON_IPV4),
        cwd=tmp_path,
        env=environment(TERM="xterm", COLUMNS="100"),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    shown = b""
    try:
        while b"WebsocketProvider('ws://" not in shown or not shown.rstrip().endswith("╯".encode()):
            shown += os.read(ours, 4096)
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT_S)
        os.close(ours)
    assert re.search(URL.encode(), shown)
    assert "╭─ crdtsync".encode() in shown
    assert process.returncode == 0


def test_json_logs(tmp_path: Path) -> None:
    """With JSON logs, stdout is empty and every line of stderr is an object."""
    with server(tmp_path, *ON_IPV4, "--log-format", "json") as started:
        assert started.process.stderr is not None
        first = json.loads(started.process.stderr.readline())
        code, out, err = started.stop()
    assert first["message"] == "listening"
    assert re.fullmatch(URL, first["urls"][0])
    assert first["store"] == "memory:"
    assert all(json.loads(line) for line in err.splitlines())
    assert (code, out) == (0, "")


@pytest.mark.skipif(sys.platform == "win32", reason="no unix sockets")
def test_unix_socket(tmp_path: Path) -> None:
    """``--uds`` listens on the socket, and says so."""
    with server(tmp_path, "--uds", "s.sock", "--store", "memory:") as started:
        started.wait_for("listening on unix socket s.sock")
        started.wait_for("transport asgi")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT_S)
            client.connect(str(tmp_path / "s.sock"))
            client.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert client.recv(64).startswith(b"HTTP/1.1 200")
        code, _, err = started.stop()
    assert code == 0
    assert "Traceback" not in err


def one_line(result: subprocess.CompletedProcess[bytes]) -> str:
    """Return the one line of an operator's error."""
    err = result.stderr.decode()
    assert (result.returncode, result.stdout) == (2, b""), err
    assert err.count("\n") == 1, err
    return err


def test_port_in_use(tmp_path: Path) -> None:
    """A port that is taken is one line with the port and what to do, and exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        args = ("--host", "127.0.0.1", "--port", str(port), "--store", "memory:")
        line = one_line(run("serve", *args, cwd=tmp_path))
    assert f"port {port} on 127.0.0.1 is in use" in line
    assert "--port" in line


@pytest.mark.parametrize("store", ["sqlite:documents.db", "file:documents"])
def test_second_server(tmp_path: Path, store: str) -> None:
    """A second server on one store is refused in one line that names the first's process."""
    with server(tmp_path, "--port", "0", "--store", store) as first:
        first.wait_for("http://")
        line = one_line(run("serve", "--port", "0", "--store", store, cwd=tmp_path))
        assert f"{store} is in use by process {first.process.pid}" in line


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("--host", "192.0.2.1", "--allow-anonymous"), "can't listen on 192.0.2.1"),
        (("--store", "sqllite:x.db"), "Did you mean sqlite:x.db"),
        (("--store", "sqlite:a-file/x.db"), "Create the folder a-file first"),
        (("--certfile", "gone.pem"), "certfile: can't read gone.pem"),
        (("--uds", "s", "--transport", "native"), "can't listen on a unix socket"),
        (("--uds", "gone/s.sock"), "No such file or directory. Create the folder gone first"),
        (("--uds", "a-file/s.sock"), "Not a directory. Create the folder a-file first"),
        (("--uds", "a-file"), "Address already in use. Remove the file if no server uses it"),
        (("--uds", "."), "It is a folder: name a file in it, such as ./crdtsync.sock"),
        (("--host", "[::1]"), "Write ::1, without brackets"),
        (("--uds", "s" * 200), "too long. Choose a path of at most 10"),
    ],
)
def test_can_not_start(tmp_path: Path, args: tuple[str, ...], text: str) -> None:
    """Whatever stops a server from starting is one line that names it, and exit code 2."""
    (tmp_path / "a-file").touch()
    assert text in one_line(run("serve", "--port", "0", *args, cwd=tmp_path))


@pytest.mark.parametrize("program", ["uvicorn", "hypercorn"])
def test_an_asgi_server_on_a_store_in_use(tmp_path: Path, program: str) -> None:
    """Other servers print a traceback, with what to do at its end."""
    store = "sqlite:documents.db"
    with server(tmp_path, "--port", "0", "--store", store) as first:
        first.wait_for("http://")
        at = ["--port", "0"] if program == "uvicorn" else ["--bind", "127.0.0.1:0"]
        done = subprocess.run(
            [sys.executable, "-m", program, *at, "crdtsync.server:app"],
            cwd=tmp_path,
            env=environment(CRDTSYNC_STORE=store),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert f"Stop process {first.process.pid}" in done.stderr


def test_a_program_on_a_port_in_use(tmp_path: Path) -> None:
    """A program of one's own that calls ``run`` ends with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        program = (
            "from crdtsync import MemoryStore, run; from crdtsync.config import Config;"
            f"run(Config(host='127.0.0.1', port={port}), store=MemoryStore())"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert "choose another port with --port" in done.stderr.splitlines()[-1]
