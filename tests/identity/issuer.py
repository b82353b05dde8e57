"""An issuer's web server, whose answers a test decides."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Issuer:
    """Answers each request for its key set with what it is told to."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b'{"keys": []}'
        self.headers: dict[str, str] = {}
        self.requests: list[str] = []
        """The head of each request."""
        self.hold: threading.Event | None = None
        self.asked = threading.Event()
        self.drip_s: float | None = None
        self.over = threading.Event()
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        self.requests.append(f"{handler.requestline}\n{handler.headers}")
        self.asked.set()
        if self.hold is not None:
            self.hold.wait(20)
        handler.send_response(self.status)
        for name, value in ({"Content-Length": str(len(self.body))} | self.headers).items():
            handler.send_header(name, value)
        handler.end_headers()
        try:
            if self.drip_s is None:
                handler.wfile.write(self.body)
            else:
                while not self.over.wait(self.drip_s):
                    handler.wfile.write(b" ")
                    handler.wfile.flush()
        except OSError:
            pass  # the client has had enough


@contextmanager
def issuing() -> Iterator[Issuer]:
    """Run an issuer until the block ends."""
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    issuer.url = f"http://127.0.0.1:{server.server_address[1]}/jwks.json"
    try:
        yield issuer
    finally:
        issuer.over.set()
        if issuer.hold is not None:
            issuer.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()
