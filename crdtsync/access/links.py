"""A share link: what it is, how it is written, and what a visitor says about himself.

Owns the text forms: the token ``share.ID.SECRET``, with ``.PASSWORD`` (base64url) behind it
where the visitor brings one, ids, and names for people to read. Secrets are made and compared
here, and kept nowhere.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import unicodedata
from dataclasses import dataclass, field
from typing import Final

__all__ = [
    "MAX_LABEL_CHARS",
    "MAX_NAME_CHARS",
    "MAX_PASSWORD_BYTES",
    "PREFIX",
    "PRINCIPAL_PREFIX",
    "Share",
    "ShareToken",
    "Visitor",
    "clean",
    "digest",
    "make_id",
    "make_secret",
    "read_token",
    "same",
    "visitor_digest",
    "write_token",
]

PREFIX: Final = "share."
"""How the token of a share link begins; no other token may."""
PRINCIPAL_PREFIX: Final = "share:"
"""How a visitor's id begins; nobody else's may."""
ID_BYTES: Final = 8
SECRET_BYTES: Final = 24
"""192 bits: no guessing, so a plain digest keeps it well."""
MAX_NAME_CHARS: Final = 64
"""A visitor's name."""
MAX_LABEL_CHARS: Final = 200
"""A link's label."""
MAX_PASSWORD_BYTES: Final = 1024
"""A link's password, in UTF-8."""
NAMELESS: Final = "Guest"

_ID: Final = re.compile(r"[0-9a-f]{16}")
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{32}")
_VISITOR: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A link to one document, without its secret."""

    id: str
    document: str
    role: str
    """The role's name."""
    label: str = ""
    owner: str = ""
    """The id of the principal that made it; empty for the operator."""
    password: bool = False
    """Whether it wants one."""
    created_ms: int
    expires_ms: int | None = None
    max_uses: int | None = None
    uses: int = 0
    """How many visitors have joined; counted where ``max_uses`` is set."""
    revoked_ms: int | None = None

    def state(self, now_ms: int) -> str:
        """Return ``open``, ``revoked``, ``expired`` or ``used up``: nobody new can join then."""
        if self.revoked_ms is not None:
            return "revoked"
        if self.expires_ms is not None and self.expires_ms <= now_ms:
            return "expired"
        if self.max_uses is not None and self.uses >= self.max_uses:
            return "used up"
        return "open"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is there by a link."""

    share: str
    principal: str
    name: str
    since_ms: int
    connections: int


@dataclass(frozen=True, slots=True)
class ShareToken:
    """A link's token, taken apart."""

    id: str
    secret: str = field(repr=False)
    password: str = field(repr=False, default="")


def make_id() -> str:
    """Make an id, which is no secret."""
    return secrets.token_hex(ID_BYTES)


def make_secret() -> str:
    """Make a link's secret."""
    return secrets.token_urlsafe(SECRET_BYTES)


def write_token(share: str, secret: str, password: str = "") -> str:
    """Write the token of a link."""
    token = f"{PREFIX}{share}.{secret}"
    if password:
        token += "." + base64.urlsafe_b64encode(password.encode()).decode().rstrip("=")
    return token


def read_token(token: str) -> ShareToken | None:
    """Take a token apart; ``None`` where it is no link's."""
    share, _, rest = token.removeprefix(PREFIX).partition(".")
    secret, _, encoded = rest.partition(".")
    if not (token.startswith(PREFIX) and _ID.fullmatch(share) and _SECRET.fullmatch(secret)):
        return None
    if len(encoded) > 2 * MAX_PASSWORD_BYTES:
        return None
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        return ShareToken(share, secret, raw.decode())
    except (binascii.Error, ValueError):
        return None


def digest(secret: str) -> bytes:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def same(one: bytes, other: bytes) -> bool:
    """Compare two digests; how long it takes says nothing of them."""
    return hmac.compare_digest(one, other)


def visitor_digest(share: str, key: str) -> str | None:
    """Return how a visitor is called who brings a key of his own; ``None``: that is none."""
    if not _VISITOR.fullmatch(key):
        return None
    return hashlib.sha256(f"{share}:{key}".encode()).hexdigest()[:32]


def clean(text: str, max_chars: int, *, otherwise: str = "") -> str:
    """Make a text of strangers fit to be shown: one line, nothing invisible, bounded."""
    # Cut first: normalising is not linear in what somebody sends.
    known = unicodedata.normalize("NFC", text[: 4 * max_chars])
    shown = "".join(" " if char.isspace() else char for char in known)
    shown = "".join(char for char in shown if unicodedata.category(char)[0] != "C")
    return " ".join(shown.split())[:max_chars].strip() or otherwise
