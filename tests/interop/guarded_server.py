"""A server that a program builds from the library: tokens say who may do what.

Takes the same options as `crdtsync serve` (tests start it in its place). No token: refused.
`reader` may follow only. Nobody may make documents whose name begins with `closed`.
"""

import argparse

from crdtsync.auth import ConnectRequest
from crdtsync.config import Config
from crdtsync.errors import Forbidden, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.server.serve import Listening, run


class Tokens:
    """Lets in whoever has a token; the token is the name."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        if not request.token:
            raise Unauthenticated("a token is needed")
        if request.document.startswith("closed"):
            raise Forbidden("this document is closed to you")
        return Principal(id=request.token, read_only=request.token == "reader")


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--store", required=True)
    parser.add_argument("--durability", required=True)
    options = parser.parse_args()

    def started(listening: Listening) -> None:
        print(f"listening on {listening.urls[0]}", flush=True)  # noqa: T201 - what tests wait for

    config = Config(
        host=options.host,
        port=options.port,
        store=options.store,
        durability=options.durability,
    )
    run(config, started=started, authenticator=Tokens())


if __name__ == "__main__":
    main()
