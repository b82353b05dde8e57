"""Tokens and headers that nobody thought of."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdtsync.errors import Unauthenticated
from crdtsync.gate import Principal
from crdtsync.identity import JWTAuthenticator
from crdtsync.identity.keys import KeyProblem, read_keys
from crdtsync.identity.tokens import ALGORITHMS, read_token

from .asking import ask
from .forgeries import HONEST
from .making import (
    CLAIMS,
    SECRET,
    b64,
    ec_key,
    ed_key,
    jwks,
    part,
    public_jwk,
    public_pem,
    rsa_key,
    signed,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["ada", "crdtsync", "https://id.example.org", 1_700_000_600, "write"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["sub", "exp", "nbf", "iat", "aud", "iss", "name", "documents", "role", "jti"]
)
HEADERS = st.sampled_from(["alg", "kid", "typ", "cty", "crit", "b64", "jwk", "jku", "x5c", "enc"])


@settings(max_examples=400, deadline=None)
@given(
    token=st.sampled_from(HONEST),
    at=st.floats(0, 1),
    new=st.text("AZaz09-_.=+/\x00é ", min_size=1, max_size=3),
    cut=st.integers(0, 3),
)
def test_a_changed_token_is_refused(
    authenticator: JWTAuthenticator, token: str, at: float, new: str, cut: int
) -> None:
    """Whatever is put into a genuine token, or taken out, nobody is let in with it."""
    place = int(at * len(token))
    changed = token[:place] + new + token[place + cut :]
    if changed == token:
        return
    assert isinstance(ask(authenticator, changed), Unauthenticated)


@settings(max_examples=400, deadline=None)
@given(claims=st.dictionaries(NAMES, JSON, max_size=4))
def test_any_claims(authenticator: JWTAuthenticator, claims: dict[str, Any]) -> None:
    """Whatever genuine claims hold, they are refused, or mean what they say."""
    said = {**CLAIMS, **claims}
    raw = json.dumps(said).encode()
    answer = ask(authenticator, signed({"alg": "HS256", "kid": "shared"}, raw))
    if isinstance(answer, Principal):
        assert answer.id == said["sub"]
        assert answer.id.encode()
        assert said["iss"] == "https://id.example.org"
        assert "crdtsync" in said["aud"]
        assert isinstance(said["exp"], int | float)
        assert said["exp"] > 1_699_999_980
        assert answer.role is not None


@settings(max_examples=300, deadline=None)
@given(header=st.dictionaries(HEADERS, JSON, max_size=4), signature=st.binary(max_size=80))
def test_any_header(
    authenticator: JWTAuthenticator, header: dict[str, Any], signature: bytes
) -> None:
    """Whatever a header says, an unsigned token lets nobody in."""
    said = {"alg": "HS256", "kid": "shared", **header}
    raw = json.dumps(said).encode()
    token = f"{part(raw)}.{part(dict(CLAIMS))}.{b64(signature)}"
    assert isinstance(ask(authenticator, token), Unauthenticated)


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=300))
def test_any_text(authenticator: JWTAuthenticator, text: str) -> None:
    """Any text in a token's place is refused."""
    assert isinstance(ask(authenticator, text), Unauthenticated)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200) | st.builds(lambda v: json.dumps(v).encode(), JSON))
def test_any_key_file(data: bytes) -> None:
    """Any bytes in a key file's place are keys that can be used, or one error."""
    try:
        found = read_keys(data)
    except KeyProblem:
        return
    assert found.keys
    assert all(key.algorithms for key in found.keys)


@settings(max_examples=200, deadline=None)
@given(member=st.dictionaries(st.sampled_from(
    ["kty", "n", "e", "crv", "x", "y", "k", "alg", "use", "key_ops", "kid", "d"]),
    st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "AQAB", "AA", "RS256", "sig",
                     b64(b"x" * 32), "", 7, None, ["verify"], public_jwk(rsa_key())["n"]]),
))  # fmt: skip
def test_any_member_of_a_set(member: dict[str, Any]) -> None:
    """Any member of a set is a key that can be used, or is left out."""
    good = public_jwk(ec_key(), kid="good")
    found = read_keys(jwks(member, good))
    assert "good" in {key.kid for key in found.keys} or member.get("kid") == "good"
    for key in found.keys:
        assert {ALGORITHMS[name] for name in key.algorithms} == {key.kind}


@pytest.mark.parametrize("configured", [None, list(ALGORITHMS)], ids=["usual", "all"])
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_no_key_is_confused_with_another(algorithm: str, configured: list[str] | None) -> None:
    """No spelling of a public key, taken as a secret, signs for the server that has it."""
    every = jwks(
        *(public_jwk(key) for key in (rsa_key(), ec_key(), ec_key("P-384"), ec_key("P-521"))),
        public_jwk(ed_key()),
        public_jwk(SECRET * 2, kid="shared"),
    )
    for key in (rsa_key(), ec_key(), ed_key()):
        pem, jwk = public_pem(key), public_jwk(key)
        secrets = [pem, pem.strip(), pem.replace(b"\n", b""), pem.replace(b"\n", b"\r\n"),
                   json.dumps(jwk).encode(), every, b"", b"\0"]  # fmt: skip
        secrets += [str(value).encode() for value in jwk.values()]
        secrets += [pem.split(b"-----")[2].strip(), pem.split(b"-----")[2].replace(b"\n", b"")]
        for trusted_keys in (read_keys(every, algorithms=configured), read_keys(pem)):
            for secret in secrets:
                name = f"sha{algorithm[2:]}"
                for header in ({"alg": algorithm}, {"alg": algorithm, "kid": "shared"}):
                    forged = signed(header, dict(CLAIMS), secret, name=name)
                    token = read_token(forged, max_bytes=8192)
                    assert trusted_keys.payload(token) is None
