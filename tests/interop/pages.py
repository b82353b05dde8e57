"""Pages for the browsers: bundled from page/, served on a port of their own."""

import functools
import http.server
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .harness import HERE

__all__ = ["bundle", "served"]


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a log line for each."""

    def log_message(self, *_: object) -> None: ...


def bundle(node: Callable[..., str], page: str, packages: Mapping[str, str], folder: Path) -> None:
    """Write a page of page/ into a new folder, its script bundled with these packages."""
    node(HERE / "page" / "bundle.mjs", str(folder), json.dumps(packages), f"page/{page}.js")
    html = (HERE / "page" / f"{page}.html").read_bytes()
    (folder / "index.html").write_bytes(html)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder's files for the block; hand out the address."""
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
