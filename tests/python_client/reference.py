"""y-websocket's own server under Node.js, on a port that stays its own."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.interop.harness import NODE_MODULES, START_TIMEOUT_S, Output
from tests.needs import require
from tests.ports import reserved_port
from tests.processes import kill

__all__ = ["Reference", "reference_server"]

SCRIPT = NODE_MODULES / "y-websocket-2.1" / "bin" / "server.cjs"


class Reference:
    """The server's process; it keeps nothing on disk."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"ws://127.0.0.1:{port}"

    def start(self) -> None:
        """Start it and wait until it listens."""
        node = shutil.which("node")
        require(node, "Node.js is not installed")
        require(SCRIPT.exists(), "the npm packages are missing: run `npm ci` in tests/interop")
        self._process = subprocess.Popen(
            [str(node), str(SCRIPT)],
            env={**os.environ, "HOST": "127.0.0.1", "PORT": str(self.port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout is not None
        Output(self._process.stdout).wait_for(r"running at", START_TIMEOUT_S)

    def kill(self) -> None:
        """End it at once."""
        kill(self._process)


@contextmanager
def reference_server() -> Iterator[Reference]:
    """Run one."""
    with reserved_port() as port:
        server = Reference(port)
        server.start()
        try:
            yield server
        finally:
            server.kill()
