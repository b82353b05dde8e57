"""Each limit is reached, and lets the last allowed value pass."""

import threading

import anyio
import pytest

from crdtsync.clock import ManualClock
from crdtsync.errors import Unauthenticated, Unavailable
from crdtsync.identity import sources
from crdtsync.identity.claims import MAX_GRANTS, MAX_NAME_CHARACTERS, ClaimRules
from crdtsync.identity.keys import MAX_TRIED, KeySet, read_keys
from crdtsync.identity.sources import KeySource
from crdtsync.identity.tokens import MAX_DEPTH, MAX_KID_CHARACTERS, read_object, read_token

from .making import CLAIMS, NOW_S, SECRET, ec_key, issue, jwks, public_jwk

RULES = ClaimRules()


def test_a_token_s_length() -> None:
    """A token of ``auth_max_token_bytes`` is looked at, a longer one is not."""
    token = issue(SECRET, "HS256")
    assert read_token(token, max_bytes=len(token)).text == token
    with pytest.raises(Unauthenticated, match=f"over {len(token) - 1} bytes"):
        read_token(token, max_bytes=len(token) - 1)


def test_a_kid_s_length() -> None:
    """A key's id may be long, and not longer."""
    for over in (0, 1):
        kid = "k" * (MAX_KID_CHARACTERS + over)
        token = issue(SECRET, "HS256", headers={"kid": kid})
        if over:
            with pytest.raises(Unauthenticated, match="names its key"):
                read_token(token, max_bytes=8192)
        else:
            assert read_token(token, max_bytes=8192).kid == kid


def test_nesting() -> None:
    """Claims may be nested so deep, and not deeper."""
    for depth in (MAX_DEPTH, MAX_DEPTH + 1):
        data = b'{"x":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"
        if depth > MAX_DEPTH:
            with pytest.raises(Unauthenticated, match="values that are refused"):
                read_object(data, "claims")
        else:
            assert "x" in read_object(data, "claims")


@pytest.mark.parametrize("claim", ["sub", "name"])
def test_a_name_s_length(claim: str) -> None:
    """Who somebody is may be long, and not longer."""
    most = "é" * MAX_NAME_CHARACTERS
    assert most in repr(RULES.principal({**CLAIMS, claim: most}))
    with pytest.raises(Unauthenticated, match="is refused"):
        RULES.principal({**CLAIMS, claim: most + "é"})


def test_patterns() -> None:
    """A token may have so many patterns of documents, and no more."""
    most = {f"d/{number}": "read" for number in range(MAX_GRANTS)}
    assert RULES.grants({"documents": most}).role_name("d/7") == "read"
    with pytest.raises(Unauthenticated, match=f"more than {MAX_GRANTS}"):
        RULES.grants({"documents": {**most, "one more": "read"}})


def test_clocks_may_be_apart() -> None:
    """The leeway holds for the end and for the beginning, to the second."""
    rules = ClaimRules(leeway_s=30)
    claims = {"sub": "ada", "exp": NOW_S + 600, "nbf": NOW_S, "iat": NOW_S}
    rules.check(claims, NOW_S - 30)
    rules.check(claims, NOW_S + 629.9)
    for now_s in (NOW_S - 30.1, NOW_S + 630):
        with pytest.raises(Unauthenticated):
            rules.check(claims, now_s)


def test_keys_that_are_tried() -> None:
    """A token that names no key is checked with a few of them, and not with a hundred."""
    keys = [ec_key("P-256", number) for number in range(MAX_TRIED + 1)]
    found = read_keys(jwks(*(public_jwk(key, kid=f"{n}") for n, key in enumerate(keys))))
    last, after = (read_token(issue(key, "ES256"), max_bytes=8192) for key in keys[-2:])
    assert found.payload(last) is not None
    assert found.payload(after) is None
    named = issue(keys[-1], "ES256", headers={"kid": f"{MAX_TRIED}"})
    assert found.payload(read_token(named, max_bytes=8192)) is not None


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_load_without_end(
    backend: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever waits for keys waits for ``LOAD_TIMEOUT_S`` and no longer, wherever that hangs."""
    monkeypatch.setattr(sources, "LOAD_TIMEOUT_S", 0.05)
    over = threading.Event()

    def load() -> KeySet:
        over.wait(20)
        return read_keys(SECRET)

    source = KeySource(
        load, where="somewhere", refresh_s=1, pause_s=1, stale_s=1, clock=ManualClock()
    )
    token = read_token(issue(SECRET, "HS256"), max_bytes=8192)

    async def main() -> None:
        with pytest.raises(Unavailable):
            await source.payload(token)
        over.set()

    anyio.run(main, backend=backend)
    assert "takes too long" in caplog.text
