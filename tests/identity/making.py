"""Keys and tokens to test with, honest and forged."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

NOW_S = 1_700_000_000
"""What a ``ManualClock`` starts with."""
SECRET = b"an honest secret of forty-eight bytes, for tests"
OTHER_SECRET = b"some other secret of forty-eight bytes for tests"
CLAIMS: Mapping[str, Any] = {
    "sub": "ada",
    "iss": "https://id.example.org",
    "aud": "crdtsync",
    "exp": NOW_S + 600,
    "documents": {"team/*": "write", "team/minutes": "read"},
}


@cache
def _key(kind: str, number: int) -> Any:
    match kind:
        case "RSA":
            return rsa.generate_private_key(65537, 2048)
        case "Ed25519":
            return ed25519.Ed25519PrivateKey.generate()
    curves = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
    return ec.generate_private_key(curves[kind])


def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    """Return one of some RSA keys."""
    key: rsa.RSAPrivateKey = _key("RSA", number)
    return key


def ec_key(curve: str = "P-256", number: int = 0) -> ec.EllipticCurvePrivateKey:
    """Return one of some keys on a curve."""
    key: ec.EllipticCurvePrivateKey = _key(curve, number)
    return key


def ed_key(number: int = 0) -> ed25519.Ed25519PrivateKey:
    """Return one of some Ed25519 keys."""
    key: ed25519.Ed25519PrivateKey = _key("Ed25519", number)
    return key


def private_pem(key: Any) -> bytes:
    """Write a private key."""
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def public_pem(key: Any) -> bytes:
    """Write a key's public half."""
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def public_jwk(key: Any, **members: Any) -> dict[str, Any]:
    """Write a key's public half as a JWK; a secret whole."""
    if isinstance(key, bytes):
        return {"kty": "oct", "k": b64(key), **members}
    family: Any = {
        rsa.RSAPrivateKey: RSAAlgorithm,
        ec.EllipticCurvePrivateKey: ECAlgorithm,
        ed25519.Ed25519PrivateKey: OKPAlgorithm,
    }[
        next(
            kind
            for kind in (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey)
            if isinstance(key, kind)
        )
    ]
    jwk: dict[str, Any] = family.to_jwk(key.public_key(), as_dict=True)
    jwk.pop("key_ops", None)
    return jwk | members


def jwks(*members: dict[str, Any]) -> bytes:
    """Write a set of keys."""
    return json.dumps({"keys": members}).encode()


def b64(data: bytes) -> str:
    """Write bytes as a part of a token."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def part(value: object) -> str:
    """Write JSON as a part of a token; bytes and text as they are."""
    if isinstance(value, str):
        return b64(value.encode())
    return b64(value if isinstance(value, bytes) else json.dumps(value).encode())


def issue(
    key: Any,
    algorithm: str,
    claims: Mapping[str, Any] | None = None,
    headers: Mapping[str, Any] | None = None,
    **changed: Any,
) -> str:
    """Return a token as an honest issuer makes it; a changed claim that is ``...`` is left out."""
    said = dict(CLAIMS if claims is None else claims) | changed
    said = {name: value for name, value in said.items() if value is not ...}
    return jwt.encode(said, key, algorithm, headers=None if headers is None else dict(headers))


def signed(header: object, payload: object, secret: bytes = SECRET, *, name: str = "sha256") -> str:
    """Return a token of any header and payload, with an HMAC that is right for it."""
    signing = f"{part(header)}.{part(payload)}"
    return f"{signing}.{b64(hmac.new(secret, signing.encode(), getattr(hashlib, name)).digest())}"


def rsa_signed(header: object, payload: object, key: Any) -> str:
    """Return a token of any header and payload, with an RS256 signature that is right for it."""
    signing = f"{part(header)}.{part(payload)}"
    algorithm = RSAAlgorithm(RSAAlgorithm.SHA256)
    return f"{signing}.{b64(algorithm.sign(signing.encode(), key))}"


def unsigned(header: object, payload: object, signature: str = "") -> str:
    """Return a token without a signature, or with anything in its place."""
    return f"{part(header)}.{part(payload)}.{signature}"
