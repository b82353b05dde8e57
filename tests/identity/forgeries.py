"""Tokens that nobody may be let in with, by what is wrong with them.

Each is made for a server that trusts the RSA key ``rsa_key()`` with kid ``main`` and the secret
``SECRET`` with kid ``shared``, audience ``crdtsync`` and issuer ``https://id.example.org``.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from .making import (
    CLAIMS,
    NOW_S,
    OTHER_SECRET,
    SECRET,
    b64,
    ec_key,
    ed_key,
    issue,
    part,
    public_jwk,
    public_pem,
    rsa_key,
    signed,
    unsigned,
)

__all__ = ["FORGERIES", "HONEST", "trusted"]

_HS: Final = {"alg": "HS256", "typ": "JWT", "kid": "shared"}
_RS: Final = {"alg": "RS256", "typ": "JWT", "kid": "main"}


def trusted() -> dict[str, Any]:
    """Return the key set that the forgeries are made against."""
    return {
        "keys": [
            public_jwk(rsa_key(), kid="main", alg="RS256"),
            public_jwk(SECRET, kid="shared", alg="HS256"),
            public_jwk(ec_key(), kid="curve", alg="ES256"),
            public_jwk(ed_key(), kid="edwards", alg="EdDSA"),
        ]
    }


def hs(header: dict[str, Any] | None = None, payload: object = None, **claims: Any) -> str:
    """Sign with the right secret: only what is asked for is wrong."""
    said = {key: value for key, value in {**CLAIMS, **claims}.items() if value is not ...}
    return signed({**_HS, **(header or {})}, said if payload is None else payload)


HONEST: Final = (
    hs(),
    issue(rsa_key(), "RS256", headers={"kid": "main"}),
    issue(ec_key(), "ES256", headers={"kid": "curve"}),
    issue(ed_key(), "EdDSA", headers={"kid": "edwards"}),
)
"""One by each key: what the forgeries are made from."""


def _raw_claims(**raw: str) -> bytes:
    """Return claims as JSON text, with some values that ``json.dumps`` would not write."""
    said: dict[str, Any] = {**CLAIMS, **{name: f"@{name}@" for name in raw}}
    text = json.dumps(said)
    for name, value in raw.items():
        text = text.replace(f'"@{name}@"', value)
    return text.encode()


def _made() -> Iterator[tuple[str, Callable[[], str]]]:
    # No signature at all
    for name in ("none", "None", "NONE", "nOnE", "none ", "", "null", "None\\0"):
        yield f"alg {name!r}", lambda name=name: unsigned({**_HS, "alg": name}, CLAIMS)
        yield (
            f"alg {name!r} with a signature",
            lambda name=name: unsigned({**_HS, "alg": name}, CLAIMS, b64(b"x" * 32)),
        )
    yield "alg is null", lambda: unsigned({"alg": None}, CLAIMS, b64(b"x"))
    yield "alg is a list", lambda: unsigned({"alg": ["HS256", "none"]}, CLAIMS, b64(b"x"))
    yield "alg is an object", lambda: signed({"alg": {"HS256": 1}}, CLAIMS)
    yield "alg is a number", lambda: signed({"alg": 256}, CLAIMS)
    yield "no alg", lambda: signed({"typ": "JWT", "kid": "shared"}, CLAIMS)
    yield "alg in lower case", lambda: hs({"alg": "hs256"})
    yield "alg unknown", lambda: hs({"alg": "HS1"})
    yield "empty signature", lambda: unsigned(_HS, CLAIMS)
    yield "empty signature, RS256", lambda: unsigned(_RS, CLAIMS)
    yield "no third part", lambda: f"{part(_HS)}.{part(CLAIMS)}"
    # The wrong key
    yield "another secret", lambda: signed(_HS, CLAIMS, OTHER_SECRET)
    yield "an empty secret", lambda: signed(_HS, CLAIMS, b"")
    yield "another RSA key", lambda: issue(rsa_key(1), "RS256", headers={"kid": "main"})
    yield "another curve's key", lambda: issue(ec_key("P-384"), "ES384", headers={"kid": "curve"})
    yield "another Edwards key", lambda: issue(ed_key(1), "EdDSA", headers={"kid": "edwards"})
    yield "the right key, another's kid", lambda: issue(rsa_key(), "RS256", headers={"kid": "x"})
    for bits in (256, 384, 512):
        name = f"sha{bits}"
        pem = public_pem(rsa_key())
        for kid in ("main", "shared"):
            yield (
                f"HS{bits} with the public key as secret, kid {kid}",
                lambda bits=bits, kid=kid, name=name, pem=pem: signed(
                    {**_HS, "alg": f"HS{bits}", "kid": kid}, CLAIMS, pem, name=name
                ),
            )
    yield (
        "HS256 with the public key, no kid",
        lambda: signed({"alg": "HS256"}, CLAIMS, public_pem(rsa_key())),
    )
    yield (
        "HS256 with the public key, without its last line's end",
        lambda: signed({"alg": "HS256"}, CLAIMS, public_pem(rsa_key()).rstrip()),
    )
    yield (
        "HS256 with the modulus",
        lambda: signed({**_HS, "kid": "main"}, CLAIMS, public_jwk(rsa_key())["n"].encode()),
    )
    yield (
        "HS256 with the JWK",
        lambda: signed({**_HS, "kid": "main"}, CLAIMS, json.dumps(public_jwk(rsa_key())).encode()),
    )
    yield "HS256 by the right secret, the RSA key's kid", lambda: hs({"kid": "main"})
    yield (
        "HS512 by the right secret",
        lambda: signed({**_HS, "alg": "HS512"}, CLAIMS, SECRET, name="sha512"),
    )
    yield "PS256 by the right RSA key", lambda: issue(rsa_key(), "PS256", headers={"kid": "main"})
    yield "RS512 by the right RSA key", lambda: issue(rsa_key(), "RS512", headers={"kid": "main"})
    yield (
        "RS256, with the header changed to ES256",
        lambda: ".".join(
            (part({**_RS, "alg": "ES256"}), *issue(rsa_key(), "RS256").split(".")[1:])
        ),
    )
    # Signatures of another form
    for number, what in ((0, "zeros"), (255, "ones")):
        yield (
            f"ECDSA of {what}",
            lambda number=number: unsigned(
                {"alg": "ES256", "kid": "curve"}, CLAIMS, b64(bytes([number]) * 64)
            ),
        )
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    yield (
        "ECDSA of the curve's order",
        lambda: unsigned(
            {"alg": "ES256", "kid": "curve"}, CLAIMS, b64(order.to_bytes(32, "big") * 2)
        ),
    )
    yield "ECDSA of one byte", lambda: unsigned({"alg": "ES256", "kid": "curve"}, CLAIMS, "AA")
    yield (
        "ECDSA as DER",
        lambda: unsigned(
            {"alg": "ES256", "kid": "curve"}, CLAIMS, b64(bytes.fromhex("3006020101020101"))
        ),
    )
    yield (
        "EdDSA of zeros",
        lambda: unsigned({"alg": "EdDSA", "kid": "edwards"}, CLAIMS, b64(bytes(64))),
    )
    yield "RSA of zeros", lambda: unsigned(_RS, CLAIMS, b64(bytes(256)))
    yield "RSA of one", lambda: unsigned(_RS, CLAIMS, b64(bytes(255) + b"\x01"))
    yield "a truncated signature", lambda: hs()[:-4]
    yield "a truncated token", lambda: hs()[: len(hs()) // 2]
    yield "a signature with more behind it", lambda: hs() + "AAAA"
    yield "changed claims", lambda: _exchanged(hs(), 1, part({**CLAIMS, "sub": "eve"}))
    yield "a changed header", lambda: _exchanged(hs(), 0, part({**_HS, "x": 1}))
    # What the header says
    yield "crit", lambda: hs({"crit": ["exp"], "exp": 1})
    yield "crit b64", lambda: hs({"crit": ["b64"], "b64": True})
    yield "crit, empty", lambda: hs({"crit": []})
    yield "crit is null", lambda: hs({"crit": None})
    yield "b64 is false", lambda: hs({"b64": False})
    yield "made for something else", lambda: hs({"typ": "logout+jwt"})
    yield "typ is a list", lambda: hs({"typ": ["JWT"]})
    yield "zip", lambda: hs({"zip": "DEF"})
    yield "nested by cty", lambda: hs({"cty": "JWT"})
    for kid in (
        "../../../../dev/null",
        "/dev/null",
        "/etc/passwd",
        "shared' OR '1'='1",
        "shared'; DROP TABLE keys; --",
        "shared' UNION SELECT 'x",
        "https://evil.example.org/jwks.json",
        "file:///dev/null",
        "shared\0",
        " shared",
        "SHARED",
        "$(id)",
        "{{7*7}}",
        "%n%n%n%s",
    ):
        yield f"kid {kid!r}", lambda kid=kid: signed({**_HS, "kid": kid}, CLAIMS, b"")
    yield "kid is empty", lambda: hs({"kid": ""})
    yield "kid is null", lambda: hs({"kid": None})
    yield "kid is a number", lambda: hs({"kid": 1})
    yield "kid is a list", lambda: hs({"kid": ["shared"]})
    yield "kid is an object", lambda: hs({"kid": {"$ne": 1}})
    yield "kid is endless", lambda: hs({"kid": "shared" * 100})
    yield (
        "kid is half a surrogate pair",
        lambda: signed(json.dumps({**_HS, "kid": "\ud800"}).encode(), CLAIMS),
    )
    yield "kid stands twice", lambda: signed(b'{"alg":"HS256","kid":"x","kid":"shared"}', CLAIMS)
    yield "alg stands twice", lambda: signed(b'{"alg":"none","alg":"HS256","kid":"shared"}', CLAIMS)
    evil = {"jku": "https://evil.example.org/jwks", "x5u": "https://evil.example.org/x5u"}
    for name, url in evil.items():
        yield (
            name,
            lambda name=name, url=url: issue(
                rsa_key(1), "RS256", headers={"kid": "main", name: url}
            ),
        )
    yield (
        "jwk",
        lambda: issue(
            rsa_key(1), "RS256", headers={"jwk": public_jwk(rsa_key(1), kid="main"), "kid": "main"}
        ),
    )
    yield (
        "jwk, a secret",
        lambda: signed({**_HS, "jwk": public_jwk(OTHER_SECRET)}, CLAIMS, OTHER_SECRET),
    )
    yield "x5c", lambda: issue(rsa_key(1), "RS256", headers={"x5c": ["MIIB"], "kid": "main"})
    # Forms
    yield "huge", lambda: hs(padding="x" * 9000)
    yield "over a megabyte", lambda: "e" * (1 << 20)
    yield "a word", lambda: "letmein"
    yield "dots", lambda: "..."
    yield "two dots", lambda: ".."
    yield "spaces", lambda: f" {hs()}"
    yield "a line break inside", lambda: hs().replace(".", ".\n", 1)
    yield "another spelling of the last character", lambda: _respelled(hs())
    yield "padding", lambda: hs().replace(".", "=.", 1)
    yield "standard base64", lambda: hs().replace(".", "+/.", 1)
    yield "not ASCII", lambda: hs() + "\u00e9"
    yield "a null character", lambda: hs() + "\0"
    yield "encrypted", lambda: ".".join(("e30", "AA", "AA", "AA", "AA"))
    yield "encrypted, in three parts", lambda: signed({**_HS, "enc": "A256GCM"}, CLAIMS)
    yield "the header is no JSON", lambda: signed(b"header", CLAIMS)
    yield "the header is a list", lambda: signed([_HS], CLAIMS)
    yield "the header is no UTF-8", lambda: signed(b"\xff\xfe", CLAIMS)
    yield "the header is nested endlessly", lambda: signed(b'{"alg":' + b"[" * 3000, CLAIMS)
    yield (
        "JSON serialization",
        lambda: json.dumps(
            dict(zip(("protected", "payload", "signature"), hs().split("."), strict=True))
        ),
    )
    # Claims
    yield "claims are no JSON", lambda: hs(payload=b"claims")
    yield "claims are a list", lambda: hs(payload=[CLAIMS])
    yield "claims are a text", lambda: hs(payload=b'"ada"')
    yield "claims are null", lambda: hs(payload=b"null")
    yield "claims are no UTF-8", lambda: hs(payload=b'{"sub":"\xff"}')
    yield "claims are another token", lambda: hs(payload=hs().encode())
    yield "claims are nested endlessly", lambda: hs(payload=b'{"a":' + b"[" * 3000)
    yield "claims are nested too deep", lambda: hs(payload=_raw_claims(x="[" * 40 + "]" * 40))
    yield "sub stands twice", lambda: hs(payload=_raw_claims(sub='"a","sub":"b"'))
    yield "a text is half a surrogate pair", lambda: hs(name="\ud800")
    yield "a name is half a surrogate pair", lambda: hs(documents={"\udfff": "write"})
    for value in ("NaN", "Infinity", "-Infinity", "1e400", "1" * 4000, "1" * 5000):
        yield (
            f"exp is {value[:9]} ({len(value)})",
            lambda value=value: hs(payload=_raw_claims(exp=value)),
        )
    yield "some number is infinite", lambda: hs(payload=_raw_claims(x="1e400"))
    yield "some number is NaN", lambda: hs(payload=_raw_claims(x="NaN"))
    wrong_moments: tuple[Any, ...] = (
        str(NOW_S + 600),
        True,
        None,
        [],
        {},
        [NOW_S + 600],
        -1,
        1e300,
        10**30,
        (NOW_S + 600) * 1000,
    )
    for moment in wrong_moments:
        yield f"exp is {moment!r}", lambda moment=moment: hs(exp=moment)
    yield "nbf is true", lambda: hs(nbf=True)
    yield "iat is false", lambda: hs(iat=False)
    yield "nbf is in milliseconds", lambda: hs(nbf=NOW_S * 1000)
    yield "nbf is text", lambda: hs(nbf="0")
    yield "iat is a text", lambda: hs(iat="yesterday")
    yield "expired", lambda: hs(exp=NOW_S - 60)
    yield "expired by a fraction of a second", lambda: hs(exp=NOW_S - 10.5)
    yield "expired in 1970", lambda: hs(exp=0)
    yield "not yet valid", lambda: hs(nbf=NOW_S + 60)
    yield "issued in the future", lambda: hs(iat=NOW_S + 60)
    yield "without exp", lambda: hs(exp=...)
    yield "without sub", lambda: hs(sub=...)
    for who in ("", None, 7, ["ada"], {"id": "ada"}, True, "a" * 300, "ada\0eve"):
        yield f"sub is {str(who)[:9]!r}", lambda who=who: hs(sub=who)
    yield "name is a number", lambda: hs(name=7)
    yield "without aud", lambda: hs(aud=...)
    for audience in (
        "another",
        "",
        [],
        ["another"],
        "crdtsync ",
        "CRDTSYNC",
        7,
        [7],
        {"crdtsync": 1},
        True,
        ["crdtsync", None],
        None,
    ):
        yield f"aud is {audience!r}", lambda audience=audience: hs(aud=audience)
    yield "without iss", lambda: hs(iss=...)
    for issuer in (
        "https://evil.example.org",
        "https://id.example.org/",
        "",
        7,
        None,
        ["https://id.example.org"],
    ):
        yield f"iss is {issuer!r}", lambda issuer=issuer: hs(iss=issuer)
    for documents in (
        "write",
        7,
        ["*"],
        [["*", "write"]],
        {"*": None},
        {"*": ["write"]},
        {"*": {"role": "write"}},
        {"*": 1},
        True,
    ):
        yield f"documents is {documents!r}", lambda documents=documents: hs(documents=documents)
    # Genuine, and for something else: 4403
    yield "no documents", lambda: hs(documents={})
    yield "documents left out", lambda: hs(documents=...)
    yield "other documents", lambda: hs(documents={"other/*": "write"})
    yield "a role that nobody defined", lambda: hs(documents={"team/*": "root"})
    yield "a role in capitals", lambda: hs(documents={"team/*": "WRITE"})
    yield "a role claim that nobody asked for", lambda: hs(documents=..., role="admin")
    yield "a pattern that only looks like one", lambda: hs(documents={".*": "write"})


def _respelled(token: str) -> str:
    """Change bits of the last character that mean nothing (32 bytes fill 42 2/3 characters)."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]


def _exchanged(token: str, at: int, new: str) -> str:
    parts = token.split(".")
    parts[at] = new
    return ".".join(parts)


FORGERIES: Final = dict(_made())
