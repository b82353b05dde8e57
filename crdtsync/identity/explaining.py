"""What a token says, in words: for people who wonder why it is not let in.

Shows what stands in it, genuine or not. Sends it nowhere.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crdtsync.errors import RemoteError, Unauthenticated, Unavailable
from crdtsync.identity.authenticators import JWTAuthenticator, authorised
from crdtsync.identity.tokens import read_object

__all__ = ["Explanation", "explain", "in_words"]

_MOMENTS: Final = ("exp", "nbf", "iat")
_UNITS: Final = ((86400, "day"), (3600, "hour"), (60, "minute"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A token, laid open."""

    header: Mapping[str, Any]
    """Empty where it can't be read."""
    claims: Mapping[str, Any]
    verifies: bool | None
    """``None``: nothing to check it with."""
    reason: str
    """Why it does not verify."""
    roles: Mapping[str, str]
    """By document that was asked for: the role, or why there is none."""

    def words(self, name: str, now_s: float) -> str:
        """Say when a claim's moment is; empty for other claims."""
        value = self.claims.get(name)
        if name not in _MOMENTS or isinstance(value, bool) or not isinstance(value, int | float):
            return ""
        return in_words(value, now_s)


async def explain(
    token: str, authenticator: JWTAuthenticator | None, documents: Sequence[str] = ()
) -> Explanation:
    """Take a token apart, and have it checked where there is something to check it with."""
    parts = [*token.split("."), "", ""]
    header, claims = _opened(parts[0], "header"), _opened(parts[1], "claims")
    verifies: bool | None = None
    reason = "there are no keys to check it with"
    roles: dict[str, str] = {}
    if authenticator is not None:
        try:
            genuine = await authenticator.claims(token)
            principal = authenticator.rules.principal(genuine)
        except (Unauthenticated, Unavailable) as error:
            verifies = None if isinstance(error, Unavailable) else False
            reason = str(error)
        else:
            verifies, reason = True, ""
            for document in documents:
                try:
                    role = authorised(principal, document, authenticator.roles).role
                    roles[document] = "" if role is None else role.name
                except RemoteError as error:
                    roles[document] = f"none: {error}"
    return Explanation(header=header, claims=claims, verifies=verifies, reason=reason, roles=roles)


def in_words(moment_s: float, now_s: float) -> str:
    """Say how far a moment is away: ``in 59 minutes``, ``2 days ago``."""
    apart = abs(moment_s - now_s)
    amount, unit = apart, "second"
    for size, name in _UNITS:
        if apart >= size:
            amount, unit = apart / size, name
            break
    if amount > 1_000_000:
        return "far from now"
    count = int(amount)
    text = f"{count} {unit}{'' if count == 1 else 's'}"
    return f"in {text}" if moment_s > now_s else f"{text} ago"


def _opened(part: str, what: str) -> dict[str, Any]:
    try:
        data = base64.urlsafe_b64decode(part.encode("ascii") + b"=" * (-len(part) % 4))
        return read_object(data, what)
    except (Unauthenticated, binascii.Error, ValueError):
        return {}
