"""``crdtsync`` with something deadly in it, as ``DEADLY`` says; started in its place.

``marker``: pycrdt dies of updates that hold the marker. ``start``: the server dies whenever it
has just begun to serve.
"""

import os
import signal
import sys
from pathlib import Path

import pycrdt

from crdtsync.cli import main
from crdtsync.supervisor import Supervised, lives

MARKER = b"deadly"

_apply_update = pycrdt.Doc.apply_update


def apply_update(doc: pycrdt.Doc, update: bytes) -> None:
    """Integrate an update, or die as native code does."""
    if MARKER in update:
        os.kill(os.getpid(), signal.SIGSEGV)
    _apply_update(doc, update)


def ready(supervised: Supervised, folder: Path) -> None:
    """Die instead of serving."""
    supervised.channel.send(b"here")
    os.kill(os.getpid(), signal.SIGSEGV)


if __name__ == "__main__":
    match os.environ["DEADLY"]:
        case "marker":
            pycrdt.Doc.apply_update = apply_update
        case "start":
            Supervised.ready = ready
            lives.RESTART_DELAYS_S = (float(os.environ.get("DELAY", 0)),)
        case other:
            sys.exit(f"nothing is called {other}")
    main()
