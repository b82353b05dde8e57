"""A server that a program builds from the library: tokens say who may do what.

Takes the same options as `crdtsync serve` (tests start it in its place). No token: refused.
`reader` may follow only, `root` has the quarantine. Nobody may make documents whose name begins
with `closed`, and nobody but `root` may write to the root `map`.
"""

from crdtsync.auth import ConnectRequest
from crdtsync.errors import Forbidden, Unauthenticated
from crdtsync.gate import ALLOW, Decision, Deny, Principal
from crdtsync.roles import ADMIN
from crdtsync.structs import Scan
from tests.interop.serving import main


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


if __name__ == "__main__":
    main(authenticator=Tokens(), gate=Rules())
