"""A server that a program builds from the library: tokens say who may do what.

Takes the same options as `crdtsync serve` (tests start it in its place). No token: refused.
`reader` may follow only, `root` has the quarantine. Nobody may make documents whose name begins
with `closed`, and nobody but `root` may write to the root `map`.
"""

import argparse

from crdtsync.auth import ConnectRequest
from crdtsync.config import Config
from crdtsync.errors import Forbidden, Unauthenticated
from crdtsync.gate import ALLOW, Decision, Deny, Principal
from crdtsync.roles import ADMIN
from crdtsync.server.serve import Listening, run
from crdtsync.structs import Scan


class Tokens:
    """Lets in whoever has a token; the token is the name."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        if not request.token:
            raise Unauthenticated("a token is needed")
        if request.document.startswith("closed"):
            raise Forbidden("this document is closed to you")
        if request.token == "root":
            return Principal(id="root", role=ADMIN)
        return Principal(id=request.token, read_only=request.token == "reader")


class Rules:
    """Lets readers write nothing, and all others everywhere but in the map."""

    def check(self, principal: Principal, document: str, update: bytes, scan: Scan) -> Decision:
        if principal.read_only:
            return Deny("this document is read-only for you")
        if "map" in scan.roots and principal.id != "root":
            return Deny("the map is not yours")
        return ALLOW


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
    run(config, started=started, authenticator=Tokens(), gate=Rules())


if __name__ == "__main__":
    main()
