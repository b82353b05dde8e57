"""The keys that tokens are checked with, each bound to the algorithms that it may be used with.

Owns the reading of key files and key sets: PEM, JWK, JWKS, or a shared secret. A key knows its
kind when it is read, and an algorithm of another kind never reaches it, so nobody can take a
public key for a secret. Refuses to know tokens' claims, and where the bytes come from.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm

from crdtsync.identity.tokens import ALGORITHMS, Token

__all__ = [
    "MAX_KEYS",
    "Key",
    "KeyProblem",
    "KeySet",
    "read_keys",
    "read_signing_key",
    "usual_algorithm",
]

MAX_KEYS: Final = 100
"""Keys of one set."""
MAX_TRIED: Final = 8
"""Keys that are tried for a token that does not name its own."""
MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
"""What checking a signature costs grows with it: 8192 bits take some 0.9 ms."""
_MAX_MEMBER: Final = 2048
"""Characters of one member of a JWK; an RSA modulus of 8192 bits has 1366."""

_USUAL: Final = {"secret": "HS256", "RSA": "RS256"} | {
    kind: name for name, kind in ALGORITHMS.items() if kind not in ("secret", "RSA")
}
"""By kind, the algorithm of a key that says nothing, where the configuration does not either."""
_FAMILIES: Final[Mapping[str, Any]] = {
    "RSA": RSAAlgorithm,
    "EC": ECAlgorithm,
    "OKP": OKPAlgorithm,
    "oct": HMACAlgorithm,
}
_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_PEM: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_JWS: Final = jwt.PyJWS(algorithms=list(ALGORITHMS))
"""PyJWT's, without the algorithm ``none``."""
_BROKEN: Final = (ValueError, TypeError, KeyError, UnsupportedAlgorithm, jwt.PyJWTError)


class KeyProblem(ValueError):
    """These bytes are no key that can be used; the message never repeats them."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key: public, or a shared secret."""

    kid: str | None
    kind: str
    """What ``ALGORITHMS`` calls it."""
    algorithms: frozenset[str]
    """All that it may be used with; they fit its kind."""
    material: Any = field(repr=False)

    def payload(self, token: Token) -> bytes | None:
        """Return the token's payload where its signature is this key's, else nothing."""
        if token.algorithm not in self.algorithms:
            return None
        try:
            decoded = _JWS.decode_complete(
                token.text, key=self.material, algorithms=[token.algorithm]
            )
        except (jwt.PyJWTError, ValueError):
            return None
        payload: bytes = decoded["payload"]
        return payload


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys that were read together."""

    keys: tuple[Key, ...]
    skipped: tuple[str, ...] = ()
    """What is wrong with those that were left out."""

    def fitting(self, token: Token) -> list[Key]:
        """Return the keys that may have made a token's signature."""
        found = [key for key in self.keys if token.algorithm in key.algorithms]
        if token.kid is not None:
            found = [key for key in found if key.kid in (token.kid, None)]
        return found[:MAX_TRIED]

    def payload(self, token: Token) -> bytes | None:
        """Return the token's payload where one of the keys made its signature."""
        for key in self.fitting(token):
            payload = key.payload(token)
            if payload is not None:
                return payload
        return None


def read_keys(
    data: bytes, *, algorithms: Sequence[str] | None = None, secrets: bool = True
) -> KeySet:
    """Read a file's or an answer's keys. Raises ``KeyProblem``.

    Without ``algorithms`` each key goes with the one that it names, or else its kind's usual
    one; with them, every one has to have a key. ``secrets``: whether shared ones are taken.
    """
    if data.lstrip()[:1] == b"{":
        found = _from_json(data, algorithms, secrets=secrets)
    elif b"-----BEGIN" in data:
        found = KeySet(tuple(_key(each, algorithms) for each in _from_pem(data)))
    elif secrets:
        found = KeySet((_key(_secret(data), algorithms),))
    else:
        raise KeyProblem("it is no JWK set")
    if len(found.keys) > MAX_KEYS:
        raise KeyProblem(f"it holds more than {MAX_KEYS} keys")
    if not found.keys:
        raise KeyProblem(f"it holds no key that can be used{_why(found.skipped)}")
    if secrets:  # a file: here a mistake can be mended
        for name in algorithms or ():
            if not any(name in key.algorithms for key in found.keys):
                raise KeyProblem(f"it holds no key for {name}{_why(found.skipped)}")
    return found


def read_signing_key(data: bytes) -> tuple[Any, str, str | None]:
    """Return what signs tokens, its kind, and its id if it has one. Raises ``KeyProblem``."""
    kid = None
    if data.lstrip()[:1] == b"{":
        member = _json(data)
        kid = member.get("kid") if isinstance(member.get("kid"), str) else None
        material = _from_jwk(member)
    elif b"-----BEGIN" in data:
        material, *rest = _from_pem(data, public=False)
        if rest:
            raise KeyProblem("it holds several keys")
    else:
        material = _secret(data)
    kind = _kind(material)
    if kind != "secret" and not hasattr(material, "private_bytes"):
        raise KeyProblem("it is a public key: signing takes the private one")
    return material, kind, kid


def usual_algorithm(material: Any) -> str:
    """Return what a key signs with where nobody says anything else."""
    return _USUAL[_kind(material)]


def _key(
    material: Any,
    algorithms: Collection[str] | None,
    *,
    kid: str | None = None,
    named: str | None = None,
) -> Key:
    kind = _kind(material)
    if algorithms is None:
        allowed = {named or _USUAL[kind]}
    else:
        allowed = {named} & set(algorithms) if named else set(algorithms)
    allowed = {name for name in allowed if ALGORITHMS.get(name) == kind}
    if not allowed:
        raise KeyProblem(f"{_named(kind)} does not fit the algorithms")
    if kind == "secret":
        shortest = min(int(name[2:]) // 8 for name in allowed)
        if len(material) < shortest:
            raise KeyProblem(
                f"a shared secret of {len(material)} bytes is too short: it takes {shortest}"
            )
        allowed = {name for name in allowed if len(material) * 8 >= int(name[2:])}
    return Key(kid, kind, frozenset(allowed), material)


def _named(kind: str) -> str:
    return {"secret": "a shared secret", "RSA": "an RSA key", "Edwards": "an Ed25519 key"}.get(
        kind, f"a {kind} key"
    )


def _kind(material: Any) -> str:
    if isinstance(material, bytes):
        return "secret"
    match material:
        case rsa.RSAPublicKey() | rsa.RSAPrivateKey():
            if not MIN_RSA_BITS <= material.key_size <= MAX_RSA_BITS:
                raise KeyProblem(
                    f"an RSA key of {material.key_size} bits is refused: it has to have "
                    f"{MIN_RSA_BITS} to {MAX_RSA_BITS}"
                )
            return "RSA"
        case ec.EllipticCurvePublicKey() | ec.EllipticCurvePrivateKey():
            if material.curve.name in _CURVES:
                return _CURVES[material.curve.name]
            raise KeyProblem(f"the curve {material.curve.name} is not supported")
        case (
            ed25519.Ed25519PublicKey()
            | ed25519.Ed25519PrivateKey()
            | ed448.Ed448PublicKey()
            | ed448.Ed448PrivateKey()
        ):
            return "Edwards"
    raise KeyProblem("this kind of key is not supported")


def _public(material: Any) -> Any:
    return material.public_key() if hasattr(material, "private_bytes") else material


# PEM, and shared secrets


def _from_pem(data: bytes, *, public: bool = True) -> list[Any]:
    blocks = [(match[1], match[0]) for match in _PEM.finditer(data)]
    if not blocks:
        raise KeyProblem("its PEM is damaged")
    found = []
    for label, block in blocks:
        if label == b"EC PARAMETERS":
            continue
        try:
            if label == b"CERTIFICATE":
                material: Any = x509.load_pem_x509_certificate(block).public_key()
            elif label.endswith(b"PRIVATE KEY"):
                material = load_pem_private_key(block, None)
            else:
                material = load_pem_public_key(block)
        except TypeError:
            raise KeyProblem("its key has a password") from None
        except (ValueError, UnsupportedAlgorithm):
            raise KeyProblem("its PEM is damaged, or of a kind that is not supported") from None
        found.append(_public(material) if public else material)
    return found


def _secret(data: bytes) -> bytes:
    """Return a shared secret: the bytes, without a line's end. Refuses what is a key already."""
    secret = data.removesuffix(b"\n").removesuffix(b"\r")
    if not secret:
        raise KeyProblem("it is empty")
    if secret.startswith(
        (b"ssh-", b"ecdsa-sha2-", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"[")
    ):
        raise KeyProblem("it is neither PEM, JWK nor a shared secret")
    for load in (load_der_public_key, x509.load_der_x509_certificate):
        try:
            load(data)
        except _BROKEN:
            continue
        raise KeyProblem("it is DER: convert it to PEM")
    try:
        load_der_private_key(data, None)
    except _BROKEN:
        return secret
    raise KeyProblem("it is DER: convert it to PEM")


# JWK (RFC 7517)


def _json(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise KeyProblem("its JSON is damaged") from None
    if not isinstance(value, dict):
        raise KeyProblem("it is no JWK set")
    return value


def _from_json(data: bytes, algorithms: Sequence[str] | None, *, secrets: bool) -> KeySet:
    value = _json(data)
    if "keys" not in value:
        return KeySet((_member(value, algorithms, secrets=secrets),))
    members = value["keys"]
    if not isinstance(members, list):
        raise KeyProblem("it is no JWK set")
    keys: list[Key] = []
    skipped: list[str] = []
    for member in members[: MAX_KEYS + 1]:
        try:
            keys.append(_member(member, algorithms, secrets=secrets))
        except KeyProblem as problem:  # one that is not for us (RFC 7517, 5)
            skipped.append(str(problem))
    usable = [key for key in keys if not _ambiguous(key, keys)]
    if len(usable) < len(keys):
        skipped.append("several keys have one kid")
    return KeySet(tuple(usable), tuple(skipped))


def _ambiguous(key: Key, keys: Sequence[Key]) -> bool:
    return key.kid is not None and any(
        other is not key and other.kid == key.kid and other.algorithms & key.algorithms
        for other in keys
    )


def _member(member: object, algorithms: Sequence[str] | None, *, secrets: bool) -> Key:
    if not isinstance(member, dict):
        raise KeyProblem("a member of the set is no key")
    if member.get("kty") == "oct" and not secrets:
        raise KeyProblem("a shared secret has no place in a public set")
    if member.get("use", "sig") != "sig":
        raise KeyProblem("a key is for encryption")
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list) or not {"verify", "sign"} & {str(o) for o in operations}:
        raise KeyProblem("a key is not for signatures")
    kid, named = member.get("kid"), member.get("alg")
    if kid is not None and not isinstance(kid, str):
        raise KeyProblem("a key's kid is no text")
    if named is not None and (not isinstance(named, str) or named not in ALGORITHMS):
        raise KeyProblem("a key is for an algorithm that is not supported")
    return _key(_public(_from_jwk(member)), algorithms, kid=kid or None, named=named)


def _from_jwk(member: Mapping[str, Any]) -> Any:
    texts = {name: value for name, value in member.items() if isinstance(value, str)}
    if any(len(value) > _MAX_MEMBER for name, value in texts.items() if name != "x5c"):
        raise KeyProblem("a key is too large")
    family = _FAMILIES.get(texts.get("kty", ""))
    if family is None:
        raise KeyProblem("this kind of key is not supported")
    try:
        return family.from_jwk(texts)
    except _BROKEN:
        raise KeyProblem("a JWK is damaged, or of a kind that is not supported") from None


def _why(skipped: Sequence[str]) -> str:
    return f" ({'; '.join(dict.fromkeys(skipped))})" if skipped else ""
