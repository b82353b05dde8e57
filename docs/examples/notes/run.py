"""Run the example: `uv run docs/examples/notes/run.py`, then open the address that it prints.

Installs the npm packages (once), then runs `crdtsync serve` and Vite until Ctrl-C.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
PORT = os.environ.get("PORT", "5173")
SERVER_PORT = os.environ.get("SERVER_PORT", "1234")
CHANNELS = ("--chat", "*", "--presence", "*")


def listens(port: str) -> bool:
    """Return whether somebody answers on a port of this machine."""
    try:
        socket.create_connection(("localhost", int(port)), 1).close()
    except OSError:
        return False
    return True


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
            if not said and listens(SERVER_PORT) and listens(PORT):
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
