"""Who a client is: authenticators, from tokens' bytes to a principal with its role.

``JWTAuthenticator`` takes a token apart (``tokens``), finds the key that signed it (``keys``,
``sources``, ``fetching``), and reads what it says (``claims``). ``CallableAuthenticator`` asks a
function. ``configured`` makes the one that a configuration names.
"""

from crdtsync.identity.authenticators import CallableAuthenticator, JWTAuthenticator, authorised
from crdtsync.identity.configured import configured_authenticator

__all__ = [
    "CallableAuthenticator",
    "JWTAuthenticator",
    "authorised",
    "configured_authenticator",
]
