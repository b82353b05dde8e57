"""What a genuine token's claims mean: whether it holds here and now, and for whom.

Owns the checks of RFC 7519, 4.1, and the way from claims to a ``Principal``. Every claim that is
read has its type checked first; what is of a wrong type is refused, not guessed at. Refuses to
know keys and signatures.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from crdtsync.errors import Unauthenticated
from crdtsync.gate import Principal
from crdtsync.roles import Grants

__all__ = ["MAX_GRANTS", "MAX_NAME_CHARACTERS", "ClaimRules"]

MAX_NAME_CHARACTERS: Final = 255
"""Of ``sub`` and ``name``."""
MAX_GRANTS: Final = 1000
"""Patterns of one token."""
_LAST_S: Final = 253_402_300_799
"""The end of the year 9999: a later moment is a mistake (milliseconds, most often)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRules:
    """What claims have to say."""

    audience: frozenset[str] = frozenset()
    """A token has to be for one of these; where there are none, for nobody in particular."""
    issuer: frozenset[str] = frozenset()
    """A token has to be from one of these; where there are none, the key says enough."""
    leeway_s: float = 10.0
    """How far clocks may be apart."""
    required: tuple[str, ...] = ("exp",)
    """Claims that every token has to have, beside ``sub``."""
    documents_claim: str = "documents"
    role_claim: str | None = None

    def check(self, claims: Mapping[str, Any], now_s: float) -> None:
        """Raise ``Unauthenticated`` where the token does not hold here and now."""
        for name in ("sub", *self.required):
            if name not in claims:
                raise Unauthenticated(f"the token has no {name}")
        expires_s = _moment(claims, "exp")
        if expires_s is not None and expires_s + self.leeway_s <= now_s:
            raise Unauthenticated("the token has expired")
        for name in ("nbf", "iat"):
            moment_s = _moment(claims, name)
            if moment_s is not None and moment_s - self.leeway_s > now_s:
                raise Unauthenticated("the token is not valid yet")
        if self.issuer and _text(claims, "iss") not in self.issuer:
            raise Unauthenticated("the token is from another issuer")
        audience = claims.get("aud")
        if isinstance(audience, str):
            audience = [audience]
        if audience is not None and not _texts(audience):
            raise Unauthenticated("the token's aud is of a wrong type")
        # One that names an audience is refused where nobody told us ours (RFC 7519, 4.1.3).
        if (audience or self.audience) and not self.audience & set(audience or ()):
            raise Unauthenticated("the token is for another audience")
        if not _text(claims, "sub"):
            raise Unauthenticated("the token has no sub")

    def grants(self, claims: Mapping[str, Any]) -> Grants:
        """Return which role in which documents the claims give; none where they say nothing."""
        patterns: dict[str, str] = {}
        if self.role_claim is not None and self.role_claim in claims:
            patterns["*"] = _text(claims, self.role_claim)
        given = claims.get(self.documents_claim, {})
        if not isinstance(given, dict) or not _texts(list(given.values())):
            raise Unauthenticated("the token's documents are of a wrong type")
        if len(given) > MAX_GRANTS:
            raise Unauthenticated(f"the token is for more than {MAX_GRANTS} patterns of documents")
        return Grants({**patterns, **given})

    def principal(self, claims: Mapping[str, Any]) -> Principal:
        """Return who a token is for, still without a role."""
        name = _text(claims, "name") if claims.get("name") is not None else ""
        expires_s = _moment(claims, "exp")
        return Principal(
            id=_short(_text(claims, "sub")),
            name=_short(name),
            expires_s=None if expires_s is None else expires_s + self.leeway_s,
            issued_s=_moment(claims, "iat"),
            grants=self.grants(claims),
            attributes=dict(claims),
        )


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a NumericDate (RFC 7519, 2), which may have a fraction."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unauthenticated(f"the token's {name} is of a wrong type")
    if not 0 <= value <= _LAST_S or not math.isfinite(value):
        raise Unauthenticated(f"the token's {name} is no time in seconds")
    return float(value)


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Unauthenticated("a claim of the token is of a wrong type")
    return value


def _texts(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(each, str) for each in values)


def _short(text: str) -> str:
    if len(text) > MAX_NAME_CHARACTERS or "\0" in text:
        raise Unauthenticated("the token's sub or name is refused")
    return text
