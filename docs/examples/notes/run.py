"""Run the example: `uv run docs/examples/notes/run.py`, then open the address that it prints.

Installs the npm packages (once), then runs `crdtsync serve` and Vite until Ctrl-C.
"""

import os
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path

HERE = Path(__file__).parent
PORT = os.environ.get("PORT", "5173")
SERVER_PORT = os.environ.get("SERVER_PORT", "1234")
CHANNELS = ("--chat", "*", "--presence", "*")
TIMEOUT_S = 5.0


def answers(port: str, path: str) -> bool:
    """Return whether an HTTP server of this machine serves a path.

    That somebody listens says less: Vite opens its port for a moment to see whether it is free.
    """
    connection = HTTPConnection("localhost", int(port), timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def main() -> None:
    """Run both until one ends, or Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not (HERE / "node_modules" / "vite").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=HERE, check=True)
    serve = [sys.executable, "-m", "crdtsync", "serve", "--port", SERVER_PORT, *CHANNELS]
    vite = ["node", "node_modules/vite/bin/vite.js", "--port", PORT, "--strictPort"]
    page = {**os.environ, "VITE_SERVER": f"ws://localhost:{SERVER_PORT}"}
    running = [subprocess.Popen(serve, cwd=HERE), subprocess.Popen(vite, cwd=HERE, env=page)]
    said = False
    try:
        while all(each.poll() is None for each in running):
            if not said and answers(SERVER_PORT, "/health/live") and answers(PORT, "/"):
                said = True
                print(f"\nOpen http://localhost:{PORT}/ twice. Ctrl-C ends it.", flush=True)
            time.sleep(0.2)
    except KeyboardInterrupt:
        pass
    finally:
        for each in running:
            each.terminate()
        for each in running:
            each.wait()


if __name__ == "__main__":
    main()
