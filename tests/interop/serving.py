"""A server that a test builds from the library, as a program with the options of the real one."""

import argparse
from typing import Any

from crdtsync.config import Config
from crdtsync.server.serve import Listening, run

__all__ = ["main"]


def main(**parts: Any) -> None:
    """Serve until SIGTERM, with these parts of the application's own (see ``run``)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--store", required=True)
    parser.add_argument("--durability", required=True)
    options = vars(parser.parse_args())
    del options["command"]

    def started(listening: Listening) -> None:
        print(f"listening on {listening.urls[0]}", flush=True)  # noqa: T201 - what tests wait for

    run(Config(**options), started=started, **parts)
