"""Forwarded addresses: believed from trusted proxies alone, from the right, and read strictly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtsync.addresses import is_loopback, neighbourhood, read_network
from crdtsync.forwarded import MAX_PREFIX_CHARACTERS, HeaderName, Proxies, Seen

TRUSTED = ("10.0.0.0/8", "2001:db8::/32", "127.0.0.1")
CLIENT = "192.0.2.7"


def seen(
    peer: str = "10.0.0.1",
    *,
    entries: tuple[str, ...] = TRUSTED,
    header: HeaderName = "x-forwarded",
    secure: bool = False,
    **headers: str,
) -> Seen:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    names.setdefault("host", "own.example")
    return Proxies(entries, header).seen(names, peer=peer, secure=secure)


@pytest.mark.parametrize(
    ("listed", "address"),
    [
        (CLIENT, CLIENT),
        (f"1.1.1.1, {CLIENT}", CLIENT),
        (f"10.9.9.9, {CLIENT}", CLIENT),
        (f"{CLIENT}, 10.9.9.9", CLIENT),
        (f"{CLIENT},10.9.9.9 , 2001:db8::9", CLIENT),
        (f"1.1.1.1, {CLIENT}, 10.9.9.9", CLIENT),
        ("10.1.1.1, 10.2.2.2", "10.1.1.1"),
        (f"{CLIENT}:4711", CLIENT),
        ("[2001:4::7]:4711", "2001:4::7"),
        ("2001:4::7", "2001:4::7"),
        ("2001:4:0:0::7", "2001:4::7"),
        ("::ffff:192.0.2.7", CLIENT),
        ("fe80::1%eth0", "fe80::1"),
        # What can't be read ends it: what is known to its right counts.
        ("", "10.0.0.1"),
        ("unknown", "10.0.0.1"),
        ("1.1.1.1, garbage, 10.9.9.9", "10.9.9.9"),
        ("1.1.1.1, , 10.9.9.9", "10.9.9.9"),
        ("1.1.1.1,", "10.0.0.1"),
        ("1.1.1.256", "10.0.0.1"),
        ("1.1.1.1:99999999", "10.0.0.1"),
        ("<script>", "10.0.0.1"),
        (", ".join([CLIENT] + ["10.9.9.9"] * 100), "10.9.9.9"),
        ("1.1.1.1, " * 100_000 + CLIENT, CLIENT),
    ],
)
def test_x_forwarded_for(listed: str, address: str) -> None:
    """The rightmost address that is not a trusted proxy's is the client's."""
    assert seen(x_forwarded_for=listed).address == address


@pytest.mark.parametrize("peer", ["192.0.2.1", "11.0.0.1", "", "testclient", "::1"])
def test_strangers_are_not_believed(peer: str) -> None:
    """Whoever is no trusted proxy says nothing about itself: not its address, host or TLS."""
    found = seen(
        peer,
        x_forwarded_for="1.1.1.1",
        x_forwarded_proto="https",
        x_forwarded_host="evil.example",
        x_forwarded_prefix="/evil",
        forwarded="for=1.1.1.1;proto=https;host=evil.example",
    )
    assert found == Seen(peer, False, "own.example")
    assert seen(peer, header="forwarded", forwarded="for=1.1.1.1").address == peer


def test_nobody_is_trusted_by_default() -> None:
    """Without a configuration the peer's address counts, also that of this machine."""
    assert seen("127.0.0.1", entries=(), x_forwarded_for=CLIENT).address == "127.0.0.1"


def test_unix_sockets() -> None:
    """A peer without an address is a proxy on a unix socket where that is configured, else none."""
    assert seen("", entries=("unix",), x_forwarded_for=CLIENT).address == CLIENT
    assert seen("", entries=("127.0.0.1",), x_forwarded_for=CLIENT).address == ""
    assert seen("10.0.0.1", entries=("unix",), x_forwarded_for=CLIENT).address == "10.0.0.1"


def test_a_peer_of_a_dual_stack_socket() -> None:
    """An IPv4 peer that is written as IPv6 is the IPv4 one, for trust and for what is seen."""
    assert seen("::ffff:10.0.0.1", x_forwarded_for=CLIENT).address == CLIENT
    assert seen("::ffff:192.0.2.1").address == "192.0.2.1"
    assert seen("10.0.0.1", entries=("::ffff:10.0.0.0/104",), x_forwarded_for=CLIENT) == Seen(
        CLIENT, False, "own.example"
    )


@pytest.mark.parametrize(
    ("scheme", "secure", "expected"),
    [
        ("https", False, True),
        ("HTTPS", False, True),
        ("wss", False, True),
        ("http", True, False),
        ("http, https", False, True),
        ("https, http", False, False),
        ("", True, True),
        ("gopher", True, True),
        ('https"><b>', False, False),
    ],
)
def test_x_forwarded_proto(scheme: str, secure: bool, expected: bool) -> None:
    """Whether the client used TLS is what the nearest proxy says, where it says something."""
    found = seen(secure=secure, x_forwarded_for=CLIENT, x_forwarded_proto=scheme)
    assert found.secure is expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("docs.example", "docs.example"),
        ("docs.example:8443", "docs.example:8443"),
        ("evil.example, docs.example", "docs.example"),
        ("", "own.example"),
        ("a/b", "own.example"),
        ("user@docs.example", "own.example"),
    ],
)
def test_x_forwarded_host(host: str, expected: str) -> None:
    """The host that the client asked for is what the nearest proxy says, where it is one."""
    assert seen(x_forwarded_for=CLIENT, x_forwarded_host=host).host == expected


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("/collab", "/collab"),
        ("/collab/", "/collab"),
        ("/a/b", "/a/b"),
        ("/%C3%BCber%20uns", "/über uns"),
        ("/evil, /collab", "/collab"),
        ("/" + "a" * (MAX_PREFIX_CHARACTERS - 1), "/" + "a" * (MAX_PREFIX_CHARACTERS - 1)),
        ("/" + "a" * MAX_PREFIX_CHARACTERS, ""),
        ("", ""),
        ("/", ""),
        ("collab", ""),
        ("//evil.example", ""),
        ("/%2Fevil.example", ""),
        ("/a//b", ""),
        ("/a/../b", ""),
        ("/.", ""),
        ("/a%0Ab", ""),
        ("https://evil.example/", ""),
    ],
)
def test_x_forwarded_prefix(prefix: str, expected: str) -> None:
    """What was taken off the path is what the nearest proxy says, where it is a path."""
    assert seen(x_forwarded_for=CLIENT, x_forwarded_prefix=prefix).prefix == expected
    other = seen(header="forwarded", forwarded=f"for={CLIENT}", x_forwarded_prefix="/collab")
    assert other.prefix == ""


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"for={CLIENT}", Seen(CLIENT, False, "own.example")),
        (f"For={CLIENT};Proto=https;Host=docs.example", Seen(CLIENT, True, "docs.example")),
        (f'for="{CLIENT}:4711"', Seen(CLIENT, False, "own.example")),
        (f"for={CLIENT}:4711", Seen(CLIENT, False, "own.example")),
        ('for="[2001:4::7]:4711";by=10.0.0.1', Seen("2001:4::7", False, "own.example")),
        (f"for=1.1.1.1, for={CLIENT}", Seen(CLIENT, False, "own.example")),
        (f"for={CLIENT};proto=http, for=10.9.9.9;proto=https", Seen(CLIENT, True, "own.example")),
        ("for=unknown;proto=https", Seen("10.0.0.1", True, "own.example")),
        ("for=_hidden", Seen("10.0.0.1", False, "own.example")),
        ("for=1.1.1.1, garbage, for=10.9.9.9", Seen("10.9.9.9", False, "own.example")),
        (f"for={CLIENT};for=1.1.1.1", Seen("10.0.0.1", False, "own.example")),
        ("", Seen("10.0.0.1", False, "own.example")),
        # A quote that the client leaves open does not swallow what the proxy writes behind it.
        (f'for="1.1.1.1, for={CLIENT}', Seen(CLIENT, False, "own.example")),
        (f'x="\\, for={CLIENT};host="docs.example"', Seen(CLIENT, False, "docs.example")),
        ("," * 100_000, Seen("10.0.0.1", False, "own.example")),
    ],
)
def test_forwarded(header: str, expected: Seen) -> None:
    """RFC 7239's header means the same, where it is the one that is configured."""
    found = seen(header="forwarded", forwarded=header, x_forwarded_for="6.6.6.6")
    assert found == expected


def test_only_the_configured_header_counts() -> None:
    """A header that the proxies don't write, and so pass on from clients, is not looked at."""
    assert seen(x_forwarded_for=CLIENT, forwarded="for=6.6.6.6").address == CLIENT
    assert seen(forwarded="for=6.6.6.6").address == "10.0.0.1"


@given(st.text(alphabet='0123456789.:,;="[]%fo r\\_x\t', max_size=60), st.sampled_from(["x", "f"]))
def test_anything_in_front_changes_nothing(junk: str, which: str) -> None:
    """Whatever a client writes into the header, what its proxy appends is what counts."""
    if which == "x":
        found = seen(x_forwarded_for=f"{junk}, {CLIENT}")
    else:
        found = seen(header="forwarded", forwarded=f"{junk}, for={CLIENT}")
    assert found.address == CLIENT


@pytest.mark.parametrize("entry", ["", "x", "10.0.0.0/33", "10.0.0", "*", "localhost", "::1/200"])
def test_entries_that_are_none(entry: str) -> None:
    """What is no address or network is refused where the server is configured."""
    with pytest.raises(ValueError, match="is not an address"):
        Proxies((entry,))


def test_who_is_counted_as_one() -> None:
    """An IPv4 address is one, an IPv6 network of 64 bits is, however it is written."""
    assert neighbourhood("192.0.2.1") == neighbourhood("::ffff:192.0.2.1") == "192.0.2.1"
    assert neighbourhood("2001:db8:1:2:3::1") == neighbourhood("2001:db8:1:2:ffff::9")
    assert neighbourhood("2001:db8:1:2::1") != neighbourhood("2001:db8:1:3::1")
    assert neighbourhood("testclient") == "testclient"
    assert [is_loopback(each) for each in ("127.0.0.1", "::1", "", "::ffff:127.0.0.1")] == [
        True
    ] * 4
    assert not any(is_loopback(each) for each in ("192.0.2.1", "::2", "testclient"))
    assert str(read_network("::ffff:10.0.0.0/104")) == "10.0.0.0/8"
