"""Start, watch and stop the servers: crdtsync and its peers, each on the core it is given."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from benchmarks import dialects, proc

HERE = Path(__file__).parent
PEERS = HERE / "peers"
PEERS_PYTHON = PEERS / ".venv" / "bin" / "python"
_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 10.0


class ServerFailed(Exception):
    """A server that did not start, died, or did not do its part of the protocol."""


@cache
def node() -> str:
    """Return the Node.js that the setup installed, or the one on the path."""
    for installed in sorted(PEERS.glob("node_modules/node-*/bin/node")):
        return str(installed)
    found = shutil.which("node")
    if found is None:
        raise ServerFailed("no Node.js")
    return found


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _npm_version(package: str, user: str = "") -> str:
    """Return the version of a package, of the copy that belongs to `user` if it has its own."""
    modules = PEERS / "node_modules"
    for path in (modules / user / "node_modules" / package, modules / package):
        if path.exists():
            found: str = json.loads((path / "package.json").read_text())["version"]
            return found
    raise ServerFailed(f"no npm package {package}")


def _version(python: str, package: str) -> str:
    script = (
        "from importlib.metadata import PackageNotFoundError, version\n"
        f"try: print(version({package!r}))\n"
        "except PackageNotFoundError: print('source tree')"
    )
    return _output(python, "-c", script)


def _peers_version(package: str) -> str:
    return _version(str(PEERS_PYTHON), package)


def _own_version(package: str) -> str:
    return _version(OWN_PYTHON, package)


def _own_python() -> str:
    """Return the version of the interpreter that runs crdtsync."""
    return _output(OWN_PYTHON, "-c", "import platform; print(platform.python_version())")


def _node_versions(package: str, *others: str) -> str:
    listed = [f"{name} {_npm_version(name, package)}" for name in (package, *others)]
    return ", ".join([*listed, f"Node.js {_output(node(), '--version').removeprefix('v')}"])


@dataclass(frozen=True, slots=True)
class Kind:
    """How to run one server."""

    name: str
    describe: Callable[[], str]
    command: Callable[[int, Path], list[str]]
    """Take a port and a folder for data; return the command line."""
    dialect: dialects.Dialect = field(default_factory=dialects.YWebsocket)
    environment: Callable[[int, Path], Mapping[str, str]] = lambda _port, _data: {}
    cwd: Path = PEERS
    supervised: bool = False
    """Whether clients are served by a child of the process that is started."""
    keeps: bool = False
    """Whether documents survive a restart on the same data folder."""


# To compare versions: a tree to run crdtsync from, and options to add to its command line.
_TREE = os.environ.get("BENCHMARKS_TREE", str(HERE.parent))
_OPTIONS = shlex.split(os.environ.get("BENCHMARKS_OPTIONS", ""))
# The interpreter that runs crdtsync and the bare relay, of an environment that has what they need,
# and that `setup` makes the Python peers' environment of.
OWN_PYTHON = str(Path(os.environ.get("BENCHMARKS_PYTHON", sys.executable)).absolute())


def _crdtsync(name: str, durability: str, *options: str) -> Kind:
    def command(port: int, data: Path) -> list[str]:
        address = ["--host", "127.0.0.1", "--port", str(port)]
        store = ["--store", f"sqlite:{data / 'documents.db'}", "--durability", durability]
        serve = [OWN_PYTHON, "-m", "crdtsync", "serve"]
        return [*serve, *address, *store, *options, *_OPTIONS]

    def describe() -> str:
        parts = [f"crdtsync {_own_version('crdtsync')}", f"pycrdt {_own_version('pycrdt')}"]
        parts += [f"picows {_own_version('picows')}", f"Python {_own_python()}"]
        return ", ".join([*parts, " ".join(["--durability", durability, *options, *_OPTIONS])])

    def environment(_port: int, _data: Path) -> Mapping[str, str]:
        return {"PYTHONPATH": _TREE}

    return Kind(name, describe, command, environment=environment, supervised=True, keeps=True)


def _pycrdt_command(port: int, _data: Path) -> list[str]:
    hypercorn = [str(PEERS_PYTHON), "-m", "hypercorn", "--worker-class", "uvloop"]
    return [*hypercorn, "--bind", f"127.0.0.1:{port}", "pycrdt_server:app"]


def _y_websocket_environment(port: int, _data: Path) -> Mapping[str, str]:
    return {"HOST": "127.0.0.1", "PORT": str(port)}


def _y_leveldb_environment(port: int, data: Path) -> Mapping[str, str]:
    return {"HOST": "127.0.0.1", "PORT": str(port), "YPERSISTENCE": str(data / "level")}


def _y_websocket_command(_port: int, _data: Path) -> list[str]:
    return [node(), "node_modules/y-websocket/bin/server.cjs"]


KINDS = {
    kind.name: kind
    for kind in (
        _crdtsync("crdtsync", "fsync"),
        _crdtsync("crdtsync-os", "os"),
        _crdtsync("crdtsync-none", "none"),
        _crdtsync("crdtsync-relay", "none", "--max-merge", "1"),
        Kind(
            "y-websocket",
            lambda: _node_versions("y-websocket", "yjs", "ws"),
            _y_websocket_command,
            environment=_y_websocket_environment,
        ),
        Kind(
            "y-websocket-leveldb",
            lambda: _node_versions("y-websocket", "yjs", "y-leveldb"),
            _y_websocket_command,
            environment=_y_leveldb_environment,
            keeps=True,
        ),
        Kind(
            "hocuspocus",
            lambda: _node_versions("@hocuspocus/server", "yjs", "crossws"),
            lambda _port, _data: [node(), "hocuspocus.mjs"],
            dialects.Hocuspocus(),
            lambda port, _data: {"PORT": str(port)},
        ),
        Kind(
            "pycrdt-websocket",
            lambda: ", ".join(
                f"{package} {_peers_version(package)}"
                for package in ("pycrdt-websocket", "pycrdt", "hypercorn", "uvloop")
            ),
            _pycrdt_command,
        ),
        Kind(
            "relay",
            lambda: f"bare relay on picows {_own_version('picows')}",
            lambda port, _data: [OWN_PYTHON, "relay.py", str(port)],
            dialects.BareRelay(),
        ),
    )
}


@dataclass(slots=True)
class Server:
    """A running server."""

    kind: Kind
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    cores: tuple[int, int]
    """The server's core and the load generator's."""

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def serving_pid(self) -> int:
        """The process whose memory grows with what clients do."""
        family = proc.family(self.pid)
        return family[1] if self.kind.supervised and len(family) > 1 else self.pid

    def url(self, document: str) -> str:
        """Return the WebSocket URL of a document."""
        return f"ws://127.0.0.1:{self.port}{self.kind.dialect.path(document)}"

    def moment(self) -> proc.Moment:
        """Read the clocks, to measure usage from here on."""
        return proc.Moment.now(self.pid, self.cores)

    def complain(self, problem: str) -> ServerFailed:
        """Make the error for a server that did not do its part, with the end of its log."""
        tail = self.log.read_text(errors="replace")[-2000:]
        return ServerFailed(f"{self.kind.name}: {problem}\n{tail}".rstrip())

    def kill(self) -> None:
        """Kill the server as a power cut to its process would: no handler runs."""
        # Stopped first, so that none of them sees another go.
        for signum in (signal.SIGSTOP, signal.SIGKILL):
            for member in proc.family(self.pid):
                os.kill(member, signum)
        self.process.wait()

    def stop(self) -> None:
        """End the server politely, and by force if it does not go."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _answers(server: Server) -> None:
    deadline = asyncio.get_running_loop().time() + _START_TIMEOUT_S
    while True:
        if server.process.poll() is not None:
            raise server.complain(f"ended at once with status {server.process.returncode}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        except OSError:
            if asyncio.get_running_loop().time() > deadline:
                raise server.complain("does not listen") from None
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


def _inherited() -> dict[str, str]:
    """Return this process's variables, without those that would configure crdtsync."""
    return {key: value for key, value in os.environ.items() if not key.startswith("CRDTSYNC_")}


def _start(kind: Kind, data: Path, cores: tuple[int, int]) -> Server:
    data.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    log = data / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["taskset", "--cpu-list", str(cores[0]), *kind.command(port, data)],
            cwd=kind.cwd,
            env={**_inherited(), **kind.environment(port, data)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    return Server(kind, port, process, log, cores)


@asynccontextmanager
async def running(kind: Kind, data: Path, cores: tuple[int, int]) -> AsyncIterator[Server]:
    """Run a server on its own core, with its data in a folder, until the block ends."""
    server = _start(kind, data, cores)
    try:
        await _answers(server)
        yield server
    finally:
        server.stop()


def fresh_folder(parent: Path) -> Path:
    """Make an empty folder for a server's data."""
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="server-", dir=parent))


def remove_folder(folder: Path) -> None:
    """Remove a server's data."""
    shutil.rmtree(folder, ignore_errors=True)
