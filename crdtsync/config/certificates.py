"""How long a TLS certificate holds: what an operator has to know before clients notice.

OpenSSL serves any certificate whose key fits; it is the browser that refuses an old one.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from crdtsync.clock import Clock

__all__ = ["SOON", "worry_about"]

SOON: Final = timedelta(days=14)
"""A certificate that ends sooner is told of: whoever renews them by itself has done so before."""


def worry_about(certfile: str, clock: Clock) -> str:
    """Return what is wrong with the dates of a server's certificate; empty where all is well.

    The first in the file is the server's own; behind it are its issuers'.
    """
    from cryptography import x509  # large, and needed by few

    try:
        certificate = x509.load_pem_x509_certificates(Path(certfile).read_bytes())[0]
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except (OSError, ValueError):
        return ""  # whether it is one at all, OpenSSL says
    now = datetime.fromtimestamp(clock.time_ms() / 1000, UTC)
    if now > ends:
        return f"the certificate in {certfile} expired at {_shown(ends)}: clients refuse it"
    if now < begins:
        return (
            f"the certificate in {certfile} is not valid before {_shown(begins)}: clients refuse"
            " it until then; is the clock right?"
        )
    if ends - now < SOON:
        left = ends - now
        days = f"{left.days} days" if left.days > 1 else f"{left.total_seconds() / 3600:.0f} hours"
        return f"the certificate in {certfile} expires in {days}, at {_shown(ends)}"
    return ""


def _shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
