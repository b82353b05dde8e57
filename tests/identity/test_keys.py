"""Key files and key sets: what is taken, for which algorithms, and what is refused."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
)

from crdtsync.errors import ConfigError
from crdtsync.identity import JWTAuthenticator
from crdtsync.identity.keys import MAX_KEYS, KeyProblem, read_keys
from crdtsync.identity.tokens import ALGORITHMS, read_token

from .making import (
    SECRET,
    ec_key,
    ed_key,
    issue,
    jwks,
    private_pem,
    public_jwk,
    public_pem,
    rsa_key,
)

PAIRS: list[tuple[Any, str]] = [
    (rsa_key(), "RS256"),
    (ec_key("P-256"), "ES256"),
    (ec_key("P-384"), "ES384"),
    (ec_key("P-521"), "ES512"),
    (ed_key(), "EdDSA"),
    (SECRET, "HS256"),
]


def written(key: Any) -> list[bytes]:
    """Return every spelling of a key that a file may have."""
    jwk = public_jwk(key)
    spellings = [json.dumps(jwk).encode(), jwks(jwk), b"\n " + jwks(jwk | {"kid": "k"})]
    if isinstance(key, bytes):
        return [*spellings, key, key + b"\n", key + b"\r\n"]
    return [*spellings, public_pem(key), private_pem(key), b"# a key\n" + public_pem(key)]


def verifies(data: bytes, token: str, **options: Any) -> bool:
    """Return whether a token is signed by a key of a file."""
    return read_keys(data, **options).payload(read_token(token, max_bytes=8192)) is not None


@pytest.mark.parametrize(("key", "algorithm"), PAIRS, ids=lambda value: str(value)[:5])
def test_each_kind_in_each_spelling(key: Any, algorithm: str) -> None:
    """A key checks what it signed, in whichever form it is written, with its one algorithm."""
    for data in written(key):
        (read,) = read_keys(data).keys
        assert read.algorithms == {algorithm}
        assert verifies(data, issue(key, algorithm))
        assert repr(SECRET) not in repr(read)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_an_algorithm_goes_with(algorithm: str) -> None:
    """An algorithm fits keys of its own kind, and a file without one is refused."""
    for key, usual in PAIRS:
        fits = ALGORITHMS[usual] == ALGORITHMS[algorithm]
        long_enough = algorithm != "HS512" or not isinstance(key, bytes)
        for data in written(key):
            if fits and long_enough:
                assert verifies(data, issue(key, algorithm), algorithms=[algorithm])
            else:
                with pytest.raises(KeyProblem):
                    read_keys(data, algorithms=[algorithm])


def test_several_keys() -> None:
    """A PEM file may hold the old key and the new one, a set any number."""
    both = public_pem(rsa_key()) + public_pem(ec_key())
    assert verifies(both, issue(rsa_key(), "RS256"))
    assert verifies(both, issue(ec_key(), "ES256"))
    assert not verifies(both, issue(rsa_key(1), "RS256"))


def test_a_certificate(tmp_path: Path) -> None:
    """A certificate counts as its public key."""
    (tmp_path / "key.pem").write_bytes(private_pem(rsa_key()))
    subprocess.run(
        ["openssl", "req", "-x509", "-key", "key.pem", "-subj", "/CN=x", "-out", "cert.pem"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert verifies((tmp_path / "cert.pem").read_bytes(), issue(rsa_key(), "RS256"))


def test_members_that_are_not_for_us() -> None:
    """Members of a set that can't be used are left out, with the reason, and the others count."""
    good = public_jwk(ec_key(), kid="good")
    others: list[Any] = [
        public_jwk(rsa_key(), use="enc"),
        public_jwk(rsa_key(), key_ops=["encrypt"]),
        public_jwk(rsa_key(), key_ops="verify"),
        public_jwk(rsa_key(), alg="RSA-OAEP"),
        public_jwk(rsa_key(), alg="HS256"),
        public_jwk(rsa_key(), alg="ES256"),
        public_jwk(rsa_key(), alg=7),
        public_jwk(rsa_key(), kid=7),
        public_jwk(rsa_key()) | {"n": "!!!"},
        public_jwk(rsa_key()) | {"n": 7},
        public_jwk(rsa_key()) | {"n": "A" * 10_000},
        public_jwk(rsa_key()) | {"e": ""},
        public_jwk(ec_key()) | {"x": "AAAA"},
        public_jwk(ec_key()) | {"y": public_jwk(ec_key())["x"]},
        public_jwk(ec_key()) | {"crv": "secp256k1"},
        public_jwk(ed_key()) | {"crv": "X25519"},
        {"kty": "oct"},
        {"kty": "oct", "k": ""},
        {"kty": "oct", "k": "c2hvcnQ"},
        {"kty": "AKP"},
        {"kty": ["RSA"]},
        {},
        None,
        "key",
    ]
    for other in others:
        read = read_keys(jwks(other, good))
        assert [key.kid for key in read.keys] == ["good"], other
        assert len(read.skipped) == 1


def test_one_kid_twice() -> None:
    """Keys that one kid could mean both are used neither, unless their algorithms differ."""
    first, second = public_jwk(rsa_key(), kid="k"), public_jwk(rsa_key(1), kid="k")
    good = public_jwk(ec_key(), kid="good")
    same_name = public_jwk(ed_key(), kid="k")
    read = read_keys(jwks(first, second, good, same_name))
    assert [(key.kid, key.kind) for key in read.keys] == [("good", "P-256"), ("k", "Edwards")]
    with pytest.raises(KeyProblem, match="several keys have one kid"):
        read_keys(jwks(first, second))


def test_a_public_set_has_no_secrets() -> None:
    """A shared secret in a set from a URL is left out: everybody has read it."""
    read = read_keys(jwks(public_jwk(SECRET), public_jwk(ec_key())), secrets=False)
    assert [key.kind for key in read.keys] == ["P-256"]
    for data in (jwks(public_jwk(SECRET)), SECRET, b"<html>not found, and not a set</html>"):
        with pytest.raises(KeyProblem):
            read_keys(data, secrets=False)


def weak_rsa() -> bytes:
    return public_pem(rsa.generate_private_key(65537, 1024))


def with_password() -> bytes:
    return ec_key().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"short", "too short"),
        (b"x" * 31, "too short"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "damaged"),
        (b"-----BEGIN PUBLIC KEY-----\n" + b"A" * 64, "damaged"),
        (public_pem(rsa_key())[:200], "damaged"),
        (public_pem(rsa_key()).replace(b"PUBLIC KEY", b"OPENSSH KEY"), "damaged"),
        (b"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7 ada@example", "neither"),
        (b"\xef\xbb\xbfa secret with a byte order mark, long enough", "neither"),
        (rsa_key().public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1), "DER"),
        (ec_key().public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo), "DER"),
        (b"{" + b"x" * 40, "damaged"),
        (b'{"keys": 7}', "no JWK set"),
        (b'{"keys": []}', "no key"),
        (b'[{"kty": "oct", "k": "%s"}]' % (b"A" * 64), "neither"),
        (b"{" * 100_000, "damaged"),
        (weak_rsa(), "1024 bits"),
        (public_pem(ec.generate_private_key(ec.SECP256K1())), "secp256k1"),
        (with_password(), "password"),
    ],
    ids=lambda value: value if isinstance(value, str) else "key",  # some are new in each process
)  # fmt: skip
def test_what_is_no_key(data: bytes, reason: str) -> None:
    """A file that holds something else is refused, and is never taken for a shared secret."""
    with pytest.raises(KeyProblem, match=reason) as caught:
        read_keys(data)
    assert not any(len(line) > 8 and line.decode("latin-1") in str(caught.value)
                   for line in data.split(b"\n"))  # fmt: skip


def test_too_many_keys() -> None:
    """A set of more keys than the limit is refused."""
    member = public_jwk(ed_key())
    assert len(read_keys(jwks(*[member] * MAX_KEYS)).keys) == MAX_KEYS
    with pytest.raises(KeyProblem, match="more than"):
        read_keys(jwks(*[member] * (MAX_KEYS + 1)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "keys of one place"),
        ({"key_file": "s", "jwks_url": "https://id.example.org/jwks"}, "keys of one place"),
        ({"key_file": "gone"}, "can't be read"),
        ({"key_file": "."}, "can't be read"),
        ({"key_file": "s", "algorithms": ["none"]}, "none is not one of"),
        ({"key_file": "s", "algorithms": ["hs256"]}, "hs256 is not one of"),
        ({"key_file": "s", "algorithms": ["HS256", "RS256"]}, "no key for RS256"),
        ({"key_file": "pub", "algorithms": ["HS256"]}, "does not fit"),
        ({"jwks_url": "http://id.example.org/jwks"}, "has to be an https"),
        ({"jwks_url": "file:///etc/passwd"}, "is no URL|has to be an https"),
        ({"jwks_url": "https://ada:hunter2@id.example.org/jwks"}, "a password"),
        ({"jwks_url": "https://id.example.org/a b"}, "is no URL"),
        ({"jwks_url": "jwks.json"}, "is no URL"),
        ({"jwks_url": "https://[::1/jwks"}, "is no URL"),
        ({"jwks_url": "https://id.example.org/j", "algorithms": ["HS256"]}, "shared secret"),
    ],
)
def test_what_the_operator_has_to_mend(
    options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options that can't be right stop the server, with a hint, and without showing a value."""
    monkeypatch.chdir(tmp_path)
    Path("s").write_bytes(SECRET)
    Path("pub").write_bytes(public_pem(rsa_key()))
    with pytest.raises(ConfigError, match=message) as caught:
        JWTAuthenticator(**options)
    assert caught.value.hint
    assert "hunter2" not in str(caught.value) + caught.value.hint


def test_a_key_in_the_place_of_its_file(tmp_path: Path) -> None:
    """Who sets the option to the secret itself does not find it in the error."""
    with pytest.raises(ConfigError) as caught:
        JWTAuthenticator(key_file="c2VjcmV0LXNlY3JldC1zZWNyZXQ")
    assert "c2VjcmV0" not in str(caught.value) + caught.value.hint


def test_a_key_file_that_is_too_large(tmp_path: Path) -> None:
    """A key file over the limit is not read."""
    (tmp_path / "s").write_bytes(b"x" * (256 * 1024 + 1))
    with pytest.raises(ConfigError, match="over 262144 bytes"):
        JWTAuthenticator(key_file=tmp_path / "s")
