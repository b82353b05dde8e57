"""Starting and stopping: the hub's lifetime, what clients hear, and ``crdtsync.server:app``."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from crdtsync.hub import Hub
from crdtsync.store.memory import MemoryStore

from .harness import SERVERS, Client, open_socket, running


@pytest.mark.parametrize("kind", SERVERS)
def test_draining_sends_clients_away_to_come_back(kind: str) -> None:
    """A drain closes every client with 1012, and those who come meanwhile as well."""
    with running(kind) as server, Client(server.url("a")).sync() as client:
        server.call(server.hub.drain)
        assert client.closed().code == 1012
        with Client(server.url("a")) as late:
            close = late.closed()
        assert close.code == 1012
        assert httpx.get(server.url("health/ready", "http")).status_code == 503


@pytest.mark.parametrize("kind", SERVERS)
def test_a_stop_loses_nothing(kind: str) -> None:
    """What a client wrote is there when another server opens the same store."""
    store = MemoryStore()
    with (
        running(kind, hub=Hub(store)) as server,
        Client(server.url("kept?ack=1")).sync() as client,
    ):
        client.append("kept")
        client.receive()
    assert not store._open
    with running(kind, hub=Hub(store)) as server, Client(server.url("kept")).sync() as client:
        assert str(client.text) == "kept"


COMMANDS = {
    "hypercorn": ["hypercorn", "--graceful-timeout", "1", "--bind", "fd://{fd}"],
    "hypercorn-trio": [
        *("hypercorn", "--worker-class", "trio"),
        *("--graceful-timeout", "1", "--bind", "fd://{fd}"),
    ],
    "uvicorn": ["uvicorn", "--timeout-graceful-shutdown", "1", "--fd", "{fd}"],
}


@contextmanager
def command(
    name: str, folder: Path, **variables: str
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run ``crdtsync.server:app`` by an ASGI server's own command."""
    listener = open_socket()
    port = listener.getsockname()[1]
    words = [word.format(fd=listener.fileno()) for word in COMMANDS[name]]
    environment = {**os.environ, "CRDTSYNC_STORE": f"sqlite:{folder / 'app.db'}"}
    environment |= {"CRDTSYNC_MAX_DOCUMENT_NAME_BYTES": "20", **variables}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *words, "crdtsync.server:app"],
            env=environment,
            pass_fds=[listener.fileno()],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    listener.close()
    try:
        yield process, f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_configured_application(name: str, tmp_path: Path) -> None:
    """``crdtsync.server:app`` runs by each server's command, as the variables configure it."""
    with command(name, tmp_path) as (process, address):
        page = httpx.get(f"http://{address}/", timeout=20).text
        assert "<dd>sqlite</dd>" in page
        with Client(f"ws://{address}/doc?ack=1").sync() as client:
            client.append("configured")
            client.receive()
        assert list(tmp_path.rglob("refused.db"))  # where refused updates are kept
        with Client(f"ws://{address}/{'x' * 21}") as client:
            assert client.closed().code == 4414
    assert b"Traceback" not in (tmp_path / "log").read_bytes()
    with command(name, tmp_path) as (process, address):
        response = httpx.get(f"http://{address}/api/v1/documents/doc?format=text", timeout=20)
        assert response.text == "configured"
    assert process.returncode in (0, -signal.SIGTERM)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_wrong_configuration(name: str, tmp_path: Path) -> None:
    """A server that is configured wrongly ends before it serves, and says in one line why."""
    with command(name, tmp_path, CRDTSYNC_MAX_MERGE="many") as (process, _):
        process.wait(timeout=20)  # Hypercorn says 0 here, as it does for any lifespan failure
    log = (tmp_path / "log").read_text()
    assert "CRDTSYNC_MAX_MERGE" in log
    assert "loading.py" not in log


def test_importing_the_package_opens_nothing(tmp_path: Path) -> None:
    """The configuration is read, and the store opened, when a server starts the application."""
    code = "import os; from crdtsync.server import app; assert os.listdir('.') == []"
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "CRDTSYNC_STORE": "nonsense"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
