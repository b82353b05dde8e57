"""What a request says about itself: the document's path, the token, the subprotocol."""

import pytest

from crdtsync.errors import Unauthenticated
from crdtsync.server.request import (
    connect_request,
    encoded_path,
    scope_request,
    select_subprotocol,
    strip_prefix,
)


@pytest.mark.parametrize(
    ("raw", "prefix", "below"),
    [
        (b"/a/b", "", b"/a/b"),
        (b"/collab/a", "/collab", b"/a"),
        (b"/collab", "/collab", b""),
        (b"/c%6Fllab/a%2Fb", "/collab", b"/a%2Fb"),
        (b"/%C3%BC/a", "/ü", b"/a"),
        (b"/other/a", "/collab", None),
        (b"/co", "/collab", None),
        (b"/%zz", "/%zz", None),
        (b"/%", "/%", None),
    ],
)
def test_strip_prefix(raw: bytes, prefix: str, below: bytes | None) -> None:
    """A decoded prefix is taken off a path that stays encoded behind it."""
    assert strip_prefix(raw, prefix) == below


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ({"path": "/a/b", "raw_path": b"/a%2Fb"}, b"/a%2Fb"),
        ({"path": "/a%2Fb"}, b"/a%252Fb"),
        ({"path": "/m/a", "raw_path": b"/m/a", "root_path": "/m"}, b"/a"),
        ({"path": "/a", "raw_path": b"/a", "root_path": "/m"}, b"/a"),
    ],
)
def test_encoded_path(scope: dict[str, object], path: bytes) -> None:
    """The path is the one below the mount, encoded once, with or without ``raw_path``."""
    assert encoded_path(scope) == path


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        ([], None),
        (["crdtsync"], "crdtsync"),
        (["token.secret", "crdtsync"], "crdtsync"),
        (["token.secret", "yjs"], "yjs"),
        (["token.secret"], None),
    ],
)
def test_select_subprotocol(offered: list[str], selected: str | None) -> None:
    """Ours is selected where it is offered, and a token is never sent back."""
    assert select_subprotocol(offered) == selected


@pytest.mark.parametrize(
    ("query", "headers", "subprotocols", "token"),
    [
        (b"", [], [], ""),
        (b"token=a%20b", [], [], "a b"),
        (b"", [(b"authorization", b"Bearer abc")], [], "abc"),
        (b"", [(b"Authorization", b"bearer  abc ")], [], "abc"),
        (b"", [(b"authorization", b"Basic abc")], [], ""),
        (b"", [], ["crdtsync", "token.abc"], "abc"),
        (b"token=t", [(b"authorization", b"Bearer t")], ["token.t"], "t"),
        (b"token=", [(b"authorization", b"Basic x")], ["token.s"], "s"),
        (b"token=&token=q", [(b"authorization", b"Bearer ")], ["token."], "q"),
    ],
)
def test_token(
    query: bytes, headers: list[tuple[bytes, bytes]], subprotocols: list[str], token: str
) -> None:
    """The token is the query's, a subprotocol's or the Authorization header's."""
    request = connect_request("doc", query=query, headers=headers, subprotocols=subprotocols)
    assert request.token == token


@pytest.mark.parametrize(
    ("query", "headers", "subprotocols"),
    [
        (b"token=a&token=b", [], []),
        (b"token=a&%74oken=b", [], []),
        (b"token=a", [(b"authorization", b"Bearer b")], []),
        (b"token=a", [], ["token.b"]),
        (b"", [(b"authorization", b"Bearer a")], ["token.b"]),
        (b"", [], ["token.a", "token.b"]),
        (b"", [(b"authorization", b"Bearer a"), (b"Authorization", b"bearer b")], []),
    ],
)
def test_two_tokens(
    query: bytes, headers: list[tuple[bytes, bytes]], subprotocols: list[str]
) -> None:
    """A request with two tokens that differ is refused, whichever of them might be good."""
    with pytest.raises(Unauthenticated, match="several tokens"):
        connect_request("doc", query=query, headers=headers, subprotocols=subprotocols)


def test_parameters_hold_no_token() -> None:
    """The query's other fields are kept, decoded, and the token is not among them."""
    request = connect_request("doc", query=b"token=x&a=1&b=%C3%BC&c", headers=[])
    assert request.params == {"a": "1", "b": "ü", "c": ""}


def test_too_many_parameters() -> None:
    """A query of more fields than the limit is ignored, not parsed."""
    query = b"&".join(b"f%d=1" % number for number in range(101))
    assert connect_request("doc", query=query, headers=[]).params == {}


def test_secrets_stay_out_of_the_repr() -> None:
    """A connect request can be logged: its repr shows neither token nor headers."""
    request = connect_request(
        "doc", query=b"token=secret", headers=[(b"authorization", b"Bearer secret")]
    )
    assert "secret" not in repr(request)


def test_repeated_headers() -> None:
    """Fields of one name are joined, and names are lower case."""
    request = connect_request("doc", query=b"", headers=[(b"X-A", b"1"), (b"x-a", b"2")])
    assert request.headers == {"x-a": "1, 2"}


def test_address() -> None:
    """The peer's address is the scope's client, and empty where there is none."""
    scope = {"query_string": b"", "headers": [], "client": ("192.0.2.1", 5)}
    assert scope_request(scope, "doc").address == "192.0.2.1"
    scope["client"] = None
    assert scope_request(scope, "doc").address == ""
