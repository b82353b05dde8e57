"""A server that lets everybody in as whoever the token says: for what `crdtsync serve` can't be
told. Run as a process of its own, it is ``python -m benchmarks.serving FOLDER OPTIONS``.
"""

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from crdtsync import CallableAuthenticator, Config, ConnectRequest, Principal, run

__all__ = ["STORE", "Serving", "serving"]

STORE: Final = "store.db"
"""The store's file in its folder."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that runs."""

    pid: int
    address: str
    """Host and port."""

    def committed(self) -> int:
        """Ask the server's metrics how many updates it has committed."""
        url = f"http://{self.address}/metrics?token=metrics"
        with urllib.request.urlopen(url) as answer:
            text = answer.read().decode()
        found = re.search(r"^crdtsync_updates_committed_total ([0-9.e+]+)$", text, re.MULTILINE)
        assert found is not None, text
        return int(float(found[1]))


@contextmanager
def serving(folder: Path, *, core: int | None = None, **options: Any) -> Iterator[Serving]:
    """Serve a folder's store, with ``fsync``, until the block ends; options are ``Config``'s."""
    own = [sys.executable, "-m", "benchmarks.serving", str(folder), json.dumps(options)]
    pinned = [] if core is None else ["taskset", "--cpu-list", str(core)]
    process = subprocess.Popen(
        [*pinned, *own],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
            if found:
                break
        else:
            raise RuntimeError("the server does not start")
        yield Serving(process.pid, f"127.0.0.1:{found[1]}")
    finally:
        process.terminate()
        process.wait()


async def _anybody(request: ConnectRequest) -> Principal:
    return Principal(id=request.token, name=request.token.title())


def _options(text: str) -> dict[str, Any]:
    return {name: tuple(value) for name, value in json.loads(text).items()}


def _main(folder: str, options: str) -> None:
    config = Config(
        host="127.0.0.1",
        port=0,
        store=f"sqlite:{folder}/{STORE}",
        durability="fsync",
        **_options(options),
    )
    run(config, authenticator=CallableAuthenticator(_anybody), started=print)


if __name__ == "__main__":
    _main(*sys.argv[1:])
