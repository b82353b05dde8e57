"""What a server would refuse of its configuration before it serves, found without one.

Owns the order, which is that of a start: the first thing that is wrong is told. Opens no store,
binds nothing, makes no file, and asks no URL.
"""

from crdtsync.audit_log import AuditLog
from crdtsync.config import Config
from crdtsync.server.doors import doors_of
from crdtsync.store import open_store
from crdtsync.supervisor.listen import check_address, check_exposure

__all__ = ["validate"]


def validate(config: Config) -> None:
    """Raise the ``OperatorError`` with which a server would not start, if there is one."""
    check_exposure(config)
    check_address(config)
    doors_of(config)
    _authentication(config)
    config.ssl_context()
    open_store(config.store, durability=config.durability)
    if config.audit_log:
        AuditLog(config.audit_log).check()


def _authentication(config: Config) -> None:
    keys = config.auth_key_file, config.auth_jwks_url, config.auth_signing_key_file
    if config.auth == "none" and keys == (None,) * 3:
        return  # without what reads keys: that is large
    from crdtsync.identity.configured import configured_desk, make_authenticator

    configured_desk(config, make_authenticator(config))
