"""A server whose tokens end: `NAME:ROLE:SECONDS`, from the moment at which one is looked at.

Takes the same options as `crdtsync serve` (tests start it in its place).
"""

import argparse
import time

from crdtsync.auth import ConnectRequest
from crdtsync.config import Config
from crdtsync.errors import Unauthenticated
from crdtsync.gate import Principal
from crdtsync.roles import BUILT_IN
from crdtsync.server.serve import Listening, run


class Tokens:
    """Lets in whoever has a token of that form."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        match request.token.split(":"):
            case [name, role, seconds] if role in BUILT_IN:
                now_s = time.time()
                return Principal(
                    id=name, role=BUILT_IN[role], expires_s=now_s + float(seconds), issued_s=now_s
                )
        raise Unauthenticated("the token is not valid")


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
        host=options.host, port=options.port, store=options.store, durability=options.durability
    )
    run(config, started=started, authenticator=Tokens())


if __name__ == "__main__":
    main()
