"""Reading a token before anything in it is believed: its length, its three parts, its header.

Owns what is refused before a key is looked for, and the reading of JSON that comes from
strangers: no name twice, no NaN, no endless nesting, no text that is none. Refuses to know keys.
A reason never repeats what the token says.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from crdtsync.errors import Unauthenticated

__all__ = ["ALGORITHMS", "MAX_DEPTH", "MAX_KID_CHARACTERS", "Token", "read_object", "read_token"]

ALGORITHMS: Final[Mapping[str, str]] = {
    **{f"HS{bits}": "secret" for bits in (256, 384, 512)},
    **{f"RS{bits}": "RSA" for bits in (256, 384, 512)},
    **{f"PS{bits}": "RSA" for bits in (256, 384, 512)},
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
    "EdDSA": "Edwards",
}
"""By algorithm (RFC 7518, 3.1; RFC 8037, 3.1), the one kind of key that it goes with."""

MAX_DEPTH: Final = 16
"""Nesting of objects and arrays in a header and in claims."""
MAX_KID_CHARACTERS: Final = 256

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_TYPES: Final = {"jwt", "application/jwt", "at+jwt", "application/at+jwt"}
"""What ``typ`` may say: a token of any other type was made for something else (RFC 8725, 3.11)."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token whose form is sound; whether it is genuine is not known yet."""

    text: str = field(repr=False)
    header: Mapping[str, Any] = field(repr=False)
    algorithm: str
    """One of ``ALGORITHMS``."""
    kid: str | None = field(repr=False)


def read_token(text: str, *, max_bytes: int) -> Token:
    """Take a token's form apart. Raises ``Unauthenticated``."""
    if not text:
        raise Unauthenticated("a token is required here")
    if len(text) > max_bytes:
        raise Unauthenticated(f"the token is over {max_bytes} bytes")
    parts = _COMPACT.fullmatch(text)
    if parts is None:
        if text.count(".") == 4:
            raise Unauthenticated("the token is encrypted, and has to be signed")
        raise Unauthenticated("the token is no signed JWT")
    data, *_ = [_decode(part) for part in parts.groups()]
    header = read_object(data, "header")
    return Token(text, header, _algorithm(header), _kid(header))


def read_object(data: bytes, what: str) -> dict[str, Any]:
    """Read a JSON object strictly. Raises ``Unauthenticated``."""
    try:
        value = json.loads(
            data.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError):
        raise Unauthenticated(f"the token's {what} can't be read") from None
    if not isinstance(value, dict):
        raise Unauthenticated(f"the token's {what} can't be read")
    if not _sound(value):
        raise Unauthenticated(f"the token's {what} holds values that are refused")
    return value


def _algorithm(header: Mapping[str, Any]) -> str:
    if "crit" in header or "b64" in header:
        raise Unauthenticated("the token demands an extension that is not known here")
    if "enc" in header or "zip" in header:
        raise Unauthenticated("the token is encrypted, and has to be signed")
    if "cty" in header:
        raise Unauthenticated("the token holds another one")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise Unauthenticated("the token was made for something else")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise Unauthenticated("the token's algorithm is not accepted here")
    return algorithm


def _kid(header: Mapping[str, Any]) -> str | None:
    if "kid" not in header:
        return None
    kid = header["kid"]
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_CHARACTERS:
        raise Unauthenticated("the token names its key in a way that is refused")
    return kid


def _decode(part: str) -> bytes:
    """Undo base64url; of the spellings that mean the same bytes, only one is taken."""
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        data = b""
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != part:
        raise Unauthenticated("the token is no signed JWT")
    return data


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError("no number")


def _sound(value: object) -> bool:
    """Whether nothing is nested too deep, no number infinite, no text half a surrogate pair."""
    level: list[object] = [value]
    for depth in range(MAX_DEPTH + 1):
        below: list[object] = []
        for each in level:
            match each:
                case dict() | list() if depth == MAX_DEPTH:
                    return False
                case dict():
                    below += each.keys()
                    below += each.values()
                case list():
                    below += each
                case str():
                    if not _is_text(each):
                        return False
                case float():
                    if not math.isfinite(each):
                        return False
        level = below
    return True


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
