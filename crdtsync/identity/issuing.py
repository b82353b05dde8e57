"""Making keys and tokens, for development and for those who issue their own."""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from crdtsync.identity.keys import KeyProblem, read_signing_key, usual_algorithm
from crdtsync.identity.tokens import ALGORITHMS

__all__ = ["issue_token", "make_key", "public_set"]

RSA_BITS: Final = 3072
_EXPONENT: Final = 65537
_CURVES: Final[Mapping[str, Any]] = {
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
}


def make_key(algorithm: str) -> tuple[bytes, bytes | None]:
    """Return a new key to sign with, and its public half where it has one, as files hold them."""
    kind = ALGORITHMS[algorithm]
    if kind == "secret":
        return secrets.token_urlsafe(int(algorithm[2:]) // 8).encode() + b"\n", None
    key: Any
    if kind == "RSA":
        key = rsa.generate_private_key(_EXPONENT, RSA_BITS)
    elif kind == "Edwards":
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        key = ec.generate_private_key(_CURVES[kind]())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private, public


def issue_token(key: bytes, claims: Mapping[str, Any], *, algorithm: str | None = None) -> str:
    """Sign claims with a key file's bytes. Raises ``KeyProblem``.

    The token names a public key by its thumbprint (RFC 7638), as ``public_set`` does.
    """
    material, kind, kid = read_signing_key(key)
    algorithm = algorithm or usual_algorithm(material)
    if ALGORITHMS[algorithm] != kind:
        raise KeyProblem(f"it is no key for {algorithm}")
    if kind == "secret" and len(material) * 8 < int(algorithm[2:]):
        raise KeyProblem(f"{algorithm} takes a secret of {int(algorithm[2:]) // 8} bytes at least")
    if kid is None and kind != "secret":
        kid = _thumbprint(_jwk(material.public_key()))
    return jwt.encode(
        dict(claims), material, algorithm, headers=None if kid is None else {"kid": kid}
    )


def public_set(key: bytes, *, algorithm: str | None = None) -> str:
    """Return the JWK set that an issuer publishes for its key. Raises ``KeyProblem``."""
    material, kind, kid = read_signing_key(key)
    if kind == "secret":
        raise KeyProblem("a shared secret has no public half")
    member = _jwk(material.public_key())
    named = {"kid": kid or _thumbprint(member), "use": "sig"}
    named["alg"] = algorithm or usual_algorithm(material)
    return json.dumps({"keys": [{**member, **named}]}, indent=2)


def _jwk(public: Any) -> dict[str, str]:
    family: Any = OKPAlgorithm
    if isinstance(public, rsa.RSAPublicKey):
        family = RSAAlgorithm
    elif isinstance(public, ec.EllipticCurvePublicKey):
        family = ECAlgorithm
    member = family.to_jwk(public, as_dict=True)
    return {name: value for name, value in member.items() if isinstance(value, str)}


def _thumbprint(member: Mapping[str, str]) -> str:
    """Name a key by what it is (RFC 7638, 3)."""
    kept = {
        name: member[name] for name in sorted(member) if name in ("crv", "e", "kty", "n", "x", "y")
    }
    digest = hashlib.sha256(json.dumps(kept, separators=(",", ":")).encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
