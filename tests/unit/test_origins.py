"""Origins: which pages may connect, in every spelling of a host."""

import pytest

from crdtsync.origins import Origins, host_name, read_origin

DEFAULT = Origins()


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("", "docs.example"),
        ("http://localhost:5173", "localhost:1234"),
        ("http://localhost:5173", "127.0.0.1:1234"),
        ("http://127.0.0.1:5173", "localhost:1234"),
        ("http://127.0.0.1:5173", "[::1]:1234"),
        ("http://[::1]:5173", "localhost:1234"),
        ("http://[::ffff:127.0.0.1]:5173", "localhost"),
        ("http://app.localhost", "localhost:1234"),
        ("http://127.8.8.8", "localhost:1234"),
        ("https://docs.example", "docs.example"),
        ("https://docs.example", "docs.example:8443"),
        ("https://docs.example:8080", "docs.example"),
        ("http://docs.example", "docs.example:443"),
        ("https://Docs.Example", "dOCS.eXAMPLE"),
        ("https://docs.example.", "docs.example"),
        ("https://docs.example", "docs.example."),
        ("https://xn--bcher-kva.example", "bücher.example"),
        ("https://bücher.example", "xn--bcher-kva.example"),
        ("https://[2001:db8::1]", "[2001:0db8:0:0:0:0:0:1]:1234"),
        ("http://192.0.2.1", "192.0.2.1:1234"),
    ],
)
def test_the_same_host(origin: str, host: str) -> None:
    """By default pages of the server's own host may connect, whatever their port or spelling."""
    assert DEFAULT.allows(origin, host=host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("null", "docs.example"),
        ("null", ""),
        ("https://evil.example", "docs.example"),
        ("https://docs.example.evil.example", "docs.example"),
        ("https://sub.docs.example", "docs.example"),
        ("https://example", "docs.example"),
        ("https://evildocs.example", "docs.example"),
        ("http://localhost.evil.example", "localhost"),
        ("http://127.0.0.1.evil.example", "127.0.0.1"),
        ("http://evil.example", "localhost:1234"),
        ("http://localhost:5173", "docs.example"),
        ("https://docs.example@evil.example", "docs.example"),
        ("https://evil.example@docs.example", "docs.example"),
        ("https://evil.example#docs.example", "docs.example"),
        ("https://evil.example\\@docs.example", "docs.example"),
        ("https://docs.example/", "docs.example"),
        ("https://docs.example/x", "docs.example"),
        ("https://docs.example?", "docs.example"),
        ("https://docs.example, https://evil.example", "docs.example"),
        ("https://evil.example https://docs.example", "docs.example"),
        ("https://docs.example:99999", "docs.example"),
        ("https://docs.example:", "docs.example"),
        ("https://docs.example:*", "docs.example"),
        ("https://*.example", "docs.example"),
        ("https://docs..example", "docs..example"),
        ("https://", ""),
        ("docs.example", "docs.example"),
        ("//docs.example", "docs.example"),
        ("file://docs.example", "docs.example"),
        ("chrome-extension://docs.example", "docs.example"),
        ("https://docs%2eexample", "docs.example"),
        ("https://docs.example\n", "docs.example"),
        (" https://docs.example", "docs.example"),
        ("https://[docs.example]", "docs.example"),
        ("https://[::1", "localhost"),
        ("https://0x7f.1", "localhost"),
        ("https://" + "a" * 64 + ".example", "a" * 64 + ".example"),
        ("https://docs.example", ""),
        ("https://docs.example", "user@docs.example"),
        ("https://docs.example", "docs.example/x"),
        ("https://docs.example", "docs.example, evil.example"),
        ("x" * 100_000, "docs.example"),
        ("https://" + "\u3002", "docs.example"),
    ],
)
def test_other_hosts(origin: str, host: str) -> None:
    """What is not the server's own host, or no origin at all, is refused."""
    assert not DEFAULT.allows(origin, host=host)


@pytest.mark.parametrize(
    ("entry", "origin", "allowed"),
    [
        ("*", "null", True),
        ("*", "https://evil.example", True),
        ("*", "garbage", True),
        ("null", "null", True),
        ("null", "https://docs.example", False),
        ("https://app.example", "https://app.example", True),
        ("https://app.example", "https://app.example:443", True),
        ("https://app.example:443", "https://app.example", True),
        ("https://app.example", "http://app.example", False),
        ("https://app.example", "https://app.example:8443", False),
        ("https://app.example", "https://sub.app.example", False),
        ("https://APP.example.", "https://app.EXAMPLE", True),
        ("http://localhost:*", "http://localhost:5173", True),
        ("http://localhost:*", "https://localhost:5173", False),
        ("http://localhost:5173", "http://127.0.0.1:5173", False),
        ("https://*.example.com", "https://a.example.com", True),
        ("https://*.example.com", "https://a.b.example.com", True),
        ("https://*.example.com", "https://example.com", False),
        ("https://*.example.com", "https://evilexample.com", False),
        ("https://*.example.com", "https://example.com.evil.example", False),
        ("https://*.example.com", "https://.example.com", False),
        ("https://*.example.com", "https://a.example.com:8443", False),
        ("https://*.example.com:*", "https://a.example.com:8443", True),
        ("https://*.example.com", "http://a.example.com", False),
        ("https://*.bücher.example", "https://a.xn--bcher-kva.example", True),
        ("capacitor://localhost", "capacitor://localhost", True),
        ("capacitor://localhost", "http://localhost", False),
        ("chrome-extension://abcdef", "chrome-extension://abcdef", True),
        ("http://[::1]:5173", "http://[0:0::1]:5173", True),
    ],
)
def test_listed_origins(entry: str, origin: str, allowed: bool) -> None:
    """An entry allows what it says, by scheme, host and port; with it the own host is not."""
    origins = Origins((entry,))
    assert origins.allows(origin, host="docs.example") is allowed
    if entry != "*":
        assert not origins.allows("https://docs.example", host="docs.example")
        assert Origins((entry, "same-host")).allows("https://docs.example", host="docs.example")
    assert origins.allows("", host="docs.example")


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "example.com",
        "https://",
        "https://example.com/",
        "https://example.com/path",
        "https://user@example.com",
        "https://*",
        "https://a.*.example.com",
        "https://*example.com",
        "https://*.*.example.com",
        "https://*.127.0.0.1",
        "https://example.com:http",
        "https://example.com:70000",
        "*://example.com",
        "https://exa mple.com",
        "https://-a.example",
    ],
)
def test_entries_that_are_none(entry: str) -> None:
    """What is no origin is refused where the server is configured."""
    with pytest.raises(ValueError, match="is not an origin"):
        Origins((entry,))


def test_no_entries() -> None:
    """With an empty list no page may connect, and native clients may."""
    assert not Origins(()).allows("https://docs.example", host="docs.example")
    assert Origins(()).allows("", host="docs.example")


def test_hosts_in_one_spelling() -> None:
    """A host is read without its port, and is none where it is something else."""
    assert host_name("Docs.Example.:80") == "docs.example"
    assert host_name("[::FFFF:192.0.2.1]:80") == "192.0.2.1"
    for text in ("", "a/b", "a b", "a:b", "a:123456", "[zz]", "ä" * 300, "a" * 300):
        assert host_name(text) is None
    origin = read_origin("wss://a.example")
    assert origin is not None
    assert (origin.scheme, origin.host, origin.port) == ("wss", "a.example", 443)
