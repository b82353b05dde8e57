"""What picows read of an upgrade request, as the other transports know it."""

from picows import WSUpgradeRequest

from crdtsync.auth import ConnectRequest
from crdtsync.server.request import connect_request

__all__ = ["native_request", "offered_subprotocols", "request_path"]


def request_path(target: bytes) -> bytes:
    """Return the path of a request target, which may be a whole URL (RFC 9112, 3.2.2)."""
    if target.startswith(b"/"):
        return target
    _, _, rest = target.partition(b"://")
    return b"/" + rest.partition(b"/")[2]


def native_request(query: bytes, request: WSUpgradeRequest, address: str) -> ConnectRequest:
    """Return what a client says; its document is still to be read from the path."""
    headers = [
        (key.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        for key, value in request.headers.items()
    ]
    return connect_request(
        "",
        query=query,
        headers=headers,
        subprotocols=offered_subprotocols(request),
        address=address,
    )


def offered_subprotocols(request: WSUpgradeRequest) -> list[str]:
    """Return the subprotocols that a client offers, in its order."""
    header = ",".join(request.headers.getall("Sec-WebSocket-Protocol", ()))
    return [name.strip() for name in header.split(",") if name.strip()]
